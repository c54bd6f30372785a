"""What tells one TensorRT engine from another: network, sizes, precision, GPU, and the versions of the libraries."""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import inspect
import json
import re
import sys
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

from nerdrain_rt.backends import precision_name
from nerdrain_rt.errors import BackendError
from nerdrain_rt.model import net

if TYPE_CHECKING:
    from nerdrain_rt.model.weights import Weights

FLAVOURS = ("tensorrt", "tensorrt-rtx")
OPTIONS: dict[str, Any] = {"immutable_weights": True}
"""How torch-tensorrt builds engines."""

Size = tuple[int, int]
"""(height, width)."""
Profile = tuple[Size, Size, Size]
"""The smallest, the usual and the largest size of one engine."""


@dataclass(frozen=True, slots=True)
class Versions:
    """What builds and runs engines."""

    flavour: str
    """"tensorrt" or "tensorrt-rtx"."""
    tensorrt: str
    torch_tensorrt: str
    torch: str


@dataclass(frozen=True, slots=True)
class Target:
    """The GPU an engine is for; one built ahead of time knows the compute capability alone."""

    capability: str
    """As in "8.9"."""
    gpu: str = "any"
    driver: str = "any"


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """All that an engine depends on: where any of it differs, the engine is another one."""

    weights: str
    """The SHA-256 of the weights' file."""
    network: str
    """What the weights are parameters of: the configuration and a hash of the network's source."""
    smallest: Size
    usual: Size
    largest: Size
    precision: str
    target: Target
    versions: Versions
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A hash of everything."""
        content = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def stem(self) -> str:
        """The name of its files, to be read by people; the key at its end makes it the only one."""
        versions = f"{self.versions.flavour}-{self.versions.tensorrt}"
        gpu = f"{self.target.gpu}-sm{self.target.capability}".replace(".", "")
        parts = (self.weights[:8], self.size_words, self.precision, gpu, versions, self.key)
        return re.sub(r"[^\w.-]+", "-", "_".join(parts)).lower()

    @property
    def size_words(self) -> str:
        """Width by height as people write them; of a range its ends."""
        sizes = (self.smallest, self.largest) if self.is_dynamic else (self.usual,)
        return "-".join(f"{width}x{height}" for height, width in sizes)

    @property
    def is_dynamic(self) -> bool:
        """Whether it runs more than one size."""
        return self.smallest != self.largest

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> EngineSpec:
        """Undo dataclasses.asdict and JSON; raises KeyError or TypeError where the content is not of this form."""
        sizes = {name: (int(content[name][0]), int(content[name][1])) for name in ("smallest", "usual", "largest")}
        target, versions = Target(**content["target"]), Versions(**content["versions"])
        return cls(**content | sizes | {"target": target, "versions": versions})


def make_spec(weights: Weights, profile: Profile, dtype: torch.dtype, target: Target, versions: Versions) -> EngineSpec:
    """The engine of these weights for these sizes on that GPU."""
    source = hashlib.sha256(inspect.getsource(net).encode()).hexdigest()[:16]
    described = f"{weights.config} {source}"
    return EngineSpec(
        weights.sha256, described, *profile, precision_name(dtype), target, versions, options=dict(OPTIONS)
    )


@cache
def installed_versions() -> Versions:
    """The libraries that are installed; raises BackendError where they are missing, too many or do not fit together."""
    found = {flavour: version for flavour in FLAVOURS if (version := _version(f"torch-{flavour}"))}
    if not found or find_spec("torch_tensorrt") is None:
        raise BackendError("TensorRT is not installed; pip install 'nerdrain-rt[tensorrt-rtx]', or [tensorrt]")
    if len(found) > 1:
        raise BackendError("torch-tensorrt and torch-tensorrt-rtx are both installed, one over the other; keep one")
    ((flavour, torch_tensorrt),) = found.items()
    if _minor(torch_tensorrt) != _minor(torch.__version__):
        raise BackendError(f"torch-{flavour} {torch_tensorrt} does not go with torch {torch.__version__}")
    tensorrt = _version(flavour)
    if tensorrt is None or find_spec(flavour.replace("-", "_")) is None:
        raise BackendError(f"{flavour} is missing, which torch-{flavour} {torch_tensorrt} needs")
    return Versions(flavour, tensorrt, torch_tensorrt, torch.__version__)


def this_gpu(device: torch.device) -> Target:
    """What an engine for this GPU depends on."""
    major, minor = torch.cuda.get_device_capability(device)
    return Target(f"{major}.{minor}", torch.cuda.get_device_name(device), driver_version())


def driver_version() -> str:
    """The NVIDIA driver's version, by NVML; "unknown" where it cannot be asked."""
    try:
        nvml = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
        version = ctypes.create_string_buffer(96)
        if nvml.nvmlInit_v2():
            return "unknown"
        try:
            return "unknown" if nvml.nvmlSystemGetDriverVersion(version, len(version)) else version.value.decode()
        finally:
            nvml.nvmlShutdown()
    except (OSError, AttributeError):
        return "unknown"


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
