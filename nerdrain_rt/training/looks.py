"""What synthetic rain may look like: the ranges from which each image's rain is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from nerdrain_rt.errors import UsageError

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class PaintedLook:
    """Rain as painted over the images of the benchmarks; every range is drawn per image."""

    layers: tuple[int, int]
    density: Range
    """Streaks per 1000 pixels, over all layers."""
    length: Range
    """Median length in pixels; single streaks vary by a factor of about 1.8."""
    sigma: Range
    """Median standard deviation across a streak in pixels."""
    brightness: Range
    """What the streaks add to the image's mean, of 1; single streaks vary almost exponentially."""
    lean: float
    """Largest angle from the vertical in degrees."""
    spread: Range
    """Standard deviation of single streaks around their layer's angle in degrees."""
    veil: Range
    """Even brightening by streaks too fine to be seen; it is to be removed."""
    screened: float
    """Share of images over which the rain fades on bright ground, by an amount up to the screen mode's."""
    filmed: float
    """Share of images that have been through a camera's noise, sharpening and compression, their targets alike."""


LIGHT = PaintedLook((1, 1), (4.0, 8.5), (20, 44), (0.62, 0.88), (0.015, 0.032), 45, (0.3, 2.0), (0.0, 0.0), 0.15, 0.05)
HEAVY = PaintedLook((1, 4), (12, 30), (22, 60), (0.6, 1.2), (0.06, 0.18), 60, (0.3, 3.0), (0.0, 0.04), 0.2, 0.1)
FINE = PaintedLook((1, 2), (18, 45), (10, 60), (0.5, 0.85), (0.02, 0.10), 50, (0.3, 6.0), (0.0, 0.05), 0.6, 0.3)
THICK = PaintedLook((1, 2), (0.5, 2.5), (50, 140), (1.0, 3.0), (0.01, 0.06), 50, (0.2, 3.0), (0.0, 0.02), 0.4, 0.3)


@dataclass(frozen=True, slots=True)
class OpticalLook:
    """Rain as a camera sees it: drops fall through the depth of a scene while the shutter is open."""

    drop_mm: Range = (1.0, 3.0)
    drops_per_m3: Range = (60, 700)
    """Drops above 1 mm; Marshall and Palmer (1948) give 250 at 10 mm/h and 730 at 50 mm/h."""
    exposure_seconds: Range = (1 / 1500, 1 / 45)
    focal_pixels: Range = (280, 1500)
    wind_m_s: float = 3.0
    """Largest sideways speed of the air."""
    driving: float = 0.25
    """Share of images seen from a moving vehicle: streaks run outwards from a point."""
    speed_m_s: Range = (3.0, 25)
    contrast: Range = (0.03, 0.45)
    """Linear radiance the nearest streaks show over black, of 1."""
    radiance: Range = (0.4, 2.5)
    """Linear radiance of the drops, which mirror the sky; ground as bright as this hides them."""
    night: float = 0.15
    """Share of images taken in the dark: few streaks, bright in the light of a lamp."""
    haze: Range = (0.005, 0.3)
    """Share of the light that comes from distant rain. The target keeps it: dehazing is another task, and a network
    that guesses at it from a small crop changes the brightness of dry pictures."""
    filmed: float = 0.7
    shortest: float = 3.0
    """Least median length in pixels."""


SHORT = OpticalLook(
    exposure_seconds=(1 / 4000, 1 / 500),
    focal_pixels=(280, 900),
    contrast=(0.03, 0.3),
    driving=0.1,
    night=0.0,
    shortest=1.0,
)


@dataclass(frozen=True, slots=True)
class FallingLook:
    """The drops of `nerdrain rain`, of every size and distance, in any light: a crop does not tell the picture's."""

    intensity: Range = (0.1, 1.0)
    """As `nerdrain rain` has it."""
    exposure_seconds: Range = (1 / 1000, 1 / 30)
    focal_pixels: Range = (260, 1700)
    focus_m: Range = (2.0, 30.0)
    wind_m_s: float = 3.0
    """Largest sideways speed of the air."""
    driving: float = 0.3
    """Share of images seen from a moving vehicle."""
    speed_m_s: Range = (3.0, 25.0)
    radiance: Range = (1.0, 3.5)
    """Linear, of the sky that the drops mirror."""
    night: float = 0.2
    """Share of images taken in the dark."""
    night_radiance: Range = (8.0, 40.0)
    """Of drops a metre ahead in the light of headlights."""
    filmed: float = 0.5


@dataclass(frozen=True, slots=True)
class RainSettings:
    """How often each kind of rain is drawn, relative to their sum; every range is drawn per image, log-uniformly
    where it starts above 0."""

    dry: float = 0.08
    """No rain: the target is the rainy image itself."""
    light: float = 0.22
    heavy: float = 0.12
    fine: float = 0.10
    thick: float = 0.06
    optical: float = 0.27
    short: float = 0.15
    """As `optical`, at exposures so short that drops are specks: as bright and as small as those of real rain in which
    networks leave most."""
    falling: float = 0.0
    """Most of it is faint: the more of it there was, the more drops of real rain trained weights left."""
    dry_filmed: float = 0.5
    optics: OpticalLook = OpticalLook()
    fall: FallingLook = FallingLook()

    @classmethod
    def of_shares(cls, shares: object) -> RainSettings:
        """With these shares, by name; raises UsageError for what is no table of them."""
        known = cls().shares
        if not isinstance(shares, Mapping):
            raise UsageError(f"rain is {shares!r}; it must be a table of shares, as light = 0.2")
        for name, share in shares.items():
            if name not in known:
                raise UsageError(f"rain has {name!r}; its shares are {', '.join(known)}")
            largest = 1 if name == "dry_filmed" else 1000
            if type(share) not in (int, float) or not 0 <= share <= largest:
                raise UsageError(f"rain has {name} = {share!r}; it goes from 0 to {largest}")
        settings = cls(**shares)
        if not any(share for name, share in settings.shares.items() if name != "dry_filmed"):
            raise UsageError("rain has no kind with a share above 0")
        return settings

    @property
    def shares(self) -> dict[str, float]:
        """What recipes may change."""
        return {it.name: getattr(self, it.name) for it in fields(self) if isinstance(it.default, float)}


EVERY_KIND = RainSettings()
