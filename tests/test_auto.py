"""What `--backend auto` runs, and what works until that is ready, with backends that only pretend to work."""

import gc
import re
import threading
import time
import weakref
from collections.abc import Callable

import pytest
import torch

from nerdrain_rt import backends
from nerdrain_rt.backends import remembered
from nerdrain_rt.backends.auto import AutoBackend, load_auto
from nerdrain_rt.backends.remembered import Choice, remember, remembered_choices
from nerdrain_rt.errors import BackendError
from nerdrain_rt.model.weights import load_weights
from tests.candidates import CPU, KEY, Bench, PreparingAuto, refuse
from tests.fakes import FakeBackend

pytestmark = pytest.mark.usefixtures("cache_folder")


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


def test_a_processor_takes_the_first_that_loads_without_measuring(bench):
    candidates = {"openvino": refuse("too old"), "eager": bench.candidate("eager", 48)}
    backend = load_auto(candidates, CPU, torch.float32, key=KEY, announce=bench.say)
    assert (backend.name, bench.runs, bench.said) == ("eager", [], ["too old; going on without openvino"])


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


@pytest.fixture
def preparing(bench) -> PreparingAuto:
    return PreparingAuto(bench)


UNTIL_READY = "eager (until fused is ready)"


def test_the_first_pictures_come_from_what_starts_at_once(preparing, bench):
    assert preparing.run() == ["eager"]
    assert (bench.loaded, bench.runs, bench.said, bench.begun, preparing.begun) == (["eager"], ["eager"], [], [], [])


def test_a_second_picture_begins_the_preparation_once(preparing, bench):
    assert preparing.run(*3 * [(48, 64)]) == ["eager", UNTIL_READY, UNTIL_READY]
    assert [preparation.size for preparation in preparing.begun] == [(48, 64)]
    assert bench.said == ["fused: made ready in the background, once; it may take a minute"]
    assert bench.loaded == ["eager"]


def test_what_is_ready_is_measured_and_chosen_between_two_pictures(preparing, bench):
    preparing.run(*2 * [(64, 64)])
    preparing.begun[0].end()
    assert preparing.run((64, 64), (64, 64)) == ["fused", "fused"]
    assert bench.loaded == ["eager", "fused"]
    assert bench.said[-1] == "backend fused: 16.0 ms at 64x64 (eager 48.0 ms)"
    assert [choice.backend for choice in remembered_choices()] == ["fused"]


def test_what_worked_meanwhile_is_let_go_when_another_is_chosen(bench):
    made = []

    def eager() -> FakeBackend:
        backend = bench.candidate("eager", 48)()
        made.append(weakref.ref(backend))
        return backend

    preparing = PreparingAuto(bench, eager=eager)
    preparing.run(*2 * [(64, 64)])
    assert made[0]() is not None
    preparing.begun[0].end()
    assert preparing.run() == ["fused"]
    gc.collect()
    assert [reference() for reference in made] == [None]


def test_what_is_ready_and_slower_is_not_chosen(bench):
    preparing = PreparingAuto(bench, fused=bench.candidate("fused", 60))
    preparing.run(*2 * [(64, 64)])
    preparing.begun[0].end()
    assert preparing.run() == ["eager"]
    assert bench.loaded == ["eager", "fused"]


def test_a_remembered_answer_needs_no_preparation(preparing, bench):
    remember(KEY, ["eager", "fused"], Choice("fused", (64, 64), {"fused": 1.0, "eager": 2.0}, {}))
    assert preparing.run(*2 * [(64, 64)]) == ["fused", "fused"]
    assert (preparing.begun, bench.loaded) == ([], ["fused"])


def test_one_preparation_serves_every_size(preparing):
    assert preparing.run((64, 64), (256, 256)) == ["eager", "eager"]
    assert preparing.run((64, 64), (256, 256)) == [UNTIL_READY, UNTIL_READY]
    preparing.begun[0].end()
    assert preparing.run((64, 64), (256, 256), (512, 512)) == ["fused", "fused", "fused"]
    assert len(preparing.begun) == 1


def test_what_another_size_uses_needs_no_preparation(preparing):
    remember(KEY, ["eager", "fused"], Choice("fused", (64, 64), {"fused": 1.0, "eager": 2.0}, {}))
    assert preparing.run((64, 64), (256, 256), (256, 256)) == ["fused", "fused", "fused"]
    assert preparing.begun == []


def test_a_failed_preparation_is_told_and_the_next_best_goes_on(preparing, bench):
    preparing.run(*2 * [(64, 64)])
    preparing.begun[0].end("fused: a kernel does not run here: no ptxas")
    assert preparing.run(*2 * [(64, 64)]) == ["eager", "eager"]
    assert bench.said[1:] == [
        "fused: a kernel does not run here: no ptxas; going on without fused",
        "backend eager: 48.0 ms at 64x64",
    ]
    assert bench.loaded == ["eager"]


def test_a_failed_preparation_is_tried_again_at_the_next_launch(preparing, bench):
    preparing.run(*2 * [(64, 64)])
    preparing.begun[0].end("out of memory")
    preparing.run()
    again = PreparingAuto(bench)
    again.run(*2 * [(64, 64)])
    assert len(again.begun) == 1


def test_what_is_ready_and_fails_when_it_runs_is_passed_over(bench):
    preparing = PreparingAuto(bench, fused=bench.candidate("fused", 16, error=torch.OutOfMemoryError("9 GiB")))
    preparing.run(*2 * [(64, 64)])
    preparing.begun[0].end()
    assert preparing.run() == ["eager"]
    assert bench.said[-1] == "backend eager: 48.0 ms at 64x64 (fused: out of memory)"


def test_where_nothing_else_starts_it_is_waited_for(bench):
    preparing = PreparingAuto(bench, eager=refuse("no float16"))
    assert preparing.run() == ["fused"]
    assert preparing.begun == []


def test_where_what_works_meanwhile_fails_the_next_one_does(bench):
    lost = bench.candidate("tensorrt", 9, error=BackendError("tensorrt: the GPU was lost"))
    preparing = PreparingAuto(bench)
    preparing.backend.candidates = {"tensorrt": lost} | preparing.backend.candidates
    assert preparing.run(*2 * [(64, 64)])[1] == UNTIL_READY
    assert bench.said[0] == "tensorrt: the GPU was lost; going on without tensorrt"


def test_memory_that_is_short_meanwhile_makes_tiles_only_until_then(bench):
    sizes = []

    def run(rainy: torch.Tensor) -> torch.Tensor:
        sizes.append(tuple(rainy.shape[-2:]))
        if max(rainy.shape[-2:]) > 128:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.zeros_like(rainy)

    greedy = FakeBackend(run)
    greedy.name = "eager"
    preparing = PreparingAuto(bench, eager=lambda: greedy)
    assert preparing.run(*2 * [(256, 256)]) == ["eager", UNTIL_READY]
    assert preparing.backend.bytes_for((256, 256)) == 0
    assert sizes[0] == (256, 256)
    assert set(sizes[1:]) == {(128, 128)}
    preparing.begun[0].end()
    assert preparing.run((256, 256)) == ["fused"]
    assert "eager: out of memory" in bench.said[-1]


def test_pictures_wait_for_a_measurement_and_go_on_after_it(preparing):
    preparing.run(*2 * [(64, 64)])
    is_done = threading.Event()

    def run() -> None:
        preparing.run()
        is_done.set()

    thread = threading.Thread(target=run)
    with preparing.begun[0].turns:
        thread.start()
        assert not is_done.wait(0.2)
    assert is_done.wait(20)
    thread.join()


def test_two_devices_are_prepared_for_each_in_turns_of_its_own(bench):
    first, second = PreparingAuto(bench), PreparingAuto(bench)
    for each in (first, second):
        each.run(*2 * [(64, 64)])
    assert first.begun[0].turns is not second.begun[0].turns
    first.begun[0].end()
    assert (first.run(), second.run()) == (["fused"], [UNTIL_READY])
    second.begun[0].end()
    assert second.run() == ["fused"]


def test_a_dropped_backend_drops_its_preparation(preparing):
    preparing.run(*2 * [(64, 64)])
    preparation = weakref.ref(preparing.begun.pop())
    assert preparation() is not None
    del preparing.backend
    assert preparation() is None


@pytest.mark.parametrize(
    ("dtype", "is_waiting", "prepared"),
    [(None, False, {"fused"}), (torch.bfloat16, False, {"fused"}), (torch.float32, False, set()), (None, True, set())],
)
def test_on_a_gpu_fused_kernels_are_prepared_where_they_can_run(monkeypatch, dtype, is_waiting, prepared):
    monkeypatch.setattr(backends, "why_backend_is_missing", lambda name, device: None)
    monkeypatch.setattr(remembered, "machine_of", lambda device: {})
    auto = backends.load_best(load_weights(), ("fused", "eager"), torch.device("cuda"), dtype, wait_engine=is_waiting)
    assert isinstance(auto, AutoBackend)
    assert set(auto.preparations) == prepared


@pytest.mark.gpu
def test_on_a_gpu_frames_come_from_eager_until_the_fused_kernels_are_made(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))
    said: list[str] = []
    auto = backends.load_best(load_weights(), ("fused", "eager"), torch.device("cuda"), None, announce=said.append)
    rainy = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(1)).cuda()
    began = time.monotonic()
    expected = auto(rainy).cpu()
    names = [auto.name]
    while len(names) < 2 or "until" in names[-1]:
        assert time.monotonic() - began < 280
        assert (auto(rainy).cpu() - expected).abs().max() < 0.02
        names.append(auto.name)
    assert names[:2] == ["eager", UNTIL_READY]
    assert names[-1] in ("eager", "fused")
    assert re.search(r"fused:? [\d.]+ ms", said[-1])
