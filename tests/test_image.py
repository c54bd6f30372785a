from __future__ import annotations

import errno
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, features
from torch import Tensor

from nerdrain_rt.errors import MediaError, UsageError
from nerdrain_rt.media.image import ImageReport, derain_image
from nerdrain_rt.media.picture import MAX_PIXELS

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


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".webp"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_zero_residual_keeps_every_8_bit_sample(tmp_path: Path, suffix: str, mode: str) -> None:
    rainy = picture(4 if mode.endswith("A") else 3).convert(mode)
    rainy.save(tmp_path / "rainy.png")
    report = derain_image(tmp_path / "rainy.png", tmp_path / f"clean{suffix}", zero)
    with Image.open(tmp_path / f"clean{suffix}") as clean:
        expected = {"1": "L", "P": "RGB"}.get(mode, mode)
        if suffix == ".webp":
            expected = {"L": "RGB", "LA": "RGBA"}.get(expected, expected)
        assert clean.mode == expected
        assert np.array_equal(np.asarray(clean), np.asarray(rainy.convert(expected)))
    assert report == ImageReport(tmp_path / "rainy.png", tmp_path / f"clean{suffix}", SIZE, 8, ())


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_zero_residual_keeps_every_16_bit_sample_of_png(tmp_path: Path, channels: int) -> None:
    rainy = samples(channels, 16)
    (tmp_path / "rainy.png").write_bytes(deep_png(rainy))
    report = derain_image(tmp_path / "rainy.png", tmp_path / "clean.png", zero)
    assert np.array_equal(read_deep_png((tmp_path / "clean.png").read_bytes()), rainy)
    derain_image(tmp_path / "rainy.png", tmp_path / "clean.tif", zero)
    assert np.array_equal(read_tiff((tmp_path / "clean.tif").read_bytes())[0], rainy)
    assert (report.bits, report.warnings) == (16, ())


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_zero_residual_keeps_every_16_bit_sample_of_tiff(tmp_path: Path, channels: int, order: str) -> None:
    rainy = samples(channels, 16)
    (tmp_path / "rainy.tif").write_bytes(deep_tiff(rainy, order=order))
    for name in ("clean.tif", "again.tif"):
        derain_image(tmp_path / "rainy.tif", tmp_path / name, zero, overwrite=True)
        clean, tags = read_tiff((tmp_path / name).read_bytes())
        assert np.array_equal(clean, rainy)
        assert tags[259] == 1


@pytest.mark.parametrize("compression", ["raw", "packbits", "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_tiff_compression_is_kept(tmp_path: Path, compression: str, channels: int) -> None:
    rainy = picture(channels)
    rainy.save(tmp_path / "rainy.tif", compression=compression)
    derain_image(tmp_path / "rainy.tif", tmp_path / "clean.tif", zero)
    with Image.open(tmp_path / "clean.tif") as clean:
        assert clean.info["compression"] == compression
        assert np.array_equal(np.asarray(clean), np.asarray(rainy))


def test_smooth_tiff_is_compressed_well(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(0, 65536, 64, dtype=np.uint16)[:, None], (64, 1024, 3))
    (tmp_path / "rainy.png").write_bytes(deep_png(ramp))
    derain_image(tmp_path / "rainy.png", tmp_path / "clean.tif", zero)
    assert (tmp_path / "clean.tif").stat().st_size < ramp.nbytes / 50


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_zero_residual_keeps_every_sample_of_lossless_webp(tmp_path: Path, suffix: str) -> None:
    rainy = picture(4)
    rainy.save(tmp_path / "rainy.webp", lossless=True, exact=True)
    derain_image(tmp_path / "rainy.webp", tmp_path / f"clean{suffix}", zero)
    with Image.open(tmp_path / f"clean{suffix}") as clean:
        assert np.array_equal(np.asarray(clean), np.asarray(rainy))


def test_lossy_webp_stays_lossy(tmp_path: Path) -> None:
    picture(3).save(tmp_path / "rainy.webp", quality=60)
    derain_image(tmp_path / "rainy.webp", tmp_path / "clean.webp", zero)
    assert (tmp_path / "clean.webp").read_bytes()[12:16] == b"VP8 "


@pytest.mark.parametrize("bits", [8, 16])
def test_residual_is_added_at_the_samples_own_depth(tmp_path: Path, bits: int) -> None:
    rainy = samples(4, bits)
    highest = 2**bits - 1
    if bits == 8:
        picture(4).save(tmp_path / "rainy.tif")
    else:
        (tmp_path / "rainy.tif").write_bytes(deep_tiff(rainy))
    seen = []

    def derain(shown: Tensor) -> Tensor:
        seen.append(shown.clone())
        return torch.tensor([3.4, -2.6, 0.0]).reshape(1, 3, 1, 1).expand_as(shown) / highest

    derain_image(tmp_path / "rainy.tif", tmp_path / "clean.tif", derain)
    clean, _ = read_tiff((tmp_path / "clean.tif").read_bytes())
    expected = np.clip(rainy.astype(int) + np.array([3, -3, 0, 0]), 0, highest)
    assert np.array_equal(clean, expected)
    assert seen[0].dtype == torch.float32
    assert seen[0].shape == (1, 3, *SIZE)
    assert torch.equal(seen[0][0].permute(1, 2, 0), torch.from_numpy(rainy[..., :3].astype(np.float32) / highest))


def test_residual_lands_where_it_belongs_in_a_tall_picture(tmp_path: Path) -> None:
    rainy = samples(3, 8, (601, 5))
    picture(3, (601, 5)).save(tmp_path / "rainy.png")
    residual = torch.from_numpy(np.random.default_rng(9).integers(-300, 300, (1, 3, 601, 5)) / 255).float()
    derain_image(tmp_path / "rainy.png", tmp_path / "clean.png", lambda _: residual)
    with Image.open(tmp_path / "clean.png") as clean:
        change = np.rint(residual[0].permute(1, 2, 0).numpy() * 255)
        assert np.array_equal(np.asarray(clean), np.clip(rainy + change, 0, 255))


def test_gray_gets_the_luma_of_the_residual(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 100).save(tmp_path / "rainy.png")
    residual = torch.tensor([10.0, 20.0, -30.0]).reshape(1, 3, 1, 1) / 255
    derain_image(tmp_path / "rainy.png", tmp_path / "clean.png", residual.expand_as)
    with Image.open(tmp_path / "clean.png") as clean:
        assert clean.mode == "L"
        assert clean.getpixel((3, 3)) == 100 + round(0.299 * 10 + 0.587 * 20 - 0.114 * 30)


@pytest.mark.parametrize("key", [(7,), (7, 8, 9)])
def test_transparent_key_of_16_bit_png_becomes_alpha(tmp_path: Path, key: tuple[int, ...]) -> None:
    rainy = samples(len(key), 16)
    rainy[2, 3] = key
    transparent = chunk(b"tRNS", struct.pack(f">{len(key)}H", *key))
    (tmp_path / "rainy.png").write_bytes(deep_png(rainy, transparent))
    derain_image(tmp_path / "rainy.png", tmp_path / "clean.png", zero)
    clean = read_deep_png((tmp_path / "clean.png").read_bytes())
    assert np.array_equal(clean[..., :-1], rainy)
    assert clean[2, 3, -1] == 0
    assert np.count_nonzero(clean[..., -1] == 65535) == SIZE[0] * SIZE[1] - 1


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_transparency_of_8_bit_png_becomes_alpha(tmp_path: Path, mode: str) -> None:
    rainy = picture(3).convert(mode)
    pixel = rainy.getpixel((3, 2))
    rainy.save(tmp_path / "rainy.png", transparency=pixel)
    derain_image(tmp_path / "rainy.png", tmp_path / "clean.png", zero)
    with Image.open(tmp_path / "clean.png") as clean, Image.open(tmp_path / "rainy.png") as source:
        assert clean.mode == {"L": "LA"}.get(mode, "RGBA")
        assert clean.getpixel((3, 2))[-1] == 0
        assert np.array_equal(np.asarray(clean), np.asarray(source.convert(clean.mode)))


@pytest.mark.parametrize("source", [".jpg", ".png", ".webp", ".tif", "16.png", "16.tif"])
@pytest.mark.parametrize("target", [".jpg", ".png", ".webp", ".tif"])
def test_exif_icc_and_xmp_survive(tmp_path: Path, source: str, target: str) -> None:
    rainy = tmp_path / f"rainy{source}"
    known = {"exif": exif().tobytes(), "icc_profile": ICC, "dpi": (300, 300)}
    if source == "16.png":
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
        file = io.BytesIO()
        picture(3, (1, 1)).save(file, "PNG", pnginfo=texts, **known)
        kept = [chunk(n, d) for n, d in chunks(file.getvalue()).items() if n not in (b"IHDR", b"IDAT", b"IEND")]
        rainy.write_bytes(deep_png(samples(3, 16), *kept))
    elif source == "16.tif":
        tags = {tag: exif()[tag] for tag in (271, 274, 33432, 34665, 34853)}
        rainy.write_bytes(deep_tiff(samples(3, 16), tags={**tags, 34675: ICC, 700: XMP, 282: 300, 283: 300, 296: 2}))
    elif source == ".tif":
        tags = {tag: exif()[tag] for tag in (271, 274, 33432, 34665, 34853)}
        picture(3).save(rainy, tiffinfo=_directory({**tags, 700: XMP}), icc_profile=ICC, dpi=(300, 300))
    elif source == ".png":
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
        picture(3).save(rainy, pnginfo=texts, **known)
    else:
        picture(3).save(rainy, xmp=XMP, **known)

    report = derain_image(rainy, tmp_path / f"clean{target}", zero)
    with Image.open(tmp_path / f"clean{target}") as clean:
        size, info, tags = clean.size, clean.info, clean.getexif()
        assert size == (SIZE if target == ".tif" else SIZE[::-1])  # Pillow turns a TIFF as its tag says
        assert tags[274] == 6
        clean.load()
        tags = clean.getexif() if target != ".tif" else tags
        assert tags[271] == "Dashcam"
        assert tags[33432] == "Stra\u00dfe"
        inner = tags.get_ifd(34665)
        assert (inner[36867], float(inner[33434]), inner[37500]) == ("2024:05:01 12:00:00", 0.01, b"maker\0note")
        assert tuple(map(float, tags.get_ifd(34853)[2])) == (48.0, 8.0, 30.5)
        assert info["icc_profile"] == ICC
        assert info["xmp"].strip(b"\0") == XMP
        if target != ".webp" and source != ".webp":
            assert tuple(map(round, info["dpi"])) == (300, 300)
    deep = source.startswith("16") and target in (".jpg", ".webp")
    lossy = (
        ("written with 8 bits a sample; " + {".jpg": "JPEG", ".webp": "WEBP"}[target] + " cannot hold 16",)
        if deep
        else ()
    )
    assert report.warnings == lossy


def _directory(tags: dict[int, object]) -> TiffImagePlugin.ImageFileDirectory_v2:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        if isinstance(value, dict):
            directory.tagtype[tag] = 4
        directory[tag] = value
    return directory


@pytest.mark.parametrize("bits", [8, 16])
def test_oriented_tiff_keeps_stored_samples_and_tag(tmp_path: Path, bits: int) -> None:
    rainy = samples(3, bits)
    if bits == 8:
        picture(3).save(tmp_path / "rainy.tif", tiffinfo=_directory({274: 6}))
    else:
        (tmp_path / "rainy.tif").write_bytes(deep_tiff(rainy, tags={274: 6}))
    report = derain_image(tmp_path / "rainy.tif", tmp_path / "clean.tif", zero)
    clean, tags = read_tiff((tmp_path / "clean.tif").read_bytes())
    assert np.array_equal(clean, rainy)
    assert tags[274] == 6
    assert report.size == SIZE


def test_png_chunks_are_copied_as_they_are(tmp_path: Path) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Title", "Rain in May", zip=True)
    file = io.BytesIO()
    picture(3).save(file, "PNG", pnginfo=texts, icc_profile=ICC, dpi=(96, 96))
    data = file.getvalue()
    private = (
        chunk(b"daSh", b"speed 53") + chunk(b"siGN", b"signature of the samples") + chunk(b"gAMA", b"\0\0\xb1\x8f")
    )
    (tmp_path / "rainy.png").write_bytes(data[:33] + private + data[33:])
    derain_image(tmp_path / "rainy.png", tmp_path / "clean.png", zero)
    before = chunks((tmp_path / "rainy.png").read_bytes())
    after = chunks((tmp_path / "clean.png").read_bytes())
    assert b"siGN" in before
    assert {n: d for n, d in before.items() if n not in (b"IDAT", b"siGN")} == {
        n: d for n, d in after.items() if n != b"IDAT"
    }


def test_geographic_tags_of_tiff_keep_their_types(tmp_path: Path) -> None:
    directory = _directory({})
    directory.tagtype |= {33550: 12, 34735: 3}
    directory[33550], directory[34735] = (0.5, 0.5, 0.0), (1, 1, 0, 1, 1024, 0, 1, 1)
    picture(3).save(tmp_path / "rainy.tif", tiffinfo=directory)
    derain_image(tmp_path / "rainy.tif", tmp_path / "clean.tif", zero)
    with Image.open(tmp_path / "clean.tif") as clean:
        assert clean.tag_v2[33550] == (0.5, 0.5, 0.0)
        assert clean.tag_v2[34735] == (1, 1, 0, 1, 1024, 0, 1, 1)
        assert (clean.tag_v2.tagtype[33550], clean.tag_v2.tagtype[34735]) == (12, 3)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_keeps_tables_and_sampling(tmp_path: Path, subsampling: int, mode: str) -> None:
    rainy = Image.radial_gradient("L").resize((64, 48)).convert(mode)
    rainy.save(tmp_path / "rainy.jpg", quality=71, subsampling=subsampling, progressive=True, comment=b"front camera")
    derain_image(tmp_path / "rainy.jpg", tmp_path / "clean.jpg", zero)
    with Image.open(tmp_path / "rainy.jpg") as source, Image.open(tmp_path / "clean.jpg") as clean:
        assert clean.quantization == source.quantization
        assert JpegImagePlugin.get_sampling(clean) == JpegImagePlugin.get_sampling(source)
        assert clean.info["progressive"]
        assert clean.info["comment"] == b"front camera"
        assert clean.mode == mode
        assert np.abs(np.asarray(clean).astype(int) - np.asarray(source)).max() <= 8


def test_jpeg_keeps_iptc_segment(tmp_path: Path) -> None:
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x08\x1c\x02\x69\0\x03May"
    picture(3).save(tmp_path / "rainy.jpg", extra=b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc)
    derain_image(tmp_path / "rainy.jpg", tmp_path / "clean.jpg", zero)
    with Image.open(tmp_path / "clean.jpg") as clean:
        assert ("APP13", iptc) in clean.applist
    for name in ("clean.png", "clean.tif"):
        report = derain_image(tmp_path / "rainy.jpg", tmp_path / name, zero)
        assert report.warnings == ("IPTC and Photoshop data not kept",)


def test_png_to_jpeg_uses_full_chroma(tmp_path: Path) -> None:
    picture(3).save(tmp_path / "rainy.png")
    derain_image(tmp_path / "rainy.png", tmp_path / "clean.jpeg", zero)
    with Image.open(tmp_path / "clean.jpeg") as clean:
        assert JpegImagePlugin.get_sampling(clean) == 0


def test_what_is_lost_is_told(tmp_path: Path) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Title", "Rain in May")
    picture(1).save(tmp_path / "rainy.png", pnginfo=texts, icc_profile=GRAY_ICC, dpi=(300, 300))
    report = derain_image(tmp_path / "rainy.png", tmp_path / "clean.webp", zero)
    assert report.warnings == (
        "PNG text not kept: Title",
        "ICC profile not kept: it is for gray, and WebP has colour only",
        "resolution not kept: WebP has no place for it",
    )


def test_too_much_metadata_for_jpeg_is_told(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[34665] = {37500: bytes(70000)}
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", "x" * 70000)
    picture(3).save(tmp_path / "rainy.png", exif=tags, pnginfo=texts)
    report = derain_image(tmp_path / "rainy.png", tmp_path / "clean.jpg", zero)
    assert [line.split(":")[0] for line in report.warnings] == ["EXIF not kept", "XMP not kept"]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_first_of_several_pictures_is_written(tmp_path: Path, suffix: str) -> None:
    first, second = Image.new("RGB", (16, 8), (9, 8, 7)), Image.new("RGB", (16, 8), (200, 8, 7))
    options = {"lossless": True} if suffix == ".webp" else {}
    first.save(tmp_path / f"rainy{suffix}", save_all=True, append_images=[second], **options)
    report = derain_image(tmp_path / f"rainy{suffix}", tmp_path / "clean.png", zero)
    with Image.open(tmp_path / "clean.png") as clean:
        assert clean.getpixel((0, 0)) == (9, 8, 7)
        assert getattr(clean, "n_frames", 1) == 1
    assert report.warnings == ("only the first of 2 pictures in the file was derained and kept",)


def test_first_of_a_multi_picture_jpeg_is_written(tmp_path: Path) -> None:
    picture(3).save(tmp_path / "rainy.jpg", "MPO", save_all=True, append_images=[picture(3)])
    report = derain_image(tmp_path / "rainy.jpg", tmp_path / "clean.jpg", zero)
    assert report.warnings == ("only the first of 2 pictures in the file was derained and kept",)
    with Image.open(tmp_path / "clean.jpg") as clean:
        assert clean.format == "JPEG"


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmp_is_read(tmp_path: Path, mode: str) -> None:
    rainy = picture(3).convert(mode)
    rainy.save(tmp_path / "rainy.bmp")
    derain_image(tmp_path / "rainy.bmp", tmp_path / "clean.tif", zero)
    with Image.open(tmp_path / "clean.tif") as clean:
        assert np.array_equal(np.asarray(clean), np.asarray(rainy.convert({"1": "L", "P": "RGB"}.get(mode, mode))))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (2, 3)])
@pytest.mark.parametrize("target", [".png", ".jpg", ".webp", ".tif"])
def test_tiny_pictures_work(tmp_path: Path, size: tuple[int, int], target: str) -> None:
    (tmp_path / "rainy.png").write_bytes(deep_png(samples(3, 16, size)))
    assert derain_image(tmp_path / "rainy.png", tmp_path / f"clean{target}", zero).size == size


def hostile() -> dict[str, bytes]:
    made = {}
    for form in ("PNG", "JPEG", "WEBP", "TIFF"):
        file = io.BytesIO()
        picture(3).save(file, form, **({"compression": "tiff_lzw"} if form == "TIFF" else {}))
        data = file.getvalue()
        made[f"half.{form}"] = data[: len(data) // 2]
        made[f"head.{form}"] = data[:20]
    for name, data in (("16.png", deep_png(samples(3, 16))), ("16.tif", deep_tiff(samples(3, 16)))):
        made[f"half{name}"] = data[: len(data) // 2]
        made[f"tail{name}"] = data[:-1]
    flipped = bytearray(deep_png(samples(3, 16)))
    flipped[len(flipped) // 2] ^= 0xFF
    wide = deep_png(samples(3, 16, (2, 2)))
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return {
        **made,
        "flipped.png": bytes(flipped),
        "bomb.png": wide[:8] + chunk(b"IHDR", header) + wide[33:],
        "text.png": b"This is not a picture.\n",
        "empty.png": b"",
        "text.tif": b"II*\0but nothing else",
        "gif.png": b"GIF89a\1\0\1\0\0\0\0;",
    }


@pytest.mark.parametrize("name", hostile())
def test_damaged_source_is_one_line_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "rainy").write_bytes(hostile()[name])
    with pytest.raises(MediaError) as caught:
        derain_image(tmp_path / "rainy", tmp_path / "clean.png", zero)
    assert str(caught.value).startswith(f"{tmp_path / 'rainy'}: ")
    assert "\n" not in str(caught.value)
    assert names_in(tmp_path) == ["rainy"]


def test_limit_of_pixels_is_ours_and_put_back(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    (tmp_path / "rainy").write_bytes(hostile()["bomb.png"])
    with pytest.raises(MediaError, match=f"limit of {MAX_PIXELS} pixels"):
        derain_image(tmp_path / "rainy", tmp_path / "clean.png", zero)
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("mode", ["CMYK", "I", "F", "LAB"])
def test_samples_that_cannot_be_derained_are_named(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (8, 8)).save(tmp_path / "rainy.tif")
    with pytest.raises(MediaError, match=rf"samples of kind {mode}; convert to gray or RGB"):
        derain_image(tmp_path / "rainy.tif", tmp_path / "clean.png", zero)


def test_missing_source_is_a_media_error(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such file"):
        derain_image(tmp_path / "rainy.png", tmp_path / "clean.png", zero)


@pytest.mark.parametrize("name", ["clean.gif", "clean", "clean.mp4"])
def test_unknown_suffix_names_those_that_work(tmp_path: Path, name: str) -> None:
    picture(3).save(tmp_path / "rainy.png")
    with pytest.raises(UsageError, match=r"try \.png, \.jpg, \.jpeg, \.webp, \.tif, \.tiff"):
        derain_image(tmp_path / "rainy.png", tmp_path / name, zero)


def test_target_that_exists_is_kept_unless_allowed(tmp_path: Path) -> None:
    picture(3).save(tmp_path / "rainy.png")
    (tmp_path / "clean.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists"):
        derain_image(tmp_path / "rainy.png", tmp_path / "clean.png", zero)
    assert (tmp_path / "clean.png").read_bytes() == b"mine"
    derain_image(tmp_path / "rainy.png", tmp_path / "clean.png", zero, overwrite=True)
    with Image.open(tmp_path / "clean.png") as clean:
        assert clean.size == (SIZE[1], SIZE[0])


def test_target_that_appears_meanwhile_is_kept_beside_the_result(tmp_path: Path) -> None:
    picture(3).save(tmp_path / "rainy.png")

    def derain(rainy: Tensor) -> Tensor:
        (tmp_path / "clean.png").write_bytes(b"mine")
        return zero(rainy)

    with pytest.raises(MediaError, match=r"clean\.png: exists by now; the result is ") as caught:
        derain_image(tmp_path / "rainy.png", tmp_path / "clean.png", derain)
    assert (tmp_path / "clean.png").read_bytes() == b"mine"
    result = Path(str(caught.value).rpartition(" ")[2])
    assert names_in(tmp_path) == sorted(["clean.png", "rainy.png", result.name])
    with Image.open(result) as clean:
        assert clean.size == (SIZE[1], SIZE[0])


def test_result_that_cannot_get_its_name_is_kept_under_another(tmp_path: Path) -> None:
    picture(3).save(tmp_path / "rainy.png")

    def derain(rainy: Tensor) -> Tensor:
        (tmp_path / "clean.png").mkdir()
        return zero(rainy)

    with pytest.raises(MediaError, match=r"clean\.png: is a directory; the result is ") as caught:
        derain_image(tmp_path / "rainy.png", tmp_path / "clean.png", derain, overwrite=True)
    result = Path(str(caught.value).rpartition(" ")[2])
    assert names_in(tmp_path) == sorted(["clean.png", "rainy.png", result.name])
    with Image.open(result) as clean:
        assert clean.size == (SIZE[1], SIZE[0])


def test_source_is_never_the_target(tmp_path: Path) -> None:
    picture(3).save(tmp_path / "rainy.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "rainy.png")
    with pytest.raises(UsageError, match="is the source itself"):
        derain_image(tmp_path / "rainy.png", tmp_path / "link.png", zero, overwrite=True)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    picture(3).save(tmp_path / "rainy.png")
    with pytest.raises(UsageError, match="there is no folder"):
        derain_image(tmp_path / "rainy.png", tmp_path / "nowhere" / "clean.png", zero)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder_is_refused(tmp_path: Path) -> None:
    picture(3).save(tmp_path / "rainy.png")
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(UsageError, match="not writable"):
        derain_image(tmp_path / "rainy.png", tmp_path / "locked" / "clean.png", zero)


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(3).save(tmp_path / "rainy.png")

    def write(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(MediaError, match=r"clean\.png: no space left on device"):
        derain_image(tmp_path / "rainy.png", tmp_path / "clean.png", zero)
    assert names_in(tmp_path) == ["rainy.png"]


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt(), OSError("of the network")])
def test_error_of_derain_comes_through_and_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    picture(3).save(tmp_path / "rainy.png")

    def derain(rainy: Tensor) -> Tensor:
        raise error

    with pytest.raises(type(error)) as caught:
        derain_image(tmp_path / "rainy.png", tmp_path / "clean.png", derain)
    assert caught.value is error
    assert names_in(tmp_path) == ["rainy.png"]


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_to_jpeg_is_refused_before_the_work(tmp_path: Path, channels: int) -> None:
    picture(channels).save(tmp_path / "rainy.png")
    with pytest.raises(UsageError, match=r"JPEG cannot hold the transparency .* try \.png, \.webp or \.tiff"):
        derain_image(tmp_path / "rainy.png", tmp_path / "clean.jpg", pytest.fail)


def test_picture_too_wide_for_webp_is_refused_before_the_work(tmp_path: Path) -> None:
    Image.new("L", (16384, 2)).save(tmp_path / "rainy.png")
    with pytest.raises(UsageError, match="16384x2 is more than 16383"):
        derain_image(tmp_path / "rainy.png", tmp_path / "clean.webp", pytest.fail)


def test_fixtures_need_codecs_that_are_built_in() -> None:
    assert all(features.check(name) for name in ("webp", "libtiff", "jpg", "zlib"))


def test_damaged_exif_of_a_tiff_does_not_cost_the_picture(tmp_path: Path) -> None:
    (tmp_path / "rainy.tif").write_bytes(deep_tiff(samples(3, 16), tags={271: "Dashcam", 34665: 2**31}))
    derain_image(tmp_path / "rainy.tif", tmp_path / "clean.tif", zero)
    clean, tags = read_tiff((tmp_path / "clean.tif").read_bytes())
    assert np.array_equal(clean, samples(3, 16))
    assert tags[271] == "Dashcam"


def test_unusual_16_bit_tiff_is_refused_by_name(tmp_path: Path) -> None:
    for tags in ({284: 2}, {262: 0}, {322: 16}, {339: (2, 2, 2)}):
        (tmp_path / "rainy.tif").write_bytes(deep_tiff(samples(3, 16), tags=tags))
        with pytest.raises(MediaError, match=r"rainy\.tif: "):
            derain_image(tmp_path / "rainy.tif", tmp_path / "clean.tif", pytest.fail)
