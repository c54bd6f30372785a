"""A file played as if live: its own speed, the buttons of a player, loops, and its sound beside it."""

import threading

import pytest

from nerdrain_rt.errors import MediaError
from nerdrain_rt.media.live_source import LiveSourceSettings, open_source
from nerdrain_rt.media.paced_file import PacedFile
from tests import clips
from tests.live_parts import PATIENCE_SECONDS, ManualClock, until


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return clips.video(tmp_path_factory.mktemp("clips") / "a.mkv", size=(16, 16), frames=10, rate=10, codec="ffv1")


class Player:
    """Plays in a thread, by a clock that the test moves."""

    def __init__(self, clip, **settings):
        self.clock = ManualClock()
        self.source = PacedFile(clip, LiveSourceSettings(**settings), clock=self.clock)
        self.frames = []
        self._thread = threading.Thread(target=lambda: self.frames.extend(self._collect()))

    def _collect(self):
        for frame in self.source:
            self.frames.append(frame)
        return ()

    def __enter__(self):
        self.source.__enter__()
        self._thread.start()
        self.clock.settle()
        return self

    def __exit__(self, *error):
        self.source.stop()
        self._thread.join(PATIENCE_SECONDS)
        self.source.__exit__(None, None, None)

    def press(self, action, *arguments, frames: int):
        """Do something and wait until it has given so many frames in all."""
        getattr(self.source, action)(*arguments)
        until(lambda: len(self.frames) >= frames, f"frame {frames}")
        self.clock.waiting_until = 0
        self.clock.settle()

    def advance(self, seconds):
        self.clock.advance(seconds)
        self.clock.settle()

    @property
    def positions(self):
        return [round(frame.position, 2) for frame in self.frames]


def test_frames_come_when_they_are_due(clip):
    with Player(clip) as player:
        assert player.positions == [0]
        player.advance(0.09)
        assert player.positions == [0]
        player.advance(0.01)
        assert player.positions == [0, 0.1]
        player.advance(0.2)
        assert player.positions == [0, 0.1, 0.2, 0.3]
        assert player.source.position == pytest.approx(0.3)
        assert player.source.duration == pytest.approx(1)


def test_a_player_that_is_late_does_not_rush(clip):
    with Player(clip) as player:
        player.advance(30)
        assert player.positions == [0, 0.1]
        player.advance(0.1)
        assert player.positions == [0, 0.1, 0.2]


def test_pausing_holds_and_playing_goes_on(clip):
    with Player(clip) as player:
        player.source.pause()
        player.advance(10)
        assert player.source.is_paused
        assert player.positions == [0]
        player.press("play", frames=2)
        player.advance(0.1)
        assert player.positions == [0, 0.1, 0.2]


def test_a_step_gives_one_frame_and_pauses(clip):
    with Player(clip) as player:
        player.press("step", frames=2)
        player.press("step", frames=3)
        player.advance(10)
        assert player.positions == [0, 0.1, 0.2]
        assert player.source.is_paused


@pytest.mark.parametrize(("seconds", "position"), [(0.5, 0.5), (0.42, 0.5), (0, 0), (7, 0.9), (-1, 0)])
def test_seeking_while_paused_gives_the_frame_there(clip, seconds, position):
    with Player(clip) as player:
        player.source.pause()
        player.press("seek", seconds, frames=2)
        player.advance(10)
        assert player.positions == [0, position]


def test_seeking_while_playing_goes_on_from_there(clip):
    with Player(clip) as player:
        player.press("seek", 0.7, frames=2)
        player.advance(0.1)
        assert player.positions == [0, 0.7, 0.8]


def test_a_file_that_is_paused_gives_its_frame_once_more_with_those_around_it(clip):
    with Player(clip, has_stills=True) as player:
        player.advance(0.1)
        player.press("pause", frames=3)
        player.advance(10)
        assert player.positions == [0, 0.1, 0.1]
        assert [frame.around is None for frame in player.frames] == [True, True, False]
        before, after = player.frames[-1].around
        assert (before.seconds, after.seconds) == (0, 0.2)
        player.press("again", frames=4)
        assert player.positions[-1] == 0.1
        player.press("play", frames=5)
        assert player.positions[-1] == 0.2
        times = [frame.pts for frame in player.frames]
        assert times == sorted(set(times))


def test_a_frame_that_is_stepped_or_sought_to_comes_as_a_still_too(clip):
    with Player(clip, has_stills=True) as player:
        player.press("step", frames=3)
        player.press("seek", 0.5, frames=5)
        assert player.positions == [0, 0.1, 0.1, 0.5, 0.5]
        assert [round(frame.seconds, 1) for frame in player.frames[-1].around] == [0.4, 0.6]


@pytest.mark.parametrize(("seconds", "position", "nearest"), [(0, 0, [0.1, 0.2]), (7, 0.9, [0.7, 0.8])])
def test_a_still_of_the_first_or_last_frame_has_the_two_nearest_to_it(clip, seconds, position, nearest):
    with Player(clip, has_stills=True, hold_at_end=True) as player:
        player.source.pause()
        player.press("seek", seconds, frames=3)
        player.press("again", frames=4)
        assert player.positions[-3:] == [position] * 3
        assert player.frames[-3].around is None
        for still in player.frames[-2:]:
            assert [frame.seconds for frame in still.around] == nearest


def test_a_still_of_a_file_of_two_frames_is_alone(tmp_path):
    with Player(clips.video(tmp_path / "a.mkv", frames=2, codec="ffv1"), has_stills=True) as player:
        player.press("pause", frames=2)
        assert player.frames[-1].around == ()


def test_a_file_that_is_gone_gives_no_still_and_stays_paused(tmp_path):
    path = clips.video(tmp_path / "a.mkv", size=(16, 16), frames=10, rate=10, codec="ffv1")
    with Player(path, has_stills=True) as player:
        path.unlink()
        player.source.pause()
        player.advance(10)
        player.press("play", frames=2)
        assert player.positions == [0, 0.1]


def test_looping_goes_round_without_a_gap(clip):
    with Player(clip, loop=True) as player:
        for _ in range(12):
            player.advance(0.1)
        assert player.positions == [*(index / 10 for index in range(10)), 0, 0.1, 0.2]
        times = [frame.seconds for frame in player.frames]
        assert times == pytest.approx([index / 10 for index in range(13)], abs=1e-3)


def test_times_grow_over_seeks(clip):
    with Player(clip) as player:
        player.press("seek", 0.8, frames=2)
        player.press("seek", 0.1, frames=3)
        player.press("seek", 0.5, frames=4)
        pts = [frame.pts for frame in player.frames]
        assert pts == sorted(set(pts))


def test_the_end_ends_the_source(clip):
    with Player(clip) as player:
        for _ in range(9):
            player.clock.advance(0.1)
            until(lambda: player.clock.waiting_until > player.clock.time or not player.source.is_connected)
        player._thread.join(PATIENCE_SECONDS)
        assert len(player.frames) == 10


def test_the_end_can_be_held_and_left_again(clip):
    with Player(clip, hold_at_end=True) as player:
        player.press("seek", 0.9, frames=2)
        until(lambda: player.source.is_at_end)
        assert player.source.is_paused
        player.press("play", frames=3)
        player.advance(0.1)
        assert player.positions == [0, 0.9, 0, 0.1]
        assert not player.source.is_at_end


def test_looping_can_be_switched_on_at_the_end(clip):
    with Player(clip, hold_at_end=True) as player:
        player.press("seek", 0.9, frames=2)
        until(lambda: player.source.is_at_end)
        player.source.loop = True
        player.press("play", frames=3)
        assert player.positions[-1] == 0


def test_sound_comes_with_its_frames(tmp_path):
    path = clips.with_sound(tmp_path / "a.mp4", seconds=1)
    with PacedFile(path) as source:
        sound = []
        source.on_sound = sound.append
        frames = list(source)
    assert len(frames) == 25
    assert source.sound is not None
    begin = float(sound[0].pts * source.sound.time_base)
    end = float(sound[-1].pts * source.sound.time_base)
    assert begin == pytest.approx(frames[0].seconds, abs=0.05)
    assert end == pytest.approx(frames[-1].seconds, abs=0.05)


def test_what_is_no_video_is_one_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("no video")
    with pytest.raises(MediaError, match="not a media file"):
        open_source(str(path)).__enter__()
