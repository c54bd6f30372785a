"""Work side by side on one device: CUDA streams that wait for each other and not for the host, threads on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

Mark = torch.cuda.Event | None
"""A point in a lane's work; None where work is done when the call returns, as on a CPU."""


class Lane:
    """A stream of a device of its own; on devices that are not CUDA, work is simply done."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    @contextmanager
    def after(self, mark: Mark = None) -> Iterator[None]:
        """Queue what is called inside here, to run when the work before `mark` is done."""
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            if self._stream is not None and mark is not None:
                self._stream.wait_event(mark)
            yield

    def mark(self) -> Mark:
        """The end of what is queued so far."""
        return None if self._stream is None else self._stream.record_event()


def wait(mark: Mark) -> None:
    """Let the host wait until the work before `mark` is done."""
    if mark is not None:
        mark.synchronize()


@contextmanager
def in_one_thread(count: int) -> Iterator[None]:
    """Let PyTorch compute in the calling thread alone, and in `count` threads again afterwards.

    Every thread that computes in parallel gets a pool of its own, and as soon as the pools together have more threads
    than there are cores, OpenMP lets them sleep instead of spin: a network of many small steps then takes up to 1.6
    times as long. So only the thread that runs the network has one.
    """
    use_threads(1)
    try:
        yield
    finally:
        use_threads(count)


def use_threads(count: int) -> None:
    """Let PyTorch compute in `count` threads where the calling thread asks it to."""
    torch.get_num_threads()  # Else the thread takes the count that was last set anywhere when it first computes.
    torch.set_num_threads(count)
