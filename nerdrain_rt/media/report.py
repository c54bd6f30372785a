"""What became of each stream of the source, and FFmpeg's errors in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import av

from nerdrain_rt.errors import MediaError

if TYPE_CHECKING:
    from av.stream import Stream

Action = Literal["derained", "copied", "reencoded", "dropped"]


@dataclass(frozen=True, slots=True)
class StreamReport:
    """The fate of one stream of the source; `reason` says why where it was not simply copied."""

    index: int
    type: str
    codec: str
    action: Action
    reason: str | None = None


def codec_name(stream: Stream) -> str:
    """FFmpeg's name of the codec, an attachment's MIME type, "unknown" where FFmpeg has neither."""
    if stream.type == "attachment":
        return stream.metadata.get("mimetype", "unknown")
    codec = getattr(stream.codec_context, "codec", None)
    name: str | None = codec.canonical_name if codec else getattr(stream, "name", None)
    return name or "unknown"


def explain(error: BaseException) -> str:
    """The one line that matters in an error of PyAV or the system."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:].splitlines()[0] if text[1:] else text


@contextmanager
def media_errors(subject: object) -> Iterator[None]:
    """Turn errors of PyAV and the system into a `MediaError` about `subject`."""
    try:
        yield
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{subject}: {explain(error)}") from error
