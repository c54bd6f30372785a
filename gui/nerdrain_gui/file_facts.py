# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at files in the background: what a folder holds, and of each file a small picture and its measures."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PyQt6.QtCore import QCoreApplication, QObject, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QImage, QImageReader

from nerdrain_gui.outlet import Outlet
from nerdrain_gui.picture import as_image, upright

_log = logging.getLogger(__name__)
translate = QCoreApplication.translate
THUMBNAIL = QSize(160, 90)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is shown of a file; null image and zeros where it cannot be read."""

    image: QImage
    size: tuple[int, int] = (0, 0)
    """(height, width)."""
    seconds: float = 0.0
    bytes: int = 0


class FileLooker(QObject):
    """Answers by signals, one file after the other."""

    looked = pyqtSignal(str, object)
    """A file and its `FileFacts`."""
    found = pyqtSignal(list)
    """Files that can be derained among what was given."""
    refused = pyqtSignal(str)
    """What was given, or a folder in it, cannot be read or holds nothing to derain."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="files")
        self._outlet = Outlet(self)
        self._known: dict[str, FileFacts | None] = {}

    def facts(self, path: str) -> FileFacts | None:
        """What is known of a file; None until `looked` tells."""
        if path not in self._known:
            self._known[path] = None
            self._pool.submit(self._look, path)
        return self._known[path]

    def find(self, paths: Sequence[str]) -> None:
        """Look through files and folders; `found` or `refused` tells."""
        self._pool.submit(self._find, list(paths))

    def shut_down(self) -> None:
        """Begin nothing more."""
        self._outlet.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _look(self, path: str) -> None:
        facts = read_facts(Path(path))
        self._known[path] = facts
        self._outlet.emit("looked", path, facts)

    def _find(self, paths: list[str]) -> None:
        from nerdrain_rt.batch import VIDEO_SUFFIXES, plan_jobs
        from nerdrain_rt.errors import UsageError
        from nerdrain_rt.media.image import FORMATS

        suffixes = VIDEO_SUFFIXES | FORMATS.keys()
        found: list[str] = []
        for path in paths:
            try:
                jobs = plan_jobs([path], None, suffixes, is_recursive=True)
            except UsageError as error:
                self._outlet.emit("refused", str(error))
                continue
            faults = [job.fault for job in jobs if job.fault is not None]
            for fault in faults:
                self._outlet.emit("refused", fault)
            wanted = [str(job.source) for job in jobs if not job.fault and job.source.suffix.lower() in suffixes]
            if not wanted and not faults:
                words = translate("FileLooker", "{0}: neither a video nor a picture").format(Path(path).name)
                self._outlet.emit("refused", words)
            found += wanted
        self._outlet.emit("found", found)


def read_facts(path: Path) -> FileFacts:
    """The first picture of a file at thumbnail size, its measures and its length."""
    from nerdrain_rt.errors import MediaError
    from nerdrain_rt.media.source import read_first_picture

    try:
        size = path.stat().st_size if path.is_file() else 0
    except OSError as error:  # in a folder that may be listed only
        _log.info("%s: no picture: %s", path, error)
        return FileFacts(QImage())
    reader = QImageReader(str(path))
    if reader.canRead():
        reader.setAutoTransform(True)
        image = reader.read()
        return FileFacts(_fitted(image), (image.height(), image.width()), 0.0, size)
    try:
        picture, _, seconds = read_first_picture(str(path))
        samples = upright(picture, (picture.height, picture.width), picture.rotation)
    except (MediaError, ValueError) as error:
        _log.info("%s: no picture: %s", path, error)
        return FileFacts(QImage(), bytes=size)
    return FileFacts(_fitted(as_image(samples)), samples.shape[:2], seconds, size)


def _fitted(image: QImage) -> QImage:
    """Fills the thumbnail's size; a copy, whatever the image points to."""
    filled = image.scaled(
        THUMBNAIL, Qt.AspectRatioMode.KeepAspectRatioByExpanding, Qt.TransformationMode.SmoothTransformation
    )
    x, y = (filled.width() - THUMBNAIL.width()) // 2, (filled.height() - THUMBNAIL.height()) // 2
    return filled.copy(x, y, THUMBNAIL.width(), THUMBNAIL.height())
