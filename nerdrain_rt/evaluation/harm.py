"""What a derainer does to footage that it should leave alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import NamedTuple, Self

import cv2
import numpy as np

from nerdrain_rt.derainer import Derainer
from nerdrain_rt.evaluation.evaluate import Comparison, compare
from nerdrain_rt.evaluation.metrics import psnr


class FrameHarm(NamedTuple):
    """PSNR in dB between a frame before and after, and the share of its pixels that changed visibly."""

    name: str
    psnr: float
    changed_share: float


@dataclass(frozen=True, slots=True)
class Harm:
    """How far dry footage was changed."""

    harm_psnr: float
    """Mean PSNR of RGB between input and output, dB; higher is less harm, 100 is none."""
    changed_share: float
    """Share of pixels of which a channel changed by more than 1/255."""
    worst_frame: int
    """Number of the frame with the lowest PSNR, from 0."""
    rows: tuple[FrameHarm, ...]

    @classmethod
    def of(cls, comparisons: Iterable[Comparison]) -> Self:
        """Compare what went in with what came out."""
        rows = tuple(
            FrameHarm(name, psnr(clean, dry), float(np.mean(cv2.absdiff(clean, dry).max(axis=2) > 1)))
            for name, dry, clean, _ in comparisons
        )
        _, decibels, shares = zip(*rows, strict=True)
        return cls(fmean(decibels), fmean(shares), decibels.index(min(decibels)), rows)


def measure_harm(derainer: Derainer, source: Path, *, limit: int | None = None) -> Harm:
    """Harm done to the first `limit` pictures of a dry video or folder; raises MediaError for what cannot be read."""
    return Harm.of(compare(derainer, source, limit=limit))
