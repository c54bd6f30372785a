"""What the kernels' launches share: tuning, padding of channels, and how work is cut into programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import triton

TARGET_PROGRAMS = 1024
"""Some waves of programs on a large GPU, few enough for their partial sums to stay small."""


def tuned(*configs: triton.Config, key: list[str], rows: Callable[[dict[str, Any]], int] | None = None) -> Any:
    """Choose among configurations once per key; Triton keeps the choice on disk. The interpreter takes the first.

    `rows` gives the channels of a kernel's tiles: one warp for sixteen of them, the height of a matrix instruction,
    keeps a thread's registers few and its work its own. Configurations for which it gives 0 are left out.
    """

    def fitting(configs: list[triton.Config], named: dict[str, Any], **constants: Any) -> list[triton.Config]:
        assert rows is not None
        return [
            config for config in configs if config.num_warps == min(rows(named | constants | config.kwargs) // 16, 8)
        ]

    chosen = list(configs[:1]) if triton.knobs.runtime.interpret else list(configs)
    prune = {"early_config_prune": fitting} if rows and len(chosen) > 1 else None
    return triton.autotune(configs=chosen, key=key, prune_configs_by=prune, cache_results=True)


def walks(*pairs: int, **others: int) -> list[triton.Config]:
    """Configurations of a kernel that walks down strips of so many pairs of columns."""
    return [
        triton.Config({"PAIRS": count, **others}, num_warps=warps, num_stages=stages)
        for count in pairs
        for warps in (1, 2, 4, 8)
        for stages in (1, 2, 3)
    ]


def padded(channels: int) -> int:
    """The power of two that holds so many channels, and is large enough for matrix units."""
    return max(16, 1 << (channels - 1).bit_length())


def rows_per_program(height: int, strips: int) -> int:
    """Rows that one program walks down a strip: long walks re-read fewer rows, short ones fill the device."""
    rows = -(-height * strips // TARGET_PROGRAMS)
    return min(max(rows, 8), height)


def check_image(x: torch.Tensor) -> None:
    """Our own mistakes: kernels address memory as B H W C, contiguous."""
    assert x.ndim == 4, x.shape
    assert x.is_contiguous()
