"""What the kernels' launches share: tuning, padding of channels, and how work is cut into programs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
import triton

TARGET_PROGRAMS = 1024
"""Some waves of programs on a large GPU, few enough for their partial sums to stay small."""
measuring: Callable[[], AbstractContextManager[object]] = nullcontext
"""Entered around each measurement: what else the GPU does would spoil a choice that is kept on disk."""


def tuned(*configs: triton.Config, key: list[str], rows: Callable[[dict[str, Any]], int] | None = None) -> Any:
    """Choose among configurations once per key; Triton keeps the choice on disk. The interpreter takes the first.

    `rows` gives the channels of a kernel's tiles: one warp for sixteen of them, the height of a matrix instruction,
    keeps a thread's registers few and its work its own. Configurations for which it gives 0 are left out.
    """
    if triton.knobs.runtime.interpret:
        return triton.autotune(configs=list(configs[:1]), key=key)

    def decorated(function: Any) -> Any:
        uncompiled: list[Callable[[], None]] = []

        def fitting(configs: list[triton.Config], named: dict[str, Any], **constants: Any) -> list[triton.Config]:
            def fits(config: triton.Config) -> bool:
                return not rows or config.num_warps == min(rows(named | constants | config.kwargs) // 16, 8)

            kept = [config for config in configs if fits(config)]
            # Types in place of tensors, which would be held until there is something to measure.
            arguments = [getattr(argument, "dtype", argument) for argument in named.values()]
            uncompiled[:] = [partial(compile_side_by_side, function, kept, arguments, constants)]
            return kept

        def measure(call: Callable[[], object], quantiles: tuple[float, ...]) -> Any:
            while uncompiled:
                uncompiled.pop()()
            with measuring():
                return triton.runtime.driver.active.get_benchmarker()(call, quantiles=quantiles)

        prune = {"early_config_prune": fitting}
        tune = triton.autotune(
            configs=list(configs), key=key, prune_configs_by=prune, do_bench=measure, cache_results=True
        )
        return tune(function)

    return decorated


def compile_side_by_side(
    function: Any, configs: list[triton.Config], arguments: list[Any], constants: dict[str, Any]
) -> None:
    """Compile a kernel's configurations in threads before they are measured one after the other."""
    options = {name: value for name, value in constants.items() if name not in ("grid", "warmup")}
    with ThreadPoolExecutor() as pool, triton.AsyncCompileMode(pool, ignore_errors=True):
        for config in configs:
            function.warmup(*arguments, grid=(1,), **options, **config.all_kwargs())


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
