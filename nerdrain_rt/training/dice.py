"""Random numbers for rain: all of them from one generator, so that a seed gives the same rain."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor

from nerdrain_rt.training.looks import Range

_T = TypeVar("_T")


class Dice:
    """Random numbers of one generator, on its own device."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.device = generator.device

    def chance(self, share: float) -> bool:
        """True with this probability."""
        return self.uniform(0, 1) < share

    def uniform(self, low: float, high: float) -> float:
        """One number from `low` up to `high`."""
        return low + (high - low) * float(self.many(1))

    def within(self, limits: Range) -> float:
        """Log-uniform within the limits; uniform where they start at 0."""
        low, high = limits
        return math.exp(self.uniform(math.log(low), math.log(high))) if low > 0 else self.uniform(low, high)

    def pick(self, *shares: tuple[_T, float]) -> _T:
        """One of the items, with a probability proportional to its share; one of share 0 never."""
        left = self.uniform(0, sum(share for _, share in shares))
        possible = [(item, share) for item, share in shares if share > 0]
        for item, share in possible:
            left -= share
            if left < 0:
                return item
        return possible[-1][0]

    def many(self, count: int) -> Tensor:
        """N numbers from 0 up to 1."""
        return torch.rand(count, generator=self.generator, device=self.device)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, generator=self.generator, device=self.device)
