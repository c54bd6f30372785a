"""Training images, loaded once as bytes onto the training device and cropped there at random."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from nerdrain_rt.errors import MediaError
from nerdrain_rt.media.image_folder import find_images, lost_by_reading, read_image

_log = logging.getLogger(__name__)


class Crops(NamedTuple):
    """Crops of pairs, each B 3 S S float in [0, 1]."""

    rainy: Tensor
    target: Tensor


class CleanImages:
    """Every photograph below a folder; those whose file name matches a pattern in `exclude` ("C-test*") are left out.

    Raises MediaError where the folder has no images or one of them cannot be read.
    """

    def __init__(
        self, folder: Path | str, device: torch.device | str = "cpu", *, exclude: Collection[str] = ()
    ) -> None:
        found = [path for path in _sorted(folder) if not is_named_like(path, exclude)]
        if not found:
            raise MediaError(f"{folder}: every image is excluded by {', '.join(exclude)}")
        self.images = _load(found, torch.device(device))

    def __len__(self) -> int:
        return len(self.images)

    def crops(self, batch: int, size: int, generator: torch.Generator, *, streaky: float = 0.0) -> Tensor:
        """B 3 `size` `size` in [0, 1]: half of them shrunk by up to 2, all flipped and turned at random.

        For a share `streaky` of them, several are cut and the one taken that looks most like streaks. An image smaller
        than `size` is continued by its mirror image. Nothing but the generator's state decides.
        """
        return torch.stack([self._crop(size, generator, streaky) for _ in range(batch)])

    def _crop(self, size: int, generator: torch.Generator, streaky: float) -> Tensor:
        is_chosen = streaky > 0 and float(torch.rand((), generator=generator, device=generator.device)) < streaky
        places = [
            _Place.draw(self.images, size, generator, smallest_scale=0.5)
            for _ in range(_CANDIDATES if is_chosen else 1)
        ]
        first, *others = (place.cut(self.images[place.which]) for place in places)
        if not others:
            return first
        crops = torch.stack([first, *others])
        # Selected, not indexed, which would wait for a GPU.
        return crops.index_select(0, streakiness(crops).argmax(0, keepdim=True))[0]


_CANDIDATES = 8
_STRONGEST_GRADIENT = 0.06


def streakiness(crops: Tensor) -> Tensor:
    """How much each of B 3 H W in [0, 1] is made of lines of one direction, as grass, hair and fences are: B.

    Of the tensor of the gradients' structure, the larger eigenvalue less the smaller one; strong gradients count no
    more than fair ones, so that many lines count more than one edge.
    """
    luma = crops.mean(1)
    down, right = luma[:, 1:] + luma[:, :-1], luma[:, :, 1:] + luma[:, :, :-1]
    x, y = (down[:, :, 1:] - down[:, :, :-1]) / 2, (right[:, 1:] - right[:, :-1]) / 2
    weight = (_STRONGEST_GRADIENT / torch.hypot(x, y).clamp(min=_STRONGEST_GRADIENT)).square()
    across = (weight * (x.square() - y.square())).mean((1, 2))
    aslant = (2 * weight * x * y).mean((1, 2))
    return torch.hypot(across, aslant)


class ImagePairs:
    """Rainy images and their targets in two folders, matched by their path without its suffix.

    Rainy ones whose file name matches a pattern in `exclude` are left out. Raises MediaError where an image has no
    partner or one of another size, or all are left out.
    """

    def __init__(
        self,
        rainy: Path | str,
        target: Path | str,
        device: torch.device | str = "cpu",
        *,
        exclude: Collection[str] = (),
    ) -> None:
        matches = match_by_stem(rainy, target)
        matches = {path: other for path, other in matches.items() if not is_named_like(path, exclude)}
        if not matches:
            raise MediaError(f"{rainy}: every image is excluded by {', '.join(exclude)}")
        self.rainy = _load(matches, torch.device(device))
        self.target = _load(matches.values(), torch.device(device))
        for path, left, right in zip(matches, self.rainy, self.target, strict=True):
            if left.shape != right.shape:
                sizes = " and ".join(f"{image.shape[2]}x{image.shape[1]}" for image in (left, right))
                raise MediaError(f"{path}: rainy image and target differ in size: {sizes}")

    def __len__(self) -> int:
        return len(self.rainy)

    def crops(self, batch: int, size: int, generator: torch.Generator) -> Crops:
        """Both sides of `batch` pairs, cut, flipped and turned alike but never scaled."""
        places = [_Place.draw(self.rainy, size, generator, smallest_scale=1.0) for _ in range(batch)]
        rainy, target = (
            torch.stack([place.cut(images[place.which]) for place in places]) for images in (self.rainy, self.target)
        )
        return Crops(rainy, target)


def match_by_stem(rainy: Path | str, target: Path | str) -> dict[Path, Path]:
    """The target of each rainy image below two folders; raises MediaError where either has no partner."""
    rainy_paths, target_paths = _by_stem(rainy), _by_stem(target)
    for paths, others, folder in ((rainy_paths, target_paths, target), (target_paths, rainy_paths, rainy)):
        if alone := next((path for stem, path in paths.items() if stem not in others), None):
            raise MediaError(f"{alone}: no image of the same name in {folder}")
    return {path: target_paths[stem] for stem, path in rainy_paths.items()}


def is_named_like(path: Path, patterns: Collection[str]) -> bool:
    """Whether one of the patterns is of the file's name."""
    return any(fnmatch(path.name, pattern) for pattern in patterns)


def _sorted(folder: Path | str) -> list[Path]:
    """Images in the order of their names as text, which decides what a seed draws and so must not change."""
    return sorted(find_images(folder))


def _by_stem(folder: Path | str) -> dict[Path, Path]:
    paths: dict[Path, Path] = {}
    for path in _sorted(folder):
        stem = path.relative_to(folder).with_suffix("")
        if stem in paths:
            raise MediaError(f"{path}: {paths[stem].name} has the same name; a pair needs one image on each side")
        paths[stem] = path
    return paths


_WHAT_BECOMES = {
    "alpha": "has alpha, which is left out",
    "16 bits": "has 16 bits, cut to 8",
    "gray": "is gray, trained on without colour",
}


def _load(paths: Collection[Path], device: torch.device) -> list[Tensor]:
    images = [torch.from_numpy(read_image(path)).permute(2, 0, 1).contiguous().to(device) for path in paths]
    _log.info("%d images, %.0f MiB on %s", len(images), sum(image.numel() for image in images) / 2**20, device)
    concerned = defaultdict(list)
    for path in paths:
        for loss in lost_by_reading(path):
            concerned[loss].append(path)
    for loss, found in concerned.items():
        others = f", as {len(found) - 1} more" if len(found) > 1 else ""
        _log.warning("%s: %s%s", found[0], _WHAT_BECOMES[loss], others)
    return images


class _Place(NamedTuple):
    """Where a crop is taken and how it is turned."""

    which: int
    top: int
    left: int
    extent: int
    """Pixels cut from the image on each side, scaled to `size`."""
    size: int
    turn: int
    """0 to 7: the bits flip columns, flip rows, swap both."""

    @classmethod
    def draw(cls, images: list[Tensor], size: int, generator: torch.Generator, *, smallest_scale: float) -> _Place:
        pick, resize, scale, top, left, turn = torch.rand(6, generator=generator, device=generator.device).tolist()
        which = int(pick * len(images))
        height, width = images[which].shape[1:]
        extent = round(size / (smallest_scale + (1 - smallest_scale) * scale)) if resize < 0.5 else size
        extent = max(size, min(extent, height, width))
        room_y, room_x = max(0, height - extent), max(0, width - extent)
        return cls(which, int(top * (room_y + 1)), int(left * (room_x + 1)), extent, size, int(turn * 8))

    def cut(self, image: Tensor) -> Tensor:
        height, width = image.shape[1:]
        if height >= self.extent and width >= self.extent:
            crop = image[:, self.top : self.top + self.extent, self.left : self.left + self.extent]
        else:
            rows, columns = (_mirrored(start, self.extent, n) for start, n in ((self.top, height), (self.left, width)))
            crop = image[:, rows.to(image.device)][:, :, columns.to(image.device)]
        crop = crop.float() / 255
        if self.extent != self.size:
            crop = functional.interpolate(crop[None], size=(self.size, self.size), mode="bilinear", antialias=True)[0]
        crop = crop.flip(2) if self.turn & 1 else crop
        crop = crop.flip(1) if self.turn & 2 else crop
        return crop.transpose(1, 2) if self.turn & 4 else crop


def _mirrored(start: int, count: int, length: int) -> Tensor:
    """Indices into `length` samples that run back and forth between the ends."""
    period = max(1, 2 * (length - 1))
    index = torch.arange(start, start + count) % period
    return torch.minimum(index, period - index)
