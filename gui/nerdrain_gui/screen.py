# SPDX-License-Identifier: GPL-3.0-or-later
"""The last frame on its way to the screen: made ready in a thread, the newest only, at the display's rate."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from nerdrain_gui.picture import Picture, Wanted, make_picture

if TYPE_CHECKING:
    from nerdrain_rt.frame import Frame

_log = logging.getLogger(__name__)
DISPLAY_RATE = 60


@dataclass(frozen=True, slots=True)
class Pair:
    """A frame before and after, how the picture is turned, and the width of its samples to their height."""

    rainy: Frame
    clean: Frame
    rotation: int = 0
    aspect: Fraction = Fraction(1)
    is_derained: bool = True
    """False while the network has not come so far: the frame is shown as it is."""


class Screen:
    """Turns the newest pair into a picture for the window; `tell` is called in its thread when there is one.

    Neither the network nor the window waits for it: a pair that comes before the last one was taken replaces it.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._changed = threading.Condition()
        self._pair: Pair | None = None
        self._wanted = Wanted()
        self._picture: Picture | None = None
        self._is_due = self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="screen", daemon=True)
        self._thread.start()

    @property
    def pair(self) -> Pair | None:
        """The newest frame."""
        return self._pair

    def show(self, pair: Pair | None) -> None:
        """Show this from now on; nothing for None."""
        with self._changed:
            self._pair = pair
            self._picture = None
            self._is_due = pair is not None
            self._changed.notify_all()

    def want(self, wanted: Wanted) -> None:
        """Make pictures like this from now on, the one at hand as well."""
        with self._changed:
            if wanted != self._wanted:
                self._wanted = wanted
                self._is_due = self._pair is not None
                self._changed.notify_all()

    def take(self) -> Picture | None:
        """The newest picture, once."""
        with self._changed:
            picture, self._picture = self._picture, None
            self._changed.notify_all()
            return picture

    def shut_down(self, timeout_seconds: float) -> bool:
        """End the thread; whether it did in time."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_stopping or (self._is_due and self._picture is None))
                if self._is_stopping:
                    return
                pair, wanted, self._is_due = self._pair, self._wanted, False
            if pair is None:
                continue
            if not pair.is_derained:
                wanted = replace(wanted, view="clean")
            started = time.monotonic()
            try:
                picture = make_picture(pair.rainy.picture, pair.clean.picture, wanted, pair.rotation, pair.aspect)
            except Exception:
                _log.warning("a frame could not be shown", exc_info=True)
                continue
            with self._changed:
                if self._pair is None:
                    continue
                self._picture = picture
            self._tell()
            time.sleep(max(0.0, 1 / DISPLAY_RATE - (time.monotonic() - started)))
