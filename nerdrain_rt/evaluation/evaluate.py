"""Runs a derainer over pictures, by the papers' protocol or whole, and scores the results against targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor

from nerdrain_rt.derainer import Derainer
from nerdrain_rt.errors import MediaError
from nerdrain_rt.evaluation.metrics import SSIM_WINDOW, Convention, Image, score
from nerdrain_rt.evaluation.pictures import holds_images, read_pairs, read_pictures, to_image, to_tensor
from nerdrain_rt.temporal import Seen, from_neighbours, trios
from nerdrain_rt.tiling import tile_starts

Protocol = Literal["full", "windows"]
"""full: pictures as the program derains them. windows: as the papers do, see `residual_in_windows`."""
WINDOW = 256


class Comparison(NamedTuple):
    """A picture before and after, and as it should be where that is known."""

    name: str
    rainy: Image
    clean: Image
    target: Image | None


class PairScore(NamedTuple):
    """Luma scores of a rainy picture and of its clean one against the target; PSNR in dB."""

    name: str
    input_psnr_y: float
    psnr_y: float
    ssim_y: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Means over all pairs, and the scores of each."""

    images: int
    input_psnr_y: float
    psnr_y: float
    ssim_y: float
    rows: tuple[PairScore, ...]

    @classmethod
    def of(cls, comparisons: Iterable[Comparison], convention: Convention = "y8") -> Self:
        """Score comparisons that have targets; raises MediaError for pictures too small for SSIM."""
        rows = tuple(_score(comparison, convention) for comparison in comparisons)
        _, inputs, outputs, likenesses = zip(*rows, strict=True)
        return cls(len(rows), fmean(inputs), fmean(outputs), fmean(likenesses), rows)


def evaluate_pairs(
    derainer: Derainer,
    rainy: Path,
    target: Path,
    *,
    protocol: Protocol = "full",
    score: Convention = "y8",
    limit: int | None = None,
) -> Evaluation:
    """Score a derainer on two folders of images or two videos, on the first `limit` pairs.

    Raises MediaError for what cannot be read, and for a picture without partner.
    """
    return Evaluation.of(compare(derainer, rainy, target, protocol=protocol, limit=limit), score)


def compare(
    derainer: Derainer,
    source: Path,
    target: Path | None = None,
    *,
    protocol: Protocol = "full",
    limit: int | None = None,
) -> Iterator[Comparison]:
    """The first `limit` pictures of a folder or video, derained, beside their targets where those are given.

    Frames of a video are compared with each other where the derainer does so.
    """
    pictures: Iterable[tuple[str, Image, Image | None]]
    pictures = read_pairs(source, target) if target else ((name, rgb, None) for name, rgb in read_pictures(source))
    derained = compare_pictures if holds_images(source) else compare_frames
    return derained(derainer, islice(pictures, limit), protocol)


def compare_pictures(
    derainer: Derainer, pictures: Iterable[tuple[str, Image, Image | None]], protocol: Protocol = "full"
) -> Iterator[Comparison]:
    """Each name, rainy picture and target, if known, with what the derainer makes of it."""
    for name, rainy, target in pictures:
        yield Comparison(name, rainy, derain(derainer, rainy, protocol), target)


def compare_frames(
    derainer: Derainer, frames: Iterable[tuple[str, Image, Image | None]], protocol: Protocol = "full"
) -> Iterator[Comparison]:
    """The same for frames in order, as in videos: whole, each is also compared with those around it."""
    if protocol == "windows" or not derainer.compares_frames:
        yield from compare_pictures(derainer, frames, protocol)
        return
    strength = derainer.settings.strength
    for (name, rainy, target, alone, seen), neighbours in trios(_seen(derainer, frames)):
        clean = alone
        if neighbours:
            first, second = (other for *_, other in neighbours)
            clean = alone + strength * from_neighbours(seen, (first, second))
        yield Comparison(name, rainy, to_image(clean), target)


def _seen(
    derainer: Derainer, frames: Iterable[tuple[str, Image, Image | None]]
) -> Iterator[tuple[str, Image, Image | None, Tensor, Seen]]:
    """Each frame with what the network alone makes of it."""
    before = None
    for name, rainy, target in frames:
        values = to_tensor(rainy)
        residual = derainer.residual(values)
        seen = Seen(values, residual, strength=derainer.settings.strength)
        seen.follow(before)
        before = seen
        yield name, rainy, target, values + residual, seen


def derain(derainer: Derainer, rainy: Image, protocol: Protocol = "full") -> Image:
    """The clean picture, rounded to 8 bits as a file of it would be."""
    values = to_tensor(rainy)
    residual = residual_in_windows(values, derainer.residual) if protocol == "windows" else derainer.residual(values)
    return to_image(values + residual)


def residual_in_windows(rainy: Tensor, compute: Callable[[Tensor], Tensor], window: int = WINDOW) -> Tensor:
    """Residual of B C H W in square windows side by side, the last ones moved back to end at the border.

    This is how NeRD-Rain's paper tests: where windows overlap, the first one's pixels count.
    """
    height, width = rainy.shape[-2:]
    residual = torch.empty_like(rainy)
    for top in reversed(tile_starts(height, window, 0)):
        for left in reversed(tile_starts(width, window, 0)):
            place = (..., slice(top, top + window), slice(left, left + window))
            residual[place] = compute(rainy[place])
    return residual


def _score(comparison: Comparison, convention: Convention) -> PairScore:
    name, rainy, clean, target = comparison
    assert target is not None
    if min(target.shape[:2]) < SSIM_WINDOW:
        size = f"{target.shape[1]}x{target.shape[0]}"
        raise MediaError(f"{name}: {size} is too small for SSIM; it needs {SSIM_WINDOW} pixels a side")
    return PairScore(name, score(rainy, target, convention).psnr_y, *score(clean, target, convention))
