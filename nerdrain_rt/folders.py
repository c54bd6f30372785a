"""Where this program keeps what it can make again."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """The user's cache folder for this program; NERDRAIN_CACHE says otherwise."""
    return Path(os.environ.get("NERDRAIN_CACHE") or platformdirs.user_cache_path("nerdrain-rt"))
