"""What goes on around live frames while they are derained."""

from __future__ import annotations

import copy
import logging
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self, cast

import av

from nerdrain_rt.derainer import Derainer
from nerdrain_rt.errors import DerainError, UsageError
from nerdrain_rt.frame import Frame
from nerdrain_rt.lanes import Shares
from nerdrain_rt.live.figures import LiveReport, LiveStats, Meter, SinkStats, WorkScaleStep
from nerdrain_rt.live.governor import Governor
from nerdrain_rt.live.sinks import Sinks
from nerdrain_rt.media.live_base import LiveFrame, LiveSource
from nerdrain_rt.media.picture_copies import PictureCopies, beside
from nerdrain_rt.media.sink import SinkInput
from nerdrain_rt.stages import Latest, Prefetch
from nerdrain_rt.temporal import Seen

_log = logging.getLogger(__name__)

ANOTHER_SCENE_SECONDS = 5.0
"""A frame so much later than the one before, or earlier, as after a jump in a file, is not compared with it."""

HDR = {16: "PQ", 18: "HLG"}
"""Transfer characteristics of ITU-T H.273 that are made for 10 bits and more."""


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """How live frames are derained. Raises UsageError for what cannot be."""

    max_latency_ms: float | None = None
    """The latency to hold by working at a smaller scale; None: never do."""
    keep_rainy: bool = False
    """Keep each frame as it was before deraining, at the cost of a copy."""
    side_by_side: bool = False
    """Give the sinks rainy and clean beside each other."""
    temporal: bool | None = None
    """Compare each frame with the two before it on the same device; None: where one NVIDIA GPU runs the network, as
    processors are slow."""
    duration_seconds: float | None = None
    """Stop after this time."""
    tick_seconds: float | None = None
    """Take a step without a frame whenever none came for so long; None: never do."""

    def __post_init__(self) -> None:
        if self.max_latency_ms is not None and self.max_latency_ms <= 0:
            raise UsageError(f"the latency to hold is {self.max_latency_ms:g} ms; it must be above 0")
        if self.duration_seconds is not None and self.duration_seconds <= 0:
            raise UsageError(f"the duration is {self.duration_seconds:g} s; it must be above 0")


class LiveSession:
    """What `derain_live` keeps of a run: figures, governor and sinks; entered before the stages, left after them."""

    def __init__(self, source: LiveSource, derainer: Derainer, sinks: Sinks, settings: LiveSettings) -> None:
        self.meter = Meter()
        self._source = source
        self._derainer = derainer
        self._sinks = sinks
        self._settings = settings
        self._known_warnings = len(derainer.warnings)
        self._hdr_warning: str | None = None
        self._steps: list[WorkScaleStep] = []
        self._governor: Governor | None = None
        if settings.max_latency_ms is not None:
            self._governor = Governor(settings.max_latency_ms, derainer.settings.work_scale)
        self._timer = threading.Timer(settings.duration_seconds or 0, source.stop)

    def __enter__(self) -> Self:
        self._started = self._source.clock.now()
        info = self._source.info
        self._upright = PictureCopies(info.rotation) if info.rotation else None
        self._sinks.start(SinkInput(info.upright(), self._source.sound), self._source.clock.now)
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
        if self._governor is not None and self._derainer.settings.work_scale == self._governor.scale:
            self._derainer.settings = replace(self._derainer.settings, work_scale=self._governor.limit)
        self._sinks.__exit__(kind, error, traceback)

    def derain(self, frames: Latest[LiveFrame]) -> Iterator[LiveFrame]:
        """Each frame derained by the settings and backend of that moment, on the first device that is free.

        Frames are compared with those before them, if at all, but for stills: these come out as they do in a file.
        All three steps share a thread, one for each device: a step that ran ahead would work on overtaken frames.
        """
        devices = range(len(self._derainer.backends))
        if len(devices) == 1:
            yield from self._derain(frames, 0)
            return
        shares = Shares(frames)
        with ExitStack() as stages:
            clean = [stages.enter_context(Prefetch(self._derain(shares.of(on), on), depth=1)) for on in devices]
            stages.callback(frames.stop)  # before a device is waited for, which may wait for a frame that does not come
            yield from shares.in_order(clean)

    def _derain(self, frames: Iterable[LiveFrame], on: int) -> Iterator[LiveFrame]:
        copies = PictureCopies()
        derainer = copy.copy(self._derainer)
        before: deque[Seen] = deque(maxlen=2)
        last = 0.0
        keeps_rainy = self._settings.keep_rainy or self._settings.side_by_side
        for frame in frames:
            if derainer.backend is not self._derainer.backend:
                derainer = copy.copy(self._derainer)
                before.clear()
            around = frame.around if self._derainer.compares_frames else None
            is_still = frame.around is not None
            is_compared = bool(around) if is_still else self._compares(derainer.gpu is not None)
            if not is_compared or not 0 <= frame.position - last < ANOTHER_SCENE_SECONDS:
                before.clear()
            last = frame.position
            derainer.settings = replace(self._derainer.settings, temporal=is_compared)
            kept = Frame(copies.of(frame.picture), frame.pts, frame.time_base) if keeps_rainy else None
            rainy: list[Frame] = [replace(frame, rainy=kept)]
            if around:
                rainy = [around[0], *rainy, around[1]]
            clean = list(derainer.derain(rainy, on, before=None if around else before))
            yield cast(LiveFrame, clean[len(clean) // 2])

    def _compares(self, is_on_gpu: bool) -> bool:
        temporal = self._settings.temporal
        return self._derainer.compares_frames and (is_on_gpu if temporal is None else temporal)

    def put(self, frame: LiveFrame) -> None:
        """Count a clean frame, give it to the sinks, and let the governor act on its latency if it is no still."""
        now = self._source.clock.now()
        latency = 1000 * (now - frame.captured)
        self.meter.add(now, latency)
        self._sinks.put(replace(frame, picture=self._shown(frame)))
        self._tell_of_hdr(frame)
        if frame.around is None:
            self._govern(latency, now - self._started)

    def stats(self, captured: Latest[LiveFrame], clean: Latest[LiveFrame]) -> LiveStats:
        """The figures of now."""
        sinks, now = self._sinks.stats, self._source.clock.now()
        return LiveStats(
            seconds=now - self._started,
            frames_in=self._source.frames_read,
            frames_out=self.meter.count,
            fps=self.meter.fps(now),
            latency_ms=self.meter.quantile(0.5),
            latency_p95_ms=self.meter.quantile(0.95),
            dropped=_dropped(captured, clean, sinks),
            work_scale=self._derainer.settings.work_scale,
            is_connected=self._source.is_connected,
            sinks=sinks,
            warnings=self._warnings,
        )

    def report(
        self, captured: Latest[LiveFrame], clean: Latest[LiveFrame], error: DerainError | None = None
    ) -> LiveReport:
        """What was done until the end or that error; after the sinks have ended."""
        sinks = self._sinks.stats
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
            device=self._derainer.devices,
            backend=self._derainer.backend_names,
            precision=self._derainer.precision,
            warnings=self._warnings,
            error=None if error is None else str(error),
        )

    def _shown(self, frame: LiveFrame) -> av.VideoFrame:
        """What the sinks get: the picture upright, on demand with the rainy one beside it."""
        pictures = [frame.picture]
        if self._settings.side_by_side and frame.rainy is not None:
            pictures.insert(0, frame.rainy.picture)
        if self._upright is not None:
            pictures = [self._upright.of(picture) for picture in pictures]
        return beside(*pictures) if len(pictures) == 2 else pictures[0]

    @property
    def _warnings(self) -> tuple[str, ...]:
        own = [self._hdr_warning] if self._hdr_warning else []
        return (*self._source.warnings, *self._derainer.warnings[self._known_warnings :], *own)

    def _tell_of_hdr(self, frame: LiveFrame) -> None:
        """Tell once that the sinks, which take 8 bits, get HDR."""
        transfer = HDR.get(frame.picture.color_trc)
        if transfer is not None and self._hdr_warning is None and self._sinks.stats:
            self._hdr_warning = f"{self._source.name}: HDR ({transfer}) goes out with 8 bits: skies may show bands"

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
    dropped = Counter({"network": captured.dropped, "loop": clean.dropped})
    for sink in sinks:
        dropped[sink.name] += sink.dropped  # one that was taken away and put on again has its name twice
    return dict(dropped)
