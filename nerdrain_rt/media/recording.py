"""A recording that plays whatever ends it, stamped with the time of day, in one file or in pieces."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from nerdrain_rt.errors import UsageError
from nerdrain_rt.media.live_encoder import EncoderSettings, LiveEncoder
from nerdrain_rt.media.sink import Sink, SinkInput
from nerdrain_rt.media.source import file_address

if TYPE_CHECKING:
    from nerdrain_rt.media.live_base import LiveFrame, SoundPacket

FORMATS = {".mkv": "matroska", ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".ts": "mpegts", ".m2ts": "mpegts"}
FRAGMENTS = {"movflags": "+empty_moov+default_base_moof", "frag_duration": "1000000", "flush_packets": "1"}
OPTIONS = {
    "matroska": {"cluster_time_limit": "1000", "flush_packets": "1"},
    "mp4": FRAGMENTS,
    "mov": FRAGMENTS,
    "mpegts": {"flush_packets": "1"},
}
"""No more than the last second is lost when the program is killed."""


class Recording(Sink):
    """Records to `path` (.mkv, .mp4, .mov or .ts), or into pieces of `segment_seconds` named by their local time.

    Without `segment_seconds` there is one file, unless the picture changes its size, which begins another. Raises
    UsageError for a file that exists (without `overwrite`), cannot be made, or another suffix.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        segment_seconds: float | None = None,
        overwrite: bool = False,
        encoder: EncoderSettings | None = None,
    ) -> None:
        self.path = Path(path)
        self.name = str(path)
        self.place = str(self.path.resolve())
        self.files: list[Path] = []
        """What was recorded so far."""
        self._segment = segment_seconds
        self._encoder_settings = encoder or EncoderSettings()
        self._encoder: LiveEncoder | None = None
        container_format = FORMATS.get(self.path.suffix.lower())
        if container_format is None:
            raise UsageError(f"{path}: not a name for a recording; use {', '.join(FORMATS)}")
        if segment_seconds is not None and segment_seconds < 1:
            raise UsageError(f"{path}: pieces of {segment_seconds:g} s are too short; use 1 s or more")
        if not self.path.parent.is_dir():
            raise UsageError(f"{path}: there is no folder {self.path.parent}")
        if segment_seconds is None and self.path.exists() and not overwrite:
            raise UsageError(f"{path}: exists; allow overwriting or choose another name")
        self._encoder_settings.check(container_format)
        self._format = container_format

    def open(self, source: SinkInput) -> None:
        """Keep what is known of the source for each piece."""
        self._source = source

    def write(self, frame: LiveFrame) -> None:
        """Record a frame; raises MediaError when the file cannot be written."""
        if self._encoder is None or self._is_over(frame, self._encoder):
            self.close()
            self._encoder = self._begin(frame)
        self._encoder.write(frame)

    def write_sound(self, sound: SoundPacket) -> None:
        """Record some sound."""
        if self._encoder is not None:
            self._encoder.write_sound(sound)

    def close(self) -> None:
        """Finish the file."""
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.close()

    def _is_over(self, frame: LiveFrame, encoder: LiveEncoder) -> bool:
        is_long_enough = self._segment is not None and frame.seconds - self._began >= self._segment
        return is_long_enough or encoder.size != (frame.picture.height, frame.picture.width)

    def _begin(self, frame: LiveFrame) -> LiveEncoder:
        begin = datetime.now(UTC)
        file = self._free_name(begin)
        encoder = LiveEncoder(
            file_address(file),
            self._format,
            shown=str(file),
            first=frame,
            source=self._source,
            encoder=self._encoder_settings,
            options=OPTIONS[self._format],
            metadata={"creation_time": begin.isoformat(timespec="microseconds").replace("+00:00", "Z")},
        )
        self._began = frame.seconds
        self.files.append(file)
        return encoder

    def _free_name(self, begin: datetime) -> Path:
        """The path itself, or with the time of day, a second later where that is taken."""
        if self._segment is None and not self.files:
            return self.path
        while True:
            stamp = f"{begin.astimezone():%Y%m%d-%H%M%S}"
            file = self.path.with_stem(f"{self.path.stem}_{stamp}")
            if not file.exists():
                return file
            begin += timedelta(seconds=1)
