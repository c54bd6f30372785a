"""Pictures to evaluate on: of videos and folders, alone or matched to their targets by the benchmarks' names."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nerdrain_rt.color import to_rgb
from nerdrain_rt.errors import MediaError, UsageError
from nerdrain_rt.evaluation.metrics import Image
from nerdrain_rt.media.image_folder import IMAGE_SUFFIXES, find_images, lost_by_reading, read_image
from nerdrain_rt.media.reader import VideoReader

_log = logging.getLogger(__name__)

SAME_RATE = 0.01
"""Relative difference within which frame rates are the same: some are estimated."""

_WHAT_BECOMES = {"alpha": "has alpha, which is left out", "16 bits": "has 16 bits, cut to 8"}


class Picture(NamedTuple):
    """A picture and its file's name or frame number."""

    name: str
    rgb: Image


class Pair(NamedTuple):
    """A rainy picture and its target, of one size."""

    name: str
    rainy: Image
    target: Image


def read_pictures(source: Path) -> Iterator[Picture]:
    """Every frame of a video, or every image of a folder with numbers in their names in numeric order.

    Raises MediaError for what cannot be read, and at the end of a video in which something was damaged.
    """
    if holds_images(source):
        read = _image_reader()
        for path in find_images(source) if source.is_dir() else [source]:
            yield Picture(_label(path, source), read(path))
        return
    with VideoReader(source) as reader:
        for index, frame in enumerate(reader):
            yield Picture(str(index), to_image(to_rgb(frame.picture, device=torch.device("cpu"))))
        if reader.is_damaged:
            raise MediaError(f"{source}: damaged, so figures of it would be wrong: {'; '.join(reader.warnings)}")
        for warning in reader.warnings:
            _log.warning("%s: %s", source, warning)


def to_tensor(image: Image) -> Tensor:
    """The image as 1 3 H W in [0, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def to_image(values: Tensor) -> Image:
    """1 3 H W in [0, 1], rounded to 8 bits as a file of it would be; what lies outside is cut off."""
    codes = (values.clamp(0, 1) * 255).round_().to(torch.uint8)
    return np.ascontiguousarray(codes[0].permute(1, 2, 0).cpu().numpy())


def read_pairs(rainy: Path, target: Path) -> Iterator[Pair]:
    """Pairs of two videos frame by frame, or of two folders by name.

    A folder given for both whose images have no names of pairs holds both sides in each image, as DID does: the rainy
    one is the left half. Raises UsageError for sides of different kinds, MediaError for a picture without partner and
    for partners of different sizes.
    """
    is_images = holds_images(rainy)
    if is_images != holds_images(target) or rainy.is_dir() != target.is_dir():
        raise UsageError(f"{rainy} and {target}: give two folders, two images or two videos")
    for name, left, right in _pairs_of_images(rainy, target) if is_images else _pairs_of_frames(rainy, target):
        if left.shape != right.shape:
            sizes = " and ".join(f"{side.shape[1]}x{side.shape[0]}" for side in (left, right))
            which = name if is_images else f"frame {name}"
            raise MediaError(f"{rainy}: {which} and its target differ in size: {sizes}")
        yield Pair(name, left, right)


def match_images(rainy: Path, target: Path) -> dict[Path, Path]:
    """The target of each rainy image below two folders, which may be one within the other or the same.

    Known are equal names, and those of Rain100 (rain-1 to norain-1, without rainstreak-1 and rainregion-1), Rain200
    (norain-1x2 to norain-1), DDN (900_14 to 900) and SPA (1_rain to 1gt). Raises MediaError for an image without
    partner.
    """
    rainy, target = _alike(rainy, target)
    rainy_paths, target_paths = find_images(rainy), find_images(target)
    if rainy == target:
        rainy_paths = [path for path in rainy_paths if not _is_part(path)]
        target_paths = [path for path in target_paths if not _is_part(path)]
        rainy_paths = [path for path in rainy_paths if not _is_named_target(path)]
    elif rainy in target.parents:
        rainy_paths = [path for path in rainy_paths if path not in set(target_paths)]
    target_paths = [path for path in target_paths if path not in set(rainy_paths)]
    targets = {_core(_name(path, target)): path for path in target_paths}
    targets |= {_name(path, target): path for path in target_paths}
    matches = {path: _find_target(path, rainy, target, targets) for path in rainy_paths}
    if unused := next((path for path in target_paths if path not in set(matches.values())), None):
        raise MediaError(f"{unused}: no rainy image of this name in {rainy}")
    return matches


def _alike(rainy: Path, target: Path) -> tuple[Path, Path]:
    """Both as they are, or in full where they are the same or within each other, however they were written."""
    whole = rainy.resolve(), target.resolve()
    is_nested = whole[0].is_relative_to(whole[1]) or whole[1].is_relative_to(whole[0])
    return whole if is_nested else (rainy, target)


def holds_images(source: Path) -> bool:
    """Whether it is an image or a folder of images, and no video."""
    return source.is_dir() or source.suffix.lower() in IMAGE_SUFFIXES


def _image_reader() -> Callable[[Path], Image]:
    """`read_image` that tells once what is left out of pictures of each kind."""
    told: set[str] = set()

    def read(path: Path) -> Image:
        image = read_image(path)
        for loss in _WHAT_BECOMES.keys() & set(lost_by_reading(path)) - told:
            _log.warning("%s: %s; others are not named", path, _WHAT_BECOMES[loss])
            told.add(loss)
        return image

    return read


def _label(path: Path, source: Path) -> str:
    """The path below the folder, so that those of equal names in several can be told apart."""
    return path.name if path == source else path.relative_to(source).as_posix()


def _pairs_of_images(rainy: Path, target: Path) -> Iterator[Pair]:
    rainy, target = _alike(rainy, target)
    if rainy == target and rainy.is_dir() and not any(map(_is_named_target, paths := find_images(rainy))):
        _log.warning("%s: no targets by name; each image is taken for a pair, the rainy one its left half", rainy)
        yield from _halves(paths, rainy)
        return
    matches = match_images(rainy, target) if rainy.is_dir() else {rainy: target}
    read = _image_reader()
    for left, right in matches.items():
        yield Pair(_label(left, rainy), read(left), read(right))


def _halves(paths: Sequence[Path], folder: Path) -> Iterator[Pair]:
    read = _image_reader()
    for path in paths:
        image = read(path)
        middle, is_odd = divmod(image.shape[1], 2)
        if is_odd:
            raise MediaError(f"{path}: has no target in its folder, and its width of {image.shape[1]} has no halves")
        halves = (np.ascontiguousarray(half) for half in (image[:, :middle], image[:, middle:]))
        yield Pair(_label(path, folder), *halves)


def _pairs_of_frames(rainy: Path, target: Path) -> Iterator[Pair]:
    _warn_of_other_rates(rainy, target)
    for index, (left, right) in enumerate(zip_longest(read_pictures(rainy), read_pictures(target))):
        if left is None or right is None:
            shorter = rainy if left is None else target
            raise MediaError(f"{shorter}: ends after {index} frames, its partner does not")
        yield Pair(left.name, left.rgb, right.rgb)


def _warn_of_other_rates(rainy: Path, target: Path) -> None:
    """Frames are matched by their numbers, so of other rates they show other moments."""
    rates = []
    for side in (rainy, target):
        with VideoReader(side) as reader:
            rates.append(float(reader.info.frame_rate or 0))
    if all(rates) and not math.isclose(*rates, rel_tol=SAME_RATE):
        words = "%s and %s: have %.4g and %.4g frames a second; they are matched one by one"
        _log.warning(words, rainy, target, *rates)


def _find_target(path: Path, rainy: Path, target: Path, targets: Mapping[str, Path]) -> Path:
    name = _name(path, rainy)
    names = (name, _core(name), re.sub(r"_[0-9]+$", "", _core(name)))
    for candidate in (*names, *("/" + name.rpartition("/")[2] for name in names)):
        if found := targets.get(candidate):
            return found
    raise MediaError(f"{path}: no target of this name in {target}")


def _name(path: Path, folder: Path) -> str:
    """The path below the folder without its suffix, "/" first."""
    return "/" + path.relative_to(folder).with_suffix("").as_posix().lower()


def _core(name: str) -> str:
    """The name without what benchmarks add to tell rainy images from targets."""
    return re.sub(r"(?<=/)(no)?rain-(?=[^/]+$)|(?<=[0-9])x[0-9]+$|_(no)?rain$|_?gt$", "", name)


def _is_part(path: Path) -> bool:
    """Whether it is what Rain100's images were made of."""
    return re.search(r"^rain(region|streak)-[0-9]+$", path.stem.lower()) is not None


def _is_named_target(path: Path) -> bool:
    return re.search(r"^norain-[0-9]+$|gt$", path.stem.lower()) is not None
