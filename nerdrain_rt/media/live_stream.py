"""Pictures and sound that come over a network or from a device, found again when they are lost."""

from __future__ import annotations

import errno
import logging
import re
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
from av.audio.stream import AudioStream
from av.codec.context import Flags, ThreadType

from nerdrain_rt.errors import CameraError, DerainError, MediaError
from nerdrain_rt.frame import VideoInfo
from nerdrain_rt.media.live_base import Clock, LiveFrame, LiveSource, LiveSourceSettings, SoundFormat, SoundPacket
from nerdrain_rt.media.report import codec_name, explain
from nerdrain_rt.media.source import MICROSECONDS, find_video_stream
from nerdrain_rt.pixel_layout import nearest_supported

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

_log = logging.getLogger(__name__)

BACK_OFF_SECONDS = (0.25, 0.5, 1.0, 2.0, 5.0)
"""Between tries to find a lost source again; the last one for all that follow."""
WITHOUT_TIMES = {"mpjpeg", "mjpeg", "h264", "hevc", "obu", "m4v"}
"""Demuxers that make times up from a guessed rate."""
IN_PIECES = {"hls", "dash"}
"""Demuxers that get seconds of pictures at once, which are to be shown one after the other."""
MOST_WARNINGS = 50
"""Of a run of weeks the last ones are kept; a loss has its number, so that each is told of."""
POLL_SECONDS = 0.002
"""Between looks at a device that has nothing yet."""
FAULTS_IN_A_ROW = 100
"""Packets that cannot be read or decoded, without a picture between, after which a source counts as lost."""


@dataclass(frozen=True, slots=True)
class Address:
    """What FFmpeg needs to know to open a live source."""

    shown: str
    """The name in messages, without passwords."""
    file: str
    container_format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    error: type[DerainError] = MediaError
    is_paced: bool = False
    """Whether the pictures come faster than they are to be shown."""


class LiveStream(LiveSource):
    """The source at `address`. When it is lost, it is tried again with growing pauses; `warnings` tells of it."""

    def __init__(self, address: Address, settings: LiveSourceSettings, *, clock: Clock | None = None) -> None:
        super().__init__(address.shown, settings, clock=clock)
        self._address = address
        self._connection: _Connection | None = None
        self._first: tuple[float, av.VideoFrame] | None = None
        self._has_ended = False
        self._losses = 0

    def _open(self) -> None:
        self._connect()
        assert self._first is not None and self._connection is not None
        picture = self._first[1]
        self.info = VideoInfo(
            size=(picture.height, picture.width),
            pixel_format=picture.format.name,
            codec=codec_name(self._connection.video),
            frame_rate=self._connection.video.average_rate or self._connection.video.guessed_rate,
            frame_count=None,
            duration_seconds=None,
            rotation=picture.rotation % 360,
            is_interlaced=picture.interlaced_frame,
            sample_aspect_ratio=self._connection.video.sample_aspect_ratio or Fraction(1),
        )
        self.sound = self._connection.sound_format
        self._check_wishes()

    def _close(self) -> None:
        self.is_connected = False
        self._first = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connect(self) -> None:
        """Open the source and wait for the first picture."""
        self._connection = connection = _Connection(self._address, self.settings)
        try:
            self._first = self._first_picture(connection)
        except BaseException:
            self._close()
            raise
        self.is_connected = True

    def _first_picture(self, connection: _Connection) -> tuple[float, av.VideoFrame]:
        deadline = self.clock.now() + self.settings.open_timeout_seconds
        for arrived, item in connection.items:
            if isinstance(item, av.VideoFrame):
                return arrived, item
            if self.clock.now() > deadline:
                break
        raise connection.error(f"no picture came{connection.last_fault}")

    def _frames(self) -> Iterator[LiveFrame]:
        while not self._is_stopped and self._first is not None:
            try:
                yield from self._connected()
            except DerainError as error:
                lost = str(error)
            else:
                lost = f"{self.name}: the stream ended"
            if self._is_stopped or self._has_ended:
                return
            self._reconnect(lost)

    def _connected(self) -> Iterator[LiveFrame]:
        """The frames of one connection."""
        connection = self._connection
        assert connection is not None and self._first is not None
        first, self._first = self._first, None
        self._timeline.forget()
        yield from self._placed(*first)
        for arrived, item in connection.items:
            if self._is_stopped:
                return
            if isinstance(item, av.VideoFrame):
                yield from self._placed(arrived, item)
            elif self._timeline.shift_seconds is not None and connection.sound_format == self.sound:
                assert self.sound is not None
                self.on_sound(SoundPacket.of(item, self.sound, self._timeline.shift_seconds))
        self._has_ended = connection.has_end

    def _placed(self, arrived: float, picture: av.VideoFrame) -> Iterator[LiveFrame]:
        """The picture as a frame, at its time where the source is ahead of it; nothing when stopped before."""
        connection = self._connection
        assert connection is not None
        seconds = connection.seconds(picture)
        arrived = min(arrived, self.clock.now())
        if connection.is_paced and seconds is not None:
            shift = self._timeline.shift_seconds
            if shift is not None:
                due = self._timeline.started + seconds + shift
                if not self._wait_until(due):
                    return
                arrived = max(arrived, due)
        pts = self._timeline.place(seconds, arrived)
        picture = self._readable(picture)
        yield self._frame(picture, pts, arrived, seconds or 0.0)

    def _readable(self, picture: av.VideoFrame) -> av.VideoFrame:
        wanted = nearest_supported(picture.format.name)
        if wanted == picture.format.name:
            return picture
        return picture.reformat(format=wanted, threads=1)

    def _reconnect(self, lost: str) -> None:
        """Try until the source is found again or stopped; raises where it may not be tried any longer."""
        began = self.clock.now()
        patience = self.settings.reconnect_seconds
        self._close()
        if patience == 0:
            raise self._address.error(lost)
        self._losses += 1
        count = f" ({self._losses})" if self._losses > 1 else ""
        self._warn(f"{lost}; trying again{count}")
        for pause in _pauses():
            if not self._wait_until(self.clock.now() + pause):
                return
            try:
                self._connect()
            except DerainError as error:
                _log.info("%s", error)
                if patience is not None and self.clock.now() - began > patience:
                    raise self._address.error(f"{lost}; not found again within {patience:g} s") from error
            else:
                self._warn(f"{self.name}: back after {self.clock.now() - began:.1f} s{count}")
                return

    def _check_wishes(self) -> None:
        """Tell where a camera chose another size or rate than it was asked for."""
        settings, info = self.settings, self.info
        if settings.size and settings.size != info.size and self._address.error is CameraError:
            wished, got = (f"{width}x{height}" for height, width in (settings.size, info.size))
            self._warn(f"{self.name}: gives {got}, not {wished}")
        if settings.rate and info.frame_rate and abs(info.frame_rate / settings.rate - 1) > Fraction(1, 20):
            self._warn(f"{self.name}: gives {float(info.frame_rate):g} frames/s, not {float(settings.rate):g}")

    def _warn(self, text: str) -> None:
        self.warnings = [*self.warnings[1 - MOST_WARNINGS :], text]
        _log.warning("%s", text)


class _Connection:
    """An open container: its pictures, decoded without delay, and its sound as packets, in the order they come."""

    def __init__(self, address: Address, settings: LiveSourceSettings) -> None:
        self._address = address
        self._settings = settings
        self.last_fault = ""
        timeouts = settings.open_timeout_seconds, settings.read_timeout_seconds
        began = time.monotonic()
        try:
            self._container: InputContainer = av.open(
                address.file,
                format=address.container_format,
                options=address.options,
                timeout=timeouts,
                metadata_errors="surrogateescape",
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            if time.monotonic() - began >= settings.open_timeout_seconds:
                # RTSP calls silence invalid data, a device calls it not permitted
                raise self.error(_late(settings.open_timeout_seconds)) from None
            reason = _reason(error, settings.open_timeout_seconds)
            if "://" in address.file and getattr(error, "errno", None) == errno.EIO:
                reason += "; is the host's name right?"  # all that FFmpeg tells of a name that nobody knows
            raise self.error(reason) from error
        try:
            self.video: VideoStream = find_video_stream(self._container, address.shown)
        except BaseException:
            self._container.close()
            raise
        self.video.codec_context.thread_type = ThreadType.SLICE  # frames in threads come out frames later
        self.video.codec_context.flags |= Flags.low_delay | Flags.copy_opaque
        sound = self._container.streams.best("audio") if settings.has_sound else None
        self._sound = sound if isinstance(sound, AudioStream) and sound.codec_context is not None else None
        self.sound_format = SoundFormat.of(self._sound) if self._sound is not None else None
        names = set(self._container.format.name.split(","))
        self.has_end = self._container.duration is not None
        """Whether the source has a known end: a recording that is served."""
        self.is_paced = address.is_paced or self.has_end or bool(names & IN_PIECES)
        self._has_times = not names & WITHOUT_TIMES
        self.items = self._items()
        """Each picture or packet of sound with the moment it came in; raises where the source is lost."""

    def close(self) -> None:
        self.items.close()  # lets go of the packet at hand, which may lie in memory of the device
        self._container.close()

    def error(self, reason: str) -> DerainError:
        return self._address.error(f"{self._address.shown}: {reason}")

    def seconds(self, picture: av.VideoFrame) -> float | None:
        """The source's time of a picture; None where it has none that can be trusted."""
        time = picture.pts if picture.pts is not None else picture.dts
        if time is None or picture.time_base is None or not self._has_times:
            return None
        return float(time * picture.time_base)

    def _items(self) -> Generator[tuple[float, av.VideoFrame | Packet[Stream]]]:
        streams: list[Stream] = [self.video] if self._sound is None else [self.video, self._sound]
        faults = 0
        for arrived, packet in self._packets(streams):
            if packet.stream is not self.video:
                if packet.size:
                    yield arrived, packet
                continue
            packet.opaque = arrived
            try:
                pictures = self.video.decode(cast("Packet[VideoStream]", packet))
            except av.FFmpegError as error:
                faults += 1
                self.last_fault = f": {explain(error)}"
                if faults == FAULTS_IN_A_ROW:
                    raise self.error(f"nothing that can be decoded{self.last_fault}") from error
                continue
            for picture in pictures:
                faults = 0
                if self.video.codec_context.name == "rawvideo":
                    picture.make_writable()  # a copy: the packet's memory is the device's, and gone when that is closed
                came = picture.opaque if isinstance(picture.opaque, float) else arrived
                yield came, picture

    def _packets(self, streams: list[Stream]) -> Iterator[tuple[float, Packet[Stream]]]:
        faults = 0
        silent_since: float | None = None
        while True:
            try:
                for packet in self._container.demux(streams):
                    faults, silent_since = 0, None
                    yield time.monotonic(), packet
            except av.BlockingIOError:
                silent_since = silent_since or time.monotonic()
                if time.monotonic() - silent_since > self._settings.read_timeout_seconds:
                    raise self.error(f"lost: {_late(self._settings.read_timeout_seconds)}") from None
                time.sleep(POLL_SECONDS)
                continue
            except av.InvalidDataError as error:
                faults += 1
                if faults < FAULTS_IN_A_ROW:
                    continue
                raise self.error(f"nothing that can be read: {explain(error)}") from error
            except (av.FFmpegError, OSError) as error:
                raise self.error(f"lost: {_reason(error, self._settings.read_timeout_seconds)}") from error
            return


def open_url(url: str, settings: LiveSourceSettings) -> LiveStream:
    """The stream at a URL."""
    scheme = url.partition("://")[0].lower()
    options = {
        "probesize": "1000000",
        "analyzeduration": str(MICROSECONDS),
        "fpsprobesize": "2",
        "max_delay": str(MICROSECONDS // 10),
    }
    if scheme in ("rtsp", "rtsps"):
        options |= {"rtsp_transport": settings.transport, "allowed_media_types": "video+audio"}
    elif scheme == "udp":
        options |= {"fifo_size": "50000", "overrun_nonfatal": "1"}
    elif scheme == "srt":
        options |= {"latency": "120000"}
    return LiveStream(Address(without_password(url), url, options=options), settings)


def open_test_picture(settings: LiveSourceSettings) -> LiveStream:
    """A moving test picture with a tone, for trying out."""
    height, width = settings.size or (720, 1280)
    rate = settings.rate or Fraction(30)
    graph = f"testsrc2=size={width}x{height}:rate={rate}[out0]"
    if settings.has_sound:
        graph += ";sine=frequency=440:sample_rate=48000:samples_per_frame=1024[out1]"
    return LiveStream(Address("test", graph, "lavfi", is_paced=True), settings)


def without_password(url: str) -> str:
    """The URL as it may be shown and logged."""
    url = re.sub(r"(?<=://)([^/@:]*):[^/]*@", r"\1:***@", url)
    return re.sub(r"\b(pass\w*|pwd|token)=[^&]*", r"\1=***", url, flags=re.IGNORECASE)


def _pauses() -> Iterator[float]:
    yield from BACK_OFF_SECONDS
    while True:
        yield BACK_OFF_SECONDS[-1]


def _reason(error: BaseException, timeout_seconds: float) -> str:
    if isinstance(error, av.ExitError):
        return _late(timeout_seconds)
    if isinstance(error, av.ProtocolNotFoundError):
        return "this build of FFmpeg does not know the protocol"
    return "it ended without a picture" if isinstance(error, av.EOFError) else explain(error)


def _late(timeout_seconds: float) -> str:
    return f"no data within {timeout_seconds:g} s"
