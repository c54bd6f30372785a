"""The program: a video, or what a camera sees, is read, derained and written by overlapping threads."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from nerdrain_rt.derainer import Derainer
from nerdrain_rt.errors import DerainError, MediaError, UsageError
from nerdrain_rt.frame import Frame
from nerdrain_rt.lanes import Shares
from nerdrain_rt.live import LiveReport, LiveSession, LiveSettings, LiveStats, Sinks
from nerdrain_rt.media.live_base import LiveFrame, LiveSource
from nerdrain_rt.media.reader import VideoReader
from nerdrain_rt.media.report import StreamReport
from nerdrain_rt.media.sink import Sink
from nerdrain_rt.media.writer import OutputSettings, VideoWriter
from nerdrain_rt.stages import Latest, Prefetch

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class VideoReport:
    """What was done to one file."""

    input: str
    output: str
    frames_in: int
    frames_out: int
    seconds: float
    device: str
    backend: str
    precision: str
    streams: tuple[StreamReport, ...]
    warnings: tuple[str, ...]
    is_damaged: bool
    """Part of the source could not be decoded; what could be is in the output."""

    @property
    def fps(self) -> float:
        """Frames per second of wall time, start to finish."""
        return self.frames_out / self.seconds


@dataclass(frozen=True, slots=True)
class Progress:
    """A frame is written; the last one of a video comes again with the report, when the file is complete."""

    frame_index: int
    frame_count: int | None
    frame: Frame
    report: VideoReport | None = None


def derain_video(
    source: str | Path,
    target: str | Path,
    derainer: Derainer,
    *,
    output: OutputSettings | None = None,
    start: float | None = None,
    end: float | None = None,
    decode_on_gpu: bool = False,
) -> Generator[Progress]:
    """Derain `source` from `start` to `end` (seconds) into `target`; to cancel, leave the loop or close the generator.

    With `decode_on_gpu` an NVIDIA GPU that derains decodes as well, where it can; an encoder of its own, as h264_nvenc,
    then takes the frames from its memory.

    Raises UsageError before anything is written, MediaError or BackendError later; then, and when cancelled,
    nothing is left under the target's name.
    """
    if decode_on_gpu and derainer.gpu is None:
        raise UsageError(f"cannot decode on the GPU: the network runs on {derainer.devices}, not on one NVIDIA GPU")
    started = time.monotonic()
    known_warnings = len(derainer.warnings)
    with (
        VideoReader(source, start=start, end=end, gpu=derainer.gpu if decode_on_gpu else None) as reader,
        VideoWriter(target, like=reader, settings=output) as writer,
        Prefetch(reader, depth=1 + len(derainer.backends)) as rainy,
        _derained(rainy, derainer) as clean,
    ):
        for index, frame in enumerate(clean, 1):
            writer.write(frame)
            yield Progress(index, reader.info.frame_count, frame)
        if reader.frames_read != writer.frames_written:
            raise MediaError(f"{target}: {writer.frames_written} frames of {reader.frames_read} came out")
    yield Progress(
        index,
        index,
        frame,
        VideoReport(
            input=str(source),
            output=str(target),
            frames_in=reader.frames_read,
            frames_out=writer.frames_written,
            seconds=time.monotonic() - started,
            device=derainer.devices,
            backend=derainer.backend_names,
            precision=derainer.precision,
            streams=writer.report,
            warnings=(*reader.warnings, *writer.warnings, *derainer.warnings[known_warnings:]),
            is_damaged=reader.is_damaged,
        ),
    )


@contextmanager
def _derained(frames: Iterable[Frame], derainer: Derainer) -> Iterator[Iterator[Frame]]:
    """The frames derained, in their order, every step running ahead of the next in a thread of its own.

    Several devices share the work of the network; the first does the rest, because that takes frames in their order.
    """
    shares = Shares(frames)
    with ExitStack() as stages:
        begun: list[Prefetch[Any]] = []

        def stage(step: Iterable[Item], depth: int = 1) -> Prefetch[Item]:
            begun.append(stages.enter_context(Prefetch(step, depth=depth)))
            return begun[-1]

        predicted = []
        for on in range(len(derainer.backends)):
            prepared = stage(derainer.prepare(shares.of(on), on))
            residuals = stage(derainer.predict(prepared, on))
            predicted.append(stage(derainer.gather(residuals, on)) if on else residuals)
        compared = stage(derainer.compare(shares.in_order(predicted)))
        clean = stage(derainer.finish(compared), depth=2)
        for each in begun:
            stages.callback(each.stop)  # all of them before the first is waited for, which may wait for another
        yield clean


SILENT_SECONDS = 1.0
"""How long the end waits for a source that is inside a read; its thread ends when that times out."""


@dataclass(frozen=True, slots=True)
class LiveProgress:
    """A clean frame, given to the sinks; the last one comes again with the report, also before an error is raised."""

    frame_index: int
    frame: LiveFrame | None
    """None where no frame came at all, and in a step that only tells how it goes (`LiveSettings.tick_seconds`)."""
    rainy: Frame | None
    """The frame before deraining, where that is kept."""
    stats: LiveStats
    report: LiveReport | None = None


def derain_live(
    source: LiveSource, derainer: Derainer, sinks: Sequence[Sink] | Sinks = (), *, settings: LiveSettings | None = None
) -> Generator[LiveProgress]:
    """Derain what comes from `source`, which has been entered, until it ends or is stopped; the newest frame wins.

    The settings and the backend of `derainer` may be replaced meanwhile. Raises MediaError or CameraError when the
    source is lost for good, MediaError when no sink is left of those given, BackendError; the report comes first.
    """
    all_sinks = sinks if isinstance(sinks, Sinks) else Sinks(sinks, is_needed=True)
    settings = settings or LiveSettings()
    session = LiveSession(source, derainer, all_sinks, settings)
    captured = Latest(source, wait_seconds=SILENT_SECONDS)
    clean = Latest(session.derain(captured))
    frame: LiveFrame | None = None
    failure: DerainError | None = None
    try:
        with session, captured, clean:
            source.on_stop = captured.stop
            try:
                for newest in clean.ticking(settings.tick_seconds):
                    if newest is not None:
                        frame = newest
                        session.put(frame)
                    yield _progress(newest, session, captured, clean)
            finally:
                captured.stop()  # before clean is waited for, which may wait for a frame that does not come
    except DerainError as error:
        failure = error
    yield replace(_progress(frame, session, captured, clean), report=session.report(captured, clean, failure))
    if failure is not None:
        raise failure


def _progress(
    frame: LiveFrame | None, session: LiveSession, captured: Latest[LiveFrame], clean: Latest[LiveFrame]
) -> LiveProgress:
    rainy = frame.rainy if frame is not None else None
    return LiveProgress(session.meter.count, frame, rainy, session.stats(captured, clean))
