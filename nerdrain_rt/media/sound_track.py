"""The sound of a live source in a target: its packets as they are where the container can hold them, else as AAC."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.audio.codeccontext import AudioCodecContext
from av.codec.context import Flags

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream

    from nerdrain_rt.media.live_base import SoundFormat, SoundPacket

MPEG = {"aac", "mp2", "mp3", "ac3", "eac3"}
COPIED = {
    "mpegts": MPEG,
    "hls": MPEG,
    "rtp_mpegts": MPEG,
    "matroska": {*MPEG, "opus", "vorbis", "flac", "pcm_s16le"},
    "mp4": {*MPEG, "opus", "flac"} - {"mp2"},
    "mov": {*MPEG, "pcm_s16le", "pcm_alaw", "pcm_mulaw"} - {"mp2"},
    "flv": {"aac", "mp3"},
    "rtsp": {"aac", "opus", "pcm_alaw", "pcm_mulaw"},
}
"""What each container takes as it is and its players understand."""
WANT_HEADER = {"aac", "opus", "vorbis", "flac"}
"""Codecs that only MPEG-TS holds without the header that a stream joined midway may lack."""
AAC_RATES = {96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000}
BITS_PER_SECOND_AND_CHANNEL = 96_000


class SoundTrack:
    """A stream of sound in `container`, of that format, which begins at `origin_seconds` of the source's clock."""

    def __init__(
        self, container: OutputContainer, container_format: str, sound: SoundFormat, origin_seconds: float
    ) -> None:
        self._sound = sound
        self._origin = round(origin_seconds / sound.time_base)
        self._last_dts = -1
        self._decoder: AudioCodecContext | None = None
        is_copied = sound.codec in COPIED.get(container_format, ())
        if sound.codec in WANT_HEADER and not sound.extradata:
            is_copied = is_copied and COPIED[container_format] is MPEG
        if is_copied:
            self._stream = container.add_stream_from_template(sound.template, opaque=True)
            self._stream.time_base = sound.time_base
        else:
            self._decoder = _decoder(sound)
            rate = sound.sample_rate if sound.sample_rate in AAC_RATES else 48_000
            layout = "mono" if sound.layout == "mono" else "stereo"
            self._stream = container.add_stream("aac", rate=rate, layout=layout)
            if COPIED.get(container_format) is not MPEG:
                self._stream.codec_context.flags |= Flags.global_header
            self._stream.codec_context.bit_rate = BITS_PER_SECOND_AND_CHANNEL * self._stream.codec_context.channels

    def convert(self, sound: SoundPacket) -> Iterator[Packet[Stream]]:
        """The packets for the target; none of what is before the origin, or of another format."""
        time = sound.pts - self._origin
        if sound.format != self._sound or time < 0 or time <= self._last_dts:
            return
        self._last_dts = time
        packet = av.Packet(sound.data)
        packet.pts = packet.dts = time
        packet.duration, packet.time_base = sound.duration, sound.format.time_base
        if self._decoder is None:
            packet.stream = self._stream
            yield packet
            return
        try:
            frames = self._decoder.decode(packet)
        except av.FFmpegError:
            return  # damaged on the way; the next packet stands alone
        for frame in frames:
            frame.pts, frame.time_base = time, sound.format.time_base
            time += round(Fraction(frame.samples, frame.sample_rate) / sound.format.time_base)
            yield from self._stream.encode(frame)

    def flush(self) -> Iterator[Packet[Stream]]:
        """What the encoder still holds."""
        if self._decoder is not None:
            yield from self._stream.encode(None)


def _decoder(sound: SoundFormat) -> AudioCodecContext:
    decoder = AudioCodecContext.create(sound.codec, "r")
    assert isinstance(decoder, AudioCodecContext)
    if sound.extradata:
        decoder.extradata = sound.extradata
    decoder.sample_rate = sound.sample_rate
    decoder.layout = sound.layout
    return decoder
