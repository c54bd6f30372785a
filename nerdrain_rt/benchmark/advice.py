"""What the measured speeds mean: is it real time here, and with which settings."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nerdrain_rt.benchmark.model import ModelRow, Size, size_name

MARGIN = 0.8
"""The part of the measured speed that is counted on; the rest is for the rest of the pipeline."""
SCALE_STEP = 0.05
SMALLEST_SCALE = 0.25
"""Below this a picture's rain is hardly in what the network sees."""
GOALS = {
    "720p30": ((720, 1280), 30),
    "1080p30": ((1080, 1920), 30),
    "1080p60": ((1080, 1920), 60),
    "2160p30": ((2160, 3840), 30),
}
"""Sizes (height, width) and frames per second that one asks for."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Whether one goal is reached, and the settings that reach it."""

    goal: str
    fps: float
    """What the network alone is expected to do at full size."""
    backend: str
    precision: str
    measured_at: Size
    work_scale: float | None
    """The largest that reaches the goal, 1 for full size; None where none does."""

    @property
    def is_real_time(self) -> bool:
        """At full size."""
        return self.work_scale == 1

    @property
    def settings(self) -> str:
        """As options of the command line."""
        scale = f" --work-scale {self.work_scale:g}" if self.work_scale and not self.is_real_time else ""
        return f"--backend {self.backend} --precision {self.precision}{scale}"

    def __str__(self) -> str:
        """One line for a person."""
        fps = f"about {self.fps:.3g} fps" if self.measured_at != GOALS[self.goal][0] else f"{self.fps:.3g} fps"
        if self.is_real_time:
            return f"{self.goal}: yes, {fps} with {self.settings}"
        if self.work_scale:
            return f"{self.goal}: not at full size ({fps}); with {self.settings}"
        return f"{self.goal}: no, {fps} at full size, and too far even at --work-scale {SMALLEST_SCALE:g}"

    def json(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "goal": self.goal,
            "real_time": self.is_real_time,
            "fps": round(self.fps, 4),
            "measured_at": size_name(self.measured_at),
            "backend": self.backend,
            "precision": self.precision,
            "work_scale": self.work_scale,
        }


def advise(rows: Iterable[ModelRow]) -> list[Advice]:
    """An answer for each goal from the fastest row at the size nearest to it; none where nothing was measured.

    Between sizes, the time is taken to grow with the pixels, also with those that a work scale leaves.
    """
    measured = [(row, row.size, row.fps) for row in rows if row.size and row.fps and row.backend != "published"]
    answers = []
    for goal, (size, rate) in GOALS.items() if measured else ():
        pixels = math.prod(size)
        nearest = min((at for _, at, _ in measured), key=lambda at: abs(math.log(math.prod(at) / pixels)))
        row, at, fps = max((entry for entry in measured if entry[1] == nearest), key=lambda entry: entry[2])
        expected = fps * math.prod(at) / pixels
        scale = _work_scale(MARGIN * expected / rate)
        answers.append(Advice(goal, expected, row.backend, row.precision or "auto", at, scale))
    return answers


def _work_scale(share: float) -> float | None:
    """The largest work scale in steps at which `share` of the speed that is needed becomes all of it."""
    steps = math.floor(math.sqrt(share) / SCALE_STEP + 1e-9)
    scale = min(1.0, round(steps * SCALE_STEP, 2))
    return scale if scale >= SMALLEST_SCALE else None
