"""`--backend auto`: measures once what a GPU can run at the size of the pictures, and remembers the fastest."""

from __future__ import annotations

import gc
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

import torch

from nerdrain_rt.backends.remembered import Choice, Key, bucket_of, recall, remember
from nerdrain_rt.errors import BackendError
from nerdrain_rt.lanes import is_out_of_memory

if TYPE_CHECKING:
    from nerdrain_rt.backends import Backend

_log = logging.getLogger(__name__)

Candidates: TypeAlias = "Mapping[str, Callable[[], Backend]]"
"""What to choose from, by name, the one to prefer first; calling one loads it."""
Announce = Callable[[str], None]
"""Takes one line for a person."""

BUDGET_SECONDS = 10.0
"""After this much time no further candidate is begun."""
RUNS = 5


def choose_backend(
    candidates: Candidates,
    size: tuple[int, int],
    *,
    key: Key,
    announce: Announce,
    load_seconds: Mapping[str, float] | None = None,
    budget_seconds: float = BUDGET_SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> Backend:
    """The fastest candidate for images of (height, width): the remembered one, or measured now.

    Those in `load_seconds` (how long loading one takes; quick where it says nothing) come last, and not at all where
    that is beyond the budget. Raises BackendError where none runs, torch.OutOfMemoryError where memory was the reason.
    """
    waits = load_seconds or {}
    quickest_first = sorted(candidates, key=lambda name: waits.get(name, 0.0))
    names = [name for name in quickest_first if waits.get(name, 0.0) <= budget_seconds] or quickest_first[:1]
    refused = {name: f"takes about {waits[name]:.0f} s to start" for name in quickest_first if name not in names}
    if known := recall(key, size, names):
        try:
            backend = candidates[known.backend]()
        except (BackendError, RuntimeError) as error:
            _log.warning("%s: was fastest before, and does not start now: %s", known.backend, error)
        else:
            announce(f"backend {known}, as measured before")
            return backend
    height, width = size
    announce(f"measuring {', '.join(names)} at {width}x{height}, once; making kernels may take a minute")
    contest = _Contest(size, clock, refused)
    deadline = clock() + budget_seconds
    for name in names:
        if contest.best is not None and clock() + waits.get(name, 0.0) > deadline:
            refused[name] = "not tried, the time was over"
            continue
        contest.enter(name, candidates[name])
        release_memory()
    backend, choice = contest.result()
    remember(key, names, choice)
    announce(f"backend {choice}")
    return backend


class _Contest:
    """The backends measured so far; only the fastest stays loaded."""

    def __init__(self, size: tuple[int, int], clock: Callable[[], float], refused: dict[str, str]) -> None:
        self.size = size
        self.clock = clock
        self.refused = refused
        self.milliseconds: dict[str, float] = {}
        self.best: Backend | None = None
        self.best_name = ""
        self._is_out_of_memory = False

    def enter(self, name: str, load: Callable[[], Backend]) -> None:
        """Load and measure one; it is dropped where it fails or is slower than the best."""
        try:
            backend = load()
            milliseconds = self._measure(backend)
        except (BackendError, RuntimeError, MemoryError) as error:
            _log.info("%s: did not run", name, exc_info=True)
            is_memory = is_out_of_memory(error)
            self._is_out_of_memory |= is_memory
            self.refused[name] = "out of memory" if is_memory else _first_line(error)
        else:
            self.milliseconds[name] = milliseconds
            if milliseconds == min(self.milliseconds.values()):
                self.best, self.best_name = backend, name

    def result(self) -> tuple[Backend, Choice]:
        """The fastest; raises what `choose_backend` says."""
        if self.best is None:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.refused.items())
            error = torch.OutOfMemoryError if self._is_out_of_memory else BackendError
            raise error(f"no backend runs here: {reasons}")
        return self.best, Choice(self.best_name, self.size, self.milliseconds, self.refused)

    def _measure(self, backend: Backend) -> float:
        """Milliseconds of the middle one of some runs after one to warm up; of the first where that is too slow."""
        rainy = torch.rand(1, 3, *self.size, device=backend.device)
        self._run(backend, rainy)
        runs = [self._run(backend, rainy)]
        if runs[0] <= min(self.milliseconds.values(), default=math.inf):
            runs += [self._run(backend, rainy) for _ in range(RUNS - 1)]
        return round(median(runs), 3)

    def _run(self, backend: Backend, rainy: torch.Tensor) -> float:
        started = self.clock()
        backend(rainy)
        if backend.device.type == "cuda":
            torch.cuda.synchronize(backend.device)
        return 1000 * (self.clock() - started)


@dataclass
class AutoBackend:
    """Chooses among the candidates when it first sees pictures of about a size, then is that backend."""

    candidates: Candidates
    device: torch.device
    dtype: torch.dtype
    """Of the backend in use; before there is one, what is asked for."""
    key: Key
    announce: Announce
    load_seconds: Mapping[str, float] = field(default_factory=dict)
    clock: Callable[[], float] = time.perf_counter
    name: str = "auto"
    """Of the backend in use."""
    multiple_of: int = 16

    def __post_init__(self) -> None:
        self._chosen: dict[int, Backend] = {}

    def __call__(self, rainy: torch.Tensor) -> torch.Tensor:
        """B 3 H W in [0, 1] to the residual, float32; where a backend fails, by the next best.

        Raises the error of the first that failed where no other does better, as on a GPU that is lost.
        """
        height, width = rainy.shape[-2:]
        first_failure: Exception | None = None
        while True:
            try:
                backend = self._choose((height, width))
            except BackendError as error:
                raise first_failure or error from None
            try:
                return backend(rainy)
            except (BackendError, RuntimeError) as error:
                if is_out_of_memory(error):
                    raise
                first_failure = first_failure or error
                self._drop(backend, error)

    def bytes_for(self, size: tuple[int, int]) -> int:
        """As the backend for such a size says, or another in use; 0 before the first call, which then finds out."""
        known = self._chosen.get(bucket_of(size))
        backends = [known] if known else self._chosen.values()
        return max((backend.bytes_for(size) for backend in backends), default=0)

    def _choose(self, size: tuple[int, int]) -> Backend:
        bucket = bucket_of(size)
        if bucket not in self._chosen:
            self._chosen[bucket] = choose_backend(
                self._loaders(),
                size,
                key=self.key,
                announce=self.announce,
                load_seconds=self.load_seconds,
                clock=self.clock,
            )
        backend = self._chosen[bucket]
        self.name, self.dtype = backend.name, backend.dtype
        return backend

    def _loaders(self) -> Candidates:
        """The candidates, where those that are in use for another size need no loading."""
        in_use = {_key_of(backend): backend for backend in self._chosen.values()}

        def loader(name: str) -> Callable[[], Backend]:
            return (lambda: in_use[name]) if name in in_use else self.candidates[name]

        return {name: loader(name) for name in self.candidates}

    def _drop(self, failed: Backend, error: Exception) -> None:
        """Go on without a candidate that failed."""
        self.candidates = {name: load for name, load in self.candidates.items() if name != _key_of(failed)}
        if self.candidates:
            self.announce(f"{_first_line(error)}; going on without {_key_of(failed)}")
        self._chosen = {bucket: backend for bucket, backend in self._chosen.items() if backend is not failed}


def load_auto(
    candidates: Candidates,
    device: torch.device,
    dtype: torch.dtype,
    *,
    key: Key,
    announce: Announce,
    load_seconds: Mapping[str, float] | None = None,
) -> Backend:
    """What `--backend auto` runs: on a GPU with a choice an AutoBackend, else the first candidate that loads.

    On processors the order is known, so nothing is measured there. Raises BackendError where none loads.
    """
    if device.type == "cuda" and len(candidates) > 1:
        return AutoBackend(candidates, device, dtype, key, announce, load_seconds or {})
    reasons = []
    for name, load in candidates.items():
        try:
            return load()
        except BackendError as error:
            _log.warning("%s", error)
            reasons.append(f"{name}: {error}")
    raise BackendError(f"no backend runs on {device}: {'; '.join(reasons)}")


def _key_of(backend: Backend) -> str:
    """The name it was loaded by; what it calls itself may say more after a space."""
    return backend.name.partition(" ")[0]


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def release_memory() -> None:
    """Give the device back what dropped backends held."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
