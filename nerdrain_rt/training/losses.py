"""The loss NeRD-Rain is trained with (Chen, Pan, Dong, CVPR 2024): pixels, spectrum and edges at three scales."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

_EPSILON = 1e-3
_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_LAPLACIAN = (0.05, 0.25, 0.4, 0.25, 0.05)


class Losses(NamedTuple):
    """The terms, each summed over its scales and unweighted, and their weighted total; scalars."""

    charbonnier: Tensor
    fft: Tensor
    edge: Tensor
    l1: Tensor
    total: Tensor


def derain_loss(outputs: Sequence[Tensor], target: Tensor) -> Losses:
    """Loss of (fine, middle, coarse, middle_first, coarse_first), B 3 h w at scales 1, 1/2, 1/4, 1/2, 1/4.

    Computed in float32, also under autocast: at 1e-3 the Charbonnier term rounds away in bfloat16.
    """
    with torch.autocast(target.device.type, enabled=False):
        fine, middle, coarse, middle_first, coarse_first = (output.float() for output in outputs)
        full, half, quarter = target_pyramid(target.float())
        scales = ((fine, full), (middle, half), (coarse, quarter))

        def summed(term: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
            return torch.stack([term(output, scale) for output, scale in scales]).sum()

        charbonnier, fft, edge = summed(charbonnier_loss), summed(fft_loss), summed(edge_loss)
        l1 = functional.l1_loss(middle_first, half) + functional.l1_loss(coarse_first, quarter)
        return Losses(charbonnier, fft, edge, l1, charbonnier + 0.01 * fft + 0.05 * edge + 0.1 * l1)


def target_pyramid(target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The target at scales 1, 1/2 and 1/4: a binomial blur with mirrored border, then halving, as kornia does."""
    half = _halve(target)
    return target, half, _halve(half)


def charbonnier_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean of a smoothed absolute difference."""
    return torch.sqrt((output - target).square() + _EPSILON**2).mean()


def fft_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean modulus of the difference's spectrum, not normalised by its size."""
    spectrum: Tensor = torch.fft.fft2(output - target)
    return spectrum.abs().mean()


def edge_loss(output: Tensor, target: Tensor) -> Tensor:
    """Charbonnier loss of the Laplacians, which are linear: that of the difference against 0."""
    difference = output - target
    return torch.sqrt(_laplacian(difference).square() + _EPSILON**2).mean()


def _halve(image: Tensor) -> Tensor:
    blurred = _blur(image, _BINOMIAL, "reflect")
    return functional.interpolate(blurred, scale_factor=0.5, mode="bilinear", align_corners=False)


def _laplacian(image: Tensor) -> Tensor:
    """One level of a Laplacian pyramid: the image less its blurred, decimated and interpolated self."""
    blurred = _blur(image, _LAPLACIAN, "replicate")
    sparse = torch.zeros_like(blurred)
    sparse[:, :, ::2, ::2] = 4 * blurred[:, :, ::2, ::2]
    return image - _blur(sparse, _LAPLACIAN, "replicate")


def _blur(image: Tensor, taps: tuple[float, ...], border: str) -> Tensor:
    channels = image.shape[1]
    kernel = _kernel(taps, image.dtype, image.device).expand(channels, 1, -1, -1)
    return functional.conv2d(functional.pad(image, (2, 2, 2, 2), mode=border), kernel, groups=channels)


@cache
def _kernel(taps: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Made once, because a GPU is waited for while it takes numbers from the host."""
    with torch.inference_mode(False):
        line = torch.tensor(taps, dtype=dtype, device=device)
        return torch.outer(line, line)
