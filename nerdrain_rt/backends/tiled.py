"""A backend with what is known of its device's memory: whole images where they fit, else tiles."""

from __future__ import annotations

import logging
import math
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
    takes a line when tiles become necessary for a size. `first_run` is held by the first run of a size: it measures,
    compiles, tunes and records, which the same on another device would disturb.
    """

    def __init__(
        self, backend: Backend, tile: int | None, *, warn: Callable[[str], None], first_run: threading.Lock
    ) -> None:
        self.backend = backend
        self._tile = tile
        self._warn = warn
        self._first_run = first_run
        self._sides: dict[torch.Size, int] = {}
        """Of the tiles, by the shape of images that were run; 0: whole images."""
        self._too_much = math.inf
        """The fewest pixels at once for which memory ran out."""

    def __call__(self, rainy: Tensor) -> Tensor:
        """B 3 H W in [0, 1] to the residual, float32.

        In tiles where memory asks for it, in smaller ones where it ran out; raises BackendError where none fits.
        """
        if rainy.shape in self._sides:
            return self._without_overflow(rainy)
        with self._first_run:
            return self._without_overflow(rainy)

    def _without_overflow(self, rainy: Tensor) -> Tensor:
        known, too_much = self._sides.get(rainy.shape, self._tile), self._too_much
        side = self._side_for(rainy) if known is None else known
        while True:
            tile = self._tile_size(rainy, side)
            try:
                residual = self._run(rainy, tile)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if max(tile) <= SMALLEST_TILE:
                    self._too_much = too_much
                    message = f"{self.backend.device}: out of memory even in tiles of {max(tile)}"
                    raise BackendError(message) from error
                self._too_much = min(self._too_much, len(rainy) * math.prod(tile))
                side = max(SMALLEST_TILE, max(tile) // 2)
            else:
                self._sides[rainy.shape] = side
                if side != (known or 0):
                    self._tell_of_tiles(rainy, tile)
                return residual
            if self.backend.device.type == "cuda":
                torch.cuda.empty_cache()

    def _run(self, rainy: Tensor, tile: tuple[int, int]) -> Tensor:
        if tile == tuple(rainy.shape[-2:]):
            return self.backend(rainy)
        return blend_tiles(rainy, self.backend, tile=tile, overlap=max(16, min(tile) // 8))

    def _side_for(self, rainy: Tensor) -> int:
        """The side of the tiles for which there is memory; 0: there is for the whole images."""
        free = MEMORY_SHARE * free_memory(self.backend.device) / len(rainy)
        too_much = self._too_much / len(rainy)
        whole = side = max(rainy.shape[-2:])

        def fits(tile: tuple[int, int]) -> bool:
            return self.backend.bytes_for(tile) <= free and math.prod(tile) < too_much

        while side > SMALLEST_TILE and not fits(self._tile_size(rainy, side)):
            side = side * 3 // 4
        return 0 if side == whole else side

    def _tile_size(self, rainy: Tensor, side: int) -> tuple[int, int]:
        """(height, width) of tiles of this side; of the whole images for 0."""
        height, width = rainy.shape[-2:]
        side = round_up(side, self.backend.multiple_of) or max(height, width)
        return min(height, side), min(width, side)

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
