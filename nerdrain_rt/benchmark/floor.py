"""The least time a device needs for the network: its operations and its traffic at the rates measured on the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch.utils.flop_counter import FlopCounterMode

from nerdrain_rt.benchmark.timing import Budget, time_runs
from nerdrain_rt.model.net import NerdRain, NetConfig

TRAFFIC = 164.3
"""Values read and written per pixel and channel of width where each block takes as few passes over memory as it can:
21.8 GB for a frame of 1080p, width 32, half precision."""
COPY_BYTES = {"cuda": 2**30, "cpu": 2**28, "mps": 2**28}
MATRIX_SIDE = {"cuda": 8192, "cpu": 2048, "mps": 4096}
BUDGET = Budget(runs=10, seconds=1.0)
COUNTED_SIDE = 64


@dataclass
class Rates:
    """How fast a device copies and multiplies matrices; each is measured when it is first asked for."""

    device: torch.device
    bytes_per_second: float = 0.0
    """Read and written together."""
    flops: dict[torch.dtype, float] = field(default_factory=dict)
    """Operations per second (two for each multiply-add) by precision, for those asked for so far."""

    def copy(self) -> float:
        """Bytes per second of one large copy, read and written together."""
        if not self.bytes_per_second:
            source = torch.ones(COPY_BYTES[self.device.type], dtype=torch.uint8, device=self.device)
            target = torch.empty_like(source)
            timing = time_runs(lambda: target.copy_(source), self.device, BUDGET)
            self.bytes_per_second = 2 * source.numel() / (timing.median_ms / 1000)
        return self.bytes_per_second

    def multiply(self, dtype: torch.dtype) -> float:
        """Operations per second of one large matrix product; float32 on CUDA in TF32, as the network's convolutions."""
        if dtype not in self.flops:
            side = MATRIX_SIDE[self.device.type]
            # Random, because a GPU multiplies ones faster than anything that it is used for.
            matrix = torch.rand(side, side, device=self.device).to(dtype)
            with _tensor_float(self.device):
                timing = time_runs(lambda: torch.mm(matrix, matrix), self.device, BUDGET)
            self.flops[dtype] = 2 * side**3 / (timing.median_ms / 1000)
        return self.flops[dtype]


@dataclass(frozen=True, slots=True)
class Work:
    """What one network must do for each pixel."""

    flops: float
    values: float
    """Numbers read and written, block-fused."""

    @classmethod
    def of(cls, config: NetConfig) -> Work:
        """Counted on the network without computing it."""
        with torch.device("meta"):
            net = NerdRain(config).eval()
            rainy = torch.empty(1, 3, COUNTED_SIDE, COUNTED_SIDE)
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            net(rainy)
        return cls(counter.get_total_flops() / COUNTED_SIDE**2, TRAFFIC * config.width)

    def floor_ms(self, size: tuple[int, int], dtype: torch.dtype, rates: Rates) -> float:
        """Milliseconds below which a frame of (height, width) cannot be done: the longer of computing and moving."""
        pixels = size[0] * size[1]
        compute = self.flops * pixels / rates.multiply(dtype)
        memory = self.values * pixels * dtype.itemsize / rates.copy()
        return 1000 * max(compute, memory)


@contextmanager
def _tensor_float(device: torch.device) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    try:
        if device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        yield
    finally:
        torch.set_float32_matmul_precision(before)
