"""Reads a picture file: samples at their own depth, and everything the file says about them."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from nerdrain_rt.errors import MediaError
from nerdrain_rt.media.report import explain, media_errors

READABLE = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
MAX_PIXELS = 300_000_000
DEEP_CHANNELS = {"gray16": 1, "ya16": 2, "rgb48": 3, "rgba64": 4}
"""FFmpeg's 16-bit pixel formats, without byte order; Pillow reads colour with 8 bits only."""

EXIF_IFD, GPS_IFD, INTEROP_IFD, ICC, XMP, IPTC, PHOTOSHOP, LAYERS, ORIENTATION = (
    34665, 34853, 40965, 34675, 700, 33723, 34377, 37724, 274,
)  # fmt: skip
TIFF_STRUCTURE = {
    254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 277, 278, 279, 280, 281, 284, 290, 291, 292, 293, 301, 317, 318,
    319, 320, 321, 322, 323, 324, 325, 330, 332, 338, 339, 340, 341, 342, 347, 512, 513, 514, 515, 517, 518, 519, 520,
    521, 529, 530, 531, 532, LAYERS,
}  # fmt: skip
"""TIFF 6.0 tags that say how samples are laid out, and Photoshop's layers, which still hold the rain."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded file, and what it says about the samples."""

    samples: np.ndarray
    """uint8 or uint16, H W C as stored; C is 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA."""
    image: Image.Image
    """What Pillow knows of the file; its own samples have 8 bits."""
    data: bytes
    tags: dict[int, Any]
    """EXIF and TIFF tags that describe the picture, nested directories as dicts."""
    warnings: tuple[str, ...]

    @property
    def is_lossless(self) -> bool:
        """Whether the file's own encoding kept every sample."""
        if self.image.format == "WEBP":
            return _is_lossless_webp(self.data)
        return not self.is_jpeg and self.image.info.get("compression") not in ("jpeg", "tiff_jpeg", "webp")

    @property
    def is_jpeg(self) -> bool:
        """Whether it is a JPEG, of several pictures too."""
        return self.image.format in ("JPEG", "MPO")


class UnreadableError(Exception):
    """Why a picture cannot be read, without its name."""


@contextmanager
def quiet_pillow(subject: Path, failure: str) -> Iterator[None]:
    """Pillow with our limit of pixels, without warnings, its errors of any kind as one `MediaError`.

    The limit and the warning filters are the process's, so this is for one thread at a time.
    """
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # refused are twice as many, warned of those between
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except UnidentifiedImageError as error:
        raise MediaError(f"{subject}: no picture that can be read; PNG, JPEG, WebP, TIFF and BMP can") from error
    except UnreadableError as error:
        raise MediaError(f"{subject}: {error}") from error
    except Exception as error:
        raise MediaError(f"{subject}: {failure} ({explain(error)})") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def read_picture(source: Path) -> Picture:
    """The first picture of a PNG, JPEG, WebP, TIFF or BMP; raises `MediaError` for what is none or damaged."""
    with media_errors(source):
        data = source.read_bytes()
    with quiet_pillow(source, "damaged or cut short"):
        return _decode(data)


def _decode(data: bytes) -> Picture:
    stored, orientation = _without_orientation(data) if data[:2] in (b"II", b"MM") else (data, 1)
    image = Image.open(io.BytesIO(stored), formats=READABLE)
    bits = 8
    if isinstance(image, PngImagePlugin.PngImageFile):
        for _ in png_chunks(data):
            bits = data[24]
    elif isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = max(image.tag_v2.get(258, (1,)))
        if bits == 16:
            _refuse_unusual(image.tag_v2, stored)
    image.load()
    samples = _deep_samples("png" if image.format == "PNG" else "tiff", stored) if bits == 16 else _samples(image)
    notes = [*_notes(image)]
    try:
        tags = _tags(image)
    except Exception:  # damaged tags raise anything, and the samples are good
        tags = {}
        notes.append("damaged EXIF may not be kept")
    if orientation != 1:
        tags[ORIENTATION] = orientation
    return Picture(samples, image, data, tags, tuple(notes))


def _refuse_unusual(tags: TiffImagePlugin.ImageFileDirectory_v2, data: bytes) -> None:
    """What FFmpeg's TIFF decoder does not know, or reads as something else without a word."""
    is_usual = (
        42 in data[2:4]
        and 322 not in tags
        and tags.get(262) in (1, 2)
        and tags.get(284, 1) == 1
        and set(tags.get(338, (2,))) == {2}
        and set(tags.get(339, (1,))) == {1}
    )
    if not is_usual:
        raise UnreadableError("16-bit TIFF of an unusual kind; store it as gray, RGB or RGBA, in strips, chunky")


def _without_orientation(data: bytes) -> tuple[bytes, int]:
    """A TIFF with orientation 1, and what it was: of all formats, Pillow turns the pixels of TIFF while reading."""
    order = "<" if data[:2] == b"II" else ">"
    start = struct.unpack_from(order + "I", data, 4)[0]
    end = start + 2 + 12 * struct.unpack_from(order + "H", data, start)[0]
    entry = data.find(struct.pack(order + "HHI", ORIENTATION, 3, 1), start, end)
    if entry < 0:
        return data, 1
    orientation = struct.unpack_from(order + "H", data, entry + 8)[0]
    return data[: entry + 8] + struct.pack(order + "H", 1) + data[entry + 10 :], orientation


def _samples(image: Image.Image) -> np.ndarray:
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"):
        raise UnreadableError(f"samples of kind {image.mode}; convert to gray or RGB with 8 or 16 bits")
    mode = ("L" if image.mode in ("1", "L", "LA") else "RGB") + ("A" if image.has_transparency_data else "")
    samples = np.asarray(image.convert(mode))
    return samples.reshape(*samples.shape[:2], -1)


def _deep_samples(codec: Literal["png", "tiff"], data: bytes) -> np.ndarray:
    decoder = av.CodecContext.create(codec, "r")
    frame = [*decoder.decode(av.Packet(data)), *decoder.decode(None)][0]
    name = frame.format.name
    channels = DEEP_CHANNELS.get(name[:-2])
    if channels is None:
        raise UnreadableError(f"16-bit samples of kind {name}; convert to gray or RGB")
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(frame.height, plane.line_size)
    samples = rows[:, : 2 * channels * frame.width].copy().view(">u2" if name.endswith("be") else "<u2")
    return np.asarray(samples.reshape(frame.height, frame.width, channels), np.uint16)


def _tags(image: Image.Image) -> dict[int, Any]:
    exif = image.getexif()
    tags = {tag: value for tag, value in exif.items() if tag not in TIFF_STRUCTURE}
    for tag in tags.keys() & {EXIF_IFD, GPS_IFD}:
        tags[tag] = {key: _text(value) for key, value in exif.get_ifd(tag).items() if key != INTEROP_IFD}
    return {tag: _text(value) for tag, value in tags.items()}


def _text(value: Any) -> Any:
    """Text as the bytes it was read from, because Pillow writes ASCII only."""
    return value.encode("latin-1") if isinstance(value, str) and not value.isascii() else value


def _notes(image: Image.Image) -> Iterator[str]:
    """What of the file no target can have."""
    count = getattr(image, "n_frames", 1)
    if count > 1:
        yield f"only the first of {count} pictures in the file was derained and kept"
    elif any(content.startswith(b"MPF\0") for _, content in getattr(image, "applist", ())):
        yield "the pictures after the first, a gain map for example, are not kept"
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        if LAYERS in image.tag_v2:
            yield "Photoshop layers not kept: they hold the rain"
        if 0 in image.tag_v2.get(338, ()):
            yield "extra channels that are no transparency are not kept"


def _is_lossless_webp(data: bytes) -> bool:
    position = 12
    while (name := data[position : position + 4]) not in (b"VP8 ", b"VP8L", b"ANMF", b""):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + size + size % 2
    return name == b"VP8L"


def png_chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and whole of each chunk up to the end of the picture; `UnreadableError` for a damaged one."""
    position, name = 8, b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", png, position)
        chunk = png[position : position + length + 12]
        if len(chunk) < length + 12 or zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:]):
            raise UnreadableError(f"damaged or cut short at byte {position}")
        yield name, chunk
        position += len(chunk)
