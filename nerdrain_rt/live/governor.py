"""Holds a latency by working at a smaller scale."""

from __future__ import annotations

from collections import deque

from nerdrain_rt.live.figures import WorkScaleStep

WORK_SCALES = (1.0, 0.75, 0.5, 0.375, 0.25)
WINDOW = 8
"""Frames whose median is held against the budget."""
SLOW_WINDOW = 3
SLOW_SECONDS = 2.0
"""So few are enough where they took so long."""
SETTLING = 2
"""Frames after a step that do not count: backends get ready for the new size."""
ROOM = 0.8
"""The share of the budget that the next larger scale must be expected to stay below."""
CALM_SECONDS = 3.0
"""How long there must be room before the scale goes up; doubled by each step up that had to be taken back."""
LONGEST_CALM_SECONDS = 60.0


class Governor:
    """Holds a latency budget by the work scale: down at once when the median is above it, up when there is room.

    `limit` is the scale the user wants, above which it never goes. The network's part of the latency is taken to
    grow with the area.
    """

    def __init__(self, budget_ms: float, limit: float = 1.0) -> None:
        self._budget = budget_ms
        self._scales = [limit * scale for scale in WORK_SCALES]
        self._index = 0
        self._window: deque[float] = deque(maxlen=WINDOW)
        self._settling = SETTLING
        self._began = 0.0
        self._calm = CALM_SECONDS
        self._roomy_since: float | None = None
        self._went_up_at: float | None = None

    @property
    def scale(self) -> float:
        """The work scale to use."""
        return self._scales[self._index]

    @property
    def limit(self) -> float:
        """The largest scale it may choose."""
        return self._scales[0]

    @property
    def is_at_its_end(self) -> bool:
        """Whether there is no smaller scale."""
        return self._index == len(self._scales) - 1

    def update(self, latency_ms: float, now: float) -> WorkScaleStep | None:
        """Take in the latency of a frame at `now` seconds; the step where the scale is another from here on."""
        if self._settling:
            self._settling -= 1
            return None
        if not self._window:
            self._began = now
        self._window.append(latency_ms)
        is_slow = now - self._began >= SLOW_SECONDS
        if len(self._window) < (SLOW_WINDOW if is_slow else WINDOW):
            return None
        median = sorted(self._window)[len(self._window) // 2]
        if median > self._budget:
            self._roomy_since = None
            return None if self.is_at_its_end else self._step(1, median, now)
        if self._index == 0 or self._expected_above(median) > ROOM * self._budget:
            self._roomy_since = None
            return None
        self._roomy_since = now if self._roomy_since is None else self._roomy_since
        return self._step(-1, median, now) if now - self._roomy_since >= self._calm else None

    def _expected_above(self, median: float) -> float:
        """The latency at the next larger scale."""
        return median * (self._scales[self._index - 1] / self.scale) ** 2

    def _step(self, direction: int, median: float, now: float) -> WorkScaleStep:
        if direction < 0:
            self._went_up_at = now
        elif self._went_up_at is not None:
            is_taken_back = now - self._went_up_at < self._calm
            self._calm = min(2 * self._calm, LONGEST_CALM_SECONDS) if is_taken_back else CALM_SECONDS
            self._went_up_at = None
        self._index += direction
        self._settling = SETTLING
        self._window.clear()
        self._roomy_since = None
        return WorkScaleStep(now, self.scale, median)
