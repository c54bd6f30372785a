"""Times that begin again, as where files were joined: the other streams are moved on as the pictures are."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from nerdrain_rt.media.source import is_dense, seconds_of

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream

RESTART_SECONDS = 1
"""Times that go back further begin again; less is damage, or sound that ends later than its pictures."""
PATIENCE_SECONDS = 10
"""So long the pictures have to begin again too."""


class Restarts:
    """Moves on packets whose stream begins again, by what their pictures were moved on by.

    `of_pictures` are those shifts in seconds, first to last; the reader, which is ahead, adds to them.
    """

    def __init__(self, of_pictures: Sequence[Fraction]) -> None:
        self._of_pictures = of_pictures
        self._shifts: dict[int, Fraction] = {}
        self._latest: dict[int, Fraction] = {}

    def due(self, packet: Packet[Stream]) -> Fraction:
        """When the packet is to be written, in seconds; later where the pictures have not begun again yet."""
        shift = self._shift(packet)
        return self._latest[packet.stream.index] + PATIENCE_SECONDS if shift is None else seconds_of(packet) + shift

    def move_on(self, packet: Packet[Stream]) -> bool:
        """Give the packet the time it belongs to; whether its stream began again with it."""
        index, shift = packet.stream.index, self._shift(packet)
        if shift is None:
            shift = self._latest[index] + (packet.duration or 0) * packet.time_base - seconds_of(packet)
        is_restart = shift != self._shifts.get(index, 0)
        if _is_clock(packet):
            self._shifts[index] = shift
            self._latest[index] = seconds_of(packet) + shift
        if shift:
            ticks = round(shift / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
        return is_restart

    def _shift(self, packet: Packet[Stream]) -> Fraction | None:
        """The first shift by which the packet does not go back; None where there is none yet."""
        if not _is_clock(packet):
            return max(self._shifts.values(), default=Fraction(0))
        own = self._shifts.get(packet.stream.index, Fraction(0))
        least = self._latest.get(packet.stream.index, seconds_of(packet)) - RESTART_SECONDS
        return next((shift for shift in (own, *self._of_pictures) if seconds_of(packet) + shift >= least), None)


def _is_clock(packet: Packet[Stream]) -> bool:
    """Whether the packet's time says by itself that times begin again; subtitles may lie behind others for long."""
    return is_dense(packet.stream) and not (packet.dts is None and packet.pts is None)
