"""Memory for large tensors on a processor, from one to the next: fresh pages cost more time than filling them."""

from __future__ import annotations

import math
import threading
import weakref
from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class _Left(threading.local):
    """What tensors made in this thread left for others made in it; the system has it back when the thread ends."""

    def __init__(self) -> None:
        self.memory: deque[npt.NDArray[np.float32]] = deque(maxlen=2)


_left = _Left()


def recycled(size: Sequence[int], device: torch.device) -> Tensor:
    """A float32 tensor with anything in it, where possible in the memory of one that is gone."""
    if device.type != "cpu":
        return torch.empty(size, device=device)
    count = math.prod(size)
    memory = _take(count)
    lent = memory[:count]
    weakref.finalize(lent, _left.memory.append, memory).atexit = False
    return torch.from_numpy(lent).view(size)


def _take(count: int) -> npt.NDArray[np.float32]:
    """Memory left by a tensor of about this size; what is left of other sizes is given back to the system."""
    while _left.memory:
        memory = _left.memory.pop()
        if count <= len(memory) <= 1.25 * count:
            return memory
    return np.empty(count, np.float32)
