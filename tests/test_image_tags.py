"""What a picture file says beside its samples: EXIF, ICC, XMP, chunks and segments."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from nerdrain_rt.media.image import derain_image
from tests.image_files import (
    GRAY_ICC,
    ICC,
    SIZE,
    XMP,
    chunk,
    chunks,
    deep_png,
    deep_tiff,
    exif,
    picture,
    read_tiff,
    samples,
    zero,
)


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
