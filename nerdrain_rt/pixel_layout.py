"""Where FFmpeg's pixel formats keep their samples, and which supported format is nearest to one that is not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
from av.codec.codec import find_best_pix_fmt_of_list
from av.video.format import VideoFormat

from nerdrain_rt.errors import MediaError

# Names of pixel formats without their byte order; the repeating samples of each plane in memory order,
# alpha planes left out; whether samples sit in the high bits of their 16. PyAV gives the rest.
_LAYOUTS = (
    (r"gray\d*", "y", False),
    (r"ya\d+", "ya", False),
    (r"yuv[aj]?4\d\dp\d*", "y u v", False),
    (r"yuv4\d\dp\d+msb", "y u v", True),
    (r"gbra?p\d*", "g b r", False),
    (r"gbrp\d+msb", "g b r", True),
    (r"nv(?:12|16|20|24)", "y uv", False),
    (r"nv(?:21|42)", "y vu", False),
    (r"p[024]1[026]", "y uv", True),
    (r"([yuv]{4})422", r"\1", False),
    (r"y21[026]", "yuyv", True),
    (r"(ayuv|uyva|vuya|vuyx)(?:64)?", r"\1", False),
    (r"(vyu)444", r"\1", False),
    (r"xv36", "uyvx", True),
    (r"xv48", "uyvx", False),
    (r"([rgba0]{3,4})(?:24|48|64)?", r"\1", False),
)

_REFORMAT_TARGETS = (
    *("gray", "gray16le", "ya8", "ya16le"),
    *("rgb24", "rgb48le", "rgba", "rgba64le"),
    *("yuv411p", "yuv444p", "yuv444p10le", "yuv444p12le", "yuv444p16le"),
)


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """Where a pixel format keeps its samples; components go by their letter: r g b, or y u v."""

    planes: tuple[str, ...]
    bits: int
    padding_bits: int
    """Unused low bits under each sample."""
    sample_type: np.dtype[np.uint8] | np.dtype[np.uint16]
    chroma_factor: tuple[int, int]
    """Rows and columns of the picture for each sample of chroma."""

    @classmethod
    def of(cls, format_name: str) -> PixelLayout:
        """Raises MediaError for a format outside integer RGB, YUV and gray of 8 to 16 bits, saying what would do."""
        layout = _find_layout(format_name)
        if layout is None:
            raise MediaError(f"pixel format {format_name}: not supported; reformat to {nearest_supported(format_name)}")
        return layout

    @property
    def letters(self) -> str:
        """The components that are colour, in the order of their matrix."""
        return next(letters for letters in ("rgb", "yuv", "y") if set(letters) <= set("".join(self.planes)))

    @property
    def row_factors(self) -> tuple[int, ...]:
        """Rows of the picture for each row of a plane."""
        return tuple(self.chroma_factor[0] if set(group) <= {"u", "v"} else 1 for group in self.planes)

    def component_size(self, letter: str, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) in samples of a component in a picture of `size`."""
        rows, columns = self.chroma_factor if letter in "uv" else (1, 1)
        return -(-size[0] // rows), -(-size[1] // columns)

    def plane_size(self, index: int, size: tuple[int, int]) -> tuple[int, int]:
        """(rows, samples in a row) of a plane in a picture of `size`, without the padding of its lines."""
        group = self.planes[index]
        letter = next(letter for letter in group if letter in self.letters)
        height, width = self.component_size(letter, size)
        return height, -(-width // group.count(letter)) * len(group)

    def locate(self, letter: str) -> tuple[int, int, int]:
        """A component's plane, its first sample in a row and the step to its next."""
        plane = next(index for index, group in enumerate(self.planes) if letter in group)
        group = self.planes[plane]
        return plane, group.index(letter), len(group) // group.count(letter)


@cache
def _find_layout(format_name: str) -> PixelLayout | None:
    pixel_format = _pixel_format(format_name)
    name = re.sub("(le|be)$", "", format_name)
    for pattern, planes, is_high in _LAYOUTS:
        match = re.fullmatch(pattern, name)
        bits = pixel_format.components[0].bits if match else 0
        if match and 8 <= bits <= 16:
            return PixelLayout(
                planes=tuple(match.expand(planes).split()),
                bits=bits,
                padding_bits=16 - bits if is_high else 0,
                sample_type=np.dtype("u1" if bits == 8 else ">u2" if pixel_format.is_big_endian else "<u2"),
                chroma_factor=(16 // pixel_format.chroma_height(), 16 // pixel_format.chroma_width()),
            )
    return None


def _pixel_format(format_name: str) -> VideoFormat:
    try:
        return VideoFormat(format_name, 16, 16)
    except ValueError:
        raise MediaError(f"pixel format {format_name}: FFmpeg knows none of this name; yuv420p is usual") from None


def is_supported(format_name: str) -> bool:
    """Whether pictures of this pixel format are read and written as they are."""
    return _find_layout(format_name) is not None


def has_alpha(pixel_format: str) -> bool:
    """Whether pictures of the format have transparency."""
    return any(component.is_alpha for component in _pixel_format(pixel_format).components)


def nearest_supported(format_name: str) -> str:
    """The format itself, or the one to reformat to that loses least.

    Raises MediaError for a name FFmpeg does not know and for frames in a device's memory.
    """
    if is_supported(format_name):
        return format_name
    components = _pixel_format(format_name).components
    if not components:
        raise MediaError(f"pixel format {format_name}: the samples are in a device's memory; download the frame first")
    has_alpha = any(component.is_alpha for component in components)
    best, _ = find_best_pix_fmt_of_list(_REFORMAT_TARGETS, format_name, has_alpha)
    assert best is not None
    return best.name
