"""Folders of images, read as plain 8-bit RGB to score and to train on."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from nerdrain_rt.errors import MediaError
from nerdrain_rt.media.report import explain

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def find_images(folder: Path | str) -> list[Path]:
    """The images below a folder without hidden ones, "2" before "10".

    Raises MediaError where there are none, and for what cannot be looked into, which may hold some.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MediaError(f"{folder}: no such folder")
    try:
        found = [path for path in _files(folder) if stat.S_ISREG(path.stat().st_mode)]
    except OSError as error:
        raise MediaError(f"{error.filename}: {explain(error)}") from error
    if not found:
        raise MediaError(f"{folder}: no images in this folder; it takes {', '.join(sorted(IMAGE_SUFFIXES))}")
    return sorted(found, key=_numeric_order)


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """H W 3 RGB: gray is repeated, alpha dropped, 16 bits are cut to 8, rotation tags are applied.

    Raises MediaError for what is no image, of floating point or 32-bit integers, or damaged.
    """
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode in ("F", "I"):
                numbers = "floating-point numbers" if picture.mode == "F" else "integers of 32 bits"
                raise MediaError(f"{path}: holds {numbers}, whose white is not known")
            if picture.mode.startswith("I"):
                picture = Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).astype(np.uint8))
            return np.array(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError(f"{path}: not a readable image ({explain(error)})") from error


def lost_by_reading(path: Path) -> list[str]:
    """What `read_image` does not keep of a readable image, or has to make up: "alpha", "16 bits", "gray"."""
    with Image.open(path) as file:
        # Of BMP, 16 bits are those of all colours.
        is_deep = file.mode.startswith("I") or (file.format != "BMP" and any(";16" in str(it) for it in file.tile))
        is_gray = file.getbands() in (("1",), ("L",), ("L", "A"), ("I",))
        is_clear = file.has_transparency_data and np.asarray(file.convert("RGBA"))[..., 3].min() < 255
    is_found = {"alpha": is_clear, "16 bits": is_deep, "gray": is_gray}
    return [name for name, found in is_found.items() if found]


def _files(folder: Path) -> Iterator[Path]:
    """What is named as an image below a folder; raises OSError for a folder that cannot be read."""

    def refuse(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(place, name) for name in names if not name.startswith("."))
        yield from (path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES)


def _numeric_order(path: Path) -> list[str | int]:
    return [int(part) if index % 2 else part for index, part in enumerate(re.split("([0-9]+)", path.as_posix()))]
