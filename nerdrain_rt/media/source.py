"""Opening a media file, finding its video, and reading packets past what is damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.stream import Disposition

from nerdrain_rt.errors import MediaError
from nerdrain_rt.media.report import explain

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

MICROSECONDS = 1_000_000
"""Units of FFmpeg's container times in a second."""
READ_ERRORS_IN_A_ROW = 10
"""A demuxer that fails this often without a packet between is at its end."""


def open_source(source: str, hwaccel: HWAccel | None = None) -> InputContainer:
    """Open a media file, to be decoded by `hwaccel`; `MediaError` in one line where that is not possible."""
    path = Path(source)
    if not path.exists():
        raise MediaError(f"{source}: no such file")
    if path.is_dir():
        raise MediaError(f"{source}: is a folder, not a media file")
    if not path.is_file():
        raise MediaError(f"{source}: is a pipe or a device; a video is read twice and so has to be a file")
    if path.stat().st_size == 0:
        raise MediaError(f"{source}: the file is empty")
    try:
        return av.open(file_address(path), metadata_errors="surrogateescape", hwaccel=hwaccel)
    except av.InvalidDataError as error:
        raise MediaError(f"{source}: not a media file, or damaged at its beginning") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{source}: {explain(error)}") from error


def file_address(path: Path) -> str:
    """The path as FFmpeg takes it for nothing else: with a colon in it, it would look for a protocol."""
    return f"file:{path}"


def find_video_stream(container: InputContainer, source: str) -> VideoStream:
    """The stream that FFmpeg would play, cover art aside."""
    moving = [stream for stream in container.streams.video if not is_cover_art(stream)]
    if not moving:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        if container.streams.video:
            kinds = "only cover art"
        raise MediaError(f"{source}: no video stream; it holds {kinds}")
    best = container.streams.best("video")
    stream = next((candidate for candidate in moving if candidate == best), moving[0])
    if stream.codec_context is None:
        raise MediaError(f"{source}: the video is in a codec that FFmpeg cannot decode")
    return stream


def read_first_picture(source: str) -> tuple[VideoFrame, Fraction, float]:
    """The first picture of a video as it is stored, the aspect ratio of its samples, and the video's seconds.

    1 and 0 where they are unknown; raises MediaError.
    """
    with open_source(source) as container:
        stream = find_video_stream(container, source)
        try:
            picture = next(container.decode(stream), None)
        except av.FFmpegError as error:
            raise MediaError(f"{source}: {explain(error)}") from error
        if picture is None:
            raise MediaError(f"{source}: no picture can be decoded")
        return picture, stream.sample_aspect_ratio or Fraction(1), (container.duration or 0) / MICROSECONDS


def is_cover_art(stream: Stream) -> bool:
    """Whether the stream is a single picture that stands for the file."""
    return bool(stream.disposition & Disposition.attached_pic)


def is_dense(stream: Stream) -> bool:
    """Whether the stream has packets all the time."""
    return stream.type in ("audio", "video") and not is_cover_art(stream)


def seconds_of(packet: Packet[Stream]) -> Fraction:
    """The packet's time on the clock of its file; -1 where it has none."""
    time = packet.dts if packet.dts is not None else packet.pts
    return Fraction(-1) if time is None else time * packet.time_base


def read_packets(
    container: InputContainer, streams: Sequence[Stream], note_damage: Callable[[str], None]
) -> Iterator[Packet[Stream]]:
    """All packets of `streams`, then an empty one for each; goes on behind what the demuxer stumbles over."""
    failures = 0
    while failures < READ_ERRORS_IN_A_ROW:
        try:
            for packet in container.demux(streams):
                failures = 0
                yield packet
        except av.FFmpegError as error:
            failures += 1
            note_damage(f"the file could not be read: {explain(error)}")
        else:
            return
