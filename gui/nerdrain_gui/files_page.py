# SPDX-License-Identifier: GPL-3.0-or-later
"""The page for files: the queue, what is chosen for each, and what became of its streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QPoint, Qt, pyqtSignal
from PyQt6.QtGui import QAction, QKeySequence, QPalette
from PyQt6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QMenu,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QStackedLayout,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from nerdrain_gui.controls import Percentage, Segments, label, open_folder, tool_button
from nerdrain_gui.empty import EmptyState
from nerdrain_gui.file_facts import FileLooker
from nerdrain_gui.icons import icon
from nerdrain_gui.job_delegate import ROW, JobDelegate, fault_in_words, state_in_words
from nerdrain_gui.job_queue import JOB_ROLE, Column, JobQueue
from nerdrain_gui.jobs import FileJob, JobOptions, State
from nerdrain_gui.settings import Settings
from nerdrain_gui.words import time_in_words

CODECS = (
    ("", "Like the source"),
    ("libx264", "H.264"),
    ("libx265", "H.265"),
    ("libsvtav1", "AV1"),
    ("libvpx-vp9", "VP9"),
    ("prores_ks", "ProRes"),
    ("ffv1", "FFV1, lossless"),
    ("h264_nvenc", "H.264 on NVIDIA"),
    ("hevc_nvenc", "H.265 on NVIDIA"),
)
SCALES = (("1", "Full"), ("0.75", "¾"), ("0.5", "½"), ("0.25", "¼"))
INSPECTOR = 288
BESIDE, CHOOSE = "", "?"


class FilesPage(QWidget):
    """Shows a `JobQueue` and hands on what the user wants of it."""

    files_wanted = pyqtSignal()
    folder_wanted = pyqtSignal()

    def __init__(self, queue: JobQueue, looker: FileLooker, settings: Settings) -> None:
        super().__init__()
        self.setObjectName("page")
        self._queue = queue
        self._looker = looker
        self._settings = settings
        self._shown: list[FileJob] = []
        self.table = self._make_table()
        self.inspector = _Inspector(settings)
        self.empty = EmptyState(
            "files",
            self.tr("Drop videos, pictures or folders here"),
            self.tr("Sound, subtitles, telemetry and tags are kept. The originals stay as they are."),
            ((self.tr("Add files…"), self.files_wanted.emit), (self.tr("Add a folder…"), self.folder_wanted.emit)),
        )
        self._stack = QStackedLayout()
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.table)
        middle = QHBoxLayout()
        middle.setContentsMargins(0, 0, 0, 0)
        middle.setSpacing(0)
        middle.addLayout(self._stack, 1)
        middle.addWidget(self.inspector)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._make_bar())
        column.addLayout(middle, 1)
        column.addWidget(self._make_footer())
        self._make_actions()
        self.inspector.changed.connect(self._set_options)
        queue.progressed.connect(self.refresh)
        selection = self.table.selectionModel()
        assert selection is not None
        selection.selectionChanged.connect(lambda *_: self.refresh())
        looker.looked.connect(lambda *_: self._repaint())
        looker.found.connect(lambda files: self._queue.add(files, self.inspector.defaults))
        self.refresh()

    @property
    def selected(self) -> list[FileJob]:
        """The jobs that are marked, in their order."""
        model = self.table.selectionModel()
        rows = sorted(index.row() for index in model.selectedRows()) if model else []
        return [self._queue.jobs[row] for row in rows if row < len(self._queue.jobs)]

    def refresh(self) -> None:
        """Show the queue as it is."""
        jobs = self._queue.jobs
        self._stack.setCurrentIndex(1 if jobs else 0)
        selected = self.selected
        self.inspector.show_jobs(selected)
        waiting = sum(job.state == State.WAITING for job in jobs)
        is_working = self._queue.current is not None and not self._queue.is_paused
        self.run_button.setText(self.tr("Pause") if is_working else self.tr("Start"))
        on_accent = QPalette.ColorRole.HighlightedText
        self.run_button.setIcon(icon("pause" if is_working else "play", role=on_accent))
        self.run_button.setEnabled(is_working or self._queue.is_paused or waiting > 0)
        states = {job.state for job in selected}
        self.cancel_button.setEnabled(any(not state.is_over for state in states))
        self.retry_button.setEnabled(any(state.is_over for state in states))
        self.remove_button.setEnabled(bool(selected))
        self.up_button.setEnabled(len(selected) == 1 and selected[0] is not jobs[0])
        self.down_button.setEnabled(len(selected) == 1 and selected[0] is not jobs[-1])
        self.clear_button.setEnabled(any(job.state.is_over for job in jobs))
        self._show_total(jobs)

    def toggle(self) -> None:
        """Start, pause, or go on."""
        if self._queue.current is not None and not self._queue.is_paused:
            self._queue.pause()
        else:
            self._queue.start()

    def _make_table(self) -> QTableView:
        table = QTableView()
        table.setModel(self._queue)
        table.setItemDelegate(JobDelegate(self._looker))
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setAccessibleName(self.tr("Queue"))
        table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        table.customContextMenuRequested.connect(self._show_menu)
        table.doubleClicked.connect(lambda index: self._open_target(index.data(JOB_ROLE)))
        rows, columns = table.verticalHeader(), table.horizontalHeader()
        assert rows is not None
        assert columns is not None
        rows.hide()
        rows.setDefaultSectionSize(ROW)
        columns.setHighlightSections(False)
        columns.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        columns.setSectionResizeMode(Column.FILE, QHeaderView.ResizeMode.Stretch)
        for section, width in ((Column.PROGRESS, 170), (Column.SPEED, 84), (Column.LEFT, 86), (Column.STATE, 116)):
            columns.setSectionResizeMode(section, QHeaderView.ResizeMode.Fixed)
            columns.resizeSection(section, width)
        return table

    def _make_bar(self) -> QWidget:
        bar = QFrame()
        bar.setObjectName("bar")
        bar.setFixedHeight(56)
        row = QHBoxLayout(bar)
        row.setContentsMargins(20, 0, 14, 0)
        row.setSpacing(8)
        row.addWidget(label(self.tr("Files"), "title"))
        row.addStretch()
        self.up_button = tool_button("up", self.tr("Earlier (Alt+Up)"))
        self.down_button = tool_button("down", self.tr("Later (Alt+Down)"))
        self.retry_button = tool_button("retry", self.tr("Do again (R)"))
        self.cancel_button = tool_button("stop", self.tr("Cancel (Esc)"))
        self.remove_button = tool_button("trash", self.tr("Take off the list (Del)"))
        for button in (self.up_button, self.down_button, self.retry_button, self.cancel_button, self.remove_button):
            row.addWidget(button)
        self.add_button = QPushButton(icon("add"), self.tr("Add"))
        self.add_button.setObjectName("menu")
        menu = QMenu(self.add_button)
        menu.addAction(icon("film"), self.tr("Files…"), self.files_wanted.emit)
        menu.addAction(icon("open"), self.tr("Folder…"), self.folder_wanted.emit)
        self.add_button.setMenu(menu)
        row.addSpacing(4)
        row.addWidget(self.add_button)
        return bar

    def _make_footer(self) -> QWidget:
        footer = QFrame()
        footer.setObjectName("footer")
        footer.setFixedHeight(58)
        row = QHBoxLayout(footer)
        row.setContentsMargins(20, 0, 14, 0)
        row.setSpacing(14)
        self._total = label(name="muted")
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setFixedWidth(180)
        self._bar.setRange(0, 1000)
        self.clear_button = QPushButton(self.tr("Clear finished"))
        self.clear_button.clicked.connect(
            lambda: self._queue.remove([job for job in self._queue.jobs if job.state.is_over])
        )
        self.run_button = QPushButton(self.tr("Start"))
        self.run_button.setObjectName("primary")
        self.run_button.setMinimumWidth(108)
        self.run_button.clicked.connect(self.toggle)
        row.addWidget(self._bar)
        row.addWidget(self._total)
        row.addStretch()
        row.addWidget(self.clear_button)
        row.addWidget(self.run_button)
        return footer

    def _make_actions(self) -> None:
        def add(key: str | QKeySequence.StandardKey, run: Callable[[], object]) -> None:
            action = QAction(self)
            action.setShortcut(QKeySequence(key))
            action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            action.triggered.connect(run)
            self.addAction(action)

        add("Alt+Up", lambda: self._move(-1))
        add("Alt+Down", lambda: self._move(1))
        add("R", lambda: self._queue.retry(self.selected))
        add("Esc", lambda: self._queue.cancel(self.selected))
        add(QKeySequence.StandardKey.Delete, lambda: self._queue.remove(self.selected))
        add("Space", self.toggle)
        self.up_button.clicked.connect(lambda: self._move(-1))
        self.down_button.clicked.connect(lambda: self._move(1))
        self.retry_button.clicked.connect(lambda: self._queue.retry(self.selected))
        self.cancel_button.clicked.connect(lambda: self._queue.cancel(self.selected))
        self.remove_button.clicked.connect(lambda: self._queue.remove(self.selected))

    def _move(self, by: int) -> None:
        if len(self.selected) == 1:
            self._queue.move(self.selected[0], by)
            self.refresh()

    def _set_options(self, options: JobOptions) -> None:
        self._queue.set_options(self.selected, options)

    def _show_total(self, jobs: Sequence[FileJob]) -> None:
        done = sum(job.state.is_over for job in jobs)
        self._bar.setVisible(bool(jobs))
        share = sum(1.0 if job.state.is_over else job.share or 0 for job in jobs) / (len(jobs) or 1)
        self._bar.setValue(round(1000 * share))
        words = self.tr("{0} of {1} finished").format(done, len(jobs)) if jobs else self.tr("Nothing in the queue")
        current = self._queue.current
        if current is not None and current.seconds_left is not None and not self._queue.is_paused:
            words += "  ·  " + self.tr("{0} left for this file").format(time_in_words(current.seconds_left))
        self._total.setText(words)

    def _show_menu(self, where: QPoint) -> None:
        jobs = self.selected
        view = self.table.viewport()
        if not jobs or view is None:
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        if jobs[0].state == State.DONE:
            menu.addAction(icon("open"), self.tr("Open the folder"), lambda: self._open_target(jobs[0]))
        if any(job.state.is_over for job in jobs):
            menu.addAction(icon("retry"), self.tr("Do again"), lambda: self._queue.retry(jobs))
        if any(not job.state.is_over for job in jobs):
            menu.addAction(icon("stop"), self.tr("Cancel"), lambda: self._queue.cancel(jobs))
        menu.addSeparator()
        menu.addAction(icon("trash"), self.tr("Take off the list"), lambda: self._queue.remove(jobs))
        menu.popup(view.mapToGlobal(where))

    def _open_target(self, job: FileJob) -> None:
        open_folder(str(Path(job.target or job.source).parent))

    def _repaint(self) -> None:
        view = self.table.viewport()
        if view is not None:
            view.update()


class _Inspector(QScrollArea):
    """Options of the marked jobs, or of those to come; and what came of the one that is done."""

    changed = pyqtSignal(object)
    """The `JobOptions` that the marked jobs are to have."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.setObjectName("inspector")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFixedWidth(INSPECTOR)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._settings = settings
        self.defaults = JobOptions(settings.output_folder, settings.codec)
        self._jobs: list[FileJob] = []
        self._is_filling = False
        self._heading = label(name="section")
        self.folder = QComboBox()
        self.folder.setMinimumContentsLength(12)
        self.folder.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.codec = QComboBox()
        for name, words in CODECS:
            self.codec.addItem(self.tr(words), name)
        self.strength = Percentage(self.tr("Strength"))
        self.work_scale = Segments([(key, words) for key, words in SCALES])
        self._options = QWidget()
        form = QVBoxLayout(self._options)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(6)
        for words, widget in (
            (self.tr("Save to"), self.folder),
            (self.tr("Video format"), self.codec),
            ("", self.strength),
            (self.tr("Work size"), self.work_scale),
        ):
            if words:
                form.addWidget(label(words))
            form.addWidget(widget)
            form.addSpacing(10)
        form.addWidget(label(self.tr("Smaller is faster and finds less of the finest rain."), "muted", wraps=True))
        self._result = QWidget()
        self._result_rows = QVBoxLayout(self._result)
        self._result_rows.setContentsMargins(0, 0, 0, 0)
        self._result_rows.setSpacing(8)
        content = QWidget()
        content.setObjectName("scrolled")
        column = QVBoxLayout(content)
        column.setContentsMargins(20, 18, 20, 18)
        column.setSpacing(12)
        column.addWidget(self._heading)
        column.addWidget(self._result)
        column.addWidget(self._options)
        column.addStretch()
        self.setWidget(content)
        self.folder.activated.connect(self._choose_folder)
        self.codec.activated.connect(lambda _: self._take(codec=self.codec.currentData()))
        self.strength.changed.connect(lambda value: self._take(strength=value))
        self.work_scale.chosen.connect(lambda key: self._take(work_scale=float(key)))
        self._told: object = None
        self.show_jobs([])

    def show_jobs(self, jobs: list[FileJob]) -> None:
        """Show these jobs; those to come where there are none."""
        key = [(id(job), job.state) for job in jobs]
        if key == self._told:
            return
        self._told = key
        self._jobs = jobs
        waiting = [job for job in jobs if job.state == State.WAITING]
        is_result = len(jobs) == 1 and jobs[0].state.is_over
        self._options.setVisible(not is_result)
        self._options.setEnabled(not jobs or bool(waiting))
        self._result.setVisible(is_result)
        if is_result:
            self._heading.setText(state_in_words(jobs[0].state).upper())
            self._show_result(jobs[0])
            return
        if not jobs:
            heading = self.tr("Options for new files")
        else:
            heading = self.tr("Options for {0} files").format(len(jobs)) if len(jobs) > 1 else self.tr("Options")
        self._heading.setText(heading.upper())
        self._fill((waiting or jobs)[0].options if jobs else self.defaults)

    def _fill(self, options: JobOptions) -> None:
        self._is_filling = True
        self.folder.clear()
        self.folder.addItem(self.tr("Beside the source"), BESIDE)
        for folder in dict.fromkeys((options.output_folder, self._settings.output_folder)):
            if folder:
                self.folder.addItem(Path(folder).name or folder, folder)
                self.folder.setItemData(self.folder.count() - 1, folder, Qt.ItemDataRole.ToolTipRole)
        self.folder.addItem(self.tr("Choose a folder…"), CHOOSE)
        self.folder.setCurrentIndex(self.folder.findData(options.output_folder))
        self.codec.setCurrentIndex(max(0, self.codec.findData(options.codec)))
        self.strength.set_value(options.strength)
        self.work_scale.choose(f"{options.work_scale:g}")
        self._is_filling = False

    def _choose_folder(self, index: int) -> None:
        folder = self.folder.itemData(index)
        if folder != CHOOSE:
            self._take(output_folder=folder)
            return
        dialog = QFileDialog(self, self.tr("Save to"), self._settings.output_folder or self._settings.last_folder)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self._take_folder)
        dialog.rejected.connect(lambda: self._fill(self._current))
        dialog.open()

    def _take_folder(self, folder: str) -> None:
        self._settings.output_folder = folder
        self._take(output_folder=folder)
        self._fill(self._current)

    @property
    def _current(self) -> JobOptions:
        return self._jobs[0].options if self._jobs else self.defaults

    def _take(self, **change: Any) -> None:
        if self._is_filling:
            return
        options = replace(self._current, **change)
        if self._jobs:
            self.changed.emit(options)
            return
        self.defaults = options
        self._settings.output_folder, self._settings.codec = options.output_folder, options.codec

    def _show_result(self, job: FileJob) -> None:
        while (item := self._result_rows.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        add = self._result_rows.addWidget
        title = label(Path(job.target or job.source).name, "value", wraps=True)
        add(title)
        if job.state == State.FAILED:
            add(label(fault_in_words(job), "bad", wraps=True))
        if job.state != State.DONE:
            return
        frames = self.tr("{0} frames in {1}").format(job.frames_done, time_in_words(job.seconds))
        add(label(frames, "muted"))
        if job.streams:
            self._result_rows.addSpacing(8)
            add(label(self.tr("Streams").upper(), "section"))
        for stream in job.streams:
            add(_StreamLine(stream))
        if job.warnings:
            self._result_rows.addSpacing(8)
            add(label(self.tr("To know").upper(), "section"))
        for warning in job.warnings:
            add(label(warning, "muted", wraps=True))
        button = QPushButton(icon("open"), self.tr("Open the folder"))
        button.clicked.connect(lambda: open_folder(str(Path(job.target).parent)))
        self._result_rows.addSpacing(8)
        add(button)


class _StreamLine(QWidget):
    """One stream and its fate."""

    def __init__(self, stream: dict[str, object]) -> None:
        super().__init__()
        kinds = {
            "video": self.tr("Video"),
            "audio": self.tr("Sound"),
            "subtitle": self.tr("Subtitles"),
            "data": self.tr("Data"),
            "attachment": self.tr("Attachment"),
        }
        fates = {
            "derained": ("good", self.tr("derained")),
            "copied": ("good", self.tr("kept")),
            "reencoded": ("warn", self.tr("re-encoded")),
            "dropped": ("bad", self.tr("lost")),
        }
        manner, fate = fates.get(str(stream["action"]), ("muted", str(stream["action"])))
        head = QHBoxLayout()
        head.setSpacing(7)
        head.addWidget(label(kinds.get(str(stream["type"]), str(stream["type"]))))
        if stream["codec"] != "unknown":
            head.addWidget(label(str(stream["codec"]), "muted"))
        head.addStretch()
        head.addWidget(label(fate, manner))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        column.addLayout(head)
        if stream.get("reason"):
            column.addWidget(label(str(stream["reason"]), "muted", wraps=True))
