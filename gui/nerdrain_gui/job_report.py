# SPDX-License-Identifier: GPL-3.0-or-later
"""What came of a file: the fate of each of its streams, and what there is to know."""

from __future__ import annotations

from pathlib import Path

from PyQt6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from nerdrain_gui.controls import label, open_folder, push_button
from nerdrain_gui.job_delegate import fault_in_words
from nerdrain_gui.jobs import FileJob, State
from nerdrain_gui.words import time_in_words


class JobReport(QWidget):
    """Lines about a job that is over."""

    def __init__(self) -> None:
        super().__init__()
        self._rows = QVBoxLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(8)

    def show_job(self, job: FileJob) -> None:
        """Show what came of it."""
        while (item := self._rows.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        add = self._rows.addWidget
        title = label(Path(job.target or job.source).name, "value", wraps=True)
        add(title)
        if job.state == State.FAILED:
            add(label(fault_in_words(job), "bad", wraps=True))
        if job.state != State.DONE:
            return
        frames = self.tr("{0} frames in {1}").format(job.frames_done, time_in_words(job.seconds))
        add(label(frames, "muted"))
        if job.streams:
            self._rows.addSpacing(8)
            add(label(self.tr("Streams").upper(), "section"))
        for stream in job.streams:
            add(_StreamLine(stream))
        if job.warnings:
            self._rows.addSpacing(8)
            add(label(self.tr("To know").upper(), "section"))
        for warning in job.warnings:
            add(label(warning, "muted", wraps=True))
        button = push_button("open", self.tr("Open the folder"), self.tr("Show the result in the file manager"))
        button.clicked.connect(lambda: open_folder(str(Path(job.target).parent)))
        self._rows.addSpacing(8)
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
