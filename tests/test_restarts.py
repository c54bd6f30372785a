"""Times that begin again: each packet goes where its pictures went."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

from nerdrain_rt.media.restarts import PATIENCE_SECONDS, Restarts

SOUND = SimpleNamespace(index=1, type="audio", disposition=0)
WORDS = SimpleNamespace(index=2, type="subtitle", disposition=0)


def packet(seconds: float | None, stream: SimpleNamespace = SOUND) -> SimpleNamespace:
    """A packet of 0.1 s on a clock of milliseconds."""
    ticks = None if seconds is None else round(seconds * 1000)
    return SimpleNamespace(stream=stream, pts=ticks, dts=ticks, duration=100, time_base=Fraction(1, 1000))


def moved(restarts: Restarts, *packets: SimpleNamespace) -> list[int | None]:
    for each in packets:
        restarts.move_on(each)
    return [each.pts for each in packets]


def test_sound_waits_until_the_pictures_begin_again() -> None:
    shifts: list[Fraction] = []
    restarts = Restarts(shifts)
    assert moved(restarts, packet(0), packet(4)) == [0, 4000]
    again = packet(0)
    assert restarts.due(again) == 4 + PATIENCE_SECONDS
    shifts.append(Fraction(4))
    assert restarts.due(again) == 4
    assert restarts.move_on(again)
    assert again.pts == again.dts == 4000
    assert not restarts.move_on(packet(0.1))


def test_each_restart_takes_the_first_shift_that_fits() -> None:
    restarts = Restarts([Fraction(2), Fraction(4)])
    assert moved(restarts, *map(packet, (0, 1.9, 0, 1.9, 0, 1.9))) == [0, 1900, 2000, 3900, 4000, 5900]


def test_sound_that_begins_again_alone_goes_on() -> None:
    assert moved(Restarts([]), *map(packet, (0, 4, 0, 0.1))) == [0, 4000, 4100, 4200]


def test_little_steps_back_and_packets_without_a_time_stay() -> None:
    assert moved(Restarts([Fraction(9)]), *map(packet, (0, 4, 3.5, None, 4.1))) == [0, 4000, 3500, None, 4100]


def test_subtitles_go_with_the_sound() -> None:
    restarts = Restarts([Fraction(4)])
    assert moved(restarts, packet(0), packet(3, WORDS), packet(1, WORDS), packet(4)) == [0, 3000, 1000, 4000]
    assert moved(restarts, packet(0), packet(2, WORDS)) == [4000, 6000]
