"""Carries everything of the source that is not the derained video into the target: other streams, chapters, tags."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
from av.format import Flags
from av.stream import Discard

from nerdrain_rt.media.boxes import has_positions
from nerdrain_rt.media.containers import CHAPTER_FORMATS, ISO_FORMATS, NAMED_CODECS
from nerdrain_rt.media.report import StreamReport, codec_name, explain
from nerdrain_rt.media.restarts import Restarts
from nerdrain_rt.media.routes import Maker, Route, is_writable, kept_tags, makers
from nerdrain_rt.media.source import MICROSECONDS, is_cover_art, is_dense, open_source, read_packets, seconds_of

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.container.core import Chapter
    from av.packet import Packet
    from av.stream import Stream

MATROSKA_FORMATS = {"matroska", "webm"}
TIMECODE_FORMATS = ISO_FORMATS | {"matroska", "mxf"}
SEEK_LEAD_SECONDS = 10
"""A trimmed copy looks this far back for subtitles that are still shown when it begins."""

INTERLEAVING_SECONDS = 10
"""A packet lies at most this much behind others of its time in the file; FFmpeg's muxers wait as long for one."""


class Passthrough:
    """A second look at `source`, read in step with the video, so that memory stays bounded.

    Times in seconds on the source's clock; everything is shifted so that `origin` becomes 0.
    What lies before `origin` (where the beginning `is_trimmed`) or after `end` is left out, subtitles and
    data that reach over an edge are shortened. Where the times of joined files begin again, everything is
    moved on as the pictures were, by `picture_shifts`.
    """

    def __init__(
        self,
        source: str,
        *,
        origin: Fraction = Fraction(0),
        is_trimmed: bool = False,
        end: Fraction | None = None,
        picture_shifts: Sequence[Fraction] = (),
    ) -> None:
        self.container = open_source(source)
        self.is_trimmed = is_trimmed
        self._source = source
        self.warnings: list[str] = []
        self._origin = origin
        self._end = end
        self._chosen: list[Maker] = []
        self._routes: dict[int, Route] = {}
        self._restarts = Restarts(picture_shifts)
        self._last_dts: dict[int, int] = {}

    def close(self) -> None:
        """Close the source."""
        self.container.close()

    def add(self, stream: Stream, target: OutputContainer) -> StreamReport:
        """Give `stream` a place in `target` if it can have one."""
        codec = codec_name(stream)
        report = partial(StreamReport, stream.index, stream.type, codec)
        name = target.format.name
        if "timecode" in stream.metadata and stream.type == "data" and name in TIMECODE_FORMATS:
            return report("copied", "written again from its timecode tag")
        if (
            stream.discard == Discard.all
            and codec == "bin_data"
            and self.container.chapters()
            and name in CHAPTER_FORMATS
        ):
            return report("copied", "written again from the chapters")
        if is_cover_art(stream) and name == "matroska":
            return self._attach_cover(stream, target)
        is_same = name in self.container.format.name.split(",")
        named = None if is_same else NAMED_CODECS.get(name)
        for maker in makers(stream, target, named) if self._can_return(stream, name) else ():
            if is_writable(name, [*self._chosen, maker]):
                self._chosen.append(maker)
                route = self._routes[stream.index] = maker(target)
                return report(route.action, _why(stream, route, name))
        return report("dropped", f"{name} cannot hold it")

    def _can_return(self, stream: Stream, container_format: str) -> bool:
        """Whether data written there can be told apart again: FFmpeg writes headers for more than it can read."""
        if stream.type == "attachment":
            return container_format == "matroska"
        if stream.type not in ("data", "unknown"):
            return True
        if container_format in ISO_FORMATS:
            return codec_name(stream) != "unknown"
        return container_format == "mpegts" or container_format in self.container.format.name.split(",")

    def start(self, target: OutputContainer) -> None:
        """Begin reading, before the header of `target` is written."""
        self._target = target
        if "mp4" in self.container.format.name and has_positions(Path(self._source)):
            self._note("the camera's positions (GPS) are lost: they are beside the streams, where FFmpeg reads nothing")
        if self.container.chapters() and target.format.name not in CHAPTER_FORMATS:
            self._note(f"{target.format.name} cannot hold chapters")
        streams = [
            stream for stream in self.container.streams if stream.index in self._routes or self._tells_end(stream)
        ]
        begin = int((self._origin - SEEK_LEAD_SECONDS) * MICROSECONDS)
        if begin > (self.container.start_time or 0):  # AVI refuses to seek to before it
            try:
                self.container.seek(begin)
            except av.FFmpegError as error:
                self.warnings.append(f"cannot seek in the source: {explain(error)}")
        packets = self._up_to_end(read_packets(self.container, streams, self._note))
        self._packets = self._wanted(packets) if self._routes else iter(())
        self._next = next(self._packets, None)
        first = None if self.is_trimmed else self._next
        earliest = Fraction(0) if first is None or first.pts is None else first.pts * first.time_base - self._origin
        if target.format.name in MATROSKA_FORMATS:
            # else FFmpeg shifts every stream until the sound's priming begins at 0
            target.container_options["avoid_negative_ts"] = "disabled"
        elif round(earliest, 3) < 0 and not target.format.flags & cast(int, Flags.ts_negative.value):
            seconds = f"{float(-earliest):.3f} s"
            self._note(f"{target.format.name} cannot hold the {seconds} before time 0: all streams begin later")

    def copy_until(self, seconds: Fraction | None) -> None:
        """Write the packets that come before `seconds` on the target's clock, or all that are left."""
        while self._next is not None and (seconds is None or self._restarts.due(self._next) - self._origin <= seconds):
            self._copy(self._next)
            self._next = next(self._packets, None)

    def finish(self) -> None:
        """Write everything that is left."""
        self.copy_until(None)
        for route in self._routes.values():
            self._write(route.flush())

    def chapters(self) -> list[Chapter]:
        """The chapters that the target keeps, on its clock."""
        kept: list[Chapter] = []
        for chapter in self.container.chapters():
            time_base = chapter["time_base"] or Fraction(1, MICROSECONDS)
            begin, finish = round(self._origin / time_base), chapter["end"]
            if self._end is not None:
                finish = min(finish, round(self._end / time_base))
            start = max(chapter["start"], begin) if self.is_trimmed else chapter["start"]
            if start < finish:
                shifted = chapter.copy()
                shifted["start"], shifted["end"] = start - begin, finish - begin
                kept.append(shifted)
        return kept

    def _tells_end(self, stream: Stream) -> bool:
        """Whether the end is known to be passed by this stream, which has packets all the time."""
        return self._end is not None and is_dense(stream)

    def _up_to_end(self, packets: Iterator[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        """The packets until all streams that tell the end are so far past it that others have nothing before it."""
        before_end = {stream.index for stream in self.container.streams if self._tells_end(stream)}
        for packet in packets:
            yield packet
            if self._end is not None and seconds_of(packet) > self._end + INTERLEAVING_SECONDS:
                before_end.discard(packet.stream.index)
                if not before_end:
                    return

    def _wanted(self, packets: Iterator[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        """The packets that have a route."""
        for packet in packets:
            if packet.size and packet.stream.index in self._routes:
                yield packet

    def _copy(self, packet: Packet[Stream]) -> None:
        """Write the packet where it belongs, if that is inside the range."""
        if is_cover_art(packet.stream):
            packet.pts = packet.dts = 0
        elif self._restarts.move_on(packet):
            self._note("the times begin again, as in joined files: other streams are moved on with the pictures")
        if is_cover_art(packet.stream) or self._trim(packet):
            self._write(self._routes[packet.stream.index].convert(packet))

    def _trim(self, packet: Packet[Stream]) -> bool:
        """Shift and shorten `packet`; False where it lies outside."""
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None or not packet.time_base:
            return not self.is_trimmed
        begin = round(self._origin / packet.time_base)
        if self._end is not None:
            last = round(self._end / packet.time_base)
            if time >= last:
                return False
            if packet.stream.type in ("subtitle", "data") and packet.duration:
                packet.duration = min(packet.duration, last - time)
        if self.is_trimmed and time < begin:
            remaining = time + (packet.duration or 0) - begin
            if packet.stream.type not in ("subtitle", "data") or remaining <= 0:
                return False
            packet.duration = remaining
            packet.pts = packet.dts = begin
        packet.pts = None if packet.pts is None else packet.pts - begin
        packet.dts = None if packet.dts is None else packet.dts - begin
        return True

    def _keep_growing(self, packet: Packet[Stream]) -> None:
        """A muxer refuses decoding times that go back, and most equal ones; those are moved on by its own ticks."""
        if packet.dts is None:
            return
        stream = packet.stream
        tick = stream.time_base or packet.time_base
        scale = packet.time_base / tick
        dts = _nearest(packet.dts * scale)
        last = self._last_dts.get(stream.index)
        least = dts if last is None else last if self._may_repeat(stream) else last + 1
        if dts < least:
            packet.pts = None if packet.pts is None else max(_nearest(packet.pts * scale), least)
            packet.dts = least
            packet.duration = _nearest((packet.duration or 0) * scale)
            packet.time_base = tick
        self._last_dts[stream.index] = max(dts, least)

    def _may_repeat(self, stream: Stream) -> bool:
        """Whether two packets may have one decoding time, as in TrueHD, which is finer than Matroska's clock."""
        is_loose = bool(self._target.format.flags & cast(int, Flags.ts_nonstrict.value))
        return is_loose or stream.type in ("subtitle", "data")

    def _write(self, packets: Iterator[Packet[Stream]]) -> None:
        try:
            for packet in packets:
                self._keep_growing(packet)
                self._target.mux(packet)
        except av.InvalidDataError as error:
            self._note(f"a packet that is not video was left out: {explain(error)}")

    def _attach_cover(self, stream: Stream, target: OutputContainer) -> StreamReport:
        with_header = open_source(self._source)
        try:
            picture = next(packet for packet in with_header.demux(with_header.streams[stream.index]) if packet.size)
        except (StopIteration, av.FFmpegError):
            return StreamReport(stream.index, stream.type, codec_name(stream), "dropped", "it cannot be read")
        finally:
            with_header.close()
        kind = "png" if codec_name(stream) == "png" else "jpeg"
        name = stream.metadata.get("filename", f"cover.{kind.replace('jpeg', 'jpg')}")
        attachment = target.add_attachment(name, f"image/{kind}", bytes(picture))
        attachment.metadata.update(kept_tags(stream.metadata) | {"filename": name, "mimetype": f"image/{kind}"})
        return StreamReport(stream.index, stream.type, codec_name(stream), "copied", "as an attachment")

    def _note(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


def _why(stream: Stream, route: Route, container_format: str) -> str | None:
    if route.codec is not None:
        return f"to {route.codec}: {container_format} cannot hold {codec_name(stream)}"
    if stream.type == "video" and not is_cover_art(stream):
        return "only one video stream is derained"
    return None


def later_timecode(timecode: str, seconds: Fraction, rate: Fraction) -> str | None:
    """`HH:MM:SS:FF` advanced by `seconds`; None for drop-frame timecode, which has another separator."""
    match = re.fullmatch(r"(\d+):(\d+):(\d+):(\d+)", timecode)
    if match is None:
        return None
    hours, minutes, whole, frame = map(int, match.groups())
    base = round(rate)
    total = ((hours * 60 + minutes) * 60 + whole) * base + frame + round(seconds * rate)
    whole, frame = divmod(total, base)
    return f"{whole // 3600 % 24:02}:{whole // 60 % 60:02}:{whole % 60:02}:{frame:02}"


def _nearest(ticks: Fraction) -> int:
    """As FFmpeg rounds times."""
    return math.floor(ticks + Fraction(1, 2))
