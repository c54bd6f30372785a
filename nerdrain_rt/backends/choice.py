"""Measures once what a GPU can run at the size of the pictures, and remembers the fastest."""

from __future__ import annotations

import gc
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

import torch

from nerdrain_rt.backends.remembered import Choice, Key, recall, remember
from nerdrain_rt.errors import BackendError, first_line
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
    names = affordable(candidates, waits, budget_seconds)
    refused = {name: f"takes about {waits[name]:.0f} s to start" for name in candidates if name not in names}
    if known := recall(key, size, names):
        try:
            backend = candidates[known.backend]()
        except (BackendError, RuntimeError) as error:
            _log.warning("%s: was fastest before, and does not start now: %s", known.backend, error)
        else:
            announce(f"backend {known}, as measured before")
            return backend
    height, width = size
    announce(f"measuring {', '.join(names)} at {width}x{height}, once")
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


def affordable(
    candidates: Iterable[str], load_seconds: Mapping[str, float], budget_seconds: float = BUDGET_SECONDS
) -> list[str]:
    """Those that load within the budget, the quickest first; where none does, the quickest."""
    quickest_first = sorted(candidates, key=lambda name: load_seconds.get(name, 0.0))
    return [name for name in quickest_first if load_seconds.get(name, 0.0) <= budget_seconds] or quickest_first[:1]


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
            self.refused[name] = "out of memory" if is_memory else first_line(error)
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


def release_memory() -> None:
    """Give the device back what dropped backends held."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
