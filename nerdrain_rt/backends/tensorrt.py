"""The network as one TensorRT engine, kept on disk once it is built; while it is built, another backend works."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nerdrain_rt.backends import load_best
from nerdrain_rt.backends.auto import key_of
from nerdrain_rt.backends.engine_cache import EngineCache
from nerdrain_rt.backends.engine_process import build_in_process
from nerdrain_rt.backends.engine_runtime import Engine
from nerdrain_rt.backends.engine_spec import EngineSpec, Size, installed_versions, this_gpu
from nerdrain_rt.backends.engines import Engines, Toolkit
from nerdrain_rt.errors import BackendError
from nerdrain_rt.model.net import NerdRain

if TYPE_CHECKING:
    from nerdrain_rt.backends import Backend
    from nerdrain_rt.model.weights import Weights

FALLBACKS = ("fused", "eager")
"""What works meanwhile, the better one as soon as it is ready; not torch.compile, which takes as long as an engine."""
OLDEST_CAPABILITY = (7, 5)


def why_missing(device: torch.device) -> str | None:
    """Why TensorRT cannot run on a device here, in one line; None where nothing speaks against it."""
    if device.type != "cuda" or torch.version.hip is not None:
        return "runs on NVIDIA GPUs only"
    try:
        installed_versions()
    except BackendError as error:
        return str(error)
    capability = torch.cuda.get_device_capability(device)
    if capability < OLDEST_CAPABILITY:
        (oldest, and_minor), (major, minor) = OLDEST_CAPABILITY, capability
        return f"needs a GPU of compute capability {oldest}.{and_minor} or later; this one has {major}.{minor}"
    return None


def load(
    weights: Weights,
    device: torch.device,
    dtype: torch.dtype | None = None,
    *,
    wait_engine: bool = False,
    announce: Callable[[str], None] | None = None,
) -> TensorRTBackend:
    """The network of `weights` on a GPU, by default in half precision; engines are loaded or built as sizes come.

    Each size has its own, but for those within a range that one was built for ahead of time. `announce` takes a line on
    what becomes of engines; else the log does. Raises BackendError where TensorRT cannot run.
    """
    if reason := why_missing(device):
        raise BackendError(f"tensorrt: {reason}")
    toolkit = Toolkit(installed_versions(), this_gpu(device), build_in_process, open_engine)
    return TensorRTBackend(
        weights,
        device,
        dtype,
        toolkit=toolkit,
        wait_engine=wait_engine,
        announce=announce,
    )


def open_engine(plan: bytes, spec: EngineSpec, device: torch.device, path: Path) -> Engine:
    """Load a plan on a GPU; TensorRT-RTX keeps the kernels it makes for it beside `path`."""
    return Engine(plan, device, flavour=spec.versions.flavour, jit_path=path.with_suffix(".jit"))


class TensorRTBackend:
    """One engine for each size of image, or for a range of sizes; another backend where there is none yet."""

    multiple_of = NerdRain.multiple_of

    def __init__(
        self,
        weights: Weights,
        device: torch.device,
        dtype: torch.dtype | None = None,
        *,
        toolkit: Toolkit,
        wait_engine: bool = False,
        fallback: Backend | None = None,
        cache: EngineCache | None = None,
        announce: Callable[[str], None] | None = None,
    ) -> None:
        self.device = device
        self.dtype = dtype or torch.float16
        self.name = "tensorrt"
        """What ran last: "tensorrt", or as in "tensorrt (eager meanwhile)"."""
        self.engines = Engines(
            weights,
            device,
            self.dtype,
            toolkit,
            wait_engine=wait_engine,
            cache=cache,
            announce=announce,
        )
        # The thread that builds holds the engines, not this: where another backend is taken, the build ends.
        weakref.finalize(self, self.engines.close)
        self._weights = weights
        self._fallback = fallback

    def __call__(self, rainy: Tensor) -> Tensor:
        """B 3 H W in [0, 1] to the residual, float32; image by image where an engine runs.

        Raises BackendError where the GPU fails, or with `wait_engine` where the engine cannot be had.
        """
        run = self.engines.find((rainy.shape[-2], rainy.shape[-1]), count=len(rainy))
        if run is None:
            fallback = self._meanwhile()
            residual = fallback(rainy)
            self.name = f"tensorrt ({key_of(fallback)} meanwhile)"
            return residual
        self.name = "tensorrt"
        try:
            residuals = [run(rainy[index : index + 1]) for index in range(len(rainy))]
        except torch.AcceleratorError as error:
            raise BackendError(f"{self.device}: the GPU failed: {str(error).splitlines()[0]}") from error
        return residuals[0] if len(residuals) == 1 else torch.cat(residuals)

    def bytes_for(self, size: Size) -> int:
        """What the backend that works meanwhile needs, which fuses less than an engine does, and an engine's images."""
        height, width = size
        return 24 * height * width + self._meanwhile().bytes_for(size)

    @property
    def status(self) -> str:
        """What is being built and how far it is; empty where nothing is."""
        return self.engines.status

    def close(self) -> None:
        """Stop what is being built."""
        self.engines.close()

    def _meanwhile(self) -> Backend:
        if self._fallback is None:
            self._fallback = load_best(self._weights, FALLBACKS, self.device, self.dtype)
        return self._fallback
