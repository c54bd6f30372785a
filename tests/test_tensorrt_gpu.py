"""TensorRT itself, on a GPU."""

import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nerdrain_rt.backends import engine_spec, tensorrt
from nerdrain_rt.backends.engine_cache import EngineCache
from nerdrain_rt.backends.engine_process import build_in_process
from nerdrain_rt.backends.engine_spec import installed_versions
from nerdrain_rt.backends.engines import Toolkit
from nerdrain_rt.backends.tensorrt import TensorRTBackend
from nerdrain_rt.errors import BackendError
from tests.engines import CUDA, spec_for, tiny_weights


@pytest.fixture(scope="module")
def gpu_backend(tmp_path_factory) -> TensorRTBackend:
    """A small network's engine, built for real on the GPU that is here."""
    if reason := tensorrt.why_missing(CUDA):
        pytest.skip(reason)
    toolkit = Toolkit(installed_versions(), engine_spec.this_gpu(CUDA), build_in_process, tensorrt.open_engine)
    folder = tmp_path_factory.mktemp("engines")
    return TensorRTBackend(tiny_weights(), CUDA, toolkit=toolkit, wait_engine=True, cache=EngineCache(folder))


def random_image(seed: int, size=(64, 64)) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed)).cuda()


def assert_near_float32(residual: Tensor, rainy: Tensor) -> None:
    expected = tiny_weights().build().cuda()(rainy)
    assert (residual - expected).abs().max() <= 0.02 * expected.abs().max()


@pytest.mark.gpu
def test_on_a_gpu_the_engine_gives_the_residual_of_the_network(gpu_backend):
    rainy = random_image(1)
    residual = gpu_backend(rainy)
    assert gpu_backend.name == "tensorrt"
    assert residual.dtype == torch.float32
    assert_near_float32(residual, rainy)


@pytest.mark.gpu
def test_on_a_gpu_results_do_not_overwrite_each_other(gpu_backend):
    first = gpu_backend(random_image(1))
    kept = first.clone()
    gpu_backend(random_image(2))
    assert torch.equal(first, kept)


@pytest.mark.gpu
def test_on_a_gpu_the_engine_is_replayed_as_a_graph(gpu_backend):
    gpu_backend(random_image(1))
    engine = gpu_backend.engines.find((64, 64))
    assert all(lane.has_graph for lane in engine.lanes.values())


@pytest.mark.gpu
def test_on_a_gpu_every_stream_has_a_context_of_its_own(gpu_backend):
    streams = [torch.cuda.Stream() for _ in range(2)]
    images = [random_image(seed) for seed in range(2)]
    residuals: list[Tensor] = []
    torch.cuda.synchronize()
    for stream, rainy in zip(streams, images, strict=True):
        with torch.cuda.stream(stream):
            residuals.append(gpu_backend(rainy))
    torch.cuda.synchronize()
    for residual, rainy in zip(residuals, images, strict=True):
        assert_near_float32(residual, rainy)
    engine = gpu_backend.engines.find((64, 64))
    assert {stream.cuda_stream for stream in streams} <= {stream for stream, _ in engine.lanes}


@pytest.mark.gpu
def test_on_a_gpu_frames_go_on_while_the_engine_is_built_and_then_swaps(tmp_path):
    if reason := tensorrt.why_missing(CUDA):
        pytest.skip(reason)
    toolkit = Toolkit(installed_versions(), engine_spec.this_gpu(CUDA), build_in_process, tensorrt.open_engine)
    backend = TensorRTBackend(tiny_weights(), CUDA, toolkit=toolkit, cache=EngineCache(tmp_path))
    names = set()
    rainy = random_image(1, (48, 64))
    deadline = time.monotonic() + 280
    while backend.name != "tensorrt" or not names:
        assert time.monotonic() < deadline
        assert_near_float32(backend(rainy), rainy)
        names.add(backend.name)
    assert any("meanwhile" in name for name in names)
    assert EngineCache(tmp_path).engines()


@pytest.mark.gpu
def test_on_a_gpu_a_plan_that_is_none_is_one_line():
    if reason := tensorrt.why_missing(CUDA):
        pytest.skip(reason)
    with pytest.raises(BackendError, match="tensorrt: the engine does not load here: ") as caught:
        tensorrt.open_engine(b"x" * 1000, spec_for(), CUDA, Path("none.engine"))
    assert "\n" not in str(caught.value)
