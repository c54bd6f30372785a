"""Work side by side: CUDA streams that wait for each other and not for the host, threads on a CPU, several devices."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar

import torch

from nerdrain_rt.errors import BackendError

Item = TypeVar("Item")
Result = TypeVar("Result")
Mark = torch.cuda.Event | None
"""A point in a lane's work; None where work is done when the call returns, as on a CPU."""

OUT_OF_MEMORY = re.compile(r"out of memory|_ALLOC_FAILED")
OF_A_GPU = re.compile(r"\bCUDA\b|\bHIP\b|\bMPS\b|CUBLAS_|CUDNN_|cuDNN|Triton Error")
"""In the messages of errors that come as plain RuntimeError from the libraries beneath PyTorch."""
OF_A_PROCESSOR = "DefaultCPUAllocator"
"""In PyTorch's message where the memory of a processor is short."""


class Lane:
    """A stream of a device of its own; on devices that are not CUDA, work is simply done."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            with gpu_failures(device):
                # PyTorch has 32 streams of each priority and begins with the first again: a graph is recorded in one of
                # the others, which no lane is at work in. These steps are short and go before the network's.
                self._stream = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]

    @property
    def is_asynchronous(self) -> bool:
        """Whether work is queued for the device, copies from and to pinned memory too, and `wait` waits for it."""
        return self._stream is not None

    @contextmanager
    def after(self, mark: Mark = None) -> Iterator[None]:
        """Queue what is called inside here, to run when the work before `mark` is done.

        Raises BackendError where the GPU fails, or has failed in what was queued before.
        """
        with gpu_failures(self._device), torch.inference_mode(), torch.cuda.stream(self._stream):
            if self._stream is not None and mark is not None:
                self._stream.wait_event(mark)
            yield

    def decoder_mark(self) -> Mark:
        """The end of what FFmpeg has queued on this device so far; it uses the default stream."""
        with gpu_failures(self._device):
            return None if self._stream is None else torch.cuda.default_stream(self._device).record_event()

    def mark(self) -> Mark:
        """The end of what is queued so far."""
        with gpu_failures(self._device):
            return None if self._stream is None else self._stream.record_event()

    def wait(self) -> None:
        """Let the host wait until all that is queued so far is done; raises BackendError where the GPU failed."""
        if self._stream is not None:
            with gpu_failures(self._device):
                # The thread sleeps meanwhile, else it would keep a core busy.
                mark = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
                mark.record(self._stream)
                mark.synchronize()


@contextmanager
def gpu_failures(device: torch.device) -> Iterator[None]:
    """Raise what a GPU or its driver says as a BackendError of one line; every other error passes."""
    try:
        yield
    except RuntimeError as error:
        if not has_gpu_failed(error):
            raise
        if is_out_of_memory(error):
            raise BackendError(f"{device}: out of memory; close what else uses the GPU, or try --work-scale") from error
        raise BackendError(f"{device}: the GPU failed: {str(error).splitlines()[0]}") from error


def has_gpu_failed(error: BaseException) -> bool:
    """Whether an error is from a GPU or its driver, its memory included."""
    if isinstance(error, torch.AcceleratorError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and bool(OF_A_GPU.search(str(error)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was too short, whichever library says so."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, RuntimeError) and OF_A_PROCESSOR in str(error):
        return True
    return has_gpu_failed(error) and bool(OUT_OF_MEMORY.search(str(error)))


class Shares(Generic[Item]):
    """An iterable shared out among takers in threads of their own; each gets the next item as soon as it is free.

    A taker gives one result for each of its items, in their order. So a slow device gets fewer frames than a fast one.
    """

    def __init__(self, source: Iterable[Item]) -> None:
        self._source = iter(source)
        self._lock = threading.Lock()
        self._takers: SimpleQueue[int] = SimpleQueue()
        """Whose turn it is to give a result."""

    def of(self, taker: int) -> Iterator[Item]:
        """The items of one taker, counted from 0."""
        while True:
            with self._lock:
                self._takers.put(taker)  # before the item, so that its end or error is met in its place too
                try:
                    item = next(self._source)
                except StopIteration:
                    return
            yield item

    def in_order(self, results: Sequence[Iterator[Result]]) -> Iterator[Result]:
        """The results of all takers in the order of the items; a taker's error after the results before it."""
        while True:
            try:
                result = next(results[self._takers.get()])
            except StopIteration:
                return
            yield result


_computing_alone: list[int] = []
"""The thread count of each thread that is in `in_one_thread`."""
_counting = threading.Lock()


@contextmanager
def in_one_thread(count: int) -> Iterator[None]:
    """Let PyTorch compute in the calling thread alone, and in `count` threads again afterwards.

    Every thread that computes in parallel gets a pool of its own, and as soon as the pools together have more threads
    than there are cores, OpenMP lets them sleep instead of spin: a network of many small steps then takes up to 1.6
    times as long. So only the thread that runs the network has one.
    """
    with _counting:
        _computing_alone.append(count)
        use_threads(1)
    try:
        yield
    finally:
        with _counting:
            use_threads(count)
            _computing_alone.remove(count)


def thread_count() -> int:
    """How many threads PyTorch computes in, which tells a new thread 1 itself while another is in `in_one_thread`."""
    with _counting:
        return max([torch.get_num_threads(), *_computing_alone])


def use_threads(count: int) -> None:
    """Let PyTorch compute in `count` threads where the calling thread asks it to."""
    torch.get_num_threads()  # Else the thread takes the count that was last set anywhere when it first computes.
    torch.set_num_threads(count)
