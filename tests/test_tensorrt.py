"""The tensorrt backend: swaps, failures and the building process with a stand-in for TensorRT; itself on a GPU."""

import dataclasses
import importlib.util
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nerdrain_rt.backends import engine_process, engine_spec, tensorrt
from nerdrain_rt.backends.engine_cache import EngineCache
from nerdrain_rt.backends.engine_process import build_in_process
from nerdrain_rt.backends.engine_spec import (
    OPTIONS,
    EngineSpec,
    Profile,
    Target,
    Versions,
    driver_version,
    installed_versions,
    make_spec,
)
from nerdrain_rt.backends.engines import BUILD_AFTER, MOST_ENGINES, Engines, Toolkit
from nerdrain_rt.backends.tensorrt import TensorRTBackend
from nerdrain_rt.errors import BackendError
from nerdrain_rt.model.net import NerdRain, NetConfig
from nerdrain_rt.model.weights import Weights
from tests.candidates import Bench, PreparingAuto
from tests.fakes import FakeBackend

SMALL = NetConfig(width=8, depths=(1, 1, 1), head_width=16)
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SIZE = (32, 48)
HERE = Target("8.9", "NVIDIA GeForce RTX 4090", "580.65.06")
VERSIONS = Versions("tensorrt-rtx", "1.5.0.114", "2.13.0", "2.13.0")
ENGINE_VALUE, FALLBACK_VALUE = 2.0, 1.0


def tiny_weights(config: NetConfig = SMALL) -> Weights:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = NerdRain(config)
    return Weights("tiny", Path("tiny.safetensors"), "7" * 64, config, net.state_dict(), {})


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


def image(size=SIZE, batch=1) -> Tensor:
    return torch.zeros(batch, 3, *size)


def value(backend: TensorRTBackend, size=SIZE) -> float:
    return backend(image(size)).mean().item()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


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


def spec_for(size=SIZE, *, largest=None, precision="fp16", target=HERE) -> EngineSpec:
    largest = largest or size
    return EngineSpec("7" * 64, "tiny", size, size, largest, precision, target, VERSIONS, dict(OPTIONS))


def run_in_process(code: str, monkeypatch, tmp_path, *, is_cancelled: threading.Event | None = None):
    """What `build_in_process` makes of a building process that runs this code instead."""
    stand_in = tmp_path / "stand_in.py"
    stand_in.write_text(code)
    start = subprocess.Popen

    def start_stand_in(command: list[str], **options) -> subprocess.Popen[str]:
        return start([sys.executable, str(stand_in), command[-1]], **options)

    monkeypatch.setattr(engine_process.subprocess, "Popen", start_stand_in)
    steps: list[tuple[str, float]] = []
    report = lambda stage, done: steps.append((stage, done))  # noqa: E731
    return build_in_process(tiny_weights(), spec_for(), CPU, report, is_cancelled or threading.Event()), steps


def test_a_build_in_another_process_gives_its_plan_and_progress(monkeypatch, tmp_path):
    code = """
import sys, json, pathlib
folder = pathlib.Path(sys.argv[1])
request = json.loads((folder / "request.json").read_text())
print(json.dumps({"stage": "building the engine", "done": 0.5}), flush=True)
(folder / "plan").write_bytes(request["spec"]["precision"].encode() + bytes(request["config"]["depths"]))
"""
    plan, steps = run_in_process(code, monkeypatch, tmp_path)
    assert plan == b"fp16\x01\x01\x01"
    assert steps == [("building the engine", 0.5)]


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ('print(\'{"error": "bad op"}\'); exit(1)', BackendError, "cannot be built: bad op"),
        ('print(\'{"error": "CUDA out of memory"}\'); exit(1)', torch.OutOfMemoryError, "CUDA out of memory"),
        ("import sys; print('Out of memory', file=sys.stderr); exit(1)", torch.OutOfMemoryError, "Out of memory"),
        ("import sys; sys.exit('first\\nlast words')", BackendError, "exit code 1: last words"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", BackendError, "exit code -9"),
    ],
    ids=["an error", "memory", "memory in its log", "an exit", "killed"],
)
def test_a_failed_build_is_one_line(monkeypatch, tmp_path, code, error, message):
    with pytest.raises(error, match=message) as caught:
        run_in_process(code, monkeypatch, tmp_path)
    assert "\n" not in str(caught.value)


def test_cancelling_ends_the_building_process(monkeypatch, tmp_path):
    is_cancelled = threading.Event()
    timer = threading.Timer(0.3, is_cancelled.set)
    timer.start()
    started = time.monotonic()
    with pytest.raises(BackendError, match="cancelled"):
        run_in_process("import time; time.sleep(60)", monkeypatch, tmp_path, is_cancelled=is_cancelled)
    assert time.monotonic() - started < 30
    timer.join()


@pytest.mark.skipif(importlib.util.find_spec("torch_tensorrt") is not None, reason="torch-tensorrt is installed")
def test_the_real_building_process_says_what_is_missing():
    with pytest.raises(BackendError, match=r"cannot be built: .*torch_tensorrt"):
        build_in_process(tiny_weights(), spec_for(), CPU, lambda stage, done: None, threading.Event())


def test_the_building_process_ends_with_its_parent(tmp_path):
    code = "import sys, time; from nerdrain_rt.backends import engine_process as e; e._end_with_parent()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, env=environment) as child:
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(60) == 1


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
