"""What is left of drops that were put over moving scenes, found without the scenes being known."""

import numpy as np
import pytest

from nerdrain_rt.errors import MediaError
from nerdrain_rt.evaluation.evaluate import Comparison
from nerdrain_rt.evaluation.real_drops import RealDrops, measure_real_drops
from tests.evaluation.pictures import derainer, noise, panned, write


def drops_over(frames, *, light):
    """The frames with drops, each at places of its own."""
    rainy = [frame.astype(int) for frame in frames]
    for index, frame in enumerate(rainy):
        for row in range(6, 70, 8):
            frame[row : row + 4, 8 + 12 * index : 150 : 60] += light
    return [np.clip(frame, 0, 255).astype(np.uint8) for frame in rainy]


@pytest.mark.parametrize(("kept", "left"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0)])
def test_what_is_left_of_drops_over_a_moving_scene_is_measured(kept, left):
    dry = panned(7, step=2)
    rainy, clean = drops_over(dry, light=40), drops_over(dry, light=round(40 * kept))

    drops = RealDrops.of(Comparison(str(n), *sides, None) for n, sides in enumerate(zip(rainy, clean, strict=True)))

    assert drops.frames == 3
    assert [row.name for row in drops.rows] == ["2", "3", "4"]
    assert drops.drops_before > 0.2
    assert drops.drops_left == pytest.approx(left, abs=0.12)
    assert drops.changed < 0.05


def test_dry_frames_have_no_drops_and_what_a_derainer_changes_there_is_told():
    dry = panned(6, step=2)
    darker = [frame - np.uint8(2) for frame in dry]

    drops = RealDrops.of(Comparison("", *sides, None) for sides in zip(dry, darker, strict=True))

    assert drops.drops_before < 0.02
    assert drops.changed == pytest.approx(2, abs=0.1)


def test_too_few_frames_or_unequal_ones_show_no_drops(tmp_path):
    for index, picture in enumerate(panned(4)):
        write(tmp_path / f"{index}.png", picture)
    with pytest.raises(MediaError, match="at least 5 frames"):
        measure_real_drops(derainer(), tmp_path)
    write(tmp_path / "4.png", noise(40, 61))
    with pytest.raises(MediaError, match=r"4\.png: differs in size"):
        measure_real_drops(derainer(), tmp_path)


def test_frames_too_small_for_motion_are_refused(tmp_path):
    for index in range(5):
        write(tmp_path / f"{index}.png", noise(8, 60))
    with pytest.raises(MediaError, match=r"0\.png: too small"):
        measure_real_drops(derainer(), tmp_path)
