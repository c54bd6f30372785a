"""Dense optical flow between two pictures on any device: where each pixel of one lies in the other.

From coarse to fine, after B. D. Lucas and T. Kanade, "An Iterative Image Registration Technique with an Application to
Stereo Vision", IJCAI 1981; in squares as large as steady flow asks for where rain hides what moves.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST_SIDE = 12
"""In pixels, of the coarsest pictures."""
WINDOW = 6
"""Pixels to each side of one that move as it does."""
DETAIL = 2 * WINDOW
"""Pixels to each side of one whose mean is taken from it, so that brightness may change."""
SMOOTH = 8
"""Pixels to each side of one over which its motion is averaged."""
STEPS = (2, 3, 4)
"""At the finest size, the next and each other."""
OUTLIER = 0.03
"""Difference of two pixels that counts no more than this much, at the finest size: one of them is a drop, or hidden.
Twice as much at each coarser one, where drops are averaged away and pictures are farther apart."""
FLAT = 1e-4
"""Added to the squared slopes, so that nothing moves where there is nothing to see."""


def optical_flow(here: Tensor, there: Tensor) -> Tensor:
    """For each pixel of `here`, by how many columns and rows it lies elsewhere in each of `there`: N 2 H W.

    `here` is 1 1 H W and `there` N 1 H W, gray, in [0, 1].
    """
    sizes = [(here, there)]
    while min(sizes[-1][0].shape[-2:]) >= 2 * SMALLEST_SIDE:
        sizes.append((F.avg_pool2d(sizes[-1][0], 2), F.avg_pool2d(sizes[-1][1], 2)))
    flow = here.new_zeros(len(there), 2, *sizes[-1][0].shape[-2:])
    for level in reversed(range(len(sizes))):
        here, there = sizes[level]
        flow = _refined(resized(flow, here.shape[-2:]), here, there, STEPS[min(level, 2)], OUTLIER * 2**level)
    return flow


def resized(flow: Tensor, size: torch.Size) -> Tensor:
    """Flow N 2 H W for pictures of another (height, width)."""
    (rows, columns), (height, width) = flow.shape[-2:], size
    if (rows, columns) == (height, width):
        return flow
    grown = torch.cat([flow[:, :1] * (width / columns), flow[:, 1:] * (height / rows)], 1)
    return F.interpolate(grown, (height, width), mode="bilinear")


def moved(values: Tensor, flow: Tensor) -> Tensor:
    """N C H W, each pixel from where the flow N 2 H W says that it lies, or the nearest of the border."""
    (height, width), device = values.shape[-2:], flow.device
    columns = _centres(width, device) + flow[:, 0] * (2 / width)
    rows = _centres(height, device)[:, None] + flow[:, 1] * (2 / height)
    return F.grid_sample(values, torch.stack([columns, rows], -1), padding_mode="border", align_corners=False)


@lru_cache(maxsize=64)
def _centres(count: int, device: torch.device) -> Tensor:
    """Of so many pixels, as grid_sample counts, for which a picture goes from -1 to 1."""
    # Not by affine_grid, whose matrix product is half a pixel off on GPUs where TF32 is allowed.
    return ((2 * torch.arange(count) + 1) / count - 1).to(device)


def _refined(flow: Tensor, here: Tensor, there: Tensor, steps: int, outlier: float) -> Tensor:
    """Steps of least squares from `flow` on, over each pixel's window; the equations keep their left side."""
    here, there = here - _mean(here, DETAIL), there - _mean(there, DETAIL)
    padded = F.pad(here, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    slopes = torch.cat([across, down], 1)
    squares = _mean(torch.cat([across * across, down * down, across * down], 1), WINDOW)
    across2, down2, both = squares[:, :1] + FLAT, squares[:, 1:2] + FLAT, squares[:, 2:]
    columns, rows = torch.cat([down2, -both], 1), torch.cat([-both, across2], 1)
    inverse = torch.stack([columns, rows], 1) / (across2 * down2 - both * both)[:, None]
    for _ in range(steps):
        difference = (here - moved(there, flow)).clamp_(-outlier, outlier)
        flow = flow + (inverse * _mean(slopes * difference, WINDOW)[:, None]).sum(2)
    return _mean(flow, SMOOTH)


def _mean(values: Tensor, reach: int) -> Tensor:
    """Over the square of so many pixels to each side, of what of it lies in the picture."""
    side = 2 * reach + 1
    sums = F.pad(values, (reach + 1, reach, reach + 1, reach)).cumsum(-1)
    sums = (sums[..., side:] - sums[..., :-side]).cumsum(-2)
    return (sums[..., side:, :] - sums[..., :-side, :]) * _shares(
        (values.shape[-2], values.shape[-1]), reach, values.device
    )


@lru_cache(maxsize=64)
def _shares(size: tuple[int, int], reach: int, device: torch.device) -> Tensor:
    """One by the number of pixels in the square around each: H W."""
    down, across = (
        (place + reach + 1).clamp(max=len(place)) - (place - reach).clamp(min=0) for place in map(torch.arange, size)
    )
    return (1 / (down[:, None] * across)).to(device)
