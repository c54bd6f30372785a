"""Chooses the video encoder: the source's own family and pixel format wherever encoder, container and size allow it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
from av.codec.codec import Capabilities, Codec, find_best_pix_fmt_of_list
from av.codec.context import Flags
from av.video.format import VideoFormat
from av.video.reformatter import ColorRange, Colorspace

from nerdrain_rt.errors import UsageError
from nerdrain_rt.gpu_picture import gpu_access
from nerdrain_rt.media.containers import ISO_FORMATS, holds, scratch
from nerdrain_rt.media.encoder_options import depth_of, encoder_options
from nerdrain_rt.media.picture_copies import HD_LINES
from nerdrain_rt.media.report import explain
from nerdrain_rt.pixel_layout import has_alpha

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

    from nerdrain_rt.media.tags import PictureTags

_log = logging.getLogger(__name__)

FAMILY = {
    "h264": "libx264",
    "hevc": "libx265",
    "vp8": "libvpx",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
    "prores": "prores_ks",
    "mjpeg": "mjpeg",
    "dnxhd": "dnxhd",
}
"""Encoders that make what these decoders read; lossless codecs keep their own name."""

FALLBACKS = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "mjpeg", "mpeg4")

ANIMATIONS = {"gif", "apng"}
"""Moving pictures of web pages: who wants them as MP4 wants every player to play it."""

MPEG_PROGRAMS = {"mpeg", "vob", "dvd", "svcd"}


@dataclass(frozen=True, slots=True)
class VideoEncoding:
    """An encoder that is known to open with these settings."""

    codec: str
    pixel_format: str
    time_base: Fraction
    options: Mapping[str, str]
    warning: str | None = None
    gpu: int | None = None
    """Where it takes the pictures from; None: from the host's memory."""


@dataclass(frozen=True, slots=True)
class Material:
    """What has to be encoded; size is (height, width)."""

    codec: str
    profile: str | None
    pixel_format: str
    size: tuple[int, int]
    time_base: Fraction
    frame_rate: Fraction
    is_rate_variable: bool
    """Whether the container can hold frames at any time."""
    field_order: int
    tags: PictureTags
    gpu: int | None = None
    """Where the pictures are; None: in the host's memory."""


def choose_encoding(
    material: Material, container_format: str, codec: str | None, codec_options: Mapping[str, str]
) -> VideoEncoding:
    """The first encoding that works, those that keep every sample as it is first.

    Raises `UsageError` for a codec or option that does not exist or does not fit the container.
    """
    wanted = material if codec else _playable(material, container_format)
    names = [_checked(codec, container_format)] if codec else list(_candidates(wanted, container_format))
    tries = [attempt for name in names for attempt in _attempts(name, wanted)]
    if codec and not starts(names[0]):
        software = ", ".join(_held(container_format, FAMILY.get(Codec(names[0], "w").canonical_name)))
        raise UsageError(f"{names[0]} does not start: this machine has no usable hardware for it; try {software}")
    fault = f"no encoder here makes video that {container_format} can hold"
    depth = depth_of(wanted.pixel_format)
    is_cut_out = has_alpha(wanted.pixel_format)

    def losses(attempt: VideoEncoding) -> tuple[bool, bool, bool]:
        loses_alpha = is_cut_out and not has_alpha(attempt.pixel_format)
        return loses_alpha, attempt.warning is not None, depth_of(attempt.pixel_format) < depth

    for attempt in sorted(tries, key=losses):
        try:
            _try_out(attempt, material, container_format)
        except (av.FFmpegError, ValueError) as error:
            fault = f"{attempt.codec} in {container_format} does not start: {explain(error)}" if codec else fault
        else:
            chosen = _with_options(attempt, material, container_format, codec_options)
            if wanted is not material:
                exactly = "-c ffv1" if holds(container_format, "ffv1") else "-c ffv1 in .mkv"
                words = f"encoded as {chosen.pixel_format} for players; {exactly} keeps {material.pixel_format} exactly"
                chosen = replace(chosen, warning=words)
            return _where_pictures_are(chosen, material, container_format)
    raise UsageError(fault)


def _playable(material: Material, container_format: str) -> Material:
    """The material; an animation for MP4 as what every player knows: H.264 in 4:2:0, without transparency."""
    if material.codec in ANIMATIONS and container_format in ISO_FORMATS:
        return replace(material, codec="h264", pixel_format="yuv420p")
    return material


def _where_pictures_are(encoding: VideoEncoding, material: Material, container_format: str) -> VideoEncoding:
    """The same, taking the pictures from the GPU's memory where it can."""
    if material.gpu is None or not encoding.codec.endswith("_nvenc") or encoding.pixel_format != material.pixel_format:
        return encoding
    there = replace(encoding, gpu=material.gpu)
    try:
        _try_out(there, material, container_format)
    except (av.FFmpegError, RuntimeError, ValueError) as error:
        _log.info("%s takes its pictures from the host: %s", encoding.codec, error)
        return encoding
    return there


def _with_options(
    encoding: VideoEncoding, material: Material, container_format: str, codec_options: Mapping[str, str]
) -> VideoEncoding:
    chosen = replace(encoding, options=encoder_options(encoding.codec, material, codec_options))
    try:
        unused = _try_out(chosen, material, container_format)
    except (av.FFmpegError, ValueError) as error:
        given = ", ".join(f"{key}={value}" for key, value in codec_options.items())
        raise UsageError(f"{encoding.codec} does not start with {given}: {explain(error)}") from error
    if unknown := sorted(unused & set(codec_options)):
        raise UsageError(f"codec option {unknown[0]!r} is unknown to {encoding.codec}")
    return chosen


def _try_out(encoding: VideoEncoding, material: Material, container_format: str) -> set[str]:
    """Open the encoder and write a header in memory; the names of options that nothing used."""
    with gpu_access(encoding.gpu) as hwaccel, scratch(container_format) as container, same_scheduling():
        stream = container.add_stream(
            encoding.codec, rate=material.frame_rate, time_base=encoding.time_base, hwaccel=hwaccel
        )
        context = cast("VideoCodecContext", stream.codec_context)
        configure(context, encoding, material)
        container.start_encoding()
        return set(context.options)


@contextmanager
def same_scheduling() -> Iterator[None]:
    """Keep how the calling thread is scheduled: opened by root, libsvtav1 gives it and all its children real time."""
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, parameters)


def configure(context: VideoCodecContext, encoding: VideoEncoding, material: Material) -> None:
    """Set up an encoder that was made for a stream with the encoding's time base."""
    if encoding.codec == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # it writes to stderr itself and has no option for it
    tags = material.tags
    context.height, context.width = material.size
    context.pix_fmt = encoding.pixel_format
    context.framerate = material.frame_rate
    context.color_range, context.colorspace = _range_and_matrix(encoding, material)
    context.color_primaries = tags.color_primaries
    context.color_trc = tags.color_trc
    context.thread_type = "AUTO"
    context.flags |= Flags.frame_duration
    if tags.is_interlaced:
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
    context.options = dict(encoding.options)


def _range_and_matrix(encoding: VideoEncoding, material: Material) -> tuple[int, int]:
    """Those of the source, which RGB has not where it has to become YCbCr: then those that players suppose."""
    if not VideoFormat(material.pixel_format).is_rgb or VideoFormat(encoding.pixel_format).is_rgb:
        return material.tags.color_range, material.tags.colorspace
    if encoding.pixel_format.startswith("yuvj"):
        return ColorRange.JPEG.value, Colorspace.ITU601.value
    matrix = Colorspace.ITU709 if material.size[0] >= HD_LINES else Colorspace.ITU601
    return ColorRange.MPEG.value, matrix.value


def same_samples(pixel_format: str) -> str:
    """The format without the J that only says "full range"."""
    return pixel_format.replace("yuvj", "yuv")


def _checked(codec: str, container_format: str) -> str:
    encoder = _encoder(codec)
    if encoder is not None and holds(container_format, encoder.name):
        return encoder.name
    fault = (
        f"codec {codec!r} is no video encoder here" if encoder is None else f"{container_format} cannot hold {codec}"
    )
    raise UsageError(f"{fault}; {container_format} takes {', '.join(_held(container_format)) or 'no video'}")


def _held(container_format: str, first: str | None = None) -> list[str]:
    """Encoders in software whose video the container can hold, `first` before the others."""
    names = dict.fromkeys(name for name in (first, *FALLBACKS, "prores_ks") if name)
    return [name for name in names if holds(container_format, name)]


def starts(codec: str) -> bool:
    """Whether the encoder needs no hardware or finds it; those of hardware are built in everywhere."""
    encoder = Codec(codec, "w")
    if not encoder.capabilities & (Capabilities.hardware | Capabilities.hybrid):
        return True
    context = encoder.create("video")
    context.width, context.height, context.time_base, context.pix_fmt = 256, 256, Fraction(1, 25), "nv12"
    try:
        context.open()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _candidates(material: Material, container_format: str) -> Iterator[str]:
    with scratch(container_format) as container:
        default = container.default_video_codec
    is_of_avi = material.codec == "mjpeg" and container_format == "mp4"  # FFmpeg writes it there, few players read it
    names = [None if is_of_avi else FAMILY.get(material.codec), *FALLBACKS, default]
    own = _encoder(material.codec)
    if container_format in MPEG_PROGRAMS:
        names.insert(0, "mpeg2video")
    if depth_of(material.pixel_format) > 8 and material.codec not in FAMILY:
        names.insert(0, "libx265")
    if own is not None and own.lossless and not own.lossy:
        names.insert(0, own.name)
    encoders = [encoder for name in names if name and (encoder := _encoder(name))]
    for name in dict.fromkeys(encoder.name for encoder in encoders):
        if holds(container_format, name):
            yield name


def _encoder(name: str) -> Codec | None:
    try:
        codec = Codec(name, "w")
    except ValueError:
        return None
    return codec if codec.type == "video" else None


def _attempts(codec: str, material: Material) -> Iterator[VideoEncoding]:
    """Encodings to try with this codec, best first."""
    options = encoder_options(codec, material, {})
    time_bases = [1 / material.frame_rate]
    if material.is_rate_variable:
        time_bases = [material.time_base, Fraction(1, 60_000), *time_bases]  # MPEG-4 and MPEG-2 know none so fine
    for pixel_format, warning in _formats(codec, material):
        for time_base in time_bases:
            yield VideoEncoding(codec, pixel_format, time_base, options, warning)


def _formats(codec: str, material: Material) -> Iterator[tuple[str, str | None]]:
    source = material.pixel_format
    formats = [known for known in Codec(codec, "w").video_formats or () if known.components and not known.has_palette]
    known = [pixel_format.name for pixel_format in formats] or [source]
    whole = source.replace("420", "444").replace("422", "444") if source.startswith(("yuv", "nv")) else source
    for same in dict.fromkeys((source, same_samples(source))):
        if same in known:
            yield same, None
    colored = [name for name in known if _color_count(name) >= _color_count(source)]
    deep = [name for name in colored if depth_of(name) >= depth_of(source)]
    nearest, loss = find_best_pix_fmt_of_list(deep or colored or known, same_samples(source), has_alpha(source))
    if nearest is not None and nearest.name not in (source, same_samples(source)):
        yield nearest.name, f"{codec} cannot hold {source}; encoded as {nearest.name}" if loss or not deep else None
    if whole in known:
        yield whole, f"{codec} cannot hold {source} of odd size; encoded as {whole}"


def _color_count(pixel_format: str) -> int:
    """1 for gray, 3 for color."""
    return sum(not component.is_alpha for component in VideoFormat(pixel_format).components)
