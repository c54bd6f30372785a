"""What runs engines, with a TensorRT and CUDA streams and graphs that are made up: an engine doubles its image."""

import ctypes
import enum
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import Tensor

from nerdrain_rt.backends.engine_runtime import DIGEST_BYTES, MOST_LANES, WARM_UP_RUNS, Engine
from nerdrain_rt.errors import BackendError

CPU = torch.device("cpu")
KERNELS = b"kernels made for this GPU"


class Stream:
    """In order: work is done when it is queued. Keeps which streams it waited for."""

    current: "Stream"
    count = 0

    def __init__(self, device: torch.device | None = None) -> None:
        Stream.count += 1
        self.cuda_stream = Stream.count
        self.waited_for: list[Stream] = []
        self.synchronized = 0
        self.recording: list[Context] | None = None

    def wait_stream(self, other: "Stream") -> None:
        self.waited_for.append(other)

    def synchronize(self) -> None:
        assert self.recording is None
        self.synchronized += 1


class Graph:
    """Does again what was done while it was recorded."""

    is_refused = False

    def __init__(self) -> None:
        self.recorded: list[Context] = []

    def capture_begin(self, *, capture_error_mode: str) -> None:
        assert capture_error_mode == "thread_local"
        Stream.current.recording = self.recorded

    def capture_end(self) -> None:
        Stream.current.recording = None
        if self.is_refused:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")

    def replay(self) -> None:
        for context in self.recorded:
            context.run()


class Context:
    """An execution context; `made` are all."""

    made: list["Context"]
    is_capturable = True

    def __init__(self, engine: "Plan") -> None:
        self.engine = engine
        self.addresses: dict[str, int] = {}
        self.memory = self.runs = 0
        self.made.append(self)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        assert name == "rainy"
        self.shape = shape

    def update_device_memory_size_for_shapes(self) -> int:
        return 128

    def set_device_memory(self, address: int, size: int) -> None:
        assert size == 128
        self.memory = address

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def is_stream_capturable(self, stream: int) -> bool:
        return self.is_capturable

    def execute_async_v3(self, stream: int) -> bool:
        if Stream.current.recording is not None and Stream.current.cuda_stream == stream:
            Stream.current.recording.append(self)
        else:
            self.run()
        return True

    def run(self) -> None:
        assert self.memory
        self.runs += 1
        rainy, residual = (self.values(name) for name in ("rainy", "residual"))
        residual.copy_(2 * rainy)

    def values(self, name: str) -> Tensor:
        count = torch.Size(self.shape).numel()
        return torch.frombuffer((ctypes.c_float * count).from_address(self.addresses[name]), dtype=torch.float32)


class Plan:
    """A deserialized engine."""

    num_io_tensors = 2
    context = Context

    def create_runtime_config(self) -> "Config":
        return Config()

    def create_execution_context(self, config: "Config") -> Context | None:
        return None if Runtime.says else self.context(self)

    def get_tensor_name(self, index: int) -> str:
        return ("residual", "rainy")[index]

    def get_tensor_mode(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(name="INPUT" if name == "rainy" else "OUTPUT")


class Config:
    """How TensorRT-RTX makes contexts."""

    def set_execution_context_allocation_strategy(self, strategy: str) -> None:
        assert strategy == "mine"

    def create_runtime_cache(self) -> SimpleNamespace:
        return SimpleNamespace(serialize=lambda: KERNELS, deserialize=Runtime.kernels.append)

    def set_runtime_cache(self, cache: SimpleNamespace) -> None:
        pass


class Runtime:
    """Loads b"plan"; with something in `says`, it makes no contexts."""

    says = ""
    kernels: list[bytes]

    def __init__(self, log: object) -> None:
        self.log = log

    def deserialize_cuda_engine(self, plan: bytes) -> Plan | None:
        if self.says:
            self.log.log(Log.ERROR, self.says)
        elif plan != b"plan":
            self.log.log(Log.ERROR, "Magic tag does not match\nmore")
        return Plan() if plan == b"plan" else None


class Log:
    """TensorRT's."""

    ERROR, INTERNAL_ERROR, INFO = range(3)


@contextmanager
def on(stream: Stream) -> Iterator[None]:
    before, Stream.current = Stream.current, stream
    try:
        yield
    finally:
        Stream.current = before


@pytest.fixture(autouse=True)
def made_up(monkeypatch) -> None:
    trt = ModuleType("tensorrt_rtx")
    trt.Runtime, trt.ILogger = Runtime, Log
    trt.ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="mine")
    trt.CudaGraphStrategy = enum.Enum("CudaGraphStrategy", ["DISABLED"])
    trt.DynamicShapesKernelSpecializationStrategy = enum.Enum("Specialization", ["EAGER"])
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", trt)
    Stream.current, Context.made, Runtime.kernels = Stream(), [], []
    for name, stand_in in {
        "Stream": Stream,
        "CUDAGraph": Graph,
        "stream": on,
        "current_stream": lambda: Stream.current,
        "device": nullcontext,
        "empty_cache": lambda: None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)


def load(jit_path: Path | None = None) -> Engine:
    return Engine(b"plan", CPU, flavour="tensorrt-rtx", jit_path=jit_path)


def image(value: float, size: tuple[int, int] = (16, 32)) -> Tensor:
    return torch.full((1, 3, *size), value)


def test_the_engine_is_recorded_once_and_replayed():
    engine = load()
    first, second = engine(image(1)), engine(image(2))
    assert (first == 2).all()
    assert (second == 4).all()
    (lane,), (context,) = engine.lanes.values(), Context.made
    assert lane.has_graph
    assert context.runs == WARM_UP_RUNS + 2


@pytest.mark.parametrize("why", ["refused", "not capturable"])
def test_an_engine_that_cannot_be_recorded_runs_beside_the_stream_that_calls(monkeypatch, caplog, why):
    monkeypatch.setattr(*((Graph, "is_refused", True) if why == "refused" else (Context, "is_capturable", False)))
    engine = load()
    assert (engine(image(1)) == 2).all()
    Stream.current.waited_for.clear()
    assert (engine(image(3)) == 6).all()
    (lane,) = engine.lanes.values()
    assert not lane.has_graph
    (side,) = Stream.current.waited_for
    assert side.waited_for[-1] is Stream.current
    assert ("runs without a CUDA graph: CUDA error: operation not permitted" in caplog.text) == (why == "refused")


def test_each_stream_and_size_has_a_context_with_memory_of_its_own():
    engine = load()
    for stream in (Stream(), Stream()):
        with on(stream):
            for size in ((16, 32), (32, 16), (16, 32)):
                assert (engine(image(5, size)) == 10).all()
    assert len(Context.made) == 4
    assert len({context.memory for context in Context.made}) == 4
    assert len({address for context in Context.made for address in context.addresses.values()}) == 8


def test_only_the_last_sizes_of_a_stream_are_kept():
    engine, other = load(), Stream()
    with on(other):
        engine(image(1))
    for width in (*range(16, 16 + 16 * MOST_LANES, 16), 16):
        engine(image(1, (16, width)))
    own = Stream.current
    assert own.synchronized == 0
    assert (engine(image(5, (48, 48))) == 10).all()
    assert own.synchronized == 1, "what runs is waited for before its memory is free"
    kept = [size for stream, size in engine.lanes if stream == own.cuda_stream]
    assert kept == [*((16, width) for width in range(48, 16 + 16 * MOST_LANES, 16)), (16, 16), (48, 48)]
    assert (other.cuda_stream, (16, 32)) in engine.lanes, "another stream may be at work"


def test_a_plan_that_does_not_load_is_one_line():
    with pytest.raises(BackendError, match=r"^tensorrt: the engine does not load here: Magic tag does not match$"):
        Engine(b"other", CPU, flavour="tensorrt-rtx")


@pytest.mark.parametrize(
    ("says", "error"),
    [("Requested amount of GPU memory: out of memory", torch.OutOfMemoryError), ("no such kernel", BackendError)],
)
def test_what_keeps_an_engine_from_running_is_told_from_short_memory(monkeypatch, says, error):
    monkeypatch.setattr(Runtime, "says", says)
    with pytest.raises(error, match=f"no context for the engine: {says}"):
        load()(image(1))


def test_an_engine_that_fails_while_it_runs_is_one_line(monkeypatch):
    monkeypatch.setattr(Context, "execute_async_v3", lambda self, stream: False)
    with pytest.raises(BackendError, match=r"^tensorrt: the engine failed to run$"):
        load()(image(1))


def test_kernels_are_kept_whole_beside_the_engine(tmp_path):
    path = tmp_path / "a.jit"
    load(path)(image(1))
    assert path.read_bytes()[DIGEST_BYTES:] == KERNELS
    load(path)
    assert Runtime.kernels == [KERNELS]
    path.write_bytes(path.read_bytes()[:-1])
    load(path)
    assert Runtime.kernels == [KERNELS]


def test_kernels_that_cannot_be_kept_are_done_without(tmp_path, caplog):
    with caplog.at_level(logging.DEBUG):
        assert (load(tmp_path / "nowhere" / "a.jit")(image(1)) == 2).all()
    assert "kernels are not kept" in caplog.text
