"""Harm to dry footage, and flicker along the motion."""

import numpy as np
import pytest
import torch

from nerdrain_rt.derainer import Derainer, DerainSettings
from nerdrain_rt.errors import MediaError
from nerdrain_rt.evaluation.flicker import measure_flicker
from nerdrain_rt.evaluation.harm import measure_harm
from nerdrain_rt.evaluation.metrics import EQUAL_DB
from tests.evaluation.pictures import derainer, noise, panned, write, write_video
from tests.fakes import FakeBackend


def test_untouched_footage_is_not_harmed(tmp_path):
    harm = measure_harm(derainer(), write_video(tmp_path / "dry.mkv", [noise()] * 2))

    assert (harm.harm_psnr, harm.changed_share) == (EQUAL_DB, 0)


@pytest.mark.parametrize(("codes", "share"), [(1, 0), (2, 1)])
def test_harm_is_visible_above_one_code(tmp_path, codes, share):
    write(tmp_path / "a.png", noise())

    harm = measure_harm(derainer(codes), tmp_path)

    assert harm.harm_psnr == pytest.approx(48.1308 - 20 * np.log10(codes), abs=1e-3)
    assert harm.changed_share == share


def test_worst_frame_is_found(tmp_path):
    dry = [noise() // 2, noise() // 2 + 100, noise() // 2]
    brighter = FakeBackend(lambda rainy: (rainy > 0.5) * 0.2)

    harm = measure_harm(
        Derainer(DerainSettings(tile=0), backend=brighter), write_video(tmp_path / "dry.mkv", dry), limit=2
    )

    assert harm.worst_frame == 1
    assert [row.psnr for row in harm.rows] == [EQUAL_DB, min(row.psnr for row in harm.rows)]


def test_motion_is_not_flicker(tmp_path):
    flicker = measure_flicker(derainer(), write_video(tmp_path / "pan.mkv", panned()))

    assert flicker.frames == 4
    assert flicker.flicker_before == flicker.flicker_after < 2
    assert flicker.flicker_target is flicker.flicker_left is None


def test_steady_output_of_flickering_input_is_seen(tmp_path):
    target = panned()
    rainy = [picture + np.uint8(40 * (index % 2)) for index, picture in enumerate(target)]
    halved = FakeBackend()
    halved.residual = lambda rainy: torch.full_like(rainy, 0 if len(halved.shapes) % 2 else -20 / 255)

    flicker = measure_flicker(
        Derainer(DerainSettings(tile=0, temporal=False), backend=halved),
        write_video(tmp_path / "rainy.mkv", rainy),
        write_video(tmp_path / "target.mkv", target),
    )

    assert flicker.flicker_before == pytest.approx(40, abs=2)
    assert flicker.flicker_after == pytest.approx(20, abs=2)
    assert flicker.flicker_target < 2
    assert flicker.flicker_left == pytest.approx(0.5, abs=0.01)


def test_single_frame_cannot_flicker(tmp_path):
    write(tmp_path / "a.png", noise())

    with pytest.raises(MediaError, match="at least two frames"):
        measure_flicker(derainer(), tmp_path)


def test_frames_of_different_sizes_cannot_flicker(tmp_path):
    write(tmp_path / "1.png", noise())
    write(tmp_path / "2.png", noise(40, 61))

    with pytest.raises(MediaError, match=r"2\.png: 61x40 after 60x40"):
        measure_flicker(derainer(), tmp_path)
