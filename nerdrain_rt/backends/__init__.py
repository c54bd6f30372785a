"""Ways to run the network: one `Backend` protocol, one file for each way, `load_backend` to choose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from nerdrain_rt.errors import BackendError

if TYPE_CHECKING:
    from nerdrain_rt.model.weights import Weights

NAMES = ("eager",)
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Backend(Protocol):
    """The network on a device: rainy images B 3 H W in [0, 1] to the residual that makes them clean.

    Both are float32 on `device`; H and W are multiples of `multiple_of`. It returns the residual and
    not the clean image, so that half precision rounds the rain and never the picture.
    Raises torch.OutOfMemoryError where the images are too large for the device's memory.
    """

    name: str
    device: torch.device
    dtype: torch.dtype
    multiple_of: int

    def __call__(self, rainy: Tensor) -> Tensor:
        """The residual of the rainy images."""

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Memory that one image of (height, width) takes while it is worked on."""


def find_device(name: str = "auto") -> torch.device:
    """The device of that name ("cuda", "cuda:1", "mps", "cpu"), or the best there is for "auto".

    Raises BackendError where there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise BackendError(f"{name}: unknown device; use auto, cpu, cuda, cuda:N or mps") from None
    if reason := why_device_is_missing(device):
        raise BackendError(f"{name}: {reason}; use --device auto or cpu")
    return device


def why_device_is_missing(device: torch.device) -> str | None:
    """Why torch cannot use the device here; None where it can."""
    if device.type == "cuda":
        if torch.version.cuda is None and torch.version.hip is None:
            return "this PyTorch is built without CUDA"
        if not torch.cuda.is_available():
            return "no NVIDIA GPU or driver that PyTorch can use"
        count = torch.cuda.device_count()
        return None if (device.index or 0) < count else f"there are {count} CUDA devices, numbered from 0"
    if device.type == "mps":
        return None if torch.backends.mps.is_available() else "no Apple GPU that PyTorch can use"
    return None if device.type == "cpu" else "not a device this program runs on"


def why_backend_is_missing(name: str) -> str | None:
    """Why a backend cannot run here; None where it can. Raises BackendError for a name that is none."""
    if name not in NAMES:
        raise BackendError(f"{name}: no such backend; there are {', '.join(NAMES)}")
    return None


def load_backend(weights: Weights, name: str = "auto", *, device: str = "auto", precision: str = "auto") -> Backend:
    """The network of `weights` made ready on a device.

    Raises BackendError where backend, device or precision is not available, saying why.
    """
    from nerdrain_rt.backends.eager import EagerBackend

    if name != "auto" and (reason := why_backend_is_missing(name)):
        raise BackendError(f"{name}: {reason}")
    if precision not in ("auto", *PRECISIONS):
        raise BackendError(f"{precision}: no such precision; there are {', '.join(PRECISIONS)}")
    return EagerBackend(weights.build(), find_device(device), PRECISIONS.get(precision))


def precision_name(dtype: torch.dtype) -> str:
    """The command line's name of a precision."""
    return next(name for name, known in PRECISIONS.items() if known == dtype)
