"""What a camera does to light: linear radiance to sRGB, sharpening, noise, and block compression."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Capture:
    """How one picture was taken."""

    sharpening: float
    """Share of the fine detail that is added again, or taken away where it is below 0, as a soft lens does."""
    noise: float
    """Standard deviation, of 1."""
    step: float
    """Quantiser step of the lowest frequencies, of 1; 0 leaves the picture uncompressed."""


def to_linear(srgb: Tensor) -> Tensor:
    """Values of sRGB to linear light (IEC 61966-2-1), both in [0, 1]."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055).pow(2.4))


def to_srgb(linear: Tensor) -> Tensor:
    """Linear light to values of sRGB, both in [0, 1]."""
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=0.0031308).pow(1 / 2.4) - 0.055)


def take(pictures: Tensor, captures: list[Capture], noise: Tensor) -> Tensor:
    """V B 3 H W in [0, 1]: V versions of each of B pictures, taken by the same camera with the same noise.

    `noise` is standard normal, B 3 H W.
    """
    sharpening, deviation, step = (
        torch.tensor(values, dtype=pictures.dtype, device=pictures.device).view(-1, 1, 1, 1)
        for values in zip(*((it.sharpening, it.noise, it.step) for it in captures), strict=True)
    )
    fine = pictures - functional.avg_pool2d(pictures.flatten(0, 1), 3, 1, 1, count_include_pad=False).view_as(pictures)
    taken = (pictures + sharpening * fine + deviation * noise).clamp(0, 1)
    steps = step.expand(len(pictures), -1, -1, -1, -1).reshape(-1, 1, 1, 1)
    compressed = _compress(taken.flatten(0, 1), steps.clamp(min=1e-4)).view_as(taken)
    return torch.where(step > 0, compressed, taken)


def _compress(images: Tensor, steps: Tensor) -> Tensor:
    """Chroma at half size, then 8x8 cosine transforms, quantised more coarsely towards high frequencies."""
    height, width = images.shape[2:]
    padded = functional.pad(images, (0, -width % 16, 0, -height % 16), mode="replicate")
    luma = (padded * padded.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    chroma = functional.avg_pool2d(padded[:, ::2] - luma, 2)
    luma, chroma = _quantise(luma, steps), _quantise(chroma, 2 * steps)
    chroma = functional.interpolate(chroma, scale_factor=2, mode="bilinear")
    red, blue = luma + chroma[:, :1], luma + chroma[:, 1:]
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return torch.cat((red, green, blue), 1)[:, :, :height, :width].clamp(0, 1)


def _quantise(planes: Tensor, steps: Tensor) -> Tensor:
    batch, channels, height, width = planes.shape
    frequency = torch.arange(8, dtype=planes.dtype, device=planes.device)
    basis = torch.cos(math.pi / 8 * frequency.view(8, 1) * (frequency + 0.5)) / 2
    basis[0] /= math.sqrt(2)
    coarser = 1 + 0.5 * (frequency.view(8, 1) + frequency)
    blocks = planes.view(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    size = (8 * steps).view(-1, 1, 1, 1, 1, 1) * coarser
    spectrum = (basis @ blocks @ basis.T).div(size).round().mul(size)
    return (basis.T @ spectrum @ basis).transpose(3, 4).reshape(planes.shape)
