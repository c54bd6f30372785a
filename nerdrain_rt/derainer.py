"""Takes the rain out of frames: pads, tiles and scales what the network sees, and puts its residual into the planes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor

from nerdrain_rt.backends import Backend, load_backend, precision_name
from nerdrain_rt.color import Planes
from nerdrain_rt.errors import BackendError, UsageError
from nerdrain_rt.frame import Frame
from nerdrain_rt.lanes import Lane, Mark, in_one_thread, use_threads, wait
from nerdrain_rt.model.weights import DEFAULT, load_weights
from nerdrain_rt.tiling import blend_tiles

_log = logging.getLogger(__name__)

Prepared = tuple[Frame, tuple[Planes, list[Tensor], Mark] | None]
"""A frame with its planes and the RGB of each of its fields; None where it is to pass as it is."""
Predicted = tuple[Frame, tuple[Planes, list[Tensor], list[Tensor], Mark] | None]
"""A frame with its planes, the RGB and the residual of each of its fields; None where it is to pass as it is."""

SMALLEST_TILE = 64
MEMORY_SHARE = 0.7
"""The part of the free memory that one frame may take before it is tiled."""


@dataclass(frozen=True, slots=True)
class DerainSettings:
    """How frames are derained. Raises UsageError for what cannot be."""

    weights: str = DEFAULT
    """A name or a path, as `load_weights` takes it."""
    backend: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    wait_engine: bool = False
    """Wait until TensorRT has built its engine instead of working on another backend meanwhile."""
    strength: float = 1.0
    """Share of the residual that is applied, 0 to 1; 0 leaves every sample as it is."""
    tile: int | None = None
    """Side of the tiles in pixels; 0: whole frames; None: whole frames as long as memory allows."""
    work_scale: float = 1.0
    """Size the network works at, above 0 up to 1; its residual is grown and applied at full size."""

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise UsageError(f"strength is {self.strength:g}; it goes from 0 to 1")
        if not 0 < self.work_scale <= 1:
            raise UsageError(f"work scale is {self.work_scale:g}; it must be above 0 and at most 1")
        if self.tile and self.tile < SMALLEST_TILE:
            raise UsageError(f"tile is {self.tile}; use 0 for whole frames, or at least {SMALLEST_TILE}")


class Derainer:
    """The network with its settings, for any number of videos and images, one at a time."""

    def __init__(
        self,
        settings: DerainSettings | None = None,
        *,
        backend: Backend | None = None,
        announce: Callable[[str], None] = _log.info,
    ) -> None:
        """Load what the settings name, or use `backend`; raises WeightsError or BackendError.

        `announce` takes a line that says which backend was chosen and why.
        """
        self.settings = settings = settings or DerainSettings()
        self._threads = torch.get_num_threads()
        self.backend = backend or load_backend(
            load_weights(settings.weights),
            settings.backend,
            device=settings.device,
            precision=settings.precision,
            wait_engine=settings.wait_engine,
            announce=announce,
        )
        self.warnings: list[str] = []
        self._tile = settings.tile
        self._fitting: set[torch.Size] = set()

    def derain(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Each frame again, its picture changed in place: the three steps one after the other.

        Where each step runs ahead of the next in a thread of its own, the network hides the other two.
        """
        return self.finish(self.predict(self.prepare(frames)))

    def prepare(self, frames: Iterable[Frame]) -> Iterator[Prepared]:
        """The first step: each frame with its planes and its fields as RGB, on the device."""
        lane = Lane(self.backend.device)
        for frame in frames:
            if not self.settings.strength:
                yield frame, None
                continue
            with lane.after(), in_one_thread(self._threads):
                planes = Planes.of(frame.picture, pin_memory=self.backend.device.type == "cuda")
                planes = planes.to(self.backend.device, non_blocking=True)
                rainy = [field.rgb() for field in _fields(frame, planes)]
            yield frame, (planes, rainy, lane.mark())

    def predict(self, prepared: Iterable[Prepared]) -> Iterator[Predicted]:
        """The second step: the residual of each field."""
        lane = Lane(self.backend.device)
        use_threads(self._threads)
        for frame, parts in prepared:
            if parts is None:
                yield frame, None
                continue
            planes, rainy, mark = parts
            with lane.after(mark):
                residuals = self._residuals(rainy)
            yield frame, (planes, rainy, residuals, lane.mark())

    def finish(self, predicted: Iterable[Predicted]) -> Iterator[Frame]:
        """The last step: each frame with the residual in its picture.

        The only one in which the host waits for the device. A frame's tensors live until then, so that no lane gets
        memory in which another is still at work. Raises BackendError where the network's sums overflow.
        """
        lane = Lane(self.backend.device)
        for frame, parts in predicted:
            if parts is not None:
                planes, rainy, residuals, mark = parts
                with lane.after(mark), in_one_thread(self._threads):
                    for field, *change in zip(_fields(frame, planes), rainy, residuals, strict=True):
                        field.add_residual(*change)
                    is_finite = _are_finite(residuals).to("cpu", non_blocking=True)
                    result = planes.to("cpu", non_blocking=True)
                wait(lane.mark())
                self._refuse_unless(is_finite)
                result.write_to(frame.picture)
            yield frame

    @torch.inference_mode()
    def residual(self, rainy: Tensor) -> Tensor:
        """What to add to rainy images B 3 H W in [0, 1] of any size, times the strength; float32, on the same device.

        Raises BackendError where even the smallest tile is too much for the memory, or the network's sums overflow.
        """
        if not self.settings.strength:
            return torch.zeros_like(rainy, dtype=torch.float32)
        residual = self._unchecked(rainy)
        self._refuse_unless(_are_finite([residual]))
        return residual.to(rainy.device)

    def _unchecked(self, rainy: Tensor) -> Tensor:
        """The residual times the strength, on the backend's device."""
        size = rainy.shape[-2:]
        work = rainy.to(self.backend.device, torch.float32)
        if self.settings.work_scale < 1:
            work_size = [max(1, round(side * self.settings.work_scale)) for side in size]
            work = F.interpolate(work, work_size, mode="bilinear", antialias=True)
        residual = self._without_overflow(_pad(work, self.backend.multiple_of))[..., : work.shape[-2], : work.shape[-1]]
        if residual.shape[-2:] != size:
            residual = F.interpolate(residual, size, mode="bilinear")
        return residual if self.settings.strength == 1 else residual * self.settings.strength

    def _refuse_unless(self, is_finite: Tensor) -> None:
        if not is_finite:
            backend = f"{self.backend.name} in {precision_name(self.backend.dtype)}"
            raise BackendError(f"{backend}: gave values that are not finite; try --precision fp32")

    def _residuals(self, fields: list[Tensor]) -> list[Tensor]:
        """The residual of each field; of two of the same size, at once."""
        if len({field.shape for field in fields}) < len(fields):
            return list(self._unchecked(torch.cat(fields)).chunk(len(fields)))
        return [self._unchecked(field) for field in fields]

    def _without_overflow(self, rainy: Tensor) -> Tensor:
        """The backend's residual, in tiles where memory asks for it, in smaller ones where it ran out."""
        known = self._tile
        while True:
            tile = self._tile_size(rainy)
            try:
                residual = self._run(rainy, tile)
            except (torch.OutOfMemoryError, MemoryError) as error:
                if max(tile) // 2 < SMALLEST_TILE:
                    self._tile = known
                    raise BackendError(f"{self.backend.device}: out of memory even in tiles of {max(tile)}") from error
                self._tile = max(tile) // 2
            else:
                if self._tile != known:
                    self._warn_of_tiles(rainy, tile)
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
            side = _round_up(side, self.backend.multiple_of)
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

    def _warn_of_tiles(self, rainy: Tensor, tile: tuple[int, int]) -> None:
        height, width = rainy.shape[-2:]
        warning = f"{self.backend.device}: no memory for {width}x{height} at once; working in tiles of {max(tile)}"
        self.warnings.append(warning)
        _log.warning(warning)


def _fields(frame: Frame, planes: Planes) -> tuple[Planes, ...]:
    """The fields of an interlaced frame, which lie half a frame apart in time; else the frame as the only one."""
    return planes.fields() if frame.picture.interlaced_frame else (planes,)


def _are_finite(residuals: list[Tensor]) -> Tensor:
    """Whether all values are, as a tensor on their device."""
    return torch.stack([residual.isfinite().all() for residual in residuals]).all()


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device now."""
    if device.type == "cuda":
        reserved_but_free = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + reserved_but_free)
    return int(psutil.virtual_memory().available)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _pad(image: Tensor, multiple: int) -> Tensor:
    """Continue the right and bottom border by reflection to a multiple; by repetition where the image is too small."""
    height, width = image.shape[-2:]
    for dim, size in ((-1, width), (-2, height)):
        missing = _round_up(size, multiple) - size
        if missing:
            index = torch.arange(size + missing, device=image.device) % max(1, 2 * size - 2)
            image = image.index_select(dim, torch.minimum(index, 2 * size - 2 - index))
    return image
