"""Draws rain streaks, each a soft line segment with a Gaussian cross profile, onto a batch of maps."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

_REACH = 2.6
"""Half the evaluated width in standard deviations of the cross profile; what lies outside is below 4 % of the peak."""
FAINTEST = 1 / 1024
"""Of 1: what adds less is not worth drawing."""


@dataclass(frozen=True, slots=True)
class Streaks:
    """N streaks; every field is a float tensor of N, positions in pixels with pixel centres at whole numbers."""

    image: Tensor
    """int64: which map of the batch a streak belongs to."""
    x: Tensor
    y: Tensor
    """The streak's middle."""
    dx: Tensor
    dy: Tensor
    """From its start to its end: length and direction at once."""
    sigma: Tensor
    """Standard deviation of the cross profile."""
    peak: Tensor
    """Value in its middle."""
    sharpness: Tensor
    """Exponent of the profile along the streak: near 0 a box, 1 a parabola, above that fading ends."""
    beads: Tensor
    """Amplitude of the variation of brightness along the streak, 0 to 1."""
    phase: Tensor
    """Phase of that variation in radians; the larger of 0 to 2 pi, the more beads, up to 3."""

    @classmethod
    def joined(cls, *parts: Streaks) -> Streaks:
        """The streaks of all parts, in their order."""
        return cls(**{field.name: torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)})

    def where(self, is_kept: Tensor) -> Streaks:
        """The streaks for which a boolean tensor of N is true."""
        return Streaks(**{field.name: getattr(self, field.name)[is_kept] for field in fields(self)})

    def to(self, device: torch.device) -> Streaks:
        """The same streaks on another device."""
        return Streaks(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def splat(streaks: Streaks, batch: int, height: int, width: int) -> Tensor:
    """Sum of the streaks as B 1 H W.

    Only pixels that a streak reaches are evaluated, as flat lists over all streaks of all images: first the rows of
    pixels it passes on its longer axis, with its brightness there, then the pixels across it in each row.
    """
    length = torch.hypot(streaks.dx, streaks.dy).clamp(min=1e-3)
    is_steep = streaks.dy.abs() >= streaks.dx.abs()
    major, minor = torch.where(is_steep, streaks.y, streaks.x), torch.where(is_steep, streaks.x, streaks.y)
    along = torch.where(is_steep, streaks.dy, streaks.dx) / length
    across = torch.where(is_steep, streaks.dx, streaks.dy) / length

    reach = length / 2 * along.abs()
    first = (major - reach).ceil().clamp(min=0)
    last = (major + reach).floor().minimum(torch.where(is_steep, height - 1, width - 1))
    which, row = _expanded((last - first + 1).clamp(min=0).long())
    at_major = first[which] + row
    step = at_major - major[which]
    centre = minor[which] + step * (across / along)[which]
    position = step / (length * along)[which]
    fade = (1 - (2 * position).square()).clamp(min=0).pow(streaks.sharpness[which])
    phase = streaks.phase[which]
    bead = 1 + streaks.beads[which] * torch.sin((4 + 2 * phase) * position + phase)
    brightness = streaks.peak[which] * fade * bead

    minor_size = torch.where(is_steep, width, height)[which]
    slimness = (along.abs() / streaks.sigma)[which]
    leftmost = (centre - _REACH / slimness).ceil().clamp(min=0)
    rightmost = (centre + _REACH / slimness).floor().minimum(minor_size - 1)
    stride = torch.where(is_steep, 1, width)[which]
    origin = (streaks.image * height * width)[which] + at_major.long() * torch.where(is_steep, width, 1)[which]
    origin += leftmost.long() * stride
    row, column = _expanded((rightmost - leftmost + 1).clamp(min=0).long())

    distance = ((leftmost - centre) * slimness)[row] + column * slimness[row]
    value = brightness[row] * torch.exp(-0.5 * distance.square())
    canvas = value.new_zeros(batch * height * width)
    canvas.index_add_(0, origin[row] + column * stride[row], value)
    return canvas.view(batch, 1, height, width)


def _expanded(counts: Tensor) -> tuple[Tensor, Tensor]:
    """For items repeated `counts` times: each repetition's item, and its number within the item."""
    item = torch.repeat_interleave(counts)
    return item, torch.arange(len(item), device=item.device) - (counts.cumsum(0) - counts)[item]
