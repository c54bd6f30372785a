"""What `--backend auto` runs, and what works until that is ready, with backends that only pretend to work."""

import logging
from collections.abc import Callable

import pytest
import torch

from nerdrain_rt.backends.auto import AutoBackend, load_auto
from nerdrain_rt.backends.remembered import Choice, remember
from nerdrain_rt.errors import BackendError
from tests.candidates import KEY, Bench, refuse
from tests.fakes import FakeBackend

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NERDRAIN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bench() -> Bench:
    return Bench()


def auto_backend(bench: Bench, **candidates: Callable[[], FakeBackend]) -> AutoBackend:
    return AutoBackend(candidates, CPU, torch.float16, KEY, bench.say, clock=lambda: bench.now)


def test_auto_decides_at_its_first_call(bench):
    backend = auto_backend(bench, eager=bench.candidate("eager", 48), fused=bench.candidate("fused", 16))
    assert (backend.name, backend.dtype, backend.bytes_for((64, 64))) == ("auto", torch.float16, 0)
    rainy = torch.rand(2, 3, 64, 64)
    assert torch.equal(backend(rainy), torch.zeros_like(rainy))
    assert (backend.name, backend.dtype, backend.bytes_for((64, 64))) == ("fused", torch.float32, 64 * 64)


def test_auto_decides_once_for_sizes_nearby_and_again_for_others(bench):
    backend = auto_backend(bench, eager=bench.candidate("eager", 48), fused=bench.candidate("fused", 16))
    for size in ((64, 64), (64, 80), (64, 64), (256, 256)):
        backend(torch.rand(1, 3, *size))
    assert len(bench.said) == 2
    assert "64x64" in bench.said[0]
    assert "256x256" in bench.said[1]


def test_auto_does_not_load_again_what_another_size_uses(bench):
    backend = auto_backend(bench, eager=bench.candidate("eager", 48), fused=bench.candidate("fused", 16))
    backend(torch.rand(1, 3, 64, 64))
    backend(torch.rand(1, 3, 256, 256))
    assert bench.loaded.count("fused") == 1


def test_auto_takes_what_another_size_needs_as_an_estimate(bench):
    backend = auto_backend(bench, eager=bench.candidate("eager", 48), fused=bench.candidate("fused", 16))
    backend(torch.rand(1, 3, 64, 64))
    assert backend.bytes_for((256, 256)) == 256 * 256


def test_auto_goes_on_with_the_next_best_where_one_fails_later(bench):
    calls = 0

    def fail_late(rainy: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        bench.now += 0.001
        if calls > 7:
            raise BackendError("fused: the GPU was lost")
        return torch.zeros_like(rainy)

    failing = FakeBackend(fail_late)
    failing.name = "fused"
    backend = auto_backend(bench, fused=lambda: failing, eager=bench.candidate("eager", 48))
    rainy = torch.rand(1, 3, 64, 64)
    backend(rainy)
    assert backend.name == "fused"
    backend(rainy)
    assert backend.name == "eager"
    assert bench.said[1] == "fused: the GPU was lost; going on without fused"


def test_auto_goes_on_where_a_kernel_does_not_run(bench):
    remember(KEY, ["eager", "fused"], Choice("fused", (64, 64), {"fused": 1.0, "eager": 2.0}, {}))
    failing = bench.candidate("fused", 1, error=RuntimeError("Triton Error [CUDA]: invalid argument\nmore"))
    backend = auto_backend(bench, fused=failing, eager=bench.candidate("eager", 48))
    backend(torch.rand(1, 3, 64, 64))
    assert backend.name == "eager"
    assert bench.said[1] == "Triton Error [CUDA]: invalid argument; going on without fused"


def test_auto_on_a_lost_gpu_raises_what_happened_first(bench):
    remember(KEY, ["eager", "fused"], Choice("fused", (64, 64), {"fused": 1.0, "eager": 2.0}, {}))
    lost = torch.AcceleratorError("CUDA error: unspecified launch failure")
    backend = auto_backend(
        bench,
        fused=bench.candidate("fused", 1, error=lost),
        eager=bench.candidate("eager", 1, error=torch.AcceleratorError("CUDA error: context is destroyed")),
    )
    with pytest.raises(torch.AcceleratorError) as caught:
        backend(torch.rand(1, 3, 64, 64))
    assert caught.value is lost


def test_auto_leaves_memory_to_the_caller(bench):
    remember(KEY, ["eager", "fused"], Choice("fused", (64, 64), {"fused": 1.0, "eager": 2.0}, {}))
    greedy = bench.candidate("fused", 1, error=torch.AcceleratorError("CUDA error: out of memory"))
    backend = auto_backend(bench, fused=greedy, eager=bench.candidate("eager", 48))
    for _ in range(2):
        with pytest.raises(torch.AcceleratorError, match="out of memory"):
            backend(torch.rand(1, 3, 64, 64))
    assert bench.loaded == ["fused"]


def test_auto_raises_what_its_last_candidate_raises(bench):
    remember(KEY, ["fused"], Choice("fused", (64, 64), {"fused": 1.0}, {}))
    lost = bench.candidate("fused", 1, error=BackendError("fused: the GPU was lost"))
    with pytest.raises(BackendError, match="fused: the GPU was lost"):
        auto_backend(bench, fused=lost)(torch.rand(1, 3, 64, 64))


def test_a_processor_takes_the_first_that_loads_without_measuring(bench, caplog):
    caplog.set_level(logging.WARNING)
    candidates = {"openvino": refuse("too old"), "eager": bench.candidate("eager", 48)}
    backend = load_auto(candidates, CPU, torch.float32, key=KEY, announce=bench.say)
    assert (backend.name, bench.runs, bench.said) == ("eager", [], [])
    assert "too old" in caplog.text


def test_a_gpu_with_one_candidate_takes_it_without_measuring(bench):
    cuda = torch.device("cuda")
    backend = load_auto({"eager": bench.candidate("eager", 48)}, cuda, torch.float16, key=KEY, announce=bench.say)
    assert (backend.name, bench.runs) == ("eager", [])


def test_a_gpu_with_a_choice_loads_nothing_before_the_size_is_known(bench):
    candidates = {name: bench.candidate(name, 1) for name in ("fused", "eager")}
    backend = load_auto(candidates, torch.device("cuda"), torch.float16, key=KEY, announce=bench.say)
    assert (backend.name, backend.dtype, bench.loaded) == ("auto", torch.float16, [])


def test_no_candidate_that_loads_is_an_error_with_every_reason(bench):
    candidates = {"openvino": refuse("too old"), "eager": refuse("broken")}
    with pytest.raises(BackendError, match="openvino: too old; eager: broken"):
        load_auto(candidates, CPU, torch.float32, key=KEY, announce=bench.say)
