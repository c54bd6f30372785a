"""What an engine is for, and which libraries, GPUs and drivers it takes."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch

from nerdrain_rt.backends import engine_spec, tensorrt
from nerdrain_rt.backends.engine_spec import Versions, driver_version, installed_versions, make_spec
from nerdrain_rt.errors import BackendError
from nerdrain_rt.model.net import NetConfig
from tests.engines import CPU, CUDA, HERE, SIZE, VERSIONS, tiny_weights


def test_the_spec_knows_the_network_and_not_only_its_weights(monkeypatch):
    spec = make_spec(tiny_weights(), (SIZE, SIZE, SIZE), torch.float16, HERE, VERSIONS)
    deeper = dataclasses.replace(tiny_weights(), config=NetConfig())
    assert make_spec(deeper, (SIZE, SIZE, SIZE), torch.float16, HERE, VERSIONS).key != spec.key
    monkeypatch.setattr(engine_spec.inspect, "getsource", lambda module: "changed")
    assert make_spec(tiny_weights(), (SIZE, SIZE, SIZE), torch.float16, HERE, VERSIONS).key != spec.key


def install(monkeypatch, **found: str) -> None:
    """Pretend that these distributions are all there is of TensorRT."""

    def version(name: str) -> str:
        key = name.replace("-", "_")
        if key not in found:
            raise engine_spec.metadata.PackageNotFoundError(name)
        return found[key]

    monkeypatch.setattr(engine_spec.metadata, "version", version)
    monkeypatch.setattr(engine_spec, "find_spec", lambda name: object())
    installed_versions.cache_clear()


@pytest.fixture
def forget_versions() -> Iterator[None]:
    yield
    installed_versions.cache_clear()


RIGHT = ".".join(torch.__version__.split(".")[:2]) + ".0"


@pytest.mark.usefixtures("forget_versions")
@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({}, r"not installed; pip install 'nerdrain-rt\[tensorrt-rtx\]'"),
        ({"torch_tensorrt": RIGHT, "torch_tensorrt_rtx": RIGHT}, "both installed"),
        ({"torch_tensorrt_rtx": "1.4.0", "tensorrt_rtx": "1.0"}, "torch-tensorrt-rtx 1.4.0 does not go with torch"),
        ({"torch_tensorrt": RIGHT}, "tensorrt is missing, which torch-tensorrt"),
    ],
    ids=["none", "both", "of another torch", "without its library"],
)
def test_libraries_that_do_not_fit_are_named_in_one_line(monkeypatch, found, message):
    install(monkeypatch, **found)
    with pytest.raises(BackendError, match=message):
        installed_versions()
    monkeypatch.setattr(torch.version, "hip", None)
    assert "\n" not in (tensorrt.why_missing(CUDA) or "\n")


@pytest.mark.usefixtures("forget_versions")
@pytest.mark.parametrize("flavour", ["tensorrt", "tensorrt-rtx"])
def test_either_flavour_is_recognised(monkeypatch, flavour):
    name = flavour.replace("-", "_")
    install(monkeypatch, **{name: "1.5", f"torch_{name}": RIGHT})
    assert installed_versions() == Versions(flavour, "1.5", RIGHT, torch.__version__)


@pytest.mark.usefixtures("forget_versions")
@pytest.mark.parametrize(("capability", "is_missing"), [((7, 0), True), ((7, 5), False), ((12, 0), False)])
def test_old_gpus_are_told_so(monkeypatch, capability, is_missing):
    install(monkeypatch, tensorrt_rtx="1.5", torch_tensorrt_rtx=RIGHT)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    reason = tensorrt.why_missing(CUDA)
    assert (reason == "needs a GPU of compute capability 7.5 or later; this one has 7.0") is is_missing


def test_it_runs_on_nvidia_gpus_only():
    assert tensorrt.why_missing(CPU) == "runs on NVIDIA GPUs only"
    with pytest.raises(BackendError, match="tensorrt: runs on NVIDIA GPUs only"):
        tensorrt.load(tiny_weights(), CPU)


def test_the_driver_is_known_or_said_not_to_be():
    assert driver_version()
