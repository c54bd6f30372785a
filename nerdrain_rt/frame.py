"""The frame that travels through the pipeline, and what is known of the video it came from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import av
    import numpy as np


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture in its native planes.

    The picture is the decoder's own frame: its samples are changed in place, so its
    timestamps, colour tags and side data survive to the encoder.
    """

    picture: av.VideoFrame
    pts: int
    time_base: Fraction

    @property
    def seconds(self) -> float:
        """Presentation time in seconds on the source's clock."""
        return float(self.pts * self.time_base)

    def rgb(self) -> np.ndarray:
        """The picture as uint8 H W 3, for showing."""
        # threads=1: with several, swscale was seen giving wrong samples under load, if rarely
        return self.picture.to_ndarray(format="rgb24", threads=1)


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a source says about its video stream; sizes are as stored, before rotation."""

    size: tuple[int, int]
    """(height, width) in samples."""
    pixel_format: str
    codec: str
    frame_rate: Fraction | None
    """Average rate; None where the source does not tell."""
    frame_count: int | None
    """Frames that will be delivered, exact or estimated from the duration; None where unknown."""
    duration_seconds: float | None
    rotation: int
    """Counter-clockwise degrees a player turns the picture by."""
    is_interlaced: bool
    sample_aspect_ratio: Fraction = Fraction(1)
    """Width of a sample to its height, as stored; 1 where the source does not tell."""

    def upright(self) -> VideoInfo:
        """The same of the picture after it was turned."""
        if self.rotation % 180 != 90:
            return replace(self, rotation=0)
        return replace(self, size=self.size[::-1], rotation=0, sample_aspect_ratio=1 / self.sample_aspect_ratio)
