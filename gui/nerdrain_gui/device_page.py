# SPDX-License-Identifier: GPL-3.0-or-later
"""The page that says what this computer can do, in words, and measures how fast."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from PyQt6.QtCore import QProcess, Qt, pyqtSignal
from PyQt6.QtGui import QGuiApplication, QShowEvent
from PyQt6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from nerdrain_gui.controls import bar, label, push_button
from nerdrain_gui.findings import Finding, benchmark_rows, findings, verdict
from nerdrain_gui.outlet import Outlet

BENCHMARK = ("-m", "nerdrain_rt", "bench", "--json", "--no-published")
KILL_MILLISECONDS = 500


class DevicePage(QWidget):
    """Examines the computer when it is first looked at."""

    examined = pyqtSignal(object)
    """What `nerdrain_rt.doctor.examine` found."""
    failed = pyqtSignal(str)
    _found = pyqtSignal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("page")
        self.facts: dict[str, Any] = {}
        self._process: QProcess | None = None
        self._thread: threading.Thread | None = None
        self._output = b""
        self._outlet = Outlet(self)
        self._found.connect(self._show)
        self._title = label(self.tr("Device"), "title")
        self.copy_button = push_button(
            "",
            self.tr("Copy the details"),
            self.tr("Everything found here as text, for a question or a report of a fault"),
        )
        self.copy_button.setEnabled(False)
        self.copy_button.clicked.connect(self._copy)
        head, row = bar("bar")
        row.addWidget(self._title)
        row.addStretch()
        row.addWidget(self.copy_button)
        content = QWidget()
        content.setObjectName("scrolled")
        self._cards = QVBoxLayout(content)
        self._cards.setContentsMargins(24, 20, 24, 24)
        self._cards.setSpacing(14)
        self._status = label(self.tr("Looking at this computer…"), "muted")
        self._cards.addWidget(self._status)
        self._make_benchmark()
        self._cards.addStretch()
        scroll = QScrollArea()
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidgetResizable(True)
        scroll.setAccessibleName(self.tr("Device"))
        scroll.setWidget(content)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(head)
        column.addWidget(scroll, 1)

    def examine(self) -> None:
        """Look at the computer in the background."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._examine, name="examine", daemon=True)
            self._thread.start()

    def show_facts(self, facts: dict[str, Any]) -> None:
        """Show what was found."""
        self.facts = facts
        self._status.hide()
        self.copy_button.setEnabled(True)
        self._cards.insertWidget(0, self._make_summary(facts))
        grid = QGridLayout()
        grid.setSpacing(14)
        for index, finding in enumerate(findings(facts)):
            grid.addWidget(_Card(finding), index // 2, index % 2)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        self._cards.insertLayout(3, grid)
        self.examined.emit(facts)

    def shut_down(self, timeout_seconds: float) -> bool:
        """Stop the benchmark; whether nothing runs any more."""
        self._outlet.close()
        if self._process is not None:
            self._process.blockSignals(True)
            self._process.kill()
            self._process.waitForFinished(KILL_MILLISECONDS)
            self._process = None
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            return not self._thread.is_alive()
        return True

    def showEvent(self, event: QShowEvent | None) -> None:
        """Look when someone wants to know."""
        self.examine()

    def run_benchmark(self) -> None:
        """Measure in a process of its own; again to stop."""
        if self._process is not None:
            self._process.kill()
            return
        self._output = b""
        self._process = process = QProcess(self)
        process.readyReadStandardOutput.connect(self._read)
        process.finished.connect(self._show_benchmark)
        process.errorOccurred.connect(self._refuse_benchmark)
        self.benchmark_button.setText(self.tr("Stop"))
        self._benchmark_text.setText(self.tr("Measuring; this takes a few minutes, and other work slows it down…"))
        process.start(sys.executable, list(BENCHMARK))

    def _examine(self) -> None:
        try:
            from nerdrain_rt.doctor import examine

            facts: object = examine()
        except Exception as error:
            facts = error
        self._outlet.emit("_found", facts)

    def _show(self, facts: object) -> None:
        if isinstance(facts, dict):
            self.show_facts(facts)
        else:
            self._status.setText(self.tr("This computer could not be examined."))
            self.failed.emit(str(facts))

    def _make_summary(self, facts: dict[str, Any]) -> QWidget:
        card = QFrame()
        card.setObjectName("card")
        title, text = verdict(facts)
        column = QVBoxLayout(card)
        column.setContentsMargins(20, 18, 20, 18)
        column.setSpacing(6)
        column.addWidget(label(title, "headline", wraps=True))
        column.addWidget(label(text, "muted", wraps=True))
        return card

    def _make_benchmark(self) -> None:
        card = QFrame()
        card.setObjectName("card")
        self.benchmark_button = push_button(
            "gauge", self.tr("Measure the speed"), self.tr("Takes a few minutes; let previews and files rest meanwhile")
        )
        self.benchmark_button.clicked.connect(self.run_benchmark)
        self._benchmark_text = label(
            self.tr("Finds out how many frames a second this computer manages, and whether that is real time."),
            "muted",
            wraps=True,
        )
        self._benchmark_rows = QGridLayout()
        self._benchmark_rows.setHorizontalSpacing(24)
        self._benchmark_rows.setVerticalSpacing(6)
        head = QHBoxLayout()
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(label(self.tr("Benchmark"), "value"))
        words.addWidget(self._benchmark_text)
        head.addLayout(words, 1)
        head.addSpacing(16)
        head.addWidget(self.benchmark_button, 0, Qt.AlignmentFlag.AlignVCenter)
        column = QVBoxLayout(card)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(12)
        column.addLayout(head)
        column.addLayout(self._benchmark_rows)
        self._cards.addWidget(card)

    def _read(self) -> None:
        if self._process is not None:
            self._output += self._process.readAllStandardOutput().data()

    def _refuse_benchmark(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._end_benchmark(self.tr("The benchmark could not be started."))

    def _show_benchmark(self, code: int, status: QProcess.ExitStatus) -> None:
        if self._process is None:
            return
        self._read()
        errors = self._process.readAllStandardError().data().decode(errors="replace").strip()
        if status == QProcess.ExitStatus.CrashExit:
            self._end_benchmark(self.tr("Stopped."))
            return
        try:
            rows = benchmark_rows(json.loads(self._output.decode().strip().splitlines()[-1]))
        except (ValueError, IndexError):
            rows = []
        if code or not rows:
            self._end_benchmark(self.tr("The benchmark gave no result."))
            self.failed.emit(errors.splitlines()[-1] if errors else self.tr("The benchmark gave no result."))
            return
        self._end_benchmark(self.tr("Measured just now on this computer."))
        while (item := self._benchmark_rows.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        for row, cells in enumerate(rows):
            for column, text in enumerate(cells):
                cell = label(text, "muted" if column == 0 or row == 0 else "value")
                self._benchmark_rows.addWidget(cell, row, column)
        self._benchmark_rows.setColumnStretch(0, 1)

    def _end_benchmark(self, text: str) -> None:
        if self._process is not None:
            self._process.deleteLater()
        self._process = None
        self.benchmark_button.setText(self.tr("Measure the speed"))
        self._benchmark_text.setText(text)

    def _copy(self) -> None:
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(json.dumps(self.facts, indent=2, ensure_ascii=False))


class _Card(QFrame):
    """One subject: lines with a mark each."""

    def __init__(self, finding: Finding) -> None:
        super().__init__()
        self.setObjectName("card")
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(8)
        column.addWidget(label(finding.title, "value"))
        for line in finding.lines:
            row = QHBoxLayout()
            row.setSpacing(10)
            mark = label("●", line.mark)
            mark.setAccessibleName(self.tr("available") if line.mark == "good" else self.tr("not available"))
            row.addWidget(mark, 0, Qt.AlignmentFlag.AlignTop)
            words = QVBoxLayout()
            words.setSpacing(0)
            words.addWidget(label(line.text, wraps=True))
            if line.detail:
                words.addWidget(label(line.detail, "muted", wraps=True))
            row.addLayout(words, 1)
            column.addLayout(row)
        column.addStretch()
