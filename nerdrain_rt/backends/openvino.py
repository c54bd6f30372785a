"""OpenVINO: the fastest way on x86 processors, and the one for Intel GPUs.

What is compiled for a size is kept in the user's cache folder once the size came up twice, so that videos start
sooner the next time and a folder of pictures does not fill the disk.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nerdrain_rt.backends.eager import has_native_bfloat16
from nerdrain_rt.errors import BackendError
from nerdrain_rt.folders import cache_folder, write_whole
from nerdrain_rt.lanes import thread_count
from nerdrain_rt.model.net import NerdRain

if TYPE_CHECKING:
    import openvino

    from nerdrain_rt.model.weights import Weights

_log = logging.getLogger(__name__)

Shape = tuple[int, int, int, int]

PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}
SIZES_IN_MEMORY = 4
"""Compiled networks held at once; each has its own weights, but only the one in use has memory to work in."""
SIZES_ON_DISK = 8
"""Compiled networks in the cache folder, about 50 MB each for NeRD-Rain-S."""


def why_missing(device: torch.device) -> str | None:
    """Why it cannot run on that device here; None where it can."""
    if device.type != "cpu":
        return "runs on processors and Intel GPUs; use --device cpu"
    return None if find_spec("openvino") else "OpenVINO is not installed; pip install openvino"


def load(weights: Weights, device: torch.device, dtype: torch.dtype | None = None) -> OpenVinoBackend:
    """The backend with these weights; NERDRAIN_OPENVINO_DEVICE=GPU makes it run on an Intel GPU.

    Raises BackendError where OpenVINO, its device or the precision is missing.
    """
    if reason := why_missing(device):
        raise BackendError(f"openvino: {reason}")
    runs_on = os.environ.get("NERDRAIN_OPENVINO_DEVICE", "CPU")
    return OpenVinoBackend(weights.build(), device, dtype, runs_on=runs_on, sha256=weights.sha256)


class OpenVinoBackend:
    """OpenVINO in float32, bfloat16 or float16; images are on the CPU, whatever `runs_on`.

    Each shape is compiled on its own, which takes seconds and runs 1.7 times as fast as one network for all shapes.
    """

    name = "openvino"
    multiple_of = NerdRain.multiple_of

    def __init__(
        self,
        net: NerdRain,
        device: torch.device,
        dtype: torch.dtype | None = None,
        *,
        runs_on: str = "CPU",
        sha256: str | None = None,
    ) -> None:
        """`runs_on` is OpenVINO's name of a device; with the weights' `sha256`, what is compiled is kept on disk."""
        self.device = device
        self._net = net
        self._core = _core()
        self._runs_on = runs_on
        device_name, capabilities = self._describe_device()
        self.dtype = dtype or self._best_dtype(capabilities)
        capability = {torch.bfloat16: "BF16", torch.float16: "FP16"}.get(self.dtype)
        if capability is not None and capability not in capabilities:
            raise BackendError(f"openvino: {device_name} does not compute in {capability}; use --precision fp32")
        self._properties = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": PRECISIONS[self.dtype]}
        if runs_on == "CPU":
            # Not pinned: decoding and encoding run beside it, and the system is to move them around.
            self._properties |= {"INFERENCE_NUM_THREADS": str(_thread_count()), "ENABLE_CPU_PINNING": "NO"}
        self._cache = sha256 and _Cache(f"{sha256} {_openvino().get_version()} {device_name} {self.dtype}")
        self._compiled: OrderedDict[Shape, openvino.CompiledModel] = OrderedDict()
        self._unkept: set[Shape] = set()

    def __call__(self, rainy: Tensor) -> Tensor:
        """B 3 H W in [0, 1] to the residual, float32.

        Raises torch.OutOfMemoryError where memory ran out, BackendError where OpenVINO fails otherwise.
        """
        batch, channels, height, width = rainy.shape
        try:
            network = self._network((batch, channels, height, width))
            residual = network([rainy.detach().float().contiguous().numpy()])[0]
        except MemoryError as error:
            raise torch.OutOfMemoryError(f"openvino: out of memory for {width}x{height}") from error
        except RuntimeError as error:
            if "alloc" in str(error).lower():
                raise torch.OutOfMemoryError(f"openvino: out of memory for {width}x{height}") from error
            raise BackendError(f"openvino: failed at {width}x{height}: {_last_line(error)}") from error
        return torch.from_numpy(residual)

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Peak measured for NeRD-Rain-S, which grows with the width: a third of what PyTorch takes."""
        height, width = size
        return 13 * height * width * self._net.config.width * self.dtype.itemsize

    def _describe_device(self) -> tuple[str, list[str]]:
        """Its full name, and what it computes in."""
        try:
            full_name = self._core.get_property(self._runs_on, "FULL_DEVICE_NAME")
            return full_name.strip(), self._core.get_property(self._runs_on, "OPTIMIZATION_CAPABILITIES")
        except RuntimeError:
            there_are = ", ".join(self._core.available_devices)
            raise BackendError(f"openvino: no device {self._runs_on} that it can use; there are {there_are}") from None

    def _best_dtype(self, capabilities: list[str]) -> torch.dtype:
        """The fastest precision that the device has in hardware."""
        if self._runs_on != "CPU":
            return torch.float16 if "FP16" in capabilities else torch.float32
        # OpenVINO lists BF16 also where the processor only imitates it.
        return torch.bfloat16 if "BF16" in capabilities and has_native_bfloat16() else torch.float32

    def _network(self, shape: Shape) -> openvino.CompiledModel:
        """The network compiled for a shape: in memory, on disk, or new."""
        last = next(reversed(self._compiled), shape)
        if last != shape:
            self._compiled[last].release_memory()
        if shape not in self._compiled:
            self._compiled[shape] = self._read(shape) or self._compile(shape)
            if len(self._compiled) > SIZES_IN_MEMORY:
                oldest, _ = self._compiled.popitem(last=False)
                self._unkept.discard(oldest)
        elif shape in self._unkept:
            self._unkept.discard(shape)
            self._keep(shape)
        self._compiled.move_to_end(shape)
        return self._compiled[shape]

    def _read(self, shape: Shape) -> openvino.CompiledModel | None:
        blob = self._cache.read(shape) if self._cache else None
        if blob is None:
            return None
        try:
            return self._core.import_model(blob, self._runs_on, self._properties)
        except RuntimeError as error:
            _log.warning("openvino: what was compiled before cannot be used, compiling again: %s", _last_line(error))
            return None

    def _keep(self, shape: Shape) -> None:
        if self._cache:
            try:
                blob = self._compiled[shape].export_model().getvalue()
            except RuntimeError as error:
                _log.info("openvino: what was compiled cannot be kept: %s", _last_line(error))
            else:
                self._cache.write(shape, blob)

    def _compile(self, shape: Shape) -> openvino.CompiledModel:
        from nerdrain_rt.backends.openvino_graph import build_graph

        self._unkept.add(shape)
        return self._core.compile_model(build_graph(self._net, shape), self._runs_on, self._properties)


def _openvino() -> Any:
    # Its import reports to a server otherwise, from a child process; without that module it does not.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise BackendError(f"openvino: cannot be loaded: {error}; install it again") from error
    return openvino


@cache
def _core() -> openvino.Core:
    """OpenVINO, begun once in a process, in a thread that ends at once.

    Where a processor has AMX, its plugin gives the thread that begins it another stack for signals, and frees that with
    itself, in whichever thread: had the main thread begun it, Ctrl-C could be a segmentation fault.
    """

    def begin() -> openvino.Core:
        core = _openvino().Core()
        with suppress(RuntimeError):  # that there is no such device is said when it is asked for
            core.get_property("CPU", "FULL_DEVICE_NAME")
        return core

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(begin).result()


class _Cache:
    """Compiled networks on disk, each after its SHA-256; where the folder cannot be used, there is none."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._folder = cache_folder() / "openvino"

    def read(self, shape: Shape) -> bytes | None:
        """What was written for the shape; None where there is nothing or it is damaged."""
        path = self._path(shape)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        digest, blob = content[:32], content[32:]
        if hashlib.sha256(blob).digest() != digest:
            _log.warning("%s: damaged, compiling again", path)
            return None
        with suppress(OSError):
            path.touch()
        return blob

    def write(self, shape: Shape, blob: bytes) -> None:
        """Keep it whole or not at all, and no more than the newest few."""
        path = self._path(shape)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, hashlib.sha256(blob).digest() + blob)
            newest_first = sorted(self._folder.glob("*.blob"), key=lambda kept: kept.stat().st_mtime, reverse=True)
            for old in newest_first[SIZES_ON_DISK:]:
                old.unlink(missing_ok=True)
        except OSError as error:
            _log.info("%s: cannot be written, it will be compiled again next time: %s", path, error)

    def _path(self, shape: Shape) -> Path:
        from nerdrain_rt.backends.openvino_graph import VERSION

        key = f"{self._key} {VERSION} {shape}"
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.blob"


def _thread_count() -> int:
    """As many as PyTorch uses, which is the physical cores or what its user said, on the cores that are allowed."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(thread_count(), allowed)


def _last_line(error: Exception) -> str:
    """The reason at the end of OpenVINO's list of its own source files."""
    return str(error).strip().splitlines()[-1]
