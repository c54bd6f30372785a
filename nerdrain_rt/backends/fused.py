"""The network as Triton kernels made for it, on NVIDIA GPUs from compute capability 8.0; one CUDA graph per size."""

from __future__ import annotations

import importlib.util
import logging
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import SubprocessError
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from nerdrain_rt.backends.tiled import round_up
from nerdrain_rt.errors import BackendError, first_line
from nerdrain_rt.lanes import is_out_of_memory
from nerdrain_rt.model.net import NerdRain

if TYPE_CHECKING:
    from nerdrain_rt.model.weights import Weights

_log = logging.getLogger(__name__)

LOWEST_CAPABILITY = (8, 0)
GRAPHS = 3
"""Sizes kept ready at once: a video's, its last tile's, and one to change to."""


class Graph(NamedTuple):
    """A recorded forward pass and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    rainy: Tensor
    residual: Tensor


class FusedBackend:
    """Fused kernels in float16 or bfloat16; for one stream at a time.

    The first call of a size compiles and tunes (seconds to minutes, once per machine) and records; the next replay.
    """

    name = "fused"
    multiple_of = NerdRain.multiple_of

    def __init__(self, net: NerdRain, device: torch.device, dtype: torch.dtype | None = None) -> None:
        from nerdrain_rt.backends.kernels.network import FusedNet

        self.device = device
        self.dtype = dtype or torch.float16
        if self.dtype not in (torch.float16, torch.bfloat16):
            raise BackendError(f"fused: no kernels for {self.dtype}; use fp16 or bf16")
        self._width = net.config.width
        self._net = FusedNet(net.to(device).float(), self.dtype)
        self._graphs: OrderedDict[torch.Size, Graph | None] = OrderedDict()
        """None where none can be recorded."""

    @torch.inference_mode()
    def __call__(self, rainy: Tensor) -> Tensor:
        """B 3 H W in [0, 1] to the residual, float32."""
        if self.device.type != "cuda":  # Triton's interpreter
            return self._net(rainy.float())
        with torch.cuda.device(self.device):
            if rainy.shape not in self._graphs:
                with kernel_failures():
                    self._graphs[rainy.shape] = self._record(rainy)
            self._graphs.move_to_end(rainy.shape)
            graph = self._graphs[rainy.shape]
            if graph is None:
                return self._net(rainy.float())
            graph.rainy.copy_(rainy)
            graph.graph.replay()
            return graph.residual.clone()

    @torch.inference_mode()
    def prepare(self, size: tuple[int, int]) -> None:
        """Compile and tune for images of (height, width), which Triton keeps on disk, by a run that is not recorded.

        On the current device, with smaller images where memory is short. Raises BackendError where a kernel does not
        run, torch.OutOfMemoryError where even the smallest image is too large.
        """
        height, width = size
        while True:
            try:
                with kernel_failures():
                    self._net(torch.rand(1, 3, height, width, device=self.device)).cpu()
            except RuntimeError as error:
                if not is_out_of_memory(error) or max(height, width) == self.multiple_of:
                    raise
            else:
                return
            height, width = (round_up(side // 2, self.multiple_of) for side in (height, width))
            torch.cuda.empty_cache()

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Counted: three skips and latents live beside a block's input and output and a convolution's result."""
        height, width = size
        return 12 * height * width * self._width * self.dtype.itemsize

    def _record(self, rainy: Tensor) -> Graph | None:
        """Run once to compile and tune, then record the same work as a graph; None where that cannot be recorded."""
        while len(self._graphs) >= GRAPHS:
            self._graphs.popitem(last=False)
        static = rainy.float().contiguous().clone()
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        graph = torch.cuda.CUDAGraph()
        # The graph's own context leaves its stream current where the recording fails.
        with torch.backends.cudnn.flags(enabled=True, benchmark=True), torch.cuda.stream(stream):
            self._net(static)
            try:
                # Other threads go on copying pictures while this one records.
                with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                    residual = self._net(static)
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
                _log.warning("fused: runs without a CUDA graph: %s", first_line(error))
                recorded = None
            else:
                _log.debug("recorded a graph for %s", tuple(rainy.shape))
                recorded = Graph(graph, static, residual)
        torch.cuda.current_stream().wait_stream(stream)
        return recorded


@contextmanager
def kernel_failures() -> Iterator[None]:
    """Raise what Triton, or the C compiler that it runs, says of a kernel as a BackendError of one line."""
    from triton import TritonError

    try:
        yield
    except (TritonError, SubprocessError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise BackendError(f"fused: a kernel does not run here: {reason}") from error


def why_missing(device: torch.device) -> str | None:
    """Why the kernels cannot run on a device here; None where they can."""
    if device.type != "cuda":
        return f"its kernels need an NVIDIA GPU, not {device.type}"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed; pip install triton"
    if torch.version.cuda is None or not torch.cuda.is_available():
        return "no NVIDIA GPU or driver that PyTorch can use"
    capability = torch.cuda.get_device_capability(device)
    if capability < LOWEST_CAPABILITY:
        return f"the GPU has compute capability {capability[0]}.{capability[1]}; the kernels need 8.0"
    return None


def load(weights: Weights, device: torch.device, dtype: torch.dtype | None = None) -> FusedBackend:
    """The network of `weights` ready on a device. Raises BackendError where the kernels cannot run there."""
    if reason := why_missing(device):
        raise BackendError(f"fused: {reason}")
    return FusedBackend(weights.build(), device, dtype)
