"""Makes the fused kernels in a process of its own, while frames go on: `python -m nerdrain_rt.backends.preparation`.

Triton keeps on disk what it compiles and how it tunes, so that this one then starts at once. A thread would hold
Python's global lock for much of the time, and Python aborts where it ends while a thread is inside the compiler.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Any, Protocol, TextIO

import torch

from nerdrain_rt.errors import BackendError, first_line
from nerdrain_rt.model.net import NetConfig

_log = logging.getLogger(__name__)

MEASURE, MEASURED = "measure\n", "measured\n"
"""What the process writes before it measures, when it then waits for a line, and afterwards."""


class Turns:
    """A lock for who keeps coming back: whoever waits for it gets it before it is taken again."""

    def __init__(self) -> None:
        self._door = threading.Lock()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._door:
            self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()


class Preparation(Protocol):
    """Something slow that is made ready in the background."""

    @property
    def is_over(self) -> bool:
        """Whether it is done, or has failed."""

    @property
    def failure(self) -> str | None:
        """Why it has failed, in one line; None where it has not."""


class ProcessPreparation:
    """What a command does that asks for a turn before each measurement; one at a time, ended when this is dropped."""

    def __init__(self, command: list[str], turns: Turns) -> None:
        self._work = work = _Work(command, turns)
        weakref.finalize(self, work.end)
        threading.Thread(target=work.run, name="preparation", daemon=True).start()

    @property
    def is_over(self) -> bool:
        """Whether the command has ended."""
        return self._work.result.done()

    @property
    def failure(self) -> str | None:
        """Why it has failed, in one line; None where it has not, or not yet."""
        error = self._work.result.exception() if self.is_over else None
        return None if error is None else str(error)


def prepare_fused(
    config: NetConfig, device: torch.device, dtype: torch.dtype, size: tuple[int, int], turns: Turns
) -> Preparation:
    """Make the kernels of such a network for images of (height, width), measuring in turns with work on that GPU."""
    request = {"config": dataclasses.asdict(config), "gpu": device.index or 0, "dtype": str(dtype), "size": size}
    return ProcessPreparation([sys.executable, "-m", __name__, json.dumps(request)], turns)


class _Work:
    """What the thread of a preparation does: it only waits, so that it may be left behind."""

    one_at_a_time = threading.Lock()

    def __init__(self, command: list[str], turns: Turns) -> None:
        self.result: Future[None] = Future()
        self._command = command
        self._turns = turns
        self._process: subprocess.Popen[str] | None = None
        self._is_ended = threading.Event()

    def run(self) -> None:
        try:
            with self.one_at_a_time:
                self._run_process()
        except Exception as error:
            self.result.set_exception(error)
        else:
            self.result.set_result(None)

    def end(self) -> None:
        self._is_ended.set()
        if self._process is not None:
            self._process.kill()

    def _run_process(self) -> None:
        if self._is_ended.is_set():
            return
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with (
            tempfile.TemporaryFile() as log,
            subprocess.Popen(  # noqa: S603
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, text=True
            ) as process,
        ):
            self._process = process
            if self._is_ended.is_set():  # while it was started
                process.kill()
            assert process.stdin is not None
            assert process.stdout is not None
            reason = ""
            while line := process.stdout.readline():
                if line == MEASURE:
                    with self._turns, suppress(BrokenPipeError):
                        os.write(process.stdin.fileno(), b"go\n")  # unlike `write` leaves nothing for `close`
                        process.stdout.readline()
                else:
                    reason = line.strip()
            code = process.wait()
            log.seek(0)
            words = log.read().decode(errors="replace").strip()
        _log.debug("preparation: %s", words)
        if code:
            last = words.splitlines()[-1] if words else "it said nothing"
            raise BackendError(reason or f"its process ended with exit code {code}: {last}")


def main() -> None:
    """Do what the request says; a failure is one line on stdout."""
    request = json.loads(sys.argv[1])
    granted = threading.Semaphore(0)
    code = 0
    with os.fdopen(os.dup(1), "w", buffering=1) as channel:
        os.dup2(2, 1)  # what libraries print goes to the log
        threading.Thread(target=_listen, args=(granted,), daemon=True).start()
        if hasattr(os, "nice"):
            os.nice(10)
        try:
            _prepare(request, channel, granted)
        except Exception as error:
            _log.exception("preparation failed")
            channel.write(first_line(error) + "\n")
            code = 1
    os._exit(code)  # the thread that listens does not end


def _prepare(request: dict[str, Any], channel: TextIO, granted: threading.Semaphore) -> None:
    from nerdrain_rt.backends.fused import FusedBackend
    from nerdrain_rt.backends.kernels import launch
    from nerdrain_rt.model.net import NerdRain

    launch.measuring = partial(_turn, channel, granted)
    config: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in request["config"].items()
    }
    net = NerdRain(NetConfig(**config)).eval().requires_grad_(False)
    dtype = getattr(torch, request["dtype"].removeprefix("torch."))
    torch.cuda.set_device(request["gpu"])
    FusedBackend(net, torch.device("cuda", request["gpu"]), dtype).prepare(request["size"])


@contextmanager
def _turn(channel: TextIO, granted: threading.Semaphore) -> Iterator[None]:
    channel.write(MEASURE)
    granted.acquire()
    try:
        yield
    finally:
        channel.write(MEASURED)


def _listen(granted: threading.Semaphore) -> None:
    """Each line grants a turn; the end means that the process that started this one has ended."""
    for _ in sys.stdin:
        granted.release()
    os._exit(1)


if __name__ == "__main__":
    main()
