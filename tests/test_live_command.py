"""`nerdrain live`: what it prints, how it ends, and what it refuses, in a process of its own where signals matter."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import pytest
import typer
from typer.testing import CliRunner

from nerdrain_rt import live_command
from nerdrain_rt.command_options import parse_duration, parse_size
from nerdrain_rt.errors import BackendError, CameraError, MediaError, UsageError
from nerdrain_rt.media.live_stream import without_password
from tests import clips
from tests.fakes import FakeBackend
from tests.live_parts import PATIENCE_SECONDS, make_derainer, serving, transport_stream

SMALL = ("test", "--size", "64x48", "--rate", "25", "--strength", "0")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setattr(live_command, "Derainer", lambda settings: make_derainer(strength=settings.strength))


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def live(*arguments: object):
    app = typer.Typer()
    app.command()(live_command.live_command)
    return CliRunner().invoke(app, [*map(str, arguments)])


def test_a_run_ends_after_its_duration_with_a_report(tmp_path):
    target = tmp_path / "rec.mkv"
    result = live(*SMALL, "--to", target, "--duration", "500ms", "--json", "--stats")
    assert result.exit_code == 0, result.output
    first, *_, last = map(json.loads, result.stdout.splitlines())
    assert set(first) >= {"fps", "latency_ms", "dropped", "work_scale", "sinks"}
    assert last["input"] == "test"
    assert last["frames_out"] == sum(1 for _ in av.open(str(target)).decode(video=0)) + last["dropped"][str(target)]


def test_a_file_is_played_to_its_end(tmp_path):
    clip = clips.video(tmp_path / "a.mkv", size=(48, 64), frames=5, codec="ffv1")
    result = live(clip, "--realtime", "--strength", "0", "--json", "-q")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["frames_in"] == 5


@pytest.fixture(scope="module")
def stream(tmp_path_factory) -> bytes:
    return transport_stream(tmp_path_factory.mktemp("stream") / "a.ts", seconds=0.8)


def test_a_source_that_is_lost_for_good_leaves_a_report_and_a_recording(stream, tmp_path, started):
    target, connections = tmp_path / "rec.mkv", []

    def serve(connection: socket.socket, number: int) -> None:
        connections.append(number)
        connection.sendall(stream)

    with serving(serve) as port:
        address = f"tcp://127.0.0.1:{port}"
        process = started(address, "--to", target, "--reconnect", "0s", "--json", "-q")
        stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
        assert connections == [0]
    report = json.loads(stdout)
    assert process.returncode == 1
    assert stderr == f"error: {address}: the stream ended\n"
    assert report["error"] == f"{address}: the stream ended"
    assert report["frames_in"] == 20
    assert report["sinks"][0]["frames_written"] == sum(1 for _ in av.open(str(target)).decode(video=0))


@pytest.mark.parametrize("source", ["tcp://me:secret@127.0.0.1:1", "nothere"])
def test_a_source_that_is_not_there_is_told_of_as_json_too(source):
    result = live(source, "--json")
    report = json.loads(result.stdout)
    assert report == {"input": without_password(source), "error": str(result.exception)}


def test_a_network_that_fails_before_the_first_frame_is_told_of_as_json_too(tmp_path, monkeypatch):
    def fail(_: object) -> None:
        raise BackendError("cpu: out of memory even in tiles of 64")

    clip = clips.video(tmp_path / "a.mkv", size=(48, 64), frames=2, codec="ffv1")
    monkeypatch.setattr(live_command, "Derainer", lambda settings: make_derainer(FakeBackend(fail)))
    result = live(clip, "--realtime", "--json")
    assert isinstance(result.exception, BackendError)
    assert json.loads(result.stdout) == {"input": str(clip), "error": str(result.exception)}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("test", "--duration", "5"), UsageError, "--duration 5: is not a time with its unit"),
        (("test", "--size", "big"), UsageError, "'big' is not a size; write width and height"),
        (("test", "--to", "a.mkv", "--to", "a.mkv"), UsageError, "a.mkv: is given twice; each output needs a place"),
        (("test", "--to", "hls/", "--to", "./hls/index.m3u8"), UsageError, "./hls/index.m3u8: is given twice"),
        (("test", "--to", ""), UsageError, "an output has no name"),
        (("test", "--rate", "0"), UsageError, "rate is 0; it must be above 0"),
        (("test", "--rate", "nan"), UsageError, "--rate nan: is not a number of frames per second"),
        (("test", "--max-latency", "0ms"), UsageError, "latency to hold is 0 ms"),
        (("test", "--to", "rec.avi"), UsageError, "not a name for a recording"),
        (("test", "--show", "--json"), UsageError, "--json and --stats are for runs without it"),
        (("nothere",), CameraError, "no such file, address or camera"),
        (("http://127.0.0.1:1/",), MediaError, "connection refused"),
    ],
)
def test_what_cannot_be_is_one_line(arguments, error, words):
    result = live(*arguments)
    assert isinstance(result.exception, error)
    assert words in str(result.exception)


def test_a_file_is_not_recorded_onto_itself(tmp_path):
    clip = clips.video(tmp_path / "a.mkv", size=(48, 64), frames=2, codec="ffv1")
    (tmp_path / "link.mkv").symlink_to(clip)
    before = clip.read_bytes()
    for target in (clip, tmp_path / "link.mkv"):
        result = live(clip, "--realtime", "--to", target, "-y")
        assert f"{target}: is the source itself; choose another name" in str(result.exception)
    assert clip.read_bytes() == before


def test_a_file_is_not_taken_for_a_camera(tmp_path):
    clip = clips.video(tmp_path / "a.mkv", size=(48, 64), frames=2, codec="ffv1")
    assert "derain it with 'nerdrain video', or add --realtime" in str(live(clip).exception)


@pytest.fixture
def started():
    """Starts the command in a process of its own."""
    processes = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", COMMAND, *map(str, arguments)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parents[1],
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


COMMAND = """
import sys, typer
from nerdrain_rt import live_command, __main__
from tests.live_parts import make_derainer
live_command.Derainer = lambda settings: make_derainer(strength=0)
import nerdrain_rt.cli as cli
cli.app = typer.Typer()
cli.app.command()(live_command.live_command)
__main__.main()
"""

signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


@signals
@pytest.mark.parametrize("times", [1, 2], ids=["once", "passed on twice"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_finishes_the_recording_and_the_report(tmp_path, started, number, times):
    target = tmp_path / "rec.mp4"
    process = started(*SMALL, "--to", target, "--stats", "--json")
    process.stdout.readline()
    process.stdout.readline()
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.05)
    stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130, stderr
    report = json.loads(stdout.splitlines()[-1])
    frames = sum(1 for _ in av.open(str(target)).decode(video=0))
    assert frames == report["sinks"][0]["frames_written"] > 0


@signals
def test_a_signal_ends_the_wait_for_a_silent_server(started):
    connected, is_over = threading.Event(), threading.Event()

    def serve(*_: object) -> None:
        connected.set()
        is_over.wait(PATIENCE_SECONDS)

    with serving(serve) as port:
        process = started(f"tcp://127.0.0.1:{port}")
        assert connected.wait(PATIENCE_SECONDS)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
        assert time.monotonic() - begun < 5
        is_over.set()
    assert process.returncode == 130
    assert stderr == "interrupted\n"


def test_times_have_units():
    texts = ("100ms", "1.5s", "10min", "2h")
    assert [parse_duration(text, "--x") for text in texts] == pytest.approx([0.1, 1.5, 600, 7200])
    assert parse_duration(None, "--x") is None
    assert parse_size("1280x720") == (720, 1280)
