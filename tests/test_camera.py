"""Cameras, without one: what is asked of FFmpeg, which camera a name means, and what is said when there is none."""

import errno
import sys
from dataclasses import dataclass, field
from fractions import Fraction

import av
import pytest

from nerdrain_rt import doctor
from nerdrain_rt.errors import CameraError, UsageError
from nerdrain_rt.media import camera, live_stream
from nerdrain_rt.media.camera import NON_BLOCKING, Camera, camera_modes, list_cameras, parse_modes
from nerdrain_rt.media.live_source import LiveSourceSettings, open_source
from tests import clips

V4L2 = """\
[video4linux2,v4l2 @ 0x5581] Raw       :     yuyv422 :           YUYV 4:2:2 : 640x480 1280x720
[video4linux2,v4l2 @ 0x5581] Compressed:       mjpeg :          Motion-JPEG : 640x480 1280x720 1920x1080
"""
DSHOW = """\
[dshow @ 0000] DirectShow video device options (from video devices)
[dshow @ 0000]  Pin "Capture" (alternative pin name "0")
[dshow @ 0000]   vcodec=mjpeg  min s=1280x720 fps=30 max s=1280x720 fps=30
[dshow @ 0000]   pixel_format=yuyv422  min s=640x480 fps=5 max s=640x480 fps=30.0003
"""


@dataclass
class Device:
    name: str
    description: str
    media_types: list[str] = field(default_factory=lambda: ["video"])


@pytest.fixture
def two_cameras(monkeypatch, tmp_path):
    """A system with two cameras, whose pictures are FFmpeg's test picture; gives what was asked of FFmpeg."""
    monkeypatch.setattr(sys, "platform", "linux")
    devices = [Device("/dev/video10", "Capture Card"), Device("/dev/video2", "Dash Cam HD")]
    monkeypatch.setattr(camera, "enumerate_input_devices", lambda system: devices)
    asked = []
    really_open = av.open

    def open_test_picture(file, *, format=None, options=None, **rest):
        asked.append((file, format, options))
        error = refused.get((options or {}).get("input_format"))
        if error is not None:
            raise error
        return really_open("testsrc2=size=64x48:rate=30", format="lavfi", **rest)

    refused: dict[str | None, Exception] = {}
    monkeypatch.setattr(live_stream.av, "open", open_test_picture)
    return asked, refused


def test_cameras_are_listed_by_number(two_cameras):
    assert list_cameras() == [Camera("/dev/video2", "Dash Cam HD"), Camera("/dev/video10", "Capture Card")]


def test_two_cameras_of_one_name_are_told_apart_on_windows(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    devices = [Device("@device_pnp_1", "HD Webcam"), Device("@device_pnp_2", "HD Webcam"), Device("@device_sw", "OBS")]
    monkeypatch.setattr(camera, "enumerate_input_devices", lambda system: devices)
    opened = []
    monkeypatch.setattr(camera, "LiveCamera", lambda name, file, *rest: opened.append((name, file)))
    assert [camera.address for camera in list_cameras()] == ["@device_pnp_1", "@device_pnp_2", "OBS"]
    for name in ("0", "1", "2", "HD Webcam", "@device_pnp_2"):
        open_source(name)
    files = ["@device_pnp_1", "@device_pnp_2", "OBS", "@device_pnp_1", "@device_pnp_2"]
    assert [file for _, file in opened] == [f"video={file}" for file in files]


def test_no_camera_support_is_no_cameras(monkeypatch):
    monkeypatch.setattr(sys, "platform", "plan9")
    assert list_cameras() == []


@pytest.mark.parametrize(
    ("name", "file"), [("Dash Cam HD", "/dev/video2"), ("capture", "/dev/video10"), ("/dev/null", None)]
)
def test_a_camera_is_found_by_name_or_path(two_cameras, monkeypatch, name, file):
    asked, _ = two_cameras
    if file is None:
        monkeypatch.setattr(camera.Path, "exists", lambda path: True)
        name = file = "/dev/video7"
    with open_source(name, LiveSourceSettings(has_sound=False)) as source:
        assert next(iter(source)).picture.width == 64
    assert asked[0][:2] == (file, "v4l2")
    assert source.name == name


def test_motion_jpeg_is_asked_for_first_with_size_and_rate(two_cameras):
    asked, _ = two_cameras
    settings = LiveSourceSettings(size=(720, 1280), rate=Fraction(30))
    with open_source("Dash Cam", settings) as source:
        pass
    [(file, system, options)] = asked
    assert (file, system) == ("/dev/video2", "v4l2")
    assert options.items() >= {"video_size": "1280x720", "framerate": "30", "input_format": "mjpeg"}.items()
    assert source.warnings == ["Dash Cam: gives 64x48, not 1280x720"]


def test_a_camera_without_motion_jpeg_gives_what_it_has(two_cameras):
    asked, refused = two_cameras
    refused["mjpeg"] = OSError(22, "Invalid argument")
    with open_source("Dash Cam") as source:
        assert next(iter(source)) is not None
    assert [options.get("input_format") for _, _, options in asked] == ["mjpeg", None]


@pytest.mark.parametrize(
    ("number", "text", "words"),
    [
        (16, "Device or resource busy", "Dash Cam: device or resource busy; another program is using it"),
        (13, "Permission denied", "Dash Cam: permission denied; add your user to the group video"),
    ],
)
def test_a_camera_that_cannot_be_opened_is_one_line(two_cameras, number, text, words):
    asked, refused = two_cameras
    refused["mjpeg"] = OSError(number, text)
    with pytest.raises(CameraError) as caught:
        open_source("Dash Cam").__enter__()
    assert str(caught.value) == words
    assert len(asked) == 1


def test_a_mode_that_a_camera_does_not_have_is_one_line(two_cameras):
    _, refused = two_cameras
    refused["nv12"] = OSError(22, "Invalid argument")
    with pytest.raises(CameraError, match="Dash Cam: invalid argument"):
        open_source("Dash Cam", LiveSourceSettings(pixel_format="nv12")).__enter__()


def test_an_unplugged_camera_is_found_again(two_cameras, monkeypatch):
    asked, _ = two_cameras
    unplugged = iter([True])
    really_packets = live_stream._Connection._packets

    def packets(connection, streams):
        for index, item in enumerate(really_packets(connection, streams)):
            if index == 3 and next(unplugged, False):
                raise connection.error("lost: no such device")
            yield item

    monkeypatch.setattr(live_stream._Connection, "_packets", packets)
    with open_source("Dash Cam") as source:
        frames = iter(source)
        pts = [next(frames).pts for _ in range(8)]
        source.stop()
    assert source.warnings[0] == "Dash Cam: lost: no such device; trying again"
    assert source.warnings[1].startswith("Dash Cam: back after")
    assert pts == sorted(set(pts))
    assert len(asked) == 2


class Polled:
    """A container that does not wait: it has so many packets, between each two of them nothing yet."""

    def __init__(self, container, packets):
        self.container, self.packets = container, packets

    def __getattr__(self, name):
        return getattr(self.container, name)

    def demux(self, streams):
        if self.packets:
            self.packets -= 1
            yield next(self.container.demux(streams))
        raise av.BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")


@pytest.mark.parametrize("packets", [0, 3])
def test_a_camera_that_falls_silent_is_lost(two_cameras, monkeypatch, packets):
    asked, _ = two_cameras
    open_test_picture = av.open
    monkeypatch.setattr(live_stream.av, "open", lambda *args, **rest: Polled(open_test_picture(*args, **rest), packets))
    settings = LiveSourceSettings(read_timeout_seconds=0.1, reconnect_seconds=0, has_sound=False)
    pts = []
    lost = pytest.raises(CameraError, match=r"^Dash Cam: lost: no data within 0\.1 s$")
    with lost, open_source("Dash Cam", settings) as source:
        pts.extend(frame.pts for frame in source)
    assert len(pts) == packets
    assert asked[0][2]["fflags"] == NON_BLOCKING


class Mapped:
    """A container whose packets lie in memory of the device."""

    def __init__(self, container, said):
        self.container, self.said = container, said

    def __getattr__(self, name):
        return getattr(self.container, name)

    def demux(self, streams):
        try:
            for packet in self.container.demux(streams):
                self.said.append(packet.buffer_ptr)
                yield packet
        finally:
            self.said.append("let go")

    def close(self):
        self.said.append("closed")
        self.container.close()


def test_nothing_of_a_camera_is_held_when_it_is_closed(monkeypatch, tmp_path):
    clip = clips.video(tmp_path / "raw.nut", codec="rawvideo", pixel_format="yuyv422", size=(48, 64), frames=3)
    said, container = [], av.open(str(clip))
    monkeypatch.setattr(live_stream.av, "open", lambda *_, **__: Mapped(container, said))
    with live_stream.LiveStream(live_stream.Address("Dash Cam", str(clip)), LiveSourceSettings()) as source:
        picture = next(iter(source)).picture
        in_packet = said[0] <= picture.planes[0].buffer_ptr < said[0] + 48 * 64 * 2
    assert not in_packet
    assert said[-2:] == ["let go", "closed"]


def test_what_is_no_camera_is_told_with_those_there_are(two_cameras):
    with pytest.raises(
        CameraError, match=r"^webcam: no such file, address or camera; there are /dev/video2 \(Dash Cam HD\), "
    ):
        open_source("webcam")
    with pytest.raises(CameraError, match=r"^7: no such camera; there are "):
        open_source("7")


def test_modes_are_read_from_what_ffmpeg_prints():
    assert list(parse_modes(V4L2)) == ["yuyv422 640x480 1280x720", "mjpeg 640x480 1280x720 1920x1080"]
    assert list(parse_modes(DSHOW)) == ["mjpeg 1280x720 up to 30/s", "yuyv422 640x480 up to 30/s"]


def test_doctor_gives_what_opens_each_camera(two_cameras):
    cameras = doctor.examine()["cameras"]
    assert [(camera["address"], camera["name"]) for camera in cameras] == [
        ("/dev/video2", "Dash Cam HD"),
        ("/dev/video10", "Capture Card"),
    ]
    doctor.doctor_command()


def test_a_camera_that_is_not_there_has_no_modes():
    assert camera_modes("/dev/video77") == []


@pytest.mark.parametrize("settings", [{"size": (0, 5)}, {"rate": Fraction(-1)}, {"read_timeout_seconds": 0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError):
        LiveSourceSettings(**settings)
