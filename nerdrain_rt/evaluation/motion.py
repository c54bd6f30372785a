"""Where what a frame shows was in another one, by OpenCV's optical flow."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Field: TypeAlias = npt.NDArray[np.float32]
"""H W 2: columns and rows."""

SMALLEST_SIDE = 12
"""Of pictures that OpenCV finds motion in."""


def trace(previous: npt.NDArray[np.uint8], current: npt.NDArray[np.uint8]) -> tuple[Field, npt.NDArray[np.bool_]]:
    """Where each pixel was in the previous frame, and whether it was seen there.

    It was where the flow there and back again ends near its start (Sundaram, Brox, Keutzer, ECCV 2010).
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    height, width = current.shape
    still = np.zeros((height, width, 2), np.float32)
    back = np.asarray(search.calc(current, previous, still.copy()), np.float32)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    places = back + np.stack((columns, rows), axis=-1)
    there = sample(np.asarray(search.calc(previous, current, still), np.float32), places)
    is_inside = ((places >= 0) & (places <= (width - 1, height - 1))).all(axis=2)
    lengths = np.square(back).sum(axis=2) + np.square(there).sum(axis=2)
    return places, is_inside & (np.square(back + there).sum(axis=2) < 0.01 * lengths + 0.5)


def sample(values: npt.NDArray[np.float32], places: Field) -> npt.NDArray[np.float32]:
    """H W C at places between its pixels, linearly."""
    return np.asarray(cv2.remap(values, places[..., 0], places[..., 1], cv2.INTER_LINEAR), np.float32)
