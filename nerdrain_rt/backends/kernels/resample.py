"""What a decoder does where two scales meet: pixel shuffle, the skip's 1x1 convolution and their sum as one kernel.

Concatenation, reduction and up-convolution are linear, so the reduction's one half folds into the up-convolution, and
only the skip's half is left to compute here. Reads the folded convolution and the skip, writes the sum: 3 widths.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from nerdrain_rt.backends.kernels.attention import load_matrix
from nerdrain_rt.backends.kernels.launch import check_image, padded, tuned


@tuned(
    triton.Config({"PIXELS": 64}, num_warps=4, num_stages=1),
    triton.Config({"PIXELS": 128}, num_warps=4, num_stages=1),
    triton.Config({"PIXELS": 128}, num_warps=8, num_stages=1),
    key=["C"],
)
@triton.jit
def merge_kernel(
    coarse,
    skip,
    reduce,
    out,
    pixel_count,
    width,
    C: tl.constexpr,
    CP: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """out[y, x] = coarse[y // 2, x // 2, (y % 2, x % 2)] + reduce @ skip[y, x]; width is that of the fine picture."""
    pixels = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channels = tl.arange(0, CP)
    mask = (pixels < pixel_count)[:, None] & (channels < C)[None, :]
    rows, columns = pixels // width, pixels % width
    parent = (rows // 2 * (width // 2) + columns // 2).to(tl.int64) * (4 * C)
    shuffled = coarse + (parent + (rows % 2 * 2 + columns % 2) * C)[:, None] + channels[None, :]
    at = pixels.to(tl.int64)[:, None] * C + channels[None, :]
    matrix = load_matrix(reduce, channels, C, C, channels, C)
    total = tl.load(shuffled, mask=mask, other=0.0).to(tl.float32)
    total = tl.dot(tl.load(skip + at, mask=mask, other=0.0), tl.trans(matrix), total)
    tl.store(out + at, total.to(out.dtype.element_ty), mask=mask)


def merge(coarse: Tensor, skip: Tensor, reduce: Tensor) -> Tensor:
    """Folded up-convolution B h w 4C, sub-pixels outermost, and skip B 2h 2w C to B 2h 2w C; `reduce` is (C, C)."""
    check_image(coarse)
    check_image(skip)
    channels = skip.shape[-1]
    out = torch.empty_like(skip)
    pixel_count = skip.numel() // channels
    merge_kernel[lambda meta: (triton.cdiv(pixel_count, meta["PIXELS"]),)](
        coarse, skip, reduce, out, pixel_count, skip.shape[2], C=channels, CP=padded(channels)
    )
    return out
