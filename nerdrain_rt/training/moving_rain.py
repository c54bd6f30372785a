"""Rain that falls through the frames of a video: for making rainy footage whose dry frames are known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from nerdrain_rt.training.capture import to_linear
from nerdrain_rt.training.rain import expose, fall_speed
from nerdrain_rt.training.streaks import Streaks, splat

_GOLDEN = (math.sqrt(5) - 1) / 2
_NEAREST_M = 0.4
_FAINTEST = 1 / 1024


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
    radiance: float = 2.5
    """Of the drops, linear: of the sky, which is brighter than white in most pictures, or of a lamp at night."""
    depth_m: float = 6.0
    """How far single drops are drawn."""


class MovingRain:
    """Drops in a box of air before the camera, each falling at its own speed and coming in again elsewhere.

    A frame's rain follows from the seed and the frame's number alone, so frames can be made in any order.
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
        count = round(500 * self.settings.intensity * float(self._box.prod()))
        generator = torch.Generator().manual_seed(seed)
        chance = torch.rand(count, 8, generator=generator).to(device)
        drift = torch.randn(count, 3, generator=generator).to(device)
        self._box = self._box.to(device)
        self._start = chance[:, :3].double() * self._box
        self._character = chance[:, 3:7]
        self._drop = (1 - torch.log1p(-chance[:, 7].clamp(max=0.98)) / 2) / 1000
        mean = drift.new_tensor([self.settings.wind_m_s, 0.0, -self.settings.speed_m_s])
        self._velocity = (0.15 * drift + mean).double()
        self._velocity[:, 1] += fall_speed(self._drop)

    def __call__(self, clean: Tensor, frame_index: int) -> Tensor:
        """The frame with rain: 3 H W sRGB in [0, 1] to the same; the number of the first frame is 0."""
        cover = splat(self.streaks(frame_index), 1, *self.size).to(clean)
        radiance = torch.full((1, 3, 1, 1), self.settings.radiance, dtype=clean.dtype, device=clean.device)
        return expose(to_linear(clean[None]), cover, radiance)[0]

    def streaks(self, frame_index: int) -> Streaks:
        """What the drops draw while the shutter of a frame is open."""
        settings = self.settings
        start = self._places(frame_index / self.frame_rate)
        end = start + self._velocity * settings.exposure_seconds
        is_ahead = (start[:, 2] > _NEAREST_M) & (end[:, 2] > _NEAREST_M)
        start, end, drop, velocity = (t[is_ahead] for t in (start, end, self._drop, self._velocity))
        shift, bright, sharp, bead = self._character[is_ahead].unbind(1)

        distance = start[:, 2].float()
        size = drop * self._focal / distance
        defocus = 0.002 * self._focal * (1 / distance - 1 / settings.focus_m)
        sigma = torch.sqrt(0.3 + (0.35 * size).square() + defocus.square())
        passing = drop / (velocity.norm(dim=1).float() * settings.exposure_seconds)
        peak = 2 * bright * passing.clamp(max=1) * (0.4 * size / sigma).clamp(max=1)
        (x0, y0), (x1, y1) = self._project(start), self._project(end)
        height, width = self.size
        x, y, dx, dy = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
        margin = 3 * sigma + torch.hypot(dx, dy)
        is_seen = (x > -margin) & (x < width + margin) & (y > -margin) & (y < height + margin)
        is_seen &= peak * settings.radiance > _FAINTEST
        fields = (x, y, dx, dy, sigma, peak, 0.3 + sharp, 0.5 * bead, 2 * math.pi * shift)
        x, y, dx, dy, sigma, peak, sharpness, beads, phase = (field[is_seen] for field in fields)
        return Streaks(torch.zeros_like(x, dtype=torch.int64), x, y, dx, dy, sigma, peak, sharpness, beads, phase)

    def _places(self, seconds: float) -> Tensor:
        """Where the drops are: (x, y, z) in metres from the camera, z ahead of it, y down."""
        travelled = self._start + self._velocity * seconds
        # A drop that leaves the box comes in shifted sideways by a golden section, which does not repeat.
        laps = (travelled / self._box).floor()[:, 1:].sum(1)
        travelled[:, 0] += _GOLDEN * self._box[0] * laps
        return travelled.remainder(self._box) - self._box * self._box.new_tensor([0.5, 0.5, 0.0])

    def _project(self, places: Tensor) -> tuple[Tensor, Tensor]:
        height, width = self.size
        x, y = (places[:, :2] / places[:, 2:] * self._focal).float().unbind(1)
        return x + width / 2, y + height / 2
