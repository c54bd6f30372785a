"""The gated feed-forward in one pass over the picture: x + project(gelu(first) * second), 2 widths.

A program walks down a strip of columns like those of the attention, once for every part of the hidden channels: what
it reads and writes again by then is still in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn.functional import pad

from nerdrain_rt.backends.kernels.attention import STRIP, add_to_pixels, load_matrix, load_normed, load_taps, slide
from nerdrain_rt.backends.kernels.launch import check_image, padded, rows_per_program, tuned, walks
from nerdrain_rt.model.net import FeedForward, Norm

PARTS = (64, 128)
"""Hidden channels that a program has in flight: as many as registers and shared memory hold, for tuning to find out."""


@dataclass(frozen=True, slots=True)
class FeedForwardWeights:
    """Norm and feed-forward as the kernel reads them, hidden channels padded with zeros to whole parts of the smallest.

    `expand` is (2, hidden, C), `depthwise` (9, 2, hidden), `project` (C, hidden).
    """

    gamma: Tensor
    beta: Tensor
    expand: Tensor
    depthwise: Tensor
    project: Tensor

    @classmethod
    def of(cls, norm: Norm, module: FeedForward, order: Tensor, dtype: torch.dtype) -> FeedForwardWeights:
        """Pack the modules for pictures whose channel k is the module's channel order[k]."""
        hidden = module.project.weight.shape[1]
        extra = -hidden % min(PARTS)
        expand = module.expand.weight[:, order, 0, 0].unflatten(0, (2, hidden))
        taps = module.depthwise.weight.float().flatten(1).T.unflatten(1, (2, hidden))
        return cls(
            gamma=norm.weight[order].float(),
            beta=norm.bias[order].float(),
            expand=pad(expand.to(dtype), (0, 0, 0, extra)).contiguous(),
            depthwise=pad(taps, (0, extra)).contiguous(),
            project=pad(module.project.weight[order, :, 0, 0].to(dtype), (0, extra)).contiguous(),
        )


@triton.jit
def gated(first, second):
    """gelu(first) * second, with the error function of Abramowitz and Stegun 7.1.26 (error below 1.5e-7).

    libdevice's needs three times the instructions, for digits that half precision drops.
    """
    size = tl.abs(first)
    t = 1.0 / (1.0 + 0.23164189 * size)
    tail = ((((0.5307027145 * t - 0.7265760135) * t + 0.7107068705) * t - 0.142248368) * t + 0.127414796) * t
    return (tl.maximum(first, 0.0) - size * tail * tl.exp2(-0.72134752 * first * first)) * second


@tuned(
    *(config for part in PARTS for config in walks(16, PART=part)),
    key=["C"],
    rows=lambda sizes: 0 if sizes["HIDDEN"] % sizes["PART"] else sizes["PART"],
)
@triton.jit
def feed_forward_kernel(
    x,
    gamma,
    beta,
    expand,
    depthwise,
    project,
    out,
    height,
    width,
    rows,
    C: tl.constexpr,
    CP: tl.constexpr,
    HIDDEN: tl.constexpr,
    PART: tl.constexpr,
    PAIRS: tl.constexpr,
):
    """x + project(gelu(first) * second) for one strip of columns and `rows` rows."""
    tile, batch = tl.program_id(0), tl.program_id(1)
    strips = tl.cdiv(width, 2 * PAIRS)
    first_row = tile // strips * rows
    columns = tile % strips * (2 * PAIRS) + 2 * tl.arange(0, PAIRS)
    picture = batch.to(tl.int64) * height * width * C
    x += picture
    out += picture
    channels = tl.arange(0, CP)
    is_channel = channels < C
    gains = tl.load(gamma + channels, mask=is_channel, other=0.0)
    shifts = tl.load(beta + channels, mask=is_channel, other=0.0)
    half = x.dtype.element_ty
    end = tl.minimum(first_row + rows, height)

    before = x
    for part in range(0, HIDDEN, PART):
        hidden = part + tl.arange(0, PART)
        to_first = load_matrix(expand, hidden, HIDDEN, C, channels, C)
        to_second = load_matrix(expand + HIDDEN * C, hidden, HIDDEN, C, channels, C)
        to_out = load_matrix(project, channels, C, HIDDEN, hidden, HIDDEN)
        first_taps = load_taps(depthwise + hidden, 2 * HIDDEN, hidden < HIDDEN)
        second_taps = load_taps(depthwise + HIDDEN + hidden, 2 * HIDDEN, hidden < HIDDEN)
        zero = tl.zeros((PART, PAIRS), tl.float32)
        first_even0, first_even1, first_odd0, first_odd1 = zero, zero, zero, zero
        second_even0, second_even1, second_odd0, second_odd1 = zero, zero, zero, zero
        for row in range(first_row - 1, end + 1):
            left = load_normed(x, gains, shifts, row, columns - 1, height, width, C, CP)
            even = load_normed(x, gains, shifts, row, columns, height, width, C, CP)
            odd = load_normed(x, gains, shifts, row, columns + 1, height, width, C, CP)
            right = load_normed(x, gains, shifts, row, columns + 2, height, width, C, CP)
            first_even, first_odd, first_even0, first_even1, first_odd0, first_odd1 = slide(
                first_taps,
                tl.dot(to_first, left), tl.dot(to_first, even), tl.dot(to_first, odd), tl.dot(to_first, right),
                first_even0, first_even1, first_odd0, first_odd1,
            )  # fmt: skip
            second_even, second_odd, second_even0, second_even1, second_odd0, second_odd1 = slide(
                second_taps,
                tl.dot(to_second, left), tl.dot(to_second, even), tl.dot(to_second, odd), tl.dot(to_second, right),
                second_even0, second_even1, second_odd0, second_odd1,
            )  # fmt: skip
            if row > first_row:
                at = (row - 1) * width + columns
                change = tl.dot(to_out, gated(first_even, second_even).to(half))
                add_to_pixels(before, out, change, at, columns < width, C, CP)
                change = tl.dot(to_out, gated(first_odd, second_odd).to(half))
                add_to_pixels(before, out, change, at + 1, columns + 1 < width, C, CP)
        tl.debug_barrier()  # the next part may read with other threads what these wrote
        before = out


def feed_forward(x: Tensor, weights: FeedForwardWeights) -> Tensor:
    """B H W C to the same: x and what the feed-forward adds to it."""
    check_image(x)
    batch, height, width, channels = x.shape
    rows = rows_per_program(height, triton.cdiv(width, STRIP) * batch)
    out = torch.empty_like(x)
    feed_forward_kernel[lambda sizes: (triton.cdiv(width, 2 * sizes["PAIRS"]) * triton.cdiv(height, rows), batch)](
        x, weights.gamma, weights.beta, weights.expand, weights.depthwise, weights.project, out, height, width, rows,
        C=channels, CP=padded(channels), HIDDEN=weights.project.shape[1],
    )  # fmt: skip
    return out
