"""Rain that falls through the frames of a video: for making rainy footage whose dry frames are known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from nerdrain_rt.training.capture import to_linear
from nerdrain_rt.training.drops import PER_M3, Drops, drop_diameters, fall_speed, lamp_light
from nerdrain_rt.training.rain import expose
from nerdrain_rt.training.streaks import FAINTEST, Streaks, splat

_GOLDEN = (math.sqrt(5) - 1) / 2
_SKY = 12.5
"""Linear radiance of drops by day as a multiple of the picture's mean: 2.5 in the median of 589 photographs. Drops
mirror the sky, and the darker a scene was taken, the darker they are."""
_BRIGHTEST_SKY = 4.0
_DISTANT_RAIN = 0.2
"""Radiance of haze as a share of the sky's."""


@dataclass(frozen=True, slots=True)
class MovingRainSettings:
    """A shower and the camera in it; the defaults are moderate rain before a phone held still."""

    intensity: float = 0.5
    """0 is dry, 0.5 about 10 mm/h, 1 a cloudburst: 500 drops above 1 mm per m3."""
    exposure_seconds: float = 1 / 120
    field_of_view_degrees: float = 60.0
    """Across the picture's width."""
    focus_m: float = 6.0
    wind_m_s: float = 0.6
    """Of the air, to the right."""
    speed_m_s: float = 0.0
    """Of the camera, forwards: above 0 streaks run outwards from the middle."""
    lamp: float | None = None
    """Linear radiance of drops a metre ahead in the light of headlights at the camera, the brightest near its middle;
    None where they mirror the sky, whose light is also that of the picture."""
    haze: float = 0.0
    """Share of the light that comes from rain too far to be seen as drops, the same all over the picture."""
    depth_m: float = 6.0
    """How far single drops are drawn."""


class MovingRain:
    """Drops in a box of air before the camera, each falling at its own speed and coming in again elsewhere.

    Where a frame's drops are follows from the seed and its number alone, so frames can be made in any order.
    """

    def __init__(
        self,
        size: tuple[int, int],
        frame_rate: Fraction | float,
        *,
        seed: int = 0,
        settings: MovingRainSettings | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.size = size
        self.frame_rate = float(frame_rate)
        self.settings = settings or MovingRainSettings()
        height, width = size
        far = self.settings.depth_m
        self._focal = width / 2 / math.tan(math.radians(self.settings.field_of_view_degrees) / 2)
        # Wider than the view at its far end, so that streaks enter the picture from outside it.
        self._box = torch.tensor([1.3 * far * width / self._focal, 1.3 * far * height / self._focal, far]).double()
        count = round(PER_M3 * self.settings.intensity * float(self._box.prod()))
        generator = torch.Generator().manual_seed(seed)
        chance = torch.rand(count, 8, generator=generator).to(device)
        drift = torch.randn(count, 3, generator=generator).to(device)
        self._box = self._box.to(device)
        self._start = chance[:, :3].double() * self._box
        self._character = chance[:, 3:7]
        self._diameter = drop_diameters(chance[:, 7])
        mean = drift.new_tensor([self.settings.wind_m_s, 0.0, -self.settings.speed_m_s])
        self._velocity = (0.15 * drift + mean).double()
        self._velocity[:, 1] += fall_speed(self._diameter)

    def __call__(self, clean: Tensor, frame_index: int) -> Tensor:
        """The frame with rain: 3 H W sRGB in [0, 1] to the same; the number of the first frame is 0."""
        cover = splat(self.streaks(frame_index), 1, *self.size).to(clean)
        linear, lamp = to_linear(clean[None]), self.settings.lamp
        sky = (_SKY * linear.mean()).clamp(max=_BRIGHTEST_SKY)
        linear = linear.lerp(_DISTANT_RAIN * sky, self.settings.haze)
        radiance = sky if lamp is None else torch.full_like(sky, lamp)
        return expose(linear, cover, radiance.expand(1, 3, 1, 1))[0]

    def streaks(self, frame_index: int) -> Streaks:
        """What the drops draw while the shutter of a frame is open."""
        streaks = self._drops(frame_index).streaks()
        height, width = self.size
        margin = 3 * streaks.sigma + torch.hypot(streaks.dx, streaks.dy)
        is_seen = (streaks.x > -margin) & (streaks.x < width + margin)
        is_seen &= (streaks.y > -margin) & (streaks.y < height + margin)
        brightest = _BRIGHTEST_SKY if self.settings.lamp is None else self.settings.lamp
        return streaks.where(is_seen & (streaks.peak * brightest > FAINTEST))

    def _drops(self, frame_index: int) -> Drops:
        places = self._places(frame_index / self.frame_rate)
        height, width = self.size

        def each(value: float) -> Tensor:
            return self._diameter.new_tensor(value).expand(len(places))

        character = self._character
        if self.settings.lamp is not None:
            character = character.clone()
            character[:, 1] *= lamp_light(places).float()
        return Drops(
            torch.zeros_like(self._diameter, dtype=torch.int64),
            place=places,
            velocity=self._velocity,
            diameter=self._diameter,
            character=character,
            focal=each(self._focal),
            focus=each(self.settings.focus_m),
            exposure=each(self.settings.exposure_seconds),
            centre=self._diameter.new_tensor([width / 2, height / 2]).expand(len(places), 2),
        )

    def _places(self, seconds: float) -> Tensor:
        """Where the drops are: (x, y, z) in metres from the camera, z ahead of it, y down."""
        travelled = self._start + self._velocity * seconds
        # A drop that leaves the box comes in shifted sideways by a golden section, which does not repeat.
        laps = (travelled / self._box).floor()[:, 1:].sum(1)
        travelled[:, 0] += _GOLDEN * self._box[0] * laps
        return travelled.remainder(self._box) - self._box * self._box.new_tensor([0.5, 0.5, 0.0])
