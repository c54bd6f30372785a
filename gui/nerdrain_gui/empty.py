# SPDX-License-Identifier: GPL-3.0-or-later
"""What a page shows while it has nothing to show."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from nerdrain_gui.controls import label, push_button
from nerdrain_gui.icons import paint_icon
from nerdrain_gui.theme import current_colors


class EmptyState(QWidget):
    """A dashed place to drop things on, with words and the buttons that bring something here: words, tip, and doing."""

    def __init__(
        self, icon: str, title: str, text: str, actions: Sequence[tuple[str, str, Callable[[], object]]]
    ) -> None:
        super().__init__()
        self._icon = icon
        self._is_target = False
        self.title = label(title, "headline")
        self.text = label(text, "muted", wraps=True)
        buttons = QHBoxLayout()
        buttons.setSpacing(10)
        buttons.addStretch()
        for index, (words, tip, run) in enumerate(actions):
            button = push_button("", words, tip)
            button.setObjectName("" if index else "primary")
            button.clicked.connect(run)
            buttons.addWidget(button)
        buttons.addStretch()
        for words_label in (self.title, self.text):
            words_label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column = QVBoxLayout(self)
        column.setContentsMargins(56, 40, 56, 40)
        column.setSpacing(8)
        column.addStretch()
        column.addSpacing(96)
        column.addWidget(self.title)
        column.addWidget(self.text)
        column.addSpacing(16)
        column.addLayout(buttons)
        column.addStretch()

    def set_target(self, is_target: bool) -> None:
        """Show that something over the window can be dropped."""
        self._is_target = is_target
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the border and the icon above the words."""
        colors = current_colors()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        color = colors.accent if self._is_target else colors.faint
        pen = QPen(QColor(color), 1.5)
        pen.setDashPattern([5, 5])
        painter.setPen(pen)
        if self._is_target:
            painter.setBrush(QColor(colors.accent_soft))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(24, 24, -24, -24), 16, 16)
        disc = QRectF(self.width() / 2 - 38, self.title.y() - 100, 76, 76)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colors.accent_soft))
        painter.drawEllipse(disc)
        paint_icon(painter, self._icon, disc.adjusted(21, 21, -21, -21), colors.accent)
