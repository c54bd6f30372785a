# SPDX-License-Identifier: GPL-3.0-or-later
"""The page for files: the queue and what can be done with it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QPoint, Qt, pyqtSignal
from PyQt6.QtGui import QFocusEvent, QKeySequence, QPalette, QResizeEvent
from PyQt6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QMenu,
    QProgressBar,
    QStackedLayout,
    QTableView,
    QWidget,
)

from nerdrain_gui.controls import (
    FOOTER,
    Page,
    add_shortcut,
    bar,
    beside,
    explain,
    label,
    open_folder,
    push_button,
    stacked,
    tool_button,
)
from nerdrain_gui.empty import EmptyState
from nerdrain_gui.file_facts import FileLooker
from nerdrain_gui.files_inspector import FilesInspector
from nerdrain_gui.icons import icon
from nerdrain_gui.job_delegate import ROW, STATE_ICON, JobDelegate
from nerdrain_gui.job_queue import JOB_ROLE, Column, JobQueue
from nerdrain_gui.jobs import FileJob, State
from nerdrain_gui.settings import Settings
from nerdrain_gui.words import state_in_words, time_in_words

BY_KEYBOARD = (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason)
NARROW = 980
"""Pixels of the page below which its table has no room for everything."""
PROGRESS, NARROW_PROGRESS = 170, 104
"""Widths of the column of bars."""


class _Table(QTableView):
    """Marks a row when it is entered by the keyboard: one that stands alone could not be marked by arrow keys."""

    def focusInEvent(self, event: QFocusEvent | None) -> None:
        """Mark the first row, or the one that was last at hand."""
        super().focusInEvent(event)
        model = self.selectionModel()
        if event is not None and event.reason() in BY_KEYBOARD and model is not None and not model.hasSelection():
            self.selectRow(max(0, self.currentIndex().row()))


class FilesPage(Page):
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
        self.inspector = FilesInspector(settings)
        self.empty = EmptyState(
            "files",
            self.tr("Drop videos, pictures or folders here"),
            self.tr("Sound, subtitles, telemetry and tags are kept. The originals stay as they are."),
            (
                (self.tr("Add files…"), self.tr("Choose videos and pictures (Ctrl+O)"), self.files_wanted.emit),
                (
                    self.tr("Add a folder…"),
                    self.tr("Everything in it and its subfolders, but for results of earlier runs"),
                    self.folder_wanted.emit,
                ),
            ),
        )
        self._stack = QStackedLayout()
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.table)
        self.setLayout(stacked(self._make_bar(), beside(self._stack, self.inspector), self._make_footer()))
        self._make_actions()
        self.inspector.changed.connect(self._change_options)
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

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Leave figures out where the names of the files would have no room."""
        super().resizeEvent(event)
        is_narrow = self.width() < NARROW
        for column in (Column.SPEED, Column.LEFT):
            self.table.setColumnHidden(column, is_narrow)
        self.table.setColumnWidth(Column.PROGRESS, NARROW_PROGRESS if is_narrow else PROGRESS)

    def toggle(self) -> None:
        """Start, pause, or go on."""
        if self._queue.current is not None and not self._queue.is_paused:
            self._queue.pause()
        else:
            self._queue.start()

    def _make_table(self) -> QTableView:
        table = _Table()
        table.setModel(self._queue)
        table.setItemDelegate(JobDelegate(self._looker))
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setTabKeyNavigation(False)
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
        states = max(table.fontMetrics().horizontalAdvance(state_in_words(state)) for state in State)
        widths = {Column.PROGRESS: PROGRESS, Column.SPEED: 84, Column.LEFT: 86, Column.STATE: states + STATE_ICON}
        for section, width in widths.items():
            columns.setSectionResizeMode(section, QHeaderView.ResizeMode.Fixed)
            columns.resizeSection(section, width)
        return table

    def _make_bar(self) -> QWidget:
        frame, row = bar("bar")
        row.addWidget(label(self.tr("Files"), "title"))
        row.addStretch()
        self.up_button = tool_button("up", self.tr("Earlier (Alt+Up)"))
        self.down_button = tool_button("down", self.tr("Later (Alt+Down)"))
        self.retry_button = tool_button("retry", self.tr("Do again (R)"))
        self.cancel_button = tool_button("stop", self.tr("Cancel (Esc)"))
        self.remove_button = tool_button("trash", self.tr("Take off the list (Del)"))
        for button in (self.up_button, self.down_button, self.retry_button, self.cancel_button, self.remove_button):
            row.addWidget(button)
        self.add_button = push_button("add", self.tr("Add"), self.tr("Put videos, pictures or a folder into the queue"))
        self.add_button.setObjectName("menu")
        menu = QMenu(self.add_button)
        menu.addAction(icon("film"), self.tr("Files…"), self.files_wanted.emit)
        menu.addAction(icon("open"), self.tr("Folder…"), self.folder_wanted.emit)
        self.add_button.setMenu(menu)
        row.addSpacing(4)
        row.addWidget(self.add_button)
        return frame

    def _make_footer(self) -> QWidget:
        frame, row = bar("footer", FOOTER)
        row.setSpacing(14)
        self._total = label(name="muted")
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setFixedWidth(180)
        self._bar.setRange(0, 1000)
        explain(self._bar, self.tr("How much of the whole queue is done"), self.tr("Whole queue"))
        self.clear_button = push_button(
            "",
            self.tr("Clear finished"),
            self.tr("Take off the list what is done, failed or cancelled; files stay where they are"),
        )
        self.clear_button.clicked.connect(
            lambda: self._queue.remove([job for job in self._queue.jobs if job.state.is_over])
        )
        self.run_button = push_button("play", self.tr("Start"), self.tr("Start or pause the queue (Space)"))
        self.run_button.setObjectName("primary")
        self.run_button.setMinimumWidth(108)
        self.run_button.clicked.connect(self.toggle)
        row.addWidget(self._bar)
        row.addWidget(self._total)
        row.addStretch()
        row.addWidget(self.clear_button)
        row.addWidget(self.run_button)
        return frame

    def _make_actions(self) -> None:
        add = partial(add_shortcut, self)
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

    def _change_options(self, change: dict[str, Any]) -> None:
        self._queue.change_options(self.selected, **change)

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
