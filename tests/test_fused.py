"""The fused backend: the whole network against eager float32, and what it says where it cannot run."""

import copy
import dataclasses
import json
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch

from tests.triton_cpu import DEVICE, HAS_GPU  # isort: split

import triton
from triton.runtime.errors import OutOfResources

from nerdrain_rt.backends.fused import FusedBackend, kernel_failures, load, why_missing
from nerdrain_rt.backends.kernels import launch
from nerdrain_rt.backends.kernels.network import FusedNet
from nerdrain_rt.backends.preparation import ProcessPreparation, Turns
from nerdrain_rt.errors import BackendError
from nerdrain_rt.model.net import NerdRain, NetConfig
from nerdrain_rt.model.weights import load_weights


def network(config: NetConfig) -> NerdRain:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return NerdRain(config).eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("config", "size", "dtype", "bound"),
    [
        (NetConfig(width=8, depths=(1, 1, 1), head_width=16), (16, 32), torch.bfloat16, 0.1),
        (NetConfig(width=40, depths=(1, 1, 1), head_width=16), (16, 16), torch.float16, 0.02),
        pytest.param(NetConfig(width=32, depths=(1, 1, 1)), (16, 16), torch.float16, 0.02, marks=pytest.mark.slow),
    ],
    ids=["tiny", "wide", "S"],
)
@torch.inference_mode()
def test_the_residual_is_that_of_the_network(config, size, dtype, bound):
    net = network(config)
    rainy = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))
    expected = net(rainy)
    residual = FusedBackend(copy.deepcopy(net), DEVICE, dtype)(rainy.to(DEVICE)).cpu()
    assert (residual.shape, residual.dtype) == (rainy.shape, torch.float32)
    assert (residual - expected).abs().max() <= bound * expected.abs().max()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OutOfResources(278_528, 232_448, "shared memory"), "out of resource: shared memory"),
        (subprocess.CalledProcessError(1, ["gcc"]), "returned non-zero exit status 1"),
        (OSError(), "OSError"),
    ],
)
def test_what_keeps_a_kernel_from_running_is_one_line(error, words):
    with pytest.raises(BackendError, match=f"fused: a kernel does not run here: .*{words}"), kernel_failures():
        raise error


def tiny(dtype: torch.dtype = torch.float16) -> FusedBackend:
    return FusedBackend(network(NetConfig(width=8, depths=(1, 1, 1), head_width=16)), DEVICE, dtype)


@pytest.mark.parametrize(
    ("limit", "sizes"),
    [(128, [(96, 128)]), (64, [(96, 128), (48, 64)]), (16, [(96, 128), (48, 64), (32, 32), (16, 16)])],
)
def test_what_is_prepared_is_smaller_where_memory_is_short(monkeypatch, limit, sizes):
    tried = []

    def run(self, rainy):
        tried.append(tuple(rainy.shape[-2:]))
        if rainy.shape[-1] > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return rainy

    monkeypatch.setattr(FusedNet, "__call__", run)
    tiny().prepare((96, 128))
    assert tried == sizes


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError),
        (OutOfResources(278_528, 232_448, "shared memory"), BackendError),
        (RuntimeError("CUDA error: unspecified launch failure"), RuntimeError),
    ],
    ids=["memory", "kernel", "device"],
)
def test_what_keeps_it_from_being_prepared_is_raised(monkeypatch, error, raised):
    def run(self, rainy):
        raise error

    monkeypatch.setattr(FusedNet, "__call__", run)
    with pytest.raises(raised):
        tiny().prepare((32, 32))


class FakeDriver:
    """Measures by calling, and tells what was entered then."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def get_benchmarker(self):
        def measure(call, quantiles):
            self.log.append("measured")
            return call(), quantiles

        return measure


def test_each_measurement_takes_its_turn(monkeypatch):
    log: list[str] = []

    @contextmanager
    def turn():
        log.append("turn")
        yield
        log.append("over")

    monkeypatch.setattr(triton.knobs.runtime, "interpret", False)
    monkeypatch.setattr(triton.runtime.driver, "_active", FakeDriver(log))
    monkeypatch.setattr(launch, "measuring", turn)
    kernel = launch.tuned(triton.Config({}), key=[])(triton.jit(network))
    assert [kernel.do_bench(lambda: 5, quantiles=(0.5,)) for _ in range(2)] == 2 * [(5, (0.5,))]
    assert log == 2 * ["turn", "measured", "over"]


STAND_IN = """
import sys, torch
from nerdrain_rt.backends import fused, preparation
from nerdrain_rt.backends.kernels import launch

class FusedBackend:
    def __init__(self, net, device, dtype):
        print("what libraries print", net.config, device, dtype)

    def prepare(self, size):
        for _ in range(3):
            with launch.measuring():
                pass
        raise ValueError("prepared in turns\\nwith more to say")

fused.FusedBackend = FusedBackend
torch.cuda.set_device = lambda index: None
preparation.main()
"""


def test_the_process_that_prepares_it_measures_in_turns():
    taken = []

    class CountedTurns(Turns):
        def __enter__(self) -> None:
            super().__enter__()
            taken.append(True)

    config = dataclasses.asdict(NetConfig(width=8, depths=(1, 1, 1), head_width=16))
    request = {"config": config, "gpu": 0, "dtype": "torch.float16", "size": (64, 96)}
    preparation = ProcessPreparation([sys.executable, "-c", STAND_IN, json.dumps(request)], CountedTurns())
    deadline = time.monotonic() + 60
    while not preparation.is_over:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert (preparation.failure, len(taken)) == ("prepared in turns", 3)


def test_float32_is_refused():
    with pytest.raises(BackendError, match=r"no kernels for torch\.float32; use fp16 or bf16"):
        FusedBackend(network(NetConfig(width=8, depths=(1, 1, 1), head_width=16)), DEVICE, torch.float32)


@pytest.fixture
def ampere(monkeypatch) -> None:
    """A machine with a GPU that the kernels run on."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))


CUDA = torch.device("cuda", 0)


@pytest.mark.usefixtures("ampere")
def test_nothing_is_missing_on_a_suitable_gpu():
    assert why_missing(CUDA) is None


def test_a_processor_is_no_gpu():
    assert why_missing(torch.device("cpu")) == "its kernels need an NVIDIA GPU, not cpu"


@pytest.mark.usefixtures("ampere")
def test_an_old_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert why_missing(CUDA) == "the GPU has compute capability 7.5; the kernels need 8.0"


@pytest.mark.usefixtures("ampere")
def test_no_driver_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert why_missing(CUDA) == "no NVIDIA GPU or driver that PyTorch can use"


@pytest.mark.usefixtures("ampere")
def test_missing_triton_is_said(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert why_missing(CUDA) == "Triton is not installed; pip install triton"


def test_load_refuses_where_something_is_missing():
    with pytest.raises(BackendError, match="fused: its kernels need an NVIDIA GPU, not cpu"):
        load(load_weights(), torch.device("cpu"))


def test_importing_the_backend_loads_no_triton():
    code = (
        "import sys, torch; old = set(sys.modules); import nerdrain_rt.backends.fused; print(*set(sys.modules) - old)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "nerdrain_rt.backends.fused" in loaded
    assert not [name for name in loaded if name.split(".")[0] == "triton"]


@pytest.fixture(scope="module")
def shipped() -> tuple[NerdRain, FusedBackend]:
    net = load_weights().build()
    return net.to(DEVICE), FusedBackend(copy.deepcopy(net), DEVICE)


def natural(size: tuple[int, int]) -> torch.Tensor:
    """Noise of every scale, as photographs have it."""
    generator = torch.Generator().manual_seed(0)
    image = torch.zeros(1, 3, *size)
    for octave in range(6):
        noise = torch.rand(1, 3, size[0] >> octave, size[1] >> octave, generator=generator)
        image += 2**octave * torch.nn.functional.interpolate(noise, size, mode="bilinear")
    return (image / image.max()).to(DEVICE)


@pytest.mark.gpu
@pytest.mark.parametrize("size", [(720, 1280), (1088, 1920)], ids=str)
@torch.inference_mode()
def test_half_precision_is_60_decibels_from_float32(shipped, size):
    assert HAS_GPU
    net, backend = shipped
    rainy = natural(size)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        error = backend(rainy) - net(rainy)
    assert -10 * torch.log10(error.square().mean()) >= 60


@pytest.mark.parametrize(("text", "is_left"), [("operation not permitted", True), ("out of memory", False)])
def test_what_cannot_be_recorded_runs_without_a_graph_unless_memory_is_short(text, is_left, monkeypatch, caplog):
    @contextmanager
    def record(graph, **_):
        yield
        raise RuntimeError(f"CUDA error: {text}\nmore")

    backend = FusedBackend(network(NetConfig(width=8, depths=(1, 1, 1), head_width=16)), torch.device("cpu"))
    backend.device, backend._net = torch.device("cuda"), torch.neg
    stream = SimpleNamespace(wait_stream=lambda other: None)
    monkeypatch.setattr(torch.cuda, "graph", record)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    for name in ("stream", "device"):
        monkeypatch.setattr(torch.cuda, name, nullcontext)
    for name in ("Stream", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, lambda: stream)
    rainy = torch.rand(1, 3, 16, 16)
    if is_left:
        for _ in range(2):
            assert torch.equal(backend(rainy), -rainy)
        assert [record.getMessage() for record in caplog.records] == [
            f"fused: runs without a CUDA graph: CUDA error: {text}"
        ]
    else:
        with pytest.raises(RuntimeError, match="out of memory"):
            backend(rainy)


@pytest.mark.gpu
@torch.inference_mode()
def test_a_replayed_graph_is_the_first_run(shipped):
    _, backend = shipped
    rainy = natural((720, 1280))
    first = backend(rainy)
    backend(natural((256, 512)))
    assert torch.equal(backend(rainy), first)
    assert not torch.equal(backend(1 - rainy), first)


@pytest.mark.gpu
@torch.inference_mode()
def test_an_old_size_makes_way_and_comes_back(shipped):
    _, backend = shipped
    sizes = [(64, 64), (64, 96), (96, 64), (128, 64), (64, 64)]
    results = [backend(natural(size)) for size in sizes]
    assert torch.equal(results[0], results[-1])
