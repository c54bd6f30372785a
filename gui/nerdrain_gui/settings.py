# SPDX-License-Identifier: GPL-3.0-or-later
"""What the window remembers from one time to the next."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from PyQt6.QtCore import QByteArray, QSettings

RECENT = 10


@dataclass
class Settings:
    """Choices of the user; read once at the start, written when the window closes."""

    theme: str = "system"
    page: int = 0
    geometry: QByteArray = field(default_factory=QByteArray)
    view: str = "wipe"
    shows_figures: bool = True
    is_looping: bool = True
    strength: float = 1.0
    work_scale: float = 1.0
    compares_frames: bool = True
    device: str = "auto"
    backend: str = "auto"
    recent: list[str] = field(default_factory=list)
    last_folder: str = ""
    output_folder: str = ""
    codec: str = ""
    file_strength: float = 1.0
    file_work_scale: float = 1.0
    file_compares_frames: bool = True
    decodes_on_gpu: bool = False

    @classmethod
    def read(cls) -> Settings:
        """What was written last; the default for what is missing or is not of its kind."""
        stored = QSettings()
        settings = cls()
        for item in fields(cls):
            default = getattr(settings, item.name)
            setattr(settings, item.name, _as_kind(stored.value(item.name, default), default))
        return settings

    def write(self) -> None:
        """Keep everything for the next time."""
        stored = QSettings()
        for item in fields(self):
            stored.setValue(item.name, getattr(self, item.name))
        stored.sync()

    def remember(self, source: str) -> None:
        """Put a source at the top of the recent ones."""
        self.recent = [source, *(other for other in self.recent if other != source)][:RECENT]


def _as_kind(value: Any, default: Any) -> Any:
    """The stored value as the default's type; INI files hand back text, and one text for a list of one."""
    try:
        if isinstance(default, bool):
            return value if isinstance(value, bool) else str(value).lower() == "true"
        if isinstance(default, list):
            return [str(item) for item in ([value] if isinstance(value, str) else value or [])]
        if isinstance(default, QByteArray):
            return value if isinstance(value, QByteArray) else default
        return type(default)(value)
    except (TypeError, ValueError):
        return default
