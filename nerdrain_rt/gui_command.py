"""`nerdrain gui`: starts the desktop application, which is an extra of its own."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from nerdrain_rt.errors import UsageError

Source = Annotated[
    str | None,
    typer.Argument(metavar="[FILE|URL|CAMERA]", help="What to open in the preview.", show_default=False),
]


def gui_command(source: Source = None) -> None:
    """Open the window: live preview, files, and what this computer can do."""
    find_window().main([source] if source else [])


def find_window() -> Any:
    """The application's module; raises UsageError where it is not installed."""
    if find_spec("PyQt6") is None or find_spec("nerdrain_gui") is None:
        raise UsageError('the window is not installed; pip install "nerdrain-rt[gui]"')
    return import_module("nerdrain_gui.app")
