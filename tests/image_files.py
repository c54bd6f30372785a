"""Pictures of every kind, written and read without the code that is tested."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, TiffImagePlugin
from torch import Tensor

SIZE = (19, 27)
ICC = b"\0\0\0\x80lcms\x02\x10\0\0mntrRGB XYZ " + bytes(range(104))
GRAY_ICC = ICC.replace(b"RGB ", b"GRAY")
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><!-- a dashcam --></x:xmpmeta>'
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def zero(rainy: Tensor) -> Tensor:
    return torch.zeros_like(rainy)


def samples(channels: int, bits: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Every value occurs, the ends among them: H W C."""
    kind = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(channels).integers(0, 2**bits, (*size, channels), dtype=kind)


def picture(channels: int, size: tuple[int, int] = SIZE) -> Image.Image:
    values = samples(channels, 8, size)
    return Image.frombytes(MODES[channels], (size[1], size[0]), values.tobytes())


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[271] = "Dashcam"
    tags[274] = 6
    tags[33432] = "Stra\u00dfe".encode("latin-1")
    tags[34665] = {36867: "2024:05:01 12:00:00", 33434: 0.01, 37500: b"maker\0note"}
    tags[34853] = {1: "N", 2: (48.0, 8.0, 30.5)}
    return tags


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def chunks(data: bytes) -> dict[bytes, bytes]:
    found, position = {}, 8
    while position < len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        found[name] = data[position + 8 : position + 8 + length]
        position += length + 12
    return found


def deep_png(values: np.ndarray, *extra: bytes, colour: int | None = None) -> bytes:
    """A PNG of 16 bits written by hand, so that no library under test makes its own fixture."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels] if colour is None else colour
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    body = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def read_deep_png(data: bytes) -> np.ndarray:
    """Samples of a 16-bit PNG as H W C, decoded by the filters of the standard."""
    width, height, bits, colour, *_ = struct.unpack(">IIBBBBB", chunks(data)[b"IHDR"])
    assert bits == 16
    channels = {0: 1, 4: 2, 2: 3, 6: 4}[colour]
    step, raw, position = 2 * channels, b"", 8
    while position < len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        raw += data[position + 8 : position + 8 + length] if name == b"IDAT" else b""
        position += length + 12
    lines = np.frombuffer(zlib.decompress(raw), np.uint8).reshape(height, 1 + step * width)
    above = [0] * (step * width)
    out = []
    for kind, *line in lines.tolist():
        for i in range(len(line)):
            left, up, corner = (line[i - step] if i >= step else 0), above[i], (above[i - step] if i >= step else 0)
            guess = left + up - corner
            paeth = min((left, up, corner), key=lambda value: abs(guess - value))
            line[i] = (line[i] + (0, left, up, (left + up) // 2, paeth)[kind]) & 255
        above = line
        out.append(bytes(line))
    return np.frombuffer(b"".join(out), ">u2").astype(np.uint16).reshape(height, width, channels)


def deep_tiff(values: np.ndarray, *, order: str = "<", tags: dict[int, object] | None = None) -> bytes:
    height, width, channels = values.shape
    directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II" if order == "<" else b"MM")
    pixels = values.astype(order + "u2").tobytes()
    fields = {256: width, 257: height, 258: (16,) * channels, 259: 1, 262: 2 if channels > 2 else 1}
    fields |= {273: 0, 277: channels, 278: height, 279: len(pixels), **({338: (2,)} if channels == 4 else {})}
    for tag, value in {**fields, **(tags or {})}.items():
        if isinstance(value, dict):
            directory.tagtype[tag] = 4
        directory[tag] = value
    file = io.BytesIO()
    directory.save(file)
    file.write(pixels)
    return file.getvalue()


def read_tiff(data: bytes) -> tuple[np.ndarray, dict[int, object]]:
    """Samples and tags of a TIFF in strips, undone step by step; Deflate or no compression."""
    directory = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
    file = io.BytesIO(data)
    file.seek(directory.next)
    directory.load(file)
    tags = dict(directory)
    strips = [data[o : o + n] for o, n in zip(tags[273], tags[279], strict=True)]
    raw = b"".join(zlib.decompress(strip) if tags[259] == 8 else strip for strip in strips)
    order, bits = ("<" if data[:2] == b"II" else ">"), tags[258]
    values = np.frombuffer(raw, f"{order}u{bits[0] // 8}").reshape(tags[257], tags[256], tags[277])
    kind = np.uint8 if bits[0] == 8 else np.uint16
    return (np.cumsum(values, axis=1, dtype=kind) if tags.get(317) == 2 else values.astype(kind)), tags


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
