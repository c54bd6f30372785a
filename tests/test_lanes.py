"""What is shared out among several threads, and what a GPU's failures become."""

import threading
import time
from contextlib import ExitStack

import pytest
import torch

from nerdrain_rt.errors import BackendError
from nerdrain_rt.lanes import Lane, Shares, gpu_failures, in_one_thread, is_out_of_memory, thread_count
from nerdrain_rt.stages import Prefetch

DEVICE = torch.device("cuda:1")
ENDS = 10.0
"""Seconds that no test takes unless it fails."""


def squares(items, *, seconds=0.0):
    for item in items:
        time.sleep(seconds)
        yield item * item


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
@pytest.mark.parametrize("takers", [1, 2, 3])
def test_results_come_in_the_order_of_the_items(takers, count):
    shares = Shares(range(count))
    with ExitStack() as stages:
        results = [
            stages.enter_context(Prefetch(squares(shares.of(taker), seconds=0.001 * taker))) for taker in range(takers)
        ]
        assert list(shares.in_order(results)) == [item * item for item in range(count)]


def test_a_taker_that_is_busy_leaves_the_items_to_the_others():
    is_over = threading.Event()
    taken = ([], [])

    def work(taker):
        for item in shares.of(taker):
            taken[taker].append(item)
            if taker == 0 and item != 0:
                is_over.wait(ENDS)
            yield item

    shares = Shares(range(1000))
    with Prefetch(work(0)) as slow:
        assert next(slow) == 0
        assert list(work(1)) == [item for item in range(1000) if item not in taken[0]]
        is_over.set()
    assert len(taken[1]) > 990


def test_an_error_of_the_source_comes_after_the_results_before_it():
    def source():
        yield from range(5)
        raise ValueError("torn")

    shares = Shares(source())
    results = []
    with (
        Prefetch(squares(shares.of(0), seconds=0.01)) as slow,
        Prefetch(squares(shares.of(1))) as quick,
        pytest.raises(ValueError, match="torn"),
    ):
        results.extend(shares.in_order([slow, quick]))
    assert results == [0, 1, 4, 9, 16]


def test_an_error_of_a_taker_comes_in_the_place_of_its_item():
    def work(taker):
        for item in shares.of(taker):
            if item == 7:
                raise ValueError("seven")
            yield item

    shares = Shares(range(20))
    results = []
    with Prefetch(work(0)) as one, Prefetch(work(1)) as other, pytest.raises(ValueError, match="seven"):
        results.extend(shares.in_order([one, other]))
    assert results == list(range(7))


def test_a_new_thread_counts_the_threads_of_all_while_another_computes_alone():
    is_inside, is_over = threading.Event(), threading.Event()
    counts = []

    def compute_alone():
        with in_one_thread(3):
            is_inside.set()
            is_over.wait(ENDS)

    def count_threads():
        assert is_inside.wait(ENDS)
        counts.append(thread_count())
        is_over.set()

    before = torch.get_num_threads()
    threads = [threading.Thread(target=compute_alone), threading.Thread(target=count_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.set_num_threads(before)
    assert counts == [3]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors may come later"),
            "cuda:1: the GPU failed: CUDA error: unspecified launch failure",
        ),
        (
            RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"),
            "cuda:1: the GPU failed: Triton Error [CUDA]: an illegal memory access was encountered",
        ),
        (
            RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
            "cuda:1: the GPU failed: cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
            "cuda:1: out of memory; close what else uses the GPU, or try --work-scale",
        ),
        (
            torch.AcceleratorError("CUDA error: out of memory\nmore"),
            "cuda:1: out of memory; close what else uses the GPU, or try --work-scale",
        ),
    ],
)
def test_what_a_gpu_says_becomes_one_line(error, message):
    with pytest.raises(BackendError) as caught, gpu_failures(DEVICE):
        raise error
    assert str(caught.value) == message
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [RuntimeError("sizes do not match, on cuda:0"), ValueError("CUDA error"), BackendError("fused: no")]
)
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as caught, gpu_failures(DEVICE):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("any"), True),
        (MemoryError(), True),
        (torch.AcceleratorError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("Triton Error [CUDA]: out of memory"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8.12 GiB, other allocations: 1 GiB)"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), False),
        (RuntimeError("ran out of memory in our own words"), False),
        (ValueError("CUDA error: out of memory"), False),
    ],
)
def test_memory_is_told_from_other_failures(error, expected):
    assert is_out_of_memory(error) == expected


def test_a_lane_tells_of_a_gpu_that_fails_inside_it():
    lane = Lane(torch.device("cpu"))
    with pytest.raises(BackendError, match="cpu: the GPU failed: CUDA error: the launch timed out"), lane.after():
        raise torch.AcceleratorError("CUDA error: the launch timed out")


class PooledStream:
    """A stream as PyTorch gives them: one of 32 of each priority, after the last the first again."""

    given: list[tuple[int, int]]

    def __init__(self, device: torch.device | None = None, priority: int = 0) -> None:
        number = sum(priority == other for other, _ in self.given) % 32
        self.identity = priority, number
        self.given.append(self.identity)


class SleepingEvent:
    """An event that keeps what was done with it."""

    made: list["SleepingEvent"]

    def __init__(self, *, blocking: bool = False) -> None:
        self.is_sleeping, self.calls = blocking, []
        self.made.append(self)

    def record(self, stream: PooledStream) -> None:
        self.calls.append(stream.identity)

    def synchronize(self) -> None:
        self.calls.append("waited")


@pytest.fixture
def streams(monkeypatch) -> type[PooledStream]:
    PooledStream.given, SleepingEvent.made = [], []
    monkeypatch.setattr(torch.cuda, "Stream", PooledStream)
    monkeypatch.setattr(torch.cuda, "Event", SleepingEvent)
    return PooledStream


def test_no_lane_works_in_a_stream_that_a_graph_is_recorded_in(streams):
    lanes = [Lane(DEVICE) for _ in range(4)]
    (*of_lanes,) = streams.given
    recording = {streams().identity for _ in range(100)}
    assert len(lanes) == len(set(of_lanes)) == 4
    assert recording.isdisjoint(of_lanes)


def test_waiting_for_a_lane_leaves_the_processor_to_others(streams):
    Lane(DEVICE).wait()
    (event,) = SleepingEvent.made
    assert event.is_sleeping
    assert event.calls == [streams.given[0], "waited"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_no_lane_works_in_a_stream_that_a_graph_is_recorded_in():
    lane = Lane(torch.device("cuda", 0))
    with lane.after():
        of_lane = torch.cuda.current_stream().cuda_stream
        doubled = torch.ones(1000, device="cuda") * 2
    lane.wait()
    assert doubled.sum().item() == 2000
    assert of_lane not in {torch.cuda.Stream().cuda_stream for _ in range(100)}
