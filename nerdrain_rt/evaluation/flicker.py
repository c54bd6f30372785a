"""How much pictures change from frame to frame beyond what moves in them, before and after."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self

import cv2
import numpy as np
import numpy.typing as npt

from nerdrain_rt.derainer import Derainer
from nerdrain_rt.errors import MediaError
from nerdrain_rt.evaluation.evaluate import Comparison, compare
from nerdrain_rt.evaluation.metrics import Image
from nerdrain_rt.evaluation.motion import SMALLEST_SIDE, sample, trace


class FrameFlicker(NamedTuple):
    """Flicker of a frame against the one before it, in 8-bit codes."""

    name: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Flicker:
    """Root mean square difference, in 8-bit codes, between frames and their predecessors moved along optical flow."""

    frames: int
    flicker_before: float
    flicker_after: float
    flicker_target: float | None
    """That of the dry frames, of noise and of errors of the flow: the least there can be; None where unknown."""
    flicker_left: float | None
    """Flicker of output - target as a share of that of input - target, which noise and flow do not blur."""
    rows: tuple[FrameFlicker, ...]

    @classmethod
    def of(cls, comparisons: Iterable[Comparison]) -> Self:
        """Compare neighbours, along the motion of the targets, else of the input, where nothing is covered by it.

        Raises MediaError for fewer than two frames and for frames of different or too small sizes.
        """
        rows, areas, errors = [], [], []
        for previous, current in pairwise(comparisons):
            area, sides = _errors(previous, current)
            rows.append(FrameFlicker(current.name, *(math.sqrt(error / max(area, 1)) for error in sides[:2])))
            areas.append(area)
            errors.append(sides)
        if not sum(areas):
            raise MediaError("flicker needs at least two frames that show the same scene")
        before, after, *known = (math.sqrt(sum(side) / sum(areas)) for side in zip(*errors, strict=True))
        target, rain_before, rain_after = known or (None, None, None)
        left = rain_after / rain_before if rain_before and rain_after is not None else None
        return cls(len(rows) + 1, before, after, target, left, tuple(rows))


def measure_flicker(
    derainer: Derainer, source: Path, target: Path | None = None, *, limit: int | None = None
) -> Flicker:
    """Flicker of the first `limit` frames of a video or folder of frames; `target` are its dry frames, if known.

    Raises MediaError as `Flicker.of`, and for what cannot be read.
    """
    return Flicker.of(compare(derainer, source, target, limit=limit))


def _errors(previous: Comparison, current: Comparison) -> tuple[int, list[float]]:
    """The number of samples compared, and for each of `_sides` the sum of squared differences."""
    if previous.rainy.shape != current.rainy.shape or min(current.rainy.shape[:2]) < SMALLEST_SIDE:
        before, now = (f"{side.rainy.shape[1]}x{side.rainy.shape[0]}" for side in (previous, current))
        raise MediaError(
            f"{current.name}: {now} after {before}; flicker needs frames of one size, {SMALLEST_SIDE} pixels a side"
        )
    places, is_seen = trace(*(_guide(side) for side in (previous, current)))
    changes = (sample(then, places) - now for then, now in zip(_sides(previous), _sides(current), strict=True))
    return 3 * int(is_seen.sum()), [float(np.square(change[is_seen]).sum(dtype=np.float64)) for change in changes]


def _sides(comparison: Comparison) -> list[npt.NDArray[np.float32]]:
    """Input and output; then, where it is known, the target, and how both differ from it."""
    rainy, clean = comparison.rainy.astype(np.float32), comparison.clean.astype(np.float32)
    if comparison.target is None:
        return [rainy, clean]
    return [rainy, clean, comparison.target.astype(np.float32), rainy - comparison.target, clean - comparison.target]


def _guide(comparison: Comparison) -> npt.NDArray[np.uint8]:
    picture: Image = comparison.rainy if comparison.target is None else comparison.target
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
