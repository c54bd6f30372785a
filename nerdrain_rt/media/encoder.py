"""The video encoder inside the target: pictures at their times, with what they and their stream say of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from av.bitstream import BitStreamFilterContext
from av.sidedata.sidedata import Type
from av.video.format import VideoFormat
from av.video.frame import PictureType
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from nerdrain_rt.gpu_picture import gpu_access, on_host, sample_format
from nerdrain_rt.media.codecs import configure, same_samples, same_scheduling
from nerdrain_rt.media.containers import ISO_FORMATS
from nerdrain_rt.media.encoder_options import CARRIED, light_written
from nerdrain_rt.media.routes import take_over

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer
    from av.packet import Packet

    from nerdrain_rt.frame import Frame
    from nerdrain_rt.media.codecs import Material, VideoEncoding

UNKNOWN_LEVEL = -99
INTERLACED = {"libx264", "mpeg2video", "mpeg4", "prores_ks", "dnxhd", "ffv1"}
ASPECT_IN_CONTAINER = ISO_FORMATS | {"asf", "mxf", "ogg", "ogv"}
"""Muxers that take the sample aspect ratio from the encoder; the others want a field that PyAV does not let us set."""
ASPECT_IN_BITSTREAM = {"libx264", "libx265", "mpeg4", "ffv1", "vc2", "h263p", "png"}
MPEG2_DISPLAY_ASPECTS = {Fraction(4, 3), Fraction(16, 9), Fraction(221, 100)}
X265_UNTIMED = 2
"""Of so few pictures x265 gives decoding times that are uninitialised memory."""
NO_TAG = "\0\0\0\0"
BESIDE_PICTURES = {"a53cc": Type.A53_CC, "udu_sei": Type.SEI_UNREGISTERED}
SIGNATURES = {bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef"), bytes.fromhex("2ca2de09b51747dbbb55a4fe7fc2fc4e")}
"""What begins the user data in which x264 and x265 tell their settings."""


class VideoEncoder:
    """A video stream of `container` with its opened encoder, dressed like the stream `source`.

    Raises PyAV's errors; `warnings` tells what the target cannot say.
    """

    def __init__(
        self, container: OutputContainer, source: VideoStream, encoding: VideoEncoding, material: Material
    ) -> None:
        self.warnings = [encoding.warning] if encoding.warning else []
        self.name = encoding.codec
        self._encoding = encoding
        self._last_pts: int | None = None
        self._encoded = 0
        with gpu_access(encoding.gpu) as hwaccel:
            stream = container.add_stream(
                encoding.codec, rate=material.frame_rate, time_base=encoding.time_base, hwaccel=hwaccel
            )
            self._stream = cast(VideoStream, stream)
            self._describe_as(source, material, container.format.name)
            take_over(container, self._stream, source, is_encoded_anew=True)
            self._stream.time_base = encoding.time_base
            with same_scheduling():
                self._stream.codec_context.open()
            unused = self._stream.codec_context.options
            self._losses = {BESIDE_PICTURES[option]: name for option, name in CARRIED.items() if option in unused}

    def encode(self, frame: Frame, seconds: Fraction) -> Iterator[Packet[VideoStream]]:
        """The packets that are ready after `frame`, which is shown at `seconds` of the target."""
        self._tell_losses(frame.picture)
        picture = self._in_encoder_format(frame.picture)
        picture.pts = self._pts(seconds)
        picture.duration = round(picture.duration * frame.time_base / self._encoding.time_base)
        picture.time_base = self._encoding.time_base
        picture.pict_type = PictureType.NONE  # else the encoder repeats the source's choice of I, P and B
        self._encoded += 1
        yield from self._stream.encode(picture)

    def flush(self) -> Iterator[Packet[VideoStream]]:
        """The packets that the encoder still holds."""
        for packet in self._stream.encode(None):
            if self.name == "libx265" and self._encoded <= X265_UNTIMED:
                packet.dts = packet.pts
            yield packet

    def _describe_as(self, source: VideoStream, material: Material, container_format: str) -> None:
        context = self._stream.codec_context
        tags = material.tags
        if context.codec.id == source.codec_context.codec.id and not tags.has_dolby_vision:
            # the one way PyAV has to carry a stream's side data (360° projection, HDR10) and chroma location
            BitStreamFilterContext("null", source, self._stream)
            context.extradata = None
            context.bit_rate = 0
            context.level = UNKNOWN_LEVEL
            context.reorder_depth = 0
            context.codec_tag = NO_TAG
            if context.name == "libx264":
                context.profile = "High 4:4:4 Predictive"  # the wrapper has no case for it and so leaves x264 free
        else:
            written = light_written(context.name, tags)
            lost = [name for name in tags.stream_data if name not in written]
            self.warnings += [f"{context.name}: the stream's {name} is lost" for name in lost]
        if tags.has_hdr10_plus and context.name != "libsvtav1":
            self.warnings.append("HDR10+ dynamic metadata is lost; HDR10 is kept")
        if tags.is_interlaced and context.name not in INTERLACED:
            self.warnings.append(f"{context.name} holds the interlaced pictures, but cannot say that they are")
        configure(context, self._encoding, material)
        context.field_order = material.field_order
        if context.name == "libx265" and container_format in ISO_FORMATS:
            context.codec_tag = "hvc1"  # Apple's players refuse FFmpeg's default
        aspect = source.sample_aspect_ratio
        if aspect:
            context.sample_aspect_ratio = aspect
            if not _can_say(aspect, context.name, container_format, material.size):
                self.warnings.append(f"the sample aspect ratio {aspect} is lost: {context.name} cannot say it")
        if tags.display_matrix:
            self._stream.set_display_matrix(tags.display_matrix)

    def _tell_losses(self, picture: av.VideoFrame) -> None:
        """Tell once of each kind of data beside the pictures that this encoder does not write."""
        for item in picture.side_data if self._losses else ():
            kind, begin = item.type, bytes(item)[:16]  # type: ignore[attr-defined, arg-type]
            if kind in self._losses and begin not in SIGNATURES:
                self.warnings.append(f"{self.name}: the video's {self._losses.pop(kind)} are lost")

    def _in_encoder_format(self, picture: av.VideoFrame) -> av.VideoFrame:
        wanted = self._encoding.pixel_format
        if self._encoding.gpu is None:
            picture = on_host(picture)
        if sample_format(picture) == wanted:
            return picture
        color_range = ColorRange.JPEG if same_samples(sample_format(picture)) == wanted else None
        conversion: dict[str, int | None] = {"src_color_range": color_range, "dst_color_range": color_range}
        if picture.format.is_rgb and not VideoFormat(wanted).is_rgb:
            told = self._stream.codec_context
            conversion = {"dst_color_range": told.color_range, "dst_colorspace": told.colorspace}
        # threads=1: with several, swscale was seen giving wrong samples under load, if rarely
        return picture.reformat(format=wanted, threads=1, **conversion)

    def _pts(self, seconds: Fraction) -> int:
        """The time in the encoder's units, later than the last one."""
        exact = seconds / self._encoding.time_base
        pts = round(exact)
        if self._last_pts is not None and pts <= self._last_pts:
            pts = self._last_pts + 1
        if abs(pts - exact) > Fraction(1, 10) and not any("rounded" in text for text in self.warnings):
            self.warnings.append("the container or codec knows a constant frame rate only; times are rounded to it")
        self._last_pts = pts
        return pts


def _can_say(aspect: Fraction, codec: str, container_format: str, size: tuple[int, int]) -> bool:
    """Whether players of the target will know the sample aspect ratio; MPEG-2 knows three shapes of the picture."""
    if codec == "mpeg2video" and container_format not in ASPECT_IN_CONTAINER - {"mxf"}:
        return aspect == 1 or aspect * Fraction(size[1], size[0]) in MPEG2_DISPLAY_ASPECTS
    return aspect == 1 or codec in ASPECT_IN_BITSTREAM or container_format in ASPECT_IN_CONTAINER
