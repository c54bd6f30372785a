# SPDX-License-Identifier: GPL-3.0-or-later
"""Works the queue off, one file after the other, in a thread; the window sees it as the rows of a table."""

from __future__ import annotations

import glob
import logging
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt, QTimer, pyqtSignal

from nerdrain_gui.jobs import FileJob, JobOptions, State, free_target, queue_file, read_jobs, write_jobs
from nerdrain_gui.network import LoadDerainer, Network, in_words, load_derainer, remembering
from nerdrain_gui.outlet import Outlet

_log = logging.getLogger(__name__)
TELL_SECONDS = 0.2
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
        self.jobs: list[FileJob] = read_jobs(self._path)
        self.network = Network()
        self._outlet = Outlet(self)
        self._worker: _Worker | None = None
        self._is_on = False
        self._done = self._failures = 0
        self._reported.connect(self._take_report)
        self._ended.connect(self._take_end)
        self._saving = QTimer(self)
        self._saving.setSingleShot(True)
        self._saving.setInterval(500)
        self._saving.timeout.connect(self.save)

    @property
    def is_on(self) -> bool:
        """Whether jobs are being done, or are to be when one comes."""
        return self._is_on

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

    def set_options(self, jobs: Sequence[FileJob], options: JobOptions) -> None:
        """Change how waiting jobs will be done."""
        for job in jobs:
            if job.state == State.WAITING:
                job.options = options
        self._changed()

    def save(self) -> None:
        """Write the queue to disk; a failure is told and does not stop the work."""
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
        if worker is None:
            return True
        worker.thread.join(timeout_seconds)
        return not worker.thread.is_alive()

    def discard_leftovers(self) -> None:
        """Remove the unfinished file of a worker that did not end in time, before the process does."""
        if self._worker is not None and self._worker.target is not None:
            target = self._worker.target
            for partial in target.parent.glob(f".{glob.escape(target.stem)}.????????.partial{target.suffix}"):
                with suppress(OSError):
                    partial.unlink()

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """One row for each job."""
        return 0 if parent.isValid() else len(self.jobs)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """As many as `Column` has."""
        return 0 if parent.isValid() else len(Column)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The job itself under `JOB_ROLE`, its file's name for searching and screen readers."""
        if not index.isValid():
            return None
        job = self.jobs[index.row()]
        if role == JOB_ROLE:
            return job
        if role == Qt.ItemDataRole.DisplayRole and index.column() == Column.FILE:
            return job.name
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
        self._worker = _Worker(
            job,
            self.network,
            self._load,
            report=lambda *report: outlet.emit("_reported", *report),
            end=lambda *end: outlet.emit("_ended", *end),
        )
        self._worker.thread.start()

    def _take_report(self, worker: _Worker, update: dict[str, Any]) -> None:
        if worker is self._worker and not worker.is_cancelled:
            for name, value in update.items():
                setattr(worker.job, name, value)
            self._changed()

    def _take_end(self, worker: _Worker, update: dict[str, Any]) -> None:
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
        self._advance()
        self.progressed.emit()


class _Worker:
    """One job in one thread: reports while it goes on, and at the end what came of it."""

    def __init__(self, job: FileJob, network: Network, load: LoadDerainer, *, report: Any, end: Any) -> None:
        self.job = job
        self.target: Path | None = None
        self.may_run = threading.Event()
        self.may_run.set()
        self.is_cancelled = False
        self.thread = threading.Thread(target=self._run, name=f"job-{job.name}", daemon=True)
        self._network = network
        self._options = job.options
        self._load = load
        self._report = report
        self._end = end

    def cancel(self) -> None:
        """Stop at the next frame."""
        self.is_cancelled = True
        self.may_run.set()

    def _run(self) -> None:
        try:
            result = self._work()
        except Exception as error:
            _log.info("job failed", exc_info=True)
            result = {"state": State.FAILED, "message": in_words(error)}
        self._end(self, result)

    def _work(self) -> dict[str, Any]:
        from nerdrain_rt.media.image import FORMATS

        derainer = self._load(self._network)
        derainer.settings = replace(
            derainer.settings, strength=self._options.strength, work_scale=self._options.work_scale
        )
        if self.is_cancelled:
            return {}
        self.target = target = free_target(self.job)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix.lower() in FORMATS:
            return self._derain_image(derainer, target)
        return self._derain_video(derainer, target)

    def _derain_image(self, derainer: Any, target: Path) -> dict[str, Any]:
        from nerdrain_rt.media.image import derain_image

        started = time.monotonic()
        report = derain_image(self.job.source, target, derainer.residual)
        return {
            "state": State.DONE,
            "target": str(target),
            "seconds": time.monotonic() - started,
            "warnings": list(report.warnings),
            "frames_done": 1,
            "frames_total": 1,
        }

    def _derain_video(self, derainer: Any, target: Path) -> dict[str, Any]:
        from nerdrain_rt.media.writer import OutputSettings
        from nerdrain_rt.pipeline import derain_video

        clock = _Clock()
        output = OutputSettings(codec=self._options.codec or None)
        told = 0.0
        with closing(derain_video(self.job.source, target, derainer, output=output)) as steps:
            for step in steps:
                if step.report is not None:
                    report = step.report
                    return {
                        "state": State.DONE,
                        "target": report.output,
                        "seconds": clock.seconds,
                        "streams": [asdict(stream) for stream in report.streams],
                        "warnings": list(report.warnings),
                        "frames_done": report.frames_out,
                        "frames_total": report.frames_out,
                        "fps": report.frames_out / max(clock.seconds, 1e-6),
                    }
                with clock.stopped():
                    self.may_run.wait()
                if self.is_cancelled:
                    break
                if time.monotonic() - told >= TELL_SECONDS:
                    told = time.monotonic()
                    fps = step.frame_index / max(clock.seconds, 1e-6)
                    progress = {"frames_done": step.frame_index, "frames_total": step.frame_count, "fps": fps}
                    self._report(self, progress)
        return {}


class _Clock:
    """Seconds of work, pauses not counted."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._entered = 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def stopped(self) -> _Clock:
        return self

    def __enter__(self) -> None:
        self._entered = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._started += time.monotonic() - self._entered
