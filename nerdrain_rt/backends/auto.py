"""`--backend auto`: on a GPU the fastest for the size of the pictures, and another one until that is ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import torch

from nerdrain_rt.backends.choice import Announce, Candidates, affordable, choose_backend
from nerdrain_rt.backends.preparation import Preparation, Turns
from nerdrain_rt.backends.remembered import Key, bucket_of, recall
from nerdrain_rt.backends.tiled import TiledBackend
from nerdrain_rt.errors import BackendError, first_line
from nerdrain_rt.lanes import is_out_of_memory

if TYPE_CHECKING:
    from nerdrain_rt.backends import Backend

Value = TypeVar("Value")

Prepare = Callable[[tuple[int, int], Turns], Preparation]
"""Begins to make a candidate ready for images of (height, width), in turns with what works on the same device."""


@dataclass
class AutoBackend:
    """Chooses among the candidates when it first sees pictures of about a size, then is that backend.

    Where the answer is not remembered, those in `preparations` are made ready in the background first, once for all
    sizes. That begins with the second picture: it is not worth it for a single one. Until then the first of the
    others works, and nothing is measured.
    """

    candidates: Candidates
    device: torch.device
    dtype: torch.dtype
    """Of the backend in use; before there is one, what is asked for."""
    key: Key
    announce: Announce
    load_seconds: Mapping[str, float] = field(default_factory=dict)
    preparations: Mapping[str, Prepare] = field(default_factory=dict)
    clock: Callable[[], float] = time.perf_counter
    name: str = "auto"
    """Of the backend in use, or as in "eager (until fused is ready)"."""
    multiple_of: int = 16

    def __post_init__(self) -> None:
        self._chosen: dict[int, Backend] = {}
        self._meanwhile: Meanwhile | None = None
        self._waiting: set[int] = set()
        """Sizes that came before candidates were ready."""
        self._begun: dict[str, Preparation] = {}
        self._turns = Turns()

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
        """As the backend for such a size says, or another in use; 0 before one is chosen, which then finds out."""
        known = self._chosen.get(bucket_of(size))
        backends = [known] if known else self._chosen.values()
        return max((backend.bytes_for(size) for backend in backends), default=0)

    def _choose(self, size: tuple[int, int]) -> Backend:
        bucket = bucket_of(size)
        backend = self._chosen.get(bucket) or self._until_ready(size)
        if backend is None:
            backend = self._chosen[bucket] = choose_backend(
                self._loaders(),
                size,
                key=self.key,
                announce=self.announce,
                load_seconds=self.load_seconds,
                clock=self.clock,
            )
            self._meanwhile = None
            chosen = key_of(backend)
            self.preparations, self._begun = _without(chosen, self.preparations), _without(chosen, self._begun)
        self.name, self.dtype = backend.name, backend.dtype
        return backend

    def _until_ready(self, size: tuple[int, int]) -> Backend | None:
        """What works while candidates are made ready; None where there is nothing to wait for, or nothing to work."""
        if not self._is_waiting(size):
            return None
        if self._meanwhile is None:
            loaders = self._loaders()
            quick = {name: loaders[name] for name in self._names() if name not in self.preparations}
            try:
                self._meanwhile = Meanwhile(load_first(quick, self.device, self.announce), self._turns, self.announce)
            except BackendError:
                return None
        self._meanwhile.name = self._meanwhile.backend.name
        if self._begun:
            self._meanwhile.name += f" (until {' and '.join(self._begun)} is ready)"
        return self._meanwhile

    def _is_waiting(self, size: tuple[int, int]) -> bool:
        bucket = bucket_of(size)
        if not self.preparations:
            return False
        if bucket not in self._waiting:
            if recall(self.key, size, self._names()):
                return False
            self._waiting.add(bucket)
        elif not self._begun:
            self._begun = {name: prepare(size, self._turns) for name, prepare in self.preparations.items()}
            self.announce(f"{', '.join(self._begun)}: made ready in the background, once; it may take a minute")
        if not self._begun or not all(preparation.is_over for preparation in self._begun.values()):
            return True
        for name, preparation in self._begun.items():
            if preparation.failure is not None:
                self._leave_out(name, f"{name}: {preparation.failure.removeprefix(f'{name}: ')}")
        self.preparations, self._begun = {}, {}
        return False

    def _names(self) -> list[str]:
        """What `choose_backend` chooses from."""
        return affordable(self.candidates, self.load_seconds)

    def _loaders(self) -> Candidates:
        """The candidates, where those that are in use need no loading."""
        used = [*self._chosen.values(), *([self._meanwhile.backend] if self._meanwhile else [])]
        in_use = {key_of(backend): backend for backend in used}

        def loader(name: str) -> Callable[[], Backend]:
            return (lambda: in_use[name]) if name in in_use else self.candidates[name]

        return {name: loader(name) for name in self.candidates}

    def _drop(self, failed: Backend, error: Exception) -> None:
        """Go on without a candidate that failed."""
        self._chosen = {bucket: backend for bucket, backend in self._chosen.items() if backend is not failed}
        if failed is self._meanwhile:
            self._meanwhile = None
        self._leave_out(key_of(failed), first_line(error))

    def _leave_out(self, name: str, why: str) -> None:
        self.candidates = _without(name, self.candidates)
        if self.candidates:
            self.announce(f"{why}; going on without {name}")


class Meanwhile:
    """A backend that works until a faster one is ready: in tiles where it needs them, which that one may not."""

    multiple_of = 16

    def __init__(self, backend: Backend, turns: Turns, announce: Announce) -> None:
        self.backend = backend
        self.name = backend.name
        self.device = backend.device
        self.dtype = backend.dtype
        self._turns = turns
        self._tiled = TiledBackend(backend, None, warn=announce, first_run=threading.Lock())

    def __call__(self, rainy: torch.Tensor) -> torch.Tensor:
        """B 3 H W in [0, 1] to the residual, float32; computed when it returns, while nothing is measured."""
        with self._turns:
            residual = self._tiled(rainy)
            if self.device.type == "cuda":
                torch.cuda.current_stream(self.device).synchronize()
            return residual

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Nothing that anyone else need care for: it finds out itself."""
        return 0


def load_auto(
    candidates: Candidates,
    device: torch.device,
    dtype: torch.dtype,
    *,
    key: Key,
    announce: Announce,
    load_seconds: Mapping[str, float] | None = None,
    preparations: Mapping[str, Prepare] | None = None,
) -> Backend:
    """What `--backend auto` runs: on a GPU with a choice an AutoBackend, else the first candidate that loads.

    On processors the order is known, so nothing is measured there. Raises BackendError where none loads.
    """
    if device.type == "cuda" and len(candidates) > 1:
        return AutoBackend(candidates, device, dtype, key, announce, load_seconds or {}, preparations or {})
    return load_first(candidates, device, announce)


def load_first(candidates: Candidates, device: torch.device, announce: Announce) -> Backend:
    """The first candidate that loads; raises BackendError where none does."""
    reasons = []
    for name, load in candidates.items():
        try:
            return load()
        except BackendError as error:
            reasons.append(f"{name}: {error}")
            if len(reasons) < len(candidates):
                announce(f"{error}; going on without {name}")
    raise BackendError(f"no backend runs on {device}: {'; '.join(reasons)}")


def key_of(backend: Backend) -> str:
    """The name it was loaded by; what it calls itself may say more after a space."""
    return backend.name.partition(" ")[0]


def _without(name: str, mapping: Mapping[str, Value]) -> dict[str, Value]:
    return {key: value for key, value in mapping.items() if key != name}
