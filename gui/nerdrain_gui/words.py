# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures as a person reads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PyQt6.QtCore import QCoreApplication, QLocale, QUrl

from nerdrain_gui.jobs import State

if TYPE_CHECKING:
    from nerdrain_gui.graphics import GraphicsLoad

translate = QCoreApplication.translate


def time_in_words(seconds: float) -> str:
    """`m:ss`, or `h:mm:ss` from an hour on."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def clock_in_words(seconds: float, duration: float) -> str:
    """A position; with tenths in what is shorter than a minute."""
    return f"0:{seconds:04.1f}" if duration < 60 else time_in_words(seconds)


def rate_in_words(fps: float) -> str:
    """Frames a second, with two decimals where there is less than one."""
    return QLocale().toString(fps, "f", 1 if fps >= 1 else 2)


def latency_in_words(milliseconds: float) -> str:
    """Milliseconds, or seconds from one on."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    return QLocale().toString(milliseconds / 1000, "f", 1) + " s"


def bytes_in_words(count: int) -> str:
    """In the unit that fits, as the user's language writes it."""
    return QLocale().formattedDataSize(count, 1, QLocale.DataSizeFormat.DataSizeTraditionalFormat)


def source_in_words(name: str) -> str:
    """A file without its folder, an address without its password, and anything else as it is."""
    if name == "test":
        return translate("Words", "Test picture")
    if "://" not in name:
        return Path(name).name or name
    from nerdrain_rt.media.live_stream import without_password

    return QUrl(without_password(name)).toDisplayString() or name.partition("://")[0] + "://…"


def state_in_words(state: State) -> str:
    """The state as a person says it."""
    return {
        State.WAITING: translate("Words", "Waiting"),
        State.RUNNING: translate("Words", "Working"),
        State.PAUSED: translate("Words", "Paused"),
        State.DONE: translate("Words", "Done"),
        State.FAILED: translate("Words", "Failed"),
        State.CANCELLED: translate("Words", "Cancelled"),
    }[state]


def graphics_in_words(load: GraphicsLoad) -> str:
    """How busy a graphics card is, and how full."""
    words = translate("Words", "{0} of {1}").format(bytes_in_words(load.memory_used), bytes_in_words(load.memory_total))
    return words if load.utilization is None else f"{round(100 * load.utilization)} %  ·  {words}"
