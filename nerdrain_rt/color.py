"""A picture's native planes as RGB for the network, and a residual in RGB back into those planes.

Only the residual is converted back: it is added to the original samples at their own depth and
rounded once, so that samples it does not reach stay as they were.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Self

import av
import numpy as np
import numpy.typing as npt
import torch
from av.video.plane import VideoPlane
from torch import Tensor

from nerdrain_rt.chroma import Axis, extended, grow, shrink
from nerdrain_rt.color_spec import ColorSpec, Levels
from nerdrain_rt.gpu_picture import gpu_samples, is_on_gpu, sample_format
from nerdrain_rt.memory import recycled
from nerdrain_rt.pixel_layout import PixelLayout

if TYPE_CHECKING:
    from nerdrain_rt.color_kernels import Samples

_log = logging.getLogger(__name__)

BAND_PIXELS = 200_000
"""What a processor converts at a time: as much as stays in its cache between two steps."""


@dataclass(frozen=True, slots=True)
class Planes:
    """A picture's samples as tensors, one per plane (rows x samples, uint8 or uint16), on any device.

    A copy, without line padding, byte order and planes of alpha; of a picture on a GPU the samples themselves.
    """

    samples: tuple[Tensor, ...]
    layout: PixelLayout
    spec: ColorSpec
    size: tuple[int, int]

    @classmethod
    def of(cls, picture: av.VideoFrame, *, spec: ColorSpec | None = None, pin_memory: bool = False) -> Self:
        """Take the samples; `spec` where more is known than the picture tells.

        Raises MediaError for an unsupported pixel format.
        """
        layout = PixelLayout.of(sample_format(picture))
        size = picture.height, picture.width
        if is_on_gpu(picture):
            return cls(gpu_samples(picture), layout, spec or ColorSpec.of(picture), size)
        dtype = torch.uint8 if layout.sample_type.itemsize == 1 else torch.uint16
        samples = []
        for view in _host_views(picture, layout):
            plane = torch.empty(view.shape, dtype=dtype, pin_memory=pin_memory)
            plane.numpy()[...] = view
            samples.append(plane)
        return cls(tuple(samples), layout, spec or ColorSpec.of(picture), size)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Self:
        """The same on `device`; without blocking only where the caller waits for the copy before it reads or frees."""
        return replace(self, samples=tuple(plane.to(device, non_blocking=non_blocking) for plane in self.samples))

    def fields(self) -> tuple[Self, ...]:
        """The top and the bottom field of an interlaced picture: every other row of each plane, as views of `samples`.

        With an odd height the top one has a row more. A picture with a plane of one row has no fields and gives itself.
        """
        if min(len(plane) for plane in self.samples) < 2:
            return (self,)
        # The siting stays the frame's: interlaced 4:2:0 sits a quarter of a row higher in the top field and lower in
        # the bottom one, which is too little to see in what a network makes of it.
        height, width = self.size
        return tuple(
            replace(
                self,
                samples=tuple(plane[first::2] for plane in self.samples),
                size=((height + 1 - first) // 2, width),
            )
            for first in (0, 1)
        )

    def write_to(self, picture: av.VideoFrame) -> None:
        """Put the samples into a picture of the same format and size, in place."""
        if is_on_gpu(picture):
            for own, plane in zip(gpu_samples(picture), self.samples, strict=True):
                if own.data_ptr() != plane.data_ptr():
                    own.copy_(plane)
            return
        picture.make_writable()
        for view, plane in zip(_host_views(picture, self.layout), self.samples, strict=True):
            view[...] = plane.cpu().numpy()

    def rgb(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """1 3 H W in [0, 1]; what the samples hold beyond black and white is clamped."""
        if self._has_kernels:
            from nerdrain_rt.color_kernels import rgb_of

            levels = self.spec.levels(self.layout.bits)
            of_chroma = (self.spec.yuv_to_rgb()[:, 1:] / levels.chroma).ravel().tolist()
            offsets = levels.black, levels.chroma_zero
            return rgb_of(self._samples(), offsets, 1 / levels.luma, of_chroma).to(dtype)
        rgb = recycled((1, 3, *self.size), self.samples[0].device)
        for band in self._bands():
            torch.clamp(band.planes._colors()[:, band.own], 0, 1, out=rgb[0, :, band.rows][:, band.own])
        return rgb.to(dtype)

    def add_residual(self, rainy: Tensor, residual: Tensor, *, strength: float = 1.0) -> None:
        """Add `strength * residual` in place, limited so that `rainy` plus it stays in [0, 1].

        Both are 1 3 H W on this device, `rainy` as given by `rgb`. Where the limited residual is 0
        the samples do not change.
        """
        if self._has_kernels:
            from nerdrain_rt.color_kernels import add_to

            levels = self.spec.levels(self.layout.bits)
            scale = np.array([[levels.luma], [levels.chroma], [levels.chroma]])
            add_to(self._samples(), rainy, residual, strength, (scale * self.spec.rgb_to_yuv()).ravel().tolist())
            return
        for band in self._bands():
            seen = rainy[0, :, band.rows].float()
            change = torch.add(seen, residual[0, :, band.rows].float(), alpha=strength).clamp_(0, 1).sub_(seen)
            for letter, codes in band.planes._code_changes(change):
                band.planes._add_codes(letter, codes, band.own)

    @property
    def _has_kernels(self) -> bool:
        return self.layout.letters == "yuv" and _runs_kernels(self.samples[0].device)

    def _samples(self) -> Samples:
        """What the kernels take."""
        from nerdrain_rt.color_kernels import Samples

        axes = {dim: is_centered for dim, _, is_centered in self._chroma_axes()}
        return Samples(
            y=self._component("y"),
            u=self._component("u"),
            v=self._component("v"),
            bits=self.layout.bits,
            padding_bits=self.layout.padding_bits,
            factor=self.layout.chroma_factor,
            is_centered=(axes.get(-2, True), axes.get(-1, True)),
        )

    def _bands(self) -> Iterator[Band]:
        """On a processor stretches of rows, else the picture as one."""
        (height, width), margin = self.size, self.layout.chroma_factor[0]
        step = max(1, BAND_PIXELS // width // margin) * margin if self.samples[0].device.type == "cpu" else height
        for top in range(0, height, step):
            bottom = min(top + step, height)
            rows = slice(max(0, top - margin), min(height, bottom + margin))
            samples = (
                plane[rows.start // factor : -(-rows.stop // factor)]
                for plane, factor in zip(self.samples, self.layout.row_factors, strict=True)
            )
            planes = replace(self, samples=tuple(samples), size=(rows.stop - rows.start, self.size[1]))
            yield Band(planes, rows, slice(top - rows.start, bottom - rows.start))

    def _colors(self) -> Tensor:
        """3 H W before clamping."""
        if self.layout.letters == "rgb":
            return torch.stack([self._codes(letter) for letter in "rgb"]).div_(2**self.layout.bits - 1)
        levels = self.spec.levels(self.layout.bits)
        luma = self._codes("y").sub_(levels.black)
        if self.layout.letters == "y":
            return luma.div_(levels.luma).expand(3, -1, -1)
        return self._tints(levels).add_(luma, alpha=1 / levels.luma)

    def _tints(self, levels: Levels) -> Tensor:
        """What chroma adds to luma in each of R, G and B: 3 H W."""
        axes = self._chroma_axes()
        u, v = (self._codes(letter, axes).sub_(levels.chroma_zero) for letter in "uv")
        tints = u.new_empty((3, *u.shape))
        for tint, (_, of_u, of_v) in zip(tints, (self.spec.yuv_to_rgb() / levels.chroma).tolist(), strict=True):
            torch.mul(u, of_u, out=tint).add_(v, alpha=of_v)
        for dim, factor, is_centered in reversed(axes):
            tints = grow(tints, dim, self.size[dim], factor, is_centered)
        return tints

    def _code_changes(self, change: Tensor) -> Iterator[tuple[str, Tensor]]:
        """A change of 3 H W in RGB as one of code values for each component."""
        if self.layout.letters == "rgb":
            yield from zip("rgb", change.mul_(2**self.layout.bits - 1), strict=True)
            return
        levels = self.spec.levels(self.layout.bits)
        to_luma, *to_chroma = self.spec.rgb_to_yuv()
        yield "y", _mix(change, to_luma * levels.luma)
        if self.layout.letters == "yuv":
            size, scale = self._component("u").shape, float(levels.chroma)
            for dim, factor, is_centered in self._chroma_axes():
                change = shrink(change, dim, size[dim], factor, is_centered)
                scale /= factor if is_centered else factor**2
            for letter, weights in zip("uv", to_chroma, strict=True):
                yield letter, _mix(change, weights * scale)

    def _chroma_axes(self) -> list[Axis]:
        """Those of this format, rows first."""
        centered = self.spec.siting != "topleft", self.spec.siting == "center"
        axes = zip((-2, -1), self.layout.chroma_factor, centered, strict=True)
        return [axis for axis in axes if axis[1] > 1]

    def _component(self, letter: str) -> Tensor:
        plane, first, step = self.layout.locate(letter)
        _, width = self.layout.component_size(letter, self.size)
        return self.samples[plane][:, first::step][:, :width]

    def _codes(self, letter: str, along: Sequence[Axis] = ()) -> Tensor:
        """A component as numbers, continued for `grow` along these axes."""
        samples = self._component(letter)
        for dim, _, _ in along:
            # Twice at the end, because a bottom field may lack the chroma of its last row of luma.
            samples = extended(samples, dim, 1, 2)
        codes = samples.to(torch.float32)
        if self.layout.padding_bits:
            codes.div_(2**self.layout.padding_bits).floor_()
        return codes

    def _add_codes(self, letter: str, change: Tensor, rows: slice) -> None:
        """Add to what belongs to these rows of the picture."""
        factor = self.layout.chroma_factor[0] if letter in "uv" else 1
        own = slice(rows.start // factor, -(-rows.stop // factor))
        component, codes = self._component(letter)[own], self._codes(letter)[own]
        changed = change[own].add_(codes).round_().clamp_(0, 2**self.layout.bits - 1)
        if self.layout.padding_bits:
            # Whole steps of the code, so that what lies in the padding survives.
            changed = changed.sub_(codes).mul_(2**self.layout.padding_bits).add_(component.to(torch.float32))
        # Straight to 8 bits PyTorch converts a sample at a time.
        component.copy_(changed.to(torch.int32))


class Band(NamedTuple):
    """A stretch of a picture's rows, with a row of chroma more on either side."""

    planes: Planes
    rows: slice
    """Where it lies in the picture."""
    own: slice
    """The rows in it that are no other's."""


def to_rgb(picture: av.VideoFrame, *, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """The picture as 1 3 H W in [0, 1] on `device`, by its own matrix and range; converted there in float32.

    Raises MediaError for an unsupported pixel format.
    """
    return Planes.of(picture).to(device).rgb(dtype)


def add_residual(picture: av.VideoFrame, rainy: Tensor, residual: Tensor, *, strength: float = 1.0) -> None:
    """Add `strength * residual` to the picture in place, as `Planes.add_residual`; `rainy` is what `to_rgb` gave."""
    planes = Planes.of(picture).to(rainy.device)
    planes.add_residual(rainy, residual, strength=strength)
    planes.write_to(picture)


@functools.cache
def _runs_kernels(device: torch.device) -> bool:
    """Whether Triton's kernels run there, found out by trial: they take a compiler and a GPU that is not too old."""
    if device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return False
    from nerdrain_rt.color_kernels import Samples, rgb_of

    try:
        plane = torch.zeros((2, 2), dtype=torch.uint8, device=device)
        rgb_of(Samples(plane, plane, plane, 8, 0, (1, 1), (True, True)), (0, 128), 1 / 255, [0.0] * 6)
    except Exception as error:
        _log.info("%s: colour is converted by PyTorch; Triton's kernels do not run: %s", device, error)
        return False
    return True


def _host_views(picture: av.VideoFrame, layout: PixelLayout) -> Iterator[npt.NDArray[np.uint8 | np.uint16]]:
    """The picture's own memory, plane by plane; a negative line size is a picture stored upside down."""
    size = picture.height, picture.width
    planes: tuple[VideoPlane, ...] = picture.planes
    for index, plane in zip(range(len(layout.planes)), planes, strict=False):
        shape, line_size = layout.plane_size(index, size), plane.line_size
        yield np.ndarray(
            shape,
            layout.sample_type,
            buffer=memoryview(plane),
            offset=max(0, -line_size * (shape[0] - 1)),
            strides=(line_size, layout.sample_type.itemsize),
        )


def _mix(colors: Tensor, weights: npt.NDArray[np.float64]) -> Tensor:
    """The weighted sum of 3 H W over its colours."""
    red, green, blue = weights.tolist()
    return torch.mul(colors[0], red).add_(colors[1], alpha=green).add_(colors[2], alpha=blue)
