"""Weights kept as what differs from others, in one byte a parameter, most of them near 0, which compresses well."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nerdrain_rt.errors import WeightsError

STEPS = ".steps"
"""Ends the name of a tensor's steps, one for each of its rows."""
_STEP = 0.25
"""Of a row's root mean square: what is lost is then a fourteenth of the difference."""


def differences(base: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What to add to `base` for `new`, nearly: int8 tensors by their names, and float32 steps of their rows.

    Raises WeightsError where the two are not of one network or lie too far apart.
    """
    if {name: tensor.shape for name, tensor in base.items()} != {name: tensor.shape for name, tensor in new.items()}:
        raise WeightsError("the weights are of another network than those they are to be an update of")
    found = {}
    for name, tensor in new.items():
        rows = _rows(tensor.float() - base[name].float())
        if rows.any():
            steps = torch.maximum(_STEP * rows.square().mean(1).sqrt(), rows.abs().amax(1) / 127)
            if not steps.isfinite().all():
                raise WeightsError(f"{name}: too far from the weights that they are to be an update of")
            changes = rows / steps.clamp(min=torch.finfo(torch.float32).tiny)[:, None]
            found[name] = changes.round().to(torch.int8).view(tensor.shape)
            found[name + STEPS] = steps
    return found


def updated(base: Mapping[str, Tensor], update: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`base` with the differences added, float32; raises WeightsError where they do not fit."""
    state = dict(base)
    left = dict(update)
    for name, tensor in base.items():
        change, steps = left.pop(name, None), left.pop(name + STEPS, None)
        if change is None and steps is None:
            continue
        if change is None or change.dtype != torch.int8 or change.shape != tensor.shape:
            raise WeightsError(f"{name}: not a difference from the weights that this is an update of")
        rows = _rows(change.float())
        if steps is None or steps.shape != rows.shape[:1] or not steps.is_floating_point():
            raise WeightsError(f"{name}: not one step for each row of its difference")
        state[name] = tensor.float() + (rows * steps.float()[:, None]).view(tensor.shape)
    if left:
        raise WeightsError(f"{len(left)} tensors are not of the weights that this is an update of")
    return state


def _rows(tensor: Tensor) -> Tensor:
    """By the first dimension, one-dimensional tensors as one row."""
    return tensor.flatten(1) if tensor.ndim > 1 else tensor.view(1, -1)
