"""How much of real rain is left, its dry frames unknown: a drop is what one frame shows and those around it do not."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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

REACH = 2
"""Frames before and after that a frame is held against."""
FAINTEST = 10
"""8-bit codes by which a drop is brighter than its place is in any of them."""
STEADIEST = 16
"""8-bit codes by which those may differ where a frame can be judged: leaves in the wind cannot."""
SAME = 3
"""8-bit codes within which nothing has happened."""
_MEDIAN = 5
"""Pixels of a median that takes drops away, so that the motion is not that of the rain."""


class FrameDrops(NamedTuple):
    """Light of a frame's drops per pixel that can be judged, and change of what is no drop, in 8-bit codes."""

    name: str
    before: float
    after: float
    changed: float


@dataclass(frozen=True, slots=True)
class RealDrops:
    """Drops of a video in luma, before and after; the means are over frames.

    A few are found in dry footage too, of noise and of motion that is not understood: what counts is one derainer's
    figures beside another's.
    """

    frames: int
    """Those judged."""
    drops_before: float
    """Light of drops per pixel that can be judged, in 8-bit codes."""
    drops_after: float
    drops_left: float | None
    """Of the drops' light in the output; None where there are none."""
    changed: float
    """Change of what is no drop, in 8-bit codes."""
    rows: tuple[FrameDrops, ...]

    @classmethod
    def of(cls, *shots: Iterable[Comparison]) -> Self:
        """From runs of consecutive frames, of which the first and last two are only what others are held against.

        Raises MediaError where no run is long enough, and for frames of different or too small sizes.
        """
        rows = tuple(row for shot in shots for row in _rows(shot))
        if not rows:
            raise MediaError(f"to tell real drops from what stays takes at least {2 * REACH + 1} frames")
        before, after, changed = (float(np.mean([row[column] for row in rows])) for column in (1, 2, 3))
        return cls(len(rows), before, after, after / before if before else None, changed, rows)


def measure_real_drops(derainer: Derainer, source: Path, *, limit: int | None = None) -> RealDrops:
    """Drops in the first `limit` frames of a video or folder of frames; raises MediaError for what cannot be read."""
    return RealDrops.of(compare(derainer, source, limit=limit))


def _rows(shot: Iterable[Comparison]) -> Iterator[FrameDrops]:
    around: deque[Comparison] = deque(maxlen=2 * REACH + 1)
    for comparison in shot:
        if min(comparison.rainy.shape[:2]) < SMALLEST_SIDE:
            raise MediaError(f"{comparison.name}: too small; motion is seen in frames of {SMALLEST_SIDE} pixels a side")
        if around and around[-1].rainy.shape != comparison.rainy.shape:
            raise MediaError(f"{comparison.name}: differs in size from the frame before it")
        around.append(comparison)
        if len(around) == around.maxlen:
            yield _judge(list(around))


def _judge(frames: list[Comparison]) -> FrameDrops:
    """The middle one against the others."""
    now = frames.pop(REACH)
    rainy, clean = _luma(now.rainy), _luma(now.clean).astype(np.float32)
    guide = _without_drops(rainy)
    others, is_seen = [], np.ones(rainy.shape, np.bool_)
    for frame in frames:
        other = _luma(frame.rainy)
        places, is_there = trace(_without_drops(other), guide)
        others.append(sample(other.astype(np.float32), places))
        is_seen &= is_there
    usual, brightest, darkest = np.median(others, axis=0), np.max(others, axis=0), np.min(others, axis=0)
    is_judged = is_seen & (brightest - darkest < STEADIEST)
    is_drop = is_judged & (rainy - brightest > FAINTEST)
    is_still = is_judged & (np.abs(rainy - usual) < SAME)
    before, after = ((side - usual)[is_drop].clip(min=0).sum() / max(1, is_judged.sum()) for side in (rainy, clean))
    changed = np.abs(clean - rainy)[is_still].sum() / max(1, is_still.sum())
    return FrameDrops(now.name, float(before), float(after), float(changed))


def _luma(picture: Image) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def _without_drops(luma: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.medianBlur(luma, _MEDIAN), np.uint8)
