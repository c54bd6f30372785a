"""Takes PyAV's place on a machine that has none, for what touches no video, as training: every name in it is empty."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock


class FFmpegError(Exception):
    """Never raised; errors of the system are caught beside it."""


class Nothing(MetaPathFinder, Loader):
    """Finds every module below this one."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """That of a package without content."""
        return ModuleSpec(name, self, is_package=True) if name.startswith(f"{__name__}.") else None

    def create_module(self, spec: ModuleSpec) -> None:
        """As Python does."""

    def exec_module(self, module: ModuleType) -> None:
        """Give it names as they are asked for."""
        module.__getattr__ = anything  # type: ignore[method-assign]


def anything(name: str) -> Any:
    """What takes any use."""
    if name.startswith("__"):
        raise AttributeError(name)
    return MagicMock(name=f"{__name__}.{name}")


sys.meta_path.append(Nothing())
__getattr__ = anything
