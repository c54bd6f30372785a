"""Rain that only the frames around can tell from texture."""

import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from nerdrain_rt import Derainer, DerainSettings, OutputSettings, derain_video
from nerdrain_rt.evaluation.evaluate import compare
from nerdrain_rt.frame import Frame
from nerdrain_rt.temporal import GUIDE_PIXELS, RECENT, REPEATS, Seen, distinct, from_neighbours, trios
from tests import clips
from tests.fakes import FakeBackend

SIZE = (120, 160)
STREAK = (slice(30, 60), slice(70, 73))
DROP = 20 / 255
"""Brightness that a drop adds which the network sees."""


def texture(shift: int = 0, seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Soft patches in gray, H W 3 in [0, 1], moved to the left by `shift`."""
    height, width = size
    noise = np.random.default_rng(seed).random((height, width + 64), np.float32)
    patches = cv2.GaussianBlur(noise, (0, 0), 3) * 4 - 1.6
    return np.repeat(np.clip(patches, 0.05, 0.8)[:, shift : shift + width, None], 3, axis=2)


def streaked(picture: np.ndarray, added: float = 0.15) -> np.ndarray:
    picture = picture.copy()
    picture[STREAK] += added
    return picture


def drops(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Brightness of those of a frame, H W 1: on an eighth of the pixels, on others in the next two frames."""
    eighth = np.random.default_rng(9).integers(0, 8, (*size, 1))
    return np.where(eighth == index % 3, np.float32(DROP), np.float32(0))


def tensor_of(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture, np.float32)).permute(2, 0, 1)[None]


def seen(picture: np.ndarray, index: int = 0, *, rain: bool = True) -> Seen:
    """With `picture` as what the network leaves when it has taken out the drops."""
    clean = tensor_of(picture)
    taken = tensor_of(drops(index, picture.shape[:2]) * rain).expand_as(clean)
    return Seen(clean + taken, -taken)


def removed(here: np.ndarray, before: np.ndarray, after: np.ndarray, *, rain: bool = True) -> np.ndarray:
    """What is added, as H W 3."""
    frames = [seen(picture, index, rain=rain) for index, picture in enumerate((before, here, after))]
    added = from_neighbours(frames[1], (frames[0], frames[2]))
    return added[0].permute(1, 2, 0).numpy()


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
        if before is not None:
            now.follow(before)
        before = now
        yield now


def coded(picture: np.ndarray, index: int) -> np.ndarray:
    """With what another encoder changes in it."""
    return picture + np.random.default_rng(index).choice([-1 / 255, 0, 0, 1 / 255], picture.shape)


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
        if index:
            seen_frames[-1].follow(seen_frames[-2])
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


def codes(picture: np.ndarray) -> np.ndarray:
    """As a frame of 8 bits holds it, in [0, 1]."""
    return np.round(255 * picture) / 255


class SeesDrops(FakeBackend):
    """Takes out the drops, and leaves the streak."""

    def __init__(self) -> None:
        still, places = tensor_of(codes(texture())), tensor_of(sum(map(drops, range(3)))) > 0
        super().__init__(lambda rainy: (still - rainy[..., : SIZE[0], : SIZE[1]]) * places)


class SeesAll(FakeBackend):
    """Takes out all that is brighter than the texture, so that nothing is left for the comparison."""

    def __init__(self) -> None:
        still = tensor_of(codes(texture()))
        super().__init__(lambda rainy: still - rainy[..., : SIZE[0], : SIZE[1]])


def frames(count: int, wet: int) -> list[Frame]:
    """Still frames in rain, one of them with a streak."""
    pictures = [codes(texture()) + drops(index) for index in range(count)]
    pictures[wet][STREAK] = codes(streaked(texture()))[STREAK]
    made = [av.VideoFrame.from_ndarray(np.round(255 * picture).astype(np.uint8), "rgb24") for picture in pictures]
    return [Frame(picture, index, Fraction(1, 25)) for index, picture in enumerate(made)]


def streak_of(frame: Frame) -> float:
    """How much brighter it is than what is behind it, in 8-bit codes, where no drops are."""
    return float((frame.picture.to_ndarray() - 255 * codes(texture()))[STREAK][NO_DROPS[STREAK]].mean())


NO_DROPS = np.broadcast_to(sum(map(drops, range(3))) == 0, (*SIZE, 3))


@pytest.mark.parametrize("wet", range(5))
def test_frames_are_compared_with_those_around_them(wet):
    clean = list(Derainer(backend=SeesDrops()).derain(frames(5, wet)))
    assert [frame.pts for frame in clean] == [0, 1, 2, 3, 4]
    assert streak_of(clean[wet]) < 6
    assert all(abs(streak_of(frame)) < 3 for frame in clean if frame.pts != wet)


@pytest.mark.parametrize("count", [1, 2])
def test_frames_of_too_few_stand_alone(count):
    clean = list(Derainer(backend=SeesDrops()).derain(frames(count, 0)))
    assert streak_of(clean[0]) > 35


def test_with_the_two_before_no_frame_is_waited_for():
    derainer, before = Derainer(backend=SeesDrops()), deque(maxlen=2)
    clean = [next(derainer.derain([frame], before=before)) for frame in frames(5, 2)]
    assert streak_of(clean[2]) < 6
    assert all(abs(streak_of(frame)) < 3 for frame in clean if frame.pts != 2)
    clean = [next(derainer.derain([frame], before=before)) for frame in frames(2, 0)]
    assert streak_of(clean[0]) < 6, "what was before is kept from call to call"


def test_a_frame_without_two_before_it_stands_alone():
    derainer, before = Derainer(backend=SeesDrops()), deque(maxlen=2)
    clean = [next(derainer.derain([frame], before=before)) for frame in frames(2, 1)]
    assert streak_of(clean[1]) > 35


@pytest.mark.parametrize("what", ["Seen", "from_neighbours"])
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["GPU", "CPU"],
)
def test_frames_for_which_memory_is_short_stand_alone(what, error, monkeypatch):
    tries = []

    def too_much(*_, **__):
        tries.append(what)
        raise error

    derainer = Derainer(backend=SeesDrops())
    with monkeypatch.context() as patched:
        patched.setattr(f"nerdrain_rt.derainer.{what}", too_much)
        clean = list(derainer.derain(frames(5, 2)))
    assert [frame.pts for frame in clean] == [0, 1, 2, 3, 4]
    assert streak_of(clean[2]) > 35
    assert len(tries) == 2, "each try costs the memory that PyTorch keeps"
    assert derainer.warnings == ["cpu: no memory to compare frames of 160x120 with those around them"]


def test_memory_that_is_short_once_costs_one_frame(monkeypatch):
    answers = iter([torch.OutOfMemoryError("CUDA out of memory")])

    def too_much_once(*arguments):
        for error in answers:
            raise error
        return from_neighbours(*arguments)

    monkeypatch.setattr("nerdrain_rt.derainer.from_neighbours", too_much_once)
    derainer = Derainer(backend=SeesDrops())
    assert streak_of(list(derainer.derain(frames(5, 2)))[2]) < 6
    assert not derainer.warnings


def test_without_it_each_frame_stands_alone():
    clean = list(Derainer(DerainSettings(temporal=False), backend=SeesDrops()).derain(frames(5, 2)))
    assert streak_of(clean[2]) > 35


@pytest.mark.parametrize("backend", [SeesDrops, SeesAll])
@pytest.mark.parametrize("strength", [0.25, 0.5, 0.75])
def test_the_strength_is_the_share_that_is_taken_out(backend, strength):
    def taken(share: float) -> float:
        given, clean = frames(5, 2), Derainer(DerainSettings(strength=share), backend=backend()).derain(frames(5, 2))
        return streak_of(given[2]) - streak_of(list(clean)[2])

    assert taken(strength) == pytest.approx(strength * taken(1), abs=1)


@pytest.mark.parametrize("strength", [0, 1e-40, 0.5])
def test_a_part_of_the_rain_is_taken_out_of_a_file_and_its_evaluation(strength, tmp_path):
    clip = rainy_clip(tmp_path / "rainy.mov")
    derainer = Derainer(DerainSettings(strength=strength), backend=SeesDrops())
    list(derain_video(clip, tmp_path / "clean.mov", derainer, output=OutputSettings(codec="png")))
    written = clips.all_samples(tmp_path / "clean.mov", "rgb24")
    for picture, comparison in zip(written, compare(derainer, clip), strict=True):
        difference = np.frombuffer(picture, np.uint8).reshape(*SIZE, 3).astype(int) - comparison.clean
        assert np.abs(difference).max() <= 1


def rainy_clip(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "rgb24"
        for frame in frames(5, 2):
            container.mux(stream.encode(frame.picture))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("temporal", "expected"), [(True, 6), (False, 40)])
def test_a_file_and_its_evaluation_are_compared_alike(temporal, expected, tmp_path):
    clip = rainy_clip(tmp_path / "rainy.mov")
    derainer = Derainer(DerainSettings(temporal=temporal), backend=SeesDrops())
    *_, last = derain_video(clip, tmp_path / "clean.mov", derainer, output=OutputSettings(codec="png"))
    assert last.report is not None
    written = [np.frombuffer(picture, np.uint8) for picture in clips.all_samples(tmp_path / "clean.mov", "rgb24")]
    assert abs(expected - streak_of(Frame(as_picture(written[2]), 2, Fraction(1, 25)))) < 6
    for picture, comparison in zip(written, compare(derainer, clip), strict=True):
        difference = picture.reshape(*SIZE, 3).astype(int) - comparison.clean
        assert np.abs(difference).max() <= 1


def as_picture(samples: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(samples.reshape(*SIZE, 3), "rgb24")


def test_a_residual_of_zero_stays_zero(tmp_path):
    clip = rainy_clip(tmp_path / "rainy.mov")
    derainer = Derainer(backend=FakeBackend())
    list(derain_video(clip, tmp_path / "clean.mov", derainer, output=OutputSettings(codec="png")))
    assert clips.all_samples(tmp_path / "clean.mov", "rgb24") == clips.all_samples(clip, "rgb24")


@pytest.mark.gpu
def test_a_gpu_compares_as_the_processor():
    pictures = texture(0), streaked(texture(1)), texture(2)
    before, here, after = (seen(picture, index) for index, picture in enumerate(pictures))
    expected = from_neighbours(here, (before, after))
    before, here, after = (Seen(each.rainy.cuda(), (each.clean - each.rainy).cuda()) for each in (before, here, after))
    torch.testing.assert_close(from_neighbours(here, (before, after)).cpu(), expected, atol=2e-3, rtol=0)
