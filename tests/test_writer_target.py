"""Targets: refused before the work, whole or not there at all, never in the place of another file."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import av
import pytest

from nerdrain_rt.errors import MediaError, UsageError
from nerdrain_rt.frame import Frame
from nerdrain_rt.media import OutputSettings, VideoReader, VideoWriter
from tests import clips
from tests.copies import FAST, copy, decoded, left_in


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("clean.mp4", {"codec": "nonsense"}, "'nonsense' is no video encoder here; mp4 takes libx264"),
        ("clean.mp4", {"codec": "aac"}, "'aac' is no video encoder"),
        ("clean.webm", {"codec": "libx264"}, "webm cannot hold libx264; webm takes libsvtav1, libvpx-vp9"),
        ("clean.ts", {"codec": "ffv1"}, "mpegts cannot hold ffv1; mpegts takes libx264, libx265, mpeg4$"),
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


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    source = clips.video(tmp_path / "clip.mp4", frames=2)
    code = """
import sys; from pathlib import Path; from nerdrain_rt.media.target import temporary_beside
for name in sys.argv[2:]: temporary_beside(Path(name), source=Path(sys.argv[1]), overwrite=False).touch()
"""
    targets = [tmp_path / name for name in ("clean.mp4", "clean [1].mp4", "clean.mkv")]
    subprocess.run([sys.executable, "-c", code, source, *targets], check=True, cwd=Path(__file__).parents[1])
    others = [".clean.01234567-1-89ab.partial.mp4", ".clean.0123abcd.partial.mp4"]
    for name in others:
        (tmp_path / name).touch()
    assert len(left_in(tmp_path)) == 6

    for target in targets:
        copy(source, target)

    assert left_in(tmp_path) == {"clip.mp4", *others, *(target.name for target in targets)}


def test_what_another_run_is_writing_is_left_alone(tmp_path: Path) -> None:
    source, target = clips.video(tmp_path / "clip.mp4", frames=4), tmp_path / "clean.mp4"
    with VideoReader(source) as reader, VideoWriter(target, like=reader) as writer:
        for frame in reader:
            writer.write(frame)
        (partial,) = tmp_path.glob(".clean.*.partial.mp4")
        with VideoReader(source) as again, pytest.raises(MediaError), VideoWriter(target, like=again):
            assert partial.exists()
    assert left_in(tmp_path) == {"clip.mp4", "clean.mp4"}


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
from tests.copies import copy
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
from tests.copies import copy
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
