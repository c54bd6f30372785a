"""Plans that end when their time does."""

from __future__ import annotations

import statistics
import time
from itertools import pairwise

import torch

from nerdrain_rt.training.recipe import TrainSettings
from nerdrain_rt.training.workers import Workers

MEASURED_STEPS = 100
MEASURED_SHARE = 0.15
"""Of the time, after which fewer steps have to tell."""
FEWEST_STEPS = 3
WITHIN_STEPS = 0.95
"""Of the time; validations and checkpoints take the rest."""
MOST_STEPS = 10_000_000


class Timetable:
    """Makes a plan as long as there is time for, once some steps have told how long they take.

    The time runs from here on. With several processes all come to the same plan.
    """

    def __init__(self, minutes: float, workers: Workers) -> None:
        self._seconds, self._workers = 60 * minutes, workers
        self._marks = [time.monotonic()]
        self._is_made = False

    def fitted(self, settings: TrainSettings, step: int) -> TrainSettings | None:
        """The plan for the time that is left, for once; to be called after every step."""
        if self._is_made:
            return None
        self._marks.append(time.monotonic())
        first, now = self._marks[1], self._marks[-1]  # the first step of a size of crops compiles
        count = len(self._marks) - 2
        is_long = count >= FEWEST_STEPS and now - first > MEASURED_SHARE * self._seconds
        if not self._workers.any(count >= MEASURED_STEPS or is_long):
            return None
        self._is_made = True
        compiling, *others = (after - before for before, after in pairwise(self._marks))
        later_stages = sum(start > step for start, *_ in settings.crops)
        left = self._seconds - (now - self._marks[0]) - later_stages * compiling
        each, left = self._workers.mean(torch.tensor([statistics.median(others), left], device=self._workers.device))
        size, batch = settings.crop_at(step - 1)
        return settings.lasting(steps_within(settings, step, WITHIN_STEPS * left / each * size * size * batch))


def steps_within(settings: TrainSettings, step: int, pixels: float) -> int:
    """As many steps as a plan can have to train on no more pixels than so many after a step; at least one more."""
    low, high = step + 1, MOST_STEPS
    while low < high:
        middle = (low + high + 1) // 2
        if settings.lasting(middle).pixels_after(step) <= pixels:
            low = middle
        else:
            high = middle - 1
    return low
