# SPDX-License-Identifier: GPL-3.0-or-later
"""Beside the queue: what is chosen for the marked files, or what came of the one that is done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtGui import QStandardItemModel
from PyQt6.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from nerdrain_gui.controls import Choice, check_box, explain, label
from nerdrain_gui.findings import encoder_in_words
from nerdrain_gui.inspector import Inspector
from nerdrain_gui.job_report import JobReport
from nerdrain_gui.jobs import FileJob, JobOptions, State
from nerdrain_gui.network import Network
from nerdrain_gui.rain_options import RainOptions
from nerdrain_gui.settings import Settings
from nerdrain_gui.words import state_in_words

CODECS = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1", "h264_nvenc", "hevc_nvenc")
BESIDE, CHOOSE = "", "?"


class FilesInspector(Inspector):
    """Options of the marked jobs, or of those to come; and what came of the one that is done."""

    changed = pyqtSignal(dict)
    """The fields of `JobOptions` that the marked jobs are to have otherwise."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self.defaults = JobOptions(
            settings.output_folder,
            settings.codec,
            settings.file_strength,
            settings.file_work_scale,
            settings.file_compares_frames,
            settings.decodes_on_gpu,
        )
        self._jobs: list[FileJob] = []
        self._is_filling = False
        self._heading = label(name="section")
        self.folder = Choice(
            self.tr("Save to"),
            self.tr("Each result beside its source, or all in one folder. The originals are never changed."),
        )
        self.folder.setMinimumContentsLength(12)
        self.folder.setSizeAdjustPolicy(Choice.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.codec = Choice(
            self.tr("Video format"),
            self.tr("How results are compressed. Like the source: in its own format, where that can be written."),
        )
        self.codec.addItem(self.tr("Like the source"), "")
        for name in CODECS:
            self.codec.addItem(encoder_in_words(name), name)
        self.rain = RainOptions(self.tr("Finds fine rain over leaves and grass; takes longer."))
        self.decode = check_box(self.tr("Decode on the graphics card"), "")
        self._why_not = label(name="muted", wraps=True)
        self._options = QWidget()
        form = QVBoxLayout(self._options)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(6)
        for words, widget in ((self.tr("Save to"), self.folder), (self.tr("Video format"), self.codec)):
            form.addWidget(label(words))
            form.addWidget(widget)
            form.addSpacing(10)
        form.addWidget(self.rain)
        form.addSpacing(10)
        form.addWidget(self.decode)
        form.addWidget(self._why_not)
        self._report = JobReport()
        self.column.setSpacing(12)
        self.column.addWidget(self._heading)
        self.column.addWidget(self._report)
        self.column.addWidget(self._options)
        self.column.addStretch()
        self.folder.activated.connect(self._choose_folder)
        self.codec.activated.connect(lambda _: self._take(codec=self.codec.currentData()))
        self.rain.strength_changed.connect(lambda value: self._take(strength=value))
        self.rain.work_scale_chosen.connect(lambda value: self._take(work_scale=value))
        self.rain.compares_chosen.connect(lambda value: self._take(compares_frames=value))
        self.decode.clicked.connect(lambda value: self._take(decodes_on_gpu=value))
        self._told: object = None
        self.show_devices({}, Network())
        self.show_jobs([])

    def show_devices(self, facts: dict[str, Any], network: Network) -> None:
        """Offer what the devices that doctor found, and the one that the network runs on, can do."""
        devices = facts.get("devices", {})
        has_gpu = any(name.startswith("cuda") and what.get("available") for name, what in devices.items())
        is_used = network.device == "auto" or network.device.startswith("cuda")
        why_not, detail = "", ""
        if not has_gpu:
            why_not = self.tr("Needs an NVIDIA graphics card.")
            detail = devices.get("cuda", {}).get("reason", "")
        elif not is_used:
            why_not = self.tr("Needs the network to run on the graphics card too; see Preview.")
        self.decode.setEnabled(not why_not)
        self._why_not.setText(why_not)
        self._why_not.setVisible(bool(why_not))
        tip = self.tr(
            "The NVIDIA graphics card unpacks the video too, which frees the processor. With H.264 or H.265 on NVIDIA"
            " as the video format, frames never leave the card. What it cannot decode, the processor does."
        )
        explain(self.decode, f"{why_not[:-1]}: {detail}" if detail else why_not or tip)
        model = self.codec.model()
        assert isinstance(model, QStandardItemModel)
        for name, is_usable in facts.get("codecs", {}).get("encoders", {}).items():
            item = model.item(self.codec.findData(name))
            if item is not None:
                item.setEnabled(is_usable)
                item.setToolTip("" if is_usable else self.tr("Cannot be written on this computer"))

    def show_jobs(self, jobs: list[FileJob]) -> None:
        """Show these jobs; those to come where there are none."""
        key = [(id(job), job.state) for job in jobs]
        if key == self._told:
            return
        self._told = key
        self._jobs = jobs
        is_over = len(jobs) == 1 and jobs[0].state.is_over
        is_done = is_over and jobs[0].state == State.DONE
        self._options.setVisible(not is_done)
        self._options.setEnabled(not jobs or any(job.state.can_change for job in jobs))
        self._report.setVisible(is_over)
        if is_over:
            self._report.show_job(jobs[0])
        if is_done:
            self._heading.setText(state_in_words(State.DONE).upper())
            return
        if is_over:
            heading = state_in_words(jobs[0].state)
        elif not jobs:
            heading = self.tr("Options for new files")
        else:
            heading = self.tr("Options for {0} files").format(len(jobs)) if len(jobs) > 1 else self.tr("Options")
        self._heading.setText(heading.upper())
        self._fill(self._current)

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
        self.rain.show_values(options.strength, options.work_scale, compares_frames=options.compares_frames)
        self.decode.setChecked(options.decodes_on_gpu)
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
        """Of the first marked job that can be changed; of those to come where none is marked."""
        changeable = [job for job in self._jobs if job.state.can_change]
        return (changeable or self._jobs)[0].options if self._jobs else self.defaults

    def _take(self, **change: Any) -> None:
        if self._is_filling:
            return
        if self._jobs:
            self.changed.emit(change)
            return
        self.defaults = options = replace(self.defaults, **change)
        settings = self._settings
        settings.output_folder, settings.codec = options.output_folder, options.codec
        settings.file_strength, settings.file_work_scale = options.strength, options.work_scale
        settings.file_compares_frames, settings.decodes_on_gpu = options.compares_frames, options.decodes_on_gpu
