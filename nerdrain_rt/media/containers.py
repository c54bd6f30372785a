"""What FFmpeg's muxers can hold, found out by trying in memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

import av
from av.codec.codec import Codec
from av.format import Flags

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.format import ContainerFormat

ISO_FORMATS = {"mp4", "mov", "ipod", "3gp", "3g2", "f4v", "psp"}
"""FFmpeg's muxers of MP4's family."""

CHAPTER_FORMATS = ISO_FORMATS | {"matroska", "webm", "nut", "asf", "ogg"}
_PROGRAM_STREAM = frozenset({"mpeg1video", "mpeg2video", "mp2", "mp3", "ac3", "dts", "dvd_subtitle"})
NAMED_CODECS = {
    "mpegts": frozenset({
        "mpeg1video", "mpeg2video", "mpeg4", "h264", "hevc", "vvc", "cavs", "avs2", "avs3", "dirac", "vc1",
        "mp1", "mp2", "mp3", "aac", "aac_latm", "ac3", "eac3", "dts", "truehd", "opus", "s302m",
        "dvb_subtitle", "dvb_teletext", "arib_caption", "klv", "timed_id3", "scte_35",
    }),
    "mpeg": _PROGRAM_STREAM,
    "vob": _PROGRAM_STREAM,
    "dvd": _PROGRAM_STREAM,
    "svcd": _PROGRAM_STREAM,
}  # fmt: skip
"""Of FFmpeg's muxers that write whatever they are given, the codecs that are known again when the file is read."""
_GUESSED = frozenset({"mpeg4", "h264", "hevc"})
"""Video that FFmpeg knows again in all of them, by looking into it."""


@contextmanager
def scratch(container_format: str) -> Iterator[OutputContainer]:
    """A container in memory, to see what it takes; always closed, because PyAV leaks encoders of one that is not."""
    container = av.open(io.BytesIO(), "w", format=container_format, metadata_errors="surrogateescape")
    try:
        yield container
    finally:
        with suppress(av.FFmpegError, ValueError):
            container.close()


def holds(container_format: str, codec: str) -> bool:
    """Whether the container has a place for what this encoder makes, and who reads it knows what is there."""
    named = NAMED_CODECS.get(container_format)
    with scratch(container_format) as container:
        try:
            container.add_stream(codec)
            return named is None or Codec(codec, "w").canonical_name in named | _GUESSED
        except ValueError:
            return False


def is_rate_variable(container_format: ContainerFormat) -> bool:
    """Whether frames may stand at any time; FFmpeg flags only some muxers of the MP4 family."""
    flag = cast(int, Flags.variable_fps.value)
    return container_format.name in ISO_FORMATS or bool(container_format.flags & flag)
