"""Chooses the video encoder: the source's own family and pixel format wherever encoder, container and size allow it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
from av.codec.codec import Codec, find_best_pix_fmt_of_list
from av.codec.context import Flags
from av.video.format import VideoFormat

from nerdrain_rt.errors import UsageError
from nerdrain_rt.media.containers import holds, scratch
from nerdrain_rt.media.report import explain

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

    from nerdrain_rt.media.tags import PictureTags

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

CONSTANT_QUALITY = {
    "libx264": {"crf": "16", "preset": "fast", "a53cc": "1", "udu_sei": "1"},
    "libx265": {"crf": "17", "preset": "fast", "a53cc": "1", "udu_sei": "1", "x265-params": "log-level=none"},
    "libvpx-vp9": {"crf": "18", "b": "0", "row-mt": "1", "cpu-used": "4", "deadline": "good"},
    "libvpx": {"crf": "6", "b": "20M", "cpu-used": "4", "deadline": "good"},
    "libsvtav1": {"crf": "18", "preset": "8"},
    "prores_ks": {"vendor": "apl0"},
    "mjpeg": {"qmin": "2", "qmax": "2"},
    "mpeg4": {"qmin": "2", "qmax": "3", "b": "100M"},
    "mpeg2video": {"qmin": "2", "qmax": "3", "b": "100M"},
}
"""Settings whose result a viewer cannot tell from the source."""

MPEG_PROGRAMS = {"mpeg", "vob", "dvd", "svcd"}
HARDWARE_QUALITY = {
    "nvenc": {"rc": "vbr", "cq": "19", "b": "0"},
    "qsv": {"global_quality": "19"},
    "amf": {"rc": "cqp", "qp_i": "18", "qp_p": "18", "qp_b": "20"},
}
"""The same for each maker's encoders, which end in its name."""

ANY_OTHER = {"b": "50M"}
RATE_OPTIONS = {"b", "qp", "cq", "qscale", "global_quality"}
BOTTOM_FIRST = {3, 5}
"""AV_FIELD_BB and AV_FIELD_BT."""
PARAMETER_LISTS = {"libx264": "x264-params", "libx265": "x265-params", "libsvtav1": "svtav1-params"}


@dataclass(frozen=True, slots=True)
class VideoEncoding:
    """An encoder that is known to open with these settings."""

    codec: str
    pixel_format: str
    time_base: Fraction
    options: Mapping[str, str]
    warning: str | None = None


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


def choose_encoding(
    material: Material, container_format: str, codec: str | None, codec_options: Mapping[str, str]
) -> VideoEncoding:
    """The first encoding that works, those that keep every sample as it is first.

    Raises `UsageError` for a codec or option that does not exist or does not fit the container.
    """
    names = [_checked(codec, container_format)] if codec else list(_candidates(material, container_format))
    tries = [attempt for name in names for attempt in _attempts(name, material)]
    fault = f"no encoder here makes video that {container_format} can hold"
    depth = _depth(material.pixel_format)
    for attempt in sorted(tries, key=lambda a: (a.warning is not None, _depth(a.pixel_format) < depth)):
        try:
            _try_out(attempt, material, container_format)
        except (av.FFmpegError, ValueError) as error:
            fault = f"{attempt.codec} in {container_format} does not start: {explain(error)}" if codec else fault
        else:
            return _with_options(attempt, material, container_format, codec_options)
    raise UsageError(fault)


def _with_options(
    encoding: VideoEncoding, material: Material, container_format: str, codec_options: Mapping[str, str]
) -> VideoEncoding:
    chosen = replace(encoding, options=_options(encoding.codec, material, codec_options))
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
    with scratch(container_format) as container:
        stream = container.add_stream(encoding.codec, rate=material.frame_rate, time_base=encoding.time_base)
        context = cast("VideoCodecContext", stream.codec_context)
        configure(context, encoding, material)
        container.start_encoding()
        return set(context.options)


def configure(context: VideoCodecContext, encoding: VideoEncoding, material: Material) -> None:
    """Set up an encoder that was made for a stream with the encoding's time base."""
    if encoding.codec == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # it writes to stderr itself and has no option for it
    tags = material.tags
    context.height, context.width = material.size
    context.pix_fmt = encoding.pixel_format
    context.framerate = material.frame_rate
    context.color_range = tags.color_range
    context.color_primaries = tags.color_primaries
    context.color_trc = tags.color_trc
    context.colorspace = tags.colorspace
    context.thread_type = "AUTO"
    context.flags |= Flags.frame_duration
    if tags.is_interlaced:
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
    context.options = dict(encoding.options)


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
    names = [name for name in (*FALLBACKS, "prores_ks") if holds(container_format, name)]
    raise UsageError(f"{fault}; {container_format} takes {', '.join(names) or 'no video'}")


def _candidates(material: Material, container_format: str) -> Iterator[str]:
    with scratch(container_format) as container:
        default = container.default_video_codec
    names = [FAMILY.get(material.codec), *FALLBACKS, default]
    own = _encoder(material.codec)
    if container_format in MPEG_PROGRAMS:
        names.insert(0, "mpeg2video")
    if own is not None and own.lossless and not own.lossy:
        names.insert(0, own.name)
    if _depth(material.pixel_format) > 8 and material.codec not in FAMILY:
        names.insert(0, "libx265")
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
    options = _options(codec, material, {})
    time_bases = [1 / material.frame_rate]
    if material.is_rate_variable:
        time_bases = [material.time_base, Fraction(1, 60_000), *time_bases]  # MPEG-4 and MPEG-2 know none so fine
    for pixel_format, warning in _formats(codec, material):
        for time_base in time_bases:
            yield VideoEncoding(codec, pixel_format, time_base, options, warning)


def _formats(codec: str, material: Material) -> Iterator[tuple[str, str | None]]:
    source = material.pixel_format
    known = [pixel_format.name for pixel_format in Codec(codec, "w").video_formats or ()] or [source]
    has_alpha = source.startswith(("yuva", "gbra", "rgba", "bgra", "argb", "abgr", "ya"))
    whole = source.replace("420", "444").replace("422", "444") if source.startswith(("yuv", "nv")) else source
    for same in dict.fromkeys((source, same_samples(source))):
        if same in known:
            yield same, None
    deep = [name for name in known if _depth(name) >= _depth(source)]
    nearest, loss = find_best_pix_fmt_of_list(deep or known, same_samples(source), has_alpha)
    if nearest is not None and nearest.name not in (source, same_samples(source)):
        yield nearest.name, f"{codec} cannot hold {source}; encoded as {nearest.name}" if loss or not deep else None
    if whole in known:
        yield whole, f"{codec} cannot hold {source} of odd size; encoded as {whole}"


def _depth(pixel_format: str) -> int:
    return max(component.bits for component in VideoFormat(pixel_format).components)


def _options(codec: str, material: Material, chosen: Mapping[str, str]) -> dict[str, str]:
    options = dict(CONSTANT_QUALITY.get(codec) or HARDWARE_QUALITY.get(codec.rpartition("_")[2]) or ANY_OTHER)
    if not material.is_rate_variable:
        options["bf"] = "0"  # such containers keep no presentation times, B-frames would come late
    if codec == "prores_ks" and material.codec == "prores" and material.profile:
        options["profile"] = "4444xq" if material.profile == "XQ" else material.profile.lower()
    if codec == "dnxhd":
        hq = "dnxhr_hqx" if _depth(material.pixel_format) > 8 else "dnxhr_hq"
        options["profile"] = "dnxhr_444" if "444" in material.pixel_format else hq
    if RATE_OPTIONS & set(chosen):
        for ours in ("crf", "qmin", "qmax", "cq", "rc"):
            options.pop(ours, None)
    options.update(chosen)
    key = PARAMETER_LISTS.get(codec)
    if key is not None:
        lists = [
            CONSTANT_QUALITY[codec].get(key),
            *_light(codec, material.tags),
            _fields(codec, material),
            chosen.get(key),
        ]
        if parameters := ":".join(filter(None, lists)):
            options[key] = parameters
    return options


def _fields(codec: str, material: Material) -> str | None:
    """x264 writes top field first into its first picture unless told before."""
    is_bottom_first = material.tags.is_interlaced and material.field_order in BOTTOM_FIRST
    return "bff=1" if codec == "libx264" and is_bottom_first else None


def _light(codec: str, tags: PictureTags) -> Iterator[str]:
    """HDR10 static metadata for the bitstream; the encoders take it as options only."""
    keys = {
        "libx264": ("mastering-display", "cll", 0.00002, 0.0001),
        "libx265": ("master-display", "max-cll", 0.00002, 0.0001),
        "libsvtav1": ("mastering-display", "content-light", 1.0, 1.0),
    }
    display, level, chroma_unit, luminance_unit = keys[codec]
    if tags.mastering_display:
        yield f"{display}={tags.mastering_display.text(chroma_unit, luminance_unit)}"
    if tags.light_level:
        yield f"{level}={tags.light_level[0]},{tags.light_level[1]}"
