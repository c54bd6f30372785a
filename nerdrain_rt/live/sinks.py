"""The threads of the sinks: all take the same frames, none waits for another."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

from nerdrain_rt.errors import DerainError, MediaError
from nerdrain_rt.live.figures import Meter, SinkStats
from nerdrain_rt.media.live_base import LiveFrame, SoundPacket
from nerdrain_rt.media.picture_copies import PictureCopies
from nerdrain_rt.media.report import explain
from nerdrain_rt.media.sink import Sink, SinkInput
from nerdrain_rt.stages import Outlet

STALLED_SECONDS = 10.0
"""A sink that is inside one frame for longer is told of as failed until it goes on."""
PROVEN_SECONDS = 6.0
"""A sink that took frames for so long works: a server that is not there, or is silent, shows sooner."""
RETRY_SECONDS = 5.0
"""Until a sink that worked and was lost is tried again."""
SOUND_PACKETS = 1000
"""Sound that waits for a frame, at most; some 20 seconds."""


class _Line:
    """One sink with its thread, its sound that waits, and its figures."""

    def __init__(self, sink: Sink, source: SinkInput, now: Callable[[], float]) -> None:
        self.sink = sink
        self.meter = Meter()
        self._source = source
        self._now = now
        self._busy_since: float | None = None
        self._began: float | None = None
        self._lost: Exception | None = None
        self._missed = 0
        self._sound: deque[SoundPacket] = deque(maxlen=SOUND_PACKETS)
        self.outlet = Outlet(self._work, name=sink.name)

    @property
    def error(self) -> str | None:
        """Why it failed, or was lost and is being tried again; None while it works."""
        since, lost = self._busy_since, self._lost
        if self.outlet.error is not None:
            return self._in_words(self.outlet.error)
        if lost is not None:
            return f"{self._in_words(lost)}; trying again"
        if since is not None and self._now() - since > STALLED_SECONDS:
            return f"{self.sink.name}: has taken nothing for {STALLED_SECONDS:g} s"
        return None

    @property
    def stats(self) -> SinkStats:
        """Its figures now."""
        latency = self.meter.quantile(0.5)
        dropped = self.outlet.dropped + self._missed
        return SinkStats(self.sink.name, self.meter.count, dropped, latency, self.error)

    def put_sound(self, sound: SoundPacket) -> None:
        """Keep sound until the next frame."""
        self._sound.append(sound)

    def _in_words(self, error: Exception) -> str:
        return str(error) if isinstance(error, DerainError) else f"{self.sink.name}: {explain(error)}"

    def _work(self, frames: Iterator[LiveFrame]) -> None:
        try:
            for frame in frames:
                if self._began is None:
                    self.sink.open(self._source)
                    self._began = self._now()
                if self._is_away:
                    self._missed += 1
                    continue
                try:
                    self._write(frame)
                except (DerainError, OSError) as error:
                    self._try_again(error)
        except BaseException:
            with suppress(Exception):
                self.sink.close()
            raise
        if self._lost is not None and self._is_away:
            raise self._lost
        self._write_sound()
        self.sink.close()
        self._lost = None

    def _write(self, frame: LiveFrame) -> None:
        self._busy_since = self._now()
        self._write_sound()
        self.sink.write(frame)
        self._busy_since, now = None, self._now()
        self.meter.add(now, 1000 * (now - frame.captured))
        if self._is_proven:
            self._lost = None

    @property
    def _is_proven(self) -> bool:
        return self._began is not None and self._now() - self._began > PROVEN_SECONDS

    @property
    def _is_away(self) -> bool:
        """Whether it was lost and its next try is still to come."""
        return self._began is not None and self._now() < self._began

    def _try_again(self, error: Exception) -> None:
        """Begin anew in a while; raises the error of a sink that cannot or never worked."""
        if not self.sink.is_found_again or not (self._lost or self._is_proven):
            raise error
        with suppress(Exception):
            self.sink.close()
        self._sound.clear()
        self._missed += 1
        self._lost, self._busy_since = error, None
        self._began = self._now() + RETRY_SECONDS

    def _write_sound(self) -> None:
        while self._sound:
            self.sink.write_sound(self._sound.popleft())


class Sinks:
    """Sinks that take the same frames, each in a thread of its own; they may come and go while frames flow.

    A sink that fails is reported and left out; where `is_needed`, it is an error when the last one has failed.
    """

    def __init__(self, sinks: Iterable[Sink] = (), *, is_needed: bool = False) -> None:
        self._waiting = list(sinks)
        self._is_needed = is_needed
        self._lines: list[_Line] = []
        self._gone: list[_Line] = []
        self._copies = PictureCopies()
        self._lock = threading.Lock()
        self._source: SinkInput | None = None
        self._now: Callable[[], float] = time.monotonic

    def start(self, source: SinkInput, now: Callable[[], float]) -> Self:
        """Begin with these and those that come later."""
        with self._lock:
            self._source, self._now = source, now
            waiting, self._waiting = self._waiting, []
        for sink in waiting:
            self.add(sink)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End all of them, at the same time; raises MediaError where sinks are needed and none came to its end."""
        with self._lock:
            self._source = None
            lines, self._lines = self._lines, []
            self._gone += lines
        for line in lines:
            line.outlet.close()
        for line in lines:
            line.outlet.join()
        if error is None:
            self._require_one(lines)

    def add(self, sink: Sink) -> None:
        """Give the frames from here on to `sink` too."""
        with self._lock:
            if self._source is None:
                self._waiting.append(sink)
                return
            line = _Line(sink, self._source, self._now)
            line.outlet.start()
            self._lines.append(line)

    def remove(self, sink: Sink) -> None:
        """End that sink and wait until it has."""
        with self._lock:
            self._waiting = [other for other in self._waiting if other is not sink]
            found = [line for line in self._lines if line.sink is sink]
            self._lines = [line for line in self._lines if line.sink is not sink]
            self._gone += found
        for line in found:
            line.outlet.close()
            line.outlet.join()

    def put(self, frame: LiveFrame) -> None:
        """Offer a frame to all; raises MediaError where sinks are needed and none is left.

        Each gets a picture of its own with the same samples, because PyAV keeps what converts a picture with it, and
        crashes where two threads convert it at once.
        """
        for line in self._lines:
            line.outlet.put(replace(frame, picture=self._copies.of(frame.picture)))
        self._require_one(self._lines)

    def put_sound(self, sound: SoundPacket) -> None:
        """Offer sound to all."""
        for line in self._lines:
            line.put_sound(sound)

    def _require_one(self, lines: list[_Line]) -> None:
        if self._is_needed and lines and all(line.outlet.error for line in lines):
            raise MediaError("no output is left: " + "; ".join(filter(None, (line.error for line in lines))))

    @property
    def stats(self) -> tuple[SinkStats, ...]:
        """The figures of all, also of those that have gone or are ending."""
        with self._lock:
            return tuple(line.stats for line in (*self._gone, *self._lines))
