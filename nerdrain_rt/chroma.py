"""From the places where chroma is sampled to those of luma, and back."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

Axis = tuple[int, int, bool]
"""A dimension in which chroma is coarser than luma, by how much, and whether it sits in the middle of its pixels."""


def grow(coarse: Tensor, dim: int, size: int, factor: int, is_centered: bool) -> Tensor:
    """Linear interpolation along `dim`; a coarse sample sits on the first or in the middle of its `factor` samples.

    `coarse` has its first sample once more and its last one twice more.
    """
    shape = list(coarse.shape)
    shape[dim] = size
    fine = coarse.new_empty(shape)
    for phase in range(factor):
        position = (phase + 0.5) / factor - 0.5 if is_centered else phase / factor
        start = 1 + math.floor(position)
        target = _every(fine, dim, phase, factor)
        count = target.shape[dim]
        torch.lerp(coarse.narrow(dim, start, count), coarse.narrow(dim, start + 1, count), position % 1, out=target)
    return fine


def shrink(fine: Tensor, dim: int, count: int, factor: int, is_centered: bool) -> Tensor:
    """`count` sums along `dim` at the places `grow` starts from.

    Centred, of the `factor` samples around; else sums of such sums, the triangle that is the transpose of `grow`.
    """
    taps = 1 if is_centered else factor
    padded = extended(fine, dim, taps - 1, count * factor - fine.shape[dim])
    sums = functools.reduce(torch.add, (padded.narrow(dim, tap, count * factor) for tap in range(taps)))
    return functools.reduce(torch.add, (_every(sums, dim, phase, factor) for phase in range(factor)))


def extended(tensor: Tensor, dim: int, before: int, after: int) -> Tensor:
    """`tensor` with its first and last samples along `dim` repeated."""
    if not before and after <= 0:
        return tensor
    first, last = tensor.narrow(dim, 0, 1), tensor.narrow(dim, -1, 1)
    return torch.cat([first] * before + [tensor] + [last] * after, dim)


def _every(tensor: Tensor, dim: int, first: int, step: int) -> Tensor:
    """A view of every `step`-th sample along `dim`."""
    index = [slice(None)] * tensor.dim()
    index[dim] = slice(first, None, step)
    return tensor[tuple(index)]
