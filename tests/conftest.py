"""Fixtures that several files of tests share."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_path(name: str) -> Path:
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"the reference data {name} is not beside the repository")
    return path


@pytest.fixture(scope="session")
def parity_folder() -> Path:
    return shared_path("parity")
