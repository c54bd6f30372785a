"""A backend with what is known of its device's memory: whole images where they fit, else tiles."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import psutil
import torch
from torch import Tensor

from nerdrain_rt.backends import Backend
from nerdrain_rt.errors import BackendError
from nerdrain_rt.lanes import is_out_of_memory
from nerdrain_rt.tiling import blend_tiles

_log = logging.getLogger(__name__)

SMALLEST_TILE = 64
MEMORY_SHARE = 0.7
"""The part of the free memory that one frame may take before it is tiled."""


class TiledBackend:
    """`backend` for images of any size that is a multiple of what it takes; for one thread.

    `tile` is the side of the tiles in pixels; 0: whole images; None: whole images as long as memory allows. `warn`
    takes a line when tiles become necessary. `first_run` is held by the first run of a size: it measures, compiles,
    tunes and records, which the same on another device would disturb.
    """

    def __init__(
        self, backend: Backend, tile: int | None, *, warn: Callable[[str], None], first_run: threading.Lock
    ) -> None:
        self.backend = backend
        self._tile = tile
        self._warn = warn
        self._first_run = first_run
        self._fitting: set[torch.Size] = set()
        self._known: set[torch.Size] = set()

    def __call__(self, rainy: Tensor) -> Tensor:
        """B 3 H W in [0, 1] to the residual, float32.

        In tiles where memory asks for it, in smaller ones where it ran out; raises BackendError where none fits.
        """
        if rainy.shape in self._known:
            return self._without_overflow(rainy)
        with self._first_run:
            residual = self._without_overflow(rainy)
        self._known.add(rainy.shape)
        return residual

    def _without_overflow(self, rainy: Tensor) -> Tensor:
        known = self._tile
        while True:
            tile = self._tile_size(rainy)
            try:
                residual = self._run(rainy, tile)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if max(tile) // 2 < SMALLEST_TILE:
                    self._tile = known
                    message = f"{self.backend.device}: out of memory even in tiles of {max(tile)}"
                    raise BackendError(message) from error
                self._tile = max(tile) // 2
            else:
                if self._tile != known:
                    self._tell_of_tiles(rainy, tile)
                return residual
            if self.backend.device.type == "cuda":
                torch.cuda.empty_cache()

    def _run(self, rainy: Tensor, tile: tuple[int, int]) -> Tensor:
        if tile == tuple(rainy.shape[-2:]):
            return self.backend(rainy)
        return blend_tiles(rainy, self.backend, tile=tile, overlap=max(16, min(tile) // 8))

    def _tile_size(self, rainy: Tensor) -> tuple[int, int]:
        """(height, width) of the tiles for these images; the whole size where none are needed."""
        height, width = rainy.shape[-2:]
        whole = max(height, width)

        def tile(side: int) -> tuple[int, int]:
            side = round_up(side, self.backend.multiple_of)
            return min(height, side), min(width, side)

        if self._tile is None and rainy.shape not in self._fitting:
            free = MEMORY_SHARE * free_memory(self.backend.device) / len(rainy)
            side = whole
            while side > SMALLEST_TILE and self.backend.bytes_for(tile(side)) > free:
                side = side * 3 // 4
            if side == whole:
                self._fitting.add(rainy.shape)
            else:
                self._tile = side
        return tile(self._tile or whole)

    def _tell_of_tiles(self, rainy: Tensor, tile: tuple[int, int]) -> None:
        height, width = rainy.shape[-2:]
        warning = f"{self.backend.device}: no memory for {width}x{height} at once; working in tiles of {max(tile)}"
        self._warn(warning)
        _log.warning(warning)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device now."""
    if device.type == "cuda":
        reserved_but_free = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + reserved_but_free)
    return int(psutil.virtual_memory().available)


def round_up(value: int, multiple: int) -> int:
    """The multiple that is not below `value`."""
    return -(-value // multiple) * multiple
