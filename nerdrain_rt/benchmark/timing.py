"""Time and memory of one call on a device: events on CUDA, the clock elsewhere."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple, Self

import psutil
import torch
from torch import Tensor

WARM_UP_CALLS = 3
WARM_UP_SHARE = 0.2
"""Of the seconds for measuring; where the first call alone took longer, it was warm-up enough."""
SAMPLE_SECONDS = 0.005

Call = Callable[[], Tensor]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Budget:
    """How long to measure one thing: so many runs, or fewer where the seconds are over, at least one."""

    runs: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Timing:
    """What repeated runs of one call took."""

    median_ms: float
    p95_ms: float
    """The nearest rank: 95 % of the runs took no longer."""
    runs: int

    @classmethod
    def of(cls, milliseconds: list[float]) -> Timing:
        """Of at least one run."""
        rank = math.ceil(0.95 * len(milliseconds))
        return cls(median(milliseconds), sorted(milliseconds)[rank - 1], len(milliseconds))


class First(NamedTuple):
    """A first call: what it gave, what it took with all that is made ready in it, and the memory at its peak."""

    result: Tensor
    seconds: float
    peak_bytes: int | None
    """On CUDA what PyTorch has allocated in all, on a CPU what the process grew by; None where nothing tells."""


def run_first(call: Call, device: torch.device, clock: Clock = time.perf_counter) -> First:
    """Make the first call."""
    started = clock()
    if device.type == "cpu":
        with _Growth() as growth:
            result = call()
        return First(result, clock() - started, growth.bytes)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    result = call()
    synchronize(device)
    seconds = clock() - started
    return First(result, seconds, torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None)


def time_runs(
    call: Call, device: torch.device, budget: Budget, *, first_seconds: float = 0.0, clock: Clock = time.perf_counter
) -> Timing:
    """Time a call whose first one took `first_seconds`, after a warm-up."""
    if first_seconds < WARM_UP_SHARE * budget.seconds:
        for _ in range(WARM_UP_CALLS):
            call()
        synchronize(device)
    started = clock()
    runs: list[float] = []
    while not runs or (len(runs) < budget.runs and clock() - started < budget.seconds):
        runs.append(_time_on_cuda(call, device) if device.type == "cuda" else _time(call, device, clock))
    return Timing.of(runs)


def synchronize(device: torch.device) -> None:
    """Wait for the device's work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class _Growth:
    """How many bytes the process grows by, looked at every few milliseconds."""

    def __init__(self) -> None:
        self.bytes = 0
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self._is_over = threading.Event()
        self._sampler = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._sampler.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._sampler.join()
        self._sample()

    def _watch(self) -> None:
        while not self._is_over.wait(SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        self.bytes = max(self.bytes, self._process.memory_info().rss - self._before)


def _time(call: Call, device: torch.device, clock: Clock) -> float:
    started = clock()
    call()
    synchronize(device)
    return 1000 * (clock() - started)


def _time_on_cuda(call: Call, device: torch.device) -> float:
    with torch.cuda.device(device):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        call()
        end.record()
        end.synchronize()
    return float(start.elapsed_time(end))
