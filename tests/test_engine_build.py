"""The network's graph in torch-tensorrt's hands, and engines built by TensorRT-RTX; neither needs a GPU."""

import os.path
import warnings
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch

from nerdrain_rt.backends.engine_build import build_plan, export_network, lower
from nerdrain_rt.backends.engine_spec import OPTIONS, EngineSpec, Target, installed_versions
from nerdrain_rt.errors import BackendError
from nerdrain_rt.model.net import NerdRain, NetConfig

SMALL = NetConfig(width=8, depths=(1, 1, 1), head_width=16)
BLOCKS = 6 * 5
"""Of the small network: six U-Nets of five levels."""

pytestmark = pytest.mark.filterwarnings("ignore")  # torch-tensorrt and torch.export warn of their own affairs


@pytest.fixture(scope="module")
def torch_tensorrt() -> Iterator[ModuleType]:
    """The package; without a driver it cannot be imported unless a GPU is made up."""
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not torch.cuda.is_available():
            pretend_there_is_a_gpu(patch)
        yield pytest.importorskip("torch_tensorrt", exc_type=ImportError)


def pretend_there_is_a_gpu(patch: pytest.MonkeyPatch) -> None:
    is_file = os.path.isfile
    patch.setattr(torch._C, "_CudaDeviceProperties", object, raising=False)
    patch.setattr(torch.cuda, "get_device_capability", lambda *_: (8, 9))
    patch.setattr(torch.cuda, "get_device_name", lambda *_: "none")
    patch.setattr(torch.cuda, "current_device", lambda: 0)
    patch.setattr(torch.cuda, "mem_get_info", lambda *_: (8 << 30, 8 << 30))
    patch.setattr(os.path, "isfile", lambda path: "libtorchtrt" not in str(path) and is_file(path))


def make_net(config: NetConfig = SMALL) -> NerdRain:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return NerdRain(config).eval().requires_grad_(False)


def make_spec(*, precision: str = "fp16", is_dynamic: bool = False, capability: str = "8.9") -> EngineSpec:
    sizes = ((32, 32), (64, 64), (128, 96)) if is_dynamic else ((32, 48),) * 3
    return EngineSpec("0" * 64, "small", *sizes, precision, Target(capability), installed_versions(), dict(OPTIONS))


def lowered(torch_tensorrt: ModuleType, spec: EngineSpec, config: NetConfig = SMALL) -> torch.fx.GraphModule:
    from torch_tensorrt.dynamo._settings import CompilationSettings

    settings = CompilationSettings(device=torch_tensorrt.Device(gpu_id=0), **spec.options)
    return lower(export_network(make_net(config), spec), settings)


def assert_is_one_engine(graph: torch.fx.GraphModule) -> None:
    from torch_tensorrt.dynamo import partitioning

    supported, total = partitioning.get_graph_converter_support(graph, set())
    assert 0 < total == supported
    partitioned, support = partitioning.fast_partition(graph, min_block_size=1, require_full_compilation=True)
    assert not support.unsupported_operators
    assert len([name for name, _ in partitioned.named_children() if "_run_on_acc" in name]) == 1
    assert not [name for name, _ in partitioned.named_children() if "_run_on_gpu" in name]


@pytest.fixture(scope="module")
def static_graph(torch_tensorrt) -> torch.fx.GraphModule:
    return lowered(torch_tensorrt, make_spec())


def test_attention_is_float32_within_half_precision(static_graph):
    softmaxes = [node for node in static_graph.graph.nodes if "softmax" in str(node.target)]
    assert len(softmaxes) == BLOCKS
    assert {node.meta["val"].dtype for node in softmaxes} == {torch.float32}
    convolutions = [node for node in static_graph.graph.nodes if "convolution" in str(node.target)]
    assert {node.meta["val"].dtype for node in convolutions} == {torch.float16}


def test_the_network_becomes_exactly_one_engine(static_graph):
    assert_is_one_engine(static_graph)


def test_the_lowered_graph_equals_the_network(torch_tensorrt):
    graph = lowered(torch_tensorrt, make_spec(precision="fp32"))
    rainy = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    residual = graph(rainy)
    expected = make_net()(rainy)
    assert residual.dtype == torch.float32
    torch.testing.assert_close(residual, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


@pytest.mark.slow
def test_the_published_network_becomes_exactly_one_engine(torch_tensorrt):
    assert_is_one_engine(lowered(torch_tensorrt, make_spec(), NetConfig()))


@pytest.mark.timeout(1200)
def test_a_range_of_sizes_becomes_exactly_one_engine_too(torch_tensorrt):
    assert_is_one_engine(lowered(torch_tensorrt, make_spec(is_dynamic=True)))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "is_dynamic", [pytest.param(False, id="one size", marks=pytest.mark.slow), pytest.param(True, id="a range")]
)
def test_tensorrt_rtx_builds_an_engine_without_a_gpu(torch_tensorrt, is_dynamic):
    steps: list[tuple[str, float]] = []
    plan = build_plan(make_net(), make_spec(is_dynamic=is_dynamic), lambda *step: steps.append(step))
    assert plan.startswith(b"vtrt")
    shares = [done for stage, done in steps if stage == "building the engine"]
    assert shares == sorted(shares)
    assert 0.5 < shares[-1] <= 1


def test_a_target_that_there_is_not_is_refused_with_those_there_are(torch_tensorrt, monkeypatch):
    import tensorrt_rtx

    from nerdrain_rt.backends import engine_build

    with pytest.raises(BackendError, match=r"sm90: TensorRT-RTX builds for .*sm89.*sm120"):
        engine_build.aim(tensorrt_rtx, object(), make_spec(capability="9.0"))
