# SPDX-License-Identifier: GPL-3.0-or-later
"""How busy the graphics card is that the network runs on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GraphicsLoad:
    """A graphics card at this moment, memory in bytes."""

    memory_used: int
    """By all programs; by this one alone where the card's own meter cannot be asked."""
    memory_total: int
    utilization: float | None
    """The share of the last moments in which it worked; None where the card's own meter cannot be asked."""


def graphics_load(device: str) -> GraphicsLoad | None:
    """What the card `device` does; None for another kind of device."""
    if not device.startswith("cuda"):
        return None
    from torch import cuda

    total = cuda.get_device_properties(device).total_memory
    try:
        return GraphicsLoad(cuda.device_memory_used(device), total, cuda.utilization(device) / 100)
    except Exception:  # nvidia-ml-py is missing, or does not tell of this card; its errors have no kind in common
        return GraphicsLoad(cuda.memory_reserved(device), total, None)
