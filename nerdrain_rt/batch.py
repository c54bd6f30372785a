"""From what a person names (files, folders, patterns, a target) to jobs, and doing them one after the other."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from nerdrain_rt import console
from nerdrain_rt.errors import DerainError, MediaError, UsageError, first_line
from nerdrain_rt.lanes import is_out_of_memory

VIDEO_SUFFIXES = frozenset({
    ".3g2", ".3gp", ".asf", ".avi", ".flv", ".m2t", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".mxf", ".nut", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m",
})  # fmt: skip
MARK = "_derained"
NOT_FOOTAGE = {"$RECYCLE.BIN", "System Volume Information", "lost+found"}
"""Folders that systems keep on cards and disks, as hidden ones."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file to derain and where its result goes."""

    source: Path
    target: Path
    fault: str | None = None
    """Why `source`, a folder then, could not be looked into."""


class JobError(DerainError):
    """A job is done, but not as it should be; its report says what there is."""

    def __init__(self, message: str, report: dict[str, Any]) -> None:
        super().__init__(message)
        self.report = report


def plan_jobs(
    inputs: Sequence[str], output: str | None, suffixes: Collection[str], *, is_recursive: bool = False
) -> list[Job]:
    """The jobs that `inputs` ask for: in folders, files of these suffixes that are not results of this program.

    A subfolder that cannot be read is a job with a fault, after those of the files; hidden ones are left out.
    A pattern gives files of any suffix, but no results; a file that is named is taken as it is.
    `output` is a file for a single input; a folder where it is one, ends in "/" or has to take several;
    None puts each result beside its input as `<stem>_derained<suffix>`. Subfolders are kept.
    Raises UsageError where nothing is found or two results would have one name.
    """
    unreadable: dict[Path, str] = {}
    found = list(_find_sources(inputs, suffixes, is_recursive, unreadable))
    is_single_file = len(found) == 1 and not Path(inputs[0]).is_dir()
    folder = None if output is None or (is_single_file and not _is_folder(output)) else Path(output)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; several inputs need a folder")
    if folder is not None and folder.suffix.lower() in suffixes and not _is_folder(str(output)):
        raise UsageError(f"{folder}: several inputs need a folder; write {folder}/ if it is to be one")
    if folder is not None:
        found = [(source, base) for source, base in found if base is None or not _is_inside(source, folder, base)]
    jobs = [Job(source, _target(source, base, output, folder), unreadable.get(source)) for source, base in found]
    first: dict[Path, Path] = {}
    for job in jobs:
        other = first.setdefault(job.target, job.source)
        if other.resolve() != job.source.resolve():
            raise UsageError(f"{other} and {job.source} would both become {job.target}")
    if folder is not None:
        for parent in {job.target.parent for job in jobs}:
            _make_folder(parent)
    return list({job.target: job for job in reversed(jobs)}.values())[::-1]


def run_jobs(
    jobs: Sequence[Job], run: Callable[[Job], dict[str, Any]], *, as_json: bool, is_verbose: bool = False
) -> None:
    """Do every job, whatever becomes of the others; `run` returns what `--json` prints of it.

    Raises typer.Exit: 1 where a job failed, 2 where all were refused.
    """
    failures: list[DerainError] = []
    for job in jobs:
        try:
            result = _run(job, run)
        except DerainError as error:
            failures.append(error)
            console.error(error)
            if is_verbose:
                console.stderr.print_exception()
            nothing = {"input": str(job.source), "output": None}
            result = (error.report if isinstance(error, JobError) else nothing) | {"error": str(error)}
        if as_json:
            console.print_json(result)
    if len(jobs) > 1 and failures:
        console.error(f"{len(failures)} of {len(jobs)} inputs failed")
    if failures:
        is_refused = len(failures) == len(jobs) and all(isinstance(error, UsageError) for error in failures)
        raise typer.Exit(2 if is_refused else 1)


def skips_existing(job: Job, *, is_quiet: bool) -> dict[str, Any] | None:
    """What `--json` prints of a job whose target is there already, and a line that says so; None where it is not."""
    if not job.target.exists():
        return None
    if not is_quiet:
        console.note(f"{job.target}: is there, skipped")
    return {"input": str(job.source), "output": str(job.target), "skipped": True}


def _run(job: Job, run: Callable[[Job], dict[str, Any]]) -> dict[str, Any]:
    """Do it; whatever goes wrong is a DerainError, so that the others are done."""
    if job.fault is not None:
        raise MediaError(job.fault)
    try:
        return run(job)
    except DerainError:
        raise
    except OSError as error:
        raise MediaError(f"{error.filename or job.source}: {error.strerror or error}") from error
    except Exception as error:
        words = f"unexpected {type(error).__name__}: {first_line(error)}; run again with --verbose and report it"
        if is_out_of_memory(error):
            words = "out of memory; close what else uses it, or try --work-scale"
        raise DerainError(f"{job.source}: {words}") from error


def _find_sources(
    inputs: Sequence[str], suffixes: Collection[str], is_recursive: bool, unreadable: dict[Path, str]
) -> Iterator[tuple[Path, Path | None]]:
    """Each source, with the folder it was found in where a folder was named; folders that are `unreadable` too."""
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            faults: dict[Path, str] = {}
            below = [file for file in sorted(_files_below(path, is_recursive, faults)) if _is_wanted(file, suffixes)]
            if path in faults:
                raise UsageError(faults[path])
            if not below and not faults:
                raise UsageError(f"{path}: no files to derain in this folder; it takes {', '.join(sorted(suffixes))}")
            unreadable |= faults
            yield from ((source, path) for source in (*below, *sorted(faults)))
        elif not path.exists() and glob.has_magic(text):
            names = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - Path.glob refuses absolute patterns
            files = [Path(name) for name in names if Path(name).is_file()]
            matches = [file for file in files if not _is_result(file)]
            if not matches:
                raise UsageError(f"{text}: matches no file" + (" but results of this program" if files else ""))
            yield from ((match, None) for match in matches)
        else:
            yield path, None


def _files_below(folder: Path, is_recursive: bool, faults: dict[Path, str]) -> Iterator[Path]:
    """What is in the folder and, on demand, its subfolders; `faults` tells of those that cannot be read."""

    def note(error: OSError) -> None:
        faults[Path(error.filename)] = f"{error.filename}: the folder cannot be read: {error.strerror}"

    for parent, folders, names in os.walk(folder, onerror=note):
        yield from (Path(parent, name) for name in names)
        if not is_recursive:
            return
        folders[:] = [name for name in folders if not name.startswith(".") and name not in NOT_FOOTAGE]


def _is_wanted(path: Path, suffixes: Collection[str]) -> bool:
    is_ours = _is_result(path) or path.name.startswith(".")
    return path.suffix.lower() in suffixes and not is_ours and _is_file(path)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return True  # its job will tell why it cannot be read


def _is_result(path: Path) -> bool:
    """Whether the name is one that this program gives its results."""
    return path.stem.endswith(MARK)


def _is_inside(source: Path, folder: Path, base: Path) -> bool:
    """Whether a file found below `base` is a result of an earlier run into `folder`, which lies there too."""
    return folder.resolve() != base.resolve() and folder.resolve() in source.resolve().parents


def _is_folder(output: str) -> bool:
    return output.endswith(("/", "\\")) or Path(output).is_dir()


def _target(source: Path, base: Path | None, output: str | None, folder: Path | None) -> Path:
    if folder is not None:
        return folder / (source.relative_to(base) if base else source.name)
    return source.with_stem(source.stem + MARK) if output is None else Path(output)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: the folder cannot be made: {error.strerror}") from None
