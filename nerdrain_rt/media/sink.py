"""What every sink is: where clean frames go while it rains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nerdrain_rt.media.live_base import LiveFrame, SoundFormat, SoundPacket

if TYPE_CHECKING:
    from nerdrain_rt.frame import VideoInfo


@dataclass(frozen=True, slots=True)
class SinkInput:
    """What a sink is told of the source before the first frame."""

    info: VideoInfo
    sound: SoundFormat | None


class Sink:
    """Takes frames in a thread of its own; an error ends this sink only. The frames are shared and not to be changed.

    `open`, `write` and `close` raise DerainError or OSError in one line.
    """

    name = "nothing"
    place: str | None = None
    """The address, device or real path that no other sink may write to."""
    is_found_again = False
    """Whether a write after one that failed and a `close` begins anew: what was lost once it worked is tried again."""

    def open(self, source: SinkInput) -> None:
        """Get ready; called once, before the first frame."""

    def write(self, frame: LiveFrame) -> None:
        """Take the next frame."""

    def write_sound(self, sound: SoundPacket) -> None:
        """Take some sound; it may be later than the frames so far, never much earlier."""

    def close(self) -> None:
        """End; called also after an error, if `open` was."""
