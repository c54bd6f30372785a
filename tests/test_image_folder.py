"""Images found in folders, and every kind of them as 8-bit RGB."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from nerdrain_rt.errors import MediaError
from nerdrain_rt.media.image_folder import find_images, lost_by_reading, read_image

RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
GRAY = RGB[..., 0]
ORIENTATION = 0x0112


def write(path: Path, samples: np.ndarray = RGB) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(samples).save(path)
    return path


def test_images_come_in_numeric_order_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("10.png", "2.png", "._2.png", "1.PNG", "sub/3.jpg", ".thumbnails/4.png"):
        write(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(str(tmp_path))]
    assert found == ["1.PNG", "2.png", "10.png", "sub/3.jpg"]


def test_empty_and_missing_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=rf"^{tmp_path}: no images in this folder; it takes \.bmp, \.jpeg, "):
        find_images(tmp_path)
    with pytest.raises(MediaError, match=r"nowhere: no such folder$"):
        find_images(tmp_path / "nowhere")


@pytest.mark.parametrize("path", ["sub", "sub/lost.png"])
def test_what_cannot_be_looked_into_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Else fewer images would be measured without a word. The superuser may read everything, so it is refused here."""

    def forbid(function: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(place: Any, *arguments: Any, **options: Any) -> Any:
            if os.fspath(place) == str(tmp_path / path):
                raise PermissionError(13, "Permission denied", os.fspath(place))
            return function(place, *arguments, **options)

        return guarded

    write(tmp_path / "a.png")
    write(tmp_path / "sub" / "lost.png")
    for name in ("scandir", "stat"):
        monkeypatch.setattr(os, name, forbid(getattr(os, name)))

    with pytest.raises(MediaError, match=f"^{tmp_path / path}: permission denied$"):
        find_images(tmp_path)


def test_link_to_nothing_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")

    with pytest.raises(MediaError, match=r"b\.png: no such file"):
        find_images(tmp_path)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_numbers_without_a_known_white_are_refused(tmp_path: Path, kind: type) -> None:
    with pytest.raises(MediaError, match="whose white is not known"):
        read_image(write(tmp_path / "a.tif", GRAY.astype(kind)))


@pytest.mark.parametrize(
    ("samples", "rgb"),
    [
        (RGB, RGB),
        (GRAY, np.dstack([GRAY] * 3)),
        (np.dstack([RGB, GRAY]), RGB),
        (GRAY.astype(np.uint16) * 256 + 255, np.dstack([GRAY] * 3)),
    ],
    ids=["rgb", "gray", "alpha", "deep"],
)
def test_every_kind_becomes_rgb(tmp_path: Path, samples: np.ndarray, rgb: np.ndarray) -> None:
    assert np.array_equal(read_image(write(tmp_path / "a.png", samples)), rgb)


def test_rotation_tag_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), np.rot90(RGB, -1))


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n cut short", None])
def test_unreadable_image_is_named_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError, match=r"broken\.png: not a readable image \(") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


def test_truncated_image_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(MediaError, match="not a readable image"):
        read_image(path)


@pytest.mark.parametrize(
    ("mode", "suffix", "lost"),
    [
        ("RGB", "png", []),
        ("RGB", "tif", []),
        ("RGBA", "png", ["alpha"]),
        ("LAB", "tif", []),
        ("L", "jpg", ["gray"]),
        ("LA", "png", ["alpha", "gray"]),
        ("I;16", "png", ["16 bits", "gray"]),
    ],
)
def test_what_a_picture_loses_by_reading_is_named(tmp_path, mode, suffix, lost):
    path = tmp_path / f"a.{suffix}"
    Image.new(mode, (1600, 16)).save(path)

    assert lost_by_reading(path) == lost


def test_opaque_pictures_with_alpha_lose_nothing(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGBA", (16, 16), (1, 2, 3, 255)).save(path)

    assert lost_by_reading(path) == []


def test_16_bits_in_colour_are_noticed(tmp_path):
    path = tmp_path / "a.png"
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 32, 16, "rgb48be", Fraction(1, 25)
    path.write_bytes(b"".join(bytes(packet) for packet in codec.encode(av.VideoFrame(32, 16, "rgb48be"))))

    assert read_image(path).shape == (16, 32, 3)
    assert lost_by_reading(path) == ["16 bits"]
