"""Encodes live frames without delay into a container, with the sound of their source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
from av.codec.codec import Codec
from av.codec.context import Flags
from av.format import ContainerFormat
from av.format import Flags as ContainerFlags
from av.video.frame import PictureType

from nerdrain_rt.errors import MediaError, UsageError
from nerdrain_rt.media.codecs import starts
from nerdrain_rt.media.containers import holds
from nerdrain_rt.media.encoder_options import RATE_OPTIONS
from nerdrain_rt.media.live_base import LIVE_TIME_BASE
from nerdrain_rt.media.picture_copies import PictureCopies, limited
from nerdrain_rt.media.report import explain
from nerdrain_rt.media.sound_track import SoundTrack

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

    from nerdrain_rt.media.live_base import LiveFrame, SoundPacket
    from nerdrain_rt.media.sink import SinkInput

KEYFRAME_SECONDS = 2
"""Who joins a stream waits no longer for a picture; HLS and segments are cut here."""
DEFAULT_RATE = Fraction(30)
MOST_RATE = 240
"""A time base that is taken for a frame rate, of 1000 or 90000, would mislead the encoder."""

LOW_LATENCY = {
    "libx264": {"preset": "veryfast", "tune": "zerolatency", "crf": "21", "forced-idr": "1", "sc_threshold": "0"},
    "libx265": {
        "preset": "ultrafast", "tune": "zerolatency", "crf": "23", "forced-idr": "1", "x265-params": "log-level=none",
    },
    "nvenc": {
        "preset": "p4", "tune": "ll", "zerolatency": "1", "delay": "0", "rc": "vbr", "cq": "23", "b": "0",
        "forced-idr": "1",
    },
    "qsv": {"preset": "veryfast", "async_depth": "1", "global_quality": "23", "forced_idr": "1"},
    "videotoolbox": {"realtime": "1", "b": "8M"},
    "amf": {"usage": "ultralowlatency", "rc": "cqp", "qp_i": "22", "qp_p": "22"},
    "vaapi": {"async_depth": "1", "qp": "23"},
}  # fmt: skip
"""By encoder, or by the maker of the hardware in which an encoder's name ends."""
ANY_OTHER = {"b": "8M"}
PACKETS_AHEAD = 16
"""Between the encoder and a server; when it takes no more, frames are dropped."""
BITS_PER_PIXEL = 0.13
"""The most that a stream over a network takes: 8 Mbit/s for 1080p at 30 frames/s."""


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """How live video is encoded: FFmpeg's names; what is not chosen is made for low latency."""

    codec: str = "libx264"
    options: Mapping[str, str] = field(default_factory=dict)

    def check(self, container_format: str) -> None:
        """Raises UsageError where this encoder is not to be had or does not fit the container."""
        try:
            is_video = Codec(self.codec, "w").type == "video"
        except ValueError:
            is_video = False
        if not is_video:
            raise UsageError(f"codec {self.codec!r} is no video encoder here; try libx264 or h264_nvenc")
        if not starts(self.codec):
            raise UsageError(f"{self.codec} does not start: this machine has no usable hardware for it; try libx264")
        self._try_options()
        if container_format not in ("rtsp", "hls", "rtp_mpegts") and not holds(container_format, self.codec):
            raise UsageError(f"{container_format} cannot hold {self.codec}; try libx264")

    def for_low_latency(self) -> dict[str, str]:
        """The options, with those that were chosen over ours."""
        maker = self.codec.rpartition("_")[2]
        ours = dict(LOW_LATENCY.get(self.codec) or LOW_LATENCY.get(maker) or ANY_OTHER)
        if RATE_OPTIONS & set(self.options):
            ours = {key: value for key, value in ours.items() if key not in ("crf", "cq", "rc", "qp_i", "qp_p")}
        return {**ours, "bf": "0", **self.options}

    def _try_options(self) -> None:
        context = Codec(self.codec, "w").create("video")
        context.width, context.height, context.time_base, context.pix_fmt = 256, 256, LIVE_TIME_BASE, "yuv420p"
        context.options = self.for_low_latency()
        try:
            context.open()
        except (av.FFmpegError, ValueError) as error:
            if not self.options:
                raise UsageError(f"{self.codec} does not encode yuv420p, as live outputs are") from error
            given = ", ".join(f"{key}={value}" for key, value in self.options.items())
            raise UsageError(f"{self.codec} does not start with {given}: {explain(error)}") from error
        if unknown := sorted(set(context.options) & set(self.options)):
            raise UsageError(f"codec option {unknown[0]!r} is unknown to {self.codec}")


def _apart(container_format: str, options: Mapping[str, str]) -> dict[str, str]:
    """The options of FFmpeg's "fifo", a thread that hands packets on to the container."""
    inner = ":".join(f"{key}={value}" for key, value in options.items())
    return {**options, "fifo_format": container_format, "format_opts": inner, "queue_size": str(PACKETS_AHEAD)}


class LiveEncoder:
    """A container at `file` that begins with the frame `first`; sizes and formats of later frames are fitted to it.

    With `is_apart` FFmpeg opens and writes in a thread of its own, for what may wait for a server: PyAV would hold up
    all of Python meanwhile. `io_open` is PyAV's: what opens files in place of FFmpeg. Raises MediaError in one line
    where it cannot be opened or written; if apart, with a later frame.
    """

    def __init__(
        self,
        file: str,
        container_format: str,
        *,
        shown: str,
        first: LiveFrame,
        source: SinkInput,
        encoder: EncoderSettings,
        options: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        is_rate_bound: bool = False,
        is_apart: bool = False,
        io_open: Callable[..., object] | None = None,
    ) -> None:
        self._shown = shown
        self._format = container_format
        self._is_over = False
        self._origin = first.pts
        self._copies = PictureCopies()
        self._next_keyframe = 0
        self.size = first.picture.height, first.picture.width
        """(height, width) of the frames it was made for."""
        self._fitted_size = max(2, self.size[0] // 2 * 2), max(2, self.size[1] // 2 * 2)
        try:
            self._container: OutputContainer = av.open(
                file,
                "w",
                format="fifo" if is_apart else container_format,
                container_options=_apart(container_format, options or {}) if is_apart else dict(options or {}),
                io_open=io_open,
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._error(error) from error
        try:
            self._container.metadata.update(metadata or {})
            self._video = self._add_video(first, source, encoder, is_rate_bound)
            self._sound: SoundTrack | None = None
            if source.sound is not None:
                self._sound = SoundTrack(self._container, container_format, source.sound, first.seconds)
            self._container.start_encoding()
        except (av.FFmpegError, OSError, ValueError) as error:
            self._let_go()
            raise self._error(error) from error

    def write(self, frame: LiveFrame) -> None:
        """Encode and send a frame."""
        picture = self._fitted(frame.picture)
        picture.pts = frame.pts - self._origin
        picture.time_base = LIVE_TIME_BASE
        picture.pict_type = PictureType.NONE
        if picture.pts >= self._next_keyframe:
            picture.pict_type = PictureType.I
            self._next_keyframe = picture.pts + round(KEYFRAME_SECONDS / LIVE_TIME_BASE)
        self._mux(lambda: self._video.encode(picture))

    def write_sound(self, sound: SoundPacket) -> None:
        """Send some sound."""
        track = self._sound
        if track is not None:
            self._mux(lambda: list(track.convert(sound)))

    def close(self) -> None:
        """Send what the encoders still hold, and end."""
        track = self._sound
        if self._is_over:
            return
        self._mux(lambda: self._video.encode(None))
        if track is not None:
            self._mux(lambda: list(track.flush()))
        try:
            self._container.close()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._error(error) from error
        finally:
            self._let_go()

    def _mux(self, packets: Callable[[], Sequence[Packet[Stream]]]) -> None:
        try:
            self._container.mux(packets())
        except (av.FFmpegError, OSError, ValueError) as error:
            self._let_go()
            raise self._error(error) from error

    def _add_video(
        self, first: LiveFrame, source: SinkInput, encoder: EncoderSettings, is_rate_bound: bool
    ) -> VideoStream:
        rate = source.info.frame_rate
        rate = rate if rate is not None and 0 < rate <= MOST_RATE else DEFAULT_RATE
        options = {"g": str(round(5 * KEYFRAME_SECONDS * rate))}
        if is_rate_bound and encoder.codec == "libx264":
            bits = round(self._fitted_size[0] * self._fitted_size[1] * float(rate) * BITS_PER_PIXEL)
            options |= {"maxrate": str(bits), "bufsize": str(bits // 2)}
        stream = cast("VideoStream", self._container.add_stream(encoder.codec, rate=rate, time_base=LIVE_TIME_BASE))
        context: VideoCodecContext = stream.codec_context
        picture = self._fitted(first.picture)
        context.height, context.width = self._fitted_size
        context.sample_aspect_ratio = source.info.sample_aspect_ratio
        context.pix_fmt = picture.format.name
        context.framerate = rate
        context.color_range, context.colorspace = picture.color_range, picture.colorspace
        context.color_primaries, context.color_trc = picture.color_primaries, picture.color_trc
        context.options = options | encoder.for_low_latency()
        if ContainerFormat(self._format, "w").flags & cast(int, ContainerFlags.global_header.value):
            context.flags |= Flags.global_header
        return stream

    def _fitted(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture in the encoder's size, as yuv420p, with times and type of its own."""
        fitted = limited(picture, self._fitted_size)
        return self._copies.of(picture) if fitted is picture else fitted

    def _let_go(self) -> None:
        self._is_over = True
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()

    def _error(self, error: BaseException) -> MediaError:
        if isinstance(error, av.ProtocolNotFoundError):
            return MediaError(f"{self._shown}: this build of FFmpeg does not know the protocol")
        return MediaError(f"{self._shown}: {explain(error)}")
