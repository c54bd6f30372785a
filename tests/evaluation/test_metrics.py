"""The scores against those of the papers' MATLAB code, and what holds by definition."""

import csv

import numpy as np
import pytest
from PIL import Image

from nerdrain_rt.evaluation.metrics import EQUAL_DB, psnr, score
from tests.conftest import shared_path

CONVENTIONS = {"rain200l": "y8", "rain200h": "y8", "spa": "y8", "did_ddn": "yfloat"}


def noise(height=40, width=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def read(path):
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.parametrize("name", CONVENTIONS)
def test_scores_of_published_outputs_equal_the_papers_code(name):
    folder = shared_path("pairs/official") / name
    with shared_path("pairs/expected_scores.csv").open() as file:
        expected = {row["image"]: row for row in csv.DictReader(file) if row["set"] == name}

    assert expected
    for image, row in expected.items():
        output, target = (read(folder / side / f"{image}.png") for side in ("output", "target"))
        psnr_y, ssim_y = score(output, target, CONVENTIONS[name])
        assert psnr_y == pytest.approx(float(row["psnr_y_db"]), abs=1e-3)
        assert ssim_y == pytest.approx(float(row["ssim_y"]), abs=1e-5)


@pytest.mark.parametrize("convention", ["y8", "yfloat"])
def test_equal_images_have_the_best_score(convention):
    assert score(noise(), noise(), convention) == pytest.approx((EQUAL_DB, 1.0))


@pytest.mark.parametrize(("offset", "decibels"), [(255, 0.0), (1, 48.1308)])
def test_psnr_of_a_constant_error(offset, decibels):
    black = np.zeros((4, 4, 3), np.uint8)

    assert psnr(black + np.uint8(offset), black) == pytest.approx(decibels, abs=1e-4)


def test_psnr_does_not_wrap_around_below_zero():
    assert psnr(np.zeros(3, np.uint8), np.ones(3, np.uint8)) == pytest.approx(48.1308, abs=1e-4)


def test_rounding_luma_changes_the_score():
    rounded, not_rounded = (score(noise(), noise(seed=1), convention) for convention in ("y8", "yfloat"))

    assert rounded.psnr_y != not_rounded.psnr_y
    assert rounded.psnr_y == pytest.approx(not_rounded.psnr_y, abs=0.01)


def test_large_images_are_shrunk_only_without_rounding():
    target = np.full((400, 400, 3), 128, np.uint8)
    checkered = target.copy()
    checkered[::2, ::2] += 40
    checkered[1::2, 1::2] += 40

    assert score(checkered, target, "yfloat").ssim_y > 0.9
    assert score(checkered, target, "y8").ssim_y < 0.2
