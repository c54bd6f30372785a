"""Validation while training: photographs that are not trained on, under rain that is always the same."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from PIL import Image
from torch import Tensor

from nerdrain_rt.errors import MediaError
from nerdrain_rt.media.image_folder import find_images, read_image
from nerdrain_rt.media.report import media_errors
from nerdrain_rt.model.net import NerdRain
from nerdrain_rt.training.data import is_named_like, match_by_stem
from nerdrain_rt.training.logs import ValidationLog
from nerdrain_rt.training.looks import RainSettings
from nerdrain_rt.training.rain import add_rain
from nerdrain_rt.training.recipe import TrainSettings

_log = logging.getLogger(__name__)

SEED = 20_240_618
RAIN = RainSettings(dry=0, light=0.26, heavy=0.10, fine=0.09, thick=0.04, optical=0.43, short=0, falling=0)
"""Whatever a recipe trains on, so that curves can be compared."""
SHEET_ROWS = 6
AT_ONCE = 4


class Validation:
    """The middles of photographs with rain, none of them dry, or of pairs; both sides B 3 S S in [0, 1]."""

    def __init__(self, rainy: Tensor, target: Tensor) -> None:
        self._rainy, self._target = rainy, target
        self._clean = self._rainy

    @classmethod
    def of(cls, settings: TrainSettings, device: torch.device) -> Self | None:
        """That of a recipe; None where it names no images for it. Raises MediaError for one too small or broken."""
        if not settings.validate:
            return None
        matches: dict[Path, Path] = {}
        if settings.images is not None:
            folder, matches = settings.images, {path: path for path in find_images(settings.images)}
        elif settings.pairs is not None:
            folder, matches = settings.pairs[0], match_by_stem(*settings.pairs)
        found = [path for path in matches if is_named_like(path, settings.validate)]
        if not found:
            _log.warning("%s: no image is named like %s; not validating", folder, ", ".join(settings.validate))
            return None
        found = found[:: -(-len(found) // settings.validation_images)]
        target = _middles([matches[path] for path in found], settings.validation_size).to(device) / 255
        if settings.images is not None:
            return cls(*add_rain(target, torch.Generator().manual_seed(SEED), RAIN))
        return cls(_middles(found, settings.validation_size).to(device) / 255, target)

    @torch.inference_mode()
    def __call__(self, net: NerdRain, step: int) -> ValidationLog:
        """Mean PSNR-Y before and after the network."""
        residuals = [net(rainy) for rainy in torch.split(self._rainy, AT_ONCE)]
        self._clean = (self._rainy + torch.cat(residuals)).clamp(0, 1)
        return ValidationLog(step, psnr_y(self._rainy, self._target), psnr_y(self._clean, self._target))

    def save_sheet(self, path: Path) -> None:
        """Write rainy, derained and target images side by side as PNG; raises MediaError."""
        rows = [torch.cat(row.unbind(), dim=2) for row in torch.stack((self._rainy, self._clean, self._target), 1)]
        sheet = torch.cat(rows[:SHEET_ROWS], dim=1).mul(255).round().byte().permute(1, 2, 0)
        with media_errors(path):
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(sheet.cpu().numpy()).save(path, "PNG")


def psnr_y(images: Tensor, targets: Tensor) -> float:
    """Mean PSNR in dB of the luma (BT.601, limited range, not rounded) of images B 3 H W in [0, 1]; 100 where equal."""
    weights = torch.tensor([65.481, 128.553, 24.966], device=images.device).view(3, 1, 1)
    errors = ((images.float() - targets.float()) * weights).sum(1).square().mean((1, 2))
    return float((10 * torch.log10(255**2 / errors)).clamp(max=100).mean())


def _middles(paths: Sequence[Path], largest_size: int) -> Tensor:
    images = [torch.from_numpy(read_image(path)).permute(2, 0, 1) for path in paths]
    size = min(largest_size, *(min(image.shape[1:]) for image in images))
    size -= size % NerdRain.multiple_of
    if not size:
        smallest = min(zip(images, paths, strict=True), key=lambda pair: min(pair[0].shape[1:]))[1]
        raise MediaError(f"{smallest}: to validate on it, it must be at least {NerdRain.multiple_of} pixels a side")
    return torch.stack([_middle(image, size) for image in images])


def _middle(image: Tensor, size: int) -> Tensor:
    top, left = ((side - size) // 2 for side in image.shape[1:])
    return image[:, top : top + size, left : left + size]
