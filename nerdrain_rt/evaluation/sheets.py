"""Sheets of pictures side by side, for looking at what the numbers say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from nerdrain_rt.evaluation.evaluate import Comparison
from nerdrain_rt.evaluation.metrics import Image, psnr
from nerdrain_rt.media.report import media_errors

ROWS = 6
WIDEST = 800
"""Pictures wider than this are shrunk to it."""
AMPLIFICATION = 4
LABEL_SIZE = 12

CROP, ZOOM = (120, 160), 3
"""(height, width) of the crops of `save_crops`, and how far they are enlarged."""
CROP_LABEL_SIZE, CROP_GAP = 22, 6
FRAME = (255, 220, 0)
DARK, LIT, BRIGHTEST = 60, 90, 4
"""Crops of pictures whose mean is below the first are shown with the second, but so many times as bright at most."""


class Sheet:
    """The comparisons with the lowest PSNR among those that pass by, the worst first.

    The PSNR is against the target; where there is none, against the input, so that it shows what changed most.
    """

    def __init__(self, rows: int = ROWS) -> None:
        self._count = rows
        self._worst: list[tuple[float, Comparison]] = []

    def watch(self, comparisons: Iterable[Comparison]) -> Iterator[Comparison]:
        """The same comparisons, while the worst are kept."""
        for comparison in comparisons:
            rated = psnr(comparison.clean, _reference(comparison)), comparison
            self._worst = sorted([*self._worst, rated], key=lambda kept: kept[0])[: self._count]
            yield comparison

    def save(self, path: Path) -> None:
        """Write input, output, target and the amplified difference of each as PNG; raises MediaError."""
        _save(path, [_row(decibels, comparison) for decibels, comparison in self._worst])


def save_crops(path: Path, comparisons: Sequence[Comparison]) -> None:
    """Write a PNG on which single streaks can be judged: of each comparison the part with the most rain, enlarged.

    Where no target is known it is the part that changed most, and what changed is shown too. Raises MediaError.
    """
    _save(path, [_row_of_crops(comparison) for comparison in comparisons])


def _reference(comparison: Comparison) -> Image:
    return comparison.rainy if comparison.target is None else comparison.target


def _row(decibels: float, comparison: Comparison) -> PillowImage.Image:
    name, rainy, clean, target = comparison
    panels = {f"{name}: input": rainy, f"output, {decibels:.2f} dB of RGB": clean}
    if target is not None:
        panels["target"] = target
    other = "input" if target is None else "target"
    panels[f"|output - {other}| x {AMPLIFICATION}"] = _difference(clean, _reference(comparison))
    return _side_by_side({label: _shrunk(panel) for label, panel in panels.items()}, LABEL_SIZE)


def _row_of_crops(comparison: Comparison) -> PillowImage.Image:
    name, rainy, clean, target = comparison
    top, left = _place_of_change(rainy, clean if target is None else target)
    mean = float(_reference(comparison).mean())
    light = min(LIT / max(mean, 1), BRIGHTEST) if mean < DARK else 1

    def crop(picture: Image) -> PillowImage.Image:
        part = PillowImage.fromarray(_times(picture[top : top + CROP[0], left : left + CROP[1]], light))
        return part.resize((part.width * ZOOM, part.height * ZOOM), PillowImage.Resampling.BICUBIC)

    whole = PillowImage.fromarray(rainy)
    corners = (left - 1, top - 1, left + CROP[1], top + CROP[0])
    ImageDraw.Draw(whole).rectangle(corners, outline=FRAME, width=max(1, whole.width // 240))
    panels = {name: whole}
    if target is None:
        panels[f"|output - input| x {AMPLIFICATION}"] = PillowImage.fromarray(_difference(clean, rainy))
    lit = f", {light:.1f} times as bright" if light > 1 else ""
    panels |= {f"input x {ZOOM}{lit}": crop(rainy), f"output x {ZOOM}, {_gain(comparison)}": crop(clean)}
    if target is not None:
        panels[f"target x {ZOOM}"] = crop(target)
    return _side_by_side({label: _fitted(panel) for label, panel in panels.items()}, CROP_LABEL_SIZE)


def _gain(comparison: Comparison) -> str:
    decibels = psnr(comparison.clean, _reference(comparison))
    if comparison.target is None:
        return f"{decibels:.1f} dB from input"
    return f"{psnr(comparison.rainy, comparison.target):.1f} to {decibels:.1f} dB"


def _place_of_change(picture: Image, other: Image) -> tuple[int, int]:
    """Top and left of the part of a crop's size in which two pictures differ most."""
    size = [min(sides) for sides in zip(CROP, picture.shape, strict=False)]
    change = cv2.absdiff(picture, other).max(axis=2).astype(np.float32)
    means = cv2.blur(change, size[::-1], anchor=(0, 0))[: len(change) - size[0] + 1, : change.shape[1] - size[1] + 1]
    top, left = np.unravel_index(means.argmax(), means.shape)
    return int(top), int(left)


def _difference(picture: Image, other: Image) -> Image:
    return _times(cv2.absdiff(picture, other), AMPLIFICATION)


def _times(picture: npt.NDArray[Any], factor: float) -> Image:
    return np.asarray(cv2.convertScaleAbs(picture, alpha=factor), np.uint8)


def _shrunk(picture: Image) -> PillowImage.Image:
    height, width = picture.shape[:2]
    image = PillowImage.fromarray(picture)
    return image if width <= WIDEST else image.resize((WIDEST, max(1, round(height * WIDEST / width))))


def _fitted(image: PillowImage.Image) -> PillowImage.Image:
    """As large as an enlarged crop with a gap beside it, the rest of it black."""
    height, width = (side * ZOOM for side in CROP)
    scale = min(height / image.height, width / image.width)
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    fitted = PillowImage.new("RGB", (width + CROP_GAP, height))
    fitted.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return fitted


def _side_by_side(panels: Mapping[str, PillowImage.Image], label_size: int) -> PillowImage.Image:
    """Pictures of one size, each with its label above it, cut where it is longer than the picture is wide."""
    width, height = next(iter(panels.values())).size
    top, font = label_size * 3 // 2, ImageFont.load_default(label_size)
    row = PillowImage.new("RGB", (width * len(panels), height + top))
    for index, (label, picture) in enumerate(panels.items()):
        labelled = PillowImage.new("RGB", (width, height + top))
        ImageDraw.Draw(labelled).text((4, label_size // 6), label, font=font)
        labelled.paste(picture, (0, top))
        row.paste(labelled, (index * width, 0))
    return row


def _save(path: Path, rows: Sequence[PillowImage.Image]) -> None:
    """Write the rows one below the other as PNG."""
    sheet = PillowImage.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)))
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    with media_errors(path):
        sheet.save(path, "PNG")
