"""Sinks on real files and sockets: recordings play whatever ends them, streams arrive, and faults are one line."""

import io
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange

from nerdrain_rt.errors import CameraError, MediaError, UsageError
from nerdrain_rt.live import LiveSettings, Sinks
from nerdrain_rt.media import stream_sink, virtual_camera
from nerdrain_rt.media.live_source import LiveSourceSettings, open_source
from nerdrain_rt.media.paced_file import PacedFile
from nerdrain_rt.media.picture_copies import beside
from nerdrain_rt.media.sinks import EncoderSettings, Recording, SinkInput, StreamSink, VirtualCamera, open_sink
from nerdrain_rt.media.sound_track import COPIED
from nerdrain_rt.pipeline import derain_live
from tests import clips
from tests.live_parts import PATIENCE_SECONDS, FrameSource, KeepingSink, make_derainer, serving, until

TEST = LiveSourceSettings(size=(48, 64), rate=Fraction(25))
SILENT = LiveSourceSettings(size=(48, 64), rate=Fraction(25), has_sound=False)


def feed(sink, source: FrameSource) -> None:
    """Every frame of the source into the sink, in this thread."""
    with source:
        sink.open(SinkInput(source.info, source.sound))
        for frame in source:
            sink.write(frame)
        sink.close()


def times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def sizes(path: Path) -> list[tuple[int, int]]:
    with av.open(str(path)) as container:
        return [(frame.height, frame.width) for frame in container.decode(video=0)]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".ts"])
def test_a_recording_has_every_frame_at_its_time(tmp_path, suffix):
    path = tmp_path / f"rec{suffix}"
    feed(Recording(path), FrameSource(12, size=(48, 64)))
    assert len(times(path)) == 12
    assert np.diff(times(path)) == pytest.approx([0.04] * 11, abs=0.0011)


def test_frames_are_not_changed_by_a_sink(tmp_path):
    with FrameSource(1, size=(48, 64)) as source:
        frame = next(iter(source))
        before = frame.picture.pts, frame.picture.time_base, frame.picture.pict_type, bytes(frame.picture.planes[0])
        for name in ("a.mkv", "b.mp4"):
            sink = Recording(tmp_path / name)
            sink.open(SinkInput(source.info, None))
            sink.write(frame)
            sink.close()
    picture = frame.picture
    assert (picture.pts, picture.time_base, picture.pict_type, bytes(picture.planes[0])) == before


@pytest.mark.parametrize("pixel_format", ["yuvj422p", "rgb24", "yuv420p10le", "gray"])
def test_any_format_becomes_one_that_every_player_shows(tmp_path, pixel_format):
    path = tmp_path / "rec.mp4"
    original = clips.picture(3, (48, 64), pixel_format)
    with FrameSource(1, size=(48, 64)) as source:
        frame = next(iter(source))
        object.__setattr__(frame, "picture", original)
        sink = Recording(path, encoder=EncoderSettings(options={"crf": "1"}))
        sink.open(SinkInput(source.info, None))
        sink.write(frame)
        sink.close()
    with av.open(str(path)) as container:
        (shown,) = container.decode(video=0)
        assert shown.format.name == "yuv420p"
        error = np.abs(shown.to_ndarray(format="gray").astype(int) - original.to_ndarray(format="gray"))
    assert error.mean() < 3


def test_a_recording_is_stamped_with_the_time_of_day(tmp_path):
    path = tmp_path / "rec.mkv"
    before = time.time()
    feed(Recording(path), FrameSource(2))
    with av.open(str(path)) as container:
        stamp = container.metadata["creation_time"]
    recorded = time.mktime(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
    assert before - 2 <= recorded <= time.time() + 2


def test_segments_have_all_frames_between_them_and_begin_at_zero(tmp_path):
    recording = Recording(tmp_path / "rec.mp4", segment_seconds=1)
    feed(recording, FrameSource(75, size=(48, 64)))
    assert len(recording.files) == 3
    assert sorted(tmp_path.iterdir()) == sorted(recording.files)
    assert all(file.name.startswith("rec_2") for file in recording.files)
    assert [len(times(file)) for file in recording.files] == [25, 25, 25]
    assert [times(file)[0] for file in recording.files] == [0, 0, 0]


def test_another_size_begins_another_file(tmp_path):
    recording = Recording(tmp_path / "rec.mkv")
    feed(recording, FrameSource(10, sizes=[(48, 64), (64, 96)]))
    first, second = recording.files
    assert first == tmp_path / "rec.mkv"
    assert (sizes(first), sizes(second)) == ([(48, 64)] * 5, [(64, 96)] * 5)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_picture_is_recorded_upright(tmp_path, rotation):
    clip = clips.video(tmp_path / "a.mkv", size=(48, 96), frames=1, codec="ffv1", rotation=rotation)
    target = tmp_path / "rec.mkv"
    with PacedFile(clip) as source:
        assert source.info.rotation == rotation
        recording = Recording(target, encoder=EncoderSettings(options={"crf": "1"}))
        list(derain_live(source, make_derainer(strength=0), [recording]))
    (stored,), (shown,) = (list(av.open(str(path)).decode(video=0)) for path in (clip, target))
    wanted = np.rot90(stored.to_ndarray(format="gray"), rotation // 90)
    assert np.abs(shown.to_ndarray(format="gray").astype(int) - wanted).mean() < 3
    assert shown.rotation == 0


@pytest.mark.parametrize(
    ("suffix", "rotation", "told"), [(".mkv", 0, (12, 11)), (".mp4", 0, (12, 11)), (".ts", 90, (11, 12))]
)
def test_a_recording_has_the_shape_of_its_source(tmp_path, suffix, rotation, told):
    clip = clips.video(
        tmp_path / "a.mp4", size=(48, 96), frames=2, rotation=rotation, sample_aspect_ratio=Fraction(12, 11)
    )
    target = tmp_path / f"rec{suffix}"
    with PacedFile(clip) as source:
        list(derain_live(source, make_derainer(strength=0), [Recording(target)]))
    with av.open(str(target)) as container:
        next(container.decode(video=0))
        assert container.streams.video[0].sample_aspect_ratio == Fraction(*told)


def test_turned_pictures_stand_beside_each_other(tmp_path):
    clip = clips.video(tmp_path / "a.mkv", size=(48, 96), frames=2, codec="ffv1", rotation=90)
    with PacedFile(clip) as source:
        recording = Recording(tmp_path / "rec.mkv")
        list(derain_live(source, make_derainer(), [recording], settings=LiveSettings(side_by_side=True)))
    assert sizes(tmp_path / "rec.mkv")[0] == (96, 96)


@pytest.mark.parametrize("pixel_format", ["yuvj422p", "gray", "rgb24"])
def test_pictures_of_any_format_stand_beside_each_other(pixel_format):
    picture = clips.picture(1, (48, 64), pixel_format)
    both = beside(picture, picture)
    assert (both.format.name, both.height, both.width) == ("yuv420p", 48, 128)
    assert both.color_range == ColorRange.MPEG
    shown = both.to_ndarray(format="gray").astype(int)
    assert np.abs(shown[:, :64] - picture.to_ndarray(format="gray")).mean() < 3
    assert (shown[:, :64] == shown[:, 64:]).all()


def test_odd_sizes_are_made_even(tmp_path):
    feed(Recording(tmp_path / "rec.mp4"), FrameSource(2, size=(49, 65)))
    assert sizes(tmp_path / "rec.mp4") == [(48, 64)] * 2


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "pcm_s16le"), (".mp4", "aac"), (".ts", "aac")])
def test_sound_stays_with_the_picture(tmp_path, suffix, codec):
    path = tmp_path / f"rec{suffix}"
    with open_source("test", TEST) as source:
        list(
            derain_live(
                source, make_derainer(strength=0), [Recording(path)], settings=LiveSettings(duration_seconds=1.5)
            )
        )
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name == codec
        sound = list(container.decode(audio=0))
    seconds = sum(frame.samples for frame in sound) / 48_000
    begin = float(sound[0].pts * sound[0].time_base) - times(path)[0]
    assert abs(begin) < 0.15
    assert begin + seconds == pytest.approx(times(path)[-1], abs=0.3)


@pytest.mark.parametrize(("suffix", "kept"), [(".mov", "pcm_alaw"), (".mkv", "aac"), (".mp4", "aac"), (".ts", "aac")])
def test_the_telephone_sound_of_cameras_is_recorded(tmp_path, suffix, kept):
    clip, target = clips.with_sound(tmp_path / "a.mov", seconds=1, sound="pcm_alaw"), tmp_path / f"rec{suffix}"
    with PacedFile(clip) as source:
        assert source.sound.codec == "pcm_alaw"
        list(derain_live(source, make_derainer(strength=0), [Recording(target)]))
    with av.open(str(target)) as container:
        assert container.streams.audio[0].codec_context.name == kept
        sound = list(container.decode(audio=0))
    assert sum(frame.samples / frame.sample_rate for frame in sound) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("container_format", COPIED)
def test_a_container_takes_what_is_copied_into_it(container_format):
    with av.open("nowhere" if container_format == "rtsp" else io.BytesIO(), "w", format=container_format) as container:
        for codec in COPIED[container_format]:
            container.add_mux_stream(codec, rate=48_000)


def test_sound_that_the_container_can_hold_is_copied(tmp_path):
    clip = clips.with_sound(tmp_path / "a.mp4", seconds=1)
    target = tmp_path / "rec.mkv"
    with PacedFile(clip) as source:
        list(derain_live(source, make_derainer(strength=0), [Recording(target)]))
    originals = {payload for _, payload in clips.packets(clip, 1)}
    copies = [payload for _, payload in clips.packets(target, 1)]
    assert len(copies) > 30
    assert set(copies) <= originals


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_a_recording_plays_after_the_program_was_killed(tmp_path, suffix):
    path = tmp_path / f"rec{suffix}"
    code = f"""
from fractions import Fraction
from nerdrain_rt.media.live_source import LiveSourceSettings, open_source
from nerdrain_rt.media.sinks import Recording
from nerdrain_rt.pipeline import derain_live
from tests.live_parts import make_derainer
with open_source("test", LiveSourceSettings(size=(48, 64), rate=Fraction(50))) as source:
    for step in derain_live(source, make_derainer(strength=0), [Recording({str(path)!r})]):
        print(step.frame.seconds, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        recorded = 0.0
        while recorded < 3:
            recorded = float(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert recorded - times(path)[-1] < 2
    assert len(times(path)) > 10


def test_a_full_disk_ends_the_recording_in_one_line(tmp_path):
    full = tmp_path / "full.ts"
    full.symlink_to("/dev/full")
    source = FrameSource(10**9, size=(48, 64), gate=lambda _: time.sleep(0.005))
    other = Recording(tmp_path / "good.mkv")
    with source:
        for step in derain_live(source, make_derainer(strength=0), [Recording(full, overwrite=True), other]):
            if step.stats.sinks[0].error:
                source.stop()
    assert step.report.sinks[0].error == f"{full}: no space left on device"
    assert step.report.sinks[1].error is None
    assert len(times(tmp_path / "good.mkv")) == step.report.sinks[1].frames_written


def test_an_hls_folder_plays_from_its_list(tmp_path):
    feed(open_sink(f"{tmp_path}/hls/"), FrameSource(60, size=(48, 64)))
    assert len(times(tmp_path / "hls" / "index.m3u8")) == 60
    assert len(list((tmp_path / "hls").glob("*.ts"))) == 2


def test_an_hls_folder_keeps_only_the_last_pieces(tmp_path):
    feed(open_sink(f"{tmp_path}/a:b/"), FrameSource(750, size=(16, 16)))
    pieces = sorted(int(path.stem.removeprefix("index")) for path in (tmp_path / "a:b").glob("*.ts"))
    assert pieces == list(range(6, 15))


def test_a_full_disk_under_an_hls_folder_is_told_of_in_one_line(tmp_path, capfd):
    (tmp_path / "hls").mkdir()
    (tmp_path / "hls" / "index1.ts.tmp").symlink_to("/dev/full")
    with pytest.raises(MediaError, match=r"hls/: no space left on device$"):
        feed(open_sink(f"{tmp_path}/hls/"), FrameSource(120, size=(48, 64)))
    assert capfd.readouterr().err == ""


def test_an_hls_folder_that_goes_away_is_told_of_in_one_line(tmp_path):
    sink, source = open_sink(f"{tmp_path}/hls/"), FrameSource(120, size=(48, 64))
    with source, pytest.raises(MediaError, match=r"hls/: no such file or directory"):
        sink.open(SinkInput(source.info, source.sound))
        for frame in source:
            sink.write(frame)
            if frame.seconds > 1:
                shutil.rmtree(tmp_path / "hls", ignore_errors=True)
        sink.close()


def test_an_rtmp_or_rtsp_address_without_a_server_is_one_line():
    for address in ("rtmp://127.0.0.1:1/live/a", "rtsp://me:secret@127.0.0.1:1/a"):
        with pytest.raises(MediaError, match=r"^rt..://.*127.0.0.1:1/.*: connection refused$") as caught:
            feed(StreamSink(address), FrameSource(10**6, size=(48, 64)))
        assert "secret" not in str(caught.value)


def test_a_server_that_goes_away_is_one_line():
    with (
        serving(lambda connection, _: connection.recv(1)) as port,
        pytest.raises(MediaError, match=r"broken pipe|connection reset"),
    ):
        feed(StreamSink(f"tcp://127.0.0.1:{port}"), FrameSource(10**6, size=(48, 64)))


def test_a_server_that_takes_nothing_is_told_of(monkeypatch):
    stuffed = {"rw_timeout": "300000", "muxrate": "200000000"}  # soon fills what the system holds for the server
    monkeypatch.setitem(stream_sink.OPTIONS, "tcp", stuffed)
    is_over = threading.Event()
    with serving(lambda connection, _: is_over.wait(PATIENCE_SECONDS) and None) as port:
        with pytest.raises(MediaError, match=f"^tcp://127.0.0.1:{port}.tcp_nodelay=1: .*timed out"):
            feed(StreamSink(f"tcp://127.0.0.1:{port}?tcp_nodelay=1"), FrameSource(10**6, size=(48, 64)))
        is_over.set()


@pytest.mark.parametrize(
    ("scheme", "option", "words"),
    [("rtmp", "rw_timeout", "connection timed out"), ("rtsp", "timeout", "no answer in RTSP within 5 s")],
)
def test_a_silent_server_holds_up_no_other_sink(monkeypatch, scheme, option, words):
    monkeypatch.setitem(stream_sink.OPTIONS, scheme, {option: "1000000"})
    is_over = threading.Event()
    other = KeepingSink()
    with serving(lambda connection, _: is_over.wait(PATIENCE_SECONDS) and None) as port:
        sinks = [StreamSink(f"{scheme}://127.0.0.1:{port}/live/a"), other]
        with FrameSource(10**6, gate=lambda _: time.sleep(0.01)) as source:
            for step in derain_live(source, make_derainer(strength=0), sinks):
                if step.stats.sinks[0].error:
                    source.stop()
        is_over.set()
    assert step.report.sinks[0].error == f"{sinks[0].name}: {words}"
    assert len(other.frames) > 20


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("rec.avi", "not a name for a recording; use .mkv"),
        ("nowhere/rec.mkv", "there is no folder nowhere"),
        ("gopher://a/b", "cannot stream to gopher://; use rtsp"),
    ],
)
def test_an_impossible_target_is_refused_before_anything_starts(target, words):
    with pytest.raises(UsageError, match=words):
        open_sink(target)


def test_a_file_that_exists_is_kept(tmp_path):
    (tmp_path / "rec.mkv").write_bytes(b"dear")
    with pytest.raises(UsageError, match="exists; allow overwriting"):
        open_sink(str(tmp_path / "rec.mkv"))
    assert open_sink(str(tmp_path / "rec.mkv"), segment_seconds=60)
    assert (tmp_path / "rec.mkv").read_bytes() == b"dear"


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        (EncoderSettings("nonsense"), "'nonsense' is no video encoder here"),
        (EncoderSettings(options={"foo": "1"}), "codec option 'foo' is unknown to libx264"),
        (EncoderSettings("libvpx"), "mp4 cannot hold libvpx"),
        (EncoderSettings("h264_nvenc"), "h264_nvenc"),
    ],
    ids=str,
)
def test_an_encoder_that_cannot_be_is_refused(tmp_path, encoder, words):
    if encoder.codec == "h264_nvenc" and Path("/dev/nvidia0").exists():
        pytest.skip("there is an NVIDIA GPU")
    with pytest.raises(UsageError, match=words):
        Recording(tmp_path / "a.mp4", encoder=encoder)


class FakeVirtualCamera:
    """What pyvirtualcam gives."""

    made: list["FakeVirtualCamera"]

    def __init__(self, *, width, height, fps, device):
        if device == "/dev/video99":
            raise RuntimeError("device not found!")
        self.width, self.height, self.fps, self.device = width, height, fps, device
        self.sent, self.is_open = [], True
        self.made.append(self)

    def send(self, picture):
        assert picture.dtype == np.uint8
        self.sent.append(picture.shape)

    def close(self):
        self.is_open = False


@pytest.fixture
def pyvirtualcam(monkeypatch):
    FakeVirtualCamera.made = []
    monkeypatch.setattr(virtual_camera, "find_spec", lambda name: object())
    monkeypatch.setattr(virtual_camera, "import_module", lambda name: SimpleNamespace(Camera=FakeVirtualCamera))
    return FakeVirtualCamera.made


def test_a_virtual_camera_shows_every_frame_in_the_first_ones_size(pyvirtualcam):
    feed(VirtualCamera(), FrameSource(4, sizes=[(48, 64), (64, 96)]))
    (camera,) = pyvirtualcam
    assert (camera.width, camera.height, camera.fps) == (64, 48, 25)
    assert camera.sent == [(48, 64, 3)] * 4
    assert not camera.is_open


def test_a_virtual_camera_has_square_samples(pyvirtualcam, tmp_path):
    clip = clips.video(tmp_path / "a.mp4", size=(48, 60), frames=2, sample_aspect_ratio=Fraction(16, 15))
    with PacedFile(clip) as source:
        list(derain_live(source, make_derainer(strength=0), [VirtualCamera()]))
    (camera,) = pyvirtualcam
    assert (camera.width, camera.height) == (64, 48)
    assert set(camera.sent) == {(48, 64, 3)}


def test_a_virtual_camera_that_is_not_there_is_one_line(pyvirtualcam):
    with pytest.raises(CameraError, match=r"^/dev/video99: device not found!; see docs/webcam.md$"):
        feed(open_sink("/dev/video99"), FrameSource(1))


def test_without_pyvirtualcam_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(virtual_camera, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'nerdrain-rt\[virtualcam\]'"):
        VirtualCamera()


def test_rtsp_arrives_at_a_server(tmp_path):
    """FFmpeg can stand in for the server of an NVR."""
    clips.need("ffmpeg")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    target, address = tmp_path / "got.mkv", f"rtsp://127.0.0.1:{port}/clean"
    server = subprocess.Popen(
        ["ffmpeg", "-v", "error", "-rtsp_flags", "listen", "-i", address, "-t", "1", "-c", "copy", "-y", str(target)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: is_listening(port), "the server")
        with open_source("test", SILENT) as source:
            for step in derain_live(source, make_derainer(strength=0), Sinks([StreamSink(address)])):
                if step.stats.sinks[0].error or step.stats.sinks[0].frames_written > 60:
                    source.stop()
        server.wait(PATIENCE_SECONDS)
    finally:
        server.kill()
        server.wait()
    assert sizes(target)[:5] == [(48, 64)] * 5


def is_listening(port: int) -> bool:
    """Whether a TCP port is open, by the system's table: to connect would use up the server's one client."""
    entries = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(entry.split()[1].endswith(f":{port:04X}") and entry.split()[3] == "0A" for entry in entries)
