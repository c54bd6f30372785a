from fractions import Fraction

import pytest
import torch

from nerdrain_rt.training.capture import to_linear, to_srgb
from nerdrain_rt.training.drops import Drops
from nerdrain_rt.training.moving_rain import MovingRain, MovingRainSettings

SIZE = (120, 160)


def moving_rain(seed=0, **settings):
    defaults = {"depth_m": 4.0, "wind_m_s": 0.0, "exposure_seconds": 1 / 200}
    return MovingRain(SIZE, Fraction(25), seed=seed, settings=MovingRainSettings(**(defaults | settings)))


def dark():
    return torch.full((3, *SIZE), 0.2)


def test_frame_follows_from_seed_and_number_alone():
    forwards, backwards = moving_rain(), moving_rain()

    first = [forwards(dark(), index) for index in range(4)]
    second = [backwards(dark(), index) for index in reversed(range(4))]

    assert all(torch.equal(a, b) for a, b in zip(first, reversed(second), strict=True))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], moving_rain(seed=1)(dark(), 0))


def test_rain_keeps_shape_and_range_and_brightens_the_dark():
    rainy = moving_rain()(dark(), 0)

    assert rainy.shape == (3, *SIZE)
    assert rainy.min() >= 0.2 - 1e-6
    assert 0.22 < rainy.max() <= 1


def test_white_sky_hides_the_rain():
    white = torch.ones(3, *SIZE)

    torch.testing.assert_close(moving_rain()(white, 0), white)


def test_no_intensity_is_dry():
    torch.testing.assert_close(moving_rain(intensity=0.0)(dark(), 3), dark())


def test_more_intensity_is_more_rain():
    weak, strong = (moving_rain(intensity=intensity)(dark(), 0).mean() for intensity in (0.2, 1.0))

    assert strong - 0.2 > 3 * (weak - 0.2)


def test_streaks_fall_from_frame_to_frame():
    """At 1000 frames a second a frame is the last one, moved down: far streaks by less than near ones."""
    rain = MovingRain(SIZE, 1000, settings=MovingRainSettings(wind_m_s=0.0, exposure_seconds=1 / 1000))
    before, after = rain(dark(), 0)[0] - 0.2, rain(dark(), 1)[0] - 0.2

    def likeness(shift):
        return (before[: 110 - shift] * after[shift:110]).mean()

    assert likeness(1) > 1.5 * likeness(8)
    assert max(range(8), key=likeness) > 0
    assert likeness(1) > 1.2 * (after[:109] * before[1:110]).mean()


def test_wind_leans_the_streaks():
    streaks = moving_rain(wind_m_s=5.0).streaks(0)

    assert (streaks.dx / streaks.dy).median() == pytest.approx(5 / 5.5, rel=0.25)


def test_driving_makes_streaks_run_outwards():
    streaks = moving_rain(speed_m_s=30.0, exposure_seconds=1 / 1000).streaks(0)

    outwards = streaks.dx * (streaks.x - SIZE[1] / 2) + streaks.dy * (streaks.y - SIZE[0] / 2)
    assert (outwards > 0).float().mean() > 0.8


def test_drops_hide_by_how_they_cross_the_picture_not_by_how_they_come_nearer():
    def peaks(forwards):
        places = torch.tensor([[0.0, 0.0, 4.0], [2.0, 0.0, 4.0]], dtype=torch.float64)
        each = torch.ones(2)
        drops = Drops(
            torch.zeros(2, dtype=torch.int64),
            place=places,
            velocity=torch.tensor([[0.0, 5.0, -forwards]] * 2, dtype=torch.float64),
            diameter=0.002 * each,
            character=torch.full((2, 4), 0.5),
            focal=500 * each,
            focus=6 * each,
            exposure=each / 100,
            centre=torch.zeros(2, 2),
        )
        return drops.streaks().peak.tolist()

    (ahead, aside), (driven_ahead, driven_aside) = peaks(0.0), peaks(20.0)

    assert ahead == pytest.approx(aside)
    assert driven_ahead == pytest.approx(ahead, rel=0.1)
    # Half as far aside as ahead, at 20 m/s: it crosses the picture at 10 m/s one way and at 5 m/s the other.
    assert driven_aside == pytest.approx(aside / 5**0.5, rel=0.1)


def test_at_night_a_lamp_lights_the_drops_ahead_and_near():
    lit, unlit = (moving_rain(lamp=lamp, exposure_seconds=1 / 30) for lamp in (20.0, None))
    night = sum(lit(0.1 * dark(), index) - 0.02 for index in range(8)).sum((0, 1))
    assert night[60:100].mean() > 3 * night[[*range(20), *range(140, 160)]].mean()
    assert len(lit.streaks(0).x) < len(unlit.streaks(0).x)
    assert lit(0.1 * dark(), 0).max() > 0.3


def test_haze_takes_contrast_and_leaves_the_rain_as_it_is():
    scene = dark()
    scene[:, 60:] = 0.8

    hazy = moving_rain(intensity=0.0, haze=0.3)(scene, 0)
    rainy = moving_rain(haze=0.3)(scene, 0)

    alone = moving_rain(haze=0.0)(hazy, 0)
    steps = [float(to_linear(it[:, 90]).mean() - to_linear(it[:, 30]).mean()) for it in (hazy, scene)]
    assert steps[0] == pytest.approx(0.7 * steps[1], rel=1e-3)
    assert hazy[:, 30].min() > 0.25
    assert (rainy - hazy).max() > 0.1
    assert torch.allclose(rainy, alone, atol=0.05)


def test_drops_are_as_dark_as_the_light_they_are_seen_in():
    rain = moving_rain()
    scene = to_linear(dark() + 0.3)

    def brightening(light):
        return to_linear(rain(to_srgb(light * scene), 0)) - light * scene

    assert brightening(1.0).max() > 0.05
    assert torch.allclose(brightening(0.1), 0.1 * brightening(1.0), atol=1e-3)
    white = torch.ones(3, *SIZE)
    white[:, :60] = 0.0
    assert rain(white, 0)[:, :60].max() < 0.99, "a bright picture's drops have a limit"


def test_lamps_are_followed_further_than_daylight():
    faint, bright = (len(moving_rain(lamp=lamp, depth_m=6.0).streaks(0).x) for lamp in (0.0, 40.0))

    assert faint == 0
    assert bright > 100


def test_rain_does_not_thin_out_over_an_hour():
    rain = moving_rain(speed_m_s=10.0)

    early, late = (len(rain.streaks(index).x) for index in (0, 25 * 3600))

    assert late == pytest.approx(early, rel=0.1)
