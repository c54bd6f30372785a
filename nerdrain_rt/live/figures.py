"""The figures that tell how live deraining goes: of a moment, of a sink, of the whole."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

RECENT_SECONDS = 2.0
"""The figures shown while it runs are of the frames of so long."""


@dataclass(frozen=True, slots=True)
class SinkStats:
    """How a sink is doing."""

    name: str
    frames_written: int
    dropped: int
    """Frames that came while it was busy or lost."""
    latency_ms: float | None
    """Median from capture to written, lately."""
    error: str | None
    """Why it was given up or is tried again; None while all is well."""


@dataclass(frozen=True, slots=True)
class LiveStats:
    """The figures of a moment; latency is from capture to the clean frame, fps and latency are lately's."""

    seconds: float
    frames_in: int
    frames_out: int
    fps: float
    latency_ms: float | None
    latency_p95_ms: float | None
    dropped: Mapping[str, int]
    """Frames by the stage that had no time for them: network, loop, and each sink."""
    work_scale: float
    is_connected: bool
    sinks: tuple[SinkStats, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkScaleStep:
    """The governor chose another work scale."""

    seconds: float
    """Since the start."""
    work_scale: float
    latency_ms: float
    """What it answered to."""


@dataclass(frozen=True, slots=True)
class LiveReport:
    """What was done, from the start to the end, whatever ended it."""

    input: str
    frames_in: int
    frames_out: int
    seconds: float
    latency_ms: float | None
    latency_p95_ms: float | None
    dropped: Mapping[str, int]
    work_scale_steps: tuple[WorkScaleStep, ...]
    sinks: tuple[SinkStats, ...]
    device: str
    backend: str
    precision: str
    warnings: tuple[str, ...]
    error: str | None = None
    """What ended it early; None where the source ended or was stopped."""

    @property
    def fps(self) -> float:
        """Clean frames per second, start to finish."""
        return self.frames_out / self.seconds if self.seconds else 0.0


STEP = 1.02
"""Ratio of the neighbouring durations that `Latencies` tells apart."""


class Latencies:
    """Any number of durations in little memory; quantiles of all are exact to 1 percent."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, milliseconds: float) -> None:
        """Count one."""
        self._counts[round(math.log(max(milliseconds, 0.01)) / math.log(STEP))] += 1

    def quantile(self, share: float) -> float | None:
        """The duration that this share of all does not exceed; None of nothing."""
        left = share * self._counts.total()
        for bucket in sorted(self._counts):
            left -= self._counts[bucket]
            if left <= 0:
                return float(STEP**bucket)
        return None


class Meter:
    """Latency and rate of the frames of the last seconds, and the latency of all."""

    def __init__(self) -> None:
        self.count = 0
        self.all = Latencies()
        self._recent: deque[tuple[float, float]] = deque(maxlen=240)

    def add(self, now: float, milliseconds: float) -> None:
        """A frame that was captured so long before."""
        self.count += 1
        self.all.add(milliseconds)
        self._recent.append((now, milliseconds))
        while now - self._recent[0][0] > RECENT_SECONDS and len(self._recent) > 2:
            self._recent.popleft()

    def fps(self, now: float) -> float:
        """Frames per second, lately; it falls while none comes."""
        if len(self._recent) < 2:
            return 0.0
        span = self._recent[-1][0] - self._recent[0][0]
        longest = max(span / (len(self._recent) - 1), now - self._recent[-1][0])
        return 1 / longest if longest else 0.0

    def quantile(self, share: float) -> float | None:
        """Of the latencies lately."""
        latencies = sorted(milliseconds for _, milliseconds in list(self._recent))
        return latencies[max(0, math.ceil(share * len(latencies)) - 1)] if latencies else None
