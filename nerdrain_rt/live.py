"""What goes on around live frames: their latency and its budget, the figures that tell of it, and the sinks."""

from __future__ import annotations

import copy
import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self, cast

from nerdrain_rt.backends import precision_name
from nerdrain_rt.derainer import Derainer
from nerdrain_rt.errors import DerainError, MediaError, UsageError
from nerdrain_rt.frame import Frame
from nerdrain_rt.media.live_base import LiveFrame, LiveSource, SoundPacket
from nerdrain_rt.media.picture_copies import PictureCopies, beside
from nerdrain_rt.media.report import explain
from nerdrain_rt.media.sink import Sink, SinkInput
from nerdrain_rt.stages import Latest, Outlet

_log = logging.getLogger(__name__)

RECENT_SECONDS = 2.0
"""The figures shown while it runs are of the frames of so long."""
STALLED_SECONDS = 10.0
"""A sink that is inside one frame for longer is told of as failed until it goes on."""
SOUND_PACKETS = 1000
"""Sound that waits for a frame, at most; some 20 seconds."""


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """How live frames are derained. Raises UsageError for what cannot be."""

    max_latency_ms: float | None = None
    """The latency to hold by working at a smaller scale; None: never do."""
    keep_rainy: bool = False
    """Keep each frame as it was before deraining, at the cost of a copy."""
    side_by_side: bool = False
    """Give the sinks rainy and clean beside each other."""
    duration_seconds: float | None = None
    """Stop after this time."""

    def __post_init__(self) -> None:
        if self.max_latency_ms is not None and self.max_latency_ms <= 0:
            raise UsageError(f"the latency to hold is {self.max_latency_ms:g} ms; it must be above 0")
        if self.duration_seconds is not None and self.duration_seconds <= 0:
            raise UsageError(f"the duration is {self.duration_seconds:g} s; it must be above 0")


@dataclass(frozen=True, slots=True)
class SinkStats:
    """How a sink is doing."""

    name: str
    frames_written: int
    dropped: int
    """Frames that came while it was busy."""
    latency_ms: float | None
    """Median from capture to written, lately."""
    error: str | None
    """Why it was given up; None while all is well."""


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
    """What was done, from the start to the end."""

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

    @property
    def fps(self) -> float:
        """Frames per second, lately."""
        if len(self._recent) < 2:
            return 0.0
        span = self._recent[-1][0] - self._recent[0][0]
        return (len(self._recent) - 1) / span if span else 0.0

    def quantile(self, share: float) -> float | None:
        """Of the latencies lately."""
        latencies = sorted(milliseconds for _, milliseconds in list(self._recent))
        return latencies[min(len(latencies) - 1, math.ceil(share * len(latencies)))] if latencies else None


WORK_SCALES = (1.0, 0.75, 0.5, 0.375, 0.25)
WINDOW = 8
"""Frames whose median is held against the budget."""
SETTLING = 2
"""Frames after a step that do not count: backends get ready for the new size."""
ROOM = 0.8
"""The share of the budget that the next larger scale must be expected to stay below."""
CALM_SECONDS = 3.0
"""How long there must be room before the scale goes up; doubled by each step up that had to be taken back."""
LONGEST_CALM_SECONDS = 60.0


class Governor:
    """Holds a latency budget by the work scale: down at once when the median is above it, up when there is room.

    `limit` is the scale the user wants, above which it never goes. The network's part of the latency is taken to
    grow with the area.
    """

    def __init__(self, budget_ms: float, limit: float = 1.0) -> None:
        self._budget = budget_ms
        self._scales = [limit * scale for scale in WORK_SCALES]
        self._index = 0
        self._window: deque[float] = deque(maxlen=WINDOW)
        self._settling = SETTLING
        self._calm = CALM_SECONDS
        self._roomy_since: float | None = None
        self._went_up_at: float | None = None

    @property
    def scale(self) -> float:
        """The work scale to use."""
        return self._scales[self._index]

    @property
    def limit(self) -> float:
        """The largest scale it may choose."""
        return self._scales[0]

    @property
    def is_at_its_end(self) -> bool:
        """Whether there is no smaller scale."""
        return self._index == len(self._scales) - 1

    def update(self, latency_ms: float, now: float) -> WorkScaleStep | None:
        """Take in the latency of a frame at `now` seconds; the step where the scale is another from here on."""
        if self._settling:
            self._settling -= 1
            return None
        self._window.append(latency_ms)
        if len(self._window) < WINDOW:
            return None
        median = sorted(self._window)[WINDOW // 2]
        if median > self._budget:
            self._roomy_since = None
            return None if self.is_at_its_end else self._step(1, median, now)
        if self._index == 0 or self._expected_above(median) > ROOM * self._budget:
            self._roomy_since = None
            return None
        self._roomy_since = now if self._roomy_since is None else self._roomy_since
        return self._step(-1, median, now) if now - self._roomy_since >= self._calm else None

    def _expected_above(self, median: float) -> float:
        """The latency at the next larger scale."""
        return median * (self._scales[self._index - 1] / self.scale) ** 2

    def _step(self, direction: int, median: float, now: float) -> WorkScaleStep:
        if direction < 0:
            self._went_up_at = now
        elif self._went_up_at is not None:
            is_taken_back = now - self._went_up_at < self._calm
            self._calm = min(2 * self._calm, LONGEST_CALM_SECONDS) if is_taken_back else CALM_SECONDS
            self._went_up_at = None
        self._index += direction
        self._settling = SETTLING
        self._window.clear()
        self._roomy_since = None
        return WorkScaleStep(now, self.scale, median)


class _Line:
    """One sink with its thread, its sound that waits, and its figures."""

    def __init__(self, sink: Sink, source: SinkInput, now: Callable[[], float]) -> None:
        self.sink = sink
        self.meter = Meter()
        self._source = source
        self._now = now
        self._busy_since: float | None = None
        self._sound: deque[SoundPacket] = deque(maxlen=SOUND_PACKETS)
        self.outlet = Outlet(self._work, name=sink.name)

    @property
    def error(self) -> str | None:
        """Why it failed; None while it did not."""
        error, since = self.outlet.error, self._busy_since
        if error is None and since is not None and self._now() - since > STALLED_SECONDS:
            return f"{self.sink.name}: has taken nothing for {STALLED_SECONDS:g} s"
        if error is None:
            return None
        return str(error) if isinstance(error, DerainError) else f"{self.sink.name}: {explain(error)}"

    @property
    def stats(self) -> SinkStats:
        """Its figures now."""
        latency = self.meter.quantile(0.5)
        return SinkStats(self.sink.name, self.meter.count, self.outlet.dropped, latency, self.error)

    def put_sound(self, sound: SoundPacket) -> None:
        """Keep sound until the next frame."""
        self._sound.append(sound)

    def _work(self, frames: Iterator[LiveFrame]) -> None:
        try:
            for frame in frames:
                self._busy_since = self._now()
                if not self.meter.count:
                    self.sink.open(self._source)
                self._write_sound()
                self.sink.write(frame)
                self._busy_since, now = None, self._now()
                self.meter.add(now, 1000 * (now - frame.captured))
        except BaseException:
            with suppress(Exception):
                self.sink.close()
            raise
        self._write_sound()
        self.sink.close()

    def _write_sound(self) -> None:
        while self._sound:
            self.sink.write_sound(self._sound.popleft())


class Sinks:
    """Sinks that take the same frames, each in a thread of its own; they may come and go while frames flow.

    A sink that fails is reported and left out; where `is_needed`, it is an error when the last one has failed.
    """

    def __init__(self, sinks: Iterable[Sink] = (), *, is_needed: bool = False) -> None:
        self._waiting = list(sinks)
        self._is_needed = is_needed
        self._lines: list[_Line] = []
        self._gone: list[SinkStats] = []
        self._lock = threading.Lock()
        self._source: SinkInput | None = None
        self._now: Callable[[], float] = time.monotonic

    def start(self, source: SinkInput, now: Callable[[], float]) -> Self:
        """Begin with these and those that come later."""
        with self._lock:
            self._source, self._now = source, now
            waiting, self._waiting = self._waiting, []
        for sink in waiting:
            self.add(sink)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End all of them, at the same time."""
        with self._lock:
            self._source = None
            lines, self._lines = self._lines, []
        for line in lines:
            line.outlet.close()
        for line in lines:
            line.outlet.join()
        self._gone += [line.stats for line in lines]

    def add(self, sink: Sink) -> None:
        """Give the frames from here on to `sink` too."""
        with self._lock:
            if self._source is None:
                self._waiting.append(sink)
                return
            line = _Line(sink, self._source, self._now)
            line.outlet.start()
            self._lines.append(line)

    def remove(self, sink: Sink) -> None:
        """End that sink and wait until it has."""
        with self._lock:
            self._waiting = [other for other in self._waiting if other is not sink]
            found = [line for line in self._lines if line.sink is sink]
            self._lines = [line for line in self._lines if line.sink is not sink]
        for line in found:
            line.outlet.close()
            line.outlet.join()
            self._gone.append(line.stats)

    def put(self, frame: LiveFrame) -> None:
        """Offer a frame to all; raises MediaError where sinks are needed and none is left."""
        lines = self._lines
        for line in lines:
            line.outlet.put(frame)
        if self._is_needed and lines and all(line.outlet.error for line in lines):
            raise MediaError("no output is left: " + "; ".join(filter(None, (line.error for line in lines))))

    def put_sound(self, sound: SoundPacket) -> None:
        """Offer sound to all."""
        for line in self._lines:
            line.put_sound(sound)

    @property
    def stats(self) -> tuple[SinkStats, ...]:
        """The figures of all, also of those that have gone."""
        return (*self._gone, *(line.stats for line in self._lines))


class LiveSession:
    """What `derain_live` keeps of a run: figures, governor and sinks; entered before the stages, left after them."""

    def __init__(self, source: LiveSource, derainer: Derainer, sinks: Sinks, settings: LiveSettings) -> None:
        self.meter = Meter()
        self._source = source
        self._derainer = derainer
        self._sinks = sinks
        self._settings = settings
        self._known_warnings = len(derainer.warnings)
        self._steps: list[WorkScaleStep] = []
        self._governor: Governor | None = None
        if settings.max_latency_ms is not None:
            self._governor = Governor(settings.max_latency_ms, derainer.settings.work_scale)
        self._timer = threading.Timer(settings.duration_seconds or 0, source.stop)

    def __enter__(self) -> Self:
        self._started = self._source.clock.now()
        self._sinks.start(SinkInput(self._source.info, self._source.sound), self._source.clock.now)
        self._source.on_sound = self._sinks.put_sound
        if self._settings.duration_seconds is not None:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._seconds = self._source.clock.now() - self._started
        self._sinks.__exit__(kind, error, traceback)
        if self._governor is not None and self._derainer.settings.work_scale == self._governor.scale:
            self._derainer.settings = replace(self._derainer.settings, work_scale=self._governor.limit)

    def derain(self, frames: Iterable[LiveFrame]) -> Iterator[LiveFrame]:
        """Each frame derained by the settings and backend of that moment.

        All three steps are in the thread that iterates: a step that ran ahead would work on frames that are overtaken.
        """
        copies = PictureCopies()
        derainer = copy.copy(self._derainer)
        keeps_rainy = self._settings.keep_rainy or self._settings.side_by_side
        for frame in frames:
            if derainer.backend is not self._derainer.backend:
                derainer = copy.copy(self._derainer)
            derainer.settings = self._derainer.settings
            kept = Frame(copies.of(frame.picture), frame.pts, frame.time_base) if keeps_rainy else None
            for clean in derainer.derain([replace(frame, rainy=kept)]):
                yield cast(LiveFrame, clean)

    def put(self, frame: LiveFrame) -> None:
        """Count a clean frame, give it to the sinks, and let the governor act on its latency."""
        now = self._source.clock.now()
        latency = 1000 * (now - frame.captured)
        self.meter.add(now, latency)
        if self._settings.side_by_side and frame.rainy is not None:
            self._sinks.put(replace(frame, picture=beside(frame.rainy, frame.picture)))
        else:
            self._sinks.put(frame)
        self._govern(latency, now - self._started)

    def stats(self, captured: Latest[LiveFrame], clean: Latest[LiveFrame]) -> LiveStats:
        """The figures of now."""
        sinks = self._sinks.stats
        return LiveStats(
            seconds=self._source.clock.now() - self._started,
            frames_in=self._source.frames_read,
            frames_out=self.meter.count,
            fps=self.meter.fps,
            latency_ms=self.meter.quantile(0.5),
            latency_p95_ms=self.meter.quantile(0.95),
            dropped=_dropped(captured, clean, sinks),
            work_scale=self._derainer.settings.work_scale,
            is_connected=self._source.is_connected,
            sinks=sinks,
            warnings=self._warnings,
        )

    def report(self, captured: Latest[LiveFrame], clean: Latest[LiveFrame]) -> LiveReport:
        """What was done; after the sinks have ended."""
        backend, sinks = self._derainer.backend, self._sinks.stats
        return LiveReport(
            input=self._source.name,
            frames_in=self._source.frames_read,
            frames_out=self.meter.count,
            seconds=self._seconds,
            latency_ms=self.meter.all.quantile(0.5),
            latency_p95_ms=self.meter.all.quantile(0.95),
            dropped=_dropped(captured, clean, sinks),
            work_scale_steps=tuple(self._steps),
            sinks=sinks,
            device=str(backend.device),
            backend=backend.name,
            precision=precision_name(backend.dtype),
            warnings=self._warnings,
        )

    @property
    def _warnings(self) -> tuple[str, ...]:
        return (*self._source.warnings, *self._derainer.warnings[self._known_warnings :])

    def _govern(self, latency_ms: float, seconds: float) -> None:
        if self._governor is None or self._settings.max_latency_ms is None:
            return
        settings = self._derainer.settings
        if settings.work_scale != self._governor.scale:
            self._governor = Governor(self._settings.max_latency_ms, settings.work_scale)
        step = self._governor.update(latency_ms, seconds)
        if step is not None:
            self._steps.append(step)
            self._derainer.settings = replace(settings, work_scale=step.work_scale)
            _log.info("latency %.0f ms: work scale %g", step.latency_ms, step.work_scale)


def _dropped(captured: Latest[LiveFrame], clean: Latest[LiveFrame], sinks: Iterable[SinkStats]) -> dict[str, int]:
    return {"network": captured.dropped, "loop": clean.dropped, **{sink.name: sink.dropped for sink in sinks}}
