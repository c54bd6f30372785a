"""Synthetic rain on photographs: as painted over the images of the benchmarks and as a camera sees it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from nerdrain_rt.training.air import Air, strewn
from nerdrain_rt.training.capture import Capture, take, to_linear, to_srgb
from nerdrain_rt.training.dice import Dice
from nerdrain_rt.training.drops import PER_M3, defocus_sigma, fall_speed
from nerdrain_rt.training.looks import (
    EVERY_KIND,
    FINE,
    HEAVY,
    LIGHT,
    SHORT,
    THICK,
    FallingLook,
    OpticalLook,
    PaintedLook,
    RainSettings,
)
from nerdrain_rt.training.streaks import Streaks, splat


class RainyPair(NamedTuple):
    """Images with rain and what a network should make of them, both B 3 H W in [0, 1]."""

    rainy: Tensor
    target: Tensor


def add_rain(clean: Tensor, generator: torch.Generator, settings: RainSettings | None = None) -> RainyPair:
    """Rain on `clean`, B 3 H W sRGB in [0, 1]; each image gets its own kind of rain, a share of them none.

    The target is the clean image with all that is not streaks: darkness, haze, noise, sharpening and compression are
    in both, so that a network learns to leave them alone. Everything follows from the generator's state; one on the
    CPU gives the same rain whatever device the images are on.
    """
    settings = settings or EVERY_KIND
    dice = Dice(generator)
    batch, _, height, width = clean.shape
    scenes = [_draw_scene(dice, settings) for _ in range(batch)]
    layers = _draw_streaks([scene.layers for scene in scenes], dice, height, width)
    drops = strewn([scene.air for scene in scenes], dice, height, width)
    rain = splat(Streaks.joined(layers, drops).to(clean.device), batch, height, width)

    def each(values: list[float] | list[tuple[float, float, float]]) -> Tensor:
        return torch.tensor(values, dtype=clean.dtype, device=clean.device).view(batch, -1, 1, 1)

    veil, screen = each([scene.veil for scene in scenes]), each([scene.screen for scene in scenes])
    painted = (clean + (rain + veil) * (1 - screen * clean)).clamp(0, 1)

    haze = each([scene.haze for scene in scenes])
    linear = to_linear(clean) * each([scene.brightness for scene in scenes]) * (1 - haze) + 0.5 * haze
    optical = expose(linear, rain, each([scene.radiance for scene in scenes]))
    is_optical = each([float(any(scene.radiance)) for scene in scenes]) > 0
    rainy, target = torch.where(is_optical, optical, painted), torch.where(is_optical, to_srgb(linear), clean)
    return _film(rainy, target, [scene.capture for scene in scenes], dice)


def expose(linear: Tensor, cover: Tensor, radiance: Tensor) -> Tensor:
    """sRGB of a scene, of which drops hide `cover` of the light during the exposure and add their own radiance.

    `linear` is B 3 H W in linear light, `cover` B 1 H W the summed streaks, `radiance` B 3 1 1.
    """
    hidden = 1 - torch.exp(-cover)
    return to_srgb((linear + hidden * (radiance - linear)).clamp(0, 1))


@dataclass(frozen=True, slots=True)
class _Layer:
    """Streaks of one depth or direction in one image."""

    density: float
    """Per pixel."""
    shift: tuple[float, float]
    """(x, y) motion during the exposure in pixels."""
    sigma: float
    peak: float
    spread: float
    """Radians."""
    growth: float = 0.0
    """Further motion per pixel of distance from the point the camera moves to, away from it."""
    shortest: float = 3.0
    """Least median length in pixels."""


@dataclass(frozen=True, slots=True)
class _Scene:
    """Rain on one image and the light it is seen in."""

    layers: tuple[_Layer, ...] = ()
    air: Air | None = None
    capture: Capture | None = None
    veil: float = 0.0
    screen: float = 0.0
    """How far painted rain fades on bright ground: 0 adds, 1 is the screen mode of image editors."""
    brightness: float = 1.0
    haze: float = 0.0
    radiance: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Of the drops, linear; 0 where rain is painted."""


def _draw_scene(dice: Dice, settings: RainSettings) -> _Scene:
    kinds = (
        (None, settings.dry),
        (LIGHT, settings.light),
        (HEAVY, settings.heavy),
        (FINE, settings.fine),
        (THICK, settings.thick),
        (settings.optics, settings.optical),
        (SHORT, settings.short),
        (settings.fall, settings.falling),
    )
    look = dice.pick(*kinds)
    if isinstance(look, PaintedLook):
        scene, filmed = _draw_painted(dice, look), look.filmed
    elif isinstance(look, OpticalLook):
        scene, filmed = _draw_optical(dice, look), look.filmed
    elif isinstance(look, FallingLook):
        scene, filmed = _draw_falling(dice, look), look.filmed
    else:
        scene, filmed = _Scene(), settings.dry_filmed
    return replace(scene, capture=_draw_capture(dice)) if dice.chance(filmed) else scene


def _draw_capture(dice: Dice) -> Capture:
    sharpening = dice.uniform(-0.8, 0.6)
    step = dice.within((0.001, 0.008)) if dice.chance(0.75) else 0.0
    return Capture(sharpening, dice.within((0.001, 0.02)), step)


_STREAK_AREA = 2.14
"""Mean sum of a streak's pixels for a median length, sigma and mean peak of 1, given the variation between streaks."""


def _draw_painted(dice: Dice, look: PaintedLook) -> _Scene:
    count = round(dice.uniform(look.layers[0] - 0.5, look.layers[1] + 0.5))
    density, length, sigma = dice.within(look.density) / 1000, dice.within(look.length), dice.within(look.sigma)
    peak = dice.within(look.brightness) / (density * length * sigma * _STREAK_AREA)
    spread, lean = math.radians(dice.within(look.spread)), dice.uniform(-look.lean, look.lean)
    layers = []
    for index in range(count):
        if index and dice.chance(0.5):
            lean = dice.uniform(-look.lean, look.lean)
        angle, reach = math.radians(lean + dice.uniform(-8, 8)), length * dice.within((0.8, 1.25))
        layers.append(_Layer(density / count, (reach * math.sin(angle), reach * math.cos(angle)), sigma, peak, spread))
    return _Scene(
        tuple(layers), veil=dice.within(look.veil), screen=dice.uniform(0, 1) if dice.chance(look.screened) else 0.0
    )


_SLABS_M = ((0.5, 1.2), (1.2, 2.5), (2.5, 5.0), (5.0, 9.0))


def _draw_optical(dice: Dice, look: OpticalLook) -> _Scene:
    drop = dice.within(look.drop_mm) / 1000
    fall, wind = float(fall_speed(torch.tensor(drop))), dice.uniform(-look.wind_m_s, look.wind_m_s)
    exposure, focal, focus = dice.within(look.exposure_seconds), dice.within(look.focal_pixels), dice.within((2, 30))
    speed = dice.within(look.speed_m_s) if dice.chance(look.driving) else 0.0
    is_night, drops, blur = dice.chance(look.night), dice.within(look.drops_per_m3), dice.within((0.45, 0.8))
    radiance, contrast = dice.within(look.radiance), dice.within(look.contrast)

    layers = []
    for near, far in _SLABS_M:
        distance = math.sqrt(near * far)
        size, scale = drop * focal / distance, focal * exposure / distance
        sigma = math.hypot(blur, 0.35 * size, defocus_sigma(focal, distance, focus))
        density = min(0.012, drops * (far**3 - near**3) / 3 / focal**2)
        shift = (wind * scale, fall * scale)
        peak, growth = min(1.0, 0.4 * size / sigma), speed * exposure / distance
        layers.append(_Layer(density, shift, sigma, peak, 0.03, growth, look.shortest))
    # A drop's share of the exposure, about drop / (fall * exposure), is absorbed by the drawn contrast.
    gain = contrast / radiance / max(layer.peak for layer in layers)
    thinning = 0.3 if is_night else 1.0
    colour = 0.25 if is_night else 0.06
    red, green, blue = (radiance * (1 + dice.uniform(-colour, colour)) for _ in range(3))
    return _Scene(
        tuple(replace(layer, density=layer.density * thinning, peak=layer.peak * gain) for layer in layers),
        brightness=dice.within((0.05, 0.4)) if is_night else 1.0,
        haze=0.0 if is_night else dice.within(look.haze),
        radiance=(red, green, blue),
    )


_WIDEST = math.tan(math.radians(30))
"""Half a picture's width in focal lengths."""


def _draw_falling(dice: Dice, look: FallingLook) -> _Scene:
    is_night, focal = dice.chance(look.night), dice.within(look.focal_pixels)
    radiance = dice.within(look.night_radiance if is_night else look.radiance)
    colour = 0.2 if is_night else 0.05
    reach = _WIDEST * focal
    air = Air(
        PER_M3 * dice.within(look.intensity),
        focal,
        dice.within(look.focus_m),
        dice.within(look.exposure_seconds),
        wind=dice.uniform(-look.wind_m_s, look.wind_m_s),
        speed=dice.within(look.speed_m_s) if dice.chance(look.driving) else 0.0,
        centre=(dice.uniform(-reach, reach), dice.uniform(-0.6 * reach, 0.6 * reach)),
        radiance=radiance,
        is_lamp_lit=is_night,
    )
    red, green, blue = (radiance * (1 + dice.uniform(-colour, colour)) for _ in range(3))
    return _Scene(air=air, brightness=dice.within((0.05, 0.5)) if is_night else 1.0, radiance=(red, green, blue))


def _draw_streaks(images: list[tuple[_Layer, ...]], dice: Dice, height: int, width: int) -> Streaks:
    rows = [
        [image, it.density, *it.shift, it.sigma, it.peak, it.spread, it.growth, it.shortest]
        for image, layers in enumerate(images)
        for it in layers
    ]
    table = torch.tensor(rows, device=dice.device).view(-1, 9)
    longest = 2.0 * max(height, width)
    margin = torch.hypot(table[:, 2], table[:, 3]).clamp(max=longest / 2) + 4
    expected = table[:, 1] * (height + 2 * margin) * (width + 2 * margin)
    which = torch.repeat_interleave(torch.poisson(expected, generator=dice.generator).long())
    image, _, shift_x, shift_y, sigma, peak, spread, growth, shortest = table[which].unbind(1)
    count, margin = len(which), margin[which]

    centre = dice.many(2 * len(images)).view(2, -1)[:, image.long()]
    x = dice.many(count) * (width + 2 * margin) - margin
    y = dice.many(count) * (height + 2 * margin) - margin
    dx, dy = shift_x + growth * (x - width * centre[0]), shift_y + growth * (y - height * centre[1])
    length = (torch.hypot(dx, dy).maximum(shortest) * torch.exp(0.6 * dice.normal(count))).clamp(max=longest)
    angle = torch.atan2(dy, dx) + spread * dice.normal(count)
    return Streaks(
        image=image.long(),
        x=x,
        y=y,
        dx=length * angle.cos(),
        dy=length * angle.sin(),
        sigma=(sigma * torch.exp(0.3 * dice.normal(count))).clamp(min=0.45),
        peak=peak * 1.07 * (-torch.log1p(-dice.many(count).clamp(max=0.999))).pow(0.8),
        sharpness=0.3 + 1.7 * dice.many(count),
        beads=dice.many(count) * (length / 25).clamp(max=1),
        phase=2 * math.pi * dice.many(count),
    )


def _film(rainy: Tensor, target: Tensor, captures: list[Capture | None], dice: Dice) -> RainyPair:
    filmed = {image: capture for image, capture in enumerate(captures) if capture}
    if not filmed:
        return RainyPair(rainy, target)
    images = list(filmed)
    noise = dice.normal(len(images), *target.shape[1:]).to(target)
    both = torch.stack((rainy, target))
    both[:, images] = take(both[:, images], list(filmed.values()), noise)
    return RainyPair(*both.unbind())
