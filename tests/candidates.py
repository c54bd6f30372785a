"""Backends that only pretend to work, for what chooses among them."""

from collections.abc import Callable

import torch

from nerdrain_rt.backends.choice import choose_backend
from nerdrain_rt.backends.remembered import Key
from nerdrain_rt.errors import BackendError
from tests.fakes import FakeBackend

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
