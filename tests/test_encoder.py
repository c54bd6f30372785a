"""The encoder's warnings: told where something is lost, and only there."""

from __future__ import annotations

import contextlib
import os
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.reformatter import Colorspace

from nerdrain_rt.errors import UsageError
from nerdrain_rt.media import OutputSettings, VideoReader, VideoWriter
from nerdrain_rt.media.tags import PictureTags
from tests import clips


def copy(source: Path, target: Path, codec: str | None = None) -> list[str]:
    """Source to target without deraining; the writer's warnings."""
    settings = OutputSettings(codec=codec)
    with VideoReader(source) as reader, VideoWriter(target, like=reader, settings=settings) as writer:
        for frame in reader:
            writer.write(frame)
    return writer.warnings


def frame_aspect(path: Path) -> str:
    """As FFmpeg tells players, from container and bitstream."""
    clips.need("ffprobe")
    command = ["ffprobe", "-v", "error", "-show_entries", "frame=sample_aspect_ratio", "-of", "csv=p=0", str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0].rstrip(",")


def titles(path: Path, key: str = "title") -> list[str | None]:
    with av.open(str(path)) as container:
        return [stream.metadata.get(key) for stream in container.streams]


def stream_data(path: Path) -> set[str]:
    with av.open(str(path)) as container:
        return set(PictureTags.of(next(container.decode(video=0))).stream_data)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "ffv1"])
def test_hdr10_is_called_lost_only_where_it_is(tmp_path: Path, codec: str, suffix: str) -> None:
    source = clips.hdr_mp4(tmp_path / "hdr.mp4")
    warnings = copy(source, tmp_path / f"clean{suffix}", codec)
    kept = stream_data(tmp_path / f"clean{suffix}")
    for name in stream_data(source):
        assert any(f"{name} is lost" in line for line in warnings) == (name not in kept)


def test_track_titles_come_back_from_mp4(tmp_path: Path) -> None:
    source = clips.rich_mkv(tmp_path / "rich.mkv")
    copy(source, tmp_path / "clean.mp4")
    assert titles(tmp_path / "clean.mp4", "handler_name")[:3] == ["SoundHandler", "VideoHandler", "Commentary"]
    copy(tmp_path / "clean.mp4", tmp_path / "again.mp4")
    assert titles(tmp_path / "again.mp4", "name")[2] == "Commentary"
    copy(tmp_path / "again.mp4", tmp_path / "back.mkv")
    assert titles(tmp_path / "back.mkv")[:3] == titles(source)[:3] == [None, None, "Commentary"]


@pytest.mark.parametrize(
    ("codec", "suffixes"),
    [
        ("libx264", ".mp4 .mkv .ts .avi .flv"),
        ("libx265", ".mov .mkv .ts"),
        ("libvpx", ".mkv .webm .ogv .avi"),
        ("libvpx-vp9", ".mp4 .webm"),
        ("libsvtav1", ".mp4 .mkv .webm"),
        ("mpeg2video", ".mp4 .mkv .ts .mpg"),
        ("mpeg4", ".mp4 .avi"),
        ("ffv1", ".mkv .avi"),
        ("prores_ks", ".mov .mkv"),
        ("wmv2", ".wmv .avi"),
    ],
)
@pytest.mark.parametrize("aspect", [Fraction(16, 11), Fraction(4, 3)])
def test_the_aspect_ratio_is_called_lost_only_where_it_is(
    tmp_path: Path, codec: str, suffixes: str, aspect: Fraction
) -> None:
    source = clips.video(tmp_path / "clip.mp4", size=(48, 64), frames=2, sample_aspect_ratio=aspect)
    lost = {}
    for suffix in suffixes.split():
        target = tmp_path / f"clean{suffix}"
        lost[suffix] = any(f"aspect ratio {aspect} is lost" in line for line in copy(source, target, codec))
    told = f"{aspect.numerator}:{aspect.denominator}"
    assert lost == {suffix: frame_aspect(tmp_path / f"clean{suffix}") != told for suffix in lost}


@pytest.mark.parametrize(("codec", "software"), [("h264_nvenc", "libx264"), ("hevc_nvenc", "libx265")])
def test_an_encoder_without_its_hardware_names_software(tmp_path: Path, codec: str, software: str) -> None:
    try:
        context = av.CodecContext.create(codec, "w")
    except ValueError:
        pytest.skip(f"needs an FFmpeg with {codec}")
    context.width, context.height, context.time_base, context.pix_fmt = 640, 480, Fraction(1, 25), "yuv420p"
    with contextlib.suppress(av.FFmpegError):
        context.open()
        pytest.skip("needs a machine that cannot encode in hardware")
    source = clips.video(tmp_path / "clip.mp4", frames=2)
    with pytest.raises(UsageError, match=f"no usable hardware for it; try {software}, "):
        copy(source, tmp_path / "clean.mp4", codec)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_few_frames_of_hevc_have_decoding_times(tmp_path: Path, frames: int) -> None:
    source = clips.video(tmp_path / "clip.mp4", frames=frames)
    copy(source, tmp_path / "clean.mkv", "libx265")
    moments = sorted(seconds for seconds, _ in clips.packets(tmp_path / "clean.mkv", 0))
    assert moments == pytest.approx([index / 24 for index in range(frames)], abs=0.001)


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="needs Linux's scheduling")
def test_an_encoder_leaves_the_thread_its_scheduling(tmp_path: Path) -> None:
    source = clips.video(tmp_path / "clip.mp4", frames=3)
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    copy(source, tmp_path / "clean.mkv", codec="libsvtav1")
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.parametrize(
    ("codec", "suffix", "lines", "matrix"),
    [
        ("libx264", ".mkv", 96, Colorspace.ITU601),
        ("libx264", ".mkv", 720, Colorspace.ITU709),
        ("mjpeg", ".avi", 720, Colorspace.ITU601),
    ],
)
def test_rgb_that_becomes_ycbcr_keeps_its_colours(
    tmp_path: Path, codec: str, suffix: str, lines: int, matrix: Colorspace
) -> None:
    source = clips.video(tmp_path / "clip.mov", size=(lines, 128), frames=1, codec="png", pixel_format="rgb24")
    target = tmp_path / f"clean{suffix}"
    copy(source, target, codec)
    with av.open(str(source)) as before, av.open(str(target)) as after:
        rainy, clean = next(before.decode(video=0)), next(after.decode(video=0))
        assert (clean.format.is_rgb, clean.colorspace) == (False, matrix)
        difference = clean.to_ndarray(format="rgb24").astype(int) - rainy.to_ndarray(format="rgb24")
    assert abs(difference.mean(axis=(0, 1))).max() < 1


@pytest.mark.parametrize(("name", "pixel_format"), [("clip.gif", "rgb8"), ("clip.apng", "rgb24")])
@pytest.mark.parametrize(
    ("suffix", "codec", "encoded"),
    [(".mp4", None, "h264"), (".mov", None, "h264"), (".mp4", "ffv1", "ffv1"), (".mkv", None, None)],
)
def test_an_animation_becomes_an_mp4_that_players_know(
    tmp_path: Path, name: str, pixel_format: str, suffix: str, codec: str | None, encoded: str | None
) -> None:
    source = clips.video(tmp_path / name, frames=3, codec=Path(name).suffix[1:], pixel_format=pixel_format)
    warnings = copy(source, tmp_path / f"clean{suffix}", codec)
    with av.open(str(tmp_path / f"clean{suffix}")) as container:
        context = container.streams.video[0].codec_context
        assert context.name == encoded or encoded is None
        assert (context.pix_fmt == "yuv420p") == (encoded == "h264")
    keeps = "; -c ffv1 keeps " if suffix == ".mp4" else "; -c ffv1 in .mkv keeps "  # MOV has no place for it
    assert any(keeps in line for line in warnings) == (encoded == "h264")
