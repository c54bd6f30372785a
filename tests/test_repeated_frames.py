"""Frames that are given again, as where a frame rate was raised, and what only looks like it."""

import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
import pytest

from nerdrain_rt import Derainer
from nerdrain_rt.frame import Frame
from nerdrain_rt.temporal import RECENT, REPEATS, Seen, distinct, from_neighbours
from tests.still_rain import (
    SIZE,
    STREAK,
    SeesDrops,
    coded,
    frames,
    seen,
    streak_of,
    streaked,
    tensor_of,
    texture,
)


@pytest.mark.parametrize("is_first", [True, False])
def test_beside_a_frame_that_is_given_again_the_other_neighbour_counts(is_first):
    here, other = seen(streaked(texture()), 0), seen(texture(), 1)
    taken_out = from_neighbours(here, (here, other) if is_first else (other, here))[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(taken_out[STREAK], -0.15, atol=0.02)


def filmed(pictures: Iterable[np.ndarray], *, rain: bool = True) -> Iterator[Seen]:
    """Each as a frame of one video."""
    before = None
    for index, picture in enumerate(pictures):
        now = seen(picture, index, rain=rain)
        now.follow(before)
        before = now
        yield now


@pytest.mark.parametrize("times", [1, 2, 3])
def test_streak_in_a_frame_that_is_given_several_times_is_taken_out_of_each(times):
    again = []
    for index in range(5 * times):
        picture = coded(frames(5, 2)[index // times].picture.to_ndarray() / np.float32(255), index)
        picture = av.VideoFrame.from_ndarray(np.round(255 * picture.clip(0, 1)).astype(np.uint8), "rgb24")
        again.append(Frame(picture, index, Fraction(1, 25)))
    clean = list(Derainer(backend=SeesDrops()).derain(again))
    assert all(streak_of(frame) < 6 for frame in clean)
    before = deque(maxlen=2)
    derainer = Derainer(backend=SeesDrops())
    live = [next(derainer.derain([frame], before=before)) for frame in again]
    assert all(streak_of(frame) < 6 for frame in live)


@pytest.mark.parametrize("is_exact", [True, False])
def test_a_frame_given_twice_at_the_beginning_is_compared_with_the_next(is_exact):
    wet = streaked(texture())
    again = wet if is_exact else coded(wet, 1)
    first, second, third = filmed([wet, again, texture() + 0.02], rain=False)
    for here, others in ((first, (second, third)), (second, (first, third))):
        assert [other is third for other in distinct(here, others)] == [True, True]


def test_a_frame_given_twice_after_a_cut_is_not_compared_with_the_scene_before():
    pictures = [*(texture(shift) for shift in (0, 3, 6, 9)), 1 - texture(), coded(1 - texture(), 1), 1 - texture(3)]
    *_, other_scene, once, again, after = filmed(pictures, rain=False)
    assert once.run is again.run
    assert distinct(once, (other_scene, again)) == (other_scene, again), "which agree on nothing"
    assert distinct(again, (once, after)) == (after, after)


def test_live_two_frames_that_repeat_each_other_count_once():
    pictures = [texture(shift) for shift in (0, 3, 6, 9)]
    *_, other, once, again, now = filmed([*pictures, coded(pictures[-1], 1), texture(12)], rain=False)
    assert distinct(now, (once, again)) == (other, again)


@pytest.mark.parametrize("lit", [0.0, 0.03])
def test_what_comes_on_and_stays_is_left(lit):
    still, letters = texture(), np.zeros((*SIZE, 3), np.float32)
    letters[20:100:6, 20:140:3] = 50 / 255
    seen_frames = []
    for index in range(20):
        drops = tensor_of(25 / 255 * (np.random.default_rng(index).random((*SIZE, 1)) < 0.01)).expand(1, 3, *SIZE)
        shown = still + 0.2 * (coded(still, index) - still) + (letters + lit if index >= 8 else 0)
        seen_frames.append(Seen(tensor_of(shown) + drops, -drops))
        seen_frames[-1].follow(seen_frames[-2] if index else None)
    for before, here, after in zip(seen_frames, seen_frames[1:], seen_frames[2:], strict=False):
        added = from_neighbours(here, (before, after))[0].permute(1, 2, 0).numpy()
        assert added[letters > 0].mean() > -1 / 255


@pytest.mark.parametrize(("still", "moved_by"), [(texture(9), 3), (1 - texture(), 0), (0.2 * texture(seed=1), 0)])
def test_what_stands_still_is_taken_for_repeated_frames_for_a_moment_after_motion_only(still, moved_by):
    before = [texture(moved_by * index) for index in range(4)]
    seen_frames = list(filmed([*before, *(coded(still, index) for index in range(30))], rain=False))
    in_a_row = [sum(other.run is one.run for other in seen_frames) for one in seen_frames]
    assert max(in_a_row) <= (REPEATS + 1 if moved_by else 1)
    assert in_a_row[-RECENT:] == RECENT * [1]


def test_frames_are_not_kept_for_those_after_them():
    seen_frames = filmed(texture(shift) for shift in range(10))
    kept = [weakref.ref(next(seen_frames)) for _ in range(10)]
    assert sum(each() is not None for each in kept) <= 3
