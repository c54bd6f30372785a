# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be chosen of the deraining itself, live and for files."""

from __future__ import annotations

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QVBoxLayout, QWidget

from nerdrain_gui.controls import Percentage, Segments, check_box, label

WORK_SCALES = (1.0, 0.75, 0.5, 0.25)


class RainOptions(QWidget):
    """Strength, work size, and whether frames are compared, with a line that says what this means here."""

    strength_changed = pyqtSignal(float)
    work_scale_chosen = pyqtSignal(float)
    compares_chosen = pyqtSignal(bool)

    def __init__(self, about_comparing: str) -> None:
        super().__init__()
        names = (self.tr("Full"), "¾", "½", "¼")
        tips = (
            self.tr("The network looks at every pixel: the best result, and the slowest"),
            self.tr("Almost twice as fast"),
            self.tr("About four times as fast"),
            self.tr("Up to sixteen times as fast"),
        )
        self.strength = Percentage(
            self.tr("Strength"), self.tr("How much of the rain that is found is taken out; 0 % leaves all of it")
        )
        self.work_scale = Segments(
            self.tr("Work size"), list(zip((f"{scale:g}" for scale in WORK_SCALES), names, tips, strict=True))
        )
        self.compares = check_box(
            self.tr("Compare frames"),
            self.tr(
                "Looks at the frames before and after too, and takes out what is bright in one of the three only:"
                " fine rain over leaves and grass, which a single picture does not tell from texture."
                " Switch it off where the processor is too slow for it, or where small things that flicker fade."
            ),
        )
        self.strength.changed.connect(self.strength_changed)
        self.work_scale.chosen.connect(lambda key: self.work_scale_chosen.emit(float(key)))
        self.compares.clicked.connect(self.compares_chosen)
        hint = label(self.tr("Smaller is faster and finds less of the finest rain."), "muted", wraps=True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self.strength)
        column.addSpacing(10)
        column.addWidget(label(self.tr("Work size")))
        column.addWidget(self.work_scale)
        column.addWidget(hint)
        column.addSpacing(10)
        column.addWidget(self.compares)
        column.addWidget(label(about_comparing, "muted", wraps=True))

    def show_values(self, strength: float, work_scale: float, *, compares_frames: bool) -> None:
        """Show these; tells only of the strength, and only where it was another."""
        self.strength.set_value(strength)
        self.work_scale.choose(f"{work_scale:g}")
        self.compares.setChecked(compares_frames)
