"""Reads the video stream of a file, frame by frame in presentation order, and says what was wrong with it."""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import av
from av.container.core import Flags

from nerdrain_rt.errors import MediaError, UsageError
from nerdrain_rt.frame import Frame, VideoInfo
from nerdrain_rt.gpu_picture import can_stay_on_gpu, gpu_access, is_on_gpu, on_host, sample_format
from nerdrain_rt.media.report import codec_name, explain, media_errors
from nerdrain_rt.media.restarts import RESTART_SECONDS
from nerdrain_rt.media.source import MICROSECONDS, find_video_stream, open_source, read_packets
from nerdrain_rt.media.tags import PictureTags
from nerdrain_rt.pixel_layout import has_alpha, nearest_supported

if TYPE_CHECKING:
    from av.container import InputContainer

_log = logging.getLogger(__name__)

SEEK_LEADS_SECONDS = (0, 1, 10)
"""How far before the wanted start to seek, tried in turn until a picture before it is found."""
RARE_SHARE = 0.05
"""Up to this share of uneven intervals a frame rate is taken for constant."""
EARLY_END_SECONDS = 1.0
"""A stream that ends this much before its declared duration was cut off."""
FRAME_TOLERANCE = Fraction(1, 100)
"""An end this little behind a frame's time, in frames, is taken for the frame's time."""


class VideoReader:
    """The frames of the video stream of `source`, as a context manager and an iterable that is read once.

    `start` and `end` are seconds from the beginning of the file; frames with start <= time < end are
    delivered. Pixel formats that `color` does not read (palettes, bitmaps, floats) are converted to the
    nearest it does, a picture of another size or format than the first to the first's, timestamps that are
    missing or do not grow are repaired; `warnings` tells all of it. With the number of a `gpu` its decoder is used
    where it knows the video, and its pictures stay there where `color` can read them.

    Raises `MediaError` on entering where no picture can be had, `UsageError` for an impossible range.
    """

    info: VideoInfo
    tags: PictureTags
    stream_index: int
    first_pts: int
    time_base: Fraction

    def __init__(
        self, source: str | Path, *, start: float | None = None, end: float | None = None, gpu: int | None = None
    ) -> None:
        if start is not None and start < 0:
            raise UsageError(f"start is {start:g} s; it must not be negative")
        if end is not None and end <= (start or 0):
            raise UsageError(f"end is {end:g} s; it must be after the start at {start or 0:g} s")
        self.source = str(source)
        self.start = Fraction(start).limit_denominator(MICROSECONDS) if start else None
        self.end = Fraction(end).limit_denominator(MICROSECONDS) if end is not None else None
        self.frames_read = 0
        self.shifts: list[Fraction] = []
        """What pictures were moved on by, in seconds, where the times of joined files begin again."""
        self._gpu = gpu
        self._first: av.VideoFrame | None = None
        self._faults: dict[str, int] = {}
        self._damages: dict[str, int] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def __enter__(self) -> Self:
        self._open()
        try:
            self._begin()
        except BaseException:
            self._container.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:  # a thread that was not waited for may be inside the decoder
            self._is_closed = True
            self._pictures.close()
            self._container.close()

    @property
    def is_damaged(self) -> bool:
        """Whether something of the stream could not be decoded."""
        return bool(self._damages)

    @property
    def warnings(self) -> list[str]:
        """One line for each kind of fault met so far."""
        counted = [*self._faults.items(), *self._damages.items()]
        return [f"{text} ({count} times)" if count > 1 else text for text, count in counted]

    @property
    def gpu(self) -> int | None:
        """Where the pictures are; None in the host's memory."""
        return self._gpu if self._is_on_gpu else None

    @property
    def container_start(self) -> Fraction:
        """The time in seconds at which the file begins; `start` and `end` count from here."""
        return Fraction(self._container_start, MICROSECONDS)

    @property
    def container_format(self) -> str:
        """FFmpeg's name of the file's format, of a family all names."""
        return self._container.format.name

    def __iter__(self) -> Iterator[Frame]:
        picture, self._first = self._first, None
        last_pts: int | None = None
        last_duration = 0
        intervals: Counter[int] = Counter()
        while picture is not None:
            pts = self._repaired_pts(picture, last_pts)
            if last_pts is not None:
                intervals[pts - last_pts] += 1
            if self.end is not None and pts * self.time_base - self.container_start >= self.end:
                return
            self.frames_read += 1
            yield Frame(self._like_first(picture), pts, self.time_base)
            last_pts, last_duration = pts, picture.duration or 0
            with self._lock:
                picture = next(self._pictures, None)
                if self._is_closed:
                    return
        self._check_intervals(intervals)
        if last_pts is not None:
            self._check_end(last_pts, last_duration)

    def _open(self) -> None:
        self._container = self._open_container()
        self._container.flags &= ~cast(int, Flags.gen_pts.value)  # guesses wrong for B-frames in AVI; decoders do not
        try:
            self._stream = find_video_stream(self._container, self.source)
        except BaseException:
            self._container.close()
            raise
        # with a hardware decoder, FFmpeg advises against frames in threads
        self._stream.codec_context.thread_type = "SLICE" if self._stream.codec_context.is_hwaccel else "AUTO"

    def _open_container(self) -> InputContainer:
        if self._gpu is not None:
            try:
                with gpu_access(self._gpu) as hwaccel:
                    return open_source(self.source, hwaccel)
            except (MediaError, RuntimeError) as error:  # the file's own faults come again below
                _log.info("%s: decoded on the processor: %s", self.source, error)
        return open_source(self.source)

    def _begin(self) -> None:
        self.stream_index = self._stream.index
        self.time_base = self._stream.time_base or Fraction(1, MICROSECONDS)
        self._container_start = self._container.start_time or 0
        self._rate = self._stream.average_rate or self._stream.guessed_rate
        self._expected_end = self._declared_end()
        first = self._find_first()
        if first is None:
            raise MediaError(f"{self.source}: {self._why_nothing()}")
        self.first_pts = self._repaired_pts(first, None)
        self.tags = PictureTags.of(first)
        self._is_on_gpu = can_stay_on_gpu(first)
        if self._gpu is not None and not is_on_gpu(first):
            self._note_fault("the GPU cannot decode this video; decoded on the processor")
        if self._stream.metadata.get("alpha_mode") == "1" and not has_alpha(sample_format(first)):
            self._note_fault("its transparency (alpha) is not read, and so not kept")
        self._format = nearest_supported(sample_format(first))
        if self._format != sample_format(first):
            self._note_fault(f"the network cannot read {sample_format(first)} pictures; converted to {self._format}")
        self.info = self._describe(first)
        self._first = first

    def _find_first(self) -> av.VideoFrame | None:
        """Begin decoding so that the next picture is the first wanted one; None where there is none."""
        self._pictures = self._decode()
        if self.start is None:
            return next(self._pictures, None)
        wanted = self.container_start + self.start
        for lead in SEEK_LEADS_SECONDS:
            try:
                self._container.seek(int((wanted - lead) * MICROSECONDS))
            except av.FFmpegError:
                continue
            self._pictures = self._decode()
            earlier, picture = self._skip_to(wanted)
            if picture is not None and earlier:
                return picture
        self._container.close()
        self._open()
        self._pictures = self._decode()
        return self._skip_to(wanted)[1]

    def _skip_to(self, wanted: Fraction) -> tuple[int, av.VideoFrame | None]:
        """How many pictures were passed over, and the first one that is not before `wanted`."""
        for passed, picture in enumerate(self._pictures):
            if (decoder_time(picture) or 0) * self.time_base >= wanted:
                return passed, picture
        return 0, None

    def _decode(self) -> Generator[av.VideoFrame]:
        """Every picture that can be decoded from here; what cannot is counted as damage."""
        self._damages.clear()
        for packet in read_packets(self._container, [self._stream], self._note_damage):
            if packet.is_corrupt:
                self._note_damage("a packet is cut off or corrupt")
            if packet.has_sidedata("encryption_info"):
                raise MediaError(f"{self.source}: the video is encrypted; decrypt it first")
            try:
                pictures = self._stream.decode(packet)
            except av.FFmpegError as error:
                self._note_damage(f"a packet could not be decoded: {explain(error)}")
                continue
            for picture in pictures:
                if picture.is_corrupt:
                    self._note_damage("a picture is damaged")
                yield picture

    def _repaired_pts(self, picture: av.VideoFrame, last_pts: int | None) -> int:
        pts = decoder_time(picture)
        if last_pts is None:
            return pts or 0
        if pts is not None and pts > last_pts:
            return pts
        if pts is not None:
            self._note_fault("wrong timestamps: a picture is not later than the one before; repaired")
        duration = picture.duration or (round(1 / (self._rate * self.time_base)) if self._rate else 1)
        is_near = pts is not None and last_pts - pts < duration
        repaired = last_pts + (1 if is_near else max(duration, 1))
        if pts is not None:
            self._note_shift((repaired - pts) * self.time_base)
        return repaired

    def _like_first(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture in the size and format of the first one."""
        height, width = self.info.size
        own_format, own_size = sample_format(picture), (picture.height, picture.width)
        if own_format == self._format and own_size == self.info.size:
            return picture if self._is_on_gpu else on_host(picture)
        if nearest_supported(own_format) != self._format or own_size != self.info.size:
            self._note_fault(f"size or pixel format changes; converted to {width}x{height} {self._format}")
        with media_errors(f"{self.source}: {picture.width}x{picture.height} {own_format} picture"):
            # threads=1: with several, swscale was seen giving wrong samples under load, if rarely
            return picture.reformat(width=width, height=height, format=self._format, threads=1)

    def _check_intervals(self, intervals: Counter[int]) -> None:
        """Tell of jumps in otherwise even times: a camera that skipped, or damage that the demuxer passed over."""
        total = intervals.total()
        if not total:
            return
        usual, _ = intervals.most_common(1)[0]
        jumps = sum(count for interval, count in intervals.items() if interval > 1.5 * usual + 1)
        if 0 < jumps <= RARE_SHARE * total:
            times = "once" if jumps == 1 else f"{jumps} times"
            self._note_fault(f"the timestamps jump {times}: the source may have lost frames")

    def _check_end(self, last_pts: int, last_duration: int) -> None:
        """Tell where the last picture ended too early, unless every frame of the container's index came."""
        expected = self._expected_end
        if expected is None or self.frames_read in self._indexed_frames():
            return
        frame_seconds = 1 / self._rate if self._rate else Fraction(0)
        ended = last_pts * self.time_base + (last_duration * self.time_base or frame_seconds)
        if ended < expected - max(Fraction(EARLY_END_SECONDS), 2 * frame_seconds):
            start = self.container_start
            self._note_damage(f"ends at {float(ended - start):.1f} s of {float(expected - start):.1f} s")

    def _indexed_frames(self) -> Iterator[int]:
        """How many frames the stream has by its own word: MP4's index, a tag in Matroska, which may be stale."""
        if self._stream.frames:
            yield self._stream.frames
        for key, value in self._stream.metadata.items():
            if key.upper().startswith("NUMBER_OF_FRAMES") and value.isdecimal():
                yield int(value)

    def _declared_end(self) -> Fraction | None:
        """When the stream ends by its own word; Matroska tells it in a tag at the file's end, and in its head."""
        stream = self._stream
        if stream.duration is not None:
            return ((stream.start_time or 0) + stream.duration) * self.time_base
        try:
            hours, minutes, seconds = map(Fraction, stream.metadata.get("DURATION", "").split(":"))
        except ValueError:
            container = self._container
            is_alone = "matroska" in container.format.name and len(container.streams) == 1
            return Fraction(container.duration, MICROSECONDS) if is_alone and container.duration else None
        return (hours * 60 + minutes) * 60 + seconds

    def _describe(self, first: av.VideoFrame) -> VideoInfo:
        stream = self._stream
        rate = self._rate
        duration: float | None = None
        if self._expected_end is not None:
            duration = float(self._expected_end - (stream.start_time or 0) * self.time_base)
        elif self._container.duration is not None:
            duration = self._container.duration / MICROSECONDS
        frame_count: int | None = stream.frames or None
        if frame_count is None and duration is not None and rate:
            frame_count = round(duration * rate)
        if frame_count is not None and rate:
            frame_count = self._count_in_range(frame_count, rate)
        if duration is not None and (self.start is not None or self.end is not None):
            duration = max(0.0, min(duration, float(self.end or duration)) - float(self.start or 0))
        return VideoInfo(
            size=(first.height, first.width),
            pixel_format=self._format,
            codec=codec_name(stream),
            frame_rate=rate,
            frame_count=frame_count,
            duration_seconds=duration,
            rotation=first.rotation % 360,
            is_interlaced=self.tags.is_interlaced,
            sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
        )

    def _count_in_range(self, total: int, rate: Fraction) -> int:
        """How many of `total` frames at a constant `rate` are not before the first wanted picture nor after the end."""
        first = self.first_pts * self.time_base
        begin = first if self.start is None else (self._stream.start_time or 0) * self.time_base
        if self.end is not None:
            total = min(total, math.ceil((self.container_start + self.end - begin) * rate - FRAME_TOLERANCE))
        if self.start is not None:
            total -= round((first - begin) * rate)
        return max(total, 0)

    def _why_nothing(self) -> str:
        if self.start is not None and not self._damages:
            return f"no picture at or after {float(self.start):g} s"
        return "no picture could be decoded" + "".join(f"; {text}" for text in list(self._damages)[:1])

    def _note_shift(self, seconds: Fraction) -> None:
        if seconds > RESTART_SECONDS + (self.shifts[-1] if self.shifts else 0):
            self.shifts.append(seconds)

    def _note_damage(self, text: str) -> None:
        self._damages[text] = self._damages.get(text, 0) + 1

    def _note_fault(self, text: str) -> None:
        self._faults[text] = self._faults.get(text, 0) + 1


def decoder_time(picture: av.VideoFrame) -> int | None:
    """The picture's time in units of its stream; formats without presentation times have the decoding time only."""
    return picture.pts if picture.pts is not None else picture.dts
