"""The settings that encoders get: a quality that a viewer cannot tell from the source, and what they must be told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from av.video.format import VideoFormat

if TYPE_CHECKING:
    from nerdrain_rt.media.codecs import Material
    from nerdrain_rt.media.tags import PictureTags

CONSTANT_QUALITY = {
    "libx264": {"crf": "16", "preset": "faster"},
    "libx265": {"crf": "17", "preset": "fast", "x265-params": "log-level=none"},
    "libvpx-vp9": {"crf": "18", "b": "0", "row-mt": "1", "cpu-used": "4", "deadline": "good"},
    "libvpx": {"crf": "6", "b": "20M", "cpu-used": "4", "deadline": "good"},
    "libsvtav1": {"crf": "18", "preset": "8"},
    "prores_ks": {"vendor": "apl0"},
    "mjpeg": {"qmin": "2", "qmax": "2"},
    "mpeg4": {"qmin": "2", "qmax": "3", "b": "100M"},
    "mpeg2video": {"qmin": "2", "qmax": "3", "b": "100M"},
}
"""Settings whose result a viewer cannot tell from the source."""

HARDWARE_QUALITY = {
    "nvenc": {"rc": "vbr", "cq": "19", "b": "0"},
    "qsv": {"global_quality": "19"},
    "amf": {"rc": "cqp", "qp_i": "18", "qp_p": "18", "qp_b": "20"},
}
"""The same for each maker's encoders, which end in its name."""

ANY_OTHER = {"b": "50M"}
CARRIED = {"a53cc": "closed captions", "udu_sei": "SEI user data"}
"""What some encoders write again from beside each picture, if told to; others leave the option unused."""
RATE_OPTIONS = {"b", "qp", "cq", "qscale", "global_quality"}
BOTTOM_FIRST = {3, 5}
"""AV_FIELD_BB and AV_FIELD_BT."""
PARAMETER_LISTS = {"libx264": "x264-params", "libx265": "x265-params", "libsvtav1": "svtav1-params"}


def encoder_options(codec: str, material: Material, chosen: Mapping[str, str]) -> dict[str, str]:
    """Options for `codec`, with those the user has `chosen` over ours."""
    quality = CONSTANT_QUALITY.get(codec) or HARDWARE_QUALITY.get(codec.rpartition("_")[2]) or ANY_OTHER
    options = dict.fromkeys(CARRIED, "1") | quality
    if not material.is_rate_variable:
        options["bf"] = "0"  # such containers keep no presentation times, B-frames would come late
    if codec == "prores_ks" and material.codec == "prores" and material.profile:
        options["profile"] = "4444xq" if material.profile == "XQ" else material.profile.lower()
    if codec == "dnxhd":
        hq = "dnxhr_hqx" if depth_of(material.pixel_format) > 8 else "dnxhr_hq"
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


def light_written(codec: str, tags: PictureTags) -> set[str]:
    """The names in `tags.stream_data` of the HDR10 metadata that the options make the encoder write."""
    written = {"mastering display": tags.mastering_display, "content light level": tags.light_level}
    return {name for name, value in written.items() if value and codec in PARAMETER_LISTS}


def depth_of(pixel_format: str) -> int:
    """Bits of the deepest component."""
    return max(component.bits for component in VideoFormat(pixel_format).components)
