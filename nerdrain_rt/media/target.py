"""The file a result goes to: refused before the work if it cannot be, and given its name only when it is whole."""

from __future__ import annotations

import errno
import glob
import os
import platform
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from nerdrain_rt.errors import MediaError, UsageError
from nerdrain_rt.media.report import explain, media_errors

LONGEST_STEM = 150
"""Bytes; names of files have up to 255."""


@contextmanager
def whole_file(target: Path, *, source: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary name beside `target`; what was written there becomes `target` when the block ends well.

    Raises as `temporary_beside` on entering and as `publish` at the end. However the block is left, no temporary
    file remains.
    """
    temporary = temporary_beside(target, source=source, overwrite=overwrite)
    try:
        yield temporary
        publish(temporary, target, overwrite=overwrite)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_beside(target: Path, *, source: Path, overwrite: bool) -> Path:
    """The hidden name under which the result is made, of the same suffix; a link's is beside the file it points to.

    It has the process's number in it, and what processes of this machine that are no more have left of the same target
    is removed.

    Raises `UsageError` for a target that exists, is the source, a device or a folder, or has no writable folder.
    """
    folder = _behind_links(target).parent
    if not folder.is_dir():
        raise UsageError(f"{target}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{target}: the folder {folder} is not writable")
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{target}: is the source itself; choose another name")
    if target.exists() and not target.is_file():
        raise UsageError(f"{target}: is not a file that can be replaced")
    if os.path.lexists(target) and not overwrite:
        raise UsageError(f"{target}: exists; allow overwriting (-y) or choose another name")
    _remove_abandoned(target)
    whose = f"{_this_machine()}-{os.getpid()}-{secrets.token_hex(2)}"
    return folder / f".{_partial_stem(target)}.{whose}.partial{target.suffix}"


def temporaries(target: Path) -> Iterator[tuple[Path, int]]:
    """The hidden files in which processes of this machine make or made `target`, with the numbers of those."""
    stem, suffix = glob.escape(_partial_stem(target)), glob.escape(target.suffix)
    for path in _behind_links(target).parent.glob(f".{stem}.{_this_machine()}-*-*.partial{suffix}"):
        process = path.name.removesuffix(f".partial{target.suffix}").split("-")[-2]
        if process.isdecimal():
            yield path, int(process)


def _remove_abandoned(target: Path) -> None:
    for path, process in temporaries(target):
        if not psutil.pid_exists(process):
            with suppress(OSError):
                path.unlink()


def _this_machine() -> str:
    """Its name in short: a folder may be shared, and processes of others are not known here."""
    return f"{zlib.crc32(platform.node().encode()):08x}"


def kept_partial(target: Path) -> Path:
    """The name of what was done until a run was broken off."""
    return target.with_name(f"{target.stem}.partial{target.suffix}")


def _partial_stem(target: Path) -> str:
    """What the temporary name begins with, short enough for the rest of it."""
    stem = target.stem.replace("%", "_")  # FFmpeg takes %d in a picture's name for a series
    return stem.encode(errors="surrogateescape")[:LONGEST_STEM].decode(errors="ignore")


def publish(temporary: Path, target: Path, *, overwrite: bool) -> None:
    """Give the finished file its name once it is on disk; `temporary` may stay as a second one.

    A link stays and points to it. Where that cannot be, as without `overwrite` for a target that appeared meanwhile,
    the target is left alone and the result is kept under a name of its own, which the `MediaError` tells.
    """
    try:
        with temporary.open("rb+") as file:  # what it replaces may be the only other copy
            os.fsync(file.fileno())
        if overwrite or not _link(temporary, target):
            temporary.replace(_behind_links(target))
    except OSError as error:
        result = temporary.with_name(f"{_partial_stem(target)}.{secrets.token_hex(4)}{target.suffix}")
        with media_errors(target):
            temporary.replace(result)
        raise MediaError(f"{target}: {explain(error)}; the result is {result}") from error


def _behind_links(target: Path) -> Path:
    """The file that writing to `target` changes."""
    return Path(os.path.realpath(target)) if target.is_symlink() else target


def _link(temporary: Path, target: Path) -> bool:
    """Whether `target` is now a second name of the file; it is False where there are no hard links.

    Raises `FileExistsError` for a target that exists.
    """
    try:
        os.link(temporary, target)
    except OSError:
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "exists by now") from None
        return False
    return True
