"""Everything that one run of `nerdrain bench` measured."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from typing import Any

import torch

from nerdrain_rt.backends import precision_name
from nerdrain_rt.benchmark.advice import Advice, advise
from nerdrain_rt.benchmark.floor import Rates
from nerdrain_rt.benchmark.model import ModelRow, Size
from nerdrain_rt.benchmark.pipeline import PipelineRow


@dataclass
class Report:
    """Everything measured so far."""

    device: torch.device
    rates: Rates
    model: list[ModelRow] = field(default_factory=list)
    pipeline: list[PipelineRow] = field(default_factory=list)
    is_interrupted: bool = False
    error: str | None = None
    """What ended it before its time."""

    def advice(self) -> list[Advice]:
        """What the network's speeds mean."""
        return advise(self.model)

    def fastest(self, size: Size) -> ModelRow | None:
        """The backend to run the pipeline with."""
        rows = [row for row in self.model if row.size == size and row.timing and row.backend != "published"]
        return max(rows, key=lambda row: row.fps or 0, default=None)

    def speedup(self, row: ModelRow) -> float | None:
        """How many times as fast as the published arrangement at that size."""
        published = (other.fps for other in self.model if other.backend == "published" and other.size == row.size)
        yardstick = next(published, None)
        return row.fps / yardstick if row.fps and yardstick else None

    def json(self) -> dict[str, Any]:
        """The document of the last line."""
        flops = {precision_name(dtype): round(rate / 1e12, 3) for dtype, rate in self.rates.flops.items()}
        return {
            "device": {
                "device": str(self.device),
                "name": device_name(self.device),
                "copy_gb_per_second": round(self.rates.bytes_per_second / 1e9, 2),
                "matrix_tflops": flops,
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
            },
            "model": [row.json() | {"times_published": _rounded(self.speedup(row))} for row in self.model],
            "pipeline": [row.json() for row in self.pipeline],
            "real_time": [answer.json() for answer in self.advice()],
            "interrupted": self.is_interrupted,
            "error": self.error,
        }


def device_name(device: torch.device) -> str:
    """Its maker's name for it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    return name if device.type == "cpu" else f"Apple GPU ({name})"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
