"""What a single picture cannot tell: rain from texture, by looking at the frames around it.

A drop is in front of a place for one frame at most (Garg and Nayar, "Detection and Removal of Rain from Videos", CVPR
2004). So where a frame is brighter than both of its neighbours, moved along optical flow, and these agree, it is set to
the brighter of the two; but only in pictures in which the network sees rain, so that dry footage keeps its glints. And
what the network takes for rain comes back as far as all three show it. Where neighbours are the same frame once more,
as after a frame rate was raised, nearest ones that show something else stand for them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from nerdrain_rt.flow import moved, optical_flow, resized

Item = TypeVar("Item")
Limits = tuple[float, float]
"""Where trust is none and where it is full, in 8-bit codes if no unit is given; between them it changes evenly."""

EXCESS: Limits = (2, 4)
"""Of a frame over both neighbours."""
FLASH: Limits = (110, 80)
"""Of any colour of a frame over both neighbours near a place: few drops that the network overlooks are so bright, but
a lamp that flashes is, and what moves too fast for flow."""
BODY: Limits = (36, 24)
"""The same of what is wider than `DROP` both ways: something that moves, or light that changes."""
DROP = 5
"""Pixels, of `WIDE` pictures; more in larger ones in proportion."""
DISAGREEMENT: Limits = (24, 12)
"""Between the neighbours."""
DEFICIT: Limits = (3, 1.5)
"""Of a frame under both neighbours, around a place: rain only adds light, so there the flow is wrong."""
FIXED: Limits = (16, 8)
"""Among all three in the same place, where they show what does not move with the scene."""
SURPLUS: Limits = (24, 12)
"""Of both neighbours over a frame where something is to come back: there they show something else, or rain."""
RAIN: Limits = (0.012, 0.03)
"""What the network takes away beyond `FAINT` and no neighbour shows, on average over the picture: rain is everywhere;
less what it adds and both neighbours show, because noise goes both ways. With the bundled weights it is 0.011 at most
of the two dry clips of the benchmarks, and 0.026 and more of the one of real rain."""
FAINT = 1.5
MOTION: Limits = (24, 8)
"""Pixels from frame to frame, of `WIDE` pictures; in larger ones in proportion. Flow is off by a part of it."""
WIDE = 1280
"""Pixels of the longer side."""
FLASH_BLOCK, DEFICIT_BLOCK, RAIN_BLOCK = 8, 16, 64
"""Sides in pixels of the squares in which the largest counts, and of those over which the other two are averaged."""
GUIDE_PIXELS = 460_800
"""Flow is found in pictures of about this size at most."""
DENSE = 0.75
"""How much less stays, as a part of what the network takes away around a place: dense rain is in front of all three
frames somewhere."""
REPEATED = 1.0
"""8-bit codes, on average, by which a frame that a raised frame rate gives once more differs from the one before it, at
most: coded again it is not the same to the bit."""
REPEATED_RATIO = 6.0
"""How many times as much frames that show something else differ."""
REPEATS = 5
"""Times that a frame is given once more, at most: what stands still for longer is no repeated frame."""
RECENT = 12
"""Changes from frame to frame, of which the second largest is what frames that show something else differ by: the
largest may be a cut, or a light that goes on."""
SAME_SCENE = 32.0
"""8-bit codes, on average, by which frames of one scene differ at most."""


class Seen:
    """A frame with all that the network takes from it; `rainy` in [0, 1] and `residual` are 1 3 H W.

    `residual` is what the network adds, times `strength`. The comparison is of frames at full strength, else rain that
    is left on purpose would be taken for more of it.
    """

    def __init__(self, rainy: Tensor, residual: Tensor, *, strength: float = 1.0) -> None:
        self.rainy = rainy
        self.clean = torch.add(rainy, residual.float(), alpha=1 / strength).clamp_(0, 1)
        self.brightness = _gray(rainy)
        """Of the rainy frame: 1 1 H W."""
        self.run = object()
        """The same in frames that repeat each other."""
        self.earlier: Seen | None = None
        """The nearest before it that shows something else of the same scene."""
        self.is_judged = False
        """Whether enough frames before it were seen to tell if it repeats the last of them."""
        self._repeats = 0
        self._changes: deque[float] = deque(maxlen=RECENT)
        """From frame to frame; the same list in all that follow each other."""

    def follow(self, before: Seen | None) -> None:
        """Note the frame before it, if any, and whether this is that once more; waits for the device."""
        if before is None or before.rainy.shape != self.rainy.shape:
            return
        if before.earlier is not None:
            before.earlier.earlier = None  # else each frame would keep all before it
        change = self.difference(before)
        self._changes = before._changes
        self.is_judged = len(self._changes) > 1
        if self.is_judged and before._repeats < REPEATS and _is_repeated(change, sorted(self._changes)[-2]):
            self.run, self.earlier, self._repeats = before.run, before.earlier, before._repeats + 1
        elif change < SAME_SCENE:
            self.earlier = before
        self._changes.append(change)

    def difference(self, other: Seen) -> float:
        """Between the two rainy frames, in 8-bit codes, on average; waits for the device."""
        return 255 * float((self.brightness - other.brightness).abs_().mean())

    @cached_property
    def guide(self) -> Tensor:
        """The clean frame in gray, smaller where it is large: 1 1 H W."""
        gray = _gray(self.clean)
        shrink = min(1.0, (GUIDE_PIXELS / gray.numel()) ** 0.5)
        return gray if shrink == 1 else F.interpolate(gray, scale_factor=shrink, mode="bilinear", antialias=True)


def trios(items: Iterable[Item]) -> Iterator[tuple[Item, tuple[Item, Item] | None]]:
    """Each item with the two nearest to it, None where there are not so many.

    An error of the source comes after the items before it.
    """
    near: deque[Item] = deque(maxlen=3)
    source, error, is_first = iter(items), None, True
    while True:
        try:
            near.append(next(source))
        except StopIteration:
            break
        except Exception as raised:
            error = raised
            break
        if len(near) == 3:
            before, here, after = near
            if is_first:
                yield before, (here, after)
                is_first = False
            yield here, (before, after)
    if len(near) == 3:
        yield near[2], (near[0], near[1])
    else:
        yield from ((item, None) for item in near)
    if error is not None:
        raise error


def from_neighbours(seen: Seen, neighbours: tuple[Seen, Seen]) -> Tensor:
    """What to add to `seen.clean`, 1 3 H W: less than 0 for rain, more for what is none."""
    if any(other.clean.shape != seen.clean.shape for other in neighbours):
        return torch.zeros_like(seen.clean)
    neighbours = distinct(seen, neighbours)
    flow = optical_flow(seen.guide, torch.cat([other.guide for other in neighbours]))
    flow = resized(flow, seen.clean.shape[-2:])
    fixed = torch.cat([torch.cat([other.clean, other.brightness], 1) for other in neighbours])
    around = moved(fixed, flow)
    passing = _passing(seen, around[:, :3], fixed[:, :3]).mul_(_rain(seen, around[:, 3:]) * _steadiness(flow))
    return _staying(seen, around[:, 3:], fixed[:, 3:]).sub_(passing)


def _is_repeated(change: float, usual: float) -> bool:
    """Whether a frame that differs by `change` from another is that once more, where others differ by `usual`."""
    return change < REPEATED and REPEATED_RATIO * change < usual


def distinct(seen: Seen, neighbours: tuple[Seen, Seen]) -> tuple[Seen, Seen]:
    """In place of a neighbour that repeats the frame an earlier one that does not, or else the other neighbour."""
    first, second = neighbours
    if not seen.is_judged:
        changes = seen.difference(first), seen.difference(second)
        if max(changes) < SAME_SCENE and _is_repeated(*sorted(changes)):
            return (first, first) if changes[0] > changes[1] else (second, second)
        return neighbours
    if first.run is second.run and second.earlier is not None:
        first = second.earlier
    others = [other for other in (first, second) if other.run is not seen.run]
    if len(others) == 2:
        return first, second
    if seen.earlier is not None:
        return seen.earlier, others[-1] if others else seen.earlier
    return (second, second) if others == [second] else neighbours


def _rain(seen: Seen, around: Tensor) -> Tensor:
    """Whether it rains, from 0 to 1, by the neighbours' brightness 2 1 H W."""
    taken = seen.brightness - _gray(seen.clean)
    brighter, darker = seen.brightness - around.amax(0, keepdim=True), around.amin(0, keepdim=True) - seen.brightness
    passing = torch.minimum(taken - FAINT / 255, brighter).clamp_(min=0)
    noise = torch.minimum(-taken - FAINT / 255, darker).clamp_(min=0)
    return _trust((passing - noise).mean(), RAIN)


def _steadiness(flow: Tensor) -> Tensor:
    """How far flow 2 2 H W is to be trusted, from 0 to 1: 1 1 H W."""
    lengths = torch.hypot(flow[:, :1], flow[:, 1:])
    return _share(lengths.amax(0, keepdim=True) / _size(flow), MOTION)


def _passing(seen: Seen, around: Tensor, fixed: Tensor) -> Tensor:
    """What only this frame shows of what the network leaves, by the neighbours' 2 3 H W."""
    lower, upper = around.amin(0, keepdim=True), around.amax(0, keepdim=True)
    excess = seen.clean - _or_fixed(upper, seen.clean, fixed)
    brighter = _gray(excess)
    # Drops are too few to lift the average over both neighbours: where that is higher, lamps or the exposure change.
    lighter = _around(brighter, RAIN_BLOCK).clamp_(min=0)
    trust = _trust(brighter - lighter, EXCESS) * _trust(_most(excess.amax(1, keepdim=True), FLASH_BLOCK), FLASH)
    trust *= _trust(_most(_broad(brighter), FLASH_BLOCK), BODY)
    trust *= _trust(_gray(upper - lower), DISAGREEMENT)
    trust *= _trust(_around(_gray((lower - seen.clean).clamp_(min=0)), DEFICIT_BLOCK), DEFICIT)
    return (excess - lighter).clamp_(min=0).mul_(trust)


def _staying(seen: Seen, around: Tensor, fixed: Tensor) -> Tensor:
    """What all frames show of what the network takes away, by the neighbours' brightness 2 1 H W."""
    left = _gray(seen.clean)
    taken = (seen.brightness - left).clamp_(min=0)
    shown = _or_fixed(around.amin(0, keepdim=True), seen.brightness, fixed)
    stays = torch.minimum(seen.brightness, shown) - left
    share = ((stays - DENSE * _around(taken, RAIN_BLOCK)) / taken.clamp_(min=1e-3)).clamp_(0, 1)
    share *= _trust(shown - seen.brightness, SURPLUS)
    return (seen.rainy - seen.clean).mul_(share)


def _or_fixed(around: Tensor, here: Tensor, fixed: Tensor) -> Tensor:
    """What the neighbours show, or more if they both do in the same place: a date, a bonnet."""
    lowest, highest = torch.cat([fixed, here]).aminmax(dim=0, keepdim=True)
    trust = _trust(_gray(highest - lowest), FIXED)
    return torch.maximum(around, torch.lerp(around, fixed.amin(0, keepdim=True), trust))


def _gray(values: Tensor) -> Tensor:
    return values.mean(1, keepdim=True)


def _trust(values: Tensor, limits: Limits) -> Tensor:
    return _share(values * 255, limits)


def _share(values: Tensor, limits: Limits) -> Tensor:
    none, full = limits
    return ((values - none) / (full - none)).clamp_(0, 1)


def _around(values: Tensor, block: int) -> Tensor:
    """Averages over squares, blended from one to the next."""
    means = F.avg_pool2d(values, block, ceil_mode=True, count_include_pad=False)
    return F.interpolate(means, values.shape[-2:], mode="bilinear")


def _broad(values: Tensor) -> Tensor:
    """What is as bright over a whole square as wide as `DROP`."""
    square = 2 * round(DROP * _size(values) / 2 - 0.5) + 1
    return _largest(-_largest(-values, square), square)


def _largest(values: Tensor, square: int) -> Tensor:
    """Of the square around each pixel."""
    rows = F.max_pool2d(values, (square, 1), stride=1, padding=(square // 2, 0))
    return F.max_pool2d(rows, (1, square), stride=1, padding=(0, square // 2))


def _size(values: Tensor) -> float:
    """Of a picture, in `WIDE` ones; not below 1."""
    return max(1.0, max(values.shape[-2:]) / WIDE)


def _most(values: Tensor, block: int) -> Tensor:
    """The largest of each square and those next to it, blended from one to the next."""
    largest = F.max_pool2d(F.max_pool2d(values, block, ceil_mode=True), 3, stride=1, padding=1)
    return F.interpolate(largest, values.shape[-2:], mode="bilinear")
