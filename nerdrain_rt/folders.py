"""Where this program keeps what it can make again, and how its files are written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """The user's cache folder for this program; NERDRAIN_CACHE says otherwise."""
    return Path(os.environ.get("NERDRAIN_CACHE") or platformdirs.user_cache_path("nerdrain-rt"))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, whoever else writes it; raises OSError."""
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
        partial = Path(file.name)
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o644)  # as other files; temporary ones are for their owner only
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
