"""What every live source is: frames on one growing clock, with the moment each came in, until somebody stops it."""

from __future__ import annotations

import io
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

import av

from nerdrain_rt.errors import UsageError
from nerdrain_rt.frame import Frame

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.packet import Packet
    from av.stream import Stream

    from nerdrain_rt.frame import VideoInfo

LIVE_TIME_BASE = Fraction(1, 90_000)
"""The clock of RTP and MPEG-TS; a frame of a live source is stamped in it since the source was opened."""
LARGEST_DRIFT_SECONDS = 1.0
"""A source whose own clock is further from ours than this has jumped, and is tied to ours anew."""


@dataclass(frozen=True, slots=True)
class LiveSourceSettings:
    """How a source is opened; None leaves the choice to the source. Raises UsageError for what cannot be."""

    size: tuple[int, int] | None = None
    """(height, width) asked of a camera."""
    rate: Fraction | None = None
    """Frames per second asked of a camera."""
    pixel_format: str | None = None
    """A camera's format by FFmpeg's name: mjpeg, yuyv422, nv12, h264."""
    loop: bool = False
    """Begin a file again at its end."""
    hold_at_end: bool = False
    """At its end, leave a file open and paused, so that one can seek back."""
    has_stills: bool = False
    """While a file is paused, give its frame once more, with those around it."""
    transport: Literal["tcp", "udp"] = "tcp"
    """How RTSP carries its media."""
    open_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 5.0
    reconnect_seconds: float | None = None
    """How long to try for a source that was lost; None: for ever, 0: not at all."""
    has_sound: bool = True
    """Whether sound is taken along."""

    def __post_init__(self) -> None:
        if self.size is not None and min(self.size) < 1:
            raise UsageError(f"size is {self.size[1]}x{self.size[0]}; both sides must be at least 1")
        if self.rate is not None and self.rate <= 0:
            raise UsageError(f"rate is {float(self.rate):g}; it must be above 0")
        if min(self.open_timeout_seconds, self.read_timeout_seconds) <= 0:
            raise UsageError("a timeout must be above 0 seconds")


@dataclass(frozen=True, slots=True)
class LiveFrame(Frame):
    """A frame of a live source; its pts is in `LIVE_TIME_BASE` since the source was opened and always grows."""

    captured: float
    """When it came in, by `time.monotonic`."""
    position: float
    """The source's own time in seconds; in a file, from its beginning."""
    rainy: Frame | None = None
    """The frame as it was before deraining, where that is kept."""
    around: tuple[Frame, ...] | None = None
    """Of a still: the two frames of the file to compare it with, none where there are not so many; else None."""


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """What a decoder or muxer must know of a stream of sound."""

    codec: str
    sample_rate: int
    layout: str
    extradata: bytes | None
    time_base: Fraction
    template: AudioStream = field(compare=False, repr=False)
    """A stream with these parameters that outlives the source."""

    @classmethod
    def of(cls, stream: AudioStream) -> Self:
        """The facts of a stream that is open."""
        context = stream.codec_context
        assert stream.time_base is not None
        carrier = av.open(io.BytesIO(), "w", format="mpegts")  # refuses no codec, as Matroska does G.711
        template = carrier.add_stream_from_template(stream, opaque=True)
        return cls(
            context.codec.canonical_name,
            context.sample_rate,
            context.layout.name,
            context.extradata,
            stream.time_base,
            template,
        )


@dataclass(frozen=True, slots=True)
class SoundPacket:
    """Some encoded sound, on the clock of the frames; times are in the format's time base."""

    data: bytes
    pts: int
    duration: int
    format: SoundFormat

    @classmethod
    def of(cls, packet: Packet[Stream], sound: SoundFormat, shift_seconds: float) -> Self:
        """A packet's content, `shift_seconds` later."""
        pts = packet.pts if packet.pts is not None else packet.dts or 0
        shifted = pts + round(shift_seconds / sound.time_base)
        return cls(bytes(packet), shifted, packet.duration or 0, sound)


class Clock:
    """The time a source goes by; a test can bring its own."""

    def now(self) -> float:
        """Seconds that grow."""
        return time.monotonic()

    def wait(self, changed: threading.Condition, seconds: float | None) -> None:
        """Wait for a notice, at most for `seconds`; the condition's lock is held."""
        changed.wait(seconds)


class Timeline:
    """Places a source's own times on the clock that began when it was opened.

    The source's intervals are kept; where it has no times, goes back or strays by more than
    `LARGEST_DRIFT_SECONDS`, its next time is tied to the moment it came in.
    """

    def __init__(self, started: float) -> None:
        self.started = started
        self._last_pts = -1
        self.shift_seconds: float | None = None
        """What to add to the source's times; None until the first one."""

    def forget(self) -> None:
        """The source begins anew: its next time says nothing about the ones before."""
        self.shift_seconds = None

    def place(self, seconds: float | None, arrived: float) -> int:
        """The pts of a picture with the source's time `seconds` that came in at `arrived`; later than the last."""
        elapsed = arrived - self.started
        own = elapsed if seconds is None else seconds
        if self.shift_seconds is None or abs(own + self.shift_seconds - elapsed) > LARGEST_DRIFT_SECONDS:
            self.shift_seconds = elapsed - own
        pts = round((own + self.shift_seconds) / LIVE_TIME_BASE)
        self._last_pts = max(pts, self._last_pts + 1)
        return self._last_pts


def _ignore(_: object = None) -> None:
    pass


class LiveSource(ABC):
    """Frames that come when they come, as a context manager and an iterable that is read once, in one thread.

    Entering connects and raises MediaError, CameraError or UsageError in one line. `stop` may be called from any
    thread. `on_sound` gets the sound, in the thread that iterates; `on_stop` is called by `stop`.
    """

    info: VideoInfo
    sound: SoundFormat | None = None
    is_seekable = False

    def __init__(self, name: str, settings: LiveSourceSettings | None = None, *, clock: Clock | None = None) -> None:
        self.name = name
        self.settings = settings or LiveSourceSettings()
        self.clock = clock or Clock()
        self.warnings: list[str] = []
        self.frames_read = 0
        self.is_connected = False
        self.on_sound: Callable[[SoundPacket], None] = _ignore
        self.on_stop: Callable[[], None] = _ignore
        self._is_stopped = False
        self._changed = threading.Condition()
        self._iteration: Generator[LiveFrame] | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._is_stopped

    def stop(self) -> None:
        """End the iteration, also while it waits."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        self.on_stop()

    def __enter__(self) -> Self:
        self._timeline = Timeline(self.clock.now())
        self._open()
        self.is_connected = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        try:
            if self._iteration is not None:
                self._iteration.close()
        except ValueError:
            return  # its thread is still inside the decoder, and closes the source when it comes out
        self._close()

    def __iter__(self) -> Iterator[LiveFrame]:
        """The frames, until the end of the source or `stop`."""
        self._iteration = self._until_closed()
        return self._iteration

    def _until_closed(self) -> Generator[LiveFrame]:
        try:
            yield from self._frames()
        finally:
            self._close()

    @abstractmethod
    def _frames(self) -> Iterator[LiveFrame]:
        """The frames, until the end of the source or `stop`."""

    @abstractmethod
    def _open(self) -> None:
        """Connect and set `info` and `sound`."""

    @abstractmethod
    def _close(self) -> None:
        """Let go of everything; may be called again."""

    def _wait_until(self, due: float) -> bool:
        """Wait for that moment; False where the source was stopped first."""
        with self._changed:
            while not self._is_stopped and (left := due - self.clock.now()) > 0:
                self.clock.wait(self._changed, left)
            return not self._is_stopped

    def _frame(self, picture: av.VideoFrame, pts: int, captured: float, position: float) -> LiveFrame:
        """`picture` with its place on the live clock."""
        self.frames_read += 1
        picture.pts, picture.time_base = pts, LIVE_TIME_BASE
        return LiveFrame(picture, pts, LIVE_TIME_BASE, captured, position)
