"""The sums of `color.Planes` as one Triton kernel for each direction; importing this loads Triton.

For YUV of any depth, subsampling and siting: a component is a strided view of a plane. Both kernels touch each value
in memory once; what neighbours share comes from the cache.
"""
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 256
WHOLE = tl.constexpr(1.5 * 2**23)
"""Added to a number of less than 23 bits it leaves no place for a fraction: halves go to even, as in `torch.round`."""


class Samples(NamedTuple):
    """The components of a picture, u and v alike, and how chroma lies on luma: for rows and for columns."""

    y: Tensor
    u: Tensor
    v: Tensor
    bits: int
    padding_bits: int
    factor: tuple[int, int]
    is_centered: tuple[bool, bool]

    def geometry(self) -> tuple[int, ...]:
        """Sizes and strides of luma and chroma."""
        assert self.u.stride() == self.v.stride()
        return *self.y.shape, *self.u.shape, *self.y.stride(), *self.u.stride()


@triton.jit
def codes_at(samples, mask, PADDING_BITS: tl.constexpr):
    """Samples as numbers, without what lies under them."""
    return (tl.load(samples, mask=mask, other=0).to(tl.int32) >> PADDING_BITS).to(tl.float32)


@triton.jit
def around(index, count, FACTOR: tl.constexpr, IS_CENTERED: tl.constexpr):
    """The coarse samples on either side of fine ones, those at the border repeated, and the share of the second."""
    if IS_CENTERED:
        first = (index + FACTOR // 2) // FACTOR - 1
        share = (index + 0.5) / FACTOR - 0.5 - first
    else:
        first = index // FACTOR
        share = (index - first * FACTOR) * (1.0 / FACTOR)
    return tl.minimum(tl.maximum(first, 0), count - 1), tl.minimum(first + 1, count - 1), share


@triton.jit
def rgb_kernel(
    y, u, v, rgb,
    height, width, chroma_height, chroma_width, y_row, y_step, chroma_row, chroma_step,
    black, chroma_zero, of_luma, red_u, red_v, green_u, green_v, blue_u, blue_v,
    PADDING_BITS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, ROWS_CENTERED: tl.constexpr, COLUMNS_CENTERED: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """A run of pixels of a row; ROWS and COLUMNS of luma for each sample of chroma."""
    row = tl.program_id(1).to(tl.int64)
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = columns < width
    above, below, down = around(row, chroma_height, ROWS, ROWS_CENTERED)
    left, right, across = around(columns, chroma_width, COLUMNS, COLUMNS_CENTERED)
    above_left, above_right = above * chroma_row + left * chroma_step, above * chroma_row + right * chroma_step
    below_left, below_right = below * chroma_row + left * chroma_step, below * chroma_row + right * chroma_step

    luma = (codes_at(y + row * y_row + columns * y_step, mask, PADDING_BITS) - black) * of_luma
    upper, lower = codes_at(u + above_left, mask, PADDING_BITS), codes_at(u + below_left, mask, PADDING_BITS)
    upper += across * (codes_at(u + above_right, mask, PADDING_BITS) - upper)
    lower += across * (codes_at(u + below_right, mask, PADDING_BITS) - lower)
    blueness = upper + down * (lower - upper) - chroma_zero
    upper, lower = codes_at(v + above_left, mask, PADDING_BITS), codes_at(v + below_left, mask, PADDING_BITS)
    upper += across * (codes_at(v + above_right, mask, PADDING_BITS) - upper)
    lower += across * (codes_at(v + below_right, mask, PADDING_BITS) - lower)
    redness = upper + down * (lower - upper) - chroma_zero

    at, size = rgb + row * width + columns, tl.cast(height, tl.int64) * width
    tl.store(at, tl.clamp(luma + blueness * red_u + redness * red_v, 0.0, 1.0), mask=mask)
    tl.store(at + size, tl.clamp(luma + blueness * green_u + redness * green_v, 0.0, 1.0), mask=mask)
    tl.store(at + 2 * size, tl.clamp(luma + blueness * blue_u + redness * blue_v, 0.0, 1.0), mask=mask)


@triton.jit
def change_at(rainy, residual, strength, mask):
    """The residual, limited."""
    seen = tl.load(rainy, mask=mask, other=0.0).to(tl.float32)
    return tl.clamp(seen + strength * tl.load(residual, mask=mask, other=0.0).to(tl.float32), 0.0, 1.0) - seen


@triton.jit
def add_codes(samples, change, mask, HIGHEST: tl.constexpr, PADDING_BITS: tl.constexpr):
    """Whole steps of the code, so that what lies in the padding survives."""
    old = tl.load(samples, mask=mask, other=0).to(tl.int32)
    codes = (old >> PADDING_BITS).to(tl.float32)
    steps = tl.clamp(codes + change + WHOLE - WHOLE, 0.0, HIGHEST) - codes
    tl.store(samples, (old + steps.to(tl.int32) * (1 << PADDING_BITS)).to(samples.dtype.element_ty), mask=mask)


@triton.jit
def weight_of(offset: tl.constexpr, FACTOR: tl.constexpr, REACH: tl.constexpr):
    """Of a pixel in its chroma: the mean of FACTOR, or a triangle that reaches to both sides."""
    distance: tl.constexpr = offset if offset > 0 else -offset
    return (FACTOR - distance) / (FACTOR * FACTOR) if REACH else 1.0 / FACTOR


@triton.jit
def residual_kernel(
    y, u, v, rainy, residual,
    height, width, chroma_height, chroma_width, y_row, y_step, chroma_row, chroma_step,
    rainy_color, rainy_row, rainy_step, residual_color, residual_row, residual_step, strength,
    y_red, y_green, y_blue, u_red, u_green, u_blue, v_red, v_green, v_blue,
    HIGHEST: tl.constexpr, PADDING_BITS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, ROWS_REACH: tl.constexpr, COLUMNS_REACH: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """A run of chroma in a row with the luma that is its own; a triangle reaches over to the pixels before."""
    row = tl.program_id(1).to(tl.int64)
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_chroma = columns < tl.where(row < chroma_height, chroma_width, 0)
    u_change = tl.zeros((BLOCK,), tl.float32)
    v_change = tl.zeros((BLOCK,), tl.float32)
    for down in tl.static_range(-ROWS_REACH, ROWS):
        for across in tl.static_range(-COLUMNS_REACH, COLUMNS):
            pixel_row, pixels = row * ROWS + down, columns * COLUMNS + across
            inside_row = tl.minimum(tl.maximum(pixel_row, 0), height - 1)
            inside = tl.minimum(tl.maximum(pixels, 0), width - 1)
            old = rainy + inside_row * rainy_row + inside * rainy_step
            new = residual + inside_row * residual_row + inside * residual_step
            mask = columns < chroma_width
            red = change_at(old, new, strength, mask)
            green = change_at(old + rainy_color, new + residual_color, strength, mask)
            blue = change_at(old + 2 * rainy_color, new + 2 * residual_color, strength, mask)
            if down >= 0 and across >= 0:
                luma = y + pixel_row * y_row + pixels * y_step
                is_luma = pixels < tl.where(pixel_row < height, width, 0)
                add_codes(luma, y_red * red + y_green * green + y_blue * blue, is_luma, HIGHEST, PADDING_BITS)
            weight = weight_of(down, ROWS, ROWS_REACH) * weight_of(across, COLUMNS, COLUMNS_REACH)
            u_change += weight * (u_red * red + u_green * green + u_blue * blue)
            v_change += weight * (v_red * red + v_green * green + v_blue * blue)
    at = row * chroma_row + columns * chroma_step
    add_codes(u + at, u_change, is_chroma, HIGHEST, PADDING_BITS)
    add_codes(v + at, v_change, is_chroma, HIGHEST, PADDING_BITS)


def rgb_of(samples: Samples, offsets: tuple[int, int], of_luma: float, of_chroma: list[float]) -> Tensor:
    """1 3 H W in [0, 1], float32; `offsets`: black and the zero of chroma; `of_chroma`: U and V for each colour."""
    height, width = samples.y.shape
    rgb = torch.empty((1, 3, height, width), device=samples.y.device)
    with torch.cuda.device_of(rgb):
        rgb_kernel[triton.cdiv(width, BLOCK), height](
            samples.y, samples.u, samples.v, rgb, *samples.geometry(), *map(float, offsets), of_luma, *of_chroma,
            samples.padding_bits, *samples.factor, *samples.is_centered, BLOCK,
        )  # fmt: skip
    return rgb


def add_to(samples: Samples, rainy: Tensor, residual: Tensor, strength: float, to_codes: list[float]) -> None:
    """Add in place what the limited residual is in codes; `to_codes`: R, G and B for each of Y, U and V."""
    height, width = samples.y.shape
    rows, columns = samples.factor
    reach = (0 if samples.is_centered[axis] else factor - 1 for axis, factor in enumerate(samples.factor))
    with torch.cuda.device_of(rainy):
        residual_kernel[triton.cdiv(triton.cdiv(width, columns), BLOCK), triton.cdiv(height, rows)](
            samples.y, samples.u, samples.v, rainy, residual, *samples.geometry(),
            *rainy.stride()[1:], *residual.stride()[1:], float(strength), *to_codes,
            2**samples.bits - 1, samples.padding_bits, *samples.factor, *reach, BLOCK,
        )  # fmt: skip
