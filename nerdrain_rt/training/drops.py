"""What single drops of rain draw on a picture while the shutter is open: the optics that stills and videos share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from torch import Tensor

from nerdrain_rt.training.streaks import Streaks

_Numbers = TypeVar("_Numbers", float, Tensor)

PER_M3 = 500
"""Drops above 1 mm in a cloudburst."""
NEAREST_M = 0.4
_APERTURE_M = 0.002
"""Of a telephone's or dashcam's lens."""
_LAMP_WIDTH = 0.35
"""Tangent of the angle at which a headlight has lost most of its light."""
_LAMP_SINKS = 0.05
"""How far its middle points below the horizon."""


@dataclass(frozen=True, slots=True)
class Drops:
    """N drops as the shutter opens, and the cameras before which they fall; a field is a tensor of N or as said."""

    image: Tensor
    """int64: which picture a drop is in."""
    place: Tensor
    """N 3: metres to the right of the camera, below it and ahead of it."""
    velocity: Tensor
    """N 3: metres a second, as the camera sees it."""
    diameter: Tensor
    """Metres."""
    character: Tensor
    """N 4 in [0, 1): phase, brightness, sharpness and beads of its streak."""
    focal: Tensor
    """Of the lens, in pixels."""
    focus: Tensor
    """Distance of what is sharp, in metres."""
    exposure: Tensor
    """Seconds."""
    centre: Tensor
    """N 2: the pixel (x, y) the camera points at."""

    def where(self, is_kept: Tensor) -> Drops:
        """The drops for which a boolean tensor of N is true."""
        return Drops(**{field.name: getattr(self, field.name)[is_kept] for field in fields(self)})

    def streaks(self) -> Streaks:
        """What those draw that stay ahead of the camera; peaks are the share of the light behind that they hide."""
        end = self.place + self.velocity * self.exposure[:, None]
        is_ahead = (self.place[:, 2] > NEAREST_M) & (end[:, 2] > NEAREST_M)
        return self.where(is_ahead)._drawn(end[is_ahead])

    def _drawn(self, end: Tensor) -> Streaks:
        shift, bright, sharp, bead = self.character.unbind(1)
        distance = self.place[:, 2].float()
        size = self.diameter * self.focal / distance
        sigma = streak_sigma(size, self.focal, distance, self.focus)
        (x0, y0), (x1, y1) = self._projected(self.place), self._projected(end)
        # What a drop moves towards the camera takes it over no other pixel.
        passing = size / torch.hypot(x1 - x0, y1 - y0)
        peak = 2 * bright * passing.clamp(max=1) * (0.4 * size / sigma).clamp(max=1)
        return Streaks(
            self.image,
            x=(x0 + x1) / 2,
            y=(y0 + y1) / 2,
            dx=x1 - x0,
            dy=y1 - y0,
            sigma=sigma,
            peak=peak,
            sharpness=0.3 + sharp,
            beads=0.5 * bead,
            phase=2 * torch.pi * shift,
        )

    def _projected(self, place: Tensor) -> tuple[Tensor, Tensor]:
        x, y = ((place[:, :2] / place[:, 2:] * self.focal[:, None]).float() + self.centre).unbind(1)
        return x, y


def streak_sigma(size: Tensor, focal: Tensor, distance: Tensor, focus: Tensor) -> Tensor:
    """Pixels across a streak of a drop of `size` pixels, for its width, the lens out of focus and the sensor."""
    return torch.sqrt(0.3 + (0.35 * size).square() + defocus_sigma(focal, distance, focus).square())


def defocus_sigma(focal: _Numbers, distance: _Numbers, focus: _Numbers) -> _Numbers:
    """Pixels across a line that a lens out of focus adds: a quarter of the diameter to which it blurs a point."""
    return _APERTURE_M / 4 * focal * (1 / distance - 1 / focus)


def drop_diameters(chance: Tensor) -> Tensor:
    """Metres, 1 mm and more, exponentially rarer, for evenly spread numbers in [0, 1)."""
    return (1 - torch.log1p(-chance.clamp(max=0.98)) / 2) / 1000


def fall_speed(drop: Tensor) -> Tensor:
    """Terminal speeds in m/s of drops of `drop` metres, 0.6 to 6 mm (Atlas, Srivastava, Sekhon 1973)."""
    return 9.65 - 10.3 * torch.exp(-600 * drop)


def lamp_light(places: Tensor) -> Tensor:
    """The light of a headlight's cone at places N 3 in metres, of that a metre ahead in its middle."""
    x, y, z = places.unbind(1)
    from_middle = torch.hypot(x, y - _LAMP_SINKS * z) / z.clamp(min=1e-3)
    return torch.exp(-(from_middle / _LAMP_WIDTH).square()) / (x * x + y * y + z * z).clamp(min=0.1)
