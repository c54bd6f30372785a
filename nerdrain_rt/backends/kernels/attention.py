"""Attention between channels in two passes over the picture: the statistics, then the picture they make.

Pass 1 reads x (1 width) and keeps the Gram matrix of queries and keys and their squared norms; pass 2 reads x and
writes x + W_out softmax(...) v (2 widths). Query, key and value are never written: each pass computes its 1x1
convolution on the fly and slides down the picture, three rows of the depthwise convolution in flight.

Registers cannot be shifted sideways, so a program works on pairs of columns (2i, 2i + 1) and computes the 1x1 also
at their outer neighbours (2i - 1, 2i + 2): two products per pixel instead of the three of single columns. Tiles are
(channels, columns): a thread then holds few channels of many pixels, and keeps its nine taps of each in registers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from nerdrain_rt.backends.kernels.launch import check_image, padded, rows_per_program, tuned, walks
from nerdrain_rt.model.net import ChannelAttention, Norm

GRAM_PAIRS = 16
"""Pairs of columns that one program of pass 1 walks down; the number of its results hangs on it."""
STRIP = 64
"""Columns by which the rows of a walk are reckoned."""


@dataclass(frozen=True, slots=True)
class AttentionWeights:
    """Norm and attention as the kernels read them; `qkv` is (3C, C), `depthwise` (9, 3C), `project` (C, C)."""

    gamma: Tensor
    beta: Tensor
    qkv: Tensor
    depthwise: Tensor
    temperature: Tensor
    project: Tensor
    heads: int

    @classmethod
    def of(cls, norm: Norm, attention: ChannelAttention, order: Tensor, dtype: torch.dtype) -> AttentionWeights:
        """Pack the modules for pictures whose channel k is the module's channel order[k]."""
        return cls(
            gamma=norm.weight[order].float(),
            beta=norm.bias[order].float(),
            qkv=attention.qkv.weight[:, order, 0, 0].to(dtype).contiguous(),
            depthwise=attention.depthwise.weight.float().flatten(1).T.contiguous(),
            temperature=attention.temperature.flatten().float(),
            project=attention.project.weight[order, :, 0, 0].to(dtype).contiguous(),
            heads=attention.heads,
        )


@triton.jit
def load_matrix(pointer, rows, row_count, stride, columns, column_count):
    """A tile of a row-major matrix, zero outside of it."""
    mask = (rows < row_count)[:, None] & (columns < column_count)[None, :]
    return tl.load(pointer + rows[:, None] * stride + columns[None, :], mask=mask, other=0.0)


@triton.jit
def load_normed(x, gamma, beta, row, columns, height, width, C: tl.constexpr, CP: tl.constexpr):
    """LayerNorm of one row's pixels at `columns`, (CP, columns), zero outside the picture. x points at the picture."""
    channels = tl.arange(0, CP)
    is_channel = (channels < C)[None, :]
    rows = row + tl.zeros_like(columns)
    is_inside = ((columns >= 0) & (columns < width) & (rows >= 0) & (rows < height))[:, None]
    at = (row * width + columns)[:, None] * C + channels[None, :]
    pixels = tl.load(x + at, mask=is_inside & is_channel, other=0.0).to(tl.float32)
    mean = tl.sum(pixels, 1) / C
    centred = tl.where(is_channel, pixels - mean[:, None], 0.0)
    scale = tl.rsqrt(tl.sum(centred * centred, 1) / C + 1e-5)
    normed = centred * scale[:, None] * gamma[None, :] + beta[None, :]
    return tl.trans(tl.where(is_inside, normed, 0.0).to(x.dtype.element_ty))


@triton.jit
def load_taps(taps, stride, is_channel):
    """The nine weights of each channel as columns; `taps` points at the channels of (9, channels)."""
    return (
        tl.load(taps, mask=is_channel, other=0.0)[:, None],
        tl.load(taps + stride, mask=is_channel, other=0.0)[:, None],
        tl.load(taps + 2 * stride, mask=is_channel, other=0.0)[:, None],
        tl.load(taps + 3 * stride, mask=is_channel, other=0.0)[:, None],
        tl.load(taps + 4 * stride, mask=is_channel, other=0.0)[:, None],
        tl.load(taps + 5 * stride, mask=is_channel, other=0.0)[:, None],
        tl.load(taps + 6 * stride, mask=is_channel, other=0.0)[:, None],
        tl.load(taps + 7 * stride, mask=is_channel, other=0.0)[:, None],
        tl.load(taps + 8 * stride, mask=is_channel, other=0.0)[:, None],
    )


@triton.jit
def slide(taps, left, even, odd, right, even0, even1, odd0, odd1):
    """Feed one row of pairs of columns, and their neighbours, to a depthwise 3x3 convolution.

    even0, odd0 are the sums of the row above, which lack this row; even1, odd1 those of this row, which lack this and
    the next. Gives the row above, finished, then the four sums for the next call.
    """
    even_done = even0 + taps[6] * left + taps[7] * even + taps[8] * odd
    odd_done = odd0 + taps[6] * even + taps[7] * odd + taps[8] * right
    even0 = even1 + taps[3] * left + taps[4] * even + taps[5] * odd
    odd0 = odd1 + taps[3] * even + taps[4] * odd + taps[5] * right
    even1 = taps[0] * left + taps[1] * even + taps[2] * odd
    odd1 = taps[0] * even + taps[1] * odd + taps[2] * right
    return even_done, odd_done, even0, even1, odd0, odd1


@tuned(*walks(GRAM_PAIRS), key=["C", "D"], rows=lambda sizes: 2 * sizes["DP"])
@triton.jit
def gram_kernel(
    x,
    gamma,
    beta,
    qkv,
    depthwise,
    partial,
    height,
    width,
    rows,
    C: tl.constexpr,
    CP: tl.constexpr,
    D: tl.constexpr,
    DP: tl.constexpr,
    PAIRS: tl.constexpr,
):
    """One head, one strip of columns, `rows` rows: its share of Gram matrix and squared norms, (DP + 2, DP).

    Queries and keys are one tile, whose product with itself holds the Gram matrix and, on its diagonal, the norms.
    """
    tile, head, batch = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    strips = tl.cdiv(width, 2 * PAIRS)
    first_row = tile // strips * rows
    columns = tile % strips * (2 * PAIRS) + 2 * tl.arange(0, PAIRS)
    x += batch.to(tl.int64) * height * width * C
    channels, both = tl.arange(0, CP), tl.arange(0, 2 * DP)
    gains = tl.load(gamma + channels, mask=channels < C, other=0.0)
    shifts = tl.load(beta + channels, mask=channels < C, other=0.0)
    is_mine = both % DP < D
    mine = head * D + both % DP + both // DP * C
    mask = is_mine[:, None] & (channels < C)[None, :]
    to_both = tl.load(qkv + mine[:, None] * C + channels[None, :], mask=mask, other=0.0)
    taps = load_taps(depthwise + mine, 3 * C, is_mine)

    zero = tl.zeros((2 * DP, PAIRS), tl.float32)
    even0, even1, odd0, odd1 = zero, zero, zero, zero
    product = tl.zeros((2 * DP, 2 * DP), tl.float32)
    end = tl.minimum(first_row + rows, height)
    for row in range(first_row - 1, end + 1):
        left = tl.dot(to_both, load_normed(x, gains, shifts, row, columns - 1, height, width, C, CP))
        even = tl.dot(to_both, load_normed(x, gains, shifts, row, columns, height, width, C, CP))
        odd = tl.dot(to_both, load_normed(x, gains, shifts, row, columns + 1, height, width, C, CP))
        right = tl.dot(to_both, load_normed(x, gains, shifts, row, columns + 2, height, width, C, CP))
        even, odd, even0, even1, odd0, odd1 = slide(taps, left, even, odd, right, even0, even1, odd0, odd1)
        done = row + tl.zeros_like(columns) > first_row
        even = tl.where((done & (columns < width))[None, :], even, 0.0).to(x.dtype.element_ty)
        odd = tl.where((done & (columns + 1 < width))[None, :], odd, 0.0).to(x.dtype.element_ty)
        product = tl.dot(even, tl.trans(even), product)
        product = tl.dot(odd, tl.trans(odd), product)

    share = (batch * tl.num_programs(1) + head) * tl.num_programs(0) + tile
    partial += share.to(tl.int64) * ((DP + 2) * DP)
    i, j = both[:, None], both[None, :]
    tl.store(partial + i * DP + j - DP, product, mask=(i < DP) & (j >= DP))
    tl.store(partial + DP * DP + i + tl.zeros_like(j), product, mask=i == j)


@triton.jit
def softmax_kernel(
    partial,
    temperature,
    attention,
    tiles,
    D: tl.constexpr,
    DP: tl.constexpr,
    ROWS: tl.constexpr,
    TILES: tl.constexpr,
):
    """Add up the shares of `ROWS` queries of one head in a fixed order, and make rows of its attention, (DP, DP)."""
    group, head, batch = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    queries, keys = group * ROWS + tl.arange(0, ROWS), tl.arange(0, DP)
    share = batch * tl.num_programs(1) + head
    partial += share.to(tl.int64) * tiles * ((DP + 2) * DP)
    gram = tl.zeros((TILES, ROWS, DP), tl.float32)
    query_square, key_square = tl.zeros((TILES, ROWS), tl.float32), tl.zeros((TILES, DP), tl.float32)
    for first in range(0, tiles, TILES):
        tile = first + tl.arange(0, TILES)
        is_tile = tile < tiles
        here = partial + tile * ((DP + 2) * DP)
        at = here[:, None, None] + queries[None, :, None] * DP + keys[None, None, :]
        gram += tl.load(at, mask=is_tile[:, None, None], other=0.0)
        at = here + DP * DP
        query_square += tl.load(at[:, None] + queries[None, :], mask=is_tile[:, None], other=0.0)
        key_square += tl.load(at[:, None] + DP + keys[None, :], mask=is_tile[:, None], other=0.0)
    norms = tl.sqrt(tl.sum(query_square, 0))[:, None] * tl.sqrt(tl.sum(key_square, 0))[None, :]
    logits = tl.sum(gram, 0) / tl.maximum(norms, 1e-12) * tl.load(temperature + head)
    logits = tl.where((keys < D)[None, :], logits, float("-inf"))
    weights = tl.exp(logits - tl.max(logits, 1)[:, None])
    weights /= tl.sum(weights, 1)[:, None]
    weights = tl.where((queries < D)[:, None], weights, 0.0)
    at = share * (DP * DP) + queries[:, None] * DP + keys[None, :]
    tl.store(attention + at, weights.to(attention.dtype.element_ty))


@triton.jit
def mix_kernel(
    attention,
    project,
    mix,
    C: tl.constexpr,
    CP: tl.constexpr,
    D: tl.constexpr,
    DP: tl.constexpr,
):
    """One head's columns of the C x C matrix (picture out, value in) that attention and projection are together."""
    head, batch = tl.program_id(0), tl.program_id(1)
    mine, channels = tl.arange(0, DP), tl.arange(0, CP)
    at = (batch * tl.num_programs(0) + head) * (DP * DP) + mine[:, None] * DP + mine[None, :]
    to_out = load_matrix(project + head * D, channels, C, C, mine, D)
    product = tl.dot(to_out, tl.load(attention + at))
    at = batch * (C * C) + channels[:, None] * C + (head * D + mine)[None, :]
    tl.store(mix + at, product.to(mix.dtype.element_ty), mask=(channels < C)[:, None] & (mine < D)[None, :])


@triton.jit
def add_to_pixels(x, out, change, pixels, is_inside, C: tl.constexpr, CP: tl.constexpr):
    """out = x + change at `pixels`; `change` is (CP, pixels)."""
    channels = tl.arange(0, CP)
    at = pixels[:, None] * C + channels[None, :]
    mask = is_inside[:, None] & (channels < C)[None, :]
    before = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + at, (before + tl.trans(change)).to(out.dtype.element_ty), mask=mask)


@tuned(*walks(16, 32), key=["C"], rows=lambda sizes: sizes["CP"])
@triton.jit
def apply_kernel(
    x,
    gamma,
    beta,
    qkv,
    depthwise,
    mix,
    out,
    height,
    width,
    rows,
    C: tl.constexpr,
    CP: tl.constexpr,
    PAIRS: tl.constexpr,
):
    """x + mix @ depthwise(value(norm(x))) for one strip of columns and `rows` rows."""
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
    to_value = load_matrix(qkv + 2 * C * C, channels, C, C, channels, C)
    to_out = load_matrix(mix + batch * (C * C), channels, C, C, channels, C)
    taps = load_taps(depthwise + 2 * C + channels, 3 * C, is_channel)

    zero = tl.zeros((CP, PAIRS), tl.float32)
    even0, even1, odd0, odd1 = zero, zero, zero, zero
    end = tl.minimum(first_row + rows, height)
    for row in range(first_row - 1, end + 1):
        left = tl.dot(to_value, load_normed(x, gains, shifts, row, columns - 1, height, width, C, CP))
        even = tl.dot(to_value, load_normed(x, gains, shifts, row, columns, height, width, C, CP))
        odd = tl.dot(to_value, load_normed(x, gains, shifts, row, columns + 1, height, width, C, CP))
        right = tl.dot(to_value, load_normed(x, gains, shifts, row, columns + 2, height, width, C, CP))
        even, odd, even0, even1, odd0, odd1 = slide(taps, left, even, odd, right, even0, even1, odd0, odd1)
        if row > first_row:
            at = (row - 1) * width + columns
            add_to_pixels(x, out, tl.dot(to_out, even.to(x.dtype.element_ty)), at, columns < width, C, CP)
            add_to_pixels(x, out, tl.dot(to_out, odd.to(x.dtype.element_ty)), at + 1, columns + 1 < width, C, CP)


def attention_matrix(x: Tensor, weights: AttentionWeights) -> Tensor:
    """Pass 1, B H W C to B C C: what turns a pixel's value into what attention adds to it."""
    check_image(x)
    batch, height, width, channels = x.shape
    heads, head_channels = weights.heads, channels // weights.heads
    padded_channels, padded_head = padded(channels), padded(head_channels)
    strips = triton.cdiv(width, 2 * GRAM_PAIRS)
    rows = rows_per_program(height, strips * heads * batch)
    tiles = strips * triton.cdiv(height, rows)
    partial = x.new_empty((batch, heads, tiles, padded_head + 2, padded_head), dtype=torch.float32)
    gram_kernel[tiles, heads, batch](
        x, weights.gamma, weights.beta, weights.qkv, weights.depthwise, partial, height, width, rows,
        C=channels, CP=padded_channels, D=head_channels, DP=padded_head,
    )  # fmt: skip
    attention = x.new_empty((batch, heads, padded_head, padded_head))
    softmax_kernel[padded_head // 4, heads, batch](
        partial, weights.temperature, attention, tiles, D=head_channels, DP=padded_head, ROWS=4, TILES=16, num_warps=4
    )
    mix = x.new_empty((batch, channels, channels))
    mix_kernel[heads, batch](
        attention, weights.project, mix, C=channels, CP=padded_channels, D=head_channels, DP=padded_head, num_warps=4
    )
    return mix


def apply_attention(x: Tensor, mix: Tensor, weights: AttentionWeights) -> Tensor:
    """Pass 2, B H W C to the same: x and what attention adds to it."""
    check_image(x)
    batch, height, width, channels = x.shape
    rows = rows_per_program(height, triton.cdiv(width, STRIP) * batch)
    out = torch.empty_like(x)
    apply_kernel[lambda sizes: (triton.cdiv(width, 2 * sizes["PAIRS"]) * triton.cdiv(height, rows), batch)](
        x, weights.gamma, weights.beta, weights.qkv, weights.depthwise, mix, out, height, width, rows,
        C=channels, CP=padded(channels),
    )  # fmt: skip
    return out
