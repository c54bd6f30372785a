"""Videos written without deraining, and what is in them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av

from nerdrain_rt.media import OutputSettings, VideoReader, VideoWriter
from tests import clips

FAST = {"preset": "ultrafast"}


def copy(source: Path, target: Path, *, start: float | None = None, end: float | None = None, **settings: object):
    """Source to target without deraining; the writer, for its report."""
    with (
        VideoReader(source, start=start, end=end) as reader,
        VideoWriter(target, like=reader, settings=OutputSettings(**settings)) as writer,
    ):
        for frame in reader:
            writer.write(frame)
    assert writer.frames_written == reader.frames_read
    return writer


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(container.streams.video[0]))


def times(path: Path) -> list[float]:
    return [frame.time for frame in decoded(path)]


def probe(path: Path, *entries: str) -> str:
    clips.need("ffprobe")
    return subprocess.run(
        ["ffprobe", "-v", "error", "-of", "compact", *entries, str(path)], check=True, capture_output=True, text=True
    ).stdout


def left_in(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}
