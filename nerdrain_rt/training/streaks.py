"""Draws rain streaks, each a soft line segment with a Gaussian cross profile, onto a batch of maps."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

_REACH = 2.6
"""Half the evaluated width in standard deviations of the cross profile; what lies outside is below 4 % of the peak."""


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
    """Phase of that variation in radians."""

    def to(self, device: torch.device) -> Streaks:
        """The same streaks on another device."""
        return Streaks(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def splat(streaks: Streaks, batch: int, height: int, width: int) -> Tensor:
    """Sum of the streaks as B 1 H W.

    Only pixels that a streak reaches are evaluated: along its longer axis one row of pixels per step, across it as many
    as its width asks for, as one flat list over all streaks of all images.
    """
    length = torch.hypot(streaks.dx, streaks.dy).clamp(min=1e-3)
    is_steep = streaks.dy.abs() >= streaks.dx.abs()
    major, minor = torch.where(is_steep, streaks.y, streaks.x), torch.where(is_steep, streaks.x, streaks.y)
    along = torch.where(is_steep, streaks.dy, streaks.dx) / length
    across = torch.where(is_steep, streaks.dx, streaks.dy) / length
    major_size = torch.where(is_steep, height, width)
    minor_size = torch.where(is_steep, width, height)

    reach = length / 2 * along.abs() + _REACH * streaks.sigma * across.abs()
    first = (major - reach).ceil().clamp(min=0)
    rows = ((major + reach).floor() - first).add(1).minimum(major_size - first).clamp(min=0).long()
    half = (_REACH * streaks.sigma / along.abs()).ceil().long()
    columns = 2 * half + 1
    counts = rows * columns

    which = torch.repeat_interleave(counts)
    local = torch.arange(which.numel(), device=which.device) - (counts.cumsum(0) - counts)[which]
    slope = across / along
    row, column = local.div(columns[which], rounding_mode="floor"), local % columns[which]
    step = first[which] + row - major[which]
    at_minor = (minor[which] + slope[which] * step).round() + (column - half[which])
    offset = at_minor - minor[which]
    is_inside = (at_minor >= 0) & (at_minor < minor_size[which])
    which, step, offset, at_minor = (t[is_inside] for t in (which, step, offset, at_minor))

    position = (step * along[which] + offset * across[which]) / length[which]
    distance = (offset * along[which] - step * across[which]) / streaks.sigma[which]
    fade = (1 - (2 * position).square()).clamp(min=0).pow(streaks.sharpness[which])
    bead = 1 + streaks.beads[which] * torch.sin(length[which].div(3) * position + streaks.phase[which])
    value = streaks.peak[which] * fade * bead * torch.exp(-0.5 * distance.square())

    at_major = step + major[which]
    y, x = (torch.where(is_steep[which], a, b).round().long() for a, b in ((at_major, at_minor), (at_minor, at_major)))
    canvas = value.new_zeros(batch * height * width)
    canvas.index_add_(0, (streaks.image[which] * height + y) * width + x, value)
    return canvas.view(batch, 1, height, width)
