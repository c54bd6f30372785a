"""Rain that a single picture cannot tell from texture, found by looking at the frames around it.

A drop is in front of a place for one frame at most (Garg and Nayar, "Detection and Removal of Rain from Videos", CVPR
2004). So where a frame is brighter than both of its neighbours, moved along optical flow, and these agree, it is set to
the brighter of the two; but only where the network sees rain around, so that dry footage keeps its glints.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

Item = TypeVar("Item")
Limits = tuple[float, float]
"""Where trust is none and where it is full, in 8-bit codes; between them it changes evenly."""

EXCESS: Limits = (2, 4)
"""Of a frame over both neighbours."""
FLASH: Limits = (72, 48)
"""Of a frame over both neighbours near a place: no drop that the network overlooks is so bright, but a lamp that
flashes is, and what moves too fast for flow."""
DISAGREEMENT: Limits = (24, 12)
"""Between the neighbours."""
DEFICIT: Limits = (2.5, 1.25)
"""Of a frame under both neighbours, around a place: rain only adds light, so there the flow is wrong."""
RAIN: Limits = (0.2, 0.5)
"""What the network takes away around a place, beyond `FAINT`."""
FAINT = 1.5
FLASH_BLOCK, DEFICIT_BLOCK, RAIN_BLOCK = 8, 16, 64
"""Sides in pixels of the squares in which the largest counts, and of those over which the other two are averaged."""
GUIDE_PIXELS = 230_400
"""Flow is found in pictures of about this size at most."""
SMALLEST_SIDE = 16
"""Of pictures that OpenCV finds flow in; in those of fewer rows it reads beyond them."""


class Seen:
    """A frame without all that the network sees of its rain; `rainy` in [0, 1] and `residual` are 1 3 H W.

    `residual` is what the network adds, times `strength`. The comparison is of frames at full strength, else rain that
    is left on purpose would be taken for more of it.
    """

    def __init__(self, rainy: Tensor, residual: Tensor, *, strength: float = 1.0) -> None:
        self._residual = residual
        self._strength = strength
        self.clean = torch.add(rainy, residual.float(), alpha=1 / strength).clamp_(0, 1)

    @property
    def rain(self) -> Tensor:
        """How much is known to be rain around each pixel: 1 1 H W, from 0 to 1."""
        taken = (self._residual.float().mean(1, keepdim=True) / -self._strength - FAINT / 255).clamp_(min=0)
        return _trust(_around(taken, RAIN_BLOCK), RAIN)

    @cached_property
    def guide(self) -> npt.NDArray[np.uint8]:
        """In gray, smaller where it is large."""
        gray = self.clean.mean(1, keepdim=True)
        shrink = min(1.0, (GUIDE_PIXELS / gray[0].numel()) ** 0.5)
        if shrink < 1:
            gray = F.interpolate(gray, scale_factor=shrink, mode="bilinear", antialias=True)
        return np.asarray((gray[0, 0] * 255).round_().to(torch.uint8).cpu())


def trios(items: Iterable[Item]) -> Iterator[tuple[Item, tuple[Item, Item] | None]]:
    """Each item with those around it, None at the ends; an error of the source comes after the items before it."""
    near: deque[Item] = deque(maxlen=3)
    source, error = iter(items), None
    while True:
        try:
            near.append(next(source))
        except StopIteration:
            break
        except Exception as raised:
            error = raised
            break
        if len(near) == 3:
            yield near[1], (near[0], near[2])
        elif len(near) == 1:
            yield near[0], None
    if len(near) > 1:
        yield near[-1], None
    if error is not None:
        raise error


def passing_rain(seen: Seen, neighbours: tuple[Seen, Seen]) -> Tensor:
    """What to add to `seen.clean`, 1 3 H W: 0 or less."""
    clean, rain = seen.clean, seen.rain
    is_alone = any(other.clean.shape != clean.shape for other in neighbours)
    if is_alone or not rain.any() or min(seen.guide.shape) < SMALLEST_SIDE:
        return torch.zeros_like(clean)
    first, second = (_moved(other.clean, _flow(seen.guide, other.guide)) for other in neighbours)
    lower, upper = torch.minimum(first, second), torch.maximum(first, second)
    excess = clean - upper
    brighter = excess.mean(1, keepdim=True)
    trust = rain * _trust(brighter, EXCESS) * _trust(_most(brighter, FLASH_BLOCK), FLASH)
    trust *= _trust((upper - lower).mean(1, keepdim=True), DISAGREEMENT)
    trust *= _trust(_around((lower - clean).clamp_(min=0).mean(1, keepdim=True), DEFICIT_BLOCK), DEFICIT)
    return excess.clamp_(min=0).mul_(trust).neg_()


def _trust(values: Tensor, limits: Limits) -> Tensor:
    none, full = limits
    return ((values * 255 - none) / (full - none)).clamp_(0, 1)


def _around(values: Tensor, block: int) -> Tensor:
    """Averages over squares, blended from one to the next."""
    means = F.avg_pool2d(values, block, ceil_mode=True, count_include_pad=False)
    return F.interpolate(means, values.shape[-2:], mode="bilinear")


def _most(values: Tensor, block: int) -> Tensor:
    """The largest of each square and those next to it, blended from one to the next."""
    largest = F.max_pool2d(F.max_pool2d(values, block, ceil_mode=True), 3, stride=1, padding=1)
    return F.interpolate(largest, values.shape[-2:], mode="bilinear")


def _flow(here: npt.NDArray[np.uint8], there: npt.NDArray[np.uint8]) -> Tensor:
    """For each pixel, by how many columns and rows it lies elsewhere in the other picture: 1 2 H W."""
    import cv2

    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    still = np.zeros((*here.shape, 2), np.float32)
    return torch.from_numpy(np.asarray(search.calc(here, there, still))).permute(2, 0, 1)[None]


def _moved(values: Tensor, flow: Tensor) -> Tensor:
    """1 C H W, each pixel from where the flow, found in a picture of another size, says that it lies."""
    (height, width), (rows, columns) = values.shape[-2:], flow.shape[-2:]
    # In units of grid_sample, in which a picture goes from -1 to 1.
    shift = flow.to(values.device) * flow.new_tensor([2 / columns, 2 / rows]).to(values.device)[:, None, None]
    if (rows, columns) != (height, width):
        shift = F.interpolate(shift, (height, width), mode="bilinear")
    still = torch.eye(2, 3, device=values.device)[None]
    grid = F.affine_grid(still, [1, 1, height, width], align_corners=False)
    grid = grid + shift.permute(0, 2, 3, 1)
    return F.grid_sample(values, grid, padding_mode="border", align_corners=False)
