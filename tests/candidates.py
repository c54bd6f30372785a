"""Backends that only pretend to work and preparations that only pretend to be made, for what chooses among them."""

from collections.abc import Callable

import torch

from nerdrain_rt.backends.auto import AutoBackend
from nerdrain_rt.backends.choice import choose_backend
from nerdrain_rt.backends.preparation import Turns
from nerdrain_rt.backends.remembered import Key
from nerdrain_rt.errors import BackendError
from tests.fakes import FakeBackend

CPU = torch.device("cpu")
SIZE = (72, 128)
KEY = Key({"device": "Pretended GPU", "torch": "2"}, "48f1", "auto")


class Bench:
    """A clock that only the backends of its making move."""

    def __init__(self) -> None:
        self.now = 100.0
        self.loaded: list[str] = []
        self.runs: list[str] = []
        self.said: list[str] = []
        """Without what is said before measuring."""
        self.begun: list[str] = []

    def say(self, line: str) -> None:
        (self.begun if line.startswith("measuring") else self.said).append(line)

    def candidate(
        self, name: str, milliseconds: float, *, load_seconds: float = 0.0, error: Exception | None = None
    ) -> Callable[[], FakeBackend]:
        """A backend that takes so long for a picture and to load; with an error, one that fails when it runs."""

        def run(rainy: torch.Tensor) -> torch.Tensor:
            self.runs.append(name)
            self.now += milliseconds / 1000
            if error:
                raise error
            return torch.zeros_like(rainy)

        def load() -> FakeBackend:
            self.loaded.append(name)
            self.now += load_seconds
            backend = FakeBackend(run)
            backend.name = name
            return backend

        return load

    def choose(self, *candidates: Callable[[], FakeBackend], names: str, size=SIZE, key=KEY, **options) -> str:
        loaders = dict(zip(names.split(), candidates, strict=True))
        options = {"clock": lambda: self.now, "announce": self.say} | options
        return choose_backend(loaders, size, key=key, **options).name


def refuse(message: str) -> Callable[[], FakeBackend]:
    def load() -> FakeBackend:
        raise BackendError(message)

    return load


class FakePreparation:
    """Is over when it is told to be."""

    def __init__(self, size: tuple[int, int], turns: Turns) -> None:
        self.size = size
        self.turns = turns
        self.is_over = False
        self.failure: str | None = None

    def end(self, failure: str | None = None) -> None:
        self.is_over, self.failure = True, failure


class PreparingAuto:
    """An AutoBackend of eager and of fused, which is to be prepared."""

    def __init__(self, bench: Bench, **candidates: Callable[[], FakeBackend]) -> None:
        self.begun: list[FakePreparation] = []
        self.bench = bench
        both = {"fused": bench.candidate("fused", 16), "eager": bench.candidate("eager", 48)}
        self.backend = AutoBackend(
            both | candidates,
            CPU,
            torch.float16,
            KEY,
            bench.say,
            preparations={"fused": self.prepare},
            clock=lambda: bench.now,
        )

    def prepare(self, size: tuple[int, int], turns: Turns) -> FakePreparation:
        self.begun.append(FakePreparation(size, turns))
        return self.begun[-1]

    def run(self, *sizes: tuple[int, int]) -> list[str]:
        """What each picture was done by."""
        names = []
        for size in sizes or ((64, 64),):
            self.backend(torch.rand(1, 3, *size))
            names.append(self.backend.name)
        return names
