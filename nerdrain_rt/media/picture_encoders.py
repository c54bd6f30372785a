"""Encodes derained samples with the metadata of their source as PNG, JPEG, WebP or TIFF."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import accumulate
from typing import Any

import av
import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from nerdrain_rt.media.picture import (
    DEEP_CHANNELS,
    ICC,
    IPTC,
    PHOTOSHOP,
    TIFF_STRUCTURE,
    XMP,
    Picture,
    png_chunks,
)

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
TIFF_COMPRESSIONS = {"raw": False, "packbits": False, "tiff_lzw": True, "tiff_adobe_deflate": True}
"""Pillow's names, and whether horizontal differences (Predictor 2) go with it."""
PNG_COLOUR = {b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI"}


def _encode_png(samples: np.ndarray, picture: Picture, lost: list[str]) -> bytes:
    """Samples from the encoder, the rest from the source: of a PNG its ancillary chunks that are safe to copy.

    PNG's own rule: lower case in the first letter is ancillary, in the fourth safe to copy when samples change.
    """
    encoded = _deep_png(samples) if samples.dtype == np.uint16 else _saved(_image(samples), "PNG")
    header, *pixels = [chunk for name, chunk in png_chunks(encoded) if name in (b"IHDR", b"IDAT", b"IEND")]
    described = picture.data if picture.image.format == "PNG" else _described_png(picture, lost)
    kept = [chunk for name, chunk in png_chunks(described) if name in PNG_COLOUR or name[::3].islower()]
    return b"".join((encoded[:8], header, *kept, *pixels))


def _described_png(picture: Picture, lost: list[str]) -> bytes:
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


def _encode_tiff(samples: np.ndarray, picture: Picture, lost: list[str]) -> bytes:
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


def _describe_tiff(directory: TiffImagePlugin.ImageFileDirectory_v2, picture: Picture, lost: list[str]) -> None:
    image, known = picture.image, _metadata(picture, lost, with_blocks=True)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        directory.tagtype.update({tag: kind for tag, kind in image.tag_v2.tagtype.items() if tag not in TIFF_STRUCTURE})
    tags = dict(picture.tags)
    if (dpi := known.get("dpi")) and 282 not in tags:
        tags |= {282: dpi[0], 283: dpi[1], 296: 2}
    tags |= {tag: known[name] for tag, name in ((ICC, "icc_profile"), (XMP, "xmp")) if name in known}
    for tag, value in tags.items():
        if isinstance(value, dict):
            directory.tagtype[tag] = 4
        directory[tag] = value


def _encode_jpeg(samples: np.ndarray, picture: Picture, lost: list[str]) -> bytes:
    """A JPEG keeps the tables, sampling and segments of its source."""
    image = picture.image
    if not picture.is_jpeg:
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


def _encode_webp(samples: np.ndarray, picture: Picture, lost: list[str]) -> bytes:
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


def _metadata(picture: Picture, lost: list[str], *, with_blocks: bool = False) -> dict[str, Any]:
    """What every format holds, as Pillow names it; what none but the source's holds goes to `lost`."""
    image, info = picture.image, picture.image.info
    if isinstance(image, PngImagePlugin.PngImageFile):
        names = [name for name in image.text if not name.startswith(("XML:com.adobe.xmp", "Raw profile type"))]
        if names:
            lost.append(f"PNG text not kept: {', '.join(names)}")
    if picture.is_jpeg and info.get("comment"):
        lost.append("JPEG comment not kept")
    tags = picture.tags
    if "photoshop" in info or (not with_blocks and tags.keys() & {IPTC, PHOTOSHOP}):
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


def _image(samples: np.ndarray) -> Image.Image:
    """H W C as a picture of Pillow; 16 bits with one channel only."""
    height, width, channels = samples.shape
    mode = "I;16" if samples.dtype == np.uint16 else MODES[channels]
    return Image.frombytes(mode, (width, height), samples.astype(samples.dtype.newbyteorder("<")).tobytes())


def _saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


ENCODERS: dict[str, Callable[[np.ndarray, Picture, list[str]], bytes]] = {
    "PNG": _encode_png,
    "JPEG": _encode_jpeg,
    "WEBP": _encode_webp,
    "TIFF": _encode_tiff,
}
