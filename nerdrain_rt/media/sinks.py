"""Finds the sink that a name means: an address, an HLS folder, a virtual camera's device or a recording."""

from __future__ import annotations

from pathlib import Path

from nerdrain_rt.media.live_encoder import EncoderSettings
from nerdrain_rt.media.recording import Recording
from nerdrain_rt.media.sink import Sink, SinkInput
from nerdrain_rt.media.stream_sink import StreamSink
from nerdrain_rt.media.virtual_camera import VirtualCamera

__all__ = ["EncoderSettings", "Recording", "Sink", "SinkInput", "StreamSink", "VirtualCamera", "open_sink"]


def open_sink(
    target: str,
    *,
    encoder: EncoderSettings | None = None,
    segment_seconds: float | None = None,
    overwrite: bool = False,
) -> Sink:
    """The sink for `target`: rtsp://..., folder/ or x.m3u8, /dev/video9, or a file; raises UsageError for none."""
    if "://" in target or target.endswith(("/", "\\", ".m3u8")) or Path(target).is_dir():
        return StreamSink(target, encoder=encoder)
    if target.startswith("/dev/video"):
        return VirtualCamera(target)
    return Recording(target, segment_seconds=segment_seconds, overwrite=overwrite, encoder=encoder)
