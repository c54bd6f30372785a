"""The head's four layers as one chain of matrix products per pixel: nothing but the three output channels is written.

Reads the features (1 width), nine times from the cache; the 256 hidden channels live in registers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from nerdrain_rt.backends.kernels.attention import load_matrix
from nerdrain_rt.backends.kernels.launch import check_image, padded, tuned

OUT = 16
"""The three output channels, padded for matrix units."""


@dataclass(frozen=True, slots=True)
class HeadWeights:
    """The layers as the kernel reads them: `first` is (9, C, hidden), the others (in, out), the last padded to OUT."""

    first: Tensor
    second: Tensor
    third: Tensor
    last: Tensor
    biases: tuple[Tensor, Tensor, Tensor, Tensor]

    @classmethod
    def of(cls, *layers: nn.Conv2d, dtype: torch.dtype) -> HeadWeights:
        """Pack a head's 3x3 and three 1x1 convolutions."""
        first, second, third, last = layers
        biases = [layer.bias.float() for layer in layers if layer.bias is not None]
        extra = OUT - last.weight.shape[0]
        return cls(
            first=first.weight.flatten(2).permute(2, 1, 0).to(dtype).contiguous(),
            second=second.weight[:, :, 0, 0].T.to(dtype).contiguous(),
            third=third.weight[:, :, 0, 0].T.to(dtype).contiguous(),
            last=nn.functional.pad(last.weight[:, :, 0, 0].T.to(dtype), (0, extra)).contiguous(),
            biases=(biases[0], biases[1], biases[2], nn.functional.pad(biases[3], (0, extra))),
        )


@tuned(
    triton.Config({"PIXELS": 64, "PART": 32}, num_warps=8, num_stages=2),
    triton.Config({"PIXELS": 64, "PART": 64}, num_warps=8, num_stages=2),
    triton.Config({"PIXELS": 64, "PART": 32}, num_warps=8, num_stages=3),
    triton.Config({"PIXELS": 64, "PART": 32}, num_warps=4, num_stages=2),
    triton.Config({"PIXELS": 128, "PART": 64}, num_warps=8, num_stages=1),
    key=["C", "HIDDEN"],
)
@triton.jit
def head_kernel(
    x,
    first,
    second,
    third,
    last,
    first_bias,
    second_bias,
    third_bias,
    last_bias,
    out,
    pixel_count,
    height,
    width,
    C: tl.constexpr,
    CP: tl.constexpr,
    HIDDEN: tl.constexpr,
    HP: tl.constexpr,
    CHANNELS_OUT: tl.constexpr,
    OUT: tl.constexpr,
    PIXELS: tl.constexpr,
    PART: tl.constexpr,
):
    """3x3 convolution, ReLU, two 1x1 with ReLU and a 1x1, for a run of pixels.

    The second layer is made a part of its channels at a time, each used up by the third at once.
    """
    half = x.dtype.element_ty
    pixels = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channels, hidden, outputs = tl.arange(0, CP), tl.arange(0, HP), tl.arange(0, OUT)
    columns, rows = pixels % width, pixels // width % height
    is_pixel = pixels < pixel_count
    at = x + pixels.to(tl.int64)[:, None] * C + channels[None, :]

    state = tl.zeros((PIXELS, HP), tl.float32)
    for tap in range(9):
        down, right = tap // 3 - 1, tap % 3 - 1
        is_inside = is_pixel & (rows + down >= 0) & (rows + down < height)
        is_inside = is_inside & (columns + right >= 0) & (columns + right < width)
        mask = is_inside[:, None] & (channels < C)[None, :]
        window = tl.load(at + (down * width + right) * C, mask=mask, other=0.0)
        weight = load_matrix(first + tap * C * HIDDEN, channels, C, HIDDEN, hidden, HIDDEN)
        state = tl.dot(window, weight, state)
    features = tl.maximum(state + tl.load(first_bias + hidden, mask=hidden < HIDDEN, other=0.0)[None, :], 0.0).to(half)

    state = tl.zeros((PIXELS, HP), tl.float32)
    for start in range(0, HIDDEN, PART):
        part = start + tl.arange(0, PART)
        mixed = tl.dot(features, load_matrix(second, hidden, HIDDEN, HIDDEN, part, HIDDEN))
        mixed = tl.maximum(mixed + tl.load(second_bias + part, mask=part < HIDDEN, other=0.0)[None, :], 0.0).to(half)
        state = tl.dot(mixed, load_matrix(third, part, HIDDEN, HIDDEN, hidden, HIDDEN), state)
    features = tl.maximum(state + tl.load(third_bias + hidden, mask=hidden < HIDDEN, other=0.0)[None, :], 0.0).to(half)

    result = tl.dot(features, load_matrix(last, hidden, HIDDEN, OUT, outputs, OUT))
    result += tl.load(last_bias + outputs)[None, :]
    target = out + pixels.to(tl.int64)[:, None] * CHANNELS_OUT + outputs[None, :]
    tl.store(target, result.to(out.dtype.element_ty), mask=is_pixel[:, None] & (outputs < CHANNELS_OUT)[None, :])


def head(x: Tensor, weights: HeadWeights, channels_out: int = 3) -> Tensor:
    """Features B H W C to B H W 3."""
    check_image(x)
    batch, height, width, channels = x.shape
    out = x.new_empty((batch, height, width, channels_out))
    pixel_count, hidden = batch * height * width, weights.second.shape[0]
    head_kernel[lambda meta: (triton.cdiv(pixel_count, meta["PIXELS"]),)](
        x, weights.first, weights.second, weights.third, weights.last, *weights.biases, out, pixel_count, height, width,
        C=channels, CP=padded(channels), HIDDEN=hidden, HP=padded(hidden), CHANNELS_OUT=channels_out, OUT=OUT,
    )  # fmt: skip
    return out
