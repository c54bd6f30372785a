# SPDX-License-Identifier: GPL-3.0-or-later
"""One quiet message over the content."""

from __future__ import annotations

from typing import Literal

from PyQt6.QtCore import QSize, Qt, QTimer
from PyQt6.QtGui import QColor, QIcon, QPalette
from PyQt6.QtWidgets import QFrame, QGraphicsDropShadowEffect, QHBoxLayout, QLabel, QWidget

from nerdrain_gui.controls import label, tool_button
from nerdrain_gui.icons import icon

Kind = Literal["info", "warning", "error"]
INFO_SECONDS = 8


class Banner(QFrame):
    """The message; one that is only to know goes away by itself."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("banner")
        self._icon = QLabel()
        self._text = label(wraps=True)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._close = tool_button("close", self.tr("Dismiss"), size=14)
        self._close.clicked.connect(self.hide)
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 8, 8, 8)
        row.setSpacing(10)
        row.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self._text, 1)
        row.addWidget(self._close, 0, Qt.AlignmentFlag.AlignVCenter)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.hide)
        shadow = QGraphicsDropShadowEffect(self)
        shadow.setBlurRadius(28)
        shadow.setOffset(0, 6)
        shadow.setColor(QColor(0, 0, 0, 60))
        self.setGraphicsEffect(shadow)
        self.hide()

    @property
    def text(self) -> str:
        """The message; empty where none is shown."""
        return "" if self.isHidden() else self._text.text()

    def tell(self, text: str, kind: Kind = "info") -> None:
        """Show a message in place of the last one."""
        role = QPalette.ColorRole.BrightText if kind == "error" else QPalette.ColorRole.Accent
        picture: QIcon = icon("alert" if kind != "info" else "check", role=role)
        self._icon.setPixmap(picture.pixmap(QSize(18, 18)))
        self._text.setText(text)
        self.setProperty("kind", kind)
        style = self.style()
        assert style is not None
        style.unpolish(self)
        style.polish(self)
        self.show()
        self._timer.stop()
        if kind == "info":
            self._timer.start(INFO_SECONDS * 1000)
