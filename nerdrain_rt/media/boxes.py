"""What cameras put into MP4 files beside their streams, which FFmpeg neither reads nor writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

LARGE = 1
"""A size in a box's head that says: the next 8 bytes are the size."""
MOST_BOXES = 10_000


def has_positions(path: Path) -> bool:
    """Whether a dashcam keeps its positions (GPS) in boxes of its own in this MP4 file.

    "gps " in "moov" is the index of cameras with Novatek's chips, whose positions are in "free" boxes.
    """
    try:
        with path.open("rb") as file:
            for kind, (start, end) in _boxes(file, 0, path.stat().st_size):
                has_index = kind == b"moov" and any(inner == b"gps " for inner, _ in _boxes(file, start, end))
                if has_index or (kind == b"free" and _starts_with_positions(file, start)):
                    return True
    except OSError:
        pass
    return False


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """The kind of each box between two offsets, and where its content begins and ends; ends at what is no box."""
    for _ in range(MOST_BOXES):
        file.seek(start)
        head = file.read(16)
        if start + 8 > end or len(head) < 8:
            return
        size, kind, content = int.from_bytes(head[:4], "big"), head[4:8], start + 8
        if size == LARGE:
            size, content = int.from_bytes(head[8:16], "big"), start + 16
        elif size == 0:
            size = end - start
        if size < content - start:
            return
        yield kind, (content, min(end, start + size))
        start += size


def _starts_with_positions(file: BinaryIO, content: int) -> bool:
    file.seek(content)
    return file.read(8) == b"freeGPS "
