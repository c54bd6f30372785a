"""Writing: what the video says of itself survives, the target appears whole or not at all."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.sidedata.sidedata import Type

from nerdrain_rt.errors import MediaError, UsageError
from nerdrain_rt.frame import Frame
from nerdrain_rt.media import OutputSettings, VideoReader, VideoWriter
from nerdrain_rt.media.picture_copies import PictureCopies
from nerdrain_rt.media.tags import PictureTags
from tests import clips

FAST = {"preset": "ultrafast"}


def copy(source: Path, target: Path, *, start: float | None = None, end: float | None = None, **settings: object):
    """Source to target without deraining; the writer, for its report."""
    with (
        VideoReader(source, start=start, end=end) as reader,
        VideoWriter(target, like=reader, settings=OutputSettings(**settings)) as writer,
    ):
        for frame in reader:
            writer.write(frame)
    assert writer.frames_written == reader.frames_read
    return writer


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(container.streams.video[0]))


def times(path: Path) -> list[float]:
    return [frame.time for frame in decoded(path)]


def probe(path: Path, *entries: str) -> str:
    clips.need("ffprobe")
    return subprocess.run(
        ["ffprobe", "-v", "error", "-of", "compact", *entries, str(path)], check=True, capture_output=True, text=True
    ).stdout


def left_in(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".ts", ".m4v"])
def test_frames_keep_their_times(tmp_path: Path, suffix: str) -> None:
    moments = [0, 1800, 9000, 9900, 36000, 90000]
    source = clips.video(tmp_path / "vfr.mp4", frames=6, times=moments, time_base=Fraction(1, 90000))
    target = tmp_path / f"clean{suffix}"
    copy(source, target)
    got = times(target)
    assert [moment - got[0] for moment in got] == pytest.approx([pts / 90000 for pts in moments], abs=0.001)


def test_durations_are_kept(tmp_path: Path) -> None:
    source = clips.with_sound(tmp_path / "clip.mp4")
    copy(source, tmp_path / "clean.mp4")
    with av.open(str(source)) as before, av.open(str(tmp_path / "clean.mp4")) as after:
        one, other = before.streams.video[0], after.streams.video[0]
        assert other.duration * other.time_base == one.duration * one.time_base
        assert after.duration == before.duration
        assert other.average_rate == one.average_rate


def test_avi_rounds_times_and_says_so(tmp_path: Path) -> None:
    moments = [0, 1800, 9000, 9900, 36000, 90000]
    source = clips.video(tmp_path / "vfr.mp4", frames=6, times=moments, time_base=Fraction(1, 90000))
    writer = copy(source, tmp_path / "clean.avi")
    assert any("constant frame rate" in line for line in writer.warnings)
    assert times(tmp_path / "clean.avi") == sorted(times(tmp_path / "clean.avi"))


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


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_written_again(tmp_path: Path, suffix: str, degrees: int) -> None:
    source = clips.video(tmp_path / "clip.mp4", rotation=degrees, frames=3)
    for codec in (None, "ffv1"):
        target = tmp_path / f"clean{codec}{suffix}"
        copy(source, target, codec=codec)
        assert decoded(target)[0].rotation == decoded(source)[0].rotation


def test_aspect_ratio_and_colour_tags_are_kept(tmp_path: Path) -> None:
    source = clips.video(
        tmp_path / "clip.mp4", frames=3, sample_aspect_ratio=Fraction(4, 3), color_primaries=5, color_trc=6,
        colorspace=5, color_range=1,
    )  # fmt: skip
    for codec in (None, "libx265", "ffv1"):
        copy(source, tmp_path / "clean.mkv", codec=codec, overwrite=True)
        frame = decoded(tmp_path / "clean.mkv")[0]
        tags = (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range)
        assert tags == (5, 6, 5, 1)
        assert "sample_aspect_ratio=4:3" in probe(tmp_path / "clean.mkv", "-show_entries", "frame=sample_aspect_ratio")
    vp9 = copy(source, tmp_path / "clean.mp4", codec="libvpx-vp9")
    assert not vp9.warnings
    assert "sample_aspect_ratio=4:3" in probe(tmp_path / "clean.mp4", "-show_entries", "stream=sample_aspect_ratio")
    webm = copy(source, tmp_path / "clean.webm")
    assert any("aspect ratio 4/3 is lost" in line for line in webm.warnings)


def test_hdr10_is_kept_in_bitstream_and_container(tmp_path: Path) -> None:
    source = clips.hdr_mp4(tmp_path / "hdr.mp4")
    target = tmp_path / "clean.mp4"
    writer = copy(source, target)
    assert not writer.warnings
    before, after = (PictureTags.of(decoded(path)[0]) for path in (source, target))
    assert after == before
    frames = probe(target, "-show_frames", "-read_intervals", "%+#1")
    assert "chroma_location=topleft" in frames
    assert "hvc1" in probe(target, "-show_entries", "stream=codec_tag_string")


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_stereo_layout_is_kept(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / "clip.mkv"
    plain = clips.video(tmp_path / "plain.mp4", frames=3)
    clips.ffmpeg("-i", plain, "-c", "copy", "-metadata:s:v", "stereo_mode=left_right", source)
    copy(source, tmp_path / f"clean{suffix}")

    def layout(path: Path) -> set[bytes]:
        return {bytes(item) for item in decoded(path)[0].side_data if item.type == Type.STEREO3D}

    assert layout(source)
    assert layout(tmp_path / f"clean{suffix}") == layout(source)
    told = copy(source, tmp_path / "other.mkv", codec="ffv1")
    assert any("stereo 3D layout is lost" in line for line in told.warnings)


@pytest.mark.parametrize("codec", ["libx264", "libsvtav1"])
def test_hdr10_goes_into_other_codecs_as_far_as_they_can(tmp_path: Path, codec: str) -> None:
    source = clips.hdr_mp4(tmp_path / "hdr.mp4")
    copy(source, tmp_path / "clean.mp4", codec=codec)
    before, after = (PictureTags.of(decoded(path)[0]) for path in (source, tmp_path / "clean.mp4"))
    assert after.light_level == before.light_level
    assert after.mastering_display is not None
    assert before.mastering_display is not None
    assert after.mastering_display.max_luminance == pytest.approx(before.mastering_display.max_luminance)
    assert after.mastering_display.white == pytest.approx(before.mastering_display.white, abs=1e-4)


def test_hdr10_that_a_codec_cannot_say_is_told(tmp_path: Path) -> None:
    writer = copy(clips.hdr_mp4(tmp_path / "hdr.mp4"), tmp_path / "clean.mkv", codec="ffv1")
    assert any("mastering display" in line for line in writer.warnings)


@pytest.mark.parametrize("codec", [None, "libx265"])
def test_user_data_is_kept(tmp_path: Path, codec: str | None) -> None:
    source = clips.with_user_data(tmp_path / "clip.mp4")
    copy(source, tmp_path / "clean.mp4", codec=codec)

    def telemetry(path: Path) -> int:
        data = [
            bytes(item) for frame in decoded(path) for item in frame.side_data if item.type == Type.SEI_UNREGISTERED
        ]
        return sum(b"telemetry" in item for item in data)

    assert telemetry(source) > 0
    assert telemetry(tmp_path / "clean.mp4") == telemetry(source)


@pytest.mark.parametrize("codec", [None, "libx265"])
def test_closed_captions_are_kept(tmp_path: Path, codec: str | None) -> None:
    source = clips.with_captions(tmp_path / "clip.mp4")
    copy(source, tmp_path / "clean.mp4", codec=codec)

    def captions(path: Path) -> list[bytes]:
        return [bytes(item) for frame in decoded(path) for item in frame.side_data if item.type == Type.A53_CC]

    assert len(captions(source)) == 24
    assert captions(tmp_path / "clean.mp4") == captions(source)


@pytest.mark.parametrize(
    ("make", "words"), [(clips.with_user_data, "SEI user data"), (clips.with_captions, "closed captions")]
)
def test_what_an_encoder_does_not_carry_inside_the_video_is_told_once(
    tmp_path: Path, make: Callable[[Path], Path], words: str
) -> None:
    source = make(tmp_path / "clip.mp4")
    assert copy(source, tmp_path / "lossless.mkv", codec="ffv1").warnings == [f"ffv1: the video's {words} are lost"]
    assert not copy(source, tmp_path / "clean.mkv").warnings


def test_what_is_beside_a_picture_can_be_read_after_it_was_changed(tmp_path: Path) -> None:
    picture = decoded(clips.with_user_data(tmp_path / "clip.mp4"))[0]
    decoder = PictureCopies().of(picture)  # still refers to the samples, as a decoder does

    PictureTags.of(picture)
    picture.make_writable()

    kinds = [item.type for item in picture.side_data]
    assert kinds == [item.type for item in decoder.side_data]
    assert Type.SEI_UNREGISTERED in kinds


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_interlacing_is_kept(tmp_path: Path, order: str) -> None:
    source = clips.interlaced(tmp_path / "clip.mp4", order)
    copy(source, tmp_path / "clean.mp4")
    entries = ("-show_entries", "stream=field_order:frame=interlaced_frame,top_field_first")
    before, after = (probe(path, *entries) for path in (source, tmp_path / "clean.mp4"))
    assert after.count("interlaced_frame=1") == 25
    assert after.count(f"top_field_first={int(order == 'tff')}") == 25
    assert after.splitlines()[-1] == before.splitlines()[-1]
    other = copy(source, tmp_path / "clean.webm")
    assert any("interlaced" in line for line in other.warnings)


def test_mp4_can_start_before_it_is_loaded(tmp_path: Path) -> None:
    copy(clips.with_sound(tmp_path / "clip.mp4"), tmp_path / "clean.mp4")
    data = (tmp_path / "clean.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


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


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("clean.mp4", {"codec": "nonsense"}, "'nonsense' is no video encoder here; mp4 takes libx264"),
        ("clean.mp4", {"codec": "aac"}, "'aac' is no video encoder"),
        ("clean.webm", {"codec": "libx264"}, "webm cannot hold libx264; webm takes libsvtav1, libvpx-vp9"),
        ("clean.mp4", {"codec_options": {"quality": "best"}}, "option 'quality' is unknown to libx264"),
        ("clean.mp4", {"codec_options": {"crf": "many"}}, "libx264 does not start with crf=many: "),
        ("clean.txt", {}, "no video file ends in '.txt'; try .mp4"),
        ("clean", {}, "clean: has no suffix; try .mp4, "),
        ("clean.png", {}, "no video file ends in '.png'"),
        ("clean.m3u8", {}, "no video file ends in '.m3u8'"),
        ("clean.wav", {}, "no encoder here makes video that wav can hold"),
        ("no/folder/clean.mp4", {}, "there is no folder"),
        ("there.mp4", {}, "exists"),
        ("clip.mp4", {"overwrite": True}, "is the source itself"),
        ("link.mp4", {"overwrite": True}, "is the source itself"),
        ("hard.mp4", {"overwrite": True}, "is the source itself"),
        ("pipe.mp4", {"overwrite": True}, "is not a file that can be replaced"),
    ],
)
def test_what_cannot_be_is_refused_before_it_starts(
    tmp_path: Path, name: str, settings: dict[str, object], message: str
) -> None:
    source = clips.video(tmp_path / "clip.mp4", frames=2)
    (tmp_path / "there.mp4").write_text("precious")
    (tmp_path / "link.mp4").symlink_to(source)
    (tmp_path / "hard.mp4").hardlink_to(source)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.mp4")
    else:
        (tmp_path / "pipe.mp4").mkdir()
    before, samples = left_in(tmp_path), source.read_bytes()
    with pytest.raises(UsageError, match=message) as caught:
        copy(source, tmp_path / name, **settings)
    assert "\n" not in str(caught.value)
    assert "partial" not in str(caught.value)
    assert left_in(tmp_path) == before
    assert source.read_bytes() == samples
    assert (tmp_path / "there.mp4").read_text() == "precious"


@pytest.mark.parametrize(
    "name", ["12:30:00.mp4", "concat:x.mp4", "http://x.mp4", "frame%d.mp4", "frame%03d.mkv", "frame%d.gif"]
)
def test_a_name_is_nothing_but_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    target = Path(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    copy(clips.video(tmp_path / "clip.mp4", frames=4), target)
    assert left_in(target.parent) - {"clip.mp4", "http:"} == {target.name}
    again = copy(target, Path("again.mkv"))
    assert again.frames_written == 4


def grow_old(path: Path) -> None:
    os.utime(path, (0, 0))


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    source = clips.video(tmp_path / "clip.mp4", frames=2)
    left = [".clean.0123abcd.partial.mp4", ".clean [1].0123abcd.partial.mp4", ".clean.0123abcd.partial.mkv"]
    for name in left:
        (tmp_path / name).touch()
        grow_old(tmp_path / name)
    (tmp_path / ".clean.89abcdef.partial.mp4").touch()  # begun just now
    copy(source, tmp_path / "clean.mp4")
    assert left_in(tmp_path) == {"clip.mp4", "clean.mp4", ".clean.89abcdef.partial.mp4", *left[1:]}
    copy(source, tmp_path / "clean [1].mp4")
    assert left[1] not in left_in(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="there an open file is safe by itself")
def test_what_another_run_is_writing_is_left_alone(tmp_path: Path) -> None:
    source, target = clips.video(tmp_path / "clip.mp4", frames=4), tmp_path / "clean.mp4"
    with VideoReader(source) as reader, VideoWriter(target, like=reader) as writer:
        for frame in reader:
            writer.write(frame)
        (partial,) = tmp_path.glob(".clean.*.partial.mp4")
        grow_old(partial)
        copy(source, tmp_path / "other.mp4")
        with VideoReader(source) as again, pytest.raises(MediaError), VideoWriter(target, like=again):
            assert partial.exists()
    assert left_in(tmp_path) == {"clip.mp4", "clean.mp4", "other.mp4"}


def test_a_folder_that_is_not_writable_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("the superuser may write everywhere")
    with pytest.raises(UsageError, match="not writable"):
        copy(clips.video(tmp_path / "clip.mp4", frames=2), folder / "clean.mp4")


def test_overwriting_replaces_the_target_at_the_end(tmp_path: Path) -> None:
    source = clips.video(tmp_path / "clip.mp4", frames=4)
    target = tmp_path / "clean.mp4"
    target.write_text("old")
    with (
        VideoReader(source) as reader,
        VideoWriter(target, like=reader, settings=OutputSettings(overwrite=True)) as writer,
    ):
        for frame in reader:
            writer.write(frame)
            assert target.read_text() == "old"
    assert len(decoded(target)) == 4
    assert left_in(tmp_path) == {"clip.mp4", "clean.mp4"}


def test_a_result_is_on_disk_before_it_replaces_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = clips.video(tmp_path / "clip.mp4", frames=4), tmp_path / "clean.mp4"
    target.write_text("old")
    synced: list[tuple[int, int, str]] = []

    def fsync(descriptor: int) -> None:
        state = os.fstat(descriptor)
        synced.append((state.st_ino, state.st_size, target.read_text()))

    monkeypatch.setattr(os, "fsync", fsync)
    copy(source, target, overwrite=True)
    assert synced == [(target.stat().st_ino, target.stat().st_size, "old")]


@pytest.mark.parametrize("is_dangling", [False, True])
def test_a_link_is_followed_when_overwriting_and_refused_otherwise(tmp_path: Path, *, is_dangling: bool) -> None:
    source = clips.video(tmp_path / "clip.mp4", frames=4)
    folder, target = tmp_path / "disk", tmp_path / "clean.mp4"
    folder.mkdir()
    if not is_dangling:
        (folder / "real.mp4").write_text("old")
    target.symlink_to(Path("disk", "real.mp4"))
    with pytest.raises(UsageError, match=f"{target}: exists"):
        copy(source, target)
    with pytest.raises(KeyboardInterrupt):
        write_some(source, target, 2, KeyboardInterrupt, overwrite=True)
    assert left_in(folder) == (set() if is_dangling else {"real.mp4"})
    copy(source, target, overwrite=True)
    assert target.readlink() == Path("disk", "real.mp4")
    assert left_in(folder) == {"real.mp4"}
    assert left_in(tmp_path) == {"clip.mp4", "clean.mp4", "disk"}
    assert len(decoded(folder / "real.mp4")) == 4


def test_a_link_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    source, target = clips.video(tmp_path / "clip.mp4", frames=4), tmp_path / "clean.mp4"
    with pytest.raises(MediaError, match="exists by now"):  # noqa: SIM117
        with VideoReader(source) as reader, VideoWriter(target, like=reader) as writer:
            for frame in reader:
                writer.write(frame)
            target.symlink_to("nowhere.mp4")
    assert target.readlink() == Path("nowhere.mp4")


def test_a_target_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    source = clips.video(tmp_path / "clip.mp4", frames=4)
    target = tmp_path / "clean.mp4"
    with pytest.raises(MediaError, match="exists by now; the result is ") as caught:  # noqa: SIM117
        with VideoReader(source) as reader, VideoWriter(target, like=reader) as writer:
            for frame in reader:
                writer.write(frame)
            target.write_text("somebody else's")
    assert target.read_text() == "somebody else's"
    result = Path(str(caught.value).rpartition(" ")[2])
    assert left_in(tmp_path) == {"clip.mp4", "clean.mp4", result.name}
    assert len(decoded(result)) == 4


def test_a_result_that_cannot_get_its_name_is_kept_under_another(tmp_path: Path) -> None:
    source, target = clips.video(tmp_path / "clip.mp4", frames=4), tmp_path / "clean.mp4"
    settings = OutputSettings(overwrite=True)
    with pytest.raises(MediaError, match="is a directory; the result is ") as caught:  # noqa: SIM117
        with VideoReader(source) as reader, VideoWriter(target, like=reader, settings=settings) as writer:
            for frame in reader:
                writer.write(frame)
            target.mkdir()
    result = Path(str(caught.value).rpartition(" ")[2])
    assert left_in(tmp_path) == {"clip.mp4", "clean.mp4", result.name}
    assert len(decoded(result)) == 4


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_breaking_off_leaves_nothing(tmp_path: Path, suffix: str, error: type[BaseException]) -> None:
    source = clips.with_sound(tmp_path / "clip.mp4")
    with pytest.raises(error):
        write_some(source, tmp_path / f"clean{suffix}", 30, error)
    assert left_in(tmp_path) == {"clip.mp4"}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_partial_file_that_is_kept_can_be_played(tmp_path: Path, suffix: str) -> None:
    source = clips.with_sound(tmp_path / "clip.mp4")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            write_some(source, tmp_path / f"clean{suffix}", 30, KeyboardInterrupt, keep_partial=True)
    assert left_in(tmp_path) == {"clip.mp4", f"clean.partial{suffix}"}
    assert len(decoded(tmp_path / f"clean.partial{suffix}")) == 30
    sound = clips.packets(tmp_path / f"clean.partial{suffix}", 1)
    assert 40 < len(sound) < 70


def write_some(source: Path, target: Path, count: int, error: type[BaseException], **settings: object) -> None:
    with (
        VideoReader(source) as reader,
        VideoWriter(target, like=reader, settings=OutputSettings(**settings)) as writer,
    ):
        for index, frame in enumerate(reader):
            if index == count:
                raise error
            writer.write(frame)


def test_no_frame_is_no_success(tmp_path: Path) -> None:
    source = clips.video(tmp_path / "clip.mp4", frames=4)
    with pytest.raises(MediaError, match="no frame"), VideoReader(source) as reader, VideoWriter(
        tmp_path / "clean.mp4", like=reader
    ):  # fmt: skip
        pass
    assert left_in(tmp_path) == {"clip.mp4"}


@pytest.mark.parametrize(
    ("start", "end", "message"), [(None, 0.5, "no picture before 0.5 s"), (0.2, 0.7, "no picture from 0.2 s to 0.7 s")]
)
def test_a_range_without_a_picture_is_a_fault_of_the_source(
    tmp_path: Path, start: float | None, end: float, message: str
) -> None:
    plain = clips.with_sound(tmp_path / "plain.mp4")
    source = tmp_path / "clip.mkv"
    clips.ffmpeg("-itsoffset", 1, "-i", plain, "-i", plain, "-map", "0:v", "-map", "1:a", "-c", "copy", source)
    with pytest.raises(MediaError) as caught:
        copy(source, tmp_path / "clean.mkv", start=start, end=end)
    assert str(caught.value) == f"{source}: {message}"
    assert left_in(tmp_path) == {"plain.mp4", "clip.mkv"}


def test_a_frame_that_cannot_be_encoded_is_one_line(tmp_path: Path) -> None:
    source = clips.video(tmp_path / "clip.mp4", frames=4)
    with pytest.raises(MediaError) as caught, VideoReader(source) as reader, VideoWriter(
        tmp_path / "clean.mp4", like=reader
    ) as writer:  # fmt: skip
        frame = next(iter(reader))
        writer.write(Frame(av.VideoFrame(0, 0, "yuv420p"), frame.pts, frame.time_base))
    assert str(caught.value).startswith(str(tmp_path / "clean.mp4"))
    assert "\n" not in str(caught.value)
    assert left_in(tmp_path) == {"clip.mp4"}


FULL_DISK = """
import resource, sys
from tests.test_writer import copy
from pathlib import Path
source, target = map(Path, sys.argv[1:3])
for limit in map(int, sys.argv[3:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        copy(source, target, codec_options={"preset": "ultrafast"})
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    source = clips.with_sound(tmp_path / "clip.mp4")
    target = tmp_path / "out" / f"clean{suffix}"
    target.parent.mkdir()
    copy(source, target, codec_options=FAST)
    size = target.stat().st_size
    target.unlink()
    limits = [size - missing for missing in (1, 10, 100, 2000, 20_000, size - 100)]
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(source), str(target), *map(str, limits)],
        check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert result.stdout == f"MediaError {target}: file too large\n" * len(limits)
    assert result.stderr == ""
    assert left_in(target.parent) == set()


NOISY = """
import sys
from tests.test_writer import copy
from pathlib import Path
for codec in ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1"):
    copy(Path(sys.argv[1]), Path(sys.argv[2]), codec=codec, overwrite=True)
"""


def test_ffmpeg_and_its_encoders_stay_silent(tmp_path: Path) -> None:
    source = clips.damaged(clips.with_sound(tmp_path / "whole.mp4"), tmp_path / "clip.mp4", at=0.4)
    result = subprocess.run(
        [sys.executable, "-c", NOISY, str(source), str(tmp_path / "clean.mkv")],
        check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert (result.stdout, result.stderr) == ("", "")


def test_memory_and_descriptors_do_not_grow(tmp_path: Path) -> None:
    source = clips.with_sound(tmp_path / "clip.mp4", seconds=0.4)
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("counts file descriptors the Linux way")

    def work(count: int) -> None:
        for _ in range(count):
            copy(source, tmp_path / "clean.mp4", overwrite=True, codec_options=FAST)

    work(10)
    opened, memory = len(list(descriptors.iterdir())), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work(40)
    assert len(list(descriptors.iterdir())) <= opened
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 40_000


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
