"""Synthetic rain on photographs: the looks of the benchmarks and of real cameras, drawn anew for every image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nerdrain_rt.training.streaks import Streaks, splat

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class DrawnLook:
    """Rain as painted over the images of the benchmarks; every range is drawn per image."""

    layers: tuple[int, int]
    density: Range
    """Streaks per 1000 pixels, over all layers."""
    length: Range
    """Median length in pixels; single streaks vary by a factor of about 1.7."""
    sigma: Range
    """Median standard deviation across a streak in pixels."""
    brightness: Range
    """What the streaks add to the image's mean, of 1; single streaks vary exponentially."""
    lean: float
    """Largest angle from the vertical in degrees."""
    spread: Range
    """Standard deviation of single streaks around their layer's angle in degrees."""
    veil: Range
    """Even brightening by streaks too fine to be seen."""


LIGHT = DrawnLook((1, 1), (4.0, 8.5), (20, 44), (0.62, 0.88), (0.013, 0.030), 45, (0.3, 2.0), (0.0, 0.0))
HEAVY = DrawnLook((1, 4), (12, 30), (22, 60), (0.6, 1.2), (0.06, 0.18), 60, (0.3, 3.0), (0.0, 0.05))
FINE = DrawnLook((1, 2), (18, 45), (10, 60), (0.5, 0.85), (0.02, 0.10), 50, (0.3, 6.0), (0.0, 0.10))
THICK = DrawnLook((1, 2), (0.5, 2.5), (50, 140), (1.0, 3.0), (0.01, 0.06), 50, (0.2, 3.0), (0.0, 0.05))


@dataclass(frozen=True, slots=True)
class RainSettings:
    """What rain may look like; shares are relative, ranges are drawn per image (log-uniformly where above 0)."""

    dry: float = 0.09
    """Share of images that get no rain."""
    light: float = 0.40
    heavy: float = 0.12
    fine: float = 0.08
    thick: float = 0.04
    optical: float = 0.27
    """Share of rain as a camera sees it; the other shares are rain as painted by the benchmarks."""
    drop_mm: Range = (1.0, 3.0)
    drops_per_m3: Range = (60, 700)
    """Drops above 1 mm; Marshall and Palmer give 250 at 10 mm/h and 730 at 50 mm/h."""
    exposure_seconds: Range = (1 / 800, 1 / 40)
    focal_pixels: Range = (350, 1500)
    wind_m_s: float = 3.0
    """Largest sideways speed of the air."""
    driving: float = 0.25
    """Share of optical rain seen from a moving vehicle: streaks run outwards from a point."""
    speed_m_s: Range = (3.0, 25)
    contrast: Range = (0.02, 0.5)
    """Linear radiance that the brightest layer of optical rain adds, of 1."""
    night: float = 0.15
    """Share of optical rain that is lit by a lamp: sparse, bright against the dark."""


class RainyPair(NamedTuple):
    """Images with rain and what a network should make of them, both B 3 H W in [0, 1]."""

    rainy: Tensor
    target: Tensor


@dataclass(frozen=True, slots=True)
class _Layer:
    """Streaks of one depth or direction in one image."""

    image: int
    density: float
    """Per pixel."""
    shift: tuple[float, float]
    """(x, y) motion during the exposure in pixels."""
    growth: float
    """Further motion per pixel of distance from the image's middle, away from it."""
    sigma: float
    peak: float
    spread: float
    """Radians."""


class _Dice:
    """Random numbers of one generator, on its own device."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.device = generator.device

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(self.many(1))

    def within(self, limits: Range) -> float:
        """Log-uniform within the limits; uniform where they start at 0."""
        low, high = limits
        return math.exp(self.uniform(math.log(low), math.log(high))) if low > 0 else self.uniform(low, high)

    def many(self, count: int) -> Tensor:
        return torch.rand(count, generator=self.generator, device=self.device)

    def normal(self, count: int) -> Tensor:
        return torch.randn(count, generator=self.generator, device=self.device)


def add_rain(clean: Tensor, generator: torch.Generator, settings: RainSettings | None = None) -> RainyPair:
    """Rain on `clean`, B 3 H W sRGB in [0, 1]; each image gets its own kind of rain, a share of them none.

    The target is the clean image, with the haze that optical rain adds in the distance taken away as well. It depends
    on nothing but the generator's state: one on the CPU gives the same rain whatever device the images are on.
    """
    settings = settings or RainSettings()
    dice = _Dice(generator)
    batch, _, height, width = clean.shape
    scenes = [_draw_scene(image, dice, settings, clean[image]) for image in range(batch)]
    streaks = _draw_streaks([layer for scene in scenes for layer in scene.layers], dice, height, width)
    rain = splat(streaks.to(clean.device), batch, height, width)

    def each(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=clean.dtype, device=clean.device).view(-1, 1, 1, 1)

    veil = each([scene.veil for scene in scenes])
    painted = _paint(clean, rain, veil, each([scene.screen for scene in scenes]))
    optical = _expose(clean, rain, veil, each([scene.radiance for scene in scenes]))
    is_optical = each([float(scene.radiance > 0) for scene in scenes]) > 0
    return RainyPair(torch.where(is_optical, optical, painted), clean)


@dataclass(frozen=True, slots=True)
class _Scene:
    layers: tuple[_Layer, ...] = ()
    veil: float = 0.0
    screen: float = 0.0
    """How far painted rain fades on bright ground: 0 adds, 1 screens."""
    radiance: float = 0.0
    """Linear radiance of the drops of optical rain; 0 where rain is painted."""


def _draw_scene(image: int, dice: _Dice, settings: RainSettings, clean: Tensor) -> _Scene:
    looks = (
        (settings.dry, None),
        (settings.light, LIGHT),
        (settings.heavy, HEAVY),
        (settings.fine, FINE),
        (settings.thick, THICK),
        (settings.optical, settings),
    )
    shares = torch.tensor([share for share, _ in looks])
    pick = dice.uniform(0, float(shares.sum()))
    look = looks[min(int((shares.cumsum(0) <= pick).sum()), len(looks) - 1)][1]
    if look is None:
        return _Scene()
    if isinstance(look, DrawnLook):
        return _draw_painted(image, dice, look)
    return _draw_optical(image, dice, look, clean)


_STREAK_AREA = 1.93
"""Mean sum of a streak's pixels for a median length, sigma and mean peak of 1, given the variation between streaks."""


def _draw_painted(image: int, dice: _Dice, look: DrawnLook) -> _Scene:
    count = round(dice.uniform(look.layers[0] - 0.5, look.layers[1] + 0.5))
    density, lean = dice.within(look.density) / 1000 / count, dice.uniform(-look.lean, look.lean)
    length, sigma, spread = dice.within(look.length), dice.within(look.sigma), dice.within(look.spread)
    peak, veil = (
        dice.within(look.brightness) / (density * count * length * sigma * _STREAK_AREA),
        dice.within(look.veil),
    )
    layers = []
    for index in range(count):
        if index and dice.uniform(0, 1) < 0.5:
            lean = dice.uniform(-look.lean, look.lean)
        angle = math.radians(lean + dice.uniform(-8, 8))
        reach = length * dice.within((0.8, 1.25))
        shift = (reach * math.sin(angle), reach * math.cos(angle))
        layers.append(_Layer(image, density, shift, 0.0, sigma, peak, math.radians(spread)))
    return _Scene(tuple(layers), veil, screen=max(0.0, dice.uniform(-1.5, 1.0)))


_SLABS_M = ((0.5, 1.2), (1.2, 2.5), (2.5, 5.0), (5.0, 9.0))


def _draw_optical(image: int, dice: _Dice, settings: RainSettings, clean: Tensor) -> _Scene:
    """Drops fall at their terminal speed (Atlas 1973) through slabs of air and are smeared by the exposure."""
    drop_m = dice.within(settings.drop_mm) / 1000
    fall = 9.65 - 10.3 * math.exp(-600 * drop_m)
    wind, exposure = dice.uniform(-1, 1) * settings.wind_m_s, dice.within(settings.exposure_seconds)
    focal, focus_m = dice.within(settings.focal_pixels), dice.within((2.0, 30.0))
    is_night = dice.uniform(0, 1) < settings.night
    speed = dice.within(settings.speed_m_s) if dice.uniform(0, 1) < settings.driving else 0.0
    drops, contrast, blur = dice.within(settings.drops_per_m3), dice.within(settings.contrast), dice.within((0.45, 0.8))

    layers, strongest = [], 0.0
    for near, far in _SLABS_M:
        distance = math.sqrt(near * far)
        defocus = 0.002 * focal * abs(1 / distance - 1 / focus_m)
        sigma = math.hypot(blur, 0.35 * drop_m * focal / distance, defocus)
        smear = min(1.0, drop_m / (fall * exposure))
        peak = smear * min(1.0, 0.4 * drop_m * focal / distance / sigma)
        density = min(0.03, drops * (far**3 - near**3) / 3 / focal**2) * (0.3 if is_night else 1.0)
        scale = focal * exposure / distance
        layers.append((density, (wind * scale, fall * scale), speed * exposure / distance, sigma, peak))
        strongest = max(strongest, peak)

    # Lamps and sky are far brighter than white paper: the contrast is drawn, the radiance follows from it.
    surroundings = float(clean.mean()) ** 2.2
    radiance = max(contrast / strongest, surroundings * dice.within((0.7, 2.0)))
    radiance = min(radiance, 40.0)
    veil = 0.0 if is_night else dice.within((0.003, 0.12))
    return _Scene(
        tuple(_Layer(image, d, shift, growth, s, p, 0.03) for d, shift, growth, s, p in layers), veil, 0.0, radiance
    )


def _draw_streaks(layers: list[_Layer], dice: _Dice, height: int, width: int) -> Streaks:
    table = torch.tensor(
        [[it.image, it.density, *it.shift, it.growth, it.sigma, it.peak, it.spread] for it in layers],
        device=dice.device,
    ).view(-1, 8)
    reach = torch.hypot(table[:, 2], table[:, 3]).mul(2).clamp(max=1.5 * max(height, width))
    margin = (reach / 2).add(4)
    expected = table[:, 1] * (height + 2 * margin) * (width + 2 * margin)
    counts = torch.poisson(expected, generator=dice.generator).long()
    which = torch.repeat_interleave(counts)
    image, _, shift_x, shift_y, growth, sigma, peak, spread = table[which].unbind(1)
    count, margin = len(which), margin[which]

    x = dice.many(count) * (width + 2 * margin) - margin
    y = dice.many(count) * (height + 2 * margin) - margin
    dx = shift_x + growth * (x - width / 2)
    dy = shift_y + growth * (y - height / 2)
    length = torch.hypot(dx, dy).clamp(min=1) * torch.exp(0.5 * dice.normal(count))
    angle = torch.atan2(dy, dx) + spread * dice.normal(count)
    return Streaks(
        image=image.long(),
        x=x,
        y=y,
        dx=length.clamp(max=2.5 * max(height, width)) * angle.cos(),
        dy=length.clamp(max=2.5 * max(height, width)) * angle.sin(),
        sigma=(sigma * torch.exp(0.3 * dice.normal(count))).clamp(min=0.45),
        peak=peak * -torch.log1p(-dice.many(count).clamp(max=0.999)),
        sharpness=0.3 + 1.7 * dice.many(count),
        beads=0.6 * dice.many(count).square(),
        phase=2 * math.pi * dice.many(count),
    )


def _paint(clean: Tensor, rain: Tensor, veil: Tensor, screen: Tensor) -> Tensor:
    """Adds rain to sRGB values as image editors do; `screen` 1 gives their screen mode."""
    layer = rain + veil
    return (clean + layer * (1 - screen * clean)).clamp(0, 1)


def _expose(clean: Tensor, rain: Tensor, veil: Tensor, radiance: Tensor) -> Tensor:
    """Drops cover the background for part of the exposure and show their own radiance, in linear light."""
    linear = _to_linear(clean)
    cover = 1 - torch.exp(-rain)
    hazy = linear + veil * (0.5 - linear)
    return _to_srgb((hazy + cover * (radiance - hazy)).clamp(0, 1))


def _to_linear(srgb: Tensor) -> Tensor:
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055).clamp(min=0).pow(2.4))


def _to_srgb(linear: Tensor) -> Tensor:
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=1e-6).pow(1 / 2.4) - 0.055)
