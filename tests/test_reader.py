"""Reading: frames in order at their times, damage told, bad input refused in one line."""

from __future__ import annotations

import os
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from nerdrain_rt.color import to_rgb
from nerdrain_rt.errors import MediaError, UsageError
from nerdrain_rt.media import VideoReader
from nerdrain_rt.stages import Prefetch
from tests import clips


def seconds(path: Path, **selection: float) -> list[float]:
    with VideoReader(path, **selection) as reader:
        return [frame.seconds for frame in reader]


def test_frames_come_in_presentation_order_with_their_times(tmp_path: Path) -> None:
    times = [0, 1000, 5000, 5500, 20000, 90000]
    path = clips.video(tmp_path / "vfr.mp4", frames=6, times=times, time_base=Fraction(1, 90000))
    with VideoReader(path) as reader:
        frames = list(reader)
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(pts, 90000) for pts in times]
    assert reader.frames_read == 6
    assert not reader.warnings
    assert not reader.is_damaged


def test_info_describes_the_stream(tmp_path: Path) -> None:
    path = clips.video(tmp_path / "clip.mp4", size=(90, 160), frames=30, rate=25, rotation=90)
    with VideoReader(str(path)) as reader:
        info = reader.info
    assert info.size == (90, 160)
    assert (info.pixel_format, info.codec, info.frame_rate) == ("yuv420p", "h264", 25)
    assert (info.frame_count, info.duration_seconds) == (30, pytest.approx(1.2))
    assert (info.rotation, info.is_interlaced) == (90, False)


def test_info_tells_hdr_and_interlacing(tmp_path: Path) -> None:
    with VideoReader(clips.hdr_mp4(tmp_path / "hdr.mp4")) as reader:
        assert reader.info.pixel_format == "yuv420p10le"
        assert (reader.tags.color_primaries, reader.tags.color_trc, reader.tags.colorspace) == (9, 16, 9)
        assert reader.tags.light_level == (1000, 400)
        assert reader.tags.mastering_display is not None
        assert reader.tags.mastering_display.max_luminance == 1000
        assert reader.tags.mastering_display.primaries[1] == pytest.approx((0.265, 0.69))
    with VideoReader(clips.interlaced(tmp_path / "fields.mp4")) as reader:
        assert reader.info.is_interlaced


def test_av1_is_named_by_its_format_not_its_decoder(tmp_path: Path) -> None:
    path = clips.video(tmp_path / "clip.mp4", codec="libsvtav1", frames=3)
    with VideoReader(path) as reader:
        assert reader.info.codec == "av1"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
@pytest.mark.parametrize("start", [0.04, 0.9, 1.24, 1.8])
def test_a_range_delivers_the_same_frames_as_the_whole(tmp_path: Path, suffix: str, start: float) -> None:
    path = clips.with_sound(tmp_path / f"clip{suffix}")
    with VideoReader(path) as reader:
        zero = float(reader.container_start)
        everything = [frame.seconds - zero for frame in reader]
    expected = [moment for moment in everything if start <= moment < start + 0.3]
    got = [moment - zero for moment in seconds(path, start=start, end=start + 0.3)]
    assert got == pytest.approx(expected)


def test_a_range_estimates_its_frame_count(tmp_path: Path) -> None:
    path = clips.with_sound(tmp_path / "clip.mp4")
    with VideoReader(path, start=0.4, end=1.2) as reader:
        assert reader.info.frame_count == 20
        assert reader.info.duration_seconds == pytest.approx(0.8)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
@pytest.mark.parametrize(("start", "end"), [(None, 0.1), (0.05, 0.17), (0.05, None), (0.4, 0.48), (0, 0.12), (0.9, 9)])
def test_a_range_never_has_more_frames_than_counted(
    tmp_path: Path, suffix: str, start: float | None, end: float | None
) -> None:
    path = clips.video(tmp_path / f"clip{suffix}", frames=25, rate=25, options={"bf": "0"})
    with VideoReader(path, start=start, end=end) as reader:
        assert len(list(reader)) == reader.info.frame_count


@pytest.mark.parametrize(("start", "end"), [(-1, None), (2, 1), (1, 1), (None, 0)])
def test_an_impossible_range_is_refused(tmp_path: Path, start: float | None, end: float | None) -> None:
    with pytest.raises(UsageError, match=r"start|end"):
        VideoReader(tmp_path / "any.mp4", start=start, end=end)


def test_a_start_behind_the_end_is_an_error(tmp_path: Path) -> None:
    path = clips.video(tmp_path / "clip.mp4")
    with pytest.raises(MediaError, match="no picture at or after 30 s"), VideoReader(path, start=30):
        pass


def bad_input(kind: str, folder: Path) -> Path:
    path = folder / "input.mp4"
    match kind:
        case "folder":
            path.mkdir()
        case "empty":
            path.touch()
        case "text":
            path.write_text("This is a shopping list, not a film.\n" * 50)
        case "audio":
            clips.ffmpeg("-f", "lavfi", "-i", "sine=d=1", path)
        case "subtitles":
            path.write_text("1\n00:00:00,200 --> 00:00:00,900\nwords\n")
        case "cover only":
            song = clips.video(folder / "cover.mp4", frames=1)
            clips.ffmpeg(
                *("-f", "lavfi", "-i", "sine=d=1", "-i", song, "-map", 0, "-map", 1, "-c:v", "mjpeg"),
                *("-pix_fmt", "yuvj420p", "-disposition:v", "attached_pic", path),
            )
        case "no frames":
            with av.open(str(path), "w") as container:
                container.add_stream("libx264", rate=24, width=64, height=48)
                container.start_encoding()
        case "unknown codec":
            path = clips.video(folder / "input.avi", frames=2)
            path.write_bytes(path.read_bytes().replace(b"H264", b"ZZZZ"))
        case "encrypted":
            clips.encrypted(path)
        case "header only":
            clips.truncated(clips.video(folder / "whole.mkv"), folder / "input.mkv", keep=0.05)
            path = folder / "input.mkv"
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such file"),
        ("folder", "is a folder"),
        ("empty", "the file is empty"),
        ("text", "not a media file"),
        ("audio", "no video stream; it holds audio"),
        ("subtitles", "no video stream; it holds subtitle"),
        ("cover only", "no video stream; it holds only cover art"),
        ("no frames", "no picture could be decoded|not a media file|no video stream"),
        ("encrypted", "encrypted"),
        ("unknown codec", "in a codec that FFmpeg cannot decode"),
        ("header only", "no picture could be decoded|no video stream|not a media file"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, kind: str, message: str) -> None:
    path = bad_input(kind, tmp_path)
    with pytest.raises(MediaError, match=message) as caught, VideoReader(path):
        pass
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_cover_art_is_not_taken_for_the_video(tmp_path: Path) -> None:
    with VideoReader(clips.rich_mkv(tmp_path / "rich.mkv")) as reader:
        assert reader.info.codec == "h264"
        assert len(list(reader)) == 48


def test_matroska_that_is_cut_between_two_frames_is_known_by_its_head(tmp_path: Path) -> None:
    whole = clips.video(tmp_path / "whole.mkv", size=(48, 64), frames=72)
    with av.open(str(whole)) as container:
        ends = [packet.pos for packet in container.demux(video=0) if packet.size]
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: ends[30]])
    with VideoReader(cut) as reader:
        assert len(list(reader)) == 30
        assert reader.is_damaged
        assert "ends at 1.2 s of 3.0 s" in reader.warnings[-1]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_truncated_file_delivers_its_beginning_and_says_so(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole{suffix}"
    clips.with_sound(whole, seconds=6, video_options=("-movflags", "+faststart") if suffix == ".mp4" else ())
    path = clips.truncated(whole, tmp_path / f"cut{suffix}")
    with VideoReader(path) as reader:
        frames = list(reader)
    assert 20 < len(frames) < 150
    assert reader.is_damaged
    assert reader.frames_read == len(frames)
    assert all("\n" not in line for line in reader.warnings)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_file_damaged_in_the_middle_delivers_the_rest(tmp_path: Path, suffix: str) -> None:
    # the number of threads decides which bytes the encoder writes, and so what the noise hits
    whole = clips.with_sound(tmp_path / f"whole{suffix}", seconds=6, video_options=("-threads", 2))
    path = clips.damaged(whole, tmp_path / f"hurt{suffix}", length=4000)
    with VideoReader(path) as reader:
        moments = [frame.seconds for frame in reader]
    assert len(moments) > 75
    assert moments[-1] > 5.5
    assert moments == sorted(set(moments))
    assert reader.is_damaged
    assert reader.warnings


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi", ".mov"])
def test_a_sound_file_is_not_called_damaged(tmp_path: Path, suffix: str) -> None:
    path = clips.with_sound(tmp_path / f"clip{suffix}", seconds=3)
    with VideoReader(path) as reader:
        assert len(list(reader)) == 75
    assert not reader.is_damaged
    assert not reader.warnings


def last_picture_held(source: Path, path: Path, seconds: int, tags: dict[str, str] | None = None) -> Path:
    """A copy of the video whose last picture is shown for `seconds`."""
    with av.open(str(source)) as before, av.open(str(path), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0], opaque=True)
        stream.metadata.update(tags or {})
        packets = [packet for packet in before.demux(video=0) if packet.size]
        packets[-1].duration = round(seconds / packets[-1].time_base)
        for packet in packets:
            packet.stream = stream
            after.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_last_picture_that_is_held_is_no_damage(tmp_path: Path, suffix: str) -> None:
    even = clips.video(tmp_path / f"even{suffix}", frames=25, rate=25, options={"bf": "0"})
    path = last_picture_held(even, tmp_path / f"held{suffix}", 4)
    for start in (None, 0.5):
        with VideoReader(path, start=start) as reader:
            list(reader)
            assert reader.info.duration_seconds == pytest.approx(4.96 - (start or 0))
            assert not reader.warnings
            assert not reader.is_damaged


@pytest.mark.parametrize(("count", "is_damaged"), [("25", False), ("124", True)])
def test_a_frame_count_in_the_tags_tells_a_hold_from_a_cut(tmp_path: Path, count: str, is_damaged: bool) -> None:
    path = clips.video(tmp_path / "even.mkv", frames=25, rate=25, options={"bf": "0"})
    data = last_picture_held(path, tmp_path / "tagged.mkv", 1, {"NUMBER_OF_FRAMES": count}).read_bytes()
    assert b"00:00:01.960000000" in data
    path.write_bytes(data.replace(b"00:00:01.960000000", b"00:00:09.960000000"))
    with VideoReader(path) as reader:
        assert len(list(reader)) == 25
        assert reader.is_damaged == is_damaged


def test_a_file_cut_by_an_edit_list_is_not_called_damaged(tmp_path: Path) -> None:
    whole = clips.with_sound(tmp_path / "whole.mp4", seconds=6)
    path = tmp_path / "edited.mp4"
    clips.ffmpeg("-ss", 2.5, "-i", whole, "-t", 2, "-c", "copy", path)
    with VideoReader(path) as reader:
        list(reader)
    assert not reader.is_damaged


def test_wrong_timestamps_are_repaired_and_told(tmp_path: Path) -> None:
    good = clips.video(tmp_path / "good.mkv", options={"bf": "0"})
    path = tmp_path / "bad.mkv"
    with av.open(str(good)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for index, packet in enumerate(source.demux(video=0)):
            if packet.size:
                packet.pts = packet.dts = [index, 5, 5][index % 3] * 40
                packet.stream = stream
                try:
                    target.mux(packet)
                except av.FFmpegError:
                    packet.dts = None
    with VideoReader(path) as reader:
        pts = [frame.pts for frame in reader]
    assert pts == sorted(set(pts))
    assert any("wrong timestamps" in line for line in reader.warnings)
    assert not reader.is_damaged


def test_a_change_of_size_is_converted_to_the_first(tmp_path: Path) -> None:
    small = clips.video(tmp_path / "a.ts", size=(96, 128))
    large = clips.video(tmp_path / "b.ts", size=(144, 192))
    path = tmp_path / "joined.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    with VideoReader(path) as reader:
        sizes = {(frame.picture.height, frame.picture.width) for frame in reader}
    assert sizes == {(96, 128)}
    assert reader.frames_read > 40
    assert any("converted to 128x96" in line for line in reader.warnings)


@pytest.mark.parametrize(
    ("codec", "suffix", "pixel_format", "delivered"),
    [
        ("png", ".mov", "pal8", "rgb24"),
        ("png", ".mov", "monob", "gray"),
        ("rawvideo", ".avi", "rgb555le", "rgb24"),
        ("rawvideo", ".nut", "v30xle", "yuv444p10le"),
        ("ffv1", ".mkv", "gbrpf32le", "rgb48le"),
    ],
)
def test_a_format_the_network_cannot_read_is_converted_and_told(
    tmp_path: Path, codec: str, suffix: str, pixel_format: str, delivered: str
) -> None:
    path = tmp_path / f"clip{suffix}"
    if codec == "png":
        clips.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.2", "-c:v", codec, "-pix_fmt", pixel_format, path)
    else:
        clips.video(path, codec=codec, pixel_format=pixel_format, frames=3, options={"strict": "-2"})
    with VideoReader(path) as reader:
        assert {frame.picture.format.name for frame in reader} == {reader.info.pixel_format} == {delivered}
    (line,) = reader.warnings
    assert f"cannot read {pixel_format} pictures; converted to {delivered}" in line


def test_converted_floats_keep_their_values(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    colors = {"green": 0.5, "blue": 0.25, "red": 0.75}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.options = 16, 16, "gbrpf32le", {"strict": "-2"}
        picture = av.VideoFrame(16, 16, "gbrpf32le")
        for plane, value in zip(picture.planes, colors.values(), strict=True):
            plane.update(np.full(plane.buffer_size // 4, value, "<f4").tobytes())
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with VideoReader(path) as reader:
        (frame,) = reader
    rgb = to_rgb(frame.picture, device=torch.device("cpu"))[0, :, 8, 8]
    assert rgb.tolist() == pytest.approx([colors[name] for name in ("red", "green", "blue")], abs=1e-3)


def test_the_best_of_several_videos_is_read(tmp_path: Path) -> None:
    small = clips.video(tmp_path / "small.mp4", size=(48, 64))
    large = clips.video(tmp_path / "large.mp4", size=(96, 128))
    path = tmp_path / "both.mp4"
    clips.ffmpeg("-i", small, "-i", large, "-map", 0, "-map", 1, "-c", "copy", "-disposition:v:1", "default", path)
    with VideoReader(path) as reader:
        assert len(list(reader)) == 24
        assert reader.stream_index in (0, 1)


def test_tags_that_are_no_utf8_do_not_hinder(tmp_path: Path) -> None:
    path = clips.video(tmp_path / "clip.avi", codec="mpeg4", metadata={"title": "Regen in Koeln"})
    path.write_bytes(path.read_bytes().replace(b"Koeln", b"K\xf6ln "))
    with VideoReader(path) as reader:
        assert len(list(reader)) == 24


def test_the_reader_may_be_left_while_a_thread_is_in_it(tmp_path: Path) -> None:
    path = clips.video(tmp_path / "clip.mp4", frames=60)
    for _ in range(10):
        with VideoReader(path) as reader, Prefetch(reader) as ahead:
            next(ahead)
    reader = VideoReader(path)
    with reader:
        thread = threading.Thread(target=lambda: list(reader))
        thread.start()
        time.sleep(0.01)
    thread.join(5)
    assert not thread.is_alive()


def test_nothing_is_left_open(tmp_path: Path) -> None:
    path = clips.video(tmp_path / "clip.mp4")
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("counts file descriptors the Linux way")
    for _ in range(3):
        seconds(path)
    before = len(list(descriptors.iterdir()))
    for _ in range(20):
        seconds(path)
        with pytest.raises(RuntimeError), VideoReader(path):
            raise RuntimeError
    assert len(list(descriptors.iterdir())) <= before


def test_jump_in_even_times_is_told(tmp_path: Path) -> None:
    path = clips.video(tmp_path / "jump.mkv", frames=60, times=[*range(30), *range(36, 66)])
    with VideoReader(path) as reader:
        assert len(list(reader)) == 60
        assert reader.warnings == ["the timestamps jump once: the source may have lost frames"]
        assert not reader.is_damaged


def test_variable_rate_is_no_jump(tmp_path: Path) -> None:
    path = clips.video(tmp_path / "variable.mkv", frames=12, times=[0, 1, 4, 5, 9, 10, 14, 15, 16, 20, 24, 25])
    with VideoReader(path) as reader:
        assert len(list(reader)) == 12
        assert reader.warnings == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ts")
    with pytest.raises(MediaError, match=r"pipe\.ts: is a pipe or a device"):
        VideoReader(tmp_path / "pipe.ts").__enter__()
