"""torch.compile changes no results, whatever sizes come; the logic is tested without generating code, code once."""

import shutil
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nerdrain_rt.backends import compile as backend_module
from nerdrain_rt.backends.compile import CompileBackend, load, why_missing
from nerdrain_rt.errors import BackendError
from nerdrain_rt.model.net import Block, NerdRain, NetConfig
from nerdrain_rt.model.weights import Weights

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
CONFIG = NetConfig(width=8, depths=(1, 1, 1), head_width=16)


@pytest.fixture(autouse=True)
def nothing_compiled():
    yield
    torch.compiler.reset()


@pytest.fixture
def weights() -> Weights:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return Weights("tiny", Path("tiny.safetensors"), "0" * 64, CONFIG, NerdRain(CONFIG).state_dict(), {})


def images(height: int, width: int, *, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(height + width))


def test_every_size_is_compiled_for_itself_and_only_once(weights):
    compiled = []

    def compiler(graph, inputs):
        compiled.append([tuple(value.shape) for value in inputs])
        return graph.forward

    backend, net = CompileBackend(weights.build(), CPU, torch.float32, compiler=compiler), weights.build()
    for height, width, batch in ((16, 16, 1), (32, 16, 2), (16, 16, 1)):
        rainy = images(height, width, batch=batch)
        torch.testing.assert_close(backend(rainy), net(rainy), rtol=0, atol=1e-5)
    kinds = 9  # three widths at three scales
    assert len(compiled) == 2 * kinds
    assert all(isinstance(side, int) for shapes in compiled for shape in shapes for side in shape)


def test_the_residual_is_float32_in_every_precision(weights):
    backend = CompileBackend(weights.build(), CPU, torch.bfloat16, compiler="eager")
    residual = backend(images(16, 16))
    assert (residual.dtype, residual.requires_grad) == (torch.float32, False)
    torch.testing.assert_close(residual, weights.build()(images(16, 16)), rtol=0, atol=0.1)


def test_a_compiler_that_fails_is_one_line(weights):
    def compiler(graph, inputs):
        raise ValueError("no such instruction")

    backend = CompileBackend(weights.build(), CPU, torch.float32, compiler=compiler)
    with pytest.raises(BackendError, match=r"^compile: .*no such instruction; use --backend eager$"):
        backend(images(16, 16))


def test_a_missing_compiler_is_named(weights, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BackendError, match=r"^compile: there is no C\+\+ compiler; install g\+\+ or set CXX$"):
        load(weights, CPU)


def test_a_missing_triton_is_named(monkeypatch):
    monkeypatch.setattr(backend_module, "find_spec", lambda name: None)
    assert why_missing(CUDA) == "Triton is not installed; pip install triton, on Windows triton-windows"


def test_it_is_for_cuda_and_processors(monkeypatch):
    assert why_missing(torch.device("mps")) == "compiles for CUDA and processors only"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")
@pytest.mark.skipif(bool(why_missing(CPU)), reason=str(why_missing(CPU)))
def test_code_for_a_block_computes_what_the_block_does():
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(7)
        block = Block(8, 1, 2.66).eval()
        x = torch.randn(1, 8, 16, 16)
        expected = block(x)
        block.compile(dynamic=False)
        torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)


class Stream:
    """A stream on which work is done when it is queued."""

    def wait_stream(self, other: "Stream") -> None:
        pass


class Recording:
    """A CUDA graph of `forward`, which it does again where it is replayed."""

    made: list["Recording"]
    error: RuntimeError | None = None

    def __init__(self) -> None:
        self.made.append(self)
        self.backend: CompileBackend | None = None

    def replay(self) -> None:
        assert self.error is None
        recorded = self.backend._recorded
        recorded._residual.copy_(recorded._forward(recorded._rainy))


@pytest.fixture
def recorded_backend(weights, monkeypatch) -> CompileBackend:
    """On the processor, with graphs that are made up."""
    backend = CompileBackend(weights.build(), CPU, torch.float32, compiler="eager")
    backend.device = CUDA
    Recording.made = []

    @contextmanager
    def record(graph: Recording, *, stream: Stream, capture_error_mode: str):
        assert capture_error_mode == "thread_local"
        graph.backend = backend
        yield
        if graph.error is not None:
            raise graph.error

    stand_ins = {"Stream": Stream, "CUDAGraph": Recording, "graph": record, "current_stream": Stream}
    for name, stand_in in (stand_ins | dict.fromkeys(("stream", "device"), nullcontext)).items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return backend


def test_a_graph_is_recorded_for_each_size_and_gives_results_of_their_own(recorded_backend, weights):
    net = weights.build()
    for width, count in ((16, 1), (32, 2), (16, 3)):
        rainy = images(16, width)
        first, second = recorded_backend(rainy), recorded_backend(1 - rainy)
        torch.testing.assert_close(first, net(rainy), rtol=0, atol=1e-5)
        torch.testing.assert_close(second, net(1 - rainy), rtol=0, atol=1e-5)
        assert len(Recording.made) == count


def test_what_cannot_be_recorded_runs_without_a_graph(recorded_backend, weights, monkeypatch, caplog):
    monkeypatch.setattr(Recording, "error", RuntimeError("CUDA error: operation not permitted\nmore"))
    net = weights.build()
    for _ in range(2):
        torch.testing.assert_close(recorded_backend(images(16, 16)), net(images(16, 16)), rtol=0, atol=1e-5)
    said = [record.getMessage() for record in caplog.records if record.name == backend_module.__name__]
    assert said == ["compile: runs without a CUDA graph: CUDA error: operation not permitted"]


@pytest.mark.gpu
def test_the_graph_on_cuda_computes_what_the_network_does(weights):
    if reason := (None if torch.cuda.is_available() else "no CUDA device") or why_missing(CUDA):
        pytest.skip(reason)
    backend, net = load(weights, CUDA), weights.build()
    assert backend.dtype == torch.float16
    for width in (16, 32, 16):
        rainy = images(16, width)
        first = backend(rainy.cuda())
        kept = first.clone()
        backend(1 - rainy.cuda())
        assert torch.equal(first, kept)
        torch.testing.assert_close(first.cpu(), net(rainy), rtol=0, atol=0.02)
