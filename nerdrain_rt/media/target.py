"""The file a result goes to: refused before the work if it cannot be, and given its name only when it is whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nerdrain_rt.errors import UsageError
from nerdrain_rt.media.report import media_errors


@contextmanager
def whole_file(target: Path, *, source: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary name beside `target`; what was written there becomes `target` when the block ends well.

    Raises `UsageError` on entering for a target that exists, is the source, or has no writable folder, `MediaError`
    where the finished file cannot be given its name. However the block is left, no temporary file remains.
    """
    folder = target.parent
    if not folder.is_dir():
        raise UsageError(f"{target}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{target}: the folder {folder} is not writable")
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{target}: is the source itself; choose another name")
    if target.exists() and not overwrite:
        raise UsageError(f"{target}: exists; allow overwriting or choose another name")
    temporary = folder / f".{target.stem}.{secrets.token_hex(4)}.partial{target.suffix}"
    try:
        yield temporary
        with media_errors(target):
            publish(temporary, target, overwrite=overwrite)
    finally:
        temporary.unlink(missing_ok=True)


def publish(temporary: Path, target: Path, *, overwrite: bool) -> None:
    """Give the finished file its name, without replacing one that appeared meanwhile unless `overwrite`."""
    if overwrite:
        temporary.replace(target)
        return
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if target.exists():
            raise FileExistsError(17, "File exists") from None
        temporary.replace(target)
