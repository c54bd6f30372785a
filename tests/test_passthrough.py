"""Everything that is not the derained video: kept, re-encoded where it must be, or reported lost."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from nerdrain_rt.media import OutputSettings, StreamReport, VideoReader, VideoWriter, passthrough
from nerdrain_rt.media.passthrough import later_timecode
from nerdrain_rt.media.source import read_packets
from tests import clips

FAST = {"preset": "ultrafast"}


def copy(source: Path, target: Path, *, start: float | None = None, end: float | None = None, **settings: object):
    """Source to target without deraining; the writer, for its report."""
    settings.setdefault("codec_options", FAST if target.suffix != ".webm" else {})
    with (
        VideoReader(source, start=start, end=end) as reader,
        VideoWriter(target, like=reader, settings=OutputSettings(**settings)) as writer,
    ):
        for frame in reader:
            writer.write(frame)
    return writer


def actions(writer: VideoWriter) -> list[tuple[str, str, str]]:
    assert [entry.index for entry in writer.report] == list(range(len(writer.report)))
    return [(entry.type, entry.codec, entry.action) for entry in writer.report]


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.rich_mkv(tmp_path_factory.mktemp("rich") / "rich.mkv")


def test_matroska_keeps_everything(rich: Path, tmp_path: Path) -> None:
    target = tmp_path / "clean.mkv"
    writer = copy(rich, target)
    assert actions(writer) == [
        ("audio", "aac", "copied"),
        ("video", "h264", "derained"),
        ("audio", "ac3", "copied"),
        ("subtitle", "subrip", "copied"),
        ("attachment", "application/x-truetype-font", "copied"),
        ("video", "png", "copied"),
    ]
    assert not writer.warnings
    for index in (0, 2, 3, 5):
        assert clips.packets(target, index) == clips.packets(rich, index)
    with av.open(str(rich)) as before, av.open(str(target)) as after:
        assert after.metadata["title"] == "A rainy day"
        assert after.metadata["AUTHOR"] == "Jörg"
        assert [c["metadata"]["title"] for c in after.chapters()] == ["Start", "Rest"]
        assert [(c["start"], c["end"]) for c in after.chapters()] == [(c["start"], c["end"]) for c in before.chapters()]
        assert [s.disposition for s in after.streams] == [s.disposition for s in before.streams]
        assert [s.language for s in after.streams] == [s.language for s in before.streams]
        assert [s.start_time for s in after.streams][:3] == [s.start_time for s in before.streams][:3]
        assert after.streams[2].metadata["title"] == "Commentary"
        assert after.streams[4].data == clips.FONT
        assert after.streams[4].metadata == before.streams[4].metadata
        assert "libx264" not in str(after.streams[1].metadata)


def test_a_cover_is_found_again_in_a_file_with_a_colon(
    rich: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy(rich, Path("12:30.mkv"))
    writer = copy(Path("12:30.mkv"), Path("concat:clean.mkv"))
    assert actions(writer)[5] == ("video", "png", "copied")
    assert not writer.warnings


def test_mp4_keeps_what_it_can_and_tells_the_rest(rich: Path, tmp_path: Path) -> None:
    target = tmp_path / "clean.mp4"
    writer = copy(rich, target)
    assert writer.report[3] == StreamReport(3, "subtitle", "subrip", "reencoded", "to mov_text: mp4 cannot hold subrip")
    assert writer.report[4].action == "dropped"
    assert writer.report[4].reason == "mp4 cannot hold it"
    assert writer.report[5] == StreamReport(5, "video", "png", "copied", None)
    assert any("AUTHOR" in line for line in writer.warnings)
    assert [data for _, data in clips.packets(target, 0)] == [data for _, data in clips.packets(rich, 0)]
    with av.open(str(target)) as after:
        assert after.metadata["title"] == "A rainy day"
        assert [c["metadata"]["title"] for c in after.chapters()] == ["Start", "Rest"]
        covers = [s for s in after.streams.video if s.disposition & Disposition.attached_pic]
        assert [bytes(p) for p in after.demux(covers) if p.size] == [clips.packets(rich, 5)[0][1]]
        assert after.streams[0].language == "ger"
    words = [data[2:] for _, data in clips.packets(target, 3) if len(data) > 2]
    assert words[0].startswith(b"The first words")
    assert words[1] == b"the second"


def test_mp4_chapters_are_not_doubled_in_a_second_pass(rich: Path, tmp_path: Path) -> None:
    copy(rich, tmp_path / "one.mp4")
    writer = copy(tmp_path / "one.mp4", tmp_path / "two.mp4")
    assert ("data", "bin_data", "copied") in actions(writer)
    with av.open(str(tmp_path / "one.mp4")) as one, av.open(str(tmp_path / "two.mp4")) as two:
        assert [s.type for s in two.streams] == [s.type for s in one.streams]
        assert len(two.chapters()) == 2


def test_subtitles_go_from_mp4_to_matroska(rich: Path, tmp_path: Path) -> None:
    copy(rich, tmp_path / "clean.mp4")
    writer = copy(tmp_path / "clean.mp4", tmp_path / "back.mkv")
    entry = next(entry for entry in writer.report if entry.type == "subtitle")
    assert (entry.codec, entry.action) == ("mov_text", "reencoded")
    with av.open(str(tmp_path / "back.mkv")) as container:
        index = container.streams.subtitles[0].index
    times = [seconds for seconds, _ in clips.packets(tmp_path / "back.mkv", index)]
    assert times == pytest.approx([0.2, 0.95], abs=0.025)


def test_webm_gets_its_own_codecs(rich: Path, tmp_path: Path) -> None:
    writer = copy(rich, tmp_path / "clean.webm")
    assert [entry.action for entry in writer.report] == [
        "reencoded", "derained", "reencoded", "reencoded", "dropped", "dropped",
    ]  # fmt: skip
    assert writer.report[0].reason == "to libopus: webm cannot hold aac"
    with av.open(str(tmp_path / "clean.webm")) as container:
        assert [stream.codec_context.name for stream in container.streams.audio] == ["opus", "opus"]
        assert [stream.language for stream in container.streams.audio] == ["ger", "fre"]
        sound = list(container.decode(container.streams.audio[0]))
        assert sum(frame.samples for frame in sound) / 48000 == pytest.approx(2, abs=0.05)


def test_reencoded_surround_sound_keeps_its_channels(tmp_path: Path) -> None:
    source = clips.with_sound(tmp_path / "clip.mkv", sound="ac3", video_options=("-ac", 6))
    copy(source, tmp_path / "clean.webm")
    with av.open(str(tmp_path / "clean.webm")) as container:
        assert container.streams.audio[0].codec_context.channels == 6


@pytest.mark.parametrize(("before", "after"), [(".ts", ".ts"), (".mkv", ".mkv"), (".mkv", ".mp4")])
def test_offsets_between_streams_are_kept(tmp_path: Path, before: str, after: str) -> None:
    late = ("-itsoffset", 3) if before == ".mkv" else ()
    source, target = tmp_path / f"clip{before}", tmp_path / f"clean{after}"
    plain = clips.with_sound(tmp_path / "plain.mp4")
    clips.ffmpeg("-i", plain, *late, "-i", plain, "-map", "0:v", "-map", "1:a", "-c", "copy", source)
    copy(source, target)
    assert starts(target) == pytest.approx(starts(source), abs=0.002)


@pytest.mark.parametrize("after", [".mp4", ".mkv"])
@pytest.mark.parametrize("before", [".ts", ".mpg"])
def test_a_clock_that_begins_anywhere_begins_at_0_elsewhere(tmp_path: Path, before: str, after: str) -> None:
    source, target = tmp_path / f"clip{before}", tmp_path / f"clean{after}"
    plain = clips.with_sound(tmp_path / "plain.mp4")
    codecs = ("-c:v", "mpeg2video", "-c:a", "mp2") if before == ".mpg" else ("-c", "copy")
    clips.ffmpeg("-i", plain, *codecs, "-output_ts_offset", 1000, source)
    assert min(starts(source)) > 999
    assert copy(source, target).warnings == []
    began = min(starts(source))
    assert starts(target) == pytest.approx([start - began for start in starts(source)], abs=0.002)
    for stream in (0, 1):
        assert len(clips.packets(target, stream)) == len(clips.packets(source, stream))


def starts(path: Path) -> list[float]:
    """When each stream begins, in seconds."""
    with av.open(str(path)) as container:
        return [float(stream.start_time * stream.time_base) for stream in container.streams]


def moments(path: Path) -> dict[str, list[float]]:
    """The times of each stream's packets, in presentation order."""
    with av.open(str(path)) as container:
        kinds = [stream.type for stream in container.streams]
    return {kind: sorted(time for time, _ in clips.packets(path, index)) for index, kind in enumerate(kinds)}


def heard(path: Path) -> float:
    """When the tone begins, in seconds after the first picture."""
    with av.open(str(path)) as container:
        first = next(container.decode(container.streams.video[0])).time
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.audio[0]):
            loud = np.flatnonzero(abs(frame.to_ndarray()[0]) > 0.05)
            if len(loud):
                return frame.time + loud[0] / frame.sample_rate - first
    raise AssertionError(f"{path}: silence")


def test_aac_priming_shifts_nothing(tmp_path: Path) -> None:
    source = clips.with_sound(tmp_path / "clip.mp4")
    assert moments(source)["audio"][0] < -0.02
    before = source
    for name in ("clean.mp4", "clean.mov", "clean.mkv", "again.mkv", "back.mp4"):
        target = tmp_path / name
        writer = copy(before, target)
        assert not writer.warnings
        assert moments(target)["video"] == pytest.approx(moments(source)["video"], abs=0.001)
        assert moments(target)["audio"] == pytest.approx(moments(source)["audio"], abs=0.001)
        assert heard(target) == pytest.approx(heard(source), abs=0.002)
        before = target
    assert copy(source, tmp_path / "clean.webm").warnings == []
    assert moments(tmp_path / "clean.webm")["video"] == moments(tmp_path / "clean.mkv")["video"]


def test_sound_before_the_pictures_stays_there_in_matroska(tmp_path: Path) -> None:
    plain, source = clips.with_sound(tmp_path / "plain.mov", sound="pcm_s16le", seconds=4), tmp_path / "early.mov"
    with av.open(str(plain)) as before, av.open(str(source), "w") as early:
        streams = [early.add_stream_from_template(stream) for stream in before.streams]
        for packet in before.demux():
            if packet.size:
                if packet.stream.type == "audio":
                    packet.pts = packet.dts = packet.pts - round(1 / packet.time_base)
                packet.stream = streams[packet.stream.index]
                early.mux(packet)
    assert moments(source)["audio"][0] == pytest.approx(-1, abs=0.03)
    writer = copy(source, tmp_path / "clean.mkv")
    assert not writer.warnings
    for kind, times in moments(source).items():
        assert moments(tmp_path / "clean.mkv")[kind] == pytest.approx(times, abs=0.002)


@pytest.mark.parametrize("suffix", [".ts", ".avi"])
def test_what_cannot_hold_early_times_says_so_and_stays_in_step(tmp_path: Path, suffix: str) -> None:
    source = clips.with_sound(tmp_path / "clip.mp4")
    writer = copy(source, tmp_path / f"clean{suffix}")
    assert [line for line in writer.warnings if "before time 0" in line]
    if suffix != ".avi":  # its times are whole frames
        assert heard(tmp_path / f"clean{suffix}") == pytest.approx(heard(source), abs=0.002)
    trimmed = copy(source, tmp_path / f"trimmed{suffix}", start=0.4)
    assert not [line for line in trimmed.warnings if "before time 0" in line]


def test_what_begins_at_0_is_not_said_to_begin_before_it(tmp_path: Path) -> None:
    source = clips.with_sound(tmp_path / "clip.ts")  # at a time that is no whole number of microseconds
    writer = copy(source, tmp_path / "clean.avi")
    assert not [line for line in writer.warnings if "before time 0" in line]


def test_a_trimmed_file_starts_at_zero_with_everything_shifted(rich: Path, tmp_path: Path) -> None:
    target = tmp_path / "clean.mkv"
    writer = copy(rich, target, start=0.6, end=1.5)
    assert writer.frames_written == 22
    with av.open(str(target)) as container:
        first = next(container.decode(container.streams.video[0]))
        assert first.time == 0
        chapters = [
            (float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"])) for c in container.chapters()
        ]
        assert chapters == [pytest.approx((0, 0.196), abs=0.002), pytest.approx((0.196, 0.896), abs=0.002)]
    words = clips.packets(target, 3)
    assert [seconds for seconds, _ in words] == pytest.approx([0, 0.367], abs=0.002)
    sound = clips.packets(target, 0)
    originals = [(seconds, data) for seconds, data in clips.packets(rich, 0) if 0.604 <= seconds < 1.5]
    assert [data for _, data in sound] == [data for _, data in originals]
    assert [seconds for seconds, _ in sound] == pytest.approx([seconds - 0.604 for seconds, _ in originals], abs=0.002)
    assert clips.packets(target, 5) == clips.packets(rich, 5)


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".ts"])
def test_a_part_near_the_beginning_is_whole_and_nothing_is_said(tmp_path: Path, suffix: str) -> None:
    source = clips.with_sound(tmp_path / f"source{suffix}", sound="mp3", seconds=5)

    writer = copy(source, tmp_path / "part.mkv", start=2, end=4)

    assert not [line for line in writer.warnings if "seek" in line]
    sound = moments(tmp_path / "part.mkv")["audio"]
    assert sound[0] < 0.1
    assert sound[-1] > 1.9


def test_an_end_alone_shifts_nothing(rich: Path, tmp_path: Path) -> None:
    target = tmp_path / "clean.mkv"
    copy(rich, target, end=1)
    with av.open(str(target)) as container:
        first = next(container.decode(container.streams.video[0]))
        assert first.time == pytest.approx(0.021)
    assert [s for s, _ in clips.packets(target, 0)] == [s for s, _ in clips.packets(rich, 0) if s < 1]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("sound", [("-map", "1"), ()], ids=["sound", "silent"])
def test_what_lies_far_behind_the_end_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, sound: tuple[str, ...]
) -> None:
    words = tmp_path / "words.srt"
    words.write_text("1\n00:00:00,200 --> 00:00:05,000\nfirst\n\n2\n00:00:29,000 --> 00:00:29,500\nlast\n")
    source, target = tmp_path / f"long{suffix}", tmp_path / f"clean{suffix}"
    clips.ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=128x96:r=5:d=30", "-f", "lavfi", "-i", "sine=440:d=30", "-i", words),
        *("-map", 0, *sound, "-map", 2, "-c:v", "libx264", "-c:s", "mov_text" if suffix == ".mp4" else "srt", source),
    )
    latest = 0.0

    def watched(*arguments: object) -> Iterator[av.Packet]:
        nonlocal latest
        for packet in read_packets(*arguments):
            latest = max(latest, float((packet.pts or 0) * packet.time_base) if packet.size else 30)
            yield packet

    monkeypatch.setattr(passthrough, "read_packets", watched)
    copy(source, target, end=1)
    assert 1 < latest < 20
    for index in range(1, 2 + bool(sound)):
        wanted = [packet for packet in clips.packets(source, index) if packet[0] < 1]
        assert clips.packets(target, index)[: len(wanted)] == wanted


def gopro() -> Path:
    path = clips.SHARED / "gopro_walk.mp4"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside the repository")
    return path


def test_telemetry_and_timecode_of_a_camera_are_kept(tmp_path: Path) -> None:
    source, target = gopro(), tmp_path / "clean.mp4"
    writer = copy(source, target, end=1.5)
    assert writer.report == (
        StreamReport(0, "video", "h264", "derained", "encoded by libx264"),
        StreamReport(1, "audio", "aac", "copied", None),
        StreamReport(2, "data", "unknown", "copied", "written again from its timecode tag"),
        StreamReport(3, "data", "bin_data", "copied", None),
        StreamReport(4, "data", "unknown", "dropped", "mp4 cannot hold it"),
    )
    telemetry = clips.packets(target, 2)
    assert telemetry == clips.packets(source, 3)[: len(telemetry)]
    assert len(telemetry) == 2
    with av.open(str(source)) as before, av.open(str(target)) as after:
        assert after.streams[3].metadata["timecode"] == "15:44:35:10"
        for key in ("creation_time", "location", "firmware"):
            assert after.metadata[key] == before.metadata[key]
        for key in ("creation_time", "language"):
            assert after.streams[0].metadata[key] == before.streams[0].metadata[key]


def test_a_trimmed_timecode_moves_on(tmp_path: Path) -> None:
    target = tmp_path / "clean.mp4"
    copy(gopro(), target, start=3.3, end=4)
    with av.open(str(target)) as container:
        assert container.streams[-1].metadata["timecode"] == "15:44:38:19"


@pytest.mark.parametrize(
    ("timecode", "seconds", "rate", "expected"),
    [
        ("00:00:00:00", Fraction(0), Fraction(25), "00:00:00:00"),
        ("00:00:59:24", Fraction(1, 25), Fraction(25), "00:01:00:00"),
        ("23:59:59:29", Fraction(1001, 30000), Fraction(30000, 1001), "00:00:00:00"),
        ("01:00:00;02", Fraction(1), Fraction(30000, 1001), None),
    ],
)
def test_timecodes_count_frames(timecode: str, seconds: Fraction, rate: Fraction, expected: str | None) -> None:
    assert later_timecode(timecode, seconds, rate) == expected


def test_a_second_video_is_copied(tmp_path: Path) -> None:
    small = clips.video(tmp_path / "small.mp4", size=(48, 64))
    large = clips.video(tmp_path / "large.mp4", size=(96, 128))
    source, target = tmp_path / "both.mp4", tmp_path / "clean.mp4"
    clips.ffmpeg("-i", large, "-i", small, "-map", 0, "-map", 1, "-c", "copy", "-disposition:v:0", "default", source)
    writer = copy(source, target)
    assert sorted(entry.action for entry in writer.report) == ["copied", "derained"]
    copied = next(entry for entry in writer.report if entry.action == "copied")
    assert copied.reason == "only one video stream is derained"
    assert clips.packets(target, copied.index) == clips.packets(source, copied.index)


def test_damaged_sound_does_not_stop_the_video(tmp_path: Path) -> None:
    source = clips.with_sound(tmp_path / "clip.ts", seconds=4)
    path = clips.damaged(source, tmp_path / "hurt.ts", length=6000)
    writer = copy(path, tmp_path / "clean.mp4")
    assert writer.frames_written > 50
    sound = [seconds for seconds, _ in clips.packets(tmp_path / "clean.mp4", 1)]
    assert len(sound) > 100
    assert sound == sorted(sound)


@pytest.mark.parametrize(("suffix", "parts"), [(".mkv", 2), (".mp4", 2), (".ts", 3), (".webm", 2)])
def test_sound_of_joined_files_stays_with_its_pictures(tmp_path: Path, suffix: str, parts: int) -> None:
    one, source, target = clips.with_sound(tmp_path / "one.ts"), tmp_path / "joined.ts", tmp_path / f"clean{suffix}"
    source.write_bytes(parts * one.read_bytes())
    writer = copy(source, target)
    assert [line for line in writer.warnings if "times begin again" in line]
    part, whole = moments(one), moments(target)
    assert len(whole["video"]) == 50 * parts
    assert whole["audio"][-1] - whole["video"][-1] == pytest.approx(part["audio"][-1] - part["video"][-1], abs=0.03)
    for before, after in zip(whole["audio"], whole["audio"][1:], strict=False):
        assert after - before < 0.03


def test_an_end_in_the_second_of_joined_files_cuts_both_alike(tmp_path: Path) -> None:
    one, source, target = clips.with_sound(tmp_path / "one.ts"), tmp_path / "joined.ts", tmp_path / "clean.mkv"
    source.write_bytes(2 * one.read_bytes())
    copy(source, target, end=3)
    whole = moments(target)
    assert whole["video"][-1] == pytest.approx(whole["audio"][-1], abs=0.05)
    assert whole["audio"][-1] - whole["audio"][0] == pytest.approx(3, abs=0.05)


@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
def test_sound_finer_than_the_clock_is_not_drawn_out(tmp_path: Path, suffix: str) -> None:
    options = ("-ar", 48_000, "-strict", -2)
    source = clips.with_sound(tmp_path / "clip.mkv", sound="truehd", video_options=options)
    writer = copy(source, tmp_path / f"clean{suffix}")
    assert ("audio", "truehd", "copied") in actions(writer)
    before, after = moments(source)["audio"], moments(tmp_path / f"clean{suffix}")["audio"]
    assert len(set(before)) < len(before)
    assert after == pytest.approx(before, abs=0.001)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_lies_beside_its_pictures_in_the_file(tmp_path: Path, suffix: str) -> None:
    source = clips.with_sound(tmp_path / "clip.mp4", seconds=6)
    copy(source, tmp_path / f"clean{suffix}")
    with av.open(str(tmp_path / f"clean{suffix}")) as container:
        packets = [(p.pos, float(p.dts * p.time_base), p.stream.type) for p in container.demux() if p.size]
    latest = {"video": 0.0, "audio": 0.0}
    for _, seconds, kind in sorted(packets):
        latest[kind] = seconds
        assert abs(latest["video"] - latest["audio"]) < 1.5


def test_mp4_tags_without_a_place_are_kept_as_keys(tmp_path: Path) -> None:
    source = clips.video(tmp_path / "clip.mkv", metadata={"camera": "front", "title": "Rain"}, frames=3)
    copy(source, tmp_path / "clean.mp4")
    with av.open(str(tmp_path / "clean.mp4")) as container:
        assert {key.lower(): value for key, value in container.metadata.items()}["camera"] == "front"
        assert container.metadata["title"] == "Rain"


@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
def test_what_a_container_does_not_name_is_not_kept_there(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"clean{suffix}"
    settings = {"codec": "mpeg2video", "codec_options": {}} if suffix == ".mpg" else {}
    writer = copy(clips.rich_mkv(tmp_path / "rich.mkv"), target, **settings)
    with av.open(str(target)) as container:
        named = {stream.type for stream in container.streams if stream.codec_context is not None}
        assert {stream.type for stream in container.streams} == named <= {"video", "audio"}
    assert all(stream.action != "copied" for stream in writer.report if stream.type == "subtitle")
    assert any("cannot hold chapters" in warning for warning in writer.warnings)


@pytest.mark.parametrize("has_index", [True, False], ids=["index", "blocks"])
def test_positions_of_dashcams_are_told_to_be_lost(tmp_path: Path, has_index: bool) -> None:
    source = clips.video(tmp_path / "novatek.mp4", frames=3)
    content = source.read_bytes()
    block = b"\x00\x00\x00\x20freefreeGPS " + 16 * b"x"
    if has_index:
        moov = content.index(b"moov") - 4
        size = int.from_bytes(content[moov : moov + 4], "big")
        index = b"\x00\x00\x00\x10gps " + 8 * b"\x00"
        content = content[:moov] + (size + 16).to_bytes(4, "big") + content[moov + 4 : moov + size] + index
    else:
        content += block
    source.write_bytes(content)
    assert any("positions (GPS) are lost" in warning for warning in copy(source, tmp_path / "clean.mp4").warnings)
    plain = clips.video(tmp_path / "plain.mp4", frames=3)
    assert not copy(plain, tmp_path / "other.mp4").warnings
