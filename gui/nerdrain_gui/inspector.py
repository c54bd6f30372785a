# SPDX-License-Identifier: GPL-3.0-or-later
"""The strip of options beside a page's content."""

from __future__ import annotations

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from nerdrain_gui.controls import INSPECTOR


class Inspector(QScrollArea):
    """A column of parts that scrolls where the window is low."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("inspector")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setFixedWidth(INSPECTOR)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        content = QWidget()
        content.setObjectName("scrolled")
        self.column = QVBoxLayout(content)
        self.column.setContentsMargins(20, 18, 20, 18)
        self.setWidget(content)
