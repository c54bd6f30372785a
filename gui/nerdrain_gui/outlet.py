# SPDX-License-Identifier: GPL-3.0-or-later
"""The way from threads to the window, which ends before the window does."""

from __future__ import annotations

import threading

from PyQt6.QtCore import QObject


class Outlet:
    """Emits an object's signals from any thread until it is closed; after Qt has deleted it, that would crash."""

    def __init__(self, owner: QObject) -> None:
        self._owner = owner
        self._lock = threading.Lock()
        self._is_open = True

    def emit(self, signal: str, *values: object) -> None:
        """Emit the signal of that name, or do nothing where nobody listens any more."""
        with self._lock:
            if self._is_open:
                getattr(self._owner, signal).emit(*values)

    def close(self) -> None:
        """From when this returns on, nothing is emitted."""
        with self._lock:
            self._is_open = False
