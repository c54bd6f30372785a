"""What a picture says about itself beyond its samples: colour, orientation, HDR; read once from the first frame."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from av.sidedata.sidedata import Type

from nerdrain_rt.gpu_picture import is_on_gpu
from nerdrain_rt.media.picture_copies import PictureCopies

if TYPE_CHECKING:
    import av


STREAM_DATA = {
    Type.SPHERICAL: "360° projection",
    Type.STEREO3D: "stereo 3D layout",
    Type.MASTERING_DISPLAY_METADATA: "mastering display",
    Type.CONTENT_LIGHT_LEVEL: "content light level",
    Type.ICC_PROFILE: "ICC profile",
    Type.AMBIENT_VIEWING_ENVIRONMENT: "ambient viewing environment",
    Type.DOVI_METADATA: "Dolby Vision",
}


@dataclass(frozen=True, slots=True)
class PictureTags:
    """Tags of a decoded picture, numbers as in FFmpeg's enumerations."""

    color_range: int
    color_primaries: int
    color_trc: int
    colorspace: int
    is_interlaced: bool
    display_matrix: tuple[int, ...] | None
    mastering_display: MasteringDisplay | None
    light_level: tuple[int, int] | None
    """Maximum and frame-average light level in cd/m²."""
    stream_data: tuple[str, ...]
    """Names of what only a stream of the same codec can take over."""
    has_dolby_vision: bool
    has_hdr10_plus: bool

    @classmethod
    def of(cls, picture: av.VideoFrame) -> Self:
        """Read the tags of `picture`."""
        # Read from a copy: PyAV keeps where a picture's side data was, and making the picture writable frees that.
        read = picture if is_on_gpu(picture) else PictureCopies().of(picture)
        data = {item.type: bytes(item) for item in read.side_data}  # type: ignore[arg-type, attr-defined]
        matrix = data.get(Type.DISPLAYMATRIX)
        mastering = data.get(Type.MASTERING_DISPLAY_METADATA)
        light = data.get(Type.CONTENT_LIGHT_LEVEL)
        return cls(
            color_range=picture.color_range,
            color_primaries=picture.color_primaries,
            color_trc=picture.color_trc,
            colorspace=picture.colorspace,
            is_interlaced=picture.interlaced_frame,
            display_matrix=struct.unpack("9i", matrix) if matrix else None,
            mastering_display=MasteringDisplay.of(mastering) if mastering else None,
            light_level=struct.unpack_from("2I", light) if light else None,
            stream_data=tuple(name for kind, name in STREAM_DATA.items() if kind in data),
            has_dolby_vision=Type.DOVI_RPU_BUFFER in data or Type.DOVI_METADATA in data,
            has_hdr10_plus=Type.DYNAMIC_HDR_PLUS in data,
        )


@dataclass(frozen=True, slots=True)
class MasteringDisplay:
    """SMPTE ST 2086: CIE 1931 (x, y) of red, green, blue and white; luminance in cd/m²."""

    primaries: tuple[tuple[float, float], ...]
    white: tuple[float, float]
    min_luminance: float
    max_luminance: float

    @classmethod
    def of(cls, data: bytes) -> Self | None:
        """Read FFmpeg's AVMasteringDisplayMetadata; None where primaries or luminance are not given."""
        *numbers, has_primaries, has_luminance = struct.unpack_from("22i", data)
        if not (has_primaries and has_luminance):
            return None
        values = [top / bottom for top, bottom in zip(numbers[::2], numbers[1::2], strict=True)]
        points = tuple(zip(values[:8:2], values[1:8:2], strict=True))
        return cls(points[:3], points[3], min_luminance=values[8], max_luminance=values[9])

    def text(self, chroma_unit: float, luminance_unit: float) -> str:
        """`G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)` as the x264, x265 and SVT-AV1 options want it, in these units."""

        def number(value: float, unit: float) -> str:
            return f"{value:.5f}" if unit == 1 else str(round(value / unit))

        red, green, blue = self.primaries
        points = {"G": green, "B": blue, "R": red, "WP": self.white}
        chroma = "".join(f"{k}({number(x, chroma_unit)},{number(y, chroma_unit)})" for k, (x, y) in points.items())
        luminance = ",".join(number(value, luminance_unit) for value in (self.max_luminance, self.min_luminance))
        return f"{chroma}L({luminance})"
