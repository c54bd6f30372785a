# SPDX-License-Identifier: GPL-3.0-or-later
"""What the window has to do with the live pipeline: it gives orders here and gets pictures and figures."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PyQt6.QtCore import QCoreApplication, QObject, pyqtSignal
from PyQt6.QtGui import QImage

from nerdrain_gui.network import LoadDerainer, Network, load_derainer, remembering
from nerdrain_gui.outlet import Outlet
from nerdrain_gui.picture import Picture, Wanted, as_image, square, upright
from nerdrain_gui.run import Choices, OpenSource, Parts, Run, open_source
from nerdrain_gui.screen import Pair, Screen

if TYPE_CHECKING:
    from nerdrain_rt.live import LiveSettings
    from nerdrain_rt.media.sinks import Sink

translate = QCoreApplication.translate


class Session(QObject):
    """One source at a time, played through the network; every method returns at once."""

    opened = pyqtSignal(object)
    picture_ready = pyqtSignal()
    """`take_picture` has a new one."""
    figures_changed = pyqtSignal(object)
    status_changed = pyqtSignal(str)
    """What is being waited for; empty when nothing is."""
    paused_changed = pyqtSignal(bool)
    network_changed = pyqtSignal(object, object)
    """The `Network` asked for, and (backend, device) that it is."""
    recording_changed = pyqtSignal(bool)
    camera_changed = pyqtSignal(bool)
    """Whether the virtual camera is on."""
    told = pyqtSignal(str)
    warned = pyqtSignal(str)
    failed = pyqtSignal(str)
    closed = pyqtSignal()
    _ended = pyqtSignal(object)

    def __init__(
        self,
        parent: QObject | None = None,
        *,
        load: LoadDerainer = load_derainer,
        source: OpenSource = open_source,
        sinks: Sequence[Sink] = (),
        settings: LiveSettings | None = None,
    ) -> None:
        super().__init__(parent)
        self._outlet = outlet = Outlet(self)
        self._screen = Screen(lambda: outlet.emit("picture_ready"))
        self._choices = Choices()
        self._parts = Parts(remembering(load), source, self._screen, outlet.emit, sinks, settings)
        self._run: Run | None = None
        self._ending: list[Run] = []
        self._ended.connect(self._take_end)

    @property
    def is_open(self) -> bool:
        """Whether a source is open or being opened."""
        return self._run is not None

    @property
    def is_paused(self) -> bool:
        """Whether the picture stands still."""
        return self._run is not None and self._run.is_paused

    @property
    def settings(self) -> tuple[float, float]:
        """Strength and work scale as they are set."""
        return self._choices.strength, self._choices.work_scale

    def open(self, name: str) -> None:
        """Play a file, an address or a camera in place of what is open."""
        self.close()
        self._run = Run(name, self._parts, self._choices, after=list(self._ending))
        self._run.thread.start()

    def close(self) -> None:
        """Close what is open; its threads end on their own."""
        if self._run is not None:
            self._run.stop()
            self._ending.append(self._run)
            self._run = None
            self.status_changed.emit("")
            self.closed.emit()
        self._ending = [run for run in self._ending if run.thread.is_alive()]
        self._screen.show(None)

    def take_picture(self) -> Picture | None:
        """The newest picture, once."""
        return self._screen.take()

    def want(self, wanted: Wanted) -> None:
        """How pictures are to be."""
        self._screen.want(wanted)

    def set_strength(self, strength: float) -> None:
        """From the next frame on."""
        self._choices.strength = strength
        self._apply(strength=strength)

    def set_work_scale(self, work_scale: float) -> None:
        """From the next frame on."""
        self._choices.work_scale = work_scale
        self._apply(work_scale=work_scale)

    def set_comparing(self, compares_frames: bool) -> None:
        """Whether frames are compared where that is fast enough, and those of paused files as in files."""
        self._choices.compares_frames = compares_frames
        self._apply(temporal=compares_frames)

    def set_network(self, network: Network) -> None:
        """Change backend or device; what plays goes on until the other one is loaded."""
        self._choices.network = network
        if self._run is not None:
            self._run.change_network(network)

    def set_looping(self, is_looping: bool) -> None:
        """Whether files begin again at their end."""
        self._choices.is_looping = is_looping
        if self._run is not None:
            self._run.set_looping(is_looping)

    def toggle_pause(self) -> None:
        """Pause or go on."""
        if self._run is not None:
            self._run.set_paused(not self._run.is_paused)
            self.paused_changed.emit(self._run.is_paused)

    def step(self) -> None:
        """One frame on, and stand still."""
        if self._run is not None:
            self._run.step()
            self.paused_changed.emit(True)

    def seek(self, seconds: float) -> None:
        """Go to a time of the file."""
        if self._run is not None:
            self._run.seek(seconds)

    def save_picture(self, path: Path) -> None:
        """Write the clean frame at full size."""
        pair = self._screen.pair
        if pair is not None:
            threading.Thread(target=self._save, args=(pair, path), name="snapshot", daemon=True).start()

    def set_recording(self, path: Path | None) -> None:
        """Record into a file from now on; stop for None."""
        if self._run is not None:
            self._run.set_recording(path)

    def set_virtual_camera(self, is_on: bool) -> None:
        """Offer the clean picture to other programs as a camera, or no longer."""
        if self._run is not None:
            self._run.set_virtual_camera(is_on)

    def shut_down(self, timeout_seconds: float) -> bool:
        """Close and wait; whether everything ended in time."""
        self._outlet.close()
        self.blockSignals(True)
        until = time.monotonic() + timeout_seconds
        self.close()
        is_ended = self._screen.shut_down(timeout_seconds)
        for run in self._ending:
            run.thread.join(max(0.0, until - time.monotonic()))
        return is_ended and not any(run.thread.is_alive() for run in self._ending)

    def _take_end(self, run: Run) -> None:
        """A source ended by itself, or failed."""
        if run is self._run:
            self.close()

    def _apply(self, **change: Any) -> None:
        """Change what is chosen and nothing else: the work scale may be the governor's."""
        if self._run is not None:
            self._run.apply(**change)

    def _save(self, pair: Pair, path: Path) -> None:
        picture = pair.clean.picture
        samples = upright(picture, square(picture, pair.aspect), pair.rotation)
        image: QImage = as_image(samples)
        if image.save(str(path)):
            self._outlet.emit("told", translate("Session", "Saved {0}").format(path))
        else:
            self._outlet.emit("failed", translate("Session", "{0}: the picture could not be written").format(path))
