"""Checkpoints of a run: written whole or not at all, and what may differ from the recipe that goes on with one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from nerdrain_rt.errors import WeightsError
from nerdrain_rt.model.checkpoint import read_torch
from nerdrain_rt.training.recipe import TrainSettings

NOT_ON_RESUMING = {"width", "head_width", "optimizer"}
PLAN = ("steps", "warmup_steps", "decay_steps", "crops")
"""What a run that is fitted to its time has of its own."""
FREE_ON_RESUMING = {
    "steps", "decay_steps", "checkpoint_minutes", "compile", "validate_every", "validation_images", "validation_size",
}  # fmt: skip
_DEFAULT = TrainSettings()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What `write_checkpoint` wrote, nothing in it run; raises WeightsError where it is none."""
    if not path.exists():
        raise WeightsError(f"{path}: no such file; begin without --resume")
    state = read_torch(path)  # on the CPU: AdamW counts its steps there, and asks for them one by one
    if not isinstance(state, dict) or not isinstance(state.get("settings"), dict):
        raise WeightsError(f"{path}: not a checkpoint of a training")
    return state


def differences(kept: Mapping[str, Any], settings: TrainSettings) -> dict[str, str]:
    """In words what a checkpoint's recipe has otherwise, by name, but for what each slice may have its own of."""
    now, before, default = (
        json.loads(json.dumps(it, default=str)) for it in (asdict(settings), kept, asdict(_DEFAULT))
    )
    # Kinds of rain that a checkpoint does not know were not drawn; what else a kind has no recipe says.
    for table in (now, before, default):
        if "rain" in table:
            table["rain"] = {name: table["rain"].get(name, 0.0) for name in settings.rain.shares}
    changes = {}
    for name, value in now.items():
        old = before.get(name, value if name in NOT_ON_RESUMING else default[name])
        if old != value and name not in FREE_ON_RESUMING:
            one, other = _unlike(old, value)
            changes[name] = f"{name} {_short(one)} is now {_short(other)}"
    return changes


def plan_of(kept: Mapping[str, Any]) -> dict[str, Any]:
    """The plan in a checkpoint's recipe."""
    return {name: kept.get(name, getattr(_DEFAULT, name)) for name in PLAN}


def _unlike(old: Any, new: Any) -> tuple[Any, Any]:
    """The same, of two tables what differs."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return old, new
    names = [name for name in new if old.get(name) != new[name]]
    return {name: old.get(name) for name in names}, {name: new.get(name) for name in names}


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a file of torch whole or not at all; raises WeightsError, the file before it kept."""
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path}: cannot be written, what was there before is kept: {reason}") from error
