# SPDX-License-Identifier: GPL-3.0-or-later
"""The page for live pictures: camera, address or file before and after, with everything that acts while it plays."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QStandardPaths, Qt, pyqtSignal
from PyQt6.QtGui import QAction, QKeySequence
from PyQt6.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QPushButton,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
    QWidgetAction,
)

from nerdrain_gui.canvas import Canvas
from nerdrain_gui.controls import ElidedLabel, Percentage, SeekSlider, Segments, label, tool_button
from nerdrain_gui.empty import EmptyState
from nerdrain_gui.files_page import INSPECTOR, SCALES
from nerdrain_gui.findings import backend_in_words, device_in_words
from nerdrain_gui.icons import icon
from nerdrain_gui.network import Network
from nerdrain_gui.session import Figures, Opened, Session
from nerdrain_gui.settings import Settings
from nerdrain_gui.words import clock_in_words, latency_in_words, rate_in_words, time_in_words

SKIP_SECONDS = 5.0
WIPE_STEP = 0.05


class PreviewPage(QWidget):
    """Shows what a `Session` plays and hands on what the user wants of it."""

    file_wanted = pyqtSignal()
    full_screen_wanted = pyqtSignal()

    def __init__(self, session: Session, settings: Settings) -> None:
        super().__init__()
        self.setObjectName("page")
        self._session = session
        self._settings = settings
        self._opened: Opened | None = None
        self._cameras: list[tuple[str, str]] = []
        self.canvas = Canvas()
        self.empty = EmptyState(
            "preview",
            self.tr("See the rain go"),
            self.tr("Drop a video here, or open a camera or the address of a stream."),
            ((self.tr("Open a file…"), self.file_wanted.emit), (self.tr("Test picture"), lambda: self.open("test"))),
        )
        self._stack = QStackedLayout()
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.canvas)
        self.bar = self._make_bar()
        self.transport = self._make_transport()
        self.inspector = self._make_inspector()
        middle = QHBoxLayout()
        middle.setContentsMargins(0, 0, 0, 0)
        middle.setSpacing(0)
        middle.addLayout(self._stack, 1)
        middle.addWidget(self.inspector)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.bar)
        column.addLayout(middle, 1)
        column.addWidget(self.transport)
        self._make_actions()
        self._connect()
        self._show_closed()

    def open(self, name: str) -> None:
        """Play a source and remember it."""
        name = str(Path(name).absolute()) if Path(name).is_file() else name
        self._settings.remember(name)
        self._session.open(name)  # first: it closes what is open, which empties the page
        self.title.show_text(Path(name).name or name)
        self._stack.setCurrentIndex(1)
        self.canvas.show_picture(None)
        self.close_button.show()

    def show_devices(self, facts: dict[str, Any]) -> None:
        """Offer the devices, backends and cameras that there are."""
        devices = [name for name, what in facts.get("devices", {}).items() if what.get("available")]
        backends = [name for name, what in facts.get("backends", {}).items() if what.get("available")]
        self._offer(self.device, [(name, device_in_words(name)) for name in devices], self._settings.device)
        self._offer(self.backend, [(name, backend_in_words(name)) for name in backends], self._settings.backend)
        self._cameras = [_camera(camera) for camera in facts.get("cameras", [])]

    def set_bare(self, is_bare: bool) -> None:
        """Show the picture alone, or everything."""
        for part in (self.bar, self.transport, self.inspector):
            part.setVisible(not is_bare)

    def _make_bar(self) -> QWidget:
        bar = QFrame()
        bar.setObjectName("bar")
        bar.setFixedHeight(56)
        row = QHBoxLayout(bar)
        row.setContentsMargins(20, 0, 14, 0)
        row.setSpacing(10)
        self.title = ElidedLabel("title")
        self.open_button = QPushButton(icon("open"), self.tr("Open"))
        self.open_button.setObjectName("menu")
        self._menu = QMenu(self.open_button)
        self._menu.aboutToShow.connect(self._fill_menu)
        self.open_button.setMenu(self._menu)
        self.views = Segments(
            [
                ("wipe", self.tr("Wipe")),
                ("side", self.tr("Side by side")),
                ("clean", self.tr("After")),
                ("removed", self.tr("Removed rain")),
            ]
        )
        self.close_button = tool_button("close", self.tr("Close (Ctrl+W)"), size=16)
        row.addWidget(self.title, 1)
        row.addWidget(self.views)
        row.addSpacing(8)
        row.addWidget(self.open_button)
        row.addWidget(self.close_button)
        return bar

    def _make_transport(self) -> QWidget:
        transport = QFrame()
        transport.setObjectName("transport")
        transport.setFixedHeight(58)
        row = QHBoxLayout(transport)
        row.setContentsMargins(14, 0, 14, 0)
        row.setSpacing(4)
        self.play_button = tool_button("pause", self.tr("Play or pause (Space)"), size=22)
        self.step_button = tool_button("step", self.tr("Next frame (.)"))
        self.loop_button = tool_button("loop", self.tr("Begin again at the end (L)"), is_checkable=True)
        self.position = SeekSlider()
        self.time = label(name="muted")
        self.time.setMinimumWidth(92)
        self.time.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.snapshot_button = tool_button("camera", self.tr("Save the picture (Ctrl+S)"))
        self.record_button = tool_button("record", self.tr("Record (Ctrl+R)"), is_checkable=True)
        self.camera_button = tool_button("webcam", self.tr("Virtual camera (Ctrl+K)"), is_checkable=True)
        self.full_button = tool_button("fullscreen", self.tr("Full screen (F11)"))
        for button in (self.play_button, self.step_button, self.loop_button):
            row.addWidget(button)
        row.addSpacing(8)
        row.addWidget(self.position, 1)
        row.addSpacing(6)
        row.addWidget(self.time)
        row.addSpacing(6)
        for button in (self.snapshot_button, self.record_button, self.camera_button, self.full_button):
            row.addWidget(button)
        return transport

    def _make_inspector(self) -> QWidget:
        inspector = QFrame()
        inspector.setObjectName("inspector")
        inspector.setFixedWidth(INSPECTOR)
        self.strength = Percentage(self.tr("Strength"))
        self.work_scale = Segments([(key, words) for key, words in SCALES])
        self.device, self.backend = QComboBox(), QComboBox()
        self._offer(self.device, [], self._settings.device)
        self._offer(self.backend, [], self._settings.backend)
        self._in_use = label(name="muted", wraps=True)
        column = QVBoxLayout(inspector)
        column.setContentsMargins(20, 18, 20, 18)
        column.setSpacing(6)
        column.addWidget(label(self.tr("Rain").upper(), "section"))
        column.addSpacing(4)
        column.addWidget(self.strength)
        column.addSpacing(10)
        column.addWidget(label(self.tr("Work size")))
        column.addWidget(self.work_scale)
        column.addWidget(label(self.tr("Smaller is faster and finds less of the finest rain."), "muted", wraps=True))
        column.addSpacing(20)
        column.addWidget(label(self.tr("Runs on").upper(), "section"))
        column.addSpacing(4)
        column.addWidget(label(self.tr("Device")))
        column.addWidget(self.device)
        column.addSpacing(8)
        column.addWidget(label(self.tr("Method")))
        column.addWidget(self.backend)
        column.addSpacing(2)
        column.addWidget(self._in_use)
        column.addSpacing(20)
        column.addWidget(label(self.tr("Figures").upper(), "section"))
        column.addSpacing(4)
        self._figures: dict[str, Any] = {}
        for key, words in (
            ("fps", self.tr("Frames a second")),
            ("latency", self.tr("Latency")),
            ("dropped", self.tr("Skipped frames")),
            ("size", self.tr("Size")),
        ):
            row = QHBoxLayout()
            row.addWidget(label(words, "muted"))
            row.addStretch()
            self._figures[key] = label("–", "value")
            row.addWidget(self._figures[key])
            column.addLayout(row)
        column.addStretch()
        return inspector

    def _make_actions(self) -> None:
        def add(key: str | QKeySequence.StandardKey, run: Any) -> None:
            action = QAction(self)
            action.setShortcut(QKeySequence(key))
            action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            action.triggered.connect(run)
            self.addAction(action)

        add("Space", self.play_button.click)
        add(".", self.step_button.click)
        add("L", self.loop_button.click)
        add("Left", lambda: self._skip(-SKIP_SECONDS))
        add("Right", lambda: self._skip(SKIP_SECONDS))
        add("[", lambda: self.canvas.set_wipe(self.canvas.wipe - WIPE_STEP))
        add("]", lambda: self.canvas.set_wipe(self.canvas.wipe + WIPE_STEP))
        add("Ctrl+S", self.snapshot_button.click)
        add("Ctrl+R", self.record_button.click)
        add("Ctrl+K", self.camera_button.click)
        add(QKeySequence.StandardKey.ZoomIn, lambda: self.canvas.set_zoom(self.canvas.zoom * 1.25))
        add(QKeySequence.StandardKey.ZoomOut, lambda: self.canvas.set_zoom(self.canvas.zoom / 1.25))
        add("Ctrl+0", lambda: self.canvas.set_zoom(1.0))
        add("I", self._toggle_figures)
        add("Ctrl+W", self._session.close)
        for number, view in enumerate(("wipe", "side", "clean", "removed"), 1):
            add(str(number), lambda _=False, view=view: self._set_view(view))

    def _connect(self) -> None:
        settings, session = self._settings, self._session
        self.strength.set_value(settings.strength)
        self.work_scale.choose(f"{settings.work_scale:g}")
        self.loop_button.setChecked(settings.is_looping)
        self._set_view(settings.view)
        session.set_strength(settings.strength)
        session.set_work_scale(settings.work_scale)
        session.set_looping(settings.is_looping)
        session.set_network(Network(settings.backend, settings.device))
        self.strength.changed.connect(self._set_strength)
        self.work_scale.chosen.connect(self._set_work_scale)
        self.device.activated.connect(self._set_network)
        self.backend.activated.connect(self._set_network)
        self.views.chosen.connect(self._set_view)
        self.canvas.wanted_changed.connect(session.want)
        self.canvas.activated.connect(self.full_screen_wanted)
        self.full_button.clicked.connect(self.full_screen_wanted)
        self.play_button.clicked.connect(self._toggle_pause)
        self.step_button.clicked.connect(session.step)
        self.loop_button.toggled.connect(self._set_looping)
        self.position.sought.connect(self._seek)
        self.snapshot_button.clicked.connect(self._save_picture)
        self.record_button.clicked.connect(self._record)
        self.camera_button.clicked.connect(session.set_virtual_camera)
        self.close_button.clicked.connect(session.close)
        session.picture_ready.connect(self._show_picture)
        session.opened.connect(self._show_opened)
        session.closed.connect(self._show_closed)
        session.status_changed.connect(self.canvas.show_status)
        session.figures_changed.connect(self._show_figures)
        session.paused_changed.connect(self._show_paused)
        session.network_changed.connect(self._show_network)
        session.recording_changed.connect(self.record_button.setChecked)
        session.camera_changed.connect(self.camera_button.setChecked)

    def _fill_menu(self) -> None:
        menu = self._menu
        menu.clear()
        menu.addAction(icon("film"), self.tr("File…"), QKeySequence.StandardKey.Open, self.file_wanted.emit)
        menu.addSeparator()
        for name, words in self._cameras:
            menu.addAction(icon("webcam"), words, lambda name=name: self.open(name))
        if not self._cameras:
            none = menu.addAction(icon("webcam"), self.tr("No camera found"))
            if none is not None:
                none.setEnabled(False)
        menu.addAction(icon("gauge"), self.tr("Test picture"), lambda: self.open("test"))
        menu.addSeparator()
        menu.addAction(self._make_address(menu))
        if self._settings.recent:
            menu.addSeparator()
        for source in self._settings.recent:
            words = source if "://" in source else Path(source).name
            action = menu.addAction(icon("clock"), words, lambda source=source: self.open(source))
            if action is not None:
                action.setToolTip(source)

    def _make_address(self, menu: QMenu) -> QWidgetAction:
        """A line to type an address into, in the menu itself."""
        field = QLineEdit()
        field.setPlaceholderText("rtsp://, http://, udp://…")
        field.setMinimumWidth(250)
        field.setAccessibleName(self.tr("Address of a stream"))
        field.addAction(icon("link"), QLineEdit.ActionPosition.LeadingPosition)

        def take() -> None:
            if field.text().strip():
                menu.close()
                self.open(field.text().strip())

        field.returnPressed.connect(take)
        box = QWidget()
        row = QHBoxLayout(box)
        row.setContentsMargins(8, 4, 8, 4)
        row.addWidget(field)
        action = QWidgetAction(menu)
        action.setDefaultWidget(box)
        return action

    def _offer(self, combo: QComboBox, choices: list[tuple[str, str]], chosen: str) -> None:
        combo.clear()
        combo.addItem(self.tr("Best there is"), "auto")
        for name, words in choices:
            combo.addItem(words, name)
        if combo.findData(chosen) < 0:
            combo.addItem(device_in_words(backend_in_words(chosen)), chosen)
        combo.setCurrentIndex(combo.findData(chosen))

    def _set_strength(self, strength: float) -> None:
        self._settings.strength = strength
        self._session.set_strength(strength)

    def _set_work_scale(self, key: str) -> None:
        self._settings.work_scale = float(key)
        self._session.set_work_scale(float(key))

    def _set_network(self) -> None:
        self._settings.device, self._settings.backend = self.device.currentData(), self.backend.currentData()
        self._session.set_network(Network(self._settings.backend, self._settings.device))

    def _set_looping(self, is_looping: bool) -> None:
        self._settings.is_looping = is_looping
        self._session.set_looping(is_looping)

    def _set_view(self, view: str) -> None:
        self._settings.view = view
        self.views.choose(view)
        self.canvas.set_view(view)  # type: ignore[arg-type]

    def _toggle_figures(self) -> None:
        self._settings.shows_figures = not self._settings.shows_figures
        if not self._settings.shows_figures:
            self.canvas.show_figures("")

    def _toggle_pause(self) -> None:
        if not self._session.is_open and self._settings.recent:
            self.open(self._settings.recent[0])
        else:
            self._session.toggle_pause()

    def _skip(self, seconds: float) -> None:
        if self._opened and self._opened.duration:
            now = self.position.value() / self.position.maximum() * self._opened.duration
            self._session.seek(min(self._opened.duration, max(0.0, now + seconds)))

    def _seek(self, share: float) -> None:
        if self._opened and self._opened.duration:
            self._session.seek(share * self._opened.duration)

    def _save_picture(self) -> None:
        self._session.save_picture(_new_file(QStandardPaths.StandardLocation.PicturesLocation, ".png"))

    def _record(self, is_on: bool) -> None:
        path = _new_file(QStandardPaths.StandardLocation.MoviesLocation, ".mp4") if is_on else None
        self._session.set_recording(path)

    def _show_picture(self) -> None:
        picture = self._session.take_picture()
        if picture is not None:
            self.canvas.show_picture(picture)

    def _show_opened(self, opened: Opened) -> None:
        self._opened = opened
        height, width = opened.size
        self._figures["size"].setText(f"{width} × {height}")
        for part in (self.step_button, self.loop_button, self.position):
            part.setEnabled(opened.is_seekable)
        for part in (self.play_button, self.snapshot_button, self.record_button, self.camera_button):
            part.setEnabled(True)
        self._show_paused(False)

    def _show_closed(self) -> None:
        self._opened = None
        self._stack.setCurrentIndex(0)
        self.title.show_text(self.tr("Preview"))
        self.canvas.show_picture(None)
        self.canvas.show_figures("")
        self.position.show_position(0)
        self.time.setText("")
        for figure in self._figures.values():
            figure.setText("–")
        self._in_use.setText("")
        for part in (
            self.play_button,
            self.step_button,
            self.loop_button,
            self.position,
            self.snapshot_button,
            self.record_button,
            self.camera_button,
        ):
            part.setEnabled(False)
        self.close_button.hide()
        self._show_paused(True)

    def _show_figures(self, figures: Figures) -> None:
        fps, latency = rate_in_words(figures.fps), latency_in_words(figures.latency_ms)
        self._figures["fps"].setText(fps)
        self._figures["latency"].setText(latency)
        self._figures["dropped"].setText(str(figures.dropped))
        if self._settings.shows_figures:
            words = self.tr("{0} fps  ·  {1}  ·  {2} skipped").format(fps, latency, figures.dropped)
            self.canvas.show_figures(words)
        duration = self._opened.duration if self._opened else None
        if duration:
            self.position.show_position(figures.position / duration)
            now, whole = clock_in_words(figures.position, duration), clock_in_words(duration, duration)
            self.time.setText(f"{now} / {whole}")
        elif self._opened:
            self.time.setText(time_in_words(figures.position))

    def _show_paused(self, is_paused: bool) -> None:
        self.play_button.setIcon(icon("play" if is_paused else "pause"))

    def _show_network(self, network: Network, used: tuple[str, str]) -> None:
        self.device.setCurrentIndex(max(0, self.device.findData(network.device)))
        self.backend.setCurrentIndex(max(0, self.backend.findData(network.backend)))
        backend, device = used
        self._in_use.setText(
            self.tr("In use: {0} on {1}").format(backend_in_words(backend), device_in_words(device).lower())
        )


def _camera(camera: Any) -> tuple[str, str]:
    """What opens a camera, and its name for a person; doctor gives either a mapping or a line."""
    if isinstance(camera, dict):
        path = str(camera.get("path") or camera.get("name"))
        return path, str(camera.get("name") or path)
    return str(camera).split(" (")[0], str(camera)


def _new_file(location: QStandardPaths.StandardLocation, suffix: str) -> Path:
    folder = Path(QStandardPaths.writableLocation(location) or Path.home())
    return folder / f"nerdrain {datetime.now():%Y-%m-%d %H-%M-%S}{suffix}"
