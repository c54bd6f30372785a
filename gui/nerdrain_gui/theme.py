# SPDX-License-Identifier: GPL-3.0-or-later
"""The light and the dark look, following the system or chosen."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from string import Template
from typing import Literal

from PyQt6.QtCore import QObject, Qt, pyqtSignal
from PyQt6.QtGui import QColor, QPalette
from PyQt6.QtWidgets import QApplication

from nerdrain_gui.icons import FOLDER

Choice = Literal["system", "light", "dark"]
CHOICES: tuple[Choice, ...] = ("system", "light", "dark")
SCHEMES = {"system": Qt.ColorScheme.Unknown, "light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark}


@dataclass(frozen=True, slots=True)
class Colors:
    """Every colour of the window, as #rrggbb."""

    window: str
    panel: str
    surface: str
    control: str
    hover: str
    line: str
    text: str
    muted: str
    faint: str
    accent: str
    accent_hover: str
    accent_soft: str
    on_accent: str
    good: str
    warn: str
    bad: str
    stage: str


DARK = Colors(
    window="#15181d", panel="#101317", surface="#1b1f26", control="#262b34", hover="#303743", line="#2a303a",
    text="#e9edf3", muted="#9aa5b5", faint="#636e7e", accent="#4f9ffa", accent_hover="#6db0ff", accent_soft="#1c3350",
    on_accent="#07121f", good="#4ccb8f", warn="#efb54a", bad="#ff7a73", stage="#0b0d10",
)  # fmt: skip
LIGHT = Colors(
    window="#f7f8fa", panel="#eef0f4", surface="#ffffff", control="#ffffff", hover="#eef1f6", line="#dce1e9",
    text="#19202a", muted="#586376", faint="#97a1b1", accent="#1b6ce5", accent_hover="#0f5bcb", accent_soft="#e1edff",
    on_accent="#ffffff", good="#14804f", warn="#97650a", bad="#c8322b", stage="#e3e7ed",
)  # fmt: skip


class Theme(QObject):
    """Dresses the application; `changed` comes after every change of colours."""

    changed = pyqtSignal()

    def __init__(self, app: QApplication, choice: Choice = "system") -> None:
        super().__init__(app)
        self._app = app
        self._choice: Choice = choice
        hints = app.styleHints()
        assert hints is not None
        self._hints = hints
        self._is_system_dark = False
        hints.colorSchemeChanged.connect(self._follow_system)
        self.choose(choice)

    @property
    def choice(self) -> Choice:
        """What the user chose."""
        return self._choice

    @property
    def is_dark(self) -> bool:
        """Whether the dark colours are on."""
        return self._is_system_dark if self._choice == "system" else self._choice == "dark"

    @property
    def colors(self) -> Colors:
        """The colours in use."""
        return DARK if self.is_dark else LIGHT

    def choose(self, choice: Choice) -> None:
        """Take another look from now on; the system's own parts, title bar and dialogs, go along where Qt can."""
        self._choice = choice
        if hasattr(self._hints, "setColorScheme"):  # since Qt 6.8
            self._hints.setColorScheme(SCHEMES[choice])
        if choice == "system":
            self._is_system_dark = self._hints.colorScheme() == Qt.ColorScheme.Dark
        self.apply()

    def apply(self) -> None:
        """Set style, palette and style sheet of the application."""
        colors = self.colors
        self._app.setStyle("Fusion")
        self._app.setPalette(_palette(colors))
        values = {field.name: getattr(colors, field.name) for field in fields(colors)}
        sheet = Path(__file__).with_name("style.qss").read_text(encoding="utf-8")
        self._app.setStyleSheet(Template(sheet).substitute(values, icons=FOLDER.as_posix()))
        self.changed.emit()

    def _follow_system(self, scheme: Qt.ColorScheme) -> None:
        if self._choice == "system":
            self._is_system_dark = scheme == Qt.ColorScheme.Dark
            self.apply()


def current_colors() -> Colors:
    """The colours in use, told by the palette; for widgets that paint themselves."""
    return DARK if QApplication.palette().color(QPalette.ColorRole.Window).lightness() < 128 else LIGHT


def _palette(colors: Colors) -> QPalette:
    role = QPalette.ColorRole
    palette = QPalette()
    for target, color in (
        (role.Window, colors.window),
        (role.Base, colors.surface),
        (role.AlternateBase, colors.panel),
        (role.Button, colors.control),
        (role.Text, colors.text),
        (role.WindowText, colors.text),
        (role.ButtonText, colors.text),
        (role.PlaceholderText, colors.faint),
        (role.ToolTipBase, colors.control),
        (role.ToolTipText, colors.text),
        (role.Highlight, colors.accent),
        (role.HighlightedText, colors.on_accent),
        (role.Accent, colors.accent),
        (role.Link, colors.accent),
        (role.BrightText, colors.bad),
        (role.Mid, colors.muted),
    ):
        palette.setColor(target, QColor(color))
    for target in (role.Text, role.WindowText, role.ButtonText, role.HighlightedText):
        palette.setColor(QPalette.ColorGroup.Disabled, target, QColor(colors.faint))
    return palette
