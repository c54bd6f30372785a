"""Copies of pictures: cheap ones that share samples until somebody writes, and two pictures beside each other."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
from av.filter import Graph
from av.video.reformatter import ColorRange

if TYPE_CHECKING:
    import numpy.typing as npt


HD_LINES = 720
TURNS = {90: (("transpose", "cclock"),), 180: (("hflip",), ("vflip",)), 270: (("transpose", "clock"),)}
"""FFmpeg's filters for a rotation in counter-clockwise degrees."""


class PictureCopies:
    """Makes pictures that share the samples of another and have times and tags of their own; for one thread.

    `make_writable` gives either its own samples. A filter graph is the one way PyAV has to refer to a frame again.
    With a `rotation` in counter-clockwise degrees the copy is turned by it, and its samples are its own.
    """

    def __init__(self, rotation: int = 0) -> None:
        self._turn = TURNS.get(rotation % 360, ())
        self._kind: tuple[object, ...] = ()

    def of(self, picture: av.VideoFrame) -> av.VideoFrame:
        """Another picture with the same samples, or turned."""
        kind = picture.width, picture.height, picture.format.name, picture.colorspace, picture.color_range
        if kind != self._kind:
            self._graph = Graph()
            time_base = picture.time_base or Fraction(1, 90_000)
            begin = self._graph.add_buffer(
                width=picture.width, height=picture.height, format=picture.format, time_base=time_base
            )
            turn = [self._graph.add(*step) for step in self._turn]
            self._graph.link_nodes(begin, *turn, self._graph.add("buffersink")).configure()
            self._kind = kind
        self._graph.vpush(picture)
        return self._graph.vpull()


def beside(rainy: av.VideoFrame, clean: av.VideoFrame) -> av.VideoFrame:
    """Both in one picture of twice the width, as yuv420p."""
    size = clean.height, clean.width // 2 * 2
    left, right = (limited(picture, size) for picture in (rainy, clean))
    both = av.VideoFrame(2 * left.width, left.height, "yuv420p")
    for index in range(3):
        target = _rows(both, index)
        width = target.shape[1] // 2
        target[:, :width] = _rows(left, index)[:, :width]
        target[:, width:] = _rows(right, index)[:, :width]
    both.colorspace, both.color_range = right.colorspace, right.color_range
    both.color_primaries, both.color_trc = right.color_primaries, right.color_trc
    return both


def _rows(picture: av.VideoFrame, index: int) -> npt.NDArray[np.uint8]:
    plane = picture.planes[index]
    return np.ndarray((plane.height, plane.width), np.uint8, memoryview(plane), strides=(plane.line_size, 1))


def limited(picture: av.VideoFrame, size: tuple[int, int]) -> av.VideoFrame:
    """The picture as every player shows it: yuv420p of (height, width) in the limited range; itself where it is so."""
    height, width = size
    if picture.format.name == "yuv420p" and (picture.height, picture.width) == size:
        return picture
    matrix = None
    if picture.format.is_rgb:
        matrix = "itu709" if height >= HD_LINES else "itu601"
    # threads=1: with several, swscale was seen giving wrong samples under load, if rarely
    return picture.reformat(
        width=width,
        height=height,
        format="yuv420p",
        dst_colorspace=matrix,
        dst_color_range=ColorRange.MPEG,
        threads=1,
    )
