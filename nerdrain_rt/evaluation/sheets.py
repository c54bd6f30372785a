"""Sheets of pictures side by side, for looking at what the numbers say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from nerdrain_rt.evaluation.evaluate import Comparison
from nerdrain_rt.evaluation.metrics import Image, psnr
from nerdrain_rt.media.report import media_errors

ROWS = 6
WIDEST = 800
"""Pictures wider than this are shrunk to it."""
AMPLIFICATION = 4
TEXT_HEIGHT = 18


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
        rows = [_row(decibels, comparison) for decibels, comparison in self._worst]
        sheet = PillowImage.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)))
        top = 0
        for row in rows:
            sheet.paste(row, (0, top))
            top += row.height
        with media_errors(path):
            sheet.save(path, "PNG")


def _reference(comparison: Comparison) -> Image:
    return comparison.rainy if comparison.target is None else comparison.target


def _row(decibels: float, comparison: Comparison) -> PillowImage.Image:
    name, rainy, clean, target = comparison
    difference = cv2.absdiff(clean, _reference(comparison))
    panels = {f"{name}: input": rainy, f"output, {decibels:.2f} dB of RGB": clean}
    if target is not None:
        panels["target"] = target
    other = "input" if target is None else "target"
    panels[f"|output - {other}| x {AMPLIFICATION}"] = np.clip(difference.astype(int) * AMPLIFICATION, 0, 255).astype(
        np.uint8
    )
    pictures = [_shrunk(panel) for panel in panels.values()]
    width, height = pictures[0].size
    row = PillowImage.new("RGB", (width * len(pictures), height + TEXT_HEIGHT))
    draw, font = ImageDraw.Draw(row), ImageFont.load_default(12)
    for index, (label, picture) in enumerate(zip(panels, pictures, strict=True)):
        row.paste(picture, (index * width, TEXT_HEIGHT))
        draw.text((index * width + 4, 2), label, font=font)
    return row


def _shrunk(picture: Image) -> PillowImage.Image:
    height, width = picture.shape[:2]
    image = PillowImage.fromarray(picture)
    return image if width <= WIDEST else image.resize((WIDEST, round(height * WIDEST / width)))
