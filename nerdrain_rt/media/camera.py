"""Cameras of this machine: finds them, tells their modes, and opens one by number, name or path."""

from __future__ import annotations

import errno
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import av
import av.logging
from av.device import enumerate_input_devices

from nerdrain_rt.errors import CameraError
from nerdrain_rt.media.live_base import LiveSource, LiveSourceSettings
from nerdrain_rt.media.live_stream import Address, LiveStream

SYSTEMS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
"""FFmpeg's input for cameras on each system."""
NON_BLOCKING = "+4"
"""AVFMT_FLAG_NONBLOCK, which has no name as an option: where FFmpeg waits for a device, no timeout ends that."""
COMPRESSED = {"mjpeg", "h264", "hevc"}
ADVICE = {
    errno.EACCES: "; add your user to the group video",
    errno.EPERM: "; allow this program to use the camera",
    errno.EBUSY: "; another program is using it",
    errno.ENOENT: "",
    errno.ENODEV: "",
    errno.ENXIO: "",
}
"""What to do about errors that another format of pictures would not help."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera that can be opened."""

    address: str
    """What `open_source` takes: a path on Linux, a number on macOS, on Windows a name or, of several, the device's."""
    name: str


def list_cameras() -> list[Camera]:
    """The cameras of this machine, in the order of their numbers; none where FFmpeg has no input for them."""
    system = SYSTEMS.get(sys.platform)
    if system is None:
        return []
    try:
        devices = enumerate_input_devices(system)
    except (av.FFmpegError, OSError, ValueError):
        return []
    found = [device for device in devices if "video" in device.media_types or not device.media_types]
    if system == "avfoundation":
        return [Camera(str(index), device.description or device.name) for index, device in enumerate(found)]
    if system == "dshow":
        count = Counter(device.description for device in found)
        told_apart = {name for name in count if name and count[name] == 1}  # else FFmpeg takes the first of that name
        return [
            Camera(device.description if device.description in told_apart else device.name, device.description)
            for device in found
        ]
    return sorted((Camera(device.name, device.description) for device in found), key=_number)


def camera_modes(address: str) -> list[str]:
    """The formats and sizes that a camera says it has, one line each, as "mjpeg 1280x720 640x480"."""
    file, system = _place(address)
    option = {"v4l2": ("list_formats", "all"), "dshow": ("list_options", "true")}.get(system)
    if option is None:
        return []
    with av.logging.Capture() as lines, suppress(av.FFmpegError, OSError, ValueError):
        av.open(file, format=system, options=dict([option])).close()  # fails after listing
    return list(parse_modes("".join(text for _, _, text in lines)))


def parse_modes(listing: str) -> Iterator[str]:
    """Modes from what FFmpeg prints of a v4l2 or DirectShow device."""
    for line in listing.splitlines():
        if found := re.search(r"(?:Raw|Compressed)\s*:\s*(\S+) :.* : (.+)", line):
            yield f"{found[1]} {found[2].strip()}"
        elif found := re.search(r"(?:vcodec|pixel_format)=(\S+).*max s=(\d+x\d+) fps=([\d.]+)", line):
            yield f"{found[1]} {found[2]} up to {float(found[3]):.4g}/s"


def open_camera(name: str, settings: LiveSourceSettings) -> LiveSource:
    """The camera with this number, name or path; raises CameraError where there is none."""
    file, system = _place(_find(name))
    return LiveCamera(name, file, system, settings)


class LiveCamera(LiveStream):
    """A camera; MJPG is asked for first, because uncompressed pictures in HD are too much for USB 2."""

    def __init__(self, name: str, file: str, system: str, settings: LiveSourceSettings) -> None:
        super().__init__(Address(name, file, system, error=CameraError), settings)
        self._formats: list[str | None] = [settings.pixel_format]
        if settings.pixel_format is None and system != "avfoundation":
            self._formats.insert(0, "mjpeg")

    def _connect(self) -> None:
        for pixel_format in self._formats:
            options = _options(cast(str, self._address.container_format), self.settings, pixel_format)
            self._address = replace(self._address, options=options)
            try:
                super()._connect()
            except CameraError as error:
                reason = (isinstance(error.__cause__, OSError) and error.__cause__.errno) or 0
                if reason in ADVICE or pixel_format == self._formats[-1]:
                    raise CameraError(f"{error}{ADVICE.get(reason, '')}") from error
            else:
                self._formats = [pixel_format]
                return


def _options(system: str, settings: LiveSourceSettings, pixel_format: str | None) -> dict[str, str]:
    """FFmpeg's options for a device."""
    options = {"fflags": NON_BLOCKING}
    if settings.size:
        options["video_size"] = f"{settings.size[1]}x{settings.size[0]}"
    if settings.rate:
        options["framerate"] = str(settings.rate)
    elif system == "avfoundation":
        options["framerate"] = "30"  # its default of 30000/1001 is refused by most cameras
    if pixel_format and system == "v4l2":
        options["input_format"] = pixel_format
    elif pixel_format:
        options["vcodec" if pixel_format in COMPRESSED else "pixel_format"] = pixel_format
    if system == "dshow":
        options["rtbufsize"] = "100M"
    return options


def _find(name: str) -> str:
    """The address of the camera that is meant."""
    is_path = name.startswith("/dev/")
    if sys.platform == "linux" and (name.isdecimal() or is_path):
        path = Path(name if is_path else f"/dev/video{name}")
        if path.exists():
            return str(path)
    elif name.isdecimal() and int(name) < len(cameras := list_cameras()):
        return cameras[int(name)].address
    cameras = list_cameras()
    for camera in cameras:
        if name in (camera.address, camera.name):
            return camera.address
    for camera in cameras:
        if name.lower() in camera.name.lower() and not name.isdecimal():
            return camera.address
    known = ", ".join(f"{camera.address} ({camera.name})" for camera in cameras) or "no cameras"
    kind = "camera" if name.isdecimal() or is_path else "file, address or camera"
    raise CameraError(f"{name}: no such {kind}; there are {known} here")


def _place(address: str) -> tuple[str, str]:
    """What FFmpeg opens for the address, and with which of its inputs."""
    system = SYSTEMS.get(sys.platform, "v4l2")
    return (f"video={address}" if system == "dshow" else address), system


def _number(camera: Camera) -> tuple[int, str]:
    digits = re.search(r"\d+$", camera.address)
    return int(digits[0]) if digits else -1, camera.address
