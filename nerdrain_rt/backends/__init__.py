"""Ways to run the network: one `Backend` protocol, one file for each way, `load_backend` to choose."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor

from nerdrain_rt.errors import BackendError
from nerdrain_rt.lanes import gpu_failures

if TYPE_CHECKING:
    from nerdrain_rt.model.weights import Weights

_log = logging.getLogger(__name__)

NAMES = ("tensorrt", "fused", "compile", "openvino", "eager")
"""Every backend, each a module of this package."""
CANDIDATES = {"cpu": ("openvino", "eager"), "cuda": ("tensorrt", "fused", "compile", "eager"), "mps": ("eager",)}
"""What `auto` chooses from on a type of device; on a processor the first that loads, on a GPU what proves fastest."""
BUILD_SECONDS = {"tensorrt": 300.0, "compile": 60.0}
"""What it takes to make these ready where nothing is kept from before."""
NO_GPU = re.compile(r"(found )?no (nvidia|cuda)", re.IGNORECASE)
"""How PyTorch begins to say that there is no GPU at all."""
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Backend(Protocol):
    """The network on a device: rainy images B 3 H W in [0, 1] to the residual that makes them clean.

    Both are float32 on `device`; H and W are multiples of `multiple_of`. It returns the residual and
    not the clean image, so that half precision rounds the rain and never the picture.
    Raises an error that `lanes.is_out_of_memory` knows where the images are too large for the device's memory.
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
    if "," in name:
        raise BackendError(f"{name}: several devices, where one is needed")
    if name == "auto":
        has_cuda = why_device_is_missing(torch.device("cuda")) is None
        name = "cuda" if has_cuda else "mps" if torch.backends.mps.is_available() else "cpu"
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
        if not _has_cuda():
            return _why_cuda_is_missing()
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            return f"there are {count} CUDA devices, numbered from 0"
        return _why_gpu_is_too_old(device)
    if device.type == "mps":
        return None if torch.backends.mps.is_available() else "no Apple GPU that PyTorch can use"
    return None if device.type == "cpu" else "not a device this program runs on"


def _has_cuda() -> bool:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "CUDA initialization")  # `_why_cuda_is_missing` says it in one line
        return torch.cuda.is_available()


def _why_cuda_is_missing() -> str:
    """What PyTorch says when it is to use CUDA all the same: no driver, one too old, no GPU."""
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        first_sentence: str = re.split(r"\.(?:\s+[A-Z]|\s*$)", str(error))[0]
        return first_sentence.strip()
    return "no NVIDIA GPU or driver that PyTorch can use"


def _why_gpu_is_too_old(device: torch.device) -> str | None:
    """What PyTorch says in many lines, and again where its first kernel is to run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        major, minor = torch.cuda.get_device_capability(device)
    known = [int(number) for number in re.findall(r"\bsm_(\d+)", " ".join(torch.cuda.get_arch_list()))]
    oldest = min(known, default=0)
    if 10 * major + minor >= oldest:
        return None
    return f"the GPU has compute capability {major}.{minor}; this PyTorch needs {oldest // 10}.{oldest % 10}"


def _gpu_fault() -> str | None:
    """What keeps PyTorch from a GPU that is there; None where it uses it or there is none."""
    reason = None if torch.version.cuda is None else why_device_is_missing(torch.device("cuda"))
    return None if reason is None or NO_GPU.match(reason) else reason


def why_backend_is_missing(name: str, device: torch.device) -> str | None:
    """Why a backend cannot run on a device here; None where it can. Raises BackendError for a name that is none."""
    if name not in NAMES:
        raise BackendError(f"{name}: no such backend; there are {', '.join(NAMES)}")
    return _way(name).why_missing(device)


def load_backend(
    weights: Weights,
    name: str = "auto",
    *,
    device: str = "auto",
    precision: str = "auto",
    wait_engine: bool = False,
    announce: Callable[[str], None] = _log.info,
) -> Backend:
    """The network of `weights` made ready on a device; for "auto", the best backend that can be had there.

    `announce` takes a line that says what "auto" chose and why, or what becomes of TensorRT's engine. That is waited
    for with `wait_engine`; else another backend works until it is built. Raises BackendError where backend, device or
    precision is not available, saying why.
    """
    if precision not in ("auto", *PRECISIONS):
        raise BackendError(f"{precision}: no such precision; there are {', '.join(PRECISIONS)}")
    dtype = PRECISIONS.get(precision)
    where = find_device(device)
    if device == "auto" and (fault := _gpu_fault()):
        announce(f"no GPU is used: {fault}")
    with gpu_failures(where):
        if name == "auto":
            names = CANDIDATES[where.type]
            return load_best(weights, names, where, dtype, wait_engine=wait_engine, announce=announce)
        if reason := why_backend_is_missing(name, where):
            raise BackendError(f"{name}: {reason}")
        return _loader(name, weights, where, dtype, wait_engine=wait_engine, announce=announce)()


def load_backends(
    weights: Weights,
    name: str = "auto",
    *,
    devices: str = "auto",
    precision: str = "auto",
    wait_engine: bool = False,
    announce: Callable[[str], None] = _log.info,
) -> list[Backend]:
    """A backend as of `load_backend` for each of the devices, which have commas between them: "cuda:0,cuda:1"."""
    names = [name.strip() for name in devices.split(",")]
    if not all(names):
        raise BackendError(f"{devices!r}: a device without a name; write for example cuda or cuda:0,cuda:1")

    def announce_of(device: str) -> Callable[[str], None]:
        return announce if len(names) == 1 else lambda line: announce(f"{device}: {line}")

    return [
        load_backend(
            weights, name, device=device, precision=precision, wait_engine=wait_engine, announce=announce_of(device)
        )
        for device in names
    ]


def load_best(
    weights: Weights,
    names: Iterable[str],
    device: torch.device,
    dtype: torch.dtype | None,
    *,
    wait_engine: bool = False,
    announce: Callable[[str], None] = _log.info,
) -> Backend:
    """The best of the named backends that can be had on a device, which on a GPU is found out with the first pictures.

    Raises BackendError where none can.
    """
    from nerdrain_rt.backends.auto import load_auto
    from nerdrain_rt.backends.eager import best_dtype
    from nerdrain_rt.backends.engine_cache import EngineCache
    from nerdrain_rt.backends.preparation import prepare_fused
    from nerdrain_rt.backends.remembered import Key, machine_of

    names = [name for name in names if not why_backend_is_missing(name, device)]
    candidates = {
        name: _loader(name, weights, device, dtype, wait_engine=wait_engine, announce=announce) for name in names
    }
    machine = machine_of(device) if device.type == "cuda" else {}
    key = Key(machine, weights.sha256, "auto" if dtype is None else precision_name(dtype))
    waits = {} if wait_engine else BUILD_SECONDS
    if "tensorrt" in names and any(engine.spec.weights == weights.sha256 for engine in EngineCache().engines()):
        waits = {name: seconds for name, seconds in waits.items() if name != "tensorrt"}
    best = best_dtype(device)
    fused = partial(prepare_fused, weights.config, device, dtype or best)
    preparations = {"fused": fused} if "fused" in names and dtype != torch.float32 and not wait_engine else {}
    return load_auto(
        candidates, device, dtype or best, key=key, announce=announce, load_seconds=waits, preparations=preparations
    )


def _loader(
    name: str,
    weights: Weights,
    device: torch.device,
    dtype: torch.dtype | None,
    *,
    wait_engine: bool,
    announce: Callable[[str], None],
) -> Callable[[], Backend]:
    options: dict[str, Any] = {"wait_engine": wait_engine, "announce": announce} if name == "tensorrt" else {}
    return partial(_way(name).load, weights, device, dtype, **options)


class _Way(Protocol):
    """What each backend's module has."""

    def why_missing(self, device: torch.device) -> str | None: ...

    def load(
        self, weights: Weights, device: torch.device, dtype: torch.dtype | None = None, **options: Any
    ) -> Backend: ...


def _way(name: str) -> _Way:
    """A backend's module; they are imported when they are asked for, because some of their libraries are slow to."""
    return cast(_Way, import_module(f"nerdrain_rt.backends.{name}"))


def precision_name(dtype: torch.dtype) -> str:
    """The command line's name of a precision."""
    return next(name for name, known in PRECISIONS.items() if known == dtype)
