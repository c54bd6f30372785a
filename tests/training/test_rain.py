import math

import cv2
import numpy as np
import pytest
import torch

from nerdrain_rt.training.air import Air, strewn
from nerdrain_rt.training.dice import Dice
from nerdrain_rt.training.looks import OpticalLook
from nerdrain_rt.training.moving_rain import MovingRain, MovingRainSettings
from nerdrain_rt.training.rain import RainSettings, add_rain
from nerdrain_rt.training.streaks import Streaks, splat

KINDS = ("dry", "light", "heavy", "fine", "thick", "optical", "short", "falling")


def only(kind, **others):
    return RainSettings(**{name: float(name == kind) for name in KINDS}, **others)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def photographs(batch=6, size=64):
    coarse = torch.rand(batch, 3, 8, 8, generator=seeded(9))
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)


def one_streak(**changes):
    fields = {
        "x": 32.0,
        "y": 32.0,
        "dx": 0.0,
        "dy": 24.0,
        "sigma": 1.0,
        "peak": 0.5,
        "sharpness": 1.0,
        "beads": 0.0,
        "phase": 0.0,
    }
    tensors = {name: torch.tensor([value]) for name, value in (fields | changes).items()}
    return Streaks(image=torch.zeros(1, dtype=torch.int64), **tensors)


def orientation(rain):
    """Degrees from the vertical, positive where streaks run from top left to bottom right."""
    y, x = torch.meshgrid(*(torch.arange(float(size)) for size in rain.shape), indexing="ij")
    total = rain.sum()
    y, x = y - (rain * y).sum() / total, x - (rain * x).sum() / total
    return math.degrees(0.5 * math.atan2(2 * (rain * x * y).sum(), (rain * (y**2 - x**2)).sum()))


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_gives_the_same_rain(kind):
    clean = photographs()

    first, second, other = (add_rain(clean, seeded(seed), only(kind)) for seed in (1, 1, 2))

    assert torch.equal(first.rainy, second.rainy)
    assert torch.equal(first.target, second.target)
    assert not torch.equal(first.rainy, other.rainy)


def test_saved_generator_state_continues_the_same_rain():
    clean, generator = photographs(), seeded()
    add_rain(clean, generator)
    state = generator.get_state()
    expected = add_rain(clean, generator).rainy

    again = torch.Generator()
    again.set_state(state)

    assert torch.equal(add_rain(clean, again).rainy, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_images_keep_their_shape_and_range(kind):
    clean = torch.cat((photographs(4), torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64)))

    for picture in add_rain(clean, seeded(), only(kind)):
        assert picture.shape == clean.shape
        assert picture.isfinite().all()
        assert picture.min() >= 0
        assert picture.max() <= 1


def test_sizes_that_are_no_multiple_of_a_block_are_kept():
    clean = torch.rand(3, 3, 37, 51, generator=seeded())

    assert add_rain(clean, seeded(), only("dry", dry_filmed=1.0)).rainy.shape == clean.shape


def test_dry_images_come_in_their_share():
    clean = torch.full((400, 3, 16, 16), 0.3)

    pair = add_rain(
        clean,
        seeded(),
        RainSettings(dry=0.3, light=0.0, heavy=0.7, fine=0.0, thick=0.0, optical=0.0, short=0.0, falling=0.0),
    )

    dry = sum(torch.equal(rainy, target) for rainy, target in zip(pair.rainy, pair.target, strict=True))
    assert 90 <= dry <= 150


def test_dry_images_are_their_own_target_even_when_filmed():
    pair = add_rain(photographs(), seeded(), only("dry", dry_filmed=1.0))

    assert torch.equal(pair.rainy, pair.target)
    assert not torch.equal(pair.target, photographs())


@pytest.mark.parametrize("kind", ["light", "heavy", "fine"])
def test_painted_rain_only_brightens(kind):
    clean = torch.rand(24, 3, 64, 64, generator=seeded(3)) * 0.6

    pair = add_rain(clean, seeded(), only(kind))

    untouched = [index for index in range(24) if torch.equal(pair.target[index], clean[index])]
    residual = (pair.rainy - pair.target)[untouched]
    assert len(untouched) > 12
    assert residual.min() > -1e-6
    assert residual.mean() > 0.008


def test_light_rain_adds_what_its_look_says():
    clean = torch.full((40, 3, 96, 96), 0.2)

    pair = add_rain(clean, seeded(), only("light"))

    assert 0.016 < (pair.rainy - pair.target).mean() < 0.026


def test_optical_rain_is_hidden_by_ground_as_bright_as_the_drops():
    look = OpticalLook(
        radiance=(1.0, 1.0), night=0.0, filmed=0.0, driving=0.0, contrast=(0.2, 0.2), haze=(0.001, 0.002)
    )
    clean = torch.stack((torch.full((3, 64, 64), 0.1), torch.full((3, 64, 64), 1.0))).repeat(8, 1, 1, 1)

    pair = add_rain(clean, seeded(), only("optical", optics=look))

    change = (pair.rainy - pair.target).abs().mean((1, 2, 3)).view(8, 2).mean(0)
    assert change[0] > 10 * change[1]


def test_drops_of_short_exposures_are_specks():
    clean = torch.full((16, 3, 96, 96), 0.1)

    def pixels_of_large(kind):
        pair = add_rain(clean, seeded(), only(kind))
        rain = (pair.rainy - pair.target).mean(1).numpy() > 10 / 255
        drops = [cv2.connectedComponentsWithStats(it.astype(np.uint8))[2][1:] for it in rain]
        return np.percentile(np.concatenate(drops)[:, cv2.CC_STAT_AREA], 90)

    assert pixels_of_large("short") <= 0.5 * pixels_of_large("optical")


def test_haze_and_night_stay_in_the_target():
    dark = OpticalLook(night=1.0, filmed=0.0)
    hazy = OpticalLook(night=0.0, filmed=0.0, haze=(0.3, 0.3))
    clean = torch.full((4, 3, 32, 32), 0.25)

    assert add_rain(clean, seeded(), only("optical", optics=dark)).target.mean() < 0.2
    assert add_rain(clean, seeded(), only("optical", optics=hazy)).target.mean() > 0.3


@pytest.mark.parametrize("degrees", [-40.0, -10.0, 0.0, 25.0, 44.0, 60.0])
def test_streak_lies_along_its_angle(degrees):
    angle = math.radians(degrees)

    rain = splat(one_streak(dx=40 * math.sin(angle), dy=40 * math.cos(angle)), 1, 64, 64)[0, 0]

    assert orientation(rain) == pytest.approx(degrees, abs=1.0)


def test_streak_has_its_length_width_and_peak():
    rain = splat(one_streak(), 1, 64, 64)[0, 0]

    assert rain.max() == rain[32, 32] == pytest.approx(0.5)
    assert rain[32, 33].item() == pytest.approx(0.5 * math.exp(-0.5), rel=1e-4)
    assert rain[32 - 11, 32] > 0
    assert rain[: 32 - 12].sum() == rain[32 + 13 :].sum() == 0


def test_turned_streak_is_the_turned_picture():
    upright = splat(one_streak(x=20.0, y=30.0, dx=5.0), 1, 64, 64)
    lying = splat(one_streak(x=30.0, y=20.0, dx=24.0, dy=5.0), 1, 64, 64)

    torch.testing.assert_close(lying, upright.transpose(2, 3))


def test_streak_crossing_the_border_is_cut_there():
    whole = splat(one_streak(x=32.0, y=64.0), 1, 128, 128)
    cut = splat(one_streak(x=0.0, y=0.0), 1, 64, 64)

    torch.testing.assert_close(cut, whole[:, :, 64:, 32:96])


def test_streaks_land_in_their_own_image():
    streak = one_streak()
    streak.image[0] = 2

    rain = splat(streak, 3, 64, 64)

    assert rain[:2].sum() == 0
    assert rain[2].sum() > 0


@pytest.mark.parametrize(
    ("exposure", "speed", "wind"), [(1 / 120, 0.0, 3.0), (1 / 500, 0.0, 0.6), (1 / 30, 0.0, 0.6), (1 / 120, 15.0, 0.6)]
)
def test_strewn_drops_are_those_of_moving_rain(exposure, speed, wind):
    """The same camera in the same air: as much light from drops, as unevenly, on images of which one is a part."""
    height, width = 160, 240
    settings = MovingRainSettings(intensity=0.6, exposure_seconds=exposure, speed_m_s=speed, wind_m_s=wind)
    focal = width / 2 / math.tan(math.radians(30))
    air = Air(300, focal, settings.focus_m, exposure, wind, speed, (0.0, 0.0))

    moving = [
        splat(MovingRain((height, width), 30, seed=seed, settings=settings).streaks(0), 1, height, width)
        for seed in range(6)
    ]
    strewn_maps = splat(strewn([air] * 6, Dice(seeded()), height, width), 6, height, width)

    moving = torch.cat(moving)
    assert strewn_maps.mean() == pytest.approx(float(moving.mean()), rel=0.1)
    for share in (0.5, 0.9, 0.99):
        wanted = float(moving.flatten().quantile(share))
        assert float(strewn_maps.flatten().quantile(share)) == pytest.approx(wanted, rel=0.15, abs=1e-4)


def test_part_of_a_picture_is_rained_on_as_the_picture_is():
    """Streaks run away from where the camera points, though that is outside the image."""
    air = Air(500, 500.0, 6.0, 1 / 60, 0.0, 25.0, (-150.0, 0.0))

    streaks = strewn([None, air], Dice(seeded()), 64, 64)

    assert set(streaks.image.tolist()) == {1}
    outwards = streaks.dx * (streaks.x + 118) + streaks.dy * (streaks.y - 32)
    assert (outwards > 0).float().mean() > 0.9
    assert (streaks.dx > 0).float().mean() > 0.9


def test_kind_of_share_0_is_never_picked():
    class Highest(Dice):
        def uniform(self, low, high):
            return high

    assert Highest(seeded()).pick(("some", 0.5), ("none", 0.0)) == "some"
