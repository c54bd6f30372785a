"""Finds the sink that a name means: an address, an HLS folder, a virtual camera's device or a recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nerdrain_rt.errors import UsageError
from nerdrain_rt.media.live_encoder import EncoderSettings
from nerdrain_rt.media.recording import Recording
from nerdrain_rt.media.sink import Sink, SinkInput
from nerdrain_rt.media.stream_sink import StreamSink
from nerdrain_rt.media.virtual_camera import VirtualCamera

__all__ = [
    "EncoderSettings",
    "Recording",
    "Sink",
    "SinkInput",
    "StreamSink",
    "VirtualCamera",
    "open_sink",
    "open_sinks",
]


def open_sinks(
    targets: Sequence[str],
    source: str,
    *,
    encoder: EncoderSettings | None = None,
    segment_seconds: float | None = None,
    overwrite: bool = False,
) -> list[Sink]:
    """The sinks for what comes from `source`; raises UsageError where one is the source itself or another sink."""
    sinks: dict[str | None, Sink] = {}
    for target in targets:
        sink = open_sink(target, encoder=encoder, segment_seconds=segment_seconds, overwrite=overwrite)
        if sink.place in sinks:
            raise UsageError(f"{sink.name}: is given twice; each output needs a place of its own")
        if Path(source).is_file() and sink.place == str(Path(source).resolve()):
            raise UsageError(f"{sink.name}: is the source itself; choose another name")
        sinks[sink.place] = sink
    return [*sinks.values()]


def open_sink(
    target: str,
    *,
    encoder: EncoderSettings | None = None,
    segment_seconds: float | None = None,
    overwrite: bool = False,
) -> Sink:
    """The sink for `target`: rtsp://..., folder/ or x.m3u8, /dev/video9, or a file; raises UsageError for none."""
    if not target:
        raise UsageError("an output has no name; write an address, a folder/ or a file")
    if "://" in target or target.endswith(("/", "\\", ".m3u8")) or Path(target).is_dir():
        return StreamSink(target, encoder=encoder)
    if target.startswith("/dev/video"):
        return VirtualCamera(target)
    return Recording(target, segment_seconds=segment_seconds, overwrite=overwrite, encoder=encoder)
