"""Derains a single picture file at its own bit depth and keeps what the file says about the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nerdrain_rt.errors import UsageError
from nerdrain_rt.media.picture import MAX_PIXELS, quiet_pillow, read_picture
from nerdrain_rt.media.picture_encoders import ENCODERS
from nerdrain_rt.media.report import media_errors
from nerdrain_rt.media.target import whole_file

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
MAX_SIDE = {"JPEG": 65500, "WEBP": 16383}
BAND = 256
LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601: what a change of red, green and blue means for gray."""


@dataclass(frozen=True, slots=True)
class ImageReport:
    """What was written; `size` is (height, width) as stored, `bits` those of each sample in the output."""

    input: Path
    output: Path
    size: tuple[int, int]
    bits: int
    warnings: tuple[str, ...]


def derain_image(
    source: str | Path, target: str | Path, derain: Callable[[Tensor], Tensor], *, overwrite: bool = False
) -> ImageReport:
    """Write `source` to `target` with the residual that `derain` gives added to its samples.

    `derain` maps 1 3 H W float32 RGB in [0, 1] on the CPU to the residual of the same shape. PNG, JPEG, WebP, TIFF
    and BMP are read, the suffix of `target` chooses among the first four. Samples stay as stored (a rotation
    stays a tag) with 8 or 16 bits, alpha is untouched, gray stays gray, a palette becomes RGB; where the residual
    is 0 a lossless target has the source's samples. EXIF, ICC, XMP, resolution and PNG text are kept where the
    target's format can hold them, else a warning says so. An EXIF thumbnail is kept as it is. Pillow's pixel limit
    and Python's warning filters are changed while it works: one call at a time in a process.

    Raises `UsageError` for a target that cannot be, `MediaError` for what cannot be read or written.
    """
    source, target = Path(source), Path(target)
    form = FORMATS.get(target.suffix.lower())
    if form is None:
        raise UsageError(f"{target}: no image format for {target.suffix or 'no suffix'!r}; try {', '.join(FORMATS)}")
    with whole_file(target, source=source, overwrite=overwrite) as temporary:
        picture = read_picture(source)
        height, width, channels = picture.samples.shape
        if form == "JPEG" and channels in (2, 4):
            raise UsageError(f"{target}: JPEG cannot hold the transparency of {source}; try .png, .webp or .tiff")
        if max(height, width) > MAX_SIDE.get(form, MAX_PIXELS):
            raise UsageError(f"{target}: {width}x{height} is more than {MAX_SIDE[form]} a side; try .png or .tiff")
        bits = 16 if picture.samples.dtype == np.uint16 and form in ("PNG", "TIFF") else 8
        samples = _add(picture.samples, derain(_as_rgb(picture.samples)), bits)
        lost: list[str] = []
        with quiet_pillow(target, "cannot be encoded"):
            encoded = ENCODERS[form](samples, picture, lost)
        with media_errors(target):
            temporary.write_bytes(encoded)
    if bits < 8 * picture.samples.itemsize:
        lost.insert(0, f"written with 8 bits a sample; {form} cannot hold 16")
    return ImageReport(source, target, (height, width), bits, (*picture.warnings, *lost))


def _as_rgb(samples: np.ndarray) -> Tensor:
    colour = samples[..., :3] if samples.shape[2] > 2 else samples[..., :1]
    planes = torch.from_numpy(np.ascontiguousarray(colour.transpose(2, 0, 1), np.float32))
    return planes.div_(np.iinfo(samples.dtype).max).expand(3, -1, -1).unsqueeze(0).contiguous()


def _add(samples: np.ndarray, residual: Tensor, bits: int) -> np.ndarray:
    """Samples plus residual with `bits` each, rounded once; in bands of rows, which keeps float copies small."""
    highest = 2**bits - 1
    scale = np.float32(highest / np.iinfo(samples.dtype).max)
    clean = np.empty_like(samples, np.uint16 if bits == 16 else np.uint8)
    for top in range(0, len(samples), BAND):
        rows = slice(top, top + BAND)
        change = residual[0, :, rows].permute(1, 2, 0).numpy()
        if samples.shape[2] < 3:
            change = (change @ np.array(LUMA, np.float32))[..., None]
        values = samples[rows].astype(np.float32) * scale
        values[..., : change.shape[2]] += change * np.float32(highest)
        clean[rows] = np.clip(np.rint(values), 0, highest)
    return clean
