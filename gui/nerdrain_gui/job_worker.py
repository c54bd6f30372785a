# SPDX-License-Identifier: GPL-3.0-or-later
"""Does one file of the queue in a thread."""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QCoreApplication

from nerdrain_gui.jobs import FileJob, State, free_target
from nerdrain_gui.network import LoadDerainer, Network, in_words

_log = logging.getLogger(__name__)
translate = QCoreApplication.translate
TELL_SECONDS = 0.2
CLOSING_SECONDS = 20
"""The longest wait for a thread inside a slow network to close its file; the window is hidden by then."""


class JobWorker:
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

    def discard_leftovers(self) -> None:
        """Remove the unfinished file while the thread is still at it; on Windows it has to close it first."""
        from nerdrain_rt.media.target import temporaries

        for path, process in temporaries(self.target) if self.target is not None else ():
            if process != os.getpid():
                continue
            try:
                path.unlink(missing_ok=True)
            except PermissionError:
                self.thread.join(CLOSING_SECONDS)  # it removes the file itself
            except OSError as error:
                _log.info("%s: not removed: %s", path, error)

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
            derainer.settings,
            strength=self._options.strength,
            work_scale=self._options.work_scale,
            temporal=self._options.compares_frames,
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
        decodes_on_gpu = self._options.decodes_on_gpu and derainer.gpu is not None
        warnings = []
        if self._options.decodes_on_gpu and not decodes_on_gpu:
            warnings.append(translate("JobWorker", "Decoded on the processor, because the network ran there"))
        with closing(
            derain_video(self.job.source, target, derainer, output=output, decode_on_gpu=decodes_on_gpu)
        ) as steps:
            for step in steps:
                if step.report is not None:
                    report = step.report
                    return {
                        "state": State.DONE,
                        "target": report.output,
                        "seconds": clock.seconds,
                        "streams": [asdict(stream) for stream in report.streams],
                        "warnings": [*warnings, *report.warnings],
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
