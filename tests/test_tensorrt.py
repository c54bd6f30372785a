"""The tensorrt backend: swaps and failures, with a stand-in for TensorRT."""

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nerdrain_rt.backends.engine_cache import EngineCache
from nerdrain_rt.backends.engine_spec import EngineSpec, Profile, Target, make_spec
from nerdrain_rt.backends.engines import BUILD_AFTER, MOST_ENGINES, Engines, Toolkit
from nerdrain_rt.backends.tensorrt import TensorRTBackend
from nerdrain_rt.errors import BackendError
from tests.candidates import Bench, PreparingAuto
from tests.engines import CPU, HERE, SIZE, VERSIONS, image, tiny_weights, value, wait_for
from tests.fakes import FakeBackend

ENGINE_VALUE, FALLBACK_VALUE = 2.0, 1.0


class FakeTensorRT:
    """Builds when it is told to, and runs engines that answer with a constant."""

    def __init__(self) -> None:
        self.may_build = threading.Event()
        self.may_build.set()
        self.built: list[EngineSpec] = []
        self.opened: list[EngineSpec] = []
        self.build_error: Exception | None = None
        self.open_error: Exception | None = None
        self.run_error: Exception | None = None
        self.threads: set[int] = set()

    def toolkit(self) -> Toolkit:
        return Toolkit(VERSIONS, HERE, self.build, self.open)

    def build(self, weights, spec, device, report, is_cancelled) -> bytes:
        self.built.append(spec)
        report("building the engine", 0.25)
        while not self.may_build.wait(0.02):
            if is_cancelled.is_set():
                raise BackendError("tensorrt: the build was cancelled")
        if self.build_error is not None:
            raise self.build_error
        return f"plan {spec.key}".encode()

    def open(self, plan: bytes, spec: EngineSpec, device: torch.device, path: Path) -> Callable[[Tensor], Tensor]:
        self.threads.add(threading.get_ident())
        if self.open_error is not None:
            raise self.open_error
        if plan != f"plan {spec.key}".encode():
            raise BackendError("tensorrt: the engine does not load here: version mismatch")
        self.opened.append(spec)

        def run(image: Tensor) -> Tensor:
            assert len(image) == 1
            if self.run_error is not None:
                raise self.run_error
            return torch.full_like(image, ENGINE_VALUE)

        return run


@pytest.fixture
def fake() -> FakeTensorRT:
    return FakeTensorRT()


@pytest.fixture
def cache(tmp_path) -> EngineCache:
    return EngineCache(tmp_path)


@pytest.fixture
def make(fake, cache) -> Iterator[Callable[..., TensorRTBackend]]:
    made: list[TensorRTBackend] = []

    def make(**options) -> TensorRTBackend:
        fallback = FakeBackend(lambda rainy: torch.full_like(rainy, FALLBACK_VALUE))
        options = {"toolkit": fake.toolkit(), "cache": cache, "fallback": fallback} | options
        made.append(TensorRTBackend(tiny_weights(), CPU, **options))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


def ask_for_an_engine(backend: TensorRTBackend, size=SIZE) -> None:
    for _ in range(BUILD_AFTER):
        backend(image(size))


def test_another_backend_works_until_the_engine_is_built(make, fake):
    fake.may_build.clear()
    backend = make()
    ask_for_an_engine(backend)
    wait_for(lambda: bool(backend.status))
    assert value(backend) == FALLBACK_VALUE
    assert backend.name == "tensorrt (fake meanwhile)"
    assert backend.status == "tensorrt: engine for 48x32: building the engine, 25%"
    fake.may_build.set()
    wait_for(lambda: value(backend) == ENGINE_VALUE)
    assert (backend.name, backend.status) == ("tensorrt", "")
    assert len(fake.built) == len(fake.opened) == 1


def test_engines_are_loaded_on_the_thread_that_runs_them(make, fake):
    backend = make()
    ask_for_an_engine(backend)
    wait_for(lambda: value(backend) == ENGINE_VALUE)
    assert fake.threads == {threading.get_ident()}


def test_a_size_that_comes_a_few_times_is_not_worth_an_engine(make, fake):
    backend = make()
    for _ in range(BUILD_AFTER - 1):
        assert value(backend) == FALLBACK_VALUE
    assert fake.built == []


def test_waiting_for_the_engine_never_runs_another_backend(make):
    fallback = FakeBackend()
    backend = make(wait_engine=True, fallback=fallback)
    assert value(backend) == ENGINE_VALUE
    assert (backend.name, fallback.shapes) == ("tensorrt", [])


def test_a_cached_engine_runs_from_the_first_image_on(make, fake):
    make(wait_engine=True)(image())
    assert value(make()) == ENGINE_VALUE
    assert len(fake.built) == 1


def test_a_batch_runs_image_by_image(make):
    residual = make(wait_engine=True)(image(batch=3))
    assert residual.shape == (3, 3, *SIZE)
    assert (residual == ENGINE_VALUE).all()


def test_every_size_has_an_engine_of_its_own(make, fake):
    backend = make(wait_engine=True)
    for size in ((16, 16), (16, 32), (16, 16)):
        assert value(backend, size) == ENGINE_VALUE
    assert [spec.usual for spec in fake.built] == [(16, 16), (16, 32)]
    assert not any(spec.is_dynamic for spec in fake.built)


@pytest.mark.parametrize("target", [HERE, Target(HERE.capability)], ids=["this GPU", "its capability"])
def test_sizes_within_a_range_share_the_engine_built_ahead_of_time(make, fake, cache, target):
    profile: Profile = ((16, 16), (32, 32), (64, 64))
    spec = make_spec(tiny_weights(), profile, torch.float16, target, VERSIONS)
    cache.store(spec, f"plan {spec.key}".encode(), name="tiny", seconds=1)
    other = make_spec(tiny_weights(), ((16, 16), (32, 32), (128, 64)), torch.float32, target, VERSIONS)
    cache.store(other, b"of another precision", name="tiny", seconds=1)
    backend = make(wait_engine=True)
    for size in ((16, 64), (64, 16), (80, 16)):
        assert value(backend, size) == ENGINE_VALUE
    assert [(spec.smallest, spec.largest) for spec in fake.built] == [((80, 16), (80, 16))]
    assert len(fake.opened) == 2


def test_an_engine_of_its_own_comes_before_that_of_a_range(make, fake, cache):
    for profile in (((16, 16), SIZE, (64, 64)), (SIZE, SIZE, SIZE)):
        spec = make_spec(tiny_weights(), profile, torch.float16, HERE, VERSIONS)
        cache.store(spec, f"plan {spec.key}".encode(), name="tiny", seconds=1)
    assert value(make()) == ENGINE_VALUE
    assert [spec.is_dynamic for spec in fake.opened] == [False]


def test_a_build_ends_with_the_backend_that_wanted_it(fake, cache):
    fake.may_build.clear()
    backend = TensorRTBackend(tiny_weights(), CPU, toolkit=fake.toolkit(), cache=cache, fallback=FakeBackend())
    ask_for_an_engine(backend)
    wait_for(lambda: bool(fake.built))
    del backend
    wait_for(lambda: not any(thread.name == "engine-build" for thread in threading.enumerate()))


def test_only_so_many_engines_stay_loaded(make, fake):
    backend = make(wait_engine=True)
    sizes = [(16, 16 * side) for side in range(1, MOST_ENGINES + 2)]
    for size in (*sizes, sizes[0]):
        assert value(backend, size) == ENGINE_VALUE
    assert len(fake.built) == len(sizes)
    assert len(fake.opened) == len(sizes) + 1


def test_an_engine_built_ahead_of_time_is_found_by_its_capability(make, fake, cache):
    spec = make_spec(tiny_weights(), (SIZE, SIZE, SIZE), torch.float16, Target(HERE.capability), VERSIONS)
    cache.store(spec, f"plan {spec.key}".encode(), name="tiny", seconds=1)
    assert value(make()) == ENGINE_VALUE
    assert fake.built == []


@pytest.mark.parametrize("is_waiting", [True, False])
def test_an_engine_that_does_not_load_is_built_again(make, fake, cache, caplog, is_waiting):
    spec = make_spec(tiny_weights(), (SIZE, SIZE, SIZE), torch.float16, HERE, VERSIONS)
    cache.store(spec, b"of another library", name="tiny", seconds=1)
    backend = make(wait_engine=is_waiting)
    ask_for_an_engine(backend)
    wait_for(lambda: value(backend) == ENGINE_VALUE)
    assert "built again: tensorrt: the engine does not load here: version mismatch" in caplog.text
    assert caplog.text.count("built again") == 1
    assert len(fake.built) == 1


@pytest.mark.parametrize("error", [BackendError("tensorrt: no"), torch.OutOfMemoryError("tensorrt: no")])
@pytest.mark.parametrize("step", ["build_error", "open_error"])
def test_where_no_engine_can_be_had_the_other_backend_goes_on(make, fake, caplog, error, step):
    setattr(fake, step, error)
    backend = make()
    ask_for_an_engine(backend)
    wait_for(lambda: value(backend) == FALLBACK_VALUE and bool(caplog.text))
    for _ in range(3):
        assert value(backend) == FALLBACK_VALUE
    assert caplog.text.count("tensorrt: no; going on without an engine for 48x32") == 1
    assert len(fake.built) == 1


@pytest.mark.parametrize("is_waiting", [True, False])
def test_an_engine_that_this_gpu_does_not_run_is_not_built_at_every_start(make, fake, cache, caplog, is_waiting):
    fake.open_error = BackendError("tensorrt: the engine does not load here: unsupported cc")
    with pytest.raises(BackendError, match="unsupported cc"):
        make(wait_engine=True)(image())
    again = make(wait_engine=is_waiting)
    if is_waiting:
        with pytest.raises(BackendError, match=r"unsupported cc .tried before; 'nerdrain engine clear' forgets it"):
            again(image())
    else:
        assert value(again) == value(again) == FALLBACK_VALUE
        assert caplog.text.count("tried before") == 1
    assert len(fake.built) == 1
    cache.clear()
    fake.open_error = None
    assert value(make(wait_engine=True)) == ENGINE_VALUE


@pytest.mark.parametrize("error", [BackendError("tensorrt: no"), torch.OutOfMemoryError("tensorrt: no")])
@pytest.mark.parametrize("step", ["build_error", "open_error"])
def test_where_the_engine_is_waited_for_its_error_is_raised(make, fake, error, step):
    setattr(fake, step, error)
    backend = make(wait_engine=True)
    for _ in range(2):
        with pytest.raises(type(error), match="tensorrt: no"):
            backend(image())
    assert len(fake.built) == 1


def test_a_lost_gpu_is_one_line(make, fake):
    fake.run_error = torch.AcceleratorError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA\n")
    with pytest.raises(BackendError, match=r"^cpu: the GPU failed: CUDA error: unspecified launch failure$"):
        make(wait_engine=True)(image())


def test_running_out_of_memory_stays_what_it_is(make, fake):
    fake.run_error = torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(torch.OutOfMemoryError):
        make(wait_engine=True)(image())


def test_closing_ends_a_build(make, fake, caplog):
    fake.may_build.clear()
    backend = make()
    ask_for_an_engine(backend)
    wait_for(lambda: bool(fake.built))
    backend.close()
    wait_for(lambda: value(backend) == FALLBACK_VALUE and "cancelled" in caplog.text)


def test_progress_is_logged(make, caplog):
    with caplog.at_level(logging.INFO):
        make(wait_engine=True)(image())
    assert "engine for 48x32: building the engine, 25%" in caplog.text
    assert "the engine for 48x32 is loaded" in caplog.text


def make_engines(fake, told: list[str]) -> Engines:
    return Engines(tiny_weights(), CPU, torch.float16, fake.toolkit(), wait_engine=True, announce=told.append)


def test_what_is_built_is_told_to_whoever_asked(fake, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("NERDRAIN_ENGINES", str(tmp_path))
    told: list[str] = []
    assert make_engines(fake, told).find(SIZE) is not None
    (plan,) = tmp_path.glob("*.engine")
    plan.write_bytes(b"cut")
    assert make_engines(fake, told).find(SIZE) is not None
    built = ["tensorrt: engine for 48x32: building the engine, 25%", "tensorrt: the engine for 48x32 is loaded"]
    assert told == [*built, f"{plan}: damaged, the engine is built again", *built]
    assert not caplog.text


def test_where_no_engine_can_be_had_it_is_told_to_whoever_asked(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("NERDRAIN_ENGINES", str(tmp_path))
    told: list[str] = []
    engines = make_engines(fake, told)
    engines.wait_engine, fake.build_error = False, BackendError("tensorrt: no")
    engines.find(SIZE, count=BUILD_AFTER)
    wait_for(lambda: engines.find(SIZE) is None and "going on" in "".join(told))
    assert told[-1] == "tensorrt: no; going on without an engine for 48x32"


def test_memory_counts_the_backend_that_works_meanwhile(make):
    backend = make(fallback=FakeBackend())
    assert backend.bytes_for((64, 64)) > FakeBackend().bytes_for((64, 64)) + 12 * 64 * 64


def test_eager_works_meanwhile_where_nothing_faster_does(make):
    backend = make(fallback=None)
    backend(image())
    assert backend.name == "tensorrt (eager meanwhile)"


def test_what_becomes_of_an_engine_is_told_where_somebody_listens(make, fake):
    told: list[str] = []
    fake.build_error = BackendError("tensorrt: no")
    backend = make(announce=told.append)
    ask_for_an_engine(backend)
    wait_for(lambda: value(backend) == FALLBACK_VALUE and any("going on without" in line for line in told))


def test_fused_kernels_work_meanwhile_as_soon_as_they_are_ready(make, tmp_path, monkeypatch):
    monkeypatch.setenv("NERDRAIN_CACHE", str(tmp_path))
    auto = PreparingAuto(Bench())
    backend = make(fallback=auto.backend)
    for _ in range(2):
        backend(image())
    assert backend.name == "tensorrt (eager meanwhile)"
    auto.begun[0].end()
    backend(image())
    assert backend.name == "tensorrt (fused meanwhile)"
