"""Pictures with known samples, and in plain float64 what they mean and what a change makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt
import torch
from av.video.format import names

from nerdrain_rt.color_spec import ColorSpec
from nerdrain_rt.pixel_layout import PixelLayout, is_supported

Codes = dict[str, npt.NDArray[np.int64]]
CPU = torch.device("cpu")
BT709, UNSPECIFIED, BT470BG, BT2020 = 1, 2, 5, 9
SUPPORTED = sorted(name for name in names if is_supported(name))


@dataclass(frozen=True)
class Sampling:
    """How a format is stored, said once more and by hand."""

    planes: tuple[str, ...]
    bits: int
    factor: tuple[int, int] = (1, 1)
    shift: int = 0
    dtype: str = "u1"


SAMPLINGS = {
    "yuv420p": Sampling(("y", "u", "v"), 8, (2, 2)),
    "yuvj420p": Sampling(("y", "u", "v"), 8, (2, 2)),
    "yuv422p10le": Sampling(("y", "u", "v"), 10, (1, 2), 0, "<u2"),
    "yuv420p10be": Sampling(("y", "u", "v"), 10, (2, 2), 0, ">u2"),
    "yuv444p12le": Sampling(("y", "u", "v"), 12, (1, 1), 0, "<u2"),
    "yuv444p16le": Sampling(("y", "u", "v"), 16, (1, 1), 0, "<u2"),
    "yuv440p": Sampling(("y", "u", "v"), 8, (2, 1)),
    "yuv411p": Sampling(("y", "u", "v"), 8, (1, 4)),
    "yuv410p": Sampling(("y", "u", "v"), 8, (4, 4)),
    "nv12": Sampling(("y", "uv"), 8, (2, 2)),
    "nv21": Sampling(("y", "vu"), 8, (2, 2)),
    "p010le": Sampling(("y", "uv"), 10, (2, 2), 6, "<u2"),
    "p416be": Sampling(("y", "uv"), 16, (1, 1), 0, ">u2"),
    "yuyv422": Sampling(("yuyv",), 8, (1, 2)),
    "y210le": Sampling(("yuyv",), 10, (1, 2), 6, "<u2"),
    "gray12le": Sampling(("y",), 12, (1, 1), 0, "<u2"),
}


def random_codes(sampling: Sampling, size: tuple[int, int], seed: int = 0) -> Codes:
    generator = np.random.default_rng(seed)
    coarse = tuple(-(-length // factor) for length, factor in zip(size, sampling.factor, strict=True))
    letters = sorted(set("".join(sampling.planes)))
    return {letter: generator.integers(0, 2**sampling.bits, coarse if letter in "uv" else size) for letter in letters}


def plane_rows(plane: av.video.plane.VideoPlane, dtype: str) -> np.ndarray:
    """Rows as stored, padding of the lines included."""
    return np.frombuffer(plane, dtype).reshape(-1, plane.line_size // np.dtype(dtype).itemsize)


def make_picture(format_name: str, size: tuple[int, int], codes: Codes) -> av.VideoFrame:
    sampling = SAMPLINGS[format_name]
    picture = av.VideoFrame(size[1], size[0], format_name)
    for plane, group in zip(picture.planes, sampling.planes, strict=True):
        rows = plane_rows(plane, sampling.dtype)
        for place, letter in enumerate(group):
            values = codes[letter][:, (group[:place].count(letter)) :: group.count(letter)]
            rows[: values.shape[0], place :: len(group)][:, : values.shape[1]] = values << sampling.shift
    return picture


def read_codes(picture: av.VideoFrame, like: Codes) -> Codes:
    sampling = SAMPLINGS[picture.format.name]
    codes = {letter: np.empty_like(values) for letter, values in like.items()}
    for plane, group in zip(picture.planes, sampling.planes, strict=True):
        rows = plane_rows(plane, sampling.dtype)
        for place, letter in enumerate(group):
            target = codes[letter][:, (group[:place].count(letter)) :: group.count(letter)]
            target[...] = rows[: target.shape[0], place :: len(group)][:, : target.shape[1]] >> sampling.shift
    return codes


KR_KB = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}


def levels(spec: ColorSpec, bits: int) -> tuple[float, float, float]:
    """Black, the range of luma and the range of chroma."""
    if spec.is_full_range:
        return 0, 2**bits - 1, 2**bits - 1
    return 16 * 2 ** (bits - 8), 219 * 2 ** (bits - 8), 224 * 2 ** (bits - 8)


def is_centered(spec: ColorSpec) -> tuple[bool, bool]:
    return spec.siting in ("left", "center"), spec.siting == "center"


def interpolation(size: int, factor: int, centered: bool) -> np.ndarray:
    """The matrix from coarse samples to `size` fine ones, each by its place on the line."""
    count = -(-size // factor)
    places = np.arange(count) * factor + ((factor - 1) / 2 if centered else 0)
    return np.stack([np.interp(np.arange(size), places, unit) for unit in np.eye(count)], axis=1)


def averaging(size: int, factor: int, centered: bool) -> np.ndarray:
    count = -(-size // factor)
    matrix = np.zeros((count, size))
    for row in range(count):
        for offset in range(0 if centered else 1 - factor, factor):
            weight = 1 / factor if centered else (1 - abs(offset) / factor) / factor
            matrix[row, np.clip(row * factor + offset, 0, size - 1)] += weight
    return matrix


def reference_rgb(codes: Codes, sampling: Sampling, spec: ColorSpec) -> np.ndarray:
    """3 H W before clamping."""
    black, luma_range, chroma_range = levels(spec, sampling.bits)
    luma = (codes["y"] - black) / luma_range
    if "u" not in codes:
        return np.stack([luma] * 3)
    rows, columns = (
        interpolation(size, factor, centered)
        for size, factor, centered in zip(luma.shape, sampling.factor, is_centered(spec), strict=True)
    )
    cb, cr = (rows @ ((codes[letter] - 2 ** (sampling.bits - 1)) / chroma_range) @ columns.T for letter in "uv")
    kr, kb = KR_KB[spec.matrix]
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    return np.stack([red, (luma - kr * red - kb * blue) / (1 - kr - kb), blue])


def reference_codes(codes: Codes, change: np.ndarray, sampling: Sampling, spec: ColorSpec) -> dict[str, np.ndarray]:
    """Code values with the change of RGB added, before rounding."""
    _, luma_range, chroma_range = levels(spec, sampling.bits)
    kr, kb = KR_KB[spec.matrix]
    red, green, blue = change
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    changed = {"y": codes["y"] + luma_range * luma}
    rows, columns = (
        averaging(size, factor, centered)
        for size, factor, centered in zip(luma.shape, sampling.factor, is_centered(spec), strict=True)
    )
    if "u" in codes:
        changed["u"] = codes["u"] + chroma_range * rows @ ((blue - luma) / (2 * (1 - kb))) @ columns.T
        changed["v"] = codes["v"] + chroma_range * rows @ ((red - luma) / (2 * (1 - kr))) @ columns.T
    return {letter: np.clip(values, 0, 2**sampling.bits - 1) for letter, values in changed.items()}


def random_picture(
    format_name: str, size: tuple[int, int] = (7, 5), *, low: float = 0, high: float = 1
) -> av.VideoFrame:
    """Samples drawn from a share of their range, lines' padding and alpha too."""
    layout, generator = PixelLayout.of(format_name), np.random.default_rng(0)
    whole = 2 ** (layout.bits + layout.padding_bits)
    picture = av.VideoFrame(size[1], size[0], format_name)
    for plane in picture.planes:
        samples = np.frombuffer(plane, layout.sample_type)
        samples[...] = generator.integers(int(low * whole), int(high * whole), samples.shape)
    return picture


def snapshot(picture: av.VideoFrame) -> list[bytes]:
    return [bytes(plane) for plane in picture.planes]


def random_residual(size: tuple[int, int], seed: int = 1) -> torch.Tensor:
    return torch.rand((1, 3, *size), generator=torch.Generator().manual_seed(seed)) - 0.5


def flat_picture(luma: int, format_name: str = "yuv420p", size: tuple[int, int] = (6, 8)) -> av.VideoFrame:
    sampling = SAMPLINGS[format_name]
    codes = random_codes(sampling, size)
    for letter, values in codes.items():
        values[...] = luma if letter == "y" else 2 ** (sampling.bits - 1)
    return make_picture(format_name, size, codes)
