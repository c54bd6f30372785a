"""A camera that other programs see, with the clean video."""

from __future__ import annotations

from fractions import Fraction
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from nerdrain_rt.errors import CameraError, UsageError
from nerdrain_rt.media.report import explain
from nerdrain_rt.media.sink import Sink, SinkInput

if TYPE_CHECKING:
    from nerdrain_rt.media.live_base import LiveFrame

DEFAULT_RATE = Fraction(30)


class VirtualCamera(Sink):
    """Shows frames to other programs, by pyvirtualcam: v4l2loopback on Linux, OBS on macOS and Windows.

    Raises UsageError where pyvirtualcam is not installed; opening raises CameraError where there is no device.
    """

    def __init__(self, device: str | None = None) -> None:
        self.name = self.place = device or "virtual camera"
        self._device = device
        self._camera: Any = None
        if find_spec("pyvirtualcam") is None:
            raise UsageError("the virtual camera needs pyvirtualcam: pip install 'nerdrain-rt[virtualcam]'")

    def open(self, source: SinkInput) -> None:
        """Keep rate and shape; the device is opened for the first frame."""
        self._rate = float(source.info.frame_rate or DEFAULT_RATE)
        self._aspect = source.info.sample_aspect_ratio

    def write(self, frame: LiveFrame) -> None:
        """Show a frame, in the size of the first one with square samples."""
        if self._camera is None:
            self._camera = self._opened(2 * round(frame.picture.width * self._aspect / 2), frame.picture.height)
        camera = self._camera
        # threads=1: with several, swscale was seen giving wrong samples under load, if rarely
        picture = frame.picture.to_ndarray(format="rgb24", width=camera.width, height=camera.height, threads=1)
        camera.send(picture)

    def close(self) -> None:
        """Take the camera away."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()

    def _opened(self, width: int, height: int) -> Any:
        pyvirtualcam = import_module("pyvirtualcam")
        try:
            return pyvirtualcam.Camera(width=width, height=height, fps=self._rate, device=self._device)
        except (RuntimeError, OSError, ValueError) as error:
            raise CameraError(f"{self.name}: {explain(error)}; see docs/webcam.md") from error
