"""Takes the rain out of frames: pads, tiles and scales what the network sees, and puts its residual into the planes."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nerdrain_rt.backends import Backend, load_backends, precision_name
from nerdrain_rt.backends.tiled import SMALLEST_TILE, TiledBackend, round_up
from nerdrain_rt.color import Planes
from nerdrain_rt.errors import BackendError, UsageError
from nerdrain_rt.frame import Frame
from nerdrain_rt.gpu_picture import is_on_gpu
from nerdrain_rt.lanes import Lane, Mark, gpu_failures, in_one_thread, is_out_of_memory, thread_count, use_threads
from nerdrain_rt.memory import recycled
from nerdrain_rt.model.weights import DEFAULT, load_weights
from nerdrain_rt.temporal import Seen, from_neighbours, trios

_log = logging.getLogger(__name__)

Prepared = tuple[Frame, tuple[Planes, list[Tensor], Mark] | None]
"""A frame with its planes and the RGB of each of its fields; None where it is to pass as it is."""
Predicted = tuple[Frame, tuple[Planes, list[Tensor], list[Tensor], Mark] | None]
"""A frame with its planes, the RGB and the residual of each of its fields; None where it is to pass as it is."""
Compared = tuple[Frame, tuple[Planes, list[Tensor], list[Tensor], Mark] | None, Seen | None]
"""The same with the frame as the network alone leaves it; None where that is not compared."""


@dataclass(frozen=True, slots=True)
class DerainSettings:
    """How frames are derained. Raises UsageError for what cannot be."""

    weights: str = DEFAULT
    """A name or a path, as `load_weights` takes it."""
    backend: str = "auto"
    device: str = "auto"
    """As `find_device` takes it; several with commas between them share a video's frames."""
    precision: str = "auto"
    wait_engine: bool = False
    """Wait until TensorRT has built its engine instead of working on another backend meanwhile."""
    strength: float = 1.0
    """Share of the residual that is applied, 0 to 1; 0 leaves every sample as it is."""
    tile: int | None = None
    """Side of the tiles in pixels; 0: whole frames; None: whole frames as long as memory allows."""
    work_scale: float = 1.0
    """Size the network works at, above 0 up to 1; its residual is grown and applied at full size."""
    temporal: bool = True
    """Compare each frame of a video with those around it, for rain that one picture cannot tell from texture."""

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise UsageError(f"strength is {self.strength:g}; it goes from 0 to 1")
        if not 0 < self.work_scale <= 1:
            raise UsageError(f"work scale is {self.work_scale:g}; it must be above 0 and at most 1")
        if self.tile and self.tile < SMALLEST_TILE:
            raise UsageError(f"tile is {self.tile}; use 0 for whole frames, or at least {SMALLEST_TILE}")


class Derainer:
    """The network with its settings, on one device or several, for any number of videos and images, one at a time.

    Each device has a backend of its own. The steps take the index of theirs: those of one device follow each other,
    those of several work side by side.
    """

    def __init__(
        self,
        settings: DerainSettings | None = None,
        *,
        backend: Backend | Sequence[Backend] | None = None,
        announce: Callable[[str], None] = _log.info,
    ) -> None:
        """Load what the settings name, or use `backend`, several for several devices.

        Raises WeightsError or BackendError. `announce` takes a line that says which backend was chosen and why.
        """
        self.settings = settings = settings or DerainSettings()
        self._threads = thread_count()
        self._first_run = threading.Lock()
        self._lanes: dict[tuple[str, int, torch.device], Lane] = {}
        self._shortages: Counter[torch.Size] = Counter()
        self.warnings: list[str] = []
        if backend is None:
            backend = load_backends(
                load_weights(settings.weights),
                settings.backend,
                devices=settings.device,
                precision=settings.precision,
                wait_engine=settings.wait_engine,
                announce=announce,
            )
        self._tiled = [self._tile(each) for each in (backend if isinstance(backend, Sequence) else [backend])]

    @property
    def backends(self) -> tuple[Backend, ...]:
        """One for each device."""
        return tuple(tiled.backend for tiled in self._tiled)

    @property
    def backend(self) -> Backend:
        """That of the first device; it may be replaced between two frames."""
        return self._tiled[0].backend

    @backend.setter
    def backend(self, backend: Backend) -> None:
        self._tiled = [self._tile(backend), *self._tiled[1:]]

    @property
    def gpu(self) -> int | None:
        """The number of the NVIDIA GPU that does all the work; None where there is none, or several devices."""
        devices = [backend.device for backend in self.backends]
        return (devices[0].index or 0) if [device.type for device in devices] == ["cuda"] else None

    @property
    def devices(self) -> str:
        """For reports: the devices in their order."""
        return ", ".join(str(backend.device) for backend in self.backends)

    @property
    def backend_names(self) -> str:
        """For reports: the backends that work now."""
        return ", ".join(dict.fromkeys(backend.name for backend in self.backends))

    @property
    def precision(self) -> str:
        """For reports: what the backends compute in."""
        return ", ".join(dict.fromkeys(precision_name(backend.dtype) for backend in self.backends))

    def derain(self, frames: Iterable[Frame], on: int = 0, *, before: deque[Seen] | None = None) -> Iterator[Frame]:
        """Each frame again, its picture changed in place: the steps one after the other.

        Where each step runs ahead of the next in a thread of its own, the network hides the others. `before` is as in
        `compare`.
        """
        return self.finish(self.compare(self.predict(self.prepare(frames, on), on), on, before=before), on)

    def prepare(self, frames: Iterable[Frame], on: int = 0) -> Iterator[Prepared]:
        """The first step: each frame with its planes and its fields as RGB, on the device."""
        lane = self._lane("prepare", on)
        device = self._tiled[on].backend.device
        for frame in frames:
            if not self.settings.strength:
                yield frame, None
                continue
            decoded = lane.decoder_mark() if is_on_gpu(frame.picture) else None
            with lane.after(decoded), in_one_thread(self._threads):
                planes = Planes.of(frame.picture, pin_memory=lane.is_asynchronous)
                planes = planes.to(device, non_blocking=lane.is_asynchronous)
                rainy = [field.rgb() for field in _fields(frame, planes)]
            yield frame, (planes, rainy, lane.mark())

    def predict(self, prepared: Iterable[Prepared], on: int = 0) -> Iterator[Predicted]:
        """The second step: the residual of each field."""
        lane = self._lane("predict", on)
        use_threads(self._threads)
        for frame, parts in prepared:
            if parts is None:
                yield frame, None
                continue
            planes, rainy, mark = parts
            with lane.after(mark):
                residuals = self._residuals(rainy, self._tiled[on])
            yield frame, (planes, rainy, residuals, lane.mark())

    def gather(self, predicted: Iterable[Predicted], on: int = 0) -> Iterator[Predicted]:
        """The step for several devices: everything on the first of them, which then sees all frames."""
        device = self._tiled[0].backend.device
        lane = self._lane("gather", on)
        for frame, parts in predicted:
            if parts is None:
                yield frame, None
                continue
            planes, rainy, residuals, mark = parts
            with lane.after(mark), in_one_thread(self._threads):
                planes = planes.to(device, non_blocking=lane.is_asynchronous)
                rainy, residuals = (
                    [field.to(device, non_blocking=lane.is_asynchronous) for field in each]
                    for each in (rainy, residuals)
                )
            lane.wait()  # what was copied may be freed from here on
            yield frame, (planes, rainy, residuals, None)

    @property
    def compares_frames(self) -> bool:
        """Whether `compare` changes anything; at a strength that changes no sample of 8 bits it need not."""
        return self.settings.temporal and self.settings.strength > 0.001

    def compare(
        self, predicted: Iterable[Predicted], on: int = 0, *, before: deque[Seen] | None = None
    ) -> Iterator[Predicted]:
        """The step for videos: each residual with what only the frames around tell of rain and texture.

        A frame behind, two at the beginning. With `before`, which keeps two frames from one call to the next, none
        behind, as each is then compared with the two before it. Interlaced frames pass as they are.
        """
        if not self.compares_frames:
            yield from predicted
            return
        lane = self._lane("compare", on)
        seen_frames = self._seen(predicted, lane, before[-1] if before else None)
        for (frame, parts, seen), others in _around(seen_frames) if before is None else _behind(seen_frames, before):
            if parts is None or seen is None or len(others) < 2:
                yield frame, parts
                continue
            planes, rainy, [residual], _ = parts
            with lane.after(), in_one_thread(self._threads), self._unless_memory_is_short(residual):
                added = from_neighbours(seen, (others[0], others[1]))
                residual = torch.add(residual, added, alpha=self.settings.strength)
            lane.wait()  # the one before was made in another lane, which may have its memory from here on
            yield frame, (planes, rainy, [residual], None)

    def _seen(self, predicted: Iterable[Predicted], lane: Lane, before: Seen | None) -> Iterator[Compared]:
        """Each frame as the network alone leaves it; None for those that pass or have fields."""
        for frame, parts in predicted:
            if parts is None or len(parts[1]) > 1 or not self._has_memory_for(parts[1][0]):
                before = None
                yield frame, parts, None
                continue
            planes, [rainy], [residual], mark = parts
            seen = None
            with lane.after(mark), in_one_thread(self._threads), self._unless_memory_is_short(residual):
                seen = Seen(rainy, residual, strength=self.settings.strength)
                lane.wait()  # asleep, which the host is not in what follows
                seen.follow(before)
            before = seen
            yield frame, (planes, [rainy], [residual], lane.mark()), seen

    @contextmanager
    def _unless_memory_is_short(self, picture: Tensor) -> Iterator[None]:
        """Do without what is done in here where memory runs out, and for good, which is told, after the second time.

        The first may be because PyTorch does not free what it keeps while another thread records a graph.
        """
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._shortages[picture.shape] += 1
            if not self._has_memory_for(picture):
                height, width = picture.shape[-2:]
                self.warnings.append(
                    f"{picture.device}: no memory to compare frames of {width}x{height} with those around them"
                )
                _log.warning(self.warnings[-1])

    def _has_memory_for(self, picture: Tensor) -> bool:
        """To compare it; each time that memory is short, PyTorch gives back all that it keeps."""
        return self._shortages[picture.shape] < 2

    def finish(self, predicted: Iterable[Predicted], on: int = 0) -> Iterator[Frame]:
        """The last step: each frame with the residual in its picture.

        But for `gather` and `compare` the only one in which the host waits for the device. A frame's tensors live until
        then, so that no lane gets memory in which another is still at work. Raises BackendError where the network's
        sums overflow.
        """
        lane = self._lane("finish", on)
        for frame, parts in predicted:
            if parts is not None:
                planes, rainy, residuals, mark = parts
                with lane.after(mark), in_one_thread(self._threads):
                    for field, *change in zip(_fields(frame, planes), rainy, residuals, strict=True):
                        field.add_residual(*change)
                    is_finite = _are_finite(residuals).to("cpu", non_blocking=lane.is_asynchronous)
                    is_left = is_on_gpu(frame.picture)
                    result = planes if is_left else planes.to("cpu", non_blocking=lane.is_asynchronous)
                lane.wait()
                _refuse_unless(is_finite, self._tiled[on].backend)
                result.write_to(frame.picture)
            yield frame

    @torch.inference_mode()
    def residual(self, rainy: Tensor) -> Tensor:
        """What to add to rainy images B 3 H W in [0, 1] of any size, times the strength; float32, on the same device.

        Computed on the first device. Raises BackendError where even the smallest tile is too much for the memory, the
        GPU fails, or the network's sums overflow.
        """
        if not self.settings.strength:
            return torch.zeros_like(rainy, dtype=torch.float32)
        tiled = self._tiled[0]
        with gpu_failures(tiled.backend.device):
            residual = self._residual(rainy, tiled)
            _refuse_unless(_are_finite([residual]), tiled.backend)
            return residual.to(rainy.device)

    def warm_up(self, size: tuple[int, int]) -> None:
        """Let every device prepare for pictures of this (height, width), which else their first ones wait for.

        Raises what `residual` does.
        """
        for on, tiled in enumerate(self._tiled if self.settings.strength else ()):
            with self._lane("predict", on).after():  # where the frames will come: engines are made ready for a stream
                self._residual(torch.zeros(1, 3, *size, device=tiled.backend.device), tiled)

    def _tile(self, backend: Backend) -> TiledBackend:
        return TiledBackend(backend, self.settings.tile, warn=self.warnings.append, first_run=self._first_run)

    def _lane(self, step: str, on: int) -> Lane:
        """The same one each time, because PyTorch keeps the memory that is free in a stream for this stream."""
        key = step, on, self._tiled[on].backend.device
        if key not in self._lanes:
            self._lanes[key] = Lane(key[-1])
        return self._lanes[key]

    def _residuals(self, fields: list[Tensor], tiled: TiledBackend) -> list[Tensor]:
        """The residual of each field; of two of the same size, at once."""
        if len({field.shape for field in fields}) < len(fields):
            return list(self._residual(torch.cat(fields), tiled).chunk(len(fields)))
        return [self._residual(field, tiled) for field in fields]

    def _residual(self, rainy: Tensor, tiled: TiledBackend) -> Tensor:
        """The residual times the strength, on the backend's device, whatever its values."""
        size = rainy.shape[-2:]
        work = rainy.to(tiled.backend.device, torch.float32)
        with in_one_thread(self._threads):
            if self.settings.work_scale < 1:
                work_size = [max(1, round(side * self.settings.work_scale)) for side in size]
                work = F.interpolate(work, work_size, mode="bilinear", antialias=True)
            padded = _pad(work, tiled.backend.multiple_of)
        residual = tiled(padded)[..., : work.shape[-2], : work.shape[-1]]
        if residual.shape[-2:] != size:
            residual = F.interpolate(residual, size, mode="bilinear")
        return residual if self.settings.strength == 1 else residual * self.settings.strength


def _fields(frame: Frame, planes: Planes) -> tuple[Planes, ...]:
    """The fields of an interlaced frame, which lie half a frame apart in time; else the frame as the only one."""
    return planes.fields() if frame.picture.interlaced_frame else (planes,)


def _around(items: Iterable[Compared]) -> Iterator[tuple[Compared, list[Seen]]]:
    """Each frame with those of the two nearest that are compared."""
    for item, neighbours in trios(items):
        yield item, [seen for *_, seen in neighbours or () if seen is not None]


def _behind(items: Iterable[Compared], before: deque[Seen]) -> Iterator[tuple[Compared, list[Seen]]]:
    """Each frame with those `before` it, of which it becomes one."""
    for item in items:
        others, seen = list(before), item[-1]
        if seen is not None:
            before.append(seen)
        else:
            before.clear()
        yield item, others


def _refuse_unless(is_finite: Tensor, backend: Backend) -> None:
    if not is_finite:
        name = f"{backend.name} in {precision_name(backend.dtype)}"
        raise BackendError(f"{name}: gave values that are not finite; try --precision fp32")


def _are_finite(residuals: list[Tensor]) -> Tensor:
    """Whether all values are, as a tensor on their device."""
    return torch.stack([residual.sum() for residual in residuals]).isfinite().all()


def _pad(image: Tensor, multiple: int) -> Tensor:
    """Continue the right and bottom border to a multiple by reflection, again and again where the image is small."""
    height, width = image.shape[-2:]
    size = round_up(height, multiple), round_up(width, multiple)
    if size == (height, width):
        return image
    padded = recycled((*image.shape[:-2], *size), image.device)
    padded[..., :height, :width] = image
    for dim, length in ((-1, width), (-2, height)):
        index = torch.arange(length, padded.shape[dim], device=image.device) % max(1, 2 * length - 2)
        index = torch.minimum(index, 2 * length - 2 - index)
        padded.narrow(dim, length, len(index)).copy_(padded.index_select(dim, index))
    return padded
