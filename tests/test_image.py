"""Pictures: what a residual changes, and that every other sample of every format stays."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from nerdrain_rt.media.image import ImageReport, derain_image
from tests.image_files import SIZE, chunk, deep_png, deep_tiff, picture, read_deep_png, read_tiff, samples, zero


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
