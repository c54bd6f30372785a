"""Writes the derained video with everything else of its source; the target appears only when it is whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import av

from nerdrain_rt.errors import MediaError, UsageError
from nerdrain_rt.media.codecs import Material, choose_encoding
from nerdrain_rt.media.containers import ISO_FORMATS, NAMED_CODECS, is_rate_variable
from nerdrain_rt.media.encoder import VideoEncoder
from nerdrain_rt.media.passthrough import Passthrough, later_timecode
from nerdrain_rt.media.report import StreamReport, codec_name, media_errors
from nerdrain_rt.media.routes import kept_tags
from nerdrain_rt.media.source import file_address, is_cover_art
from nerdrain_rt.media.target import kept_partial, publish, temporary_beside

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

    from nerdrain_rt.frame import Frame
    from nerdrain_rt.media.reader import VideoReader

WORKING_SUFFIXES = ".mp4, .mov, .mkv, .webm, .avi, .ts"
DEFAULT_RATE = Fraction(25)
DROP_FRAME_LOST = "the drop-frame timecode is lost, because the beginning is cut off"
ITUNES_TAGS = {
    "title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright", "grouping",
    "lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords", "episode_sort", "season_number",
    "media_type", "hd_video", "gapless_playback", "compilation", "track", "disc", "creation_time", "timecode",
}  # fmt: skip
"""What FFmpeg writes into an MP4 header by itself; others need its metadata keys, which exclude cover art."""


@dataclass(frozen=True, slots=True)
class OutputSettings:
    """How the target is written; `codec` and `codec_options` are FFmpeg's names, None is the source's family."""

    codec: str | None = None
    codec_options: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False
    keep_partial: bool = False
    """Keep what was written as `<stem>.partial<suffix>` when the work is broken off."""


class VideoWriter:
    """The file `target`, made like the source of `like`, as a context manager.

    All streams, chapters, tags and times of the source are kept as far as the container can hold
    them; `report` says of each stream what became of it. With a trimmed start, everything is shifted
    so that the first frame is at 0; from MPEG's streams, whose clock begins anywhere, into other containers
    so that the beginning of the file is. The file is written beside the target under a temporary name and
    renamed when it is complete; when the block is left by an error it is removed.

    Raises `UsageError` on entering for a target, codec or option that cannot be, `MediaError` for
    a range without a picture and for what fails while writing.
    """

    def __init__(self, target: str | Path, *, like: VideoReader, settings: OutputSettings | None = None) -> None:
        self.target = Path(target)
        self.frames_written = 0
        self.report: tuple[StreamReport, ...] = ()
        self._like = like
        self._warnings: list[str] = []
        self._settings = settings or OutputSettings()

    @property
    def warnings(self) -> list[str]:
        """One line for each thing that is not as in the source, beyond the report of the streams."""
        return [*self._warnings, *self._encoder.warnings, *self._passthrough.warnings]

    def __enter__(self) -> Self:
        like = self._like
        if like.end is not None and like.first_pts * like.time_base - like.container_start >= like.end:
            since = "before" if like.start is None else f"from {float(like.start):g} s to"
            raise MediaError(f"{like.source}: no picture {since} {float(like.end):g} s")
        self._refuse()
        self._origin = self._find_origin()
        self._passthrough = Passthrough(
            like.source,
            origin=self._origin,
            is_trimmed=like.start is not None,
            end=None if like.end is None else like.container_start + like.end,
            picture_shifts=like.shifts,
        )
        try:
            self._open()
        except BaseException:
            self._discard()
            raise
        return self

    def write(self, frame: Frame) -> None:
        """Encode the frame's picture at the frame's time, after the other streams' packets up to it."""
        with media_errors(self.target):
            self._mux(self._encoder.encode(frame, frame.pts * frame.time_base - self._origin))
        self.frames_written += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self._finish()
                publish(self._temporary, self.target, overwrite=self._settings.overwrite)
            finally:
                self._discard()
            return
        try:
            if self._settings.keep_partial and self.frames_written:
                with suppress(MediaError):
                    self._finish(whole=False)
                    publish(self._temporary, self._temporary.with_name(kept_partial(self.target).name), overwrite=True)
        finally:
            self._discard()

    def _refuse(self) -> None:
        source = Path(self._like.source)
        self._temporary = temporary_beside(self.target, source=source, overwrite=self._settings.overwrite)
        try:
            self._container = av.open(file_address(self._temporary), "w", metadata_errors="surrogateescape")
        except ValueError:
            is_single_file = False
        else:
            is_single_file = not self._container.format.no_file
        if not is_single_file:
            fault = f"no video file ends in {self.target.suffix!r}" if self.target.suffix else "has no suffix"
            raise UsageError(f"{self.target}: {fault}; try {WORKING_SUFFIXES}")

    def _find_origin(self) -> Fraction:
        """The source's time in seconds that is 0 in the target."""
        like = self._like
        if like.start is not None:
            return like.first_pts * like.time_base
        if like.container_format in NAMED_CODECS and self._container.format.name not in NAMED_CODECS:
            return like.container_start  # elsewhere a player would show nothing until then, which may be for hours
        return Fraction(0)

    def _open(self) -> None:
        reports = []
        for stream in self._passthrough.container.streams:
            if stream.index == self._like.stream_index:
                self._encoder = self._add_video(cast("VideoStream", stream))
                reason = f"encoded by {self._encoder.name}"
                reports.append(StreamReport(stream.index, "video", codec_name(stream), "derained", reason))
            else:
                reports.append(self._passthrough.add(stream, self._container))
        self.report = tuple(reports)
        tags = kept_tags(self._passthrough.container.metadata, is_encoded_anew=True)
        self._container.metadata.update(tags)
        self._container.set_chapters(self._passthrough.chapters())
        self._shift_timecodes()
        if self._container.format.name in ISO_FORMATS:
            self._container.container_options["movflags"] = "+faststart" + self._mp4_tags(tags)
        with media_errors(self.target):
            self._passthrough.start(self._container)
            self._container.start_encoding()

    def _add_video(self, source: VideoStream) -> VideoEncoder:
        like, settings = self._like, self._settings
        material = Material(
            codec=like.info.codec,
            profile=source.codec_context.profile,
            pixel_format=like.info.pixel_format,
            size=like.info.size,
            time_base=like.time_base,
            frame_rate=like.info.frame_rate or DEFAULT_RATE,
            is_rate_variable=is_rate_variable(self._container.format),
            field_order=source.codec_context.field_order,
            tags=like.tags,
            gpu=like.gpu,
        )
        try:
            encoding = choose_encoding(material, self._container.format.name, settings.codec, settings.codec_options)
        except UsageError as error:
            raise UsageError(f"{self.target}: {error}") from None
        with media_errors(self.target):
            return VideoEncoder(self._container, source, encoding, material)

    def _shift_timecodes(self) -> None:
        shift = self._origin - self._like.container_start
        if not self._passthrough.is_trimmed:
            return
        for tags in (self._container.metadata, *(stream.metadata for stream in self._container.streams)):
            for key in [key for key in tags if key.lower() == "timecode"]:
                timecode = later_timecode(tags.pop(key), shift, self._like.info.frame_rate or DEFAULT_RATE)
                if timecode is not None:
                    tags[key] = timecode
                elif DROP_FRAME_LOST not in self._warnings:
                    self._warnings.append(DROP_FRAME_LOST)

    def _mp4_tags(self, tags: Mapping[str, str]) -> str:
        """The flag that keeps tags which MP4 has no place for, where nothing speaks against it."""
        others = sorted(key for key in tags if key.lower() not in ITUNES_TAGS)
        if not others:
            return ""
        if any(is_cover_art(stream) for stream in self._passthrough.container.streams):
            self._warnings.append(f"tags lost, because MP4 holds them or cover art: {', '.join(others)}")
            return ""
        return "+use_metadata_tags"

    def _mux(self, packets: Iterator[Packet[VideoStream]]) -> None:
        for packet in packets:
            time = packet.dts if packet.dts is not None else packet.pts
            self._passthrough.copy_until((time or 0) * packet.time_base)
            self._container.mux(packet)

    def _finish(self, *, whole: bool = True) -> None:
        with media_errors(self.target):
            if not self.frames_written:
                raise MediaError(f"{self.target}: no frame came to be written")
            self._mux(self._encoder.flush())
            if whole:
                self._passthrough.finish()
            self._container.close()

    def _discard(self) -> None:
        """Close everything and leave no temporary file; removed first, so that no trailer is worth writing."""
        with suppress(OSError):
            self._temporary.unlink()
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()
        self._temporary.unlink(missing_ok=True)
        self._passthrough.close()
