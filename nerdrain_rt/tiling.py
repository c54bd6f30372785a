"""Overlapping tiles over a picture: where they lie, and how their results are blended."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """First positions of tiles that cover `length`; the last one is aligned to the end."""
    if tile >= length:
        return [0]
    return [*range(0, length - tile, tile - overlap), length - tile]


def blend_tiles(image: Tensor, compute: Callable[[Tensor], Tensor], *, tile: tuple[int, int], overlap: int) -> Tensor:
    """Apply `compute` (B C h w to the same) to tiles of B C H W, cross-faded linearly over their overlap.

    `tile` is (height, width), each at most the image's. Every pixel's weights sum to 1.
    """
    height, width = image.shape[-2:]
    result = torch.zeros_like(image)
    total = image.new_zeros(height, width)
    weight = torch.outer(_fade(tile[0], overlap, image), _fade(tile[1], overlap, image))
    for top in tile_starts(height, tile[0], overlap):
        for left in tile_starts(width, tile[1], overlap):
            place = (..., slice(top, top + tile[0]), slice(left, left + tile[1]))
            result[place] += compute(image[place]) * weight
            total[place] += weight
    return result.div_(total)


def _fade(length: int, overlap: int, like: Tensor) -> Tensor:
    """Weights that rise over the overlap from near 0 to 1 and fall again at the end."""
    distance = torch.arange(1, length + 1, device=like.device, dtype=like.dtype)
    return torch.minimum(distance, distance.flip(0)).div(overlap + 1).clamp_(max=1)
