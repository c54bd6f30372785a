"""Air full of falling drops before the camera of each image of a batch: those of `MovingRain` at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from nerdrain_rt.training.dice import Dice
from nerdrain_rt.training.drops import NEAREST_M, Drops, drop_diameters, fall_speed, lamp_light, streak_sigma
from nerdrain_rt.training.streaks import FAINTEST, Streaks


@dataclass(frozen=True, slots=True)
class Air:
    """Drops that fall before the camera of one image; speeds in m/s, `wind` to the right, `speed` forwards."""

    per_m3: float
    focal: float
    """Pixels."""
    focus_m: float
    exposure_seconds: float
    wind: float
    speed: float
    centre: tuple[float, float]
    """Where the camera points, in pixels from the image's middle: the image may be a part of a picture."""
    radiance: float = 3.0
    """Linear, of the drops; of those a metre ahead where a lamp lights them."""
    is_lamp_lit: bool = False


_EDGES_M = tuple(NEAREST_M * (6 / NEAREST_M) ** (step / 8) for step in range(9))
"""Drops are strewn between two of these distances at a time: near ones are seen from further outside."""
_FASTEST_M_S = 8.5
_TYPICAL_DROP_M = 0.0015
_FARTHEST_OUTSIDE = 500.0
"""Pixels: of a few cameras that drive, the nearest drops come from further off and are left out."""


def strewn(images: Sequence[Air | None], dice: Dice, height: int, width: int) -> Streaks:
    """Streaks of drops that are spread evenly in the air; an image without air gets none."""
    rows = [
        [image, near, far, it.per_m3, it.focal, it.focus_m, it.exposure_seconds, it.wind, it.speed, *it.centre, lit]
        for image, it in enumerate(images)
        if it
        for lit in [float(it.is_lamp_lit)]
        for near, far in pairwise(_EDGES_M)
    ]
    slabs = torch.tensor(rows, device=dice.device).view(-1, 12)
    margin = _margin(slabs, height, width)
    _, near, far, per_m3, focal, *_ = slabs.unbind(1)
    seen = (height + 2 * margin) * (width + 2 * margin) / focal.square()
    counts = torch.poisson(per_m3 * seen * (far**3 - near**3) / 3, generator=dice.generator)
    which = torch.repeat_interleave(counts.long())
    streaks = _drops(slabs[which], margin[which], dice, height, width).streaks()
    radiance = torch.tensor([it.radiance if it else 0.0 for it in images], device=dice.device)
    return streaks.where(streaks.peak * radiance[streaks.image] > FAINTEST)


def _margin(slabs: Tensor, height: int, width: int) -> Tensor:
    """How far outside the image a drop of a slab may be and still be seen in it, in pixels."""
    _, near, _, _, focal, focus, exposure, wind, speed, *centre, _ = slabs.unbind(1)
    fall = torch.hypot(wind, wind.new_tensor(_FASTEST_M_S)) * exposure * focal / near
    outwards = (torch.hypot(*centre) + max(height, width)) * speed * exposure / near
    sigma = streak_sigma(_TYPICAL_DROP_M * focal / near, focal, near, focus)
    return (fall / 2 + outwards / 2 + 3 * sigma).clamp(max=_FARTHEST_OUTSIDE)


def _drops(slabs: Tensor, margin: Tensor, dice: Dice, height: int, width: int) -> Drops:
    """One drop in each of these slabs, by where it is in the middle of the exposure."""
    image, near, far, _, focal, focus, exposure, wind, speed, *offset, is_lit = slabs.unbind(1)
    count = len(slabs)
    chance = dice.many(8 * count).view(count, 8)
    drift = 0.15 * dice.normal(count, 3)
    distance = (near**3 + chance[:, 0] * (far**3 - near**3)).pow(1 / 3)
    diameter = drop_diameters(chance[:, 1])
    centre = torch.stack((width / 2 + offset[0], height / 2 + offset[1]), 1)
    x = chance[:, 2] * (width + 2 * margin) - margin - centre[:, 0]
    y = chance[:, 3] * (height + 2 * margin) - margin - centre[:, 1]
    velocity = drift + torch.stack((wind, fall_speed(diameter), -speed), 1)
    halfway = torch.stack((x * distance / focal, y * distance / focal, distance), 1)
    character = chance[:, 4:]
    character[:, 1] *= torch.where(is_lit > 0, lamp_light(halfway), 1.0)
    return Drops(
        image.long(),
        place=halfway - velocity * exposure[:, None] / 2,
        velocity=velocity,
        diameter=diameter,
        character=character,
        focal=focal,
        focus=focus,
        exposure=exposure,
        centre=centre,
    )
