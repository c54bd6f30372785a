# SPDX-License-Identifier: GPL-3.0-or-later
"""Small parts that the pages are put together from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TypeVar

from PyQt6.QtCore import QEvent, QMimeData, QSize, Qt, QUrl, pyqtSignal
from PyQt6.QtGui import QAction, QDesktopServices, QKeyEvent, QKeySequence, QMouseEvent, QResizeEvent, QWheelEvent
from PyQt6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QBoxLayout,
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QPushButton,
    QSizePolicy,
    QSlider,
    QStyle,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from nerdrain_gui.icons import icon

Box = TypeVar("Box", bound=QBoxLayout)
BAR = 56
INSPECTOR = 288
FOOTER = 58
"""Heights of the bars at the top and bottom of a page, width of the options beside it; in pixels."""


def tool_button(name: str, tip: str, *, is_checkable: bool = False, size: int = 20) -> QToolButton:
    """A button of one icon, its meaning in the tool tip."""
    button = QToolButton()
    button.setIcon(icon(name))
    button.setIconSize(QSize(size, size))
    button.setToolTip(tip)
    button.setAccessibleName(tip.partition(" (")[0])
    button.setCheckable(is_checkable)
    return button


def push_button(name: str, words: str, tip: str) -> QPushButton:
    """A button with words, and an icon where `name` is not empty; a click leaves the focus, and its keys, elsewhere."""
    button = QPushButton(words)
    if name:
        button.setIcon(icon(name))
        button.setIconSize(QSize(20, 16))
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    explain(button, tip)
    return button


def check_box(words: str, tip: str) -> QCheckBox:
    """A choice of yes or no; a click leaves the focus, and its keys, elsewhere."""
    box = QCheckBox(words)
    box.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    explain(box, tip)
    return box


def explain(control: QWidget, tip: str, name: str = "") -> None:
    """Say what a control is for, on several lines where that is long, and what it is called where it has no words."""
    control.setToolTip(f"<p>{escape(tip)}</p>")
    control.setAccessibleDescription(tip)
    if name:
        control.setAccessibleName(name)


def label(text: str = "", name: str = "", *, wraps: bool = False) -> QLabel:
    """Words in one of the style sheet's manners."""
    words = QLabel(text)
    words.setObjectName(name)
    words.setWordWrap(wraps)
    words.setTextFormat(Qt.TextFormat.PlainText)
    return words


def bar(name: str, height: int = BAR, *, left: int = 20) -> tuple[QFrame, QHBoxLayout]:
    """A bar in the manner `name` of the style sheet, and the row that its parts go into."""
    frame = QFrame()
    frame.setObjectName(name)
    frame.setFixedHeight(height)
    row = QHBoxLayout(frame)
    row.setContentsMargins(left, 0, 14, 0)
    row.setSpacing(8)
    return frame, row


def stacked(*parts: QWidget | QLayout) -> QVBoxLayout:
    """Parts one below the other without a gap, the layouts among them as high as there is room."""
    return _joined(QVBoxLayout(), parts)


def beside(*parts: QWidget | QLayout) -> QHBoxLayout:
    """Parts from left to right without a gap, the layouts among them as wide as there is room."""
    return _joined(QHBoxLayout(), parts)


def add_shortcut(owner: QWidget, key: str | QKeySequence.StandardKey, run: Callable[..., object]) -> None:
    """Let a key do something while `owner` or what is in it has the focus."""
    action = QAction(owner)
    action.setShortcut(QKeySequence(key))
    action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
    action.triggered.connect(run)
    owner.addAction(action)


def dropped_files(mime: QMimeData | None) -> list[str]:
    """Local paths among what is dragged over the window."""
    return [url.toLocalFile() for url in mime.urls() if url.isLocalFile()] if mime else []


def open_folder(path: str) -> None:
    """Show a folder in the system's file manager."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(path))


def _joined(box: Box, parts: Sequence[QWidget | QLayout]) -> Box:
    box.setContentsMargins(0, 0, 0, 0)
    box.setSpacing(0)
    for part in parts:
        if isinstance(part, QWidget):
            box.addWidget(part)
        else:
            box.addLayout(part, 1)
    return box


class Page(QWidget):
    """A page of the window; its shortcuts leave alone what the control with the focus does with a key."""

    def event(self, event: QEvent | None) -> bool:
        """Claim such keys before they become shortcuts."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.ShortcutOverride:
            focused = QApplication.focusWidget()
            is_button = isinstance(focused, QAbstractButton)
            arrows = isinstance(focused, QSlider) or (isinstance(focused, QAbstractButton) and focused.group())
            keys = [Qt.Key.Key_Space] * is_button + [Qt.Key.Key_Left, Qt.Key.Key_Right] * bool(arrows)
            if event.key() in keys and not event.modifiers():
                event.accept()
                return True
        return super().event(event)


class Choice(QComboBox):
    """A choice from a list; the wheel passes over it, so that scrolling changes nothing."""

    def __init__(self, name: str, tip: str) -> None:
        super().__init__()
        explain(self, tip, name)

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Leave it to what scrolls."""
        if event is not None:
            event.ignore()


class Segments(QWidget):
    """A few choices beside each other, one of them taken: the key, words and tool tip of each."""

    chosen = pyqtSignal(str)

    def __init__(self, name: str, choices: Sequence[tuple[str, str, str]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segments")
        self.setAccessibleName(name)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._group = QButtonGroup(self)
        self._keys = [key for key, *_ in choices]
        row = QHBoxLayout(self)
        row.setContentsMargins(2, 2, 2, 2)
        row.setSpacing(2)
        for index, (_, words, tip) in enumerate(choices):
            button = QToolButton()
            button.setText(words)
            explain(button, tip, f"{name}: {words}")
            button.setCheckable(True)
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            self._group.addButton(button, index)
            row.addWidget(button)
        self._group.idClicked.connect(lambda index: self.chosen.emit(self._keys[index]))

    def choose(self, key: str) -> None:
        """Take a choice without telling; none where there is no such choice."""
        button = self._group.button(self._keys.index(key)) if key in self._keys else None
        if button is not None:
            button.setChecked(True)

    @property
    def choice(self) -> str:
        """The choice that is taken, or ""."""
        index = self._group.checkedId()
        return self._keys[index] if index >= 0 else ""


class Percentage(QWidget):
    """A slider from 0 to 100 % under its name."""

    changed = pyqtSignal(float)

    def __init__(self, words: str, tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 100)
        self.slider.setPageStep(10)
        explain(self.slider, tip, words)
        self._value = label(name="value")
        head = QHBoxLayout()
        head.addWidget(label(words))
        head.addStretch()
        head.addWidget(self._value)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(head)
        column.addWidget(self.slider)
        self.slider.valueChanged.connect(self._tell)
        self._show(self.slider.value())

    @property
    def value(self) -> float:
        """The share, 0 to 1."""
        return self.slider.value() / 100

    def set_value(self, share: float) -> None:
        """Move the slider; tells only where that changes it."""
        self.slider.setValue(round(share * 100))

    def _tell(self, percent: int) -> None:
        self._show(percent)
        self.changed.emit(percent / 100)

    def _show(self, percent: int) -> None:
        self._value.setText(f"{percent} %")


class SeekSlider(QSlider):
    """A position in time; a click goes there."""

    sought = pyqtSignal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.setRange(0, 1000)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.sliderMoved.connect(self._tell)

    def show_position(self, share: float) -> None:
        """Move along with the video, unless the user holds the handle."""
        if not self.isSliderDown():
            self.setValue(round(share * self.maximum()))

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Bring the handle under the pointer first."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            value = QStyle.sliderValueFromPosition(
                self.minimum(), self.maximum(), round(event.position().x()), self.width()
            )
            self.setValue(value)
            self._tell(value)
        super().mousePressEvent(event)

    def _tell(self, value: int) -> None:
        self.sought.emit(value / self.maximum())


class ElidedLabel(QLabel):
    """One line that is shortened in the middle where it does not fit."""

    def __init__(self, name: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._whole = ""

    def show_text(self, text: str) -> None:
        """Show a text, the whole of it in the tool tip."""
        self._whole = text
        self.setToolTip(text)
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Shorten anew."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.setText(self.fontMetrics().elidedText(self._whole, Qt.TextElideMode.ElideMiddle, self.width()))
