"""Runs a TensorRT engine on a GPU, with contexts, buffers and CUDA graphs; only this file calls TensorRT's runtime."""

from __future__ import annotations

import hashlib
import logging
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nerdrain_rt.backends.engine_spec import Size
from nerdrain_rt.errors import BackendError
from nerdrain_rt.folders import write_whole

_log = logging.getLogger(__name__)

DIGEST_BYTES = 32
WARM_UP_RUNS = 2
"""Before a graph is captured: the first runs load kernels, which cannot be captured."""


MOST_LANES = 4
"""Sizes that are kept ready on a stream, each with memory of its own."""


class Engine:
    """A plan ready to run on a device; each stream that calls it has a context of its own for each of its last sizes.

    Raises BackendError where TensorRT does not load the plan here, torch.OutOfMemoryError where memory is short.
    Everything happens on the caller's thread, because memory that one thread allocates or a device that it waits
    for can break the capture of a graph in another.
    """

    def __init__(self, plan: bytes, device: torch.device, *, flavour: str, jit_path: Path | None = None) -> None:
        self.device = device
        self._trt = trt = import_module(flavour.replace("-", "_"))
        self._log = make_logger(trt)
        self._jit_path = jit_path if flavour == "tensorrt-rtx" else None
        with torch.cuda.device(device):
            torch.cuda.empty_cache()  # TensorRT allocates the weights past PyTorch's allocator
            self._runtime = trt.Runtime(self._log)
            self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            said = self._log.take()
            raise self._error(f"the engine does not load here: {explain(trt, self._runtime, plan) or said}")
        self._config = self._make_config()
        self.lanes: dict[tuple[int, Size], Lane] = {}
        """By the handle of the stream, and the size; the one used last at the end."""

    @torch.inference_mode()
    def __call__(self, rainy: Tensor) -> Tensor:
        """1 3 H W in [0, 1] to the residual; float32, a tensor of its own."""
        with torch.cuda.device(self.device):
            size = (rainy.shape[-2], rainy.shape[-1])
            key = torch.cuda.current_stream().cuda_stream, size
            lane = self.lanes.pop(key, None)
            if lane is None:
                self._make_room()
                lane = Lane(self._make_context(), size, self.device)
                self._keep_jit()
            self.lanes[key] = lane
            return lane(rainy)

    def _make_room(self) -> None:
        """Let go of the size that was not used for longest on this stream, when its work is done."""
        stream = torch.cuda.current_stream()
        known = [key for key in self.lanes if key[0] == stream.cuda_stream]  # others may be at work on theirs
        if len(known) >= MOST_LANES:
            stream.synchronize()
            del self.lanes[known[0]]

    def _make_config(self) -> Any:
        """How TensorRT-RTX compiles kernels when a context is made; standard TensorRT has compiled them already."""
        if not hasattr(self._engine, "create_runtime_config"):
            return None
        trt, config = self._trt, self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if hasattr(trt, "CudaGraphStrategy"):
            config.cuda_graph_strategy = trt.CudaGraphStrategy.DISABLED
            # Lazily made kernels would be exchanged behind the back of a captured graph.
            config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
            self._jit = config.create_runtime_cache()
            if kernels := self._kept_jit():
                self._jit.deserialize(kernels)
            config.set_runtime_cache(self._jit)
        return config

    def _make_context(self) -> Any:
        strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = self._engine.create_execution_context(strategy if self._config is None else self._config)
        if context is None:
            raise self._error(f"no context for the engine: {self._log.take()}")
        return context

    def _kept_jit(self) -> bytes | None:
        """The kernels of an earlier run, whole; TensorRT may abort the process on others."""
        try:
            content = self._jit_path.read_bytes() if self._jit_path is not None else b""
        except OSError:
            return None
        digest, kernels = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        return kernels if hashlib.sha256(kernels).digest() == digest else None

    def _keep_jit(self) -> None:
        if self._jit_path is None:
            return
        try:
            kernels = bytes(self._jit.serialize())
            write_whole(self._jit_path, hashlib.sha256(kernels).digest() + kernels)
        except OSError as error:
            _log.debug("%s: kernels are not kept: %s", self._jit_path, error)

    def _error(self, reason: str) -> Exception:
        is_memory = re.search(r"out ?of ?memory|insufficient.*memory", reason, re.IGNORECASE)
        return (torch.OutOfMemoryError if is_memory else BackendError)(f"tensorrt: {reason}")


class Lane:
    """One size on one stream: a context with memory from PyTorch's allocator, fixed buffers, a graph if it can be."""

    def __init__(self, context: Any, size: Size, device: torch.device) -> None:
        self._context = context
        self._rainy = torch.zeros(1, 3, *size, device=device)
        self._residual = torch.empty_like(self._rainy)
        engine, tensors = context.engine, {}
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            is_input = engine.get_tensor_mode(name).name == "INPUT"
            tensors[name] = self._rainy if is_input else self._residual
            if is_input:
                context.set_input_shape(name, tuple(self._rainy.shape))
        needed = max(1, context.update_device_memory_size_for_shapes())
        self._memory = torch.empty(needed, dtype=torch.uint8, device=device)
        context.set_device_memory(self._memory.data_ptr(), needed)
        for name, tensor in tensors.items():
            context.set_tensor_address(name, tensor.data_ptr())
        self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._graph = self._capture()

    def __call__(self, rainy: Tensor) -> Tensor:
        """1 3 H W to the residual, on the current stream."""
        self._rainy.copy_(rainy)
        if self._graph is None:
            self._run_aside()
        else:
            self._graph.replay()
        return self._residual.clone()

    @property
    def has_graph(self) -> bool:
        """Whether runs are replays of a CUDA graph."""
        return self._graph is not None

    def _run_aside(self) -> None:
        """Not on the caller's stream: on the default one TensorRT would wait for the whole device."""
        caller = torch.cuda.current_stream()
        self._side.wait_stream(caller)
        self._execute()
        caller.wait_stream(self._side)

    def _execute(self) -> None:
        if not self._context.execute_async_v3(self._side.cuda_stream):
            raise BackendError("tensorrt: the engine failed to run")

    def _capture(self) -> torch.cuda.CUDAGraph | None:
        for _ in range(WARM_UP_RUNS):
            self._run_aside()
        self._side.synchronize()
        is_capturable = getattr(self._context, "is_stream_capturable", None)
        if is_capturable is not None and not is_capturable(self._side.cuda_stream):
            _log.debug("tensorrt: this engine cannot be captured in a CUDA graph")
            return None
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(self._side):
                # Of this thread alone: those that upload and download frames go on allocating.
                graph.capture_begin(capture_error_mode="thread_local")
                try:
                    self._execute()
                finally:
                    graph.capture_end()
        except (RuntimeError, BackendError) as error:
            _log.warning("tensorrt: runs without a CUDA graph: %s", str(error).partition("\n")[0])
            self._run_aside()
            return None
        return graph


def explain(trt: Any, runtime: Any, plan: bytes) -> str | None:
    """Why a plan cannot run here, in TensorRT-RTX's words; None where it has none."""
    if not hasattr(runtime, "get_engine_validity"):
        return None
    validity, flags = runtime.get_engine_validity(plan)
    if validity != trt.EngineValidity.INVALID:
        return None
    known = trt.EngineInvalidityDiagnostics.__members__.items()
    reasons = [name.lower().replace("_", " ") for name, member in known if int(flags) & int(member)]
    return ", ".join(reasons) or None


def make_logger(trt: Any) -> Any:
    """TensorRT's log as ours; its errors explain a call that only returns nothing."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message.strip().partition("\n")[0])
            _log.debug("TensorRT: %s", message)

        def take(self) -> str:
            """What went wrong since it was last asked, in one line."""
            errors, self.errors = self.errors, []
            return "; ".join(errors) or "TensorRT does not say why"

    return Logger()
