# SPDX-License-Identifier: GPL-3.0-or-later
"""The page for live pictures: camera, address or file before and after, with everything that acts while it plays."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QCoreApplication, QStandardPaths, Qt, pyqtSignal
from PyQt6.QtGui import QKeySequence
from PyQt6.QtWidgets import QStackedLayout, QWidget

from nerdrain_gui.canvas import Canvas
from nerdrain_gui.controls import (
    FOOTER,
    ElidedLabel,
    Page,
    SeekSlider,
    Segments,
    add_shortcut,
    bar,
    beside,
    explain,
    label,
    push_button,
    stacked,
    tool_button,
)
from nerdrain_gui.empty import EmptyState
from nerdrain_gui.icons import icon
from nerdrain_gui.network import Network
from nerdrain_gui.preview_inspector import PreviewInspector
from nerdrain_gui.run import Figures, Opened
from nerdrain_gui.session import Session
from nerdrain_gui.settings import Settings
from nerdrain_gui.source_menu import SourceMenu, cameras_of
from nerdrain_gui.words import clock_in_words, latency_in_words, rate_in_words, source_in_words, time_in_words

translate = QCoreApplication.translate
SKIP_SECONDS = 5.0
WIPE_STEP = 0.05


class PreviewPage(Page):
    """Shows what a `Session` plays and hands on what the user wants of it."""

    opening = pyqtSignal()
    """A source is about to be opened; what was said of the one before is over."""
    file_wanted = pyqtSignal()
    full_screen_wanted = pyqtSignal()

    def __init__(self, session: Session, settings: Settings) -> None:
        super().__init__()
        self.setObjectName("page")
        self._session = session
        self._settings = settings
        self._opened: Opened | None = None
        self._figures = Figures()
        self.canvas = Canvas()
        self.empty = EmptyState(
            "preview",
            self.tr("See the rain go"),
            self.tr("Drop a video here, or open a camera or the address of a stream."),
            (
                (self.tr("Open a file…"), self.tr("Play a video as it is and without its rain"), self.file_wanted.emit),
                (
                    self.tr("Test picture"),
                    self.tr("A moving picture made here, to see how fast this computer is"),
                    lambda: self.open("test"),
                ),
            ),
        )
        self._stack = QStackedLayout()
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.canvas)
        self.bar = self._make_bar()
        self.transport = self._make_transport()
        self.inspector = PreviewInspector(Network(settings.backend, settings.device))
        self.setLayout(stacked(self.bar, beside(self._stack, self.inspector), self.transport))
        self._make_actions()
        self._connect()
        self._show_closed()

    def open(self, name: str) -> None:
        """Play a source and remember it."""
        name = str(Path(name).absolute()) if Path(name).is_file() else name
        self._settings.remember(name)
        self.opening.emit()
        self._session.open(name)  # first: it closes what is open, which empties the page
        self.title.show_text(source_in_words(name))
        self._stack.setCurrentIndex(1)
        self.canvas.show_picture(None)
        self.close_button.show()

    def show_devices(self, facts: dict[str, Any]) -> None:
        """Offer the devices, backends and cameras that there are."""
        self.inspector.show_devices(facts, Network(self._settings.backend, self._settings.device))
        self.menu.cameras = cameras_of(facts)

    def set_bare(self, is_bare: bool) -> None:
        """Show the picture alone, or everything."""
        for part in (self.bar, self.transport, self.inspector):
            part.setVisible(not is_bare)

    def _make_bar(self) -> QWidget:
        frame, row = bar("bar")
        self.title = ElidedLabel("title")
        self.open_button = push_button("open", self.tr("Open"), self.tr("Open a file, a camera or a stream"))
        self.open_button.setObjectName("menu")
        self.menu = SourceMenu(self._settings, self.open_button)
        self.open_button.setMenu(self.menu)
        self.views = Segments(
            self.tr("View"),
            [
                ("wipe", self.tr("Wipe"), self.tr("Before left of the handle, after right of it (1)")),
                ("side", self.tr("Side by side"), self.tr("Before and after beside each other (2)")),
                ("clean", self.tr("After"), self.tr("The picture without its rain (3)")),
                ("removed", self.tr("Removed rain"), self.tr("What was taken out, on black (4)")),
            ],
        )
        self.close_button = tool_button("close", self.tr("Close (Ctrl+W)"), size=16)
        row.addWidget(self.title, 1)
        row.addWidget(self.views)
        row.addSpacing(8)
        row.addWidget(self.open_button)
        row.addWidget(self.close_button)
        return frame

    def _make_transport(self) -> QWidget:
        frame, row = bar("transport", FOOTER, left=14)
        row.setSpacing(4)
        self.play_button = tool_button("pause", self.tr("Play or pause (Space)"), size=22)
        self.step_button = tool_button("step", self.tr("Next frame (.)"))
        self.loop_button = tool_button("loop", self.tr("Begin again at the end (L)"), is_checkable=True)
        self.position = SeekSlider()
        explain(
            self.position, self.tr("Click to go there; arrow keys go five seconds back and on"), self.tr("Position")
        )
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
        return frame

    def _make_actions(self) -> None:
        add = partial(add_shortcut, self)
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
        self.inspector.rain.show_values(
            settings.strength, settings.work_scale, compares_frames=settings.compares_frames
        )
        self.loop_button.setChecked(settings.is_looping)
        self._set_view(settings.view)
        session.set_strength(settings.strength)
        session.set_work_scale(settings.work_scale)
        session.set_comparing(settings.compares_frames)
        session.set_looping(settings.is_looping)
        session.set_network(Network(settings.backend, settings.device))
        self.inspector.rain.strength_changed.connect(self._set_strength)
        self.inspector.rain.work_scale_chosen.connect(self._set_work_scale)
        self.inspector.rain.compares_chosen.connect(self._set_comparing)
        self.inspector.network_chosen.connect(self._set_network)
        self.menu.chosen.connect(self.open)
        self.menu.file_wanted.connect(self.file_wanted)
        self.views.chosen.connect(self._set_view)
        self.canvas.wanted_changed.connect(session.want)
        self.canvas.activated.connect(self.full_screen_wanted)
        self.full_button.clicked.connect(self.full_screen_wanted)
        self.play_button.clicked.connect(session.toggle_pause)
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
        session.network_changed.connect(self.inspector.show_network)
        session.recording_changed.connect(self.record_button.setChecked)
        session.camera_changed.connect(self.camera_button.setChecked)

    def _set_strength(self, strength: float) -> None:
        self._settings.strength = strength
        self._session.set_strength(strength)

    def _set_work_scale(self, work_scale: float) -> None:
        self._settings.work_scale = work_scale
        self._session.set_work_scale(work_scale)

    def _set_comparing(self, compares_frames: bool) -> None:
        self._settings.compares_frames = compares_frames
        self._session.set_comparing(compares_frames)

    def _set_network(self, network: Network) -> None:
        self._settings.device, self._settings.backend = network.device, network.backend
        self._session.set_network(network)

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
        self.inspector.show_source(opened)
        for part in (self.step_button, self.loop_button, self.position):
            part.setEnabled(opened.is_seekable)
        buttons = (self.play_button, self.snapshot_button, self.record_button, self.camera_button, self.full_button)
        for part in buttons:
            part.setEnabled(True)
        self._show_paused(False)

    def _show_closed(self) -> None:
        self._opened = None
        self._figures = Figures()
        self._stack.setCurrentIndex(0)
        self.title.show_text(self.tr("Preview"))
        self.canvas.show_picture(None)
        self.canvas.show_figures("")
        self.position.show_position(0)
        self.time.setText("")
        self.inspector.clear()
        for part in (
            self.play_button,
            self.step_button,
            self.loop_button,
            self.position,
            self.snapshot_button,
            self.record_button,
            self.camera_button,
            self.full_button,
        ):
            part.setEnabled(False)
        for button in (self.record_button, self.camera_button):
            button.setChecked(False)
        self.close_button.hide()
        self._show_paused(True)

    def _show_figures(self, figures: Figures) -> None:
        self._figures = figures
        self.inspector.show_figures(figures, is_playing=not self._is_held)
        self._show_line()
        duration = self._opened.duration if self._opened else None
        if duration:
            self.position.show_position(figures.position / duration)
            now, whole = clock_in_words(figures.position, duration), clock_in_words(duration, duration)
            self.time.setText(f"{now} / {whole}")
        elif self._opened:
            self.time.setText(time_in_words(figures.position))

    def _show_line(self) -> None:
        if self._settings.shows_figures and self._opened is not None:
            self.canvas.show_figures((_still_in_words if self._is_held else self._in_one_line)(self._figures))

    @property
    def _is_held(self) -> bool:
        """Whether a file is paused."""
        return self._session.is_paused and self._opened is not None and self._opened.is_seekable

    def _in_one_line(self, figures: Figures) -> str:
        parts = [
            self.tr("{0} fps").format(rate_in_words(figures.fps)),
            latency_in_words(figures.latency_ms),
            self.tr("{0} skipped").format(figures.dropped),
        ]
        if figures.graphics is not None and figures.graphics.utilization is not None:
            parts.append(self.tr("GPU {0} %").format(round(100 * figures.graphics.utilization)))
        return "  ·  ".join(parts)

    def _show_paused(self, is_paused: bool) -> None:
        self.play_button.setIcon(icon("play" if is_paused else "pause"))
        if is_paused:
            self._figures = replace(self._figures, is_still=False)
            self._show_line()


def _still_in_words(figures: Figures) -> str:
    words = translate("PreviewPage", "Paused")
    if not figures.compares_frames:
        return words
    if figures.is_still:
        return f"{words}  ·  " + translate("PreviewPage", "frames compared, as in a file")
    return f"{words}  ·  " + translate("PreviewPage", "comparing frames…")


def _new_file(location: QStandardPaths.StandardLocation, suffix: str) -> Path:
    folder = Path(QStandardPaths.writableLocation(location) or Path.home())
    with suppress(OSError):  # whoever writes the file tells
        folder.mkdir(parents=True, exist_ok=True)
    return folder / f"nerdrain {datetime.now():%Y-%m-%d %H-%M-%S}{suffix}"
