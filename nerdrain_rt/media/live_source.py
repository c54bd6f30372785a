"""Finds the live source that a name means: a camera, an address, a file played at its own speed, or a test picture."""

from __future__ import annotations

import re
from pathlib import Path

from nerdrain_rt.media.camera import open_camera
from nerdrain_rt.media.live_base import LiveFrame, LiveSource, LiveSourceSettings
from nerdrain_rt.media.live_stream import open_test_picture, open_url
from nerdrain_rt.media.paced_file import PacedFile

__all__ = ["LiveFrame", "LiveSource", "LiveSourceSettings", "is_address", "open_source"]


def open_source(name: str, settings: LiveSourceSettings | None = None) -> LiveSource:
    """The source called `name`, which connects when it is entered.

    A number, a device (/dev/video0) or a camera's name is a camera, something with "://" an address, "test" a
    moving test picture with a tone; anything else has to be a file. Raises CameraError for what is none of these.
    """
    settings = settings or LiveSourceSettings()
    if name == "test":
        return open_test_picture(settings)
    if is_address(name):
        return open_url(name, settings)
    path = Path(name)
    if path.is_file():
        return PacedFile(path, settings)
    return open_camera(name, settings)


def is_address(name: str) -> bool:
    """Whether it is a URL."""
    return re.match(r"[a-z][a-z0-9+.-]+://", name, re.IGNORECASE) is not None
