# SPDX-License-Identifier: GPL-3.0-or-later
"""Works the queue off, one file after the other, in a thread; the window sees it as the rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt, QTimer, pyqtSignal

from nerdrain_gui.job_worker import JobWorker
from nerdrain_gui.jobs import FileJob, JobOptions, State, hold_queue, queue_file, read_jobs, write_jobs
from nerdrain_gui.network import LoadDerainer, Network, load_derainer, remembering
from nerdrain_gui.outlet import Outlet
from nerdrain_gui.words import state_in_words

JOB_ROLE = Qt.ItemDataRole.UserRole


class Column(IntEnum):
    """The columns of the table."""

    FILE = 0
    PROGRESS = 1
    SPEED = 2
    LEFT = 3
    STATE = 4


class JobQueue(QAbstractTableModel):
    """The jobs in their order, and the thread that does them."""

    progressed = pyqtSignal()
    """Something in a job changed."""
    finished = pyqtSignal(int, int)
    """Nothing is left to do: how many were done and failed since it began."""
    failed = pyqtSignal(str)
    """Something outside a job went wrong, in one line."""
    _reported = pyqtSignal(object, object)
    _ended = pyqtSignal(object, object)

    def __init__(
        self, parent: QObject | None = None, *, load: LoadDerainer = load_derainer, path: Path | None = None
    ) -> None:
        super().__init__(parent)
        self._load = remembering(load)
        self._path = path or queue_file()
        self._hold = hold_queue(self._path)
        self.jobs: list[FileJob] = read_jobs(self._path) if self._hold else []
        self.network = Network()
        self._outlet = Outlet(self)
        self._worker: JobWorker | None = None
        self._is_on = False
        self._done = self._failures = 0
        self._reported.connect(self._take_report)
        self._ended.connect(self._take_end)
        self._saving = QTimer(self)
        self._saving.setSingleShot(True)
        self._saving.setInterval(500)
        self._saving.timeout.connect(self.save)

    @property
    def is_paused(self) -> bool:
        """Whether the job at hand stands still."""
        return self._worker is not None and not self._worker.may_run.is_set()

    @property
    def current(self) -> FileJob | None:
        """The job at hand."""
        return self._worker.job if self._worker else None

    def add(self, sources: Iterable[str], options: JobOptions) -> int:
        """Append files that are not waiting already; how many."""
        pending = {job.source for job in self.jobs if not job.state.is_over}
        fresh = [FileJob(source, options) for source in dict.fromkeys(sources) if source not in pending]
        if fresh:
            first = len(self.jobs)
            self.beginInsertRows(QModelIndex(), first, first + len(fresh) - 1)
            self.jobs += fresh
            self.endInsertRows()
            self._changed()
            self._advance()
        return len(fresh)

    def start(self) -> None:
        """Do what waits, or go on after a pause."""
        self._is_on = True
        if self._worker is not None and self.is_paused:
            self._worker.may_run.set()
            self._worker.job.state = State.RUNNING
        self._advance()
        self._changed()

    def pause(self) -> None:
        """Hold the job at hand where it is; its frame in the network is finished."""
        if self._worker is not None and not self._worker.is_cancelled:
            self._worker.may_run.clear()
            self._worker.job.state = State.PAUSED
            self._changed()

    def cancel(self, jobs: Sequence[FileJob]) -> None:
        """Give up jobs; of the one at hand nothing is kept."""
        for job in jobs:
            if self._worker is not None and job is self._worker.job:
                self._worker.cancel()
            if not job.state.is_over:
                job.state = State.CANCELLED
        self._changed()

    def retry(self, jobs: Sequence[FileJob]) -> None:
        """Do jobs again that are over."""
        for job in jobs:
            if job.state.is_over and not (self._worker and job is self._worker.job):
                job.reset()
        self._is_on = True
        self._advance()
        self._changed()

    def remove(self, jobs: Sequence[FileJob]) -> None:
        """Take jobs off the list; files stay as they are."""
        self.cancel(jobs)
        for job in jobs:
            row = self._row(job)
            self.beginRemoveRows(QModelIndex(), row, row)
            del self.jobs[row]
            self.endRemoveRows()
        self._changed()

    def move(self, job: FileJob, by: int) -> None:
        """Move a job up (negative) or down."""
        row = self._row(job)
        target = min(len(self.jobs) - 1, max(0, row + by))
        if target != row:
            self.beginMoveRows(QModelIndex(), row, row, QModelIndex(), target + (target > row))
            self.jobs.insert(target, self.jobs.pop(row))
            self.endMoveRows()
            self._changed()

    def change_options(self, jobs: Sequence[FileJob], **change: Any) -> None:
        """Change how jobs will be done, or done again: these fields of `JobOptions`, the others of each stay."""
        for job in jobs:
            if job.state.can_change:
                job.options = replace(job.options, **change)
        self._changed()

    def save(self) -> None:
        """Write the queue to disk, if no other window has one there; a failure is told and does not stop the work."""
        if self._hold is None:
            return
        try:
            write_jobs(self._path, self.jobs)
        except OSError as error:
            self.failed.emit(self.tr("The queue could not be kept in {0}: {1}").format(self._path, error.strerror))

    def shut_down(self, timeout_seconds: float) -> bool:
        """Stop and keep the queue; whether the thread ended in time. A job at hand waits again next time."""
        self._outlet.close()
        self._saving.stop()
        self._is_on = False
        worker = self._worker
        if worker is not None:
            worker.cancel()
        self.save()
        if self._hold is not None:
            self._hold.release()
            self._hold = None
        if worker is None:
            return True
        worker.thread.join(timeout_seconds)
        return not worker.thread.is_alive()

    def discard_leftovers(self) -> None:
        """Remove the unfinished file of a worker that did not end in time, before the process does."""
        if self._worker is not None:
            self._worker.discard_leftovers()

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """One row for each job."""
        return 0 if parent.isValid() else len(self.jobs)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """As many as `Column` has."""
        return 0 if parent.isValid() else len(Column)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The job itself under `JOB_ROLE`, its file's name for searching, and how it stands for screen readers."""
        if not index.isValid():
            return None
        job = self.jobs[index.row()]
        if role == JOB_ROLE:
            return job
        if role == Qt.ItemDataRole.DisplayRole and index.column() == Column.FILE:
            return job.name
        if role == Qt.ItemDataRole.AccessibleTextRole and index.column() == Column.FILE:
            share = "" if job.share is None else f", {int(job.share * 100)} %"
            return f"{job.name}, {state_in_words(job.state)}{share}"
        if role == Qt.ItemDataRole.ToolTipRole:
            return job.message or job.source
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The names of the columns."""
        if orientation != Qt.Orientation.Horizontal or role != Qt.ItemDataRole.DisplayRole:
            return None
        return (self.tr("File"), self.tr("Progress"), self.tr("Speed"), self.tr("Time left"), self.tr("State"))[section]

    def _row(self, job: FileJob) -> int:
        return next(row for row, other in enumerate(self.jobs) if other is job)

    def _changed(self) -> None:
        if self.jobs:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self.jobs) - 1, len(Column) - 1))
        self.progressed.emit()
        if not self._saving.isActive():
            self._saving.start()

    def _advance(self) -> None:
        """Begin the next job where one waits and none is at hand."""
        if not self._is_on or self._worker is not None:
            return
        job = next((job for job in self.jobs if job.state == State.WAITING), None)
        if job is None:
            self._is_on = False
            if self._done or self._failures:
                self.finished.emit(self._done, self._failures)
            self._done = self._failures = 0
            return
        job.state = State.RUNNING
        outlet = self._outlet
        self._worker = JobWorker(
            job,
            self.network,
            self._load,
            report=lambda *report: outlet.emit("_reported", *report),
            end=lambda *end: outlet.emit("_ended", *end),
        )
        self._worker.thread.start()

    def _take_report(self, worker: JobWorker, update: dict[str, Any]) -> None:
        if worker is self._worker and not worker.is_cancelled:
            for name, value in update.items():
                setattr(worker.job, name, value)
            self._changed()

    def _take_end(self, worker: JobWorker, update: dict[str, Any]) -> None:
        worker.thread.join()
        if worker is not self._worker:
            return
        self._worker = None
        if not worker.is_cancelled:
            for name, value in update.items():
                setattr(worker.job, name, value)
            self._done += worker.job.state == State.DONE
            self._failures += worker.job.state == State.FAILED
        self._changed()
        self.save()  # at once: after a crash a finished job would be done again
        self._advance()
        self.progressed.emit()
