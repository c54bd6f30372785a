"""PSNR and SSIM of 8-bit images, on luma in the two conventions of the deraining literature."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]
"""H W 3, RGB."""
Luma: TypeAlias = npt.NDArray[np.float64]
"""H W, in 8-bit codes."""
Convention = Literal["y8", "yfloat"]
"""y8 (Rain100, Rain200, SPA): luma rounded to 8 bits. yfloat (DID, DDN): not rounded, and shrunk for SSIM."""

EQUAL_DB = 100.0
"""The PSNR given to equal images, and the highest there is, so that means stay finite."""
SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_C1 = (0.01 * 255) ** 2
SSIM_C2 = (0.03 * 255) ** 2
SSIM_SIDE = 256
"""Larger images are shrunk to about this side before SSIM where luma is not rounded."""


class Score(NamedTuple):
    """Of one image against its target."""

    psnr_y: float
    """dB"""
    ssim_y: float


def score(image: Image, target: Image, convention: Convention = "y8") -> Score:
    """PSNR and SSIM on luma, equal to the MATLAB code of the papers.

    Both sides of the images must be at least `SSIM_WINDOW` pixels after shrinking.
    """
    luma, target_luma = (to_luma(side) for side in (image, target))
    if convention == "y8":
        luma, target_luma = np.floor(luma + 0.5), np.floor(target_luma + 0.5)
        return Score(psnr(luma, target_luma), ssim(luma, target_luma))
    return Score(psnr(luma, target_luma), ssim(_shrink(luma), _shrink(target_luma)))


def to_luma(image: Image) -> Luma:
    """Luma of BT.601 in limited range, 16 to 235, not rounded."""
    luma: Luma = 16 + image @ (np.array([65.481, 128.553, 24.966]) / 255)
    return luma


def psnr(image: npt.NDArray[np.generic], target: npt.NDArray[np.generic]) -> float:
    """PSNR in dB over all samples, where 255 is the peak; at most `EQUAL_DB`."""
    error = float(np.mean(np.square(image.astype(np.float64) - target.astype(np.float64))))
    return min(EQUAL_DB, 10 * math.log10(255**2 / error)) if error else EQUAL_DB


def ssim(luma: Luma, target: Luma) -> float:
    """Mean SSIM where the Gaussian window lies within the image (Wang et al., TIP 2004)."""
    mean, target_mean = _window_means(luma), _window_means(target)
    variances = _window_means(luma**2) - mean**2 + _window_means(target**2) - target_mean**2
    covariance = _window_means(luma * target) - mean * target_mean
    likeness = (2 * mean * target_mean + SSIM_C1) * (2 * covariance + SSIM_C2)
    return float(np.mean(likeness / ((mean**2 + target_mean**2 + SSIM_C1) * (variances + SSIM_C2))))


def _window_means(luma: Luma) -> Luma:
    kernel = cv2.getGaussianKernel(SSIM_WINDOW, SSIM_SIGMA, cv2.CV_64F)
    margin = SSIM_WINDOW // 2
    return np.asarray(cv2.sepFilter2D(luma, cv2.CV_64F, kernel, kernel), np.float64)[margin:-margin, margin:-margin]


def _shrink(luma: Luma) -> Luma:
    """Every f-th of the means over f x f pixels, which begin (f - 1) // 2 before it as MATLAB's imfilter has it."""
    factor = max(1, math.floor(min(luma.shape) / SSIM_SIDE + 0.5))
    anchor = ((factor - 1) // 2,) * 2
    means = cv2.blur(luma, (factor, factor), anchor=anchor, borderType=cv2.BORDER_REFLECT)
    return np.asarray(means, np.float64)[::factor, ::factor]
