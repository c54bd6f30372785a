"""PyTorch's own compiler: the honest middle between running layer by layer and kernels made for this network."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nerdrain_rt.backends.eager import best_dtype
from nerdrain_rt.errors import BackendError
from nerdrain_rt.model.net import Block, NerdRain

if TYPE_CHECKING:
    from nerdrain_rt.model.weights import Weights

_log = logging.getLogger(__name__)

VARIANTS = 1024
"""Compiled blocks that one process may hold, 9 for each size of picture; PyTorch would stop at 8."""
WARM_UP_RUNS = 3
"""Forwards before a CUDA graph is recorded: the first compiles, and libraries set up their workspaces."""


def why_missing(device: torch.device) -> str | None:
    """Why it cannot run on that device here; None where it can."""
    if sys.version_info >= (3, 15):
        return "PyTorch cannot compile on this version of Python; use 3.11 to 3.14"
    if device.type == "cuda":
        if torch.cuda.is_available() and torch.cuda.get_device_capability(device) < (7, 0):
            return "Triton needs a GPU of compute capability 7.0 or more"
        return None if find_spec("triton") else "Triton is not installed; pip install triton, on Windows triton-windows"
    if device.type != "cpu":
        return "compiles for CUDA and processors only"
    if os.environ.get("CXX") or any(map(shutil.which, ("cl",) if os.name == "nt" else ("g++", "clang++"))):
        return None
    return "there is no C++ compiler; install g++ or set CXX"


def load(weights: Weights, device: torch.device, dtype: torch.dtype | None = None) -> CompileBackend:
    """The backend with these weights; raises BackendError where no compiler is at hand."""
    if reason := why_missing(device):
        raise BackendError(f"compile: {reason}")
    return CompileBackend(weights.build(), device, dtype)


class CompileBackend:
    """torch.compile of each block for each size; on CUDA the whole forward is then one CUDA graph.

    Blocks are compiled and not the network: its 78 (of NeRD-Rain-S) are of 9 kinds, so that it takes minutes less,
    and between blocks there is little to fuse. The first forward of a size compiles; PyTorch keeps that on disk.
    One call at a time, as the graph has one input and one output.
    """

    name = "compile"
    multiple_of = NerdRain.multiple_of

    def __init__(
        self, net: NerdRain, device: torch.device, dtype: torch.dtype | None = None, *, compiler: str = "inductor"
    ) -> None:
        """`compiler` is one of torch.compiler.list_backends()."""
        self.device = device
        self.dtype = dtype or best_dtype(device)
        self._width = net.config.width
        self._net = net.to(device, self.dtype)
        self._recorded: _Recorded | None = None
        # Not the mode of that name, which also compiles each kernel again and again in search of better settings.
        options: dict[str, str | int | bool | Callable[..., Any]] | None = {"max_autotune": True}
        for module in net.modules():
            if isinstance(module, Block):
                module.compile(dynamic=False, options=options if device.type == "cuda" else None, backend=compiler)

    @torch.inference_mode()
    def __call__(self, rainy: Tensor) -> Tensor:
        """B 3 H W in [0, 1] to the residual, float32.

        Raises an error that `is_out_of_memory` knows where memory ran out, BackendError where the compiler fails.
        """
        try:
            return self._run(rainy.contiguous())
        except torch.OutOfMemoryError:
            self._recorded = None
            raise
        except RuntimeError as error:
            if isinstance(error, torch._dynamo.exc.TorchDynamoException):
                reason = str(getattr(error, "inner_exception", error)).strip().splitlines()[0]
                raise BackendError(f"compile: {reason}; use --backend eager") from error
            raise

    def bytes_for(self, size: tuple[int, int]) -> int:
        """That of the same layers one by one, which compiled ones stay below."""
        height, width = size
        return 40 * height * width * self._width * self.dtype.itemsize

    def _run(self, rainy: Tensor) -> Tensor:
        if self.device.type != "cuda":
            return self._forward(rainy).float()
        if self._recorded is None or self._recorded.shape != rainy.shape:
            self._recorded = None  # its memory is free before the next takes its own
            self._recorded = _Recorded(self._forward, rainy)
        return self._recorded(rainy)

    def _forward(self, rainy: Tensor) -> Tensor:
        with torch._dynamo.config.patch(recompile_limit=VARIANTS, accumulated_recompile_limit=VARIANTS):
            residual: Tensor = self._net(rainy)
        return residual


class _Recorded:
    """A forward as one CUDA graph of one shape; run step by step where it cannot be recorded."""

    def __init__(self, forward: Callable[[Tensor], Tensor], rainy: Tensor) -> None:
        self.shape = rainy.shape
        self._forward = forward
        self._rainy = rainy.clone()
        self._graph: torch.cuda.CUDAGraph | None = torch.cuda.CUDAGraph()
        with torch.cuda.device(rainy.device):
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            # The graph's own context leaves its stream current where the recording fails.
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP_RUNS):
                    forward(self._rainy)
                try:
                    # Other threads copy frames meanwhile, which must not spoil the recording.
                    with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
                        self._residual = forward(self._rainy).float()
                except RuntimeError as error:
                    _log.warning("compile: runs without a CUDA graph: %s", str(error).partition("\n")[0])
                    self._graph = None
            torch.cuda.current_stream().wait_stream(stream)

    def __call__(self, rainy: Tensor) -> Tensor:
        if self._graph is None:
            return self._forward(rainy).float()
        self._rainy.copy_(rainy)
        self._graph.replay()
        return self._residual.clone()
