"""What the samples of a picture mean: matrix, range and where chroma sits."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange

Matrix = Literal["bt601", "bt709", "fcc", "smpte240m", "bt2020", "ycgco"]
Siting = Literal["left", "center", "topleft"]

_KR_KB = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "fcc": (0.30, 0.11),
    "smpte240m": (0.212, 0.087),
    "bt2020": (0.2627, 0.0593),
}

# MatrixCoefficients of ITU-T H.273. The codes that are not a matrix of R'G'B' (constant luminance,
# ICtCp, IPT) come with BT.2020 material and are read as its non-constant luminance.
_MATRIX_OF_CODE: dict[int, Matrix] = {
    1: "bt709",
    4: "fcc",
    5: "bt601",
    6: "bt601",
    7: "smpte240m",
    8: "ycgco",
    **dict.fromkeys((9, 10, 12, 13, 14, 15), "bt2020"),
}


class Levels(NamedTuple):
    """Code values of a range: `luma` codes from black to white, `chroma` codes from -0.5 to 0.5."""

    black: int
    luma: int
    chroma_zero: int
    chroma: int


@dataclass(frozen=True, slots=True)
class ColorSpec:
    """What a picture's samples mean: matrix, range and chroma siting (ITU-R BT.601, 709, 2020; ITU-T H.273)."""

    matrix: Matrix
    is_full_range: bool
    siting: Siting

    @classmethod
    def of(cls, picture: av.VideoFrame) -> Self:
        """The picture's tags; where they say nothing, what its pixel format and size imply.

        Untagged is BT.709 from 720 lines up, else BT.601, in limited range. RGB, yuvj and (as in
        FFmpeg) untagged gray are full range. PyAV does not tell the siting: it is top left for
        BT.2020, centre for yuvj (JPEG), else left (MPEG-2, H.264, H.265).
        """
        name = picture.format.name
        is_jpeg = name.startswith("yuvj")
        is_gray = name.startswith(("gray", "ya"))
        is_untagged = picture.color_range == ColorRange.UNSPECIFIED
        matrix = _MATRIX_OF_CODE.get(picture.colorspace, "bt709" if picture.height >= 720 else "bt601")
        return cls(
            matrix=matrix,
            is_full_range=is_jpeg
            or picture.format.is_rgb
            or picture.color_range == ColorRange.JPEG
            or (is_gray and is_untagged),
            siting="center" if is_jpeg else "topleft" if matrix == "bt2020" else "left",
        )

    def levels(self, bits: int) -> Levels:
        """The range's code values for samples of `bits` bits."""
        if self.is_full_range:
            return Levels(0, 2**bits - 1, 2 ** (bits - 1), 2**bits - 1)
        return Levels(*(level << (bits - 8) for level in (16, 219, 128, 224)))

    @functools.cache  # noqa: B019 - there are few
    def rgb_to_yuv(self) -> npt.NDArray[np.float64]:
        """3 x 3; its rows give Y in [0, 1], U and V in [-0.5, 0.5] from RGB in [0, 1]."""
        if self.matrix == "ycgco":
            return np.array([[0.25, 0.5, 0.25], [-0.25, 0.5, -0.25], [0.5, 0.0, -0.5]])
        kr, kb = _KR_KB[self.matrix]
        red, blue = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
        luma = np.array([kr, 1 - kr - kb, kb])
        return np.stack([luma, (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)])

    @functools.cache  # noqa: B019
    def yuv_to_rgb(self) -> npt.NDArray[np.float64]:
        """3 x 3; its rows give R, G and B from Y in [0, 1], U and V in [-0.5, 0.5]."""
        return np.linalg.inv(self.rgb_to_yuv()).astype(np.float64)
