"""Derains a single picture file at its own bit depth and keeps what the file says about the picture."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import torch
from PIL import Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError
from torch import Tensor

from nerdrain_rt.errors import DerainError, MediaError, UsageError
from nerdrain_rt.media.report import explain, media_errors
from nerdrain_rt.media.target import whole_file

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
READABLE = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
MAX_PIXELS = 300_000_000
MAX_SIDE = {"JPEG": 65535, "WEBP": 16383}
LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601: what a change of red, green and blue means for gray."""
DEEP_CHANNELS = {"gray16": 1, "ya16": 2, "rgb48": 3, "rgba64": 4}
"""FFmpeg's 16-bit pixel formats, without byte order; Pillow reads colour with 8 bits only."""
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}

EXIF_IFD, GPS_IFD, INTEROP_IFD, ICC, XMP, IPTC, PHOTOSHOP, LAYERS, ORIENTATION = (
    34665, 34853, 40965, 34675, 700, 33723, 34377, 37724, 274,
)  # fmt: skip
TIFF_STRUCTURE = {
    254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 277, 278, 279, 280, 281, 284, 290, 291, 292, 293, 301, 317, 318,
    319, 320, 321, 322, 323, 324, 325, 330, 332, 338, 339, 340, 341, 342, 347, 512, 513, 514, 515, 517, 518, 519, 520,
    521, 529, 530, 531, 532, LAYERS,
}  # fmt: skip
"""TIFF 6.0 tags that say how samples are laid out, and Photoshop's layers, which still hold the rain."""
TIFF_COMPRESSIONS = {"raw": False, "packbits": False, "tiff_lzw": True, "tiff_adobe_deflate": True}
"""Pillow's names, and whether horizontal differences (Predictor 2) go with it."""
PNG_COLOUR = {b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI"}


@dataclass(frozen=True, slots=True)
class ImageReport:
    """What was written; `size` is (height, width) as stored, `bits` those of each sample in the output."""

    input: Path
    output: Path
    size: tuple[int, int]
    bits: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Picture:
    """A decoded file: samples H W C (C: gray, gray and alpha, RGB, RGBA), and what it says about them."""

    samples: np.ndarray
    image: Image.Image
    data: bytes

    @property
    def is_lossless(self) -> bool:
        if self.image.format == "WEBP":
            return _is_lossless_webp(self.data)
        return not _is_jpeg(self.image) and self.image.info.get("compression") not in ("jpeg", "tiff_jpeg", "webp")


def derain_image(
    source: str | Path, target: str | Path, derain: Callable[[Tensor], Tensor], *, overwrite: bool = False
) -> ImageReport:
    """Write `source` to `target` with the residual that `derain` gives added to its samples.

    `derain` maps 1 3 H W float32 RGB in [0, 1] on the CPU to the residual of the same shape. PNG, JPEG, WebP, TIFF
    and BMP are read, the suffix of `target` chooses among the first four. Samples stay as stored (a rotation
    stays a tag) with 8 or 16 bits, alpha is untouched, gray stays gray, a palette becomes RGB; where the residual
    is 0 a lossless target has the source's samples. EXIF, ICC, XMP, resolution and PNG text are kept where the
    target's format can hold them, else a warning says so. An EXIF thumbnail is kept as it is. Pillow's pixel limit
    and Python's warning filters are changed while it works: one call at a time in a process.

    Raises `UsageError` for a target that cannot be, `MediaError` for what cannot be read or written.
    """
    source, target = Path(source), Path(target)
    form = FORMATS.get(target.suffix.lower())
    if form is None:
        raise UsageError(f"{target}: no image format for {target.suffix or 'no suffix'!r}; try {', '.join(FORMATS)}")
    with whole_file(target, source=source, overwrite=overwrite) as temporary:
        picture = _read(source)
        height, width, channels = picture.samples.shape
        if form == "JPEG" and channels in (2, 4):
            raise UsageError(f"{target}: JPEG cannot hold the transparency of {source}; try .png, .webp or .tiff")
        if max(height, width) > MAX_SIDE.get(form, MAX_PIXELS):
            raise UsageError(f"{target}: {width}x{height} is more than {MAX_SIDE[form]} a side; try .png or .tiff")
        bits = 16 if picture.samples.dtype == np.uint16 and form in ("PNG", "TIFF") else 8
        samples = _add(picture.samples, derain(_as_rgb(picture.samples)), bits)
        lost: list[str] = []
        with media_errors(target), _pillow():
            temporary.write_bytes(_ENCODERS[form](samples, picture, lost))
    if bits < 8 * picture.samples.itemsize:
        lost.insert(0, f"written with 8 bits a sample; {form} cannot hold 16")
    return ImageReport(source, target, (height, width), bits, (*_warnings(picture), *lost))


@contextmanager
def _pillow() -> Iterator[None]:
    """Pillow with our limit on the size of a picture, and quiet; it refuses twice what it warns at."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS // 2
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _read(source: Path) -> _Picture:
    with media_errors(source):
        data = source.read_bytes()
    try:
        with _pillow():
            return _decode(data)
    except UnidentifiedImageError as error:
        raise MediaError(f"{source}: no picture that can be read; PNG, JPEG, WebP, TIFF and BMP can") from error
    except DerainError as error:
        raise MediaError(f"{source}: {error}") from error
    except Exception as error:  # Pillow's readers let anything out of a damaged file
        raise MediaError(f"{source}: damaged or cut short ({explain(error)})") from error


def _decode(data: bytes) -> _Picture:
    stored, orientation = _without_orientation(data) if data[:2] in (b"II", b"MM") else (data, 1)
    image = Image.open(io.BytesIO(stored), formats=READABLE)
    bits = 8
    if isinstance(image, PngImagePlugin.PngImageFile):
        for _ in _chunks(data):
            bits = data[24]
    elif isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = max(image.tag_v2.get(258, (1,)))
        if bits == 16 and (322 in image.tag_v2 or image.tag_v2[262] not in (1, 2)):
            raise MediaError("16-bit TIFF in tiles or not gray or RGB; store it as RGB in strips")
    image.load()
    if orientation != 1:
        image.getexif()[ORIENTATION] = orientation
    return _Picture(
        _deep_samples("png" if image.format == "PNG" else "tiff", stored) if bits == 16 else _samples(image),
        image,
        data,
    )


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
        raise MediaError(f"samples of kind {image.mode}; convert to gray or RGB with 8 or 16 bits")
    mode = ("L" if image.mode in ("1", "L", "LA") else "RGB") + ("A" if image.has_transparency_data else "")
    samples = np.asarray(image.convert(mode))
    return samples.reshape(*samples.shape[:2], -1)


def _deep_samples(codec: Literal["png", "tiff"], data: bytes) -> np.ndarray:
    decoder = av.CodecContext.create(codec, "r")
    frame = [*decoder.decode(av.Packet(data)), *decoder.decode(None)][0]
    name = frame.format.name
    channels = DEEP_CHANNELS.get(name[:-2])
    if channels is None:
        raise MediaError(f"16-bit samples of kind {name}; convert to gray or RGB")
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[
        :, : 2 * channels * frame.width
    ]
    samples = rows.copy().view(">u2" if name.endswith("be") else "<u2")
    return np.asarray(samples.reshape(frame.height, frame.width, channels), np.uint16)


def _as_rgb(samples: np.ndarray) -> Tensor:
    colour = samples[..., :3] if samples.shape[2] > 2 else samples[..., :1]
    planes = torch.from_numpy(colour.astype(np.float32) / np.iinfo(samples.dtype).max)
    return planes.permute(2, 0, 1).expand(3, -1, -1).unsqueeze(0).contiguous()


def _add(samples: np.ndarray, residual: Tensor, bits: int) -> np.ndarray:
    """Samples plus residual with `bits` each, rounded once."""
    change = residual[0].permute(1, 2, 0).numpy()
    if samples.shape[2] < 3:
        change = (change @ np.array(LUMA, np.float32))[..., None]
    highest = 2**bits - 1
    values = samples.astype(np.float32) * np.float32(highest / np.iinfo(samples.dtype).max)
    values[..., : change.shape[2]] += change * np.float32(highest)
    rounded: np.ndarray = np.clip(np.rint(values), 0, highest).astype(np.uint16 if bits == 16 else np.uint8)
    return rounded


def _encode_png(samples: np.ndarray, picture: _Picture, lost: list[str]) -> bytes:
    """Samples from the encoder, the rest from the source: of a PNG the chunks themselves, by their safe-to-copy bit."""
    encoded = _deep_png(samples) if samples.dtype == np.uint16 else _saved(_image(samples), "PNG")
    header, *pixels = [chunk for name, chunk in _chunks(encoded) if name in (b"IHDR", b"IDAT", b"IEND")]
    described = picture.data if picture.image.format == "PNG" else _described_png(picture, lost)
    kept = [chunk for name, chunk in _chunks(described) if name[0:1].islower() and _is_kept(name)]
    return b"".join((encoded[:8], header, *kept, *pixels))


def _is_kept(name: bytes) -> bool:
    return name in PNG_COLOUR or name[3:4].islower()


def _described_png(picture: _Picture, lost: list[str]) -> bytes:
    """A PNG of one sample with the source's metadata."""
    known = _metadata(picture, lost)
    texts = PngImagePlugin.PngInfo()
    if xmp := known.pop("xmp", None):
        texts.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    return _saved(Image.new("L", (1, 1)), "PNG", pnginfo=texts, **known)


def _deep_png(samples: np.ndarray) -> bytes:
    height, width, channels = samples.shape
    name = next(name for name, count in DEEP_CHANNELS.items() if count == channels) + "be"
    frame = av.VideoFrame(width, height, name)
    rows = np.zeros((height, frame.planes[0].line_size), np.uint8)
    rows[:, : 2 * channels * width] = samples.astype(">u2").view(np.uint8).reshape(height, -1)
    frame.planes[0].update(rows.tobytes())
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, name, Fraction(1)
    encoder.options = {"pred": "mixed"}
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and whole of each chunk up to the end of the picture; `MediaError` for a damaged one."""
    position, name = 8, b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", png, position)
        chunk = png[position : position + length + 12]
        if len(chunk) < length + 12 or zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:]):
            raise MediaError(f"damaged or cut short at byte {position}")
        yield name, chunk
        position += len(chunk)


def _encode_tiff(samples: np.ndarray, picture: _Picture, lost: list[str]) -> bytes:
    """Any channels and depth: Pillow compresses the rows as one channel, the directory says what they are.

    Nested directories (EXIF, GPS) are written where Pillow's own compressed TIFFs have none.
    """
    height, width, channels = samples.shape
    compression = picture.image.info.get("compression")
    if compression not in TIFF_COMPRESSIONS:
        compression = "tiff_adobe_deflate"
    rows = samples.copy()
    if TIFF_COMPRESSIONS[compression]:
        rows[:, 1:] -= samples[:, :-1]
    encoded = _saved(_image(rows.reshape(height, width * channels, 1)), "TIFF", compression=compression)
    layout = TiffImagePlugin.ImageFileDirectory_v2(encoded[:8])
    file = io.BytesIO(encoded)
    file.seek(layout.next)
    layout.load(file)
    strips = [encoded[start : start + size] for start, size in zip(layout[273], layout[279], strict=True)]

    directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=encoded[:2])
    _describe_tiff(directory, picture, lost)
    directory[256], directory[257] = width, height
    directory[258] = (8 * samples.itemsize,) * channels
    directory[259] = layout[259]
    directory[262] = 2 if channels > 2 else 1
    directory[273] = tuple(accumulate(map(len, strips[:-1]), initial=0))
    directory[277] = channels
    directory[278] = layout[278]
    directory[279] = tuple(map(len, strips))
    if TIFF_COMPRESSIONS[compression]:
        directory[317] = 2
    if channels in (2, 4):
        directory[338] = (2,)
    out = io.BytesIO()
    directory.save(out)
    out.write(b"".join(strips))
    return out.getvalue()


def _describe_tiff(directory: TiffImagePlugin.ImageFileDirectory_v2, picture: _Picture, lost: list[str]) -> None:
    image, known = picture.image, _metadata(picture, lost, with_blocks=True)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        directory.tagtype.update({tag: kind for tag, kind in image.tag_v2.tagtype.items() if tag not in TIFF_STRUCTURE})
    tags = _tags(image)
    if (dpi := known.get("dpi")) and 282 not in tags:
        tags |= {282: dpi[0], 283: dpi[1], 296: 2}
    tags |= {tag: known[name] for tag, name in ((ICC, "icc_profile"), (XMP, "xmp")) if name in known}
    for tag, value in tags.items():
        if isinstance(value, dict):
            directory.tagtype[tag] = 4
        directory[tag] = value


def _encode_jpeg(samples: np.ndarray, picture: _Picture, lost: list[str]) -> bytes:
    """A JPEG keeps the tables, sampling and segments of its source."""
    image = picture.image
    if not _is_jpeg(image):
        known = _metadata(picture, lost)
        for name, limit in (("exif", 65533), ("xmp", 65504)):
            if len(known.get(name, b"")) > limit:
                lost.append(f"{name.upper()} not kept: {len(known.pop(name))} bytes are more than JPEG can hold")
        return _saved(_image(samples), "JPEG", quality=95, subsampling="4:4:4", **known)
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    return _saved(
        _image(samples),
        "JPEG",
        qtables=image.quantization,
        subsampling=JpegImagePlugin.get_sampling(image),
        progressive=bool(image.info.get("progressive")),
        dpi=image.info.get("dpi", (0, 0)),
        comment=image.info.get("comment"),
        extra=b"".join(_segments(image)),
    )


def _segments(image: JpegImagePlugin.JpegImageFile) -> Iterator[bytes]:
    """The application segments but for those that the encoder writes and the index of pictures that follow."""
    for name, content in image.applist:
        if name.startswith("APP") and name not in ("APP0", "APP14") and not content.startswith(b"MPF\0"):
            yield struct.pack(">BBH", 0xFF, 0xE0 + int(name[3:]), len(content) + 2) + content


def _encode_webp(samples: np.ndarray, picture: _Picture, lost: list[str]) -> bytes:
    known = _metadata(picture, lost)
    if known.get("icc_profile", b"")[16:20] == b"GRAY":
        known.pop("icc_profile")
        lost.append("ICC profile not kept: it is for gray, and WebP has colour only")
    dpi = known.pop("dpi", (72, 72))
    if picture.image.format != "WEBP" and "exif" not in known and tuple(map(round, dpi)) != (72, 72):
        lost.append("resolution not kept: WebP has no place for it")
    image = _image(samples).convert("RGBA" if samples.shape[2] in (2, 4) else "RGB")
    if picture.is_lossless:
        return _saved(image, "WEBP", lossless=True, exact=True, **known)
    return _saved(image, "WEBP", quality=95, **known)


_ENCODERS: dict[str, Callable[[np.ndarray, _Picture, list[str]], bytes]] = {
    "PNG": _encode_png,
    "JPEG": _encode_jpeg,
    "WEBP": _encode_webp,
    "TIFF": _encode_tiff,
}


def _image(samples: np.ndarray) -> Image.Image:
    """H W C as a picture of Pillow; 16 bits with one channel only."""
    height, width, channels = samples.shape
    mode = "I;16" if samples.dtype == np.uint16 else MODES[channels]
    return Image.frombytes(mode, (width, height), samples.astype(samples.dtype.newbyteorder("<")).tobytes())


def _saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _metadata(picture: _Picture, lost: list[str], *, with_blocks: bool = False) -> dict[str, Any]:
    """What every format holds, as Pillow names it; what none but the source's holds goes to `lost`."""
    image, info = picture.image, picture.image.info
    if isinstance(image, PngImagePlugin.PngImageFile):
        names = [name for name in image.text if not name.startswith(("XML:com.adobe.xmp", "Raw profile type"))]
        if names:
            lost.append(f"PNG text not kept: {', '.join(names)}")
    if _is_jpeg(image) and info.get("comment"):
        lost.append("JPEG comment not kept")
    tags = _tags(image)
    if not with_blocks and ("photoshop" in info or tags.keys() & {IPTC, PHOTOSHOP}):
        lost.append("IPTC and Photoshop data not kept")
    exif = info.get("exif") or _exif_of({tag: tags[tag] for tag in tags.keys() - {ICC, XMP, IPTC, PHOTOSHOP}})
    known = {"icc_profile": info.get("icc_profile"), "xmp": info.get("xmp"), "dpi": info.get("dpi")}
    if exif:
        known["exif"] = b"Exif\0\0" + exif.removeprefix(b"Exif\0\0")
    return {name: value for name, value in known.items() if value}


def _exif_of(tags: dict[int, Any]) -> bytes:
    exif = Image.Exif()
    exif.update(tags)
    return exif.tobytes() if tags else b""


def _tags(image: Image.Image) -> dict[int, Any]:
    """EXIF and TIFF tags that describe the picture, nested directories as dicts."""
    exif = image.getexif()
    tags = {tag: value for tag, value in exif.items() if tag not in TIFF_STRUCTURE}
    for tag in tags.keys() & {EXIF_IFD, GPS_IFD}:
        tags[tag] = {key: _text(value) for key, value in exif.get_ifd(tag).items() if key != INTEROP_IFD}
    return {tag: _text(value) for tag, value in tags.items()}


def _text(value: Any) -> Any:
    """Text as the bytes it was read from, because Pillow writes ASCII only."""
    return value.encode("latin-1") if isinstance(value, str) and not value.isascii() else value


def _is_jpeg(image: Image.Image) -> bool:
    return image.format in ("JPEG", "MPO")


def _is_lossless_webp(data: bytes) -> bool:
    position = 12
    while (name := data[position : position + 4]) not in (b"VP8 ", b"VP8L", b"ANMF", b""):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + size + size % 2
    return name == b"VP8L"


def _warnings(picture: _Picture) -> Iterator[str]:
    image = picture.image
    count = getattr(image, "n_frames", 1)
    if count > 1:
        yield f"only the first of {count} pictures in the file was derained and kept"
    elif _is_jpeg(image) and any(content.startswith(b"MPF\0") for _, content in getattr(image, "applist", ())):
        yield "the pictures after the first, a gain map for example, are not kept"
    if image.format == "TIFF" and LAYERS in image.getexif():
        yield "Photoshop layers not kept: they hold the rain"
