"""Codecs and sample formats: what is chosen where nothing is asked for, and what stays exact."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from nerdrain_rt.media import VideoReader
from tests import clips
from tests.copies import FAST, copy, decoded, probe

LOSSLESS = [
    ("libx264", "yuv420p", "mp4"),
    ("libx264", "yuvj420p", "mp4"),
    ("libx264", "yuv422p", "mp4"),
    ("libx264", "yuv444p", "mp4"),
    ("libx264", "yuv420p10le", "mp4"),
    ("libx264", "yuv422p10le", "mp4"),
    ("libx264", "yuv444p10le", "mp4"),
    ("ffv1", "gray", "mkv"),
    ("ffv1", "gray16le", "mkv"),
    ("ffv1", "yuv420p16le", "mkv"),
    ("ffv1", "gbrp10le", "mkv"),
    ("utvideo", "gbrp", "avi"),
    ("png", "rgb24", "mov"),
    ("rawvideo", "nv12", "avi"),
    ("rawvideo", "yuyv422", "avi"),
]


@pytest.mark.parametrize(("codec", "pixel_format", "suffix"), LOSSLESS)
def test_ffv1_gives_back_every_sample(tmp_path: Path, codec: str, pixel_format: str, suffix: str) -> None:
    attributes = {"color_range": 2} if pixel_format.startswith("yuvj") else {}
    source = clips.video(tmp_path / f"clip.{suffix}", codec=codec, pixel_format=pixel_format, frames=3, **attributes)
    target = tmp_path / "clean.mkv"
    writer = copy(source, target, codec="ffv1")
    assert not writer.warnings
    assert writer.report[0].reason == "encoded by ffv1"
    assert clips.all_samples(target, pixel_format) == clips.all_samples(source, pixel_format)
    assert decoded(target)[0].color_range == decoded(source)[0].color_range


@pytest.mark.parametrize(("suffix", "encoder"), [(".mp4", "libx264"), (".mov", "mjpeg"), (".mkv", "mjpeg")])
def test_motion_jpeg_stays_where_players_know_it(tmp_path: Path, suffix: str, encoder: str) -> None:
    source = clips.video(tmp_path / "clip.avi", codec="mjpeg", pixel_format="yuvj422p", frames=3, color_range=2)
    target = tmp_path / f"clean{suffix}"
    assert copy(source, target).report[0].reason == f"encoded by {encoder}"
    assert [frame.format.name for frame in decoded(target)] == ["yuvj422p"] * 3


@pytest.mark.parametrize(
    ("codec", "pixel_format", "suffix", "encoder"),
    [
        ("libx264", "yuv420p", "mp4", "libx264"),
        ("libx264", "yuvj420p", "mp4", "libx264"),
        ("libx264", "yuv422p10le", "mov", "libx264"),
        ("libx265", "yuv420p10le", "mp4", "libx265"),
        ("libx265", "yuv420p12le", "mkv", "libx265"),
        ("libvpx-vp9", "yuv420p", "webm", "libvpx-vp9"),
        ("libvpx", "yuv420p", "webm", "libvpx"),
        ("libsvtav1", "yuv420p10le", "mp4", "libsvtav1"),
        ("prores_ks", "yuv422p10le", "mov", "prores_ks"),
        ("mjpeg", "yuvj422p", "avi", "mjpeg"),
        ("mpeg4", "yuv420p", "avi", "libx264"),
        ("mpeg2video", "yuv420p", "mpg", "mpeg2video"),
        ("ffv1", "yuv420p", "mkv", "ffv1"),
        ("ffv1", "yuv422p10le", "mkv", "ffv1"),
        ("png", "rgb24", "mov", "png"),
    ],
)
def test_the_source_family_and_format_are_the_default(
    tmp_path: Path, codec: str, pixel_format: str, suffix: str, encoder: str
) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    attributes = {"color_range": 2} if pixel_format.startswith("yuvj") else {}
    source = clips.video(
        tmp_path / f"clip.{suffix}", codec=codec, pixel_format=pixel_format, frames=6, rate=25, options=options,
        **attributes,
    )  # fmt: skip
    target = tmp_path / f"clean.{suffix}"
    writer = copy(source, target)
    before, after = decoded(source), decoded(target)
    assert writer.report[0].reason == f"encoded by {encoder}"
    assert after[0].format.name == before[0].format.name
    assert len(after) == len(before)
    assert difference(before, after) < 6


def difference(before: list[av.VideoFrame], after: list[av.VideoFrame]) -> float:
    """The mean absolute error in steps of 8 bits."""
    pairs = [
        tuple(frame.to_ndarray(format="rgb24", threads=1) for frame in pair) for pair in zip(before, after, strict=True)
    ]
    return sum(abs(a.astype(float) - b).mean() for a, b in pairs) / len(pairs)


@pytest.mark.parametrize(
    ("codec", "suffix", "chosen", "pixel_format"),
    [
        ("libvpx-vp9", "webm", None, "yuv420p"),
        ("mjpeg", "avi", None, "yuvj420p"),
        ("libvpx-vp9", "webm", "libx264", "yuv444p"),
        ("libvpx-vp9", "webm", "libx265", "yuv444p"),
        ("libvpx-vp9", "webm", "ffv1", "yuv420p"),
    ],
)
def test_odd_sizes_stay(tmp_path: Path, codec: str, suffix: str, chosen: str | None, pixel_format: str) -> None:
    source = clips.video(
        tmp_path / f"clip.{suffix}", size=(97, 127), codec=codec, frames=4,
        pixel_format="yuvj420p" if codec == "mjpeg" else "yuv420p",
    )  # fmt: skip
    writer = copy(source, tmp_path / "clean.mkv", codec=chosen)
    frames = decoded(tmp_path / "clean.mkv")
    assert {(frame.height, frame.width, frame.format.name) for frame in frames} == {(97, 127, pixel_format)}
    assert bool(writer.warnings) == (pixel_format == "yuv444p")
    assert difference(decoded(source), frames) < 4


@pytest.mark.parametrize(
    ("codec", "pixel_format", "suffix", "known"),
    [
        ("ffv1", "yuv420p10le", ".ts", "hevc"),
        ("ffv1", "yuv420p", ".ts", "h264"),
        ("ffv1", "yuv420p", ".mpg", "mpeg2video"),
        ("prores_ks", "yuv422p10le", ".ts", "h264"),
    ],
)
def test_what_a_stream_cannot_name_is_encoded_as_what_it_can(
    tmp_path: Path, codec: str, pixel_format: str, suffix: str, known: str
) -> None:
    options = {"codec": codec, "pixel_format": pixel_format, "options": {}}
    source = clips.video(tmp_path / "clip.mov" if codec == "prores_ks" else tmp_path / "clip.mkv", frames=4, **options)
    copy(source, tmp_path / f"clean{suffix}")
    with av.open(str(tmp_path / f"clean{suffix}")) as container:
        assert container.streams.video[0].codec_context.name == known
        assert len(list(container.decode(video=0))) == 4


def test_codec_and_options_are_obeyed(tmp_path: Path) -> None:
    source = clips.video(tmp_path / "clip.mp4")
    small = copy(source, tmp_path / "small.mp4", codec="libx264", codec_options={"crf": "45", **FAST})
    copy(source, tmp_path / "large.mp4", codec="libx264", codec_options={"crf": "5", **FAST})
    assert small.report[0].reason == "encoded by libx264"
    assert (tmp_path / "small.mp4").stat().st_size * 2 < (tmp_path / "large.mp4").stat().st_size
    copy(source, tmp_path / "x265.mkv", codec="hevc", codec_options={"x265-params": "crf=40"})
    assert "codec_name=hevc" in probe(tmp_path / "x265.mkv", "-show_entries", "stream=codec_name")
    copy(source, tmp_path / "rate.mp4", codec_options={"b": "50k", **FAST})
    assert (tmp_path / "rate.mp4").stat().st_size < 30_000


def test_gif_keeps_the_colors(tmp_path: Path) -> None:
    copy(clips.video(tmp_path / "clip.mp4"), tmp_path / "clip.gif")
    red, green, blue = decoded(tmp_path / "clip.gif")[0].to_ndarray(format="rgb24").reshape(-1, 3).T.astype(int)
    assert abs(red - blue).max() > 50
    assert abs(red - green).max() > 50


def test_transparency_is_kept_before_depth(tmp_path: Path) -> None:
    source = clips.video(tmp_path / "matte.mov", frames=2, codec="prores_ks", pixel_format="yuva444p10le", options={})
    writer = copy(source, tmp_path / "clean.mov")
    with av.open(str(tmp_path / "clean.mov")) as container:
        stream = container.streams.video[0]
        assert (stream.codec.name, stream.pix_fmt) == ("prores", "yuva444p12le")
    assert len(writer.report) == 1


def test_transparency_that_the_decoder_leaves_out_is_told(tmp_path: Path) -> None:
    source = clips.video(tmp_path / "matte.webm", frames=2, codec="libvpx-vp9", pixel_format="yuva420p", options={})
    with VideoReader(source) as reader:
        list(reader)
    assert reader.warnings == ["its transparency (alpha) is not read, and so not kept"]
    copy(source, tmp_path / "clean.webm")
    with av.open(str(tmp_path / "clean.webm")) as container:
        assert "alpha_mode" not in {key.lower() for key in container.streams.video[0].metadata}
