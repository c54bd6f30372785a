"""CUDA streams that run beside each other: work is queued in a lane, and lanes wait for each other, not the host."""

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
