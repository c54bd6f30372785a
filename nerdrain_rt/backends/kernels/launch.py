"""What the kernels' launches share: tuning, padding of channels, and how work is cut into programs."""

from __future__ import annotations

from typing import Any

import torch
import triton

TARGET_PROGRAMS = 1024
"""Some waves of programs on a large GPU, few enough for their partial sums to stay small."""


def tuned(*configs: triton.Config, key: list[str]) -> Any:
    """Choose among configurations once per key; Triton keeps the choice on disk. The interpreter takes the first."""
    chosen = list(configs[:1]) if triton.knobs.runtime.interpret else list(configs)
    return triton.autotune(configs=chosen, key=key, cache_results=True)


def padded(channels: int) -> int:
    """The power of two that holds so many channels, and is large enough for matrix units."""
    return max(16, triton.next_power_of_2(channels))


def aligned(channels: int) -> int:
    """Channels stored for so many: rows of 16 bytes, which one thread moves at once."""
    return -(-channels // 8) * 8


def rows_per_program(height: int, columns_of_programs: int) -> int:
    """Rows that one program walks down: long walks re-read fewer rows, short ones fill the device."""
    rows = -(-height * columns_of_programs // TARGET_PROGRAMS)
    return min(max(rows, 8), height)


def check_image(x: torch.Tensor) -> None:
    """Our own mistakes: kernels address memory as B H W C, contiguous."""
    assert x.ndim == 4, x.shape
    assert x.is_contiguous()
