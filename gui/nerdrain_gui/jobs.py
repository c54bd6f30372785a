# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that wait for their turn, kept on disk from one run to the next."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import filelock
import platformdirs

_log = logging.getLogger(__name__)
FORMAT = 1


class State(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_active(self) -> bool:
        """Whether a worker has it in hand."""
        return self in (State.RUNNING, State.PAUSED)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self in (State.DONE, State.FAILED, State.CANCELLED)

    @property
    def can_change(self) -> bool:
        """Whether other options are of use: it is still to be done, or to be done again because nothing came of it."""
        return self in (State.WAITING, State.FAILED, State.CANCELLED)


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What can be chosen for each file."""

    output_folder: str = ""
    """Empty: beside the source."""
    codec: str = ""
    """Empty: by the source."""
    strength: float = 1.0
    work_scale: float = 1.0
    compares_frames: bool = True
    decodes_on_gpu: bool = False


@dataclass(slots=True)
class FileJob:
    """One file, what is to be done with it and how far that is."""

    source: str
    options: JobOptions = field(default_factory=JobOptions)
    state: State = State.WAITING
    target: str = ""
    message: str = ""
    """Why it failed."""
    seconds: float = 0.0
    streams: list[dict[str, Any]] = field(default_factory=list)
    """The fate of each stream, as in the library's `StreamReport`."""
    warnings: list[str] = field(default_factory=list)
    frames_done: int = 0
    frames_total: int | None = None
    fps: float = 0.0

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return Path(self.source).name

    @property
    def share(self) -> float | None:
        """How much is done, 0 to 1; None where the length is unknown."""
        if self.state == State.DONE:
            return 1.0
        return min(1.0, self.frames_done / self.frames_total) if self.frames_total else None

    @property
    def seconds_left(self) -> float | None:
        """An estimate by the speed so far; None where there is none."""
        if not self.state.is_active or not self.frames_total or not self.fps:
            return None
        return max(0, self.frames_total - self.frames_done) / self.fps

    def reset(self) -> None:
        """Make it wait as on the first day."""
        fresh = FileJob(self.source, self.options)
        for item in fields(self):
            setattr(self, item.name, getattr(fresh, item.name))


def free_target(job: FileJob) -> Path:
    """`<stem>_derained<suffix>` in the job's folder, numbered where that is taken."""
    source = Path(job.source)
    folder = Path(job.options.output_folder) if job.options.output_folder else source.parent
    target = folder / f"{source.stem}_derained{source.suffix}"
    number = 2
    while target.exists():
        target = folder / f"{source.stem}_derained-{number}{source.suffix}"
        number += 1
    return target


def queue_file() -> Path:
    """Where the queue is kept."""
    return platformdirs.user_data_path("nerdrain-rt") / "queue.json"


def hold_queue(path: Path) -> filelock.BaseFileLock | None:
    """Keep other windows from the queue until the lock is released; None where one of them has it."""
    lock = filelock.FileLock(path.with_suffix(".lock"), blocking=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        return None
    except (OSError, NotImplementedError) as error:
        _log.warning("%s: the queue is not held against other windows: %s", path, error)
    return lock


def read_jobs(path: Path) -> list[FileJob]:
    """The jobs of the last time; one that was being worked on waits again. Empty where nothing can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [_from_json(item) for item in content["jobs"]] if content["format"] == FORMAT else []
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s: the queue cannot be read: %s", path, error)
        return []


def write_jobs(path: Path, jobs: Iterable[FileJob]) -> None:
    """Keep the jobs; the old file stays whole until the new one is. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    content = {"format": FORMAT, "jobs": [asdict(job) for job in jobs]}
    temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    temporary.replace(path)


def _from_json(item: dict[str, Any]) -> FileJob:
    job = FileJob(**item | {"options": JobOptions(**item["options"]), "state": State(item["state"])})
    if job.state.is_active:
        job.reset()
    return job
