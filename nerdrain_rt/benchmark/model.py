"""The network alone: every backend in every precision at every size, its speed and its error."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nerdrain_rt.backends import Backend, load_backend, precision_name, why_backend_is_missing
from nerdrain_rt.backends.choice import release_memory
from nerdrain_rt.backends.eager import EagerBackend
from nerdrain_rt.benchmark.floor import Rates, Work
from nerdrain_rt.benchmark.pictures import Pictures
from nerdrain_rt.benchmark.published import Published
from nerdrain_rt.benchmark.timing import Budget, Timing, run_first, time_runs
from nerdrain_rt.errors import first_line
from nerdrain_rt.lanes import is_out_of_memory
from nerdrain_rt.model.net import NerdRain
from nerdrain_rt.model.weights import Weights

_log = logging.getLogger(__name__)

Size = tuple[int, int]
"""(height, width)."""


@dataclass(frozen=True, slots=True)
class Error:
    """How far a residual is from the float32 network's on the whole frame; 1 is from black to white."""

    max_abs: float
    psnr_db: float
    """Infinite where they are the same."""

    @classmethod
    def between(cls, residual: Tensor, reference: Tensor) -> Error:
        """Of two residuals of the same shape."""
        difference = (residual.double() - reference.double()).abs()
        square = float(difference.square().mean())
        return cls(float(difference.max()), -10 * math.log10(square) if square else math.inf)


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One backend in one precision at one size; only with a `reason` where it could not run."""

    backend: str
    size: Size | None
    """None where it did not even load; nor has it a precision where it cannot run on this device at all."""
    precision: str | None
    timing: Timing | None = None
    load_seconds: float | None = None
    first_seconds: float | None = None
    """Of the first call, which may compile or tune."""
    peak_bytes: int | None = None
    error: Error | None = None
    floor_ms: float | None = None
    note: str | None = None
    reason: str | None = None

    @property
    def fps(self) -> float | None:
        """Frames per second of the network alone."""
        return 1000 / self.timing.median_ms if self.timing else None

    @property
    def floor_share(self) -> float | None:
        """The least time by the time taken; 1 is as fast as the device can."""
        return self.floor_ms / self.timing.median_ms if self.timing and self.floor_ms else None

    def json(self) -> dict[str, Any]:
        """Ready for JSON, the size as WIDTHxHEIGHT."""
        error, timing = self.error, self.timing
        return {
            "backend": self.backend,
            "size": size_name(self.size) if self.size else None,
            "precision": self.precision,
            "median_ms": _rounded(timing.median_ms if timing else None),
            "p95_ms": _rounded(timing.p95_ms if timing else None),
            "runs": timing.runs if timing else 0,
            "fps": _rounded(self.fps),
            "load_seconds": _rounded(self.load_seconds),
            "first_seconds": _rounded(self.first_seconds),
            "peak_mib": _rounded(None if self.peak_bytes is None else self.peak_bytes / 2**20),
            "error": error and {"max_abs": error.max_abs, "psnr_db": _rounded(min(error.psnr_db, 999.0))},
            "floor_ms": _rounded(self.floor_ms),
            "floor_share": _rounded(self.floor_share),
            "note": self.note,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class ModelBench:
    """Measures backends of the same weights on the same pictures."""

    weights: Weights
    device: torch.device
    pictures: Pictures
    sizes: Sequence[Size]
    rates: Rates
    budget: Budget
    announce: Callable[[str], None] = _log.info
    """Takes a line on what takes minutes before it can be measured, as an engine that is built."""

    def rows(
        self, backends: Sequence[str], precisions: Sequence[str], *, with_published: bool = True
    ) -> Iterator[ModelRow]:
        """A row as soon as it is measured, the published arrangement first; a failure is a row with its reason."""
        work = Work.of(self.weights.config)
        plain = EagerBackend(self.weights.build(), self.device, torch.float32)
        references = {size: self._reference(plain, size) for size in self.sizes}
        if with_published:
            yield from self._published_rows(plain, references, work)
        del plain
        for name in backends:
            if reason := why_backend_is_missing(name, self.device):
                yield ModelRow(name, None, None, reason=reason)
                continue
            for precision in precisions:
                yield from self._rows_of(name, precision, references, work)

    def load(self, name: str, precision: str) -> Backend:
        """A backend of these weights; TensorRT's engine is waited for."""
        return load_backend(
            self.weights,
            name,
            device=str(self.device),
            precision=precision,
            wait_engine=True,
            announce=self.announce,
        )

    def _published_rows(
        self, plain: EagerBackend, references: Mapping[Size, Tensor | None], work: Work
    ) -> Iterator[ModelRow]:
        for size in self.sizes:
            published = Published(plain)
            row = self._measure(published, size, references[size], work)
            yield replace(row, note=f"in batches of {published.batch} windows" if published.batch else None)

    def _rows_of(
        self, name: str, precision: str, references: Mapping[Size, Tensor | None], work: Work
    ) -> Iterator[ModelRow]:
        release_memory()
        started = time.perf_counter()
        try:
            backend = self.load(name, precision)
        except Exception as error:
            _log.info("%s: did not load", name, exc_info=True)
            yield ModelRow(name, None, precision, reason=first_line(error).removeprefix(f"{name}: "))
            return
        load_seconds = time.perf_counter() - started
        for size in self.sizes:
            row = self._measure(backend, size, references[size], work)
            yield replace(row, backend=name, load_seconds=load_seconds)  # what it calls itself may say more

    def _measure(self, backend: Backend, size: Size, reference: Tensor | None, work: Work) -> ModelRow:
        row = ModelRow(backend.name, size, precision_name(backend.dtype))
        release_memory()
        try:
            rainy = padded(self.pictures(size)).to(self.device)
            first = run_first(lambda: backend(rainy), self.device)
            timing = time_runs(lambda: backend(rainy), self.device, self.budget, first_seconds=first.seconds)
            return replace(
                row,
                timing=timing,
                first_seconds=first.seconds,
                peak_bytes=first.peak_bytes,
                error=None if reference is None else Error.between(first.result.cpu(), reference),
                floor_ms=work.floor_ms(size, backend.dtype, self.rates),
            )
        except Exception as failure:
            _log.info("%s: did not run", backend.name, exc_info=True)
            return replace(row, reason="out of memory" if is_out_of_memory(failure) else first_line(failure))

    def _reference(self, plain: EagerBackend, size: Size) -> Tensor | None:
        """The float32 network's residual on the CPU, without TF32; None where memory does not suffice."""
        exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        try:
            with exact if self.device.type == "cuda" else nullcontext():
                return plain(padded(self.pictures(size)).to(self.device)).cpu()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            _log.warning("no memory for the float32 network at %s: errors there are unknown", size_name(size))
            return None


def padded(picture: Tensor) -> Tensor:
    """Continued on the right and at the bottom to the multiple that every backend takes."""
    bottom, right = (-side % NerdRain.multiple_of for side in picture.shape[-2:])
    return F.pad(picture, (0, right, 0, bottom), mode="replicate")


def size_name(size: Size) -> str:
    """WIDTHxHEIGHT, as the command line takes it."""
    return f"{size[1]}x{size[0]}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
