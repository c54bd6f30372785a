"""Pictures and targets that cannot be: one line each, and nothing left or lost."""

import errno
import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from torch import Tensor

from nerdrain_rt.errors import MediaError, UsageError
from nerdrain_rt.media.image import derain_image
from nerdrain_rt.media.picture import MAX_PIXELS
from tests.image_files import SIZE, chunk, deep_png, deep_tiff, names_in, picture, read_tiff, samples, zero


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
