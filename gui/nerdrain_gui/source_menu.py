# SPDX-License-Identifier: GPL-3.0-or-later
"""The menu of what the preview can open."""

from __future__ import annotations

from typing import Any

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtGui import QKeySequence
from PyQt6.QtWidgets import QHBoxLayout, QLineEdit, QMenu, QWidget, QWidgetAction

from nerdrain_gui.controls import explain
from nerdrain_gui.icons import icon
from nerdrain_gui.settings import Settings
from nerdrain_gui.words import source_in_words


class SourceMenu(QMenu):
    """Files, cameras, addresses and what was open lately; filled when it is shown."""

    chosen = pyqtSignal(str)
    file_wanted = pyqtSignal()

    def __init__(self, settings: Settings, parent: QWidget) -> None:
        super().__init__(parent)
        self.cameras: list[tuple[str, str]] = []
        """What opens each camera, and its name."""
        self._settings = settings
        self.aboutToShow.connect(self._fill)

    def _fill(self) -> None:
        self.clear()
        self.addAction(icon("film"), self.tr("File…"), QKeySequence.StandardKey.Open, self.file_wanted.emit)
        self.addSeparator()
        for name, words in self.cameras:
            self._add_source("webcam", words, name)
        if not self.cameras:
            none = self.addAction(icon("webcam"), self.tr("No camera found"))
            assert none is not None
            none.setEnabled(False)
        self._add_source("gauge", self.tr("Test picture"), "test")
        self.addSeparator()
        self.addAction(self._make_address())
        recent = [source for source in self._settings.recent if source != "test"]
        if recent:
            self.addSeparator()
        for source in recent:
            self._add_source("clock", source_in_words(source), source)

    def _add_source(self, icon_name: str, words: str, source: str) -> None:
        self.addAction(icon(icon_name), words, lambda: self.chosen.emit(source))

    def _make_address(self) -> QWidgetAction:
        """A line to type an address into, in the menu itself."""
        field = QLineEdit()
        field.setPlaceholderText("rtsp://, http://, udp://…")
        field.setMinimumWidth(250)
        explain(field, self.tr("Type an address and press Enter"), self.tr("Address of a stream"))
        field.addAction(icon("link"), QLineEdit.ActionPosition.LeadingPosition)

        def take() -> None:
            if field.text().strip():
                self.close()
                self.chosen.emit(field.text().strip())

        field.returnPressed.connect(take)
        box = QWidget()
        row = QHBoxLayout(box)
        row.setContentsMargins(8, 4, 8, 4)
        row.addWidget(field)
        action = QWidgetAction(self)
        action.setDefaultWidget(box)
        return action


def cameras_of(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """What opens each camera that doctor found, and its name for a person."""
    return [(camera["address"], camera["name"] or camera["address"]) for camera in facts.get("cameras", [])]
