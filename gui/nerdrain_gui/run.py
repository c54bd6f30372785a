# SPDX-License-Identifier: GPL-3.0-or-later
"""One source on its way through the live pipeline, from opening to closing."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PyQt6.QtCore import QCoreApplication

from nerdrain_gui.graphics import GraphicsLoad, graphics_load
from nerdrain_gui.network import LoadDerainer, Network, in_words
from nerdrain_gui.screen import Pair, Screen
from nerdrain_gui.words import source_in_words

if TYPE_CHECKING:
    from nerdrain_rt.derainer import Derainer
    from nerdrain_rt.frame import VideoInfo
    from nerdrain_rt.live import LiveSettings
    from nerdrain_rt.media.sinks import Sink

_log = logging.getLogger(__name__)
translate = QCoreApplication.translate
FIGURES_SECONDS = 0.25
TICK_SECONDS = 1.0
"""How soon a lost source is told of while no frame comes."""

OpenSource = Callable[[str], Any]
"""From a file, an address or a camera to the library's `LiveSource`; raises DerainError."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What the source is."""

    name: str
    size: tuple[int, int]
    """(height, width)."""
    is_seekable: bool
    duration: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """How it goes."""

    fps: float = 0.0
    latency_ms: float = 0.0
    dropped: int = 0
    work_scale: float = 1.0
    position: float = 0.0
    graphics: GraphicsLoad | None = None
    is_still: bool = False
    """The frame of a paused file, as it comes out in the file."""
    compares_frames: bool = False
    """Whether a still is compared with the frames around it."""


def open_source(name: str) -> Any:
    """The library's live source; a file is played at its own speed."""
    from nerdrain_rt.media import live_source

    return live_source.open_source(name, live_source.LiveSourceSettings(hold_at_end=True, has_stills=True))


@dataclass
class Choices:
    """What the user chose, for each run to follow."""

    network: Network = field(default_factory=Network)
    strength: float = 1.0
    work_scale: float = 1.0
    compares_frames: bool = True
    is_looping: bool = True


@dataclass(slots=True)
class Parts:
    """What runs have in common."""

    load: LoadDerainer
    open_source: OpenSource
    screen: Screen
    emit: Callable[..., None]
    """Emits the signal of this name of the `Session`, from any thread."""
    sinks: Sequence[Sink]
    settings: LiveSettings | None


class Run:
    """One source from opening to closing, in a thread of its own."""

    def __init__(self, name: str, parts: Parts, choices: Choices, after: Sequence[Run]) -> None:
        self.thread = threading.Thread(target=self._work, name="preview", daemon=True)
        self.is_paused = False
        self._name = name
        self._parts = parts
        self._choices = choices
        self._after = after
        self._is_stopping = False
        self._was_playing = False
        self._source: Any = None
        self._derainer: Derainer | None = None
        self._other: tuple[Network, Derainer] | None = None
        self._sinks: Any = None
        self._recording: Any = None
        self._camera: Any = None
        self._ending: list[threading.Thread] = []
        self._faults: Counter[str] = Counter()
        self._told = 0.0
        self._told_of = ""

    def stop(self) -> None:
        """Ask the thread to end."""
        self._is_stopping = True
        source = self._source
        self._was_playing = source is not None
        if source is not None:
            source.stop()

    def wait(self, name: str) -> None:
        """Wait until `name` can be opened: until this has ended, unless it was stopped while it opened another source.

        That takes as long as a silent server is waited for, and nothing is derained any more.
        """
        if self._was_playing or name == self._name:
            self.thread.join()

    def apply(self, **change: Any) -> None:
        """Let these fields of the derainer's settings act from the next frame on, and on the one of a paused file."""
        if (derainer := self._derainer) is not None:
            derainer.settings = replace(derainer.settings, **change)
        if self._file is not None:
            self._file.again()

    def change_network(self, network: Network) -> None:
        """Load another network while this one works on, then take it."""
        threading.Thread(target=self._change_network, args=(network,), name="load", daemon=True).start()

    def set_looping(self, is_looping: bool) -> None:
        """Whether a file begins again at its end."""
        if self._file is not None:
            self._file.loop = is_looping

    def set_paused(self, is_paused: bool) -> None:
        """Hold a file, or the picture of what cannot be held."""
        self.is_paused = is_paused
        if self._file is not None:
            self._file.pause() if is_paused else self._file.play()

    def step(self) -> None:
        """Let one frame of a file through."""
        if self._file is not None:
            self.is_paused = True
            self._file.step()

    def seek(self, seconds: float) -> None:
        """Go to a time of a file."""
        if self._file is not None:
            self._file.seek(seconds)

    def set_recording(self, path: Path | None) -> None:
        """Add a recording to the sinks, or end it."""
        self._recording = self._switch(self._recording, None if path is None else lambda sinks: sinks.Recording(path))
        self._parts.emit("recording_changed", self._recording is not None)
        if path is not None and self._recording is not None:
            self._parts.emit("told", translate("Run", "Recording to {0}").format(path))

    def set_virtual_camera(self, is_on: bool) -> None:
        """Add a virtual camera to the sinks, or end it."""
        self._camera = self._switch(self._camera, (lambda sinks: sinks.VirtualCamera()) if is_on else None)
        self._parts.emit("camera_changed", self._camera is not None)

    @property
    def _file(self) -> Any:
        """The source where it is a file that can be held."""
        source = self._source
        return source if source is not None and source.is_seekable else None

    def _switch(self, sink: Any, make: Callable[[Any], Any] | None) -> Any:
        """The sink that is on now: none, or a new one where `make` is given and it can be had."""
        from nerdrain_rt.media import sinks

        if self._sinks is None:
            return None
        if sink is not None:
            # In a thread: an encoder before a slow disk takes up to 5 s to end, and this is the window's.
            ending = threading.Thread(target=self._sinks.remove, args=(sink,), name="sink", daemon=True)
            ending.start()
            self._ending.append(ending)
        if make is None:
            return None
        try:
            fresh = make(sinks)
            self._sinks.add(fresh)
        except Exception as error:
            self._parts.emit("failed", in_words(error))
            return None
        return fresh

    def _work(self) -> None:
        try:
            for earlier in self._after:
                earlier.wait(self._name)
            self._play()
        except Exception as error:
            _log.info("the preview ended", exc_info=True)
            self._tell("failed", in_words(error))
        for ending in self._ending:
            ending.join()
        self._source = None
        self._parts.emit("_ended", self)

    def _play(self) -> None:
        self._show_first_frame()
        self._tell("status_changed", translate("Run", "Loading the network…"))
        network = self._choices.network
        derainer = self._parts.load(network)
        position = 0.0
        while not self._is_stopping:
            self._derainer = derainer
            choices = self._choices
            self.apply(strength=choices.strength, work_scale=choices.work_scale, temporal=choices.compares_frames)
            self._tell_of_network(network, derainer)
            self._tell("status_changed", translate("Run", "Opening {0}…").format(source_in_words(self._name)))
            position = self._play_with(derainer, position)
            if self._other is None:
                return
            (network, derainer), self._other = self._other, None

    def _show_first_frame(self) -> None:
        """Show a file's first frame as it is; a slow network takes seconds for its first."""
        from nerdrain_rt.errors import MediaError
        from nerdrain_rt.frame import Frame
        from nerdrain_rt.media.source import read_first_picture

        if not Path(self._name).is_file():
            return
        with suppress(MediaError):
            picture, aspect, _ = read_first_picture(self._name)
            frame = Frame(picture, picture.pts or 0, picture.time_base or Fraction(1))
            if not self._is_stopping:
                self._parts.screen.show(Pair(frame, frame, picture.rotation, aspect, is_derained=False))

    def _play_with(self, derainer: Derainer, position: float) -> float:
        """Play until the end or until another network is there; the position of the last frame."""
        from nerdrain_rt.live import LiveSettings, Sinks
        from nerdrain_rt.pipeline import derain_live

        sinks = Sinks()
        for sink in (*self._parts.sinks, self._recording, self._camera):
            if sink is not None:
                sinks.add(sink)
        self._sinks = sinks
        settings = replace(self._parts.settings or LiveSettings(), keep_rainy=True, tick_seconds=TICK_SECONDS)
        with self._parts.open_source(self._name) as source:
            self._source = source
            self.set_looping(self._choices.is_looping)
            if self._file is not None and position:
                source.seek(position)
            self.set_paused(self.is_paused)
            if self._is_stopping:
                return position
            info = source.info
            duration = source.duration if source.is_seekable else None
            self._tell("opened", Opened(source.name, info.upright().size, source.is_seekable, duration))
            self._tell("status_changed", translate("Run", "Waiting for the first frame…"))
            with closing(derain_live(source, derainer, self._sinks, settings=settings)) as steps:
                for step in steps:
                    if self._is_stopping or self._other is not None:
                        source.stop()
                        break
                    if step.frame is not None and step.rainy is not None:
                        position = step.frame.position
                        self._show(step, info)
                    else:
                        self._tell_of_faults(step.stats)
        return position

    def _show(self, step: Any, info: VideoInfo) -> None:
        if step.frame_index == 1:
            self._tell("status_changed", "")
        if self._file is not None or not self.is_paused:
            self._parts.screen.show(Pair(step.rainy, step.frame, info.rotation, info.sample_aspect_ratio))
        if self._file is not None and self._file.is_paused != self.is_paused:
            self.is_paused = self._file.is_paused
            self._tell("paused_changed", self.is_paused)
        now = time.monotonic()
        if now - self._told >= FIGURES_SECONDS or self.is_paused:
            self._told = now
            stats, derainer = step.stats, self._derainer
            assert derainer is not None
            if derainer.backend.name != self._told_of:  # `auto` says what it took when it has seen a frame
                self._tell_of_network(self._choices.network, derainer)
            figures = Figures(
                stats.fps,
                stats.latency_ms,
                sum(stats.dropped.values()),
                stats.work_scale,
                step.frame.position,
                graphics_load(str(derainer.backend.device)),
                step.frame.around is not None,
                derainer.compares_frames,
            )
            self._tell("figures_changed", figures)
            self._tell_of_faults(stats)

    def _tell_of_faults(self, stats: Any) -> None:
        """Tell of what is wrong since the last time; of a fault that was gone and came again, again."""
        errors = [sink.error for sink in stats.sinks if sink.error]
        faults = Counter([*stats.warnings, *errors])
        fresh, self._faults = faults - self._faults, faults
        for text in fresh:
            self._tell("failed" if text in errors else "warned", text)
        failed = [sink.name for sink in stats.sinks if sink.error in fresh]
        if self._recording is not None and self._recording.name in failed:
            self.set_recording(None)
        if self._camera is not None and self._camera.name in failed:
            self.set_virtual_camera(False)

    def _change_network(self, network: Network) -> None:
        self._tell("status_changed", translate("Run", "Loading the network…"))
        try:
            fresh = self._parts.load(network)
        except Exception as error:
            self._tell("failed", in_words(error))
        else:
            if network != self._choices.network:
                return  # another one was chosen meanwhile
            derainer = self._derainer
            if derainer is not None and fresh.backend.device == derainer.backend.device:
                derainer.backend = fresh.backend
                self._tell_of_network(network, derainer)
            else:
                self._other = network, fresh
        self._tell("status_changed", "")

    def _tell_of_network(self, network: Network, derainer: Derainer) -> None:
        self._told_of = derainer.backend.name
        self._tell("network_changed", network, (self._told_of, str(derainer.backend.device)))

    def _tell(self, signal: str, *values: object) -> None:
        """Emit, unless the window shows something else by now."""
        if not self._is_stopping:
            self._parts.emit(signal, *values)
