"""Rain on files: pictures and videos get a shower whose drops fall from frame to frame."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from nerdrain_rt.color import Planes
from nerdrain_rt.errors import MediaError, UsageError
from nerdrain_rt.frame import Frame
from nerdrain_rt.media.image import ImageReport, derain_image
from nerdrain_rt.media.reader import VideoReader
from nerdrain_rt.media.writer import OutputSettings, VideoWriter
from nerdrain_rt.pipeline import Progress, VideoReport
from nerdrain_rt.stages import Prefetch
from nerdrain_rt.training.moving_rain import MovingRain, MovingRainSettings

TICKS = 90_000
"""Numbers of frames in a second: rain is drawn for a frame's time, so that it falls evenly at any frame rate."""
FASTEST_M_S = 300.0
NIGHT_RADIANCE = 20.0
NIGHT_EXPOSURE_SECONDS = 1 / 30
QUARTER_TURNS = {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}
"""By the orientation in a picture's tags: how often it is turned by 90 degrees, counter-clockwise, when shown."""


@dataclass(frozen=True, slots=True)
class Shower:
    """What rain falls. Raises UsageError for what cannot."""

    intensity: float = 0.5
    """From dry at 0 through about 10 mm/h at 0.5 to a cloudburst at 1."""
    seed: int = 0
    speed_m_s: float = 0.0
    """Of the camera, forwards."""
    is_night: bool = False
    """The drops shine in the light of headlights at the camera, not of the sky."""
    haze: float = 0.0
    """Share of the light that comes from distant rain."""
    device: torch.device | str = "cpu"

    def __post_init__(self) -> None:
        if not 0 <= self.intensity <= 1:
            raise UsageError(f"intensity is {self.intensity:g}; it goes from 0 to 1")
        if not 0 <= self.haze <= 1:
            raise UsageError(f"haze is {self.haze:g}; it goes from 0 to 1")
        if not 0 <= self.speed_m_s <= FASTEST_M_S:
            raise UsageError(f"the driving speed is {self.speed_m_s:g} m/s; it goes from 0 to {FASTEST_M_S:g}")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"the seed is {self.seed}; it goes from 0 to {2**63 - 1}")

    def begin(self, size: tuple[int, int]) -> MovingRain:
        """The rain before a camera of that picture size, frames numbered by `TICKS`."""
        settings = MovingRainSettings(intensity=self.intensity, speed_m_s=self.speed_m_s, haze=self.haze)
        if self.is_night:
            settings = replace(settings, lamp=NIGHT_RADIANCE, exposure_seconds=NIGHT_EXPOSURE_SECONDS)
        # Apple's GPUs have no float64, in which the drops' places are kept.
        device = "cpu" if torch.device(self.device).type == "mps" else self.device
        return MovingRain(size, TICKS, seed=self.seed, settings=settings, device=device)


def rain_on_image(source: Path, target: Path, shower: Shower, *, overwrite: bool = False) -> ImageReport:
    """Write a picture with rain; errors and what is kept are those of `derain_image`."""

    def residual(clean: Tensor) -> Tensor:
        with Image.open(source) as file:
            turns = QUARTER_TURNS.get(file.getexif().get(0x0112, 1), 0)
        upright = torch.rot90(clean[0], turns, (1, 2)).to(shower.device)
        change = shower.begin((upright.shape[1], upright.shape[2]))(upright, 0) - upright
        return torch.rot90(change, -turns, (1, 2))[None].cpu()

    return derain_image(source, target, torch.inference_mode()(residual), overwrite=overwrite)


def rain_on_video(
    source: Path, target: Path, shower: Shower, *, output: OutputSettings | None = None
) -> Generator[Progress]:
    """Write a video with rain, all other streams kept; to cancel, leave the loop or close the generator.

    Raises UsageError before anything is written, MediaError later; then, and when cancelled, nothing is left
    under the target's name.
    """
    started = time.monotonic()
    with (
        VideoReader(source) as reader,
        VideoWriter(target, like=reader, settings=output) as writer,
        Prefetch(reader) as clean,
        Prefetch(_rained(clean, shower, reader.info.rotation // 90)) as rainy,
    ):
        for index, frame in enumerate(rainy, 1):
            writer.write(frame)
            yield Progress(index, reader.info.frame_count, frame)
        if reader.frames_read != writer.frames_written:
            raise MediaError(f"{target}: {writer.frames_written} frames of {reader.frames_read} came out")
    report = VideoReport(
        input=str(source),
        output=str(target),
        frames_in=reader.frames_read,
        frames_out=writer.frames_written,
        seconds=time.monotonic() - started,
        device=str(shower.device),
        backend="rain",
        precision="fp32",
        streams=tuple(replace(it, action="reencoded") if it.action == "derained" else it for it in writer.report),
        warnings=(*reader.warnings, *writer.warnings),
        is_damaged=reader.is_damaged,
    )
    yield Progress(index, index, frame, report)


def _rained(frames: Iterable[Frame], shower: Shower, turns: int) -> Iterator[Frame]:
    """Each frame again, rain in its picture; `turns` of 90 degrees, counter-clockwise, put it upright."""
    rain: MovingRain | None = None
    first = 0.0
    for frame in frames:
        with torch.inference_mode():
            planes = Planes.of(frame.picture).to(shower.device)
            clean = planes.rgb()
            upright = torch.rot90(clean[0], turns, (1, 2))
            if rain is None:
                rain, first = shower.begin((upright.shape[1], upright.shape[2])), frame.seconds
            rainy = rain(upright, round((frame.seconds - first) * TICKS))
            planes.add_residual(clean, torch.rot90(rainy - upright, -turns, (1, 2))[None])
            planes.write_to(frame.picture)
        yield frame
