import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from nerdrain_gui.network import Network
from nerdrain_gui.picture import Wanted
from nerdrain_gui.session import Session
from PyQt6.QtTest import QTest

from nerdrain_rt.derainer import Derainer, DerainSettings
from nerdrain_rt.errors import BackendError, MediaError
from nerdrain_rt.media.reader import VideoReader
from tests import clips
from tests.fakes import FakeBackend
from tests.gui.conftest import wait_until
from tests.live_parts import FrameSource, KeepingSink


class Heard:
    """Everything a session says."""

    def __init__(self, session):
        self.errors, self.figures, self.networks, self.told = [], [], [], []
        self.opened = None
        self.is_closed = self.is_paused = False
        self.pictures = 0
        session.failed.connect(self.errors.append)
        session.told.connect(self.told.append)
        session.figures_changed.connect(self.figures.append)
        session.network_changed.connect(lambda *network: self.networks.append(network))
        session.opened.connect(lambda opened: setattr(self, "opened", opened))
        session.closed.connect(lambda: setattr(self, "is_closed", True))
        session.paused_changed.connect(lambda is_paused: setattr(self, "is_paused", is_paused))
        session.picture_ready.connect(lambda: self.take(session))

    def take(self, session):
        picture = session.take_picture()
        if picture is not None:
            self.pictures += 1
            self.picture = picture


@pytest.fixture
def backend():
    return FakeBackend(lambda rainy: torch.full_like(rainy, -0.4))


@pytest.fixture
def session(app, load):
    session = Session(load=load)
    session.heard = Heard(session)
    yield session
    assert session.shut_down(10)


@pytest.fixture
def clip(tmp_path):
    return str(clips.video(tmp_path / "rain.mp4", size=(48, 64), frames=50, rate=25))


def gray(image):
    small = image.scaled(1, 1)
    return small.pixelColor(0, 0).green()


def test_a_file_is_played_before_and_after(session, clip):
    session.open(clip)
    wait_until(lambda: session.heard.pictures > 3)
    rainy, clean = session.heard.picture.images
    assert gray(clean) < gray(rainy) - 20
    assert session.heard.opened.size == (48, 64)
    assert session.heard.opened.duration == pytest.approx(2.0, abs=0.1)
    wait_until(lambda: session.heard.figures)
    assert not session.heard.errors


def test_the_first_frame_is_shown_before_the_network_is_there(session, clip, backend):
    backend.seconds = 1.0
    session.open(clip)
    wait_until(lambda: session.heard.pictures)
    assert session.heard.picture.view == "clean"
    assert not session.heard.figures
    wait_until(lambda: session.heard.picture.view == "wipe")


def test_strength_and_work_scale_act_while_it_plays(session, clip, backend):
    session.open(clip)
    wait_until(lambda: session.heard.pictures > 1)
    session.set_work_scale(0.5)
    wait_until(lambda: (1, 3, 32, 32) in backend.shapes)
    session.set_strength(0.0)
    wait_until(lambda: gray(session.heard.picture.images[0]) == gray(session.heard.picture.images[1]))


def test_strength_leaves_the_work_scale_that_holds_the_latency(session, clip, backend):
    derainer = Derainer(backend=backend)
    session._parts.load = lambda network: derainer
    session.open(clip)
    wait_until(lambda: session.heard.figures)
    derainer.settings = replace(derainer.settings, work_scale=0.5)  # as the governor does
    session.set_strength(0.7)
    session.set_comparing(False)
    assert derainer.settings == DerainSettings(strength=0.7, work_scale=0.5, temporal=False)


def test_a_paused_frame_is_what_the_file_will_have(session, tmp_path, backend):
    clip = clips.video(tmp_path / "noise.mkv", size=(48, 64), frames=20, rate=10, codec="ffv1")
    backend.residual = lambda rainy: torch.full_like(rainy, -8 / 255)
    in_file = {}
    for compares in (True, False):
        derainer = Derainer(DerainSettings(temporal=compares), backend=FakeBackend(backend.residual))
        with VideoReader(clip) as reader:
            in_file[compares] = [frame.rgb() for frame in derainer.derain(reader)][10]
    session.open(str(clip))
    wait_until(lambda: session.heard.figures)
    session.toggle_pause()
    session.seek(1.0)

    def shown(compares):
        figures, pair = session.heard.figures[-1], session._screen.pair
        is_there = figures.is_still and figures.position == 1.0 and figures.compares_frames is compares
        return is_there and (pair.clean.rgb() == in_file[compares]).all()

    wait_until(lambda: shown(True))
    session.set_comparing(False)
    wait_until(lambda: shown(False))
    assert (in_file[True] != in_file[False]).any()


def let_the_last_frames_come(figures):
    """Those that were on their way when the file was paused."""
    count = 0
    while len(figures) > count:
        count = len(figures)
        QTest.qWait(300)


def test_strength_acts_on_the_frame_of_a_paused_file(session, clip):
    session.open(clip)
    wait_until(lambda: session.heard.figures)
    session.toggle_pause()
    wait_until(lambda: session.heard.figures[-1].is_still and session.heard.picture.view == "wipe")
    let_the_last_frames_come(session.heard.figures)
    position = session.heard.figures[-1].position
    session.set_strength(0.0)
    wait_until(lambda: len({gray(image) for image in session.heard.picture.images}) == 1)
    assert session.heard.picture.view == "wipe"
    assert session.heard.figures[-1].position == position


def test_view_and_size_act_while_it_is_paused(session, clip):
    session.open(clip)
    wait_until(lambda: session.heard.pictures > 1)
    session.toggle_pause()
    assert session.heard.is_paused
    session.want(Wanted("clean", (24, 32)))
    wait_until(lambda: session.heard.picture.view == "clean")
    assert session.heard.picture.images[0].height() == 24


def test_paused_file_steps_and_seeks_frame_by_frame(session, clip):
    session.open(clip)
    wait_until(lambda: session.heard.figures)
    session.toggle_pause()
    time.sleep(0.3)
    session.seek(1.0)
    wait_until(lambda: session.heard.figures[-1].position == pytest.approx(1.0, abs=0.05))
    session.step()
    wait_until(lambda: session.heard.figures[-1].position == pytest.approx(1.04, abs=0.05))
    count = session.heard.pictures
    wait_until(lambda: session.heard.pictures >= count)


def test_another_backend_on_the_device_is_taken_while_it_plays(session, clip, load, backend):
    session.open(clip)
    wait_until(lambda: session.heard.pictures > 1)
    other = FakeBackend()
    session._parts.load = lambda network: Derainer(backend=other)
    session.set_network(Network("other"))
    wait_until(lambda: len(other.shapes) > 1)
    assert session.heard.networks[-1] == (Network("other"), ("fake", "cpu"))


def test_another_device_takes_over_where_the_file_is(session, clip):
    session.open(clip)
    wait_until(lambda: session.heard.figures and session.heard.figures[-1].position > 0.3)
    other = FakeBackend()
    other.device = torch.device("cpu", 0)
    session._parts.load = lambda network: Derainer(backend=other)
    session.set_network(Network(device="cpu:0"))
    wait_until(lambda: other.shapes and len(session.heard.networks) > 1)
    count = len(session.heard.figures)
    wait_until(lambda: len(session.heard.figures) > count + 1)
    assert session.heard.figures[-1].position > 0.3
    assert not session.heard.errors


def test_a_backend_that_is_not_there_is_told_of_and_the_old_one_goes_on(session, clip):
    session.open(clip)
    wait_until(lambda: session.heard.pictures > 1)

    def refuse(network):
        raise BackendError("cuda: no NVIDIA GPU")

    session._parts.load = refuse
    session.set_network(Network(device="cuda"))
    wait_until(lambda: session.heard.errors)
    assert session.heard.errors == ["cuda: no NVIDIA GPU"]
    count = session.heard.pictures
    wait_until(lambda: session.heard.pictures > count + 2)


@pytest.mark.parametrize("name", ["missing.mp4", "broken.mp4", "folder", "999", "rtsp://127.0.0.1:1/x"])
def test_what_cannot_be_opened_is_one_line_and_the_session_closes(session, tmp_path, name):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "folder").mkdir()
    session.open(str(tmp_path / name) if name[0] in "mbf" else name)
    wait_until(lambda: session.heard.is_closed)
    assert len(session.heard.errors) == 1
    assert "\n" not in session.heard.errors[0]
    assert not session.is_open


def test_opening_another_source_closes_the_first(session, clip, tmp_path):
    other = str(clips.video(tmp_path / "other.mp4", size=(32, 96), frames=25, rate=25))
    session.open(clip)
    wait_until(lambda: session.heard.pictures > 1)
    session.open(other)
    wait_until(lambda: session.heard.opened.size == (32, 96))
    wait_until(lambda: session.heard.picture.size == (32, 96))
    assert not session.heard.errors


def test_a_silent_server_does_not_hold_up_the_next_source(session, clip):
    is_over, is_trying = threading.Event(), threading.Event()
    open_source = session._parts.open_source

    def open_or_wait(name):
        if name == clip:
            return open_source(name)
        is_trying.set()
        is_over.wait(30)
        raise MediaError(f"{name}: no data within 30 s")

    session._parts.open_source = open_or_wait
    session.open("rtsp://silent")
    wait_until(is_trying.is_set)
    session.open(clip)
    wait_until(lambda: session.heard.figures)
    is_over.set()
    assert not session.heard.errors


def test_the_test_picture_can_be_paused_though_it_cannot_be_held(session):
    session.open("test")
    wait_until(lambda: session.heard.pictures > 2)
    assert not session.heard.opened.is_seekable
    session.toggle_pause()
    wait_until(lambda: session._run.is_paused)
    time.sleep(0.2)
    session.take_picture()
    count = session.heard.pictures
    time.sleep(0.3)
    assert session.heard.pictures <= count + 1


def test_snapshot_is_the_clean_picture_at_full_size(session, clip, tmp_path):
    session.want(Wanted("wipe", (12, 16)))
    session.open(clip)
    wait_until(lambda: session.heard.pictures > 1)
    session.save_picture(tmp_path / "shot.png")
    wait_until(lambda: session.heard.told)
    with av.open(str(tmp_path / "shot.png")) as container:
        assert (container.streams.video[0].height, container.streams.video[0].width) == (48, 64)


def test_snapshot_of_a_turned_clip_is_upright(session, tmp_path):
    session.open(str(clips.video(tmp_path / "turned.mp4", size=(48, 64), frames=25, rotation=90)))
    wait_until(lambda: session.heard.pictures > 1)
    session.save_picture(tmp_path / "shot.png")
    wait_until(lambda: session.heard.told)
    with av.open(str(tmp_path / "shot.png")) as container:
        assert (container.streams.video[0].height, container.streams.video[0].width) == (64, 48)


def test_a_clip_is_shown_and_kept_in_its_shape(session, tmp_path):
    clip = clips.video(tmp_path / "wide.mp4", size=(48, 60), frames=25, sample_aspect_ratio=Fraction(4, 3))
    session.open(str(clip))
    wait_until(lambda: session.heard.pictures)
    assert session.heard.picture.size == (48, 80), "the first frame, before the network is there"
    wait_until(lambda: session.heard.figures)
    wait_until(lambda: session.heard.picture.view == "wipe")
    assert session.heard.picture.size == (48, 80)
    session.save_picture(tmp_path / "shot.png")
    wait_until(lambda: session.heard.told)
    with av.open(str(tmp_path / "shot.png")) as container:
        assert (container.streams.video[0].height, container.streams.video[0].width) == (48, 80)


def test_snapshot_into_nowhere_is_told_of(session, clip):
    session.open(clip)
    wait_until(lambda: session.heard.pictures > 1)
    session.save_picture(Path("/nowhere/shot.png"))
    wait_until(lambda: session.heard.errors)
    assert "/nowhere/shot.png" in session.heard.errors[0]


def test_recording_is_playable(session, clip, tmp_path):
    states = []
    session.recording_changed.connect(states.append)
    session.open(clip)
    wait_until(lambda: session.heard.pictures > 1)
    session.set_recording(tmp_path / "live.mp4")
    count = session.heard.pictures
    wait_until(lambda: session.heard.pictures > count + 15)
    session.set_recording(None)
    assert states == [True, False]
    session.close()
    assert session.shut_down(10)
    with av.open(str(tmp_path / "live.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) > 5


def test_recording_goes_on_when_another_device_takes_over(session, clip, tmp_path):
    session.open(clip)
    wait_until(lambda: session.heard.pictures > 1)
    session.set_recording(tmp_path / "live.mp4")
    wait_until((tmp_path / "live.mp4").exists)
    other = FakeBackend()
    other.device = torch.device("cpu", 0)
    session._parts.load = lambda network: Derainer(backend=other)
    session.set_network(Network(device="cpu:0"))
    wait_until(lambda: len(list(tmp_path.glob("live*.mp4"))) == 2)
    count = session.heard.pictures
    wait_until(lambda: session.heard.pictures > count + 15)
    session.close()
    assert session.shut_down(10)
    for path in tmp_path.glob("live*.mp4"):
        with av.open(str(path)) as container:
            assert sum(1 for _ in container.decode(video=0)) > 0


def test_a_backend_that_is_chosen_with_the_first_frames_is_told_of(session, clip):
    chosen = FakeBackend()
    session._parts.load = lambda network: Derainer(backend=chosen)
    session.open(clip)
    wait_until(lambda: session.heard.figures)
    chosen.name = "fused"
    wait_until(lambda: session.heard.networks[-1] == (Network(), ("fused", "cpu")))


def test_a_virtual_camera_that_is_not_there_is_told_of(session, clip):
    states = []
    session.camera_changed.connect(states.append)
    session.open(clip)
    wait_until(lambda: session.heard.pictures > 1)
    session.set_virtual_camera(True)
    wait_until(lambda: session.heard.errors)
    wait_until(lambda: states and states[-1] is False)
    assert "\n" not in session.heard.errors[0]


def test_a_virtual_camera_that_fails_again_is_told_of_again(session, clip, monkeypatch):
    monkeypatch.setattr("nerdrain_rt.media.sinks.VirtualCamera", lambda: KeepingSink("camera", fails_at=0))
    states = []
    session.camera_changed.connect(states.append)
    session.open(clip)
    wait_until(lambda: session.heard.pictures > 1)
    for times in (1, 2):
        session.set_virtual_camera(True)
        wait_until(lambda times=times: states == [True, False] * times)
        assert session.heard.errors == ["camera: no space left on device"] * times


def test_each_loss_of_an_output_is_told(app, load, monkeypatch):
    monkeypatch.setattr("nerdrain_rt.live.sinks.PROVEN_SECONDS", 0.05)
    monkeypatch.setattr("nerdrain_rt.live.sinks.RETRY_SECONDS", 0.05)
    monkeypatch.setattr("nerdrain_gui.run.FIGURES_SECONDS", 0)
    server = KeepingSink("server", error=MediaError("server: lost"))
    server.is_found_again = True
    session = Session(load=load, sinks=[server])
    session.heard = heard = Heard(session)
    session.open("test")
    for losses in (1, 2):
        written = len(server.frames)
        wait_until(lambda written=written: len(server.frames) > written + 10)
        wait_until(lambda: not session._run._faults)
        server.fails_at = len(server.frames)
        wait_until(lambda losses=losses: len(heard.errors) == losses)
        server.fails_at = None
    assert heard.errors == ["server: lost; trying again"] * 2
    assert session.shut_down(10)


def test_each_loss_of_a_camera_is_told(app, load, monkeypatch):
    monkeypatch.setattr("nerdrain_gui.run.FIGURES_SECONDS", 0)
    camera = FrameSource(10**9, gate=lambda _: time.sleep(0.002))
    session, warned = Session(load=load, source=lambda name: camera), []
    session.warned.connect(warned.append)
    session.open("0")
    for times in (1, 2):
        camera.warnings = ["camera: lost"] * times
        wait_until(lambda times=times: len(warned) == times)
    camera.warnings = []
    wait_until(lambda: not session._run._faults)
    camera.warnings = ["camera: lost"]
    wait_until(lambda: len(warned) == 3)
    assert set(warned) == {"camera: lost"}
    assert session.shut_down(10)


def test_shutting_down_waits_no_longer_than_told_for_a_slow_network(app, clip):
    backend = FakeBackend(seconds=2.0)
    session = Session(load=lambda network: Derainer(backend=backend))
    session.open(clip)
    wait_until(lambda: backend.shapes)
    started = time.monotonic()
    assert not session.shut_down(0.3)
    assert time.monotonic() - started < 1.0
    session._ending[0].thread.join()
