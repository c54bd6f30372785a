"""Rainy pictures to measure with: made from a seed, or a file's first frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from nerdrain_rt.color import Planes
from nerdrain_rt.errors import MediaError
from nerdrain_rt.media.reader import VideoReader

Pictures = Callable[[tuple[int, int]], Tensor]
"""1 3 H W in [0, 1], float32, on the CPU, of any (height, width)."""


def synthesize(size: tuple[int, int], *, seed: int = 0) -> Tensor:
    """A picture as natural as noise gets, structure at every scale with the coarse the strongest, behind streaks."""
    generator = torch.Generator().manual_seed(seed)
    picture = torch.zeros(1, 3, *size)
    cells, weight = 2, 1.0
    while cells < max(size):
        grid = torch.rand(1, 3, *(max(2, cells * side // max(size)) for side in size), generator=generator)
        shared = 0.7 * grid[:, :1] + 0.3 * grid
        picture += weight * F.interpolate(shared, size, mode="bicubic")
        cells, weight = 2 * cells, 0.7 * weight
    darkest, brightest = picture.aminmax()
    picture.sub_(darkest).mul_(0.8 / (brightest - darkest))
    drops = (torch.rand(1, 1, *size, generator=generator) > 0.9985).float()
    length = max(3, size[0] // 24) | 1
    streaks = F.max_pool2d(drops, (length, 1), stride=1, padding=(length // 2, 0))
    return picture.add_(0.3 * streaks).clamp_(0, 1)


def first_frame(path: Path) -> tuple[Pictures, tuple[int, int]]:
    """The first frame of a video or image, scaled to the size asked for, and its own; raises MediaError."""
    with VideoReader(path) as reader:
        frame = next(iter(reader), None)
    if frame is None:
        raise MediaError(f"{path}: holds no frame")
    rgb = Planes.of(frame.picture).rgb()
    height, width = rgb.shape[-2:]
    return lambda size: F.interpolate(rgb, size, mode="bilinear", antialias=True).clamp_(0, 1), (height, width)
