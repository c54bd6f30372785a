"""A video file played at its own speed, as if it were live, with the buttons of a player."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, cast

from nerdrain_rt.errors import MediaError
from nerdrain_rt.frame import Frame
from nerdrain_rt.media.live_base import Clock, LiveFrame, LiveSource, LiveSourceSettings, SoundFormat, SoundPacket
from nerdrain_rt.media.reader import VideoReader
from nerdrain_rt.media.source import MICROSECONDS, open_source, read_packets
from nerdrain_rt.temporal import trios

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.packet import Packet
    from av.stream import Stream

_log = logging.getLogger(__name__)

DEFAULT_RATE = 25
LARGEST_DELAY_SECONDS = 0.5
"""A player that is later than this does not rush to catch up: it goes on from where it is."""
SEEK_BACK_SECONDS = (1.0, 10.0)
"""How far before the last frame to look, in turn, where the file ends earlier than it says."""
STILL_LEAD_SECONDS = 1.0
"""How far before a still to begin, or two frames where they are further apart, so that one before it is met."""


class _Pause(Enum):
    """What a paused file does instead of going on."""

    STILL = auto()
    """Give its frame once more."""


@dataclass(frozen=True, slots=True)
class _Schedule:
    """When each time of the file is due, by the clock."""

    clock_seconds: float
    file_seconds: float

    def due(self, seconds: float) -> float:
        return self.clock_seconds + seconds - self.file_seconds


class PacedFile(LiveSource):
    """Plays `source`; `play`, `pause`, `step`, `seek`, `loop` and the properties are for any thread.

    While it is paused, a step or seek gives one frame; with `has_stills` the last frame comes once more, with those
    around it, as soon as nothing else is wanted. At the end it begins again (`loop`), waits paused (`hold_at_end`, then
    `play` begins again) or ends. Times are in seconds from the beginning of the file.
    """

    is_seekable = True

    def __init__(
        self, source: str | Path, settings: LiveSourceSettings | None = None, *, clock: Clock | None = None
    ) -> None:
        super().__init__(str(source), settings, clock=clock)
        self._loop = self.settings.loop
        self._is_paused = False
        self._is_at_end = False
        self._frames_wanted = 0
        self._is_still_wanted = False
        self._sought: float | None = None
        self._schedule: _Schedule | None = None
        self._position = 0.0
        self._reader: VideoReader | None = None
        self._sound_track: _SoundTrack | None = None

    @property
    def position(self) -> float:
        """The time of the last frame that was given."""
        return self._position

    @property
    def duration(self) -> float | None:
        """Seconds; None where the file does not tell."""
        return self.info.duration_seconds

    @property
    def is_paused(self) -> bool:
        """Whether it waits for `play`."""
        return self._is_paused

    @property
    def is_at_end(self) -> bool:
        """Whether it waits at the end of the file."""
        return self._is_at_end

    @property
    def loop(self) -> bool:
        """Whether it begins again at the end."""
        return self._loop

    @loop.setter
    def loop(self, loop: bool) -> None:
        with self._changed:
            self._loop = loop
            self._changed.notify_all()

    def play(self) -> None:
        """Go on, or begin again at the end."""
        with self._changed:
            if self._is_at_end and self._sought is None and self.settings.hold_at_end:
                self._sought = 0.0
            self._is_paused = False
            self._changed.notify_all()

    def pause(self) -> None:
        """Stand still."""
        with self._changed:
            self._is_paused = True
            self._changed.notify_all()

    def step(self) -> None:
        """Give the next frame and stand still."""
        with self._changed:
            self._is_paused = True
            self._frames_wanted += 1
            self._changed.notify_all()

    def seek(self, seconds: float) -> None:
        """Go on at the first frame that is not before `seconds`, or near the end; when paused, give that frame."""
        with self._changed:
            self._sought = max(0.0, seconds)
            self._frames_wanted = 1
            self._changed.notify_all()

    def again(self) -> None:
        """While it is paused, give the still once more."""
        with self._changed:
            self._is_still_wanted = self.settings.has_stills
            self._changed.notify_all()

    def _open(self) -> None:
        self._open_at(0.0)
        assert self._reader is not None
        self.info = self._reader.info

    def _close(self) -> None:
        self.is_connected = False
        reader, self._reader = self._reader, None
        sound_track, self._sound_track = self._sound_track, None
        if reader is not None:
            self.warnings += [text for text in reader.warnings if text not in self.warnings]
            reader.__exit__(None, None, None)
        if sound_track is not None:
            sound_track.close()

    def _frames(self) -> Iterator[LiveFrame]:
        yield from self._play()
        while (start := self._next_start()) is not None:
            if start is _Pause.STILL:
                yield from self._still()
            else:
                self._open_at(start)
                yield from self._play()

    def _open_at(self, start: float) -> None:
        self._close()
        self._reader = self._reader_from(start)
        if self.settings.has_sound:
            self._sound_track = _SoundTrack(self.name, start)
            self.sound = self._sound_track.format
        self.is_connected = True

    def _reader_from(self, start: float) -> VideoReader:
        """An open reader; behind the end, at the last frame or somewhat before."""
        if not start:
            return VideoReader(self.name).__enter__()
        begin = 1.5 * float(1 / (self.info.frame_rate or DEFAULT_RATE))
        end = self.info.duration_seconds
        for back in (0.0, begin, *SEEK_BACK_SECONDS):
            wanted = (start if end is None else min(start, end)) - back
            try:
                return VideoReader(self.name, start=max(0.0, wanted) or None).__enter__()
            except MediaError:
                _log.debug("%s: nothing at %g s", self.name, wanted)
        return VideoReader(self.name).__enter__()

    def _play(self) -> Iterator[LiveFrame]:
        """The frames from here to the end of the file, or until it is sought or stopped."""
        assert self._reader is not None
        for frame in self._reader:
            seconds = _position(frame, self._reader)
            while (schedule := self._wait_for(seconds)) is _Pause.STILL:
                yield from self._still()
            if schedule is None:
                return
            pts = self._timeline.place(None, schedule.due(seconds))
            if self._sound_track is not None and not self._is_paused:
                for packet in self._sound_track.until(seconds):
                    shift = schedule.due(0.0) - self._timeline.started - self._sound_track.begin
                    self.on_sound(SoundPacket.of(packet, cast(SoundFormat, self.sound), shift))
            self._position = seconds
            self._is_still_wanted = self.settings.has_stills
            yield self._frame(frame.picture, pts, self.clock.now(), seconds)
            self._end = seconds + self._seconds_shown(frame)

    def _still(self) -> Iterator[LiveFrame]:
        """The last frame once more with those around it, from a second look at the file; none where that fails."""
        lead = max(STILL_LEAD_SECONDS, 2 * float(1 / (self.info.frame_rate or DEFAULT_RATE)))
        position = self._position
        try:
            with VideoReader(self.name, start=max(0.0, position - lead) or None) as reader:
                found = next((trio for trio in trios(reader) if _position(trio[0], reader) >= position), None)
        except MediaError as error:
            _log.info("%s", error)
            return
        if found is not None:
            frame, around = found
            now = self.clock.now()
            still = self._frame(frame.picture, self._timeline.place(None, now), now, position)
            yield replace(still, around=around or ())

    def _seconds_shown(self, frame: Frame) -> float:
        if frame.picture.duration:
            return float(frame.picture.duration * frame.time_base)
        return float(1 / (self.info.frame_rate or DEFAULT_RATE))

    def _wait_for(self, seconds: float) -> _Schedule | _Pause | None:
        """Wait until the frame at `seconds` of the file may go; None where it may not, being sought or stopped."""
        with self._changed:
            while not self._is_stopped and self._sought is None:
                now = self.clock.now()
                if self._frames_wanted:
                    self._frames_wanted -= 1
                    schedule = _Schedule(now, seconds)
                    self._schedule = None if self._is_paused else schedule
                    return schedule
                if self._is_paused:
                    self._schedule = None
                    if self._takes_still():
                        return _Pause.STILL
                    self.clock.wait(self._changed, None)
                    continue
                if self._schedule is None or now - self._schedule.due(seconds) > LARGEST_DELAY_SECONDS:
                    self._schedule = _Schedule(now, seconds)
                left = self._schedule.due(seconds) - now
                if left <= 0:
                    return self._schedule
                self.clock.wait(self._changed, left)
        return None

    def _takes_still(self) -> bool:
        is_wanted, self._is_still_wanted = self._is_still_wanted, False
        return is_wanted

    def _next_start(self) -> float | _Pause | None:
        """Where in the file to go on; None to end. Waits where the end is to be held."""
        with self._changed:
            while not self._is_stopped:
                if self._sought is not None:
                    sought, self._sought, self._schedule = self._sought, None, None
                    self._is_at_end = False
                    return sought
                if self._loop:
                    if self._schedule is not None:
                        self._schedule = _Schedule(self._schedule.due(self._end), 0.0)
                    self._is_at_end = False
                    return 0.0
                if not self.settings.hold_at_end and not self._is_paused:
                    return None
                self._is_paused = self._is_at_end = True
                self._frames_wanted = 0
                if self._takes_still():
                    return _Pause.STILL
                self.clock.wait(self._changed, None)
        return None


def _position(frame: Frame, reader: VideoReader) -> float:
    """Seconds from the beginning of the file."""
    return float(frame.pts * frame.time_base - reader.container_start)


class _SoundTrack:
    """A second look at the file: the packets of its sound, in step with the frames."""

    def __init__(self, source: str, start: float) -> None:
        self._container = open_source(source)
        stream = cast("AudioStream | None", self._container.streams.best("audio"))
        self.format: SoundFormat | None = None
        self.begin = (self._container.start_time or 0) / MICROSECONDS
        """The time of the stream at which the file begins."""
        self._start = start
        self._next: Packet[Stream] | None = None
        if stream is not None and stream.codec_context is not None:
            self.format = SoundFormat.of(stream)
            if start:
                self._container.seek(int((self.begin + start) * MICROSECONDS))
            self._packets = read_packets(self._container, [stream], lambda _: None)
            self._next = next(self._packets, None)

    def close(self) -> None:
        self._container.close()

    def until(self, seconds: float) -> Iterator[Packet[Stream]]:
        """The packets from the start up to that time of the file."""
        while self._next is not None and self._next.size:
            time = float((self._next.pts or 0) * self._next.time_base) - self.begin
            if time > seconds:
                return
            if time >= self._start:
                yield self._next
            self._next = next(self._packets, None)
