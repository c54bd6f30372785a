"""Sends the clean video over a network, or into a folder that a web server gives out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

import av

from nerdrain_rt.errors import MediaError, UsageError
from nerdrain_rt.media.live_encoder import EncoderSettings, LiveEncoder
from nerdrain_rt.media.live_stream import without_password
from nerdrain_rt.media.report import explain
from nerdrain_rt.media.sink import Sink, SinkInput
from nerdrain_rt.media.source import MICROSECONDS

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from nerdrain_rt.media.live_base import LiveFrame, SoundPacket

FORMATS = {
    "rtsp": "rtsp",
    "rtsps": "rtsp",
    "rtmp": "flv",
    "rtmps": "flv",
    "srt": "mpegts",
    "udp": "mpegts",
    "tcp": "mpegts",
    "rtp": "rtp_mpegts",
}
WAIT_SECONDS = 5
"""For a server that takes nothing."""
TIMEOUT = {"rw_timeout": str(WAIT_SECONDS * MICROSECONDS)}
PACKETS = {"pkt_size": "1316"}
OPTIONS = {
    "rtsp": {"rtsp_transport": "tcp", "timeout": TIMEOUT["rw_timeout"]},
    "rtmp": TIMEOUT | {"flvflags": "no_duration_filesize"},
    "srt": TIMEOUT | PACKETS,
    "udp": TIMEOUT | PACKETS,
    "tcp": TIMEOUT,
    "rtp": TIMEOUT,
}
"""By scheme, for protocol and container; what an address asks for in its query counts more."""
LIVE = {"flush_packets": "1", "max_delay": "0", "max_interleave_delta": str(MICROSECONDS // 5)}
"""Packets go at once; video waits for sound that does not come no longer than 0.2 s."""
HLS = {
    "hls_time": "2",
    "hls_list_size": "8",
    "hls_flags": "delete_segments+independent_segments+temp_file+program_date_time",
}


class StreamSink(Sink):
    """Encodes for `target`: an address (rtsp, rtmp, srt, udp, tcp, rtp) or an HLS folder or playlist (.m3u8).

    Raises UsageError for another address, and for an encoder that is not to be had.
    """

    def __init__(self, target: str, *, encoder: EncoderSettings | None = None) -> None:
        self.name = without_password(target)
        self._encoder_settings = encoder or EncoderSettings()
        self._encoder: LiveEncoder | None = None
        self._files: _Files | None = None
        scheme, is_address, _ = target.partition("://")
        if is_address:
            scheme = scheme.lower()
            if scheme not in FORMATS:
                raise UsageError(f"{self.name}: cannot stream to {scheme}://; use {', '.join(FORMATS)} or a folder")
            self._format, self._options = FORMATS[scheme], OPTIONS[scheme.removesuffix("s")]
            self._file = self.place = target
            self.is_found_again = True
        else:
            self._format, self._options = "hls", HLS
            playlist = Path(target) if target.endswith(".m3u8") else Path(target, "index.m3u8")
            try:
                playlist.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(f"{target}: the folder cannot be made: {error.strerror}") from None
            self._file = str(playlist.absolute())  # "file:" before it would keep FFmpeg from deleting old segments
            self._files = _Files()
            self.place = str(playlist.resolve())
        self._encoder_settings.check(self._format)

    def open(self, source: SinkInput) -> None:
        """Keep what is known of the source; the connection is made for the first frame."""
        self._source = source

    def write(self, frame: LiveFrame) -> None:
        """Send a frame; raises MediaError when the other side does not take it."""
        if self._encoder is None:
            self._encoder = self._begin(frame)
        try:
            self._encoder.write(frame)
        except MediaError as error:
            if self._format == "rtsp" and isinstance(error.__cause__, av.InvalidDataError):  # as it calls silence
                raise MediaError(f"{self.name}: no answer in RTSP within {WAIT_SECONDS} s") from error
            raise
        self._check_files()

    def write_sound(self, sound: SoundPacket) -> None:
        """Send some sound."""
        if self._encoder is not None:
            self._encoder.write_sound(sound)

    def close(self) -> None:
        """End the stream."""
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.close()
            self._check_files()

    def _begin(self, frame: LiveFrame) -> LiveEncoder:
        return LiveEncoder(
            self._file,
            self._format,
            shown=self.name,
            first=frame,
            source=self._source,
            encoder=self._encoder_settings,
            options=LIVE | self._options,
            is_rate_bound=True,
            is_apart=self._files is None,
            io_open=self._files.open if self._files is not None else None,
        )

    def _check_files(self) -> None:
        if self._files is not None and self._files.fault is not None:
            raise MediaError(f"{self.name}: {explain(self._files.fault)}")


class _Files:
    """Opens what HLS writes and keeps the first fault: FFmpeg tells nobody that it cannot write segments."""

    def __init__(self) -> None:
        self.fault: OSError | None = None

    def open(self, url: str, flags: int, options: Mapping[str, str]) -> _File:
        """The file; one that takes everything and keeps nothing where it cannot be made."""
        try:
            return _File(url, self)
        except OSError as error:
            self.fault = self.fault or error
            return _File(os.devnull, self)


class _File(FileIO):
    def __init__(self, path: str, files: _Files) -> None:
        super().__init__(path, "w")
        self._files = files

    def write(self, content: ReadableBuffer) -> int:
        try:
            return super().write(content)
        except OSError as error:
            self._files.fault = self._files.fault or error
            return memoryview(content).nbytes
