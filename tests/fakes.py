"""Stand-ins for the parts that are slow: a backend without a network."""

import time
from collections.abc import Callable

import torch
from torch import Tensor


class FakeBackend:
    """A backend whose residual is a function of the rainy image, after `seconds` of pretended work."""

    name = "fake"
    device = torch.device("cpu")
    dtype = torch.float32
    multiple_of = 16

    def __init__(self, residual: Callable[[Tensor], Tensor] = torch.zeros_like, *, seconds: float = 0.0) -> None:
        self.residual = residual
        self.seconds = seconds
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, rainy: Tensor) -> Tensor:
        self.shapes.append(tuple(rainy.shape))
        time.sleep(self.seconds)
        return self.residual(rainy)

    def bytes_for(self, size: tuple[int, int]) -> int:
        return size[0] * size[1]
