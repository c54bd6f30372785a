# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames made ready for the screen at the size they are shown at; costs the window's thread nothing."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PyQt6 import sip
from PyQt6.QtGui import QImage

if TYPE_CHECKING:
    import av

View = Literal["wipe", "side", "clean", "removed"]
VIEWS: tuple[View, ...] = ("wipe", "side", "clean", "removed")
AMPLIFICATION = 4.0
"""How much brighter than it was the removed rain is shown."""
HD_LINES = 720
UNSPECIFIED, BT709 = 2, 1
"""FFmpeg's numbers for an untagged matrix and for that of HD video."""
_converting = threading.Lock()
"""PyAV crashes where the screen and a snapshot convert one frame at once."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How the canvas shows pictures: the view, and the (height, width) in device pixels of the whole picture."""

    view: View = "wipe"
    pixels: tuple[int, int] = (720, 1280)


@dataclass(frozen=True, slots=True)
class Picture:
    """Images of one frame: rainy and clean in the views "wipe" and "side", else the only one to show."""

    view: View
    size: tuple[int, int]
    """(height, width) of the source as it is shown, with square samples and after rotation."""
    images: tuple[QImage, ...]
    buffers: tuple[np.ndarray, ...]
    """The samples that the images point to."""


def make_picture(
    rainy: av.VideoFrame, clean: av.VideoFrame, wanted: Wanted, rotation: int = 0, aspect: Fraction = Fraction(1)
) -> Picture:
    """What `wanted` asks for of a frame, never larger than the source.

    `rotation` in counter-clockwise degrees; `aspect` is that of the samples, as stored.
    """
    is_turned = rotation % 180 == 90
    source = square(clean, aspect)
    source = source[::-1] if is_turned else source
    scale = min(1.0, max(wanted.pixels[0] / source[0], wanted.pixels[1] / source[1]))
    height, width = max(1, round(source[0] * scale)), max(1, round(source[1] * scale))
    stored = (width, height) if is_turned else (height, width)

    def samples(frame: av.VideoFrame) -> np.ndarray:
        return upright(frame, stored, rotation)

    if wanted.view == "clean":
        buffers: tuple[np.ndarray, ...] = (samples(clean),)
    elif wanted.view == "removed":
        buffers = (removed(samples(rainy), samples(clean)),)
    else:
        buffers = (samples(rainy), samples(clean))
    return Picture(wanted.view, source, tuple(as_image(buffer) for buffer in buffers), buffers)


def square(frame: av.VideoFrame, aspect: Fraction) -> tuple[int, int]:
    """The (height, width) at which samples of this aspect ratio become square."""
    return frame.height, max(1, round(frame.width * aspect))


def upright(frame: av.VideoFrame, size: tuple[int, int], rotation: int) -> np.ndarray:
    """The frame at (height, width) and turned after that, as uint8 H W 4 in Qt's order."""
    is_untagged_hd = frame.colorspace == UNSPECIFIED and frame.height >= HD_LINES
    # threads=1: with several, swscale was seen giving wrong samples under load, if rarely
    with _converting:
        scaled = frame.reformat(
            size[1], size[0], "bgra", src_colorspace=BT709 if is_untagged_hd else None, interpolation="AREA", threads=1
        )
    pixels = scaled.to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels, rotation // 90)) if rotation % 360 else pixels


def removed(rainy: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """What was taken out, amplified, on black; uint8 H W 4."""
    import cv2

    return cv2.convertScaleAbs(cv2.absdiff(rainy, clean), alpha=AMPLIFICATION)


def as_image(samples: np.ndarray) -> QImage:
    """An image over the samples, which have to outlive it."""
    height, width = samples.shape[:2]
    start: Any = sip.voidptr(samples.ctypes.data)
    image: QImage = QImage(start, width, height, samples.strides[0], QImage.Format.Format_RGB32)
    return image
