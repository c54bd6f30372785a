# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture on the screen: before and after with a handle to wipe, zoom, pan, and the figures on top."""

from __future__ import annotations

from PyQt6.QtCore import QPointF, QRectF, QSize, Qt, pyqtSignal
from PyQt6.QtGui import (
    QColor,
    QImage,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PyQt6.QtWidgets import QSizePolicy, QWidget

from nerdrain_gui.picture import Picture, View, Wanted
from nerdrain_gui.theme import current_colors

LARGEST_ZOOM = 16.0
GRIP = 18
"""Pixels beside the handle that still take hold of it."""
GAP = 2
INK, PLATE = QColor(255, 255, 255), QColor(12, 14, 18, 170)


class Canvas(QWidget):
    """Shows `Picture`s; asks by `wanted_changed` for the view and the size it can use."""

    wanted_changed = pyqtSignal(object)
    activated = pyqtSignal()
    """Double-clicked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMouseTracking(True)
        self.setAccessibleName(self.tr("Picture before and after"))
        self._picture: Picture | None = None
        self._view: View = "wipe"
        self._wipe = 0.5
        self._zoom = 1.0
        self._center = QPointF(0.5, 0.5)
        self._figures = ""
        self._status = ""
        self._drag: QPointF | None = None
        self._is_wiping = False

    def sizeHint(self) -> QSize:
        """Room for a picture of 16:9."""
        return QSize(960, 540)

    @property
    def picture(self) -> Picture | None:
        """What is shown."""
        return self._picture

    @property
    def wipe(self) -> float:
        """Where the handle stands in what is visible of the picture, from 0 (left) to 1."""
        return self._wipe

    @property
    def zoom(self) -> float:
        """Enlargement over the size that fits."""
        return self._zoom

    @property
    def wanted(self) -> Wanted:
        """What pictures should be like for the widget as it is."""
        pane = self._panes()[0]
        ratio = self.devicePixelRatioF()
        whole = self._whole(pane) if self._picture else pane
        return Wanted(self._view, (round(whole.height() * ratio), round(whole.width() * ratio)))

    def show_picture(self, picture: Picture | None) -> None:
        """Show a picture, or nothing."""
        is_other_size = picture is not None and (self._picture is None or picture.size != self._picture.size)
        self._picture = picture
        if is_other_size:
            self._ask()
        self.update()

    def show_figures(self, text: str) -> None:
        """Show a line of figures in the corner; nothing for an empty one."""
        self._figures = text
        self.update()

    def show_status(self, text: str) -> None:
        """Show in the middle what is being waited for; nothing for an empty text."""
        self._status = text
        self.update()

    def set_view(self, view: View) -> None:
        """Change what is shown of a frame."""
        self._view = view
        self._ask()
        self.update()

    def set_wipe(self, position: float) -> None:
        """Move the handle."""
        self._wipe = min(1.0, max(0.0, position))
        self.update()

    def set_zoom(self, zoom: float, around: QPointF | None = None) -> None:
        """Enlarge, with the point `around` of the widget staying where it is."""
        pane = self._panes()[0]
        point = pane.center() if around is None else self._in_first_pane(around)
        before = self._whole(pane)
        fraction = QPointF((point.x() - before.x()) / before.width(), (point.y() - before.y()) / before.height())
        self._zoom = min(LARGEST_ZOOM, max(1.0, zoom))
        after = self._whole(pane)
        away = point - pane.center()
        self._center = fraction - QPointF(away.x() / after.width(), away.y() / after.height())
        self._keep_inside()
        self._ask()
        self.update()

    def picture_rect(self) -> QRectF:
        """What is visible of the picture, in the widget; the left one where there are two."""
        return self._visible(self._panes()[0])

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the picture; nothing here touches the samples."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(current_colors().stage))
        if self._picture is None:
            self._draw_status(painter)
            return
        images = self._picture.images
        for index, pane in enumerate(self._panes(self._picture.view)):
            visible = self._visible(pane)
            if self._picture.view == "wipe":
                split = self._split(visible)
                left, right = QRectF(visible), QRectF(visible)
                left.setRight(split)
                right.setLeft(split)
                self._draw(painter, images[0], pane, left)
                self._draw(painter, images[1], pane, right)
            else:
                self._draw(painter, images[index], pane, visible)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_marks(painter)
        self._draw_status(painter)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Ask for pictures of the new size."""
        self._keep_inside()
        self._ask()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Take the handle, or the picture where it is enlarged."""
        if event is None or self._picture is None or event.button() != Qt.MouseButton.LeftButton:
            return
        self._drag = event.position()
        visible = self.picture_rect()
        is_near = abs(event.position().x() - self._split(visible)) <= GRIP
        self._is_wiping = self._view == "wipe" and (self._zoom == 1.0 or is_near)
        if self._is_wiping:
            self.set_wipe((event.position().x() - visible.x()) / max(1.0, visible.width()))

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Drag the handle or the picture."""
        if event is None or self._picture is None:
            return
        visible = self.picture_rect()
        is_near = self._view == "wipe" and abs(event.position().x() - self._split(visible)) <= GRIP
        if self._drag is None:
            shape = Qt.CursorShape.SplitHCursor if is_near else Qt.CursorShape.ArrowCursor
            self.setCursor(Qt.CursorShape.OpenHandCursor if self._zoom > 1 and not is_near else shape)
        elif self._is_wiping:
            self.set_wipe((event.position().x() - visible.x()) / max(1.0, visible.width()))
        elif self._zoom > 1:
            whole = self._whole(self._panes()[0])
            moved = event.position() - self._drag
            self._drag = event.position()
            self._center -= QPointF(moved.x() / whole.width(), moved.y() / whole.height())
            self._keep_inside()
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """Let go."""
        self._drag = None
        self._is_wiping = False

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:
        """Ask for full screen and back."""
        self.activated.emit()

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Zoom around the pointer."""
        if event is not None and self._picture is not None:
            self.set_zoom(self._zoom * 1.0015 ** event.angleDelta().y(), event.position())

    def _ask(self) -> None:
        self.wanted_changed.emit(self.wanted)

    def _panes(self, view: View | None = None) -> list[QRectF]:
        """The areas that pictures go to: two beside each other in the view "side"."""
        area = QRectF(self.rect())
        if (view or self._view) != "side":
            return [area]
        width = (area.width() - GAP) / 2
        return [QRectF(0, 0, width, area.height()), QRectF(width + GAP, 0, width, area.height())]

    def _whole(self, pane: QRectF) -> QRectF:
        """Where the whole picture lies, on device pixels, some of it outside the pane when enlarged."""
        height, width = self._picture.size if self._picture else (9, 16)
        fit = min(pane.width() / width, pane.height() / height) * self._zoom
        ratio = self.devicePixelRatioF()

        def snap(value: float) -> float:
            return round(value * ratio) / ratio

        shown_width, shown_height = max(1.0, snap(width * fit)), max(1.0, snap(height * fit))
        x = pane.center().x() - self._center.x() * shown_width
        y = pane.center().y() - self._center.y() * shown_height
        return QRectF(snap(x), snap(y), shown_width, shown_height)

    def _visible(self, pane: QRectF) -> QRectF:
        return self._whole(pane) & pane

    def _split(self, visible: QRectF) -> float:
        return round(visible.x() + self._wipe * visible.width())

    def _in_first_pane(self, point: QPointF) -> QPointF:
        panes = self._panes()
        return point - panes[1].topLeft() if len(panes) > 1 and panes[1].contains(point) else point

    def _keep_inside(self) -> None:
        """Let no side of the picture come off the border of the pane."""
        pane = self._panes()[0]
        whole = self._whole(pane)
        spare_x = max(0.0, 0.5 - pane.width() / 2 / whole.width())
        spare_y = max(0.0, 0.5 - pane.height() / 2 / whole.height())
        self._center = QPointF(
            min(0.5 + spare_x, max(0.5 - spare_x, self._center.x())),
            min(0.5 + spare_y, max(0.5 - spare_y, self._center.y())),
        )

    def _draw(self, painter: QPainter, image: QImage, pane: QRectF, part: QRectF) -> None:
        """Draw what of the image lies in `part`; without scaling where it has the size it is shown at."""
        if part.isEmpty():
            return
        whole = self._whole(pane)
        across, down = image.width() / whole.width(), image.height() / whole.height()
        source = QRectF(
            (part.x() - whole.x()) * across, (part.y() - whole.y()) * down, part.width() * across, part.height() * down
        )
        ratio = self.devicePixelRatioF()
        is_exact = image.width() == round(whole.width() * ratio) and image.height() == round(whole.height() * ratio)
        is_large = across / ratio < 0.25
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, not is_exact and not is_large)
        if is_exact and ratio == 1:
            painter.drawImage(part.topLeft().toPoint(), image, source.toRect())
        else:
            painter.drawImage(part, image, source)

    def _draw_marks(self, painter: QPainter) -> None:
        assert self._picture is not None
        view = self._picture.view
        panes = self._panes(view)
        visible = self._visible(panes[0])
        if view == "wipe":
            self._draw_handle(painter, visible)
            split = self._split(visible)
            self._draw_plate(painter, self.tr("Before"), visible.adjusted(12, 12, 0, 0), limit=split)
            self._draw_plate(painter, self.tr("After"), visible.adjusted(0, 12, -12, 0), is_right=True, limit=split)
        elif view == "side":
            self._draw_plate(painter, self.tr("Before"), visible.adjusted(12, 12, 0, 0))
            self._draw_plate(painter, self.tr("After"), self._visible(panes[1]).adjusted(12, 12, 0, 0))
        elif view == "removed":
            self._draw_plate(painter, self.tr("Removed rain, 4 times as bright"), visible.adjusted(12, 12, 0, 0))
        if self._figures:
            self._draw_plate(painter, self._figures, visible.adjusted(12, 0, 0, -12), is_bottom=True)

    def _draw_status(self, painter: QPainter) -> None:
        if not self._status:
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._picture is None:
            painter.setPen(QColor(current_colors().muted))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self._status)
            return
        width = painter.fontMetrics().horizontalAdvance(self._status) + 20
        middle = QRectF((self.width() - width) / 2, self.picture_rect().top() + 12, width, 0)
        self._draw_plate(painter, self._status, middle)

    def _draw_handle(self, painter: QPainter, visible: QRectF) -> None:
        x, y, radius = self._split(visible), visible.center().y(), 17.0
        painter.setPen(QPen(QColor(0, 0, 0, 70), 4, cap=Qt.PenCapStyle.FlatCap))
        painter.drawLine(QPointF(x, visible.top()), QPointF(x, visible.bottom()))
        painter.setPen(QPen(INK, 2, cap=Qt.PenCapStyle.FlatCap))
        painter.drawLine(QPointF(x, visible.top()), QPointF(x, visible.bottom()))
        painter.setPen(QPen(QColor(0, 0, 0, 60), 1))
        painter.setBrush(INK)
        painter.drawEllipse(QPointF(x, y), radius, radius)
        painter.setPen(QPen(QColor("#1b6ce5"), 2.4, cap=Qt.PenCapStyle.RoundCap, join=Qt.PenJoinStyle.RoundJoin))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for side in (-1, 1):
            arrow = QPainterPath(QPointF(x + side * 4.5, y - 5))
            arrow.lineTo(x + side * 9.5, y)
            arrow.lineTo(x + side * 4.5, y + 5)
            painter.drawPath(arrow)

    def _draw_plate(
        self,
        painter: QPainter,
        text: str,
        area: QRectF,
        *,
        is_right: bool = False,
        is_bottom: bool = False,
        limit: float | None = None,
    ) -> None:
        """Words on a dark plate in a corner of `area`, left out where they would cross `limit`."""
        metrics = painter.fontMetrics()
        width, height = metrics.horizontalAdvance(text) + 20, metrics.height() + 9
        left = area.right() - width if is_right else area.left()
        top = area.bottom() - height if is_bottom else area.top()
        if limit is not None and (left < limit + 10 if is_right else left + width > limit - 10):
            return
        plate = QRectF(left, top, width, height)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(PLATE)
        painter.drawRoundedRect(plate, height / 2, height / 2)
        painter.setPen(INK)
        painter.drawText(plate, Qt.AlignmentFlag.AlignCenter, text)
