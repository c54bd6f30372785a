# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be chosen of the deraining itself, live and for files."""

from __future__ import annotations

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QVBoxLayout, QWidget

from nerdrain_gui.controls import Percentage, Segments, label

WORK_SCALES = (1.0, 0.75, 0.5, 0.25)


class RainOptions(QWidget):
    """Strength and work size."""

    strength_changed = pyqtSignal(float)
    work_scale_chosen = pyqtSignal(float)

    def __init__(self) -> None:
        super().__init__()
        names = (self.tr("Full"), "¾", "½", "¼")
        self.strength = Percentage(self.tr("Strength"))
        self.work_scale = Segments([(f"{scale:g}", words) for scale, words in zip(WORK_SCALES, names, strict=True)])
        self.strength.changed.connect(self.strength_changed)
        self.work_scale.chosen.connect(lambda key: self.work_scale_chosen.emit(float(key)))
        hint = label(self.tr("Smaller is faster and finds less of the finest rain."), "muted", wraps=True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self.strength)
        column.addSpacing(10)
        column.addWidget(label(self.tr("Work size")))
        column.addWidget(self.work_scale)
        column.addWidget(hint)

    def show_values(self, strength: float, work_scale: float) -> None:
        """Show these; tells only of the strength, and only where it was another."""
        self.strength.set_value(strength)
        self.work_scale.choose(f"{work_scale:g}")
