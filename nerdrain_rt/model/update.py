"""Weights kept as what differs from others, in one byte a parameter: a fifth of the size once it is compressed."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nerdrain_rt.errors import WeightsError

STEPS = ".steps"
"""Ends the name of a tensor's steps, one for each of its rows."""
_STEP = 0.5
"""Of a row's root mean square. As fine a step as its whole changes PSNR by less than 0.1 dB."""


def differences(base: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What to add to `base` for `new`, nearly: int8 tensors by their names, and float32 steps of their rows.

    Raises WeightsError where the two are not of one network.
    """
    if {name: tensor.shape for name, tensor in base.items()} != {name: tensor.shape for name, tensor in new.items()}:
        raise WeightsError("the weights are of another network than those they are to be an update of")
    found = {}
    for name, tensor in new.items():
        rows = _rows(tensor.float() - base[name].float())
        if rows.any():
            steps = (_STEP * rows.square().mean(1).sqrt()).clamp(min=torch.finfo(torch.float32).tiny)
            found[name] = (rows / steps[:, None]).round().clamp(-127, 127).to(torch.int8).view(tensor.shape)
            found[name + STEPS] = steps
    return found


def updated(base: Mapping[str, Tensor], update: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`base` with the differences added, in its precision; raises WeightsError where they do not fit."""
    state = dict(base)
    for name, change in update.items():
        if name.endswith(STEPS):
            continue
        tensor, steps = base.get(name), update.get(name + STEPS)
        if tensor is None or steps is None or change.dtype != torch.int8 or change.shape != tensor.shape:
            raise WeightsError(f"{name}: not a difference from the weights that this is an update of")
        rows = _rows(change.float())
        if steps.shape != rows.shape[:1] or not steps.is_floating_point():
            raise WeightsError(f"{name}{STEPS}: not one step for each row")
        state[name] = (tensor.float() + (rows * steps.float()[:, None]).view(tensor.shape)).to(tensor.dtype)
    return state


def _rows(tensor: Tensor) -> Tensor:
    """By the first dimension, one-dimensional tensors as one row."""
    return tensor.reshape(tensor.shape[0] if tensor.ndim > 1 else 1, -1)
