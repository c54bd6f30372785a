"""What the tests of engines share."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from nerdrain_rt.backends.engine_spec import OPTIONS, EngineSpec, Target, Versions
from nerdrain_rt.backends.tensorrt import TensorRTBackend
from nerdrain_rt.model.net import NerdRain, NetConfig
from nerdrain_rt.model.weights import Weights

SMALL = NetConfig(width=8, depths=(1, 1, 1), head_width=16)
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SIZE = (32, 48)
HERE = Target("8.9", "NVIDIA GeForce RTX 4090", "580.65.06")
VERSIONS = Versions("tensorrt-rtx", "1.5.0.114", "2.13.0", "2.13.0")


def tiny_weights(config: NetConfig = SMALL) -> Weights:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = NerdRain(config)
    return Weights("tiny", Path("tiny.safetensors"), "7" * 64, config, net.state_dict(), {})


def image(size=SIZE, batch=1) -> Tensor:
    return torch.zeros(batch, 3, *size)


def value(backend: TensorRTBackend, size=SIZE) -> float:
    return backend(image(size)).mean().item()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def spec_for(size=SIZE, *, largest=None, precision="fp16", target=HERE) -> EngineSpec:
    largest = largest or size
    return EngineSpec("7" * 64, "tiny", size, size, largest, precision, target, VERSIONS, dict(OPTIONS))
