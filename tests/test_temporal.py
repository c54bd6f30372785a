"""Rain that only the frames around can tell from texture."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch

from nerdrain_rt.temporal import GUIDE_PIXELS, Seen, from_neighbours, trios
from tests.still_rain import DROP, SIZE, STREAK, drops, removed, seen, streaked, tensor_of, texture


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ("", []),
        ("a", [("a", None)]),
        ("ab", [("a", None), ("b", None)]),
        ("abc", [("a", ("b", "c")), ("b", ("a", "c")), ("c", ("a", "b"))]),
        ("abcd", [("a", ("b", "c")), ("b", ("a", "c")), ("c", ("b", "d")), ("d", ("b", "c"))]),
    ],
)
def test_each_item_comes_once_with_the_nearest_two(items, expected):
    assert list(trios(items)) == expected


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_an_error_comes_after_the_items_before_it(count):
    def failing() -> Iterator[int]:
        yield from range(count)
        raise OSError("gone")

    got: list[int] = []
    with pytest.raises(OSError, match="gone"):
        got.extend(item for item, _ in trios(failing()))
    assert got == list(range(count))


def test_a_streak_of_one_frame_is_taken_out():
    still = texture()
    rain = removed(streaked(still), still, still)
    np.testing.assert_allclose(rain[STREAK], -0.15, atol=0.02)
    rain[STREAK] = 0
    assert np.abs(rain).max() < 0.02


@pytest.mark.parametrize("pixels_a_frame", [1, 3])
def test_a_streak_over_what_moves_is_taken_out(pixels_a_frame):
    before, here, after = (texture(shift) for shift in (0, pixels_a_frame, 2 * pixels_a_frame))
    rain = removed(streaked(here), before, after)
    assert rain[STREAK].mean() < -0.12
    rain[STREAK] = 0
    assert np.abs(rain).mean() < 0.002


def test_large_frames_are_followed_in_smaller_ones():
    size = (600, 800)
    assert size[0] * size[1] > GUIDE_PIXELS
    before, here, after = (texture(shift, size=size) for shift in (0, 2, 4))
    assert seen(here).guide.numel() <= GUIDE_PIXELS
    assert removed(streaked(here), before, after)[STREAK].mean() < -0.1


def test_where_the_network_sees_no_rain_nothing_changes():
    still = texture()
    assert not removed(streaked(still), still, still, rain=False).any()


def test_where_the_network_takes_next_to_nothing_nothing_is_taken():
    frames = [taken_too_much(streaked(texture(), 0.15 * (index == 1)), np.float32(1 / 255)) for index in range(3)]
    assert from_neighbours(frames[1], (frames[0], frames[2])).min() > -1 / 255


def test_where_the_neighbours_disagree_nothing_is_taken():
    still = texture()
    assert np.abs(removed(streaked(still), streaked(still, -0.12), still)[STREAK]).mean() < 0.02


def test_beside_what_is_darker_than_in_both_neighbours_nothing_is_taken():
    here, still = streaked(texture()), texture()
    here[STREAK[0], 74:78] -= 0.15
    assert np.abs(removed(here, still, still)[STREAK]).max() < 0.02


def test_a_light_that_stays_is_left():
    still = streaked(texture())
    assert not removed(still, still, still).any()
    assert not removed(still, texture(), still)[STREAK].any()


@pytest.mark.parametrize("added", [0.1, 0.2, 0.25])
def test_a_streak_is_taken_out_far_from_the_rain_that_the_network_sees(added):
    seen_rain = drops(1)
    seen_rain[:, SIZE[1] // 2 :] = 0
    still = tensor_of(texture())
    dry = Seen(still, torch.zeros_like(still))
    here = Seen(tensor_of(streaked(texture(), added) + seen_rain), -tensor_of(seen_rain).expand_as(still))
    taken_out = from_neighbours(here, (dry, dry))[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(taken_out[STREAK], -added, atol=0.02)


def test_where_all_moves_fast_flow_is_not_trusted():
    def left(pixels_a_frame: int) -> float:
        before, here, after = (texture(shift * pixels_a_frame) for shift in range(3))
        return 1 + removed(streaked(here), before, after)[STREAK].mean() / 0.15

    assert left(8) < 0.25
    assert 0.35 < left(16) < 0.75
    assert left(26) > 0.98


@pytest.mark.parametrize("added", [0.45, 0.5, np.float32([0.45, 0.05, 0.05]), np.float32([0.1, 0.1, 0.5])], ids=str)
def test_a_flash_is_left(added):
    still = texture()
    assert np.abs(removed(streaked(still, added), still, still)).max() < 1 / 255


@pytest.mark.parametrize("added", [0.3, 0.5, np.float32([0.45, 0.05, 0.05]), np.float32([0.1, 0.1, 0.5])], ids=str)
def test_a_flash_that_lights_everything_is_left(added):
    still = texture()
    assert not removed(np.clip(still + added, 0, 1), still, still).any()


@pytest.mark.parametrize(("height", "width", "step"), [(6, 6, 8), (12, 12, 14), (40, 10, 12), (20, 24, 26)])
def test_a_body_that_moves_by_its_own_width_is_left(height, width, step):
    pictures = []
    for index in range(3):
        picture = texture()
        picture[50 : 50 + height, 40 + step * index :][:, :width] += 60 / 255
        pictures.append(picture)
    before, here, after = pictures
    assert np.abs(removed(here, before, after)[50 : 50 + height, 40 + step :][:, :width]).max() < 1 / 255


def test_light_that_changes_in_a_part_of_the_picture_leaves_no_dark_edge():
    still, lit = texture(), texture()
    lit[:, SIZE[1] // 2 :] += 60 / 255
    assert np.abs(removed(lit, still, still)[:, SIZE[1] // 2 :]).max() < 2 / 255


def test_noise_is_no_rain():
    eighth = np.random.default_rng(9).permutation(np.arange(SIZE[0] * SIZE[1]) % 8).reshape(*SIZE, 1)

    def noisy(picture: np.ndarray, index: int) -> Seen:
        noise = DROP * (1.0 * (eighth == index) - (eighth == index + 3))
        noise = tensor_of(noise).expand(1, 3, *SIZE)
        return Seen(tensor_of(picture) + noise, -noise)

    frames = [noisy(streaked(texture(), 0.15 * (index == 1)), index) for index in range(3)]
    assert from_neighbours(frames[1], (frames[0], frames[2])).abs().max() < 1 / 255


@pytest.mark.parametrize("added", [0.02, 0.05])
def test_light_that_changes_is_left_and_a_streak_in_it_is_not(added):
    still = texture()
    assert np.abs(removed(still + added, still, still)).max() < 1 / 255
    assert removed(streaked(still + added), still, still)[STREAK].mean() < -0.1


def test_a_bright_ball_too_fast_for_flow_is_left():
    before, here, after = (cv2.circle(texture(), (40 + 30 * index, 60), 6, (1, 1, 1), -1, 16) for index in range(3))
    assert np.abs(removed(here, before, after)[50:70, 60:80]).max() < 0.02


def test_a_cut_is_left():
    here, before, after = texture(), texture(seed=1), texture(seed=2)
    assert np.abs(removed(here, before, after)).mean() < 0.01
    assert not removed(here, texture(seed=1), here).any()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (15, 400), (64, 1), (16, 4000)])
def test_frames_of_any_size_are_compared(size):
    picture = np.full((*size, 3), 0.5, np.float32)
    assert not removed(picture, picture, picture).any()


def taken_too_much(picture: np.ndarray, taken: np.ndarray) -> Seen:
    """A frame without rain, from which the network takes something."""
    return Seen(tensor_of(picture), -tensor_of(np.broadcast_to(taken, picture.shape)))


@pytest.mark.parametrize("pixels_a_frame", [0, 2])
def test_texture_that_the_network_takes_for_rain_comes_back(pixels_a_frame):
    taken = np.zeros((*SIZE, 1), np.float32)
    taken[STREAK] = 0.15
    before, here, after = (taken_too_much(texture(shift * pixels_a_frame), taken) for shift in range(3))
    back = from_neighbours(here, (before, after))[0].permute(1, 2, 0).numpy()
    assert back[STREAK].mean() > 0.13
    assert back.max() <= 0.15 + 1e-6
    back[STREAK] = 0
    assert np.abs(back).max() < 0.02
    assert np.abs(back).mean() < 1e-4


def dated(picture: np.ndarray) -> np.ndarray:
    """With something written over it, which does not move."""
    picture = picture.copy()
    picture[STREAK] = 0.1 * picture[STREAK] + 0.9 * 0.5
    return picture


def test_what_is_written_over_what_moves_is_left():
    before, here, after = (dated(texture(4 * shift)) for shift in range(3))
    assert removed(here, before, after)[STREAK].mean() > -0.01


def test_what_is_written_over_what_moves_comes_back():
    taken = np.zeros((*SIZE, 1), np.float32)
    taken[STREAK] = 0.15
    before, here, after = (taken_too_much(dated(texture(4 * shift)), taken) for shift in range(3))
    back = from_neighbours(here, (before, after))[0].permute(1, 2, 0).numpy()
    assert back[STREAK].mean() > 0.13


def test_a_streak_that_the_network_takes_out_does_not_come_back():
    still, streak = texture(), np.zeros((*SIZE, 1), np.float32)
    streak[STREAK] = 0.15
    for wet in range(3):
        frames = [taken_too_much(still + streak * (index == wet), streak * (index == wet)) for index in range(3)]
        assert from_neighbours(frames[1], (frames[0], frames[2])).abs().max() < 0.002


def test_what_the_network_brightens_stays_brighter():
    still = texture()
    frames = [taken_too_much(still, np.full((*SIZE, 1), -0.05, np.float32)) for _ in range(3)]
    assert not from_neighbours(frames[1], (frames[0], frames[2])).any()


def test_less_comes_back_where_rain_is_dense():
    still = texture()

    def back(taken: np.ndarray) -> float:
        frames = [taken_too_much(still, taken) for _ in range(3)]
        return float(from_neighbours(frames[1], (frames[0], frames[2]))[..., 40, 71].mean())

    sparse, dense = np.zeros((*SIZE, 1), np.float32), np.full((*SIZE, 1), 0.1, np.float32)
    sparse[STREAK] = 0.1
    assert back(sparse) > 0.095
    assert 0 < back(dense) < 0.03


def test_behind_a_cut_to_what_is_darker_no_rain_comes_back():
    streak = np.zeros((*SIZE, 1), np.float32)
    streak[STREAK] = 0.15
    here, brighter = taken_too_much(texture() + streak, streak), seen(texture(seed=1) + 0.5, rain=False)
    assert from_neighbours(here, (brighter, brighter))[..., *STREAK].abs().mean() < 0.005


def test_frames_of_another_size_are_no_neighbours():
    still = texture()
    assert not removed(streaked(still), still, texture(size=(120, 128))).any()


@pytest.mark.gpu
def test_a_gpu_compares_as_the_processor():
    pictures = texture(0), streaked(texture(1)), texture(2)
    before, here, after = (seen(picture, index) for index, picture in enumerate(pictures))
    expected = from_neighbours(here, (before, after))
    before, here, after = (Seen(each.rainy.cuda(), (each.clean - each.rainy).cuda()) for each in (before, here, after))
    torch.testing.assert_close(from_neighbours(here, (before, after)).cpu(), expected, atol=2e-3, rtol=0)
