"""The ways a stream of the source can take into the target: copied, or re-encoded where the target cannot hold it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

import av
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.codec.codec import Codec
from av.subtitles.stream import SubtitleStream

from nerdrain_rt.media.containers import ISO_FORMATS, scratch
from nerdrain_rt.media.report import codec_name

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream

    from nerdrain_rt.media.report import Action

STALE_TAGS = (
    "ALPHA_MODE", "BPS", "COMPATIBLE_BRANDS", "DURATION", "MAJOR_BRAND", "MINOR_VERSION", "NUMBER_OF_", "_STATISTICS",
)  # fmt: skip
OPUS_RATE = 48_000
BITS_PER_SECOND_AND_CHANNEL = 96_000


class Route(Protocol):
    """Turns packets of one source stream into packets of one target stream."""

    action: Action
    codec: str | None
    """The new codec, None where the packets stay as they are."""

    def convert(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """The packets for the target that `packet` gives."""

    def flush(self) -> Iterator[Packet[Stream]]:
        """What is left at the end."""


Maker = Callable[["OutputContainer"], Route]


def makers(stream: Stream, target: OutputContainer, named: Collection[str] | None = None) -> Iterator[Maker]:
    """The routes that `stream` could take, faithful first; each adds a stream to the container it is called with.

    Of `named`, where given, are the codecs whose packets the target tells apart when it is read.
    """
    if named is None or codec_name(stream) in named:
        yield partial(CopiedStream, source=stream, keep_tag=True)
        if stream.codec_context is not None:
            yield partial(CopiedStream, source=stream, keep_tag=False)
    if named is None and isinstance(stream, SubtitleStream) and stream.codec_context.codec.text_sub:
        for codec in dict.fromkeys((target.default_subtitle_codec, "subrip", "webvtt", "mov_text", "ass")):
            yield partial(TextSubtitles, source=stream, codec=codec)
    if isinstance(stream, AudioStream) and stream.codec_context is not None:
        own = stream.codec_context.layout.name
        for layout in dict.fromkeys((own, own.removesuffix("(side)"), "stereo")):
            yield partial(ReencodedAudio, source=stream, codec=target.default_audio_codec, layout=layout)


def is_writable(container_format: str, chosen: list[Maker]) -> bool:
    """Whether FFmpeg writes a header with all these streams."""
    with scratch(container_format) as container:
        try:
            for maker in chosen:
                maker(container)
            container.start_encoding()
        except (av.FFmpegError, ValueError):
            return False
        return True


def take_over(container: OutputContainer, target: Stream, source: Stream, *, is_encoded_anew: bool = False) -> None:
    """Give `target`, a stream of `container`, the disposition and tags of `source`."""
    target.disposition = source.disposition
    tags = kept_tags(source.metadata, is_encoded_anew=is_encoded_anew)
    title = tags.get("title") or tags.pop("name", None)  # MP4's title of a track is read as its name
    if title:
        tags["title"] = title
        if container.format.name in ISO_FORMATS:  # the title alone is not read again by FFmpeg before 8
            tags = {key: value for key, value in tags.items() if key.lower() != "handler_name"}
            tags["handler_name"] = title
    target.metadata.update(tags)


def kept_tags(metadata: dict[str, str], *, is_encoded_anew: bool = False) -> dict[str, str]:
    """Tags that stay true of a new file: not the old file's brands and statistics, nor an old encoder's name."""
    stale = STALE_TAGS + (("ENCODER",) if is_encoded_anew else ())
    return {key: value for key, value in metadata.items() if not key.upper().startswith(stale)}


class CopiedStream:
    """Packets as they are. The codec's four-letter tag is kept where the container knows it."""

    action: Action = "copied"
    codec: str | None = None

    def __init__(self, container: OutputContainer, source: Stream, *, keep_tag: bool) -> None:
        if keep_tag:
            self._stream: Stream = container.add_data_stream()
            BitStreamFilterContext("null", source, self._stream)  # copies all parameters, of any kind of stream
        else:
            self._stream = container.add_stream_from_template(source, opaque=True)
        self._stream.time_base = source.time_base
        take_over(container, self._stream, source)

    def convert(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """The packet itself."""
        packet.stream = self._stream
        yield packet

    def flush(self) -> Iterator[Packet[Stream]]:
        """Nothing."""
        yield from ()


class TextSubtitles:
    """Text subtitles in another text codec, by way of ASS as in FFmpeg."""

    action: Action = "reencoded"

    def __init__(self, container: OutputContainer, source: SubtitleStream, codec: str) -> None:
        self.codec: str | None = codec
        self._decoder = source.codec_context
        self._decoder.open(strict=False)
        self._stream = cast(SubtitleStream, container.add_stream(codec))
        self._stream.codec_context.subtitle_header = self._decoder.subtitle_header
        self._stream.time_base = source.time_base
        take_over(container, self._stream, source, is_encoded_anew=True)

    def convert(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """The text of `packet` in the new codec."""
        text = self._decoder.decode2(packet)
        if text is None or len(text) == 0:
            return
        encoded = self._stream.codec_context.encode_subtitle(text)
        encoded.stream = self._stream
        encoded.time_base = packet.time_base
        encoded.pts, encoded.dts, encoded.duration = packet.pts, packet.pts, packet.duration
        yield encoded

    def flush(self) -> Iterator[Packet[Stream]]:
        """Nothing."""
        yield from ()


class ReencodedAudio:
    """Sound in the container's own codec."""

    action: Action = "reencoded"

    def __init__(self, container: OutputContainer, source: AudioStream, codec: str, layout: str) -> None:
        encoder = Codec(codec, "w")
        self.codec: str | None = encoder.name
        rate = source.codec_context.sample_rate
        known = encoder.audio_rates
        self._source = source
        rate = rate if known is None or rate in known else OPUS_RATE
        self._stream = cast(AudioStream, container.add_stream(encoder.name, rate=rate, layout=layout))
        self._stream.codec_context.bit_rate = BITS_PER_SECOND_AND_CHANNEL * self._stream.codec_context.channels
        take_over(container, self._stream, source, is_encoded_anew=True)

    def convert(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """What the encoder gives for `packet`."""
        for frame in self._source.decode(packet):
            yield from self._stream.encode(frame)

    def flush(self) -> Iterator[Packet[Stream]]:
        """What the encoder still holds."""
        for frame in self._source.decode(None):
            frame.time_base = self._source.time_base
            yield from self._stream.encode(frame)
        yield from self._stream.encode(None)
