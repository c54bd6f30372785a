"""Writing: the times of frames and what the video says of itself survive."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.sidedata.sidedata import Type

from nerdrain_rt.media.picture_copies import PictureCopies
from nerdrain_rt.media.tags import PictureTags
from tests import clips
from tests.copies import copy, decoded, probe, times


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
