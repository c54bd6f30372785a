"""What `--backend auto` measured on this machine, kept in a file of the user's cache folder."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from nerdrain_rt.backends.engine_spec import driver_version
from nerdrain_rt.folders import cache_folder, write_whole

_log = logging.getLogger(__name__)

KEPT = 100
"""Answers that are remembered, the newest."""
LIBRARIES = ("nerdrain-rt", "triton", "torch-tensorrt", "torch-tensorrt-rtx", "tensorrt", "tensorrt-rtx")


@dataclass(frozen=True, slots=True)
class Key:
    """What a remembered answer holds for, besides the size of the pictures and the candidates there were."""

    machine: Mapping[str, str]
    weights: str
    """SHA-256 of their file."""
    precision: str
    """As asked for: "auto", "fp32", "bf16" or "fp16"."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The fastest backend, and what was measured to find it."""

    backend: str
    size: tuple[int, int]
    """(height, width) it was measured at."""
    milliseconds: Mapping[str, float]
    refused: Mapping[str, str]
    """Why the others were not measured, by name."""

    def __str__(self) -> str:
        """One line: what was chosen, and why."""
        height, width = self.size
        others = [f"{name} {ms:.1f} ms" for name, ms in self.milliseconds.items() if name != self.backend]
        others += [f"{name}: {reason}" for name, reason in self.refused.items()]
        fastest = f"{self.backend}: {self.milliseconds[self.backend]:.1f} ms at {width}x{height}"
        return f"{fastest} ({'; '.join(others)})" if others else fastest


def machine_of(device: torch.device) -> dict[str, str]:
    """What can change which backend is fastest on a GPU: its name, the driver and the libraries."""
    properties = torch.cuda.get_device_properties(device)
    return {
        "device": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "driver": driver_version(),
        "torch": torch.__version__,
        **{name: found for name in LIBRARIES if (found := _version(name))},
    }


def remembered_choices() -> list[Choice]:
    """Every answer in the user's cache folder, whatever it holds for, oldest first."""
    return [choice for _, choice in _read()]


def choices_path() -> Path:
    """Where answers are remembered; NERDRAIN_CACHE names another folder."""
    return cache_folder() / "choices.json"


def bucket_of(size: tuple[int, int]) -> int:
    """Sizes of about as many pixels (within a factor of the square root of 2 or so) have the same."""
    return round(math.log2(size[0] * size[1]))


def recall(key: Key, size: tuple[int, int], names: list[str]) -> Choice | None:
    """The answer for this size, found among just these candidates."""
    wanted = _identity(key, size, names)
    return next((choice for identity, choice in _read() if identity == wanted and choice.backend in names), None)


def remember(key: Key, names: list[str], choice: Choice) -> None:
    """Keep an answer found among these candidates; where the folder is not writable, only log."""
    identity = _identity(key, choice.size, names)
    kept = [entry for entry in _read() if entry[0] != identity][1 - KEPT :]
    entries = [{"for": known, **asdict(answer)} for known, answer in [*kept, (identity, choice)]]
    path = choices_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(entries, indent=1).encode())
    except OSError as error:
        _log.warning("%s: cannot be written, the backend will be chosen again next time: %s", path, error)


def _identity(key: Key, size: tuple[int, int], names: list[str]) -> dict[str, Any]:
    return asdict(key) | {"bucket": bucket_of(size), "candidates": sorted(names)}


def _read() -> list[tuple[dict[str, Any], Choice]]:
    path = choices_path()
    try:
        return list(_parse(json.loads(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        _log.warning("%s: not readable as remembered choices, ignored: %s", path, error)
        return []


def _parse(entries: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Choice]]:
    for entry in entries:
        height, width = entry["size"]
        milliseconds = {str(name): float(value) for name, value in entry["milliseconds"].items()}
        refused = {str(name): str(reason) for name, reason in entry["refused"].items()}
        if entry["backend"] not in milliseconds:
            raise ValueError(f"{entry['backend']} was not measured")
        yield dict(entry["for"]), Choice(entry["backend"], (int(height), int(width)), milliseconds, refused)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
