"""What every backend must do, run on each that this machine has; a new one joins with a line in `CASES`."""

import copy
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nerdrain_rt.backends import (
    CANDIDATES,
    Backend,
    auto,
    eager,
    find_device,
    load_backend,
    load_backends,
    precision_name,
    why_backend_is_missing,
    why_device_is_missing,
)
from nerdrain_rt.backends.compile import CompileBackend
from nerdrain_rt.backends.eager import EagerBackend, best_dtype
from nerdrain_rt.backends.fused import FusedBackend
from nerdrain_rt.backends.openvino import OpenVinoBackend
from nerdrain_rt.doctor import examine
from nerdrain_rt.errors import BackendError
from nerdrain_rt.model.net import NerdRain, NetConfig
from nerdrain_rt.model.weights import Weights
from tests.fakes import FakeBackend

SIZES = ((16, 16), (32, 48))


@dataclass(frozen=True)
class Case:
    """A backend to hold to the protocol; `bound` is its largest error as a share of the largest residual."""

    make: Callable[[NerdRain, torch.device, torch.dtype], Backend]
    name: str
    device: str
    dtype: torch.dtype
    bound: float

    def __str__(self) -> str:
        return f"{self.name}-{self.device}-{precision_name(self.dtype)}"


CASES = (
    Case(EagerBackend, "eager", "cpu", torch.float32, 1e-5),
    Case(EagerBackend, "eager", "cpu", torch.bfloat16, 0.1),
    Case(EagerBackend, "eager", "cpu", torch.float16, 0.02),
    Case(OpenVinoBackend, "openvino", "cpu", torch.float32, 1e-3),
    Case(OpenVinoBackend, "openvino", "cpu", torch.bfloat16, 0.1),
    Case(EagerBackend, "eager", "cuda", torch.float32, 1e-3),  # TF32 convolutions
    Case(EagerBackend, "eager", "cuda", torch.bfloat16, 0.1),
    Case(EagerBackend, "eager", "cuda", torch.float16, 0.02),
    Case(CompileBackend, "compile", "cuda", torch.float16, 0.02),
    Case(FusedBackend, "fused", "cuda", torch.float16, 0.02),
    Case(FusedBackend, "fused", "cuda", torch.bfloat16, 0.1),
    Case(EagerBackend, "eager", "mps", torch.float16, 0.02),
)


@pytest.fixture(scope="module")
def net() -> NerdRain:
    """A tiny network of random weights, float32 on the CPU."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return NerdRain(NetConfig(width=8, head_width=16)).eval().requires_grad_(False)


@pytest.fixture(
    scope="module", params=[case for case in CASES if not why_device_is_missing(torch.device(case.device))], ids=str
)
def case(request) -> Case:
    if reason := why_backend_is_missing(request.param.name, torch.device(request.param.device)):
        pytest.skip(reason)
    return request.param


@pytest.fixture(scope="module")
def backend(case, net) -> Backend:
    return case.make(copy.deepcopy(net), torch.device(case.device), case.dtype)


def random_images(size: tuple[int, int], *, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(sum(size)))


def assert_near(residual: Tensor, expected: Tensor, bound: float) -> None:
    error = (residual.cpu() - expected.cpu()).abs().max() / expected.abs().max().cpu()
    assert error <= bound, f"relative error {error:.2g}, allowed {bound:g}"


def test_it_says_what_it_is(backend, case):
    assert backend.name == case.name
    assert backend.device.type == case.device
    assert backend.dtype == case.dtype
    assert backend.multiple_of % NerdRain.multiple_of == 0


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_residual_is_float32_of_the_same_shape_on_its_device(backend, size):
    rainy = random_images(size).to(backend.device)
    residual = backend(rainy)
    assert (residual.shape, residual.dtype, residual.device) == (rainy.shape, torch.float32, rainy.device)
    assert torch.isfinite(residual).all()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_residual_is_that_of_the_network(backend, case, net, size):
    rainy = random_images(size)
    assert_near(backend(rainy.to(backend.device)), net(rainy), case.bound)


def test_sizes_may_change_from_call_to_call(backend, case, net):
    for size in ((16, 16), (32, 16), (16, 16)):
        rainy = random_images(size)
        assert_near(backend(rainy.to(backend.device)), net(rainy), case.bound)


def test_a_batch_is_its_images_one_by_one(backend, case):
    rainy = random_images((16, 32), batch=2).to(backend.device)
    singles = torch.cat([backend(image[None]) for image in rainy])
    assert_near(backend(rainy), singles, case.bound)


@pytest.mark.parametrize("layout", ["columns first", "channels last", "a window"])
def test_the_layout_in_memory_does_not_matter(backend, case, layout):
    rainy = random_images((16, 32)).to(backend.device)
    strided = {
        "columns first": lambda: rainy.mT.contiguous().mT,
        "channels last": lambda: rainy.contiguous(memory_format=torch.channels_last),
        "a window": lambda: torch.nn.functional.pad(rainy, (3, 5, 2, 1))[..., 2:-1, 3:-5],
    }[layout]()
    assert not strided.is_contiguous()
    assert_near(backend(strided), backend(rainy), case.bound)


def test_the_same_images_give_the_same_residual(backend):
    rainy = random_images((16, 32)).to(backend.device)
    first = backend(rainy).clone()
    backend(random_images((16, 16)).to(backend.device))
    assert torch.equal(backend(rainy), first)


def test_results_do_not_overwrite_each_other(backend):
    rainy = random_images((16, 16)).to(backend.device)
    first = backend(rainy)
    kept = first.clone()
    backend(1 - rainy)
    assert torch.equal(first, kept)


def test_the_rainy_images_stay_as_they_are(backend):
    rainy = random_images((16, 16)).to(backend.device)
    before = rainy.clone()
    backend(rainy)
    assert torch.equal(rainy, before)


def test_the_residual_needs_no_gradient(backend):
    assert not backend(random_images((16, 16)).to(backend.device)).requires_grad


def test_memory_grows_with_the_size(backend):
    sizes = [(64, 64), (64, 128), (128, 128), (720, 1280), (1080, 1920), (4320, 7680)]
    needed = [backend.bytes_for(size) for size in sizes]
    assert needed == sorted(set(needed))
    assert all(taken >= 3 * 4 * height * width for taken, (height, width) in zip(needed, sizes, strict=True))
    assert backend.bytes_for((64, 128)) == backend.bytes_for((128, 64))


@pytest.fixture
def weights(net) -> Weights:
    return Weights("tiny", Path("tiny.safetensors"), "0" * 64, net.config, net.state_dict(), {})


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_load_backend_makes_what_is_asked_for(weights, net, precision):
    backend = load_backend(weights, "eager", device="cpu", precision=precision)
    rainy = random_images((16, 16))
    assert (backend.name, backend.device.type, precision_name(backend.dtype)) == ("eager", "cpu", precision)
    assert_near(backend(rainy), net(rainy), 0.1)


def test_load_backend_leaves_the_weights_as_they_are(weights):
    before = {name: tensor.clone() for name, tensor in weights.state.items()}
    load_backend(weights, device="cpu", precision="bf16")(random_images((16, 16)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights.state.items())


def test_auto_takes_the_precision_that_suits_the_processor(weights):
    backend = load_backend(weights, device="cpu")
    assert backend.dtype == best_dtype(torch.device("cpu"))
    assert backend.dtype in (torch.float32, torch.bfloat16)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"name": "magic"}, "magic: no such backend; there are tensorrt, fused, compile, openvino, eager"),
        ({"precision": "int3"}, "int3: no such precision; there are fp32, bf16, fp16"),
        ({"device": "toaster"}, "toaster: unknown device; use auto, cpu, cuda, cuda:N or mps"),
        ({"device": "meta"}, "meta: not a device this program runs on; use --device auto or cpu"),
        ({"device": "cuda:99"}, "cuda:99: .*; use --device auto or cpu"),
        ({"device": "cpu,cpu"}, "cpu,cpu: several devices, where one is needed"),
    ],
)
def test_load_backend_refuses_what_there_is_not(weights, choice, message):
    with pytest.raises(BackendError, match=message):
        load_backend(weights, **choice)


def test_load_backends_makes_one_for_each_device(weights):
    first, second = load_backends(weights, "eager", devices="cpu, cpu", precision="fp32")
    assert first is not second
    assert (first.device.type, second.device.type) == ("cpu", "cpu")


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        ("cpu,toaster", "toaster: unknown device"),
        ("cpu,cuda:99", "cuda:99: "),
        ("cpu,", "^.cpu,.: a device without a name; write for example"),
    ],
)
def test_load_backends_refuses_a_device_that_is_not_there(weights, devices, message):
    with pytest.raises(BackendError, match=message):
        load_backends(weights, "eager", devices=devices)


def test_what_auto_says_names_the_device_where_there_are_several(weights, monkeypatch):
    def load_auto(candidates, device, dtype, *, announce, **_):
        announce("backend eager")
        return FakeBackend()

    monkeypatch.setattr(auto, "load_auto", load_auto)
    said = []
    load_backends(weights, devices="cpu", announce=said.append)
    load_backends(weights, devices="cpu,auto", announce=said.append)
    assert said == ["backend eager", "cpu: backend eager", "auto: backend eager"]


class UnusableDriver:
    """A machine on which PyTorch has CUDA, and says `fault` when it is to use it."""

    def __init__(self, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fault = fault
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(torch.cuda, "is_available", self.is_available)
        monkeypatch.setattr(torch.cuda, "init", self.init)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # as NVML counts
        monkeypatch.setattr(torch.cuda, "get_device_properties", self.init)

    def is_available(self) -> bool:
        warnings.warn(f"CUDA initialization: {self.fault}", UserWarning, stacklevel=2)
        return False

    def init(self, *_: object) -> None:
        raise RuntimeError(self.fault)


TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading"
    " and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx"
)
NO_DRIVER = (
    "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver from"
    " http://www.nvidia.com/Download/index.aspx"
)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (TOO_OLD, "The NVIDIA driver on your system is too old (found version 11040)"),
        (NO_DRIVER, "Found no NVIDIA driver on your system"),
        ("No CUDA GPUs are available", "No CUDA GPUs are available"),
        (
            "CUDA unknown error - wrongly set up, e.g. by a variable. Setting",
            "CUDA unknown error - wrongly set up, e.g. by",
        ),
    ],
)
def test_a_gpu_that_pytorch_cannot_use_is_refused_with_its_reason(fault, message, monkeypatch):
    UnusableDriver(fault, monkeypatch)
    with pytest.raises(BackendError, match=rf"^cuda: {re.escape(message)}.*; use --device auto or cpu$"):
        find_device("cuda")


@pytest.mark.parametrize(
    ("fault", "is_told"), [(TOO_OLD, True), (NO_DRIVER, False), ("No CUDA GPUs are available", False)]
)
def test_auto_works_on_the_processor_and_tells_where_a_gpu_lies_idle(fault, is_told, weights, monkeypatch):
    UnusableDriver(fault, monkeypatch)
    said = []
    assert load_backend(weights, "eager", announce=said.append).device.type in ("cpu", "mps")
    assert said == is_told * ["no GPU is used: The NVIDIA driver on your system is too old (found version 11040)"]


def test_doctor_gives_the_reason_where_a_driver_is_too_old(monkeypatch):
    UnusableDriver(TOO_OLD, monkeypatch)
    devices = examine()["devices"]
    assert devices["cuda"]["reason"] == "The NVIDIA driver on your system is too old (found version 11040)"
    assert devices.keys() <= {"cpu", "cuda", "mps"}


def test_a_gpu_that_pytorch_has_no_code_for_is_left_alone_and_told(weights, monkeypatch, recwarn):
    def capability(device: torch.device) -> tuple[int, int]:
        warnings.warn("Found GPU0 which is\nof compute capability (CC) 6.1.", UserWarning, stacklevel=2)
        return 6, 1

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", capability)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_90a", "sm_120", "compute_120"])
    reason = "the GPU has compute capability 6.1; this PyTorch needs 7.5"
    with pytest.raises(BackendError, match=rf"^cuda: {re.escape(reason)}; use --device auto or cpu$"):
        find_device("cuda")
    said = []
    assert load_backend(weights, "eager", announce=said.append).device.type in ("cpu", "mps")
    assert said == [f"no GPU is used: {reason}"]
    assert not recwarn
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_50", "sm_61"])
    assert find_device() == torch.device("cuda")


@pytest.mark.parametrize("name", ["eager", "auto"])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            torch.AcceleratorError("CUDA error: all devices are busy or unavailable\nmore"),
            "cpu: the GPU failed: CUDA error",
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB."), "cpu: out of memory; close"),
    ],
)
def test_a_gpu_that_fails_while_the_network_is_loaded_is_one_line(name, error, message, weights, monkeypatch):
    def load(*_: object) -> Backend:
        raise error

    monkeypatch.setattr(eager, "load", load)
    monkeypatch.setitem(CANDIDATES, "cpu", ("eager",))
    with pytest.raises(BackendError, match=message) as caught:
        load_backend(weights, name, device="cpu")
    assert "\n" not in str(caught.value)


def test_auto_finds_a_device():
    assert why_device_is_missing(find_device("auto")) is None
