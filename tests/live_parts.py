"""Stand-ins for what is live: a clock that a test moves, sources of frames in memory, sinks that keep what they get."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import av

from nerdrain_rt.derainer import Derainer, DerainSettings
from nerdrain_rt.frame import VideoInfo
from nerdrain_rt.media.live_base import Clock, LiveFrame, LiveSource, SoundPacket
from nerdrain_rt.media.sinks import Sink, SinkInput
from tests import clips
from tests.fakes import FakeBackend

PATIENCE_SECONDS = 30
RATE = 25


def until(condition: Callable[[], object], what: str = "it") -> None:
    """Wait until the condition holds, for long enough on the slowest machine."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {PATIENCE_SECONDS} s"
        time.sleep(0.002)


class ManualClock(Clock):
    """A clock that stands still until the test moves it."""

    def __init__(self) -> None:
        self.time = 100.0
        self.waiting_until = 0.0

    def now(self) -> float:
        return self.time

    def wait(self, changed: threading.Condition, seconds: float | None) -> None:
        if seconds is not None and seconds < 1e-6:
            self.time += seconds  # what sums of fractions of a second leave over
            return
        self.waiting_until = self.time + (1e9 if seconds is None else seconds)
        changed.wait(0.002)

    def advance(self, seconds: float) -> None:
        self.time = round(self.time + seconds, 6)

    def settle(self) -> None:
        """Wait until the source has given all that is due."""
        until(lambda: self.waiting_until > self.time + 1e-9, "the source's wait")


class OneByOne:
    """Lets the source give a frame when the loop has the one before."""

    def __init__(self) -> None:
        self.done = threading.Semaphore(1)

    def __call__(self, _: int) -> None:
        assert self.done.acquire(timeout=PATIENCE_SECONDS)


class FrameSource(LiveSource):
    """A source that gives pictures as fast as they are taken, or when `gate` lets it."""

    def __init__(
        self,
        count: int = 10,
        *,
        size: tuple[int, int] = (16, 16),
        sizes: Iterable[tuple[int, int]] = (),
        gate: Callable[[int], object] = lambda _: None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__("frames", clock=clock)
        self.count = count
        self.sizes = [*sizes] or [size]
        self.gate = gate

    def _open(self) -> None:
        self.info = VideoInfo(self.sizes[0], "yuv420p", "rawvideo", Fraction(RATE), None, None, 0, False)

    def _close(self) -> None:
        self.is_connected = False

    def _frames(self) -> Iterator[LiveFrame]:
        for index in range(self.count):
            self.gate(index)
            if self.is_stopped:
                return
            height, width = self.sizes[index * len(self.sizes) // self.count]
            picture = av.VideoFrame(width, height, "yuv420p")
            for plane in picture.planes:
                plane.update(bytes([index % 256]) * plane.buffer_size)
            pts = self._timeline.place(index / RATE, self._timeline.started + index / RATE)
            yield self._frame(picture, pts, self.clock.now(), index / RATE)


class KeepingSink(Sink):
    """Keeps the frames' times, or fails at the frame `fails_at`."""

    def __init__(self, name: str = "kept", *, fails_at: int | None = None, error: Exception | None = None) -> None:
        self.name = name
        self.fails_at = fails_at
        self.error = error or OSError(28, "No space left on device")
        self.source: SinkInput | None = None
        self.frames: list[LiveFrame] = []
        self.sound: list[SoundPacket] = []
        self.is_closed = False

    def open(self, source: SinkInput) -> None:
        self.source = source

    def write(self, frame: LiveFrame) -> None:
        if len(self.frames) == self.fails_at:
            raise self.error
        self.frames.append(frame)

    def write_sound(self, sound: SoundPacket) -> None:
        self.sound.append(sound)

    def close(self) -> None:
        self.is_closed = True

    def await_frames(self, count: int) -> None:
        until(lambda: len(self.frames) >= count, f"frame {count}")


class Gate:
    """Lets one frame at a time through the network, and tells that one has come."""

    def __init__(self) -> None:
        self._arrived = threading.Semaphore(0)
        self._opened = threading.Semaphore(0)

    def __call__(self) -> None:
        self._arrived.release()
        assert self._opened.acquire(timeout=PATIENCE_SECONDS)

    def await_frame(self) -> None:
        assert self._arrived.acquire(timeout=PATIENCE_SECONDS)

    def open(self, count: int = 1) -> None:
        self._opened.release(count)


def make_derainer(backend: FakeBackend | None = None, **settings: object) -> Derainer:
    return Derainer(DerainSettings(**settings), backend=backend or FakeBackend())


@contextmanager
def serving(serve: Callable[[socket.socket, int], None]) -> Iterator[int]:
    """A TCP server on loopback; `serve` gets each connection and its number. Yields the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    is_over = threading.Event()

    def run() -> None:
        number = 0
        while not is_over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                serve(connection, number)
            number += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        is_over.set()
        with socket.socket() as last:
            last.connect(listener.getsockname())
        listener.close()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def transport_stream(path: Path, *, seconds: float = 2, sound: bool = True) -> bytes:
    """Some MPEG-TS with a picture and a tone."""
    if sound:
        clips.with_sound(path, seconds=seconds, video_options=("-bf", "0"))
    else:
        clips.video(path, frames=round(RATE * seconds), rate=RATE, options={"bf": "0"})
    return path.read_bytes()


def jpeg(size: tuple[int, int], index: int = 0) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = size[1], size[0]
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
    return b"".join(bytes(packet) for packet in encoder.encode(clips.picture(index, size, "yuvj420p")))


HEADER = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n\r\n"


def part(content: bytes) -> bytes:
    return b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(content), content)
