"""Streams over loopback: pictures and sound arrive, what is lost is found again, bad servers end in one line."""

import errno
import socket
import threading
import time
from fractions import Fraction

import pytest

from nerdrain_rt.errors import MediaError
from nerdrain_rt.live import LiveSettings
from nerdrain_rt.media import live_stream
from nerdrain_rt.media.live_source import LiveSourceSettings, open_source
from nerdrain_rt.media.live_stream import without_password
from nerdrain_rt.media.stream_sink import StreamSink
from nerdrain_rt.pipeline import derain_live
from tests import clips
from tests.live_parts import (
    HEADER,
    PATIENCE_SECONDS,
    jpeg,
    make_derainer,
    part,
    serving,
    transport_stream,
    until,
)

QUICK = LiveSourceSettings(open_timeout_seconds=20, read_timeout_seconds=20)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture(scope="module")
def stream(tmp_path_factory) -> bytes:
    return transport_stream(tmp_path_factory.mktemp("stream") / "a.ts", seconds=0.8)


def test_a_transport_stream_gives_its_frames_and_sound(stream):
    with serving(lambda connection, _: connection.sendall(stream)) as port:
        settings = LiveSourceSettings(reconnect_seconds=0, open_timeout_seconds=20)
        sound, frames = [], []
        with open_source(f"tcp://127.0.0.1:{port}", settings) as source:
            source.on_sound = sound.append
            with pytest.raises(MediaError, match="the stream ended"):
                frames.extend(source)
    assert source.info.size == (96, 128)
    assert len(frames) == 20
    times = [frame.seconds for frame in frames]
    assert times == pytest.approx([times[0] + index / 25 for index in range(20)], abs=0.002)
    begin = sound[0].pts * sound[0].format.time_base
    assert 30 <= len(sound) <= 40
    assert float(begin) == pytest.approx(times[0], abs=0.1)


def test_the_shape_of_the_picture_is_known(tmp_path):
    clip = clips.video(tmp_path / "a.ts", size=(48, 64), frames=10, sample_aspect_ratio=Fraction(12, 11))
    with (
        serving(lambda connection, _: connection.sendall(clip.read_bytes())) as port,
        open_source(f"tcp://127.0.0.1:{port}", QUICK) as source,
    ):
        assert source.info.sample_aspect_ratio == Fraction(12, 11)


def test_a_connection_that_is_cut_is_found_again(stream):
    half = len(stream) // 2 // 188 * 188
    pts = []
    with (
        serving(lambda connection, number: connection.sendall(stream[:half] if number < 2 else stream)) as port,
        open_source(f"tcp://127.0.0.1:{port}", QUICK) as source,
    ):
        for step in derain_live(source, make_derainer()):
            pts.append(step.frame.pts)
            if len([text for text in source.warnings if "back after" in text]) == 2:
                source.stop()
    assert step.report is not None
    assert [text.split(": ", 1)[1].split(" ")[0] for text in source.warnings[:4]] == ["the", "back", "the", "back"]
    assert source.warnings[0] == f"tcp://127.0.0.1:{port}: the stream ended; trying again"
    assert source.warnings[2] == f"tcp://127.0.0.1:{port}: the stream ended; trying again (2)"
    assert source.warnings[3].endswith(" s (2)")
    assert pts[:-1] == sorted(set(pts[:-1]))
    assert step.report.warnings[:2] == tuple(source.warnings[:2])


def test_a_source_that_stays_away_is_given_up_after_the_time_allowed(stream):
    settings = LiveSourceSettings(reconnect_seconds=0.1, open_timeout_seconds=20)
    with serving(lambda connection, _: connection.sendall(stream)) as port:
        source = open_source(f"tcp://127.0.0.1:{port}", settings)
        source.__enter__()
    with pytest.raises(MediaError, match=r"the stream ended; not found again within 0\.1 s"):
        list(source)
    source.__exit__(None, None, None)


def test_of_many_losses_the_last_are_kept(stream, monkeypatch):
    monkeypatch.setattr(live_stream, "MOST_WARNINGS", 3)
    monkeypatch.setattr(live_stream, "BACK_OFF_SECONDS", (0.01,))
    with (
        serving(lambda connection, _: connection.sendall(stream[: len(stream) // 2 // 188 * 188])) as port,
        open_source(f"tcp://127.0.0.1:{port}", QUICK) as source,
    ):
        for _ in derain_live(source, make_derainer(strength=0)):
            if source.warnings and source.warnings[-1].endswith("(4)"):
                source.stop()
    assert len(source.warnings) == 3


def test_a_lost_source_is_told_of_while_it_is_away(stream):
    is_back = threading.Event()

    def serve(connection: socket.socket, number: int) -> None:
        if number:
            assert is_back.wait(PATIENCE_SECONDS)
        connection.sendall(stream)

    with (
        serving(serve) as port,
        open_source(f"tcp://127.0.0.1:{port}", QUICK) as source,
    ):
        for step in derain_live(source, make_derainer(), settings=LiveSettings(tick_seconds=0.02)):
            if step.frame is None and step.report is None and step.stats.warnings:
                assert step.stats.warnings == (f"tcp://127.0.0.1:{port}: the stream ended; trying again",)
                assert not step.stats.is_connected
                break
        else:
            pytest.fail("nothing was told")
        source.stop()
        is_back.set()
        until(lambda: not any(thread.name.startswith("latest") for thread in threading.enumerate()))


def test_a_source_that_is_lost_for_good_ends_with_a_report_and_its_error(stream):
    settings = LiveSourceSettings(reconnect_seconds=0, open_timeout_seconds=20)
    report = None
    with (
        serving(lambda connection, _: connection.sendall(stream)) as port,
        open_source(f"tcp://127.0.0.1:{port}", settings) as source,
        pytest.raises(MediaError) as caught,
    ):
        for step in derain_live(source, make_derainer()):
            report = step.report
    assert report.error == str(caught.value) == f"tcp://127.0.0.1:{port}: the stream ended"
    assert report.frames_in == 20
    assert report.frames_out + sum(report.dropped.values()) == 20


def test_motion_jpeg_that_changes_its_size_goes_on():
    sizes = [(48, 64)] * 5 + [(64, 96)] * 5

    def serve(connection: socket.socket, _: int) -> None:
        connection.recv(4096)
        connection.sendall(HEADER + b"".join(part(jpeg(size, index)) for index, size in enumerate(sizes)))
        connection.sendall(b"--frame\r\n")

    with serving(serve) as port:
        settings = LiveSourceSettings(reconnect_seconds=0, open_timeout_seconds=20)
        with open_source(f"http://127.0.0.1:{port}/", settings) as source:
            frames = []
            with pytest.raises(MediaError):
                frames.extend(source)
    got = [(frame.picture.height, frame.picture.width) for frame in frames]
    assert got[:5] == sizes[:5]
    assert set(got[5:]) == {(64, 96)}


def test_motion_jpeg_is_timed_by_when_it_comes():
    release = threading.Event()

    def serve(connection: socket.socket, _: int) -> None:
        connection.recv(4096)
        connection.sendall(HEADER + b"".join(part(jpeg((48, 64), index)) for index in range(4)))
        release.wait(PATIENCE_SECONDS)
        connection.sendall(b"".join(part(jpeg((48, 64), index)) for index in range(4)))
        release.wait(PATIENCE_SECONDS)

    with serving(serve) as port, open_source(f"http://127.0.0.1:{port}/", QUICK) as source:
        frames = iter(source)
        first = [next(frames) for _ in range(3)]
        time.sleep(0.5)
        release.set()
        second = [next(frames) for _ in range(3)]
        source.stop()
    assert second[-1].seconds - first[-1].seconds > 0.4


def test_garbage_in_a_stream_is_passed_over(stream):
    middle = len(stream) // 2
    broken = stream[:middle] + b"\x00\x55" * 1500 + stream[middle:]
    with serving(lambda connection, _: connection.sendall(broken)) as port:
        settings = LiveSourceSettings(reconnect_seconds=0, open_timeout_seconds=20)
        with open_source(f"tcp://127.0.0.1:{port}", settings) as source:
            frames = []
            with pytest.raises(MediaError, match="the stream ended"):
                frames.extend(source)
    assert len(frames) > 10


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"this is no picture " * 5000, "it ended without a picture|invalid data"),
        (b"HTTP/1.0 404 Not Found\r\n\r\n", "404"),
        (b"", ""),
    ],
    ids=["garbage", "not found", "hangs up"],
)
def test_a_server_with_nothing_to_show_is_one_line(answer, words):
    def serve(connection: socket.socket, _: int) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    with serving(serve) as port, pytest.raises(MediaError, match=f"http://127.0.0.1:{port}/: .*({words})") as caught:
        open_source(f"http://127.0.0.1:{port}/", QUICK).__enter__()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "rtsp", "rtmp", "tcp"])
def test_a_silent_server_is_told_of_after_the_timeout(scheme):
    is_over = threading.Event()
    settings = LiveSourceSettings(open_timeout_seconds=0.3)
    with serving(lambda connection, _: is_over.wait(PATIENCE_SECONDS) and None) as port:
        with pytest.raises(MediaError, match=rf"^{scheme}://.*: no data within 0\.3 s$"):
            open_source(f"{scheme}://127.0.0.1:{port}/a", settings).__enter__()
        is_over.set()


def test_a_name_that_nobody_knows_is_told_of_as_such(monkeypatch):
    def open_unknown(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("av.open", open_unknown)
    with pytest.raises(MediaError, match=r"^rtsp://camera\.lan/1: input/output error; is the host's name right\?$"):
        open_source("rtsp://camera.lan/1").__enter__()


def test_a_port_where_nobody_listens_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(MediaError, match="connection refused"):
        open_source(f"tcp://127.0.0.1:{port}", QUICK).__enter__()


def test_a_silent_stream_is_left_at_once_when_stopped(stream):
    is_over = threading.Event()

    def serve(connection: socket.socket, _: int) -> None:
        connection.sendall(stream)
        is_over.wait(PATIENCE_SECONDS)

    with serving(serve) as port:
        with open_source(f"tcp://127.0.0.1:{port}", QUICK) as source:
            threading.Timer(0.5, source.stop).start()
            started = time.monotonic()
            *_, last = derain_live(source, make_derainer())
            assert time.monotonic() - started < 15
            assert last.report.frames_out > 0
        is_over.set()
        until(lambda: not any(thread.name.startswith("latest") for thread in threading.enumerate()))


def test_a_stream_over_udp_goes_from_sink_to_source():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sender_is_over = threading.Event()

    def send() -> None:
        settings = LiveSourceSettings(size=(96, 128), rate=Fraction(25))
        with open_source("test", settings) as source:
            for _ in derain_live(source, make_derainer(strength=0), [StreamSink(f"udp://127.0.0.1:{port}")]):
                if sender_is_over.is_set():
                    source.stop()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with open_source(f"udp://127.0.0.1:{port}", QUICK) as source:
            frames = iter(source)
            received = [next(frames) for _ in range(10)]
            source.stop()
    finally:
        sender_is_over.set()
        thread.join(PATIENCE_SECONDS)
    assert source.info.size == (96, 128)
    assert source.sound is not None
    assert source.sound.codec == "aac"
    assert [frame.pts for frame in received] == sorted({frame.pts for frame in received})


def test_the_test_picture_keeps_its_time():
    settings = LiveSourceSettings(size=(48, 64), rate=Fraction(50))
    with open_source("test", settings) as source:
        started = time.monotonic()
        frames = iter(source)
        taken = [next(frames) for _ in range(20)]
        assert time.monotonic() - started > 0.3
        source.stop()
    assert [round(frame.seconds - taken[0].seconds, 2) for frame in taken] == [index / 50 for index in range(20)]


def test_passwords_are_not_shown():
    assert without_password("rtsp://me:secret@cam.local:554/1?a=b") == "rtsp://me:***@cam.local:554/1?a=b"
    assert without_password("rtsp://me:p@ss:w@cam.local/a@b") == "rtsp://me:***@cam.local/a@b"
    assert without_password("rtsp://cam.local/1") == "rtsp://cam.local/1"
    assert without_password("srt://h:1?mode=caller&passphrase=secret&latency=9").endswith("&passphrase=***&latency=9")
    assert without_password("rtsp://h/user=me&password=secret&channel=1").endswith("/user=me&password=***&channel=1")
    with pytest.raises(MediaError, match=r"rtsp://me:\*\*\*@127.0.0.1:1/"):
        open_source("rtsp://me:secret@127.0.0.1:1/").__enter__()


def test_an_unknown_protocol_is_one_line():
    with pytest.raises(MediaError, match="foo://bar: this build of FFmpeg does not know the protocol"):
        open_source("foo://bar").__enter__()
