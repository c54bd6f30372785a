# SPDX-License-Identifier: GPL-3.0-or-later
"""Icons of one stroke, drawn in the colours of the theme at the moment they are painted."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from PyQt6.QtCore import QPointF, QRect, QRectF, QSize, Qt
from PyQt6.QtGui import QGuiApplication, QIcon, QIconEngine, QPainter, QPalette, QPixmap
from PyQt6.QtSvg import QSvgRenderer

FOLDER = Path(__file__).parent / "icons"


def icon(name: str, *, role: QPalette.ColorRole = QPalette.ColorRole.ButtonText) -> QIcon:
    """The icon in the palette's colour of `role`, in the accent where it is switched on."""
    return QIcon(_ThemedIcon(name, role))


def app_icon() -> QIcon:
    """The program's own icon."""
    return QIcon(str(FOLDER / "nerdrain.svg"))


def paint_icon(painter: QPainter, name: str, rect: QRectF, color: str) -> None:
    """Draw the icon into `rect` in a colour of the form #rrggbb."""
    _renderer(name, color).render(painter, rect)


@cache
def _renderer(name: str, color: str) -> QSvgRenderer:
    drawing = (FOLDER / f"{name}.svg").read_bytes()
    return QSvgRenderer(drawing.replace(b"#000", color.encode()))


class _ThemedIcon(QIconEngine):
    def __init__(self, name: str, role: QPalette.ColorRole) -> None:
        super().__init__()
        self._name = name
        self._role = role

    def paint(self, painter: QPainter | None, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        assert painter is not None
        group = QPalette.ColorGroup.Disabled if mode == QIcon.Mode.Disabled else QPalette.ColorGroup.Active
        is_on = state == QIcon.State.On and mode != QIcon.Mode.Disabled
        role = QPalette.ColorRole.Accent if is_on else self._role
        color = QGuiApplication.palette().color(group, role)
        side = min(rect.width(), rect.height())  # at the left of a wider rect: the rest is the distance to the words
        area = QRectF(rect.x(), rect.y() + (rect.height() - side) / 2, side, side)
        paint_icon(painter, self._name, area, color.name())

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        return self.scaledPixmap(size, mode, state, 1.0)

    def scaledPixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State, scale: float) -> QPixmap:
        pixmap = QPixmap(size * scale)
        pixmap.setDevicePixelRatio(scale)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        self.paint(painter, QRect(QPointF(0, 0).toPoint(), size), mode, state)
        painter.end()
        return pixmap

    def clone(self) -> QIconEngine:
        return _ThemedIcon(self._name, self._role)
