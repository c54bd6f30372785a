"""Dense optical flow between two pictures on any device: where each pixel of one lies in the other.

From coarse to fine, after B. D. Lucas and T. Kanade, "An Iterative Image Registration Technique with an Application to
Stereo Vision", IJCAI 1981; in squares as large as steady flow asks for where rain hides what moves.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST_SIDE = 6
"""In pixels, of the coarsest pictures."""
WINDOW = 6
"""Pixels to each side of one that move as it does."""
DETAIL = 2 * WINDOW
"""Pixels to each side of one whose mean is taken from it, so that brightness may change."""
SMOOTH = 8
"""Pixels to each side of one over which its motion is averaged."""
STEPS = (2, 3, 5)
"""At the finest size, the next and all others."""
LONGEST_STEP = 1.0
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
        steps = STEPS[min(level, len(STEPS) - 1)]
        flow = _refined(resized(flow, here.shape[-2:]), here, there, steps, OUTLIER * 2**level)
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
    height, width = values.shape[-2:]
    columns = torch.arange(width, device=flow.device) + flow[:, 0]
    rows = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    # In units of grid_sample, in which a picture goes from -1 to 1.
    across = (columns.clamp_(0, width - 1) * 2 + 1) / width - 1
    down = (rows.clamp_(0, height - 1) * 2 + 1) / height - 1
    return F.grid_sample(values, torch.stack([across, down], -1), padding_mode="border", align_corners=False)


def _refined(flow: Tensor, here: Tensor, there: Tensor, steps: int, outlier: float) -> Tensor:
    """Steps of least squares from `flow` on, over each pixel's window; the equations keep their left side."""
    here, there = here - _mean(here, DETAIL), there - _mean(there, DETAIL)
    padded = F.pad(here, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    left = _mean(torch.cat([across * across, down * down, across * down], 1), WINDOW)
    across2, down2, both = (left[:, :1] + FLAT, left[:, 1:2] + FLAT, left[:, 2:])
    inverse = 1 / (across2 * down2 - both * both)
    for _ in range(steps):
        difference = (here - moved(there, flow)).clamp_(-outlier, outlier)
        by_column, by_row = _mean(torch.cat([across * difference, down * difference], 1), WINDOW).tensor_split(2, 1)
        step = torch.cat([down2 * by_column - both * by_row, across2 * by_row - both * by_column], 1) * inverse
        flow = flow + step.clamp_(-LONGEST_STEP, LONGEST_STEP)
    return _mean(flow, SMOOTH)


def _mean(values: Tensor, reach: int) -> Tensor:
    """Over the square of so many pixels to each side, of what of it lies in the picture."""
    for dim in (-1, -2):
        place = torch.arange(values.shape[dim], device=values.device)
        first, end = (place - reach).clamp_(min=0), (place + reach + 1).clamp_(max=len(place))
        sums = F.pad(values.cumsum(dim), (1, 0) if dim == -1 else (0, 0, 1, 0))
        count = (end - first).reshape(-1, *[1] * (-1 - dim))
        values = (sums.index_select(dim, end) - sums.index_select(dim, first)) / count
    return values
