"""Which pixel formats are supported, and what becomes of the others."""

from __future__ import annotations

import pytest
from av.video.format import VideoFormat, names

from nerdrain_rt.errors import MediaError
from nerdrain_rt.pixel_layout import PixelLayout, is_supported, nearest_supported


def test_supported_formats_are_every_one_of_the_families_asked_for() -> None:
    depths = [f"{bits}{order}" for bits in (9, 10, 12, 14, 16) for order in ("le", "be")]
    wanted = [f"yuv{chroma}p{depth}" for chroma in (420, 422, 444) for depth in ("", *depths)]
    wanted += [f"gbrp{depth}" for depth in ("", *depths)] + [f"gray{depth}" for depth in ("", *depths)]
    wanted += [f"yuva{chroma}p" for chroma in (420, 422, 444)] + [f"yuvj{chroma}p" for chroma in (420, 422, 444)]
    wanted += ["nv12", "nv21", "nv16", "nv24", "nv42", "p010le", "p012le", "p016be", "p210le", "p410le", "ya8"]
    wanted += ["yuyv422", "uyvy422", "y210le", "rgb24", "bgr24", "rgba", "bgra", "argb", "abgr", "rgb0", "0bgr"]
    wanted += ["rgb48le", "rgba64le", "gbrap", "gbrap10le", "ayuv64le", "yuv411p", "yuv440p", "ya16le"]
    assert [name for name in wanted if not is_supported(name)] == []


@pytest.mark.parametrize(
    ("format_name", "nearest"),
    [
        ("yuv420p", "yuv420p"),
        ("pal8", "rgb24"),
        ("monow", "gray"),
        ("monob", "gray"),
        ("bayer_rggb8", "rgb24"),
        ("rgb565le", "rgb24"),
        ("x2rgb10le", "rgb48le"),
        ("gbrpf32le", "rgb48le"),
        ("gbrapf32le", "rgba64le"),
        ("grayf32le", "gray16le"),
        ("uyyvyy411", "yuv411p"),
        ("v30xle", "yuv444p10le"),
    ],
)
def test_nearest_supported_keeps_the_most(format_name: str, nearest: str) -> None:
    assert nearest_supported(format_name) == nearest


@pytest.mark.parametrize("format_name", [name for name in names if VideoFormat(name).components])
def test_nearest_supported_is_supported_for_every_format_in_memory(format_name: str) -> None:
    assert is_supported(nearest_supported(format_name))


def test_unsupported_format_says_what_would_do() -> None:
    with pytest.raises(MediaError, match=r"^pixel format gbrpf32le: not supported; reformat to rgb48le$"):
        PixelLayout.of("gbrpf32le")


def test_device_memory_says_to_download() -> None:
    with pytest.raises(MediaError, match=r"cuda: .*download"):
        PixelLayout.of("cuda")


def test_unknown_name_says_so() -> None:
    with pytest.raises(MediaError, match="yuv421p"):
        is_supported("yuv421p")
