"""Fixtures that several files of tests share."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from rich.logging import RichHandler

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # Triton reads it when it is imported, which other packages do too

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts the tests in the background ignores Ctrl-C for them and the programs that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_path(name: str) -> Path:
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"the reference data {name} is not beside the repository")
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that only a device can pass are skipped where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def parity_folder() -> Path:
    return shared_path("parity")


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory) -> Iterator[None]:
    """What backends keep between runs goes where the tests' other files go, those of child processes too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NERDRAIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def cache_folder(tmp_path, monkeypatch) -> Path:
    """What backends keep, for one test alone."""
    monkeypatch.setenv("NERDRAIN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    """Every thread that a test begins has ended with it."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """The command line sets up logging for its process; the next test is not to inherit it."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    for handler in [handler for handler in root.handlers if isinstance(handler, RichHandler)]:
        root.removeHandler(handler)
