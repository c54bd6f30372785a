"""Sheets: what they show, of pictures of any size."""

import numpy as np
from PIL import Image

from nerdrain_rt.evaluation.evaluate import Comparison
from nerdrain_rt.evaluation.sheets import save_crops
from nerdrain_rt.media.image_folder import read_image
from tests.evaluation.pictures import RAIN, noise, write


def test_sheet_shows_input_output_target_and_difference(run, pairs, tmp_path):
    run("--input", pairs[0], "--target", pairs[1], "--sheet", tmp_path / "sheet.png")

    sheet = read_image(tmp_path / "sheet.png")
    height = sheet.shape[0] // 3
    assert sheet.shape[1] == 4 * 60
    rainy, clean, target, difference = np.split(sheet[height - 40 : height], 4, axis=1)
    assert np.array_equal(rainy, target + RAIN)
    assert np.array_equal(clean, target)
    assert not difference.any()


def test_sheet_shows_a_picture_much_wider_than_high(run, tmp_path):
    write(tmp_path / "dry" / "a.png", noise(2, 2000))

    result = run("--harm", tmp_path / "dry", "--sheet", tmp_path / "sheet.png")

    assert result.exit_code == 0
    assert read_image(tmp_path / "sheet.png").shape[1] == 3 * 800


def test_sheet_puts_the_worst_first(run, pairs, tmp_path):
    write(pairs[0] / "1.png", noise(seed=9))

    run("--input", pairs[0], "--target", pairs[1], "--sheet", tmp_path / "sheet.png")

    assert np.array_equal(read_image(tmp_path / "sheet.png")[18:58, :60], noise(seed=9))


def test_crops_show_where_the_rain_is(tmp_path):
    target = noise(300, 400)
    rainy = target.copy()
    rainy[170:290, 230:390] += 50
    comparison = Comparison("a", rainy, target, target)

    save_crops(tmp_path / "sheet.png", [comparison])

    sheet = read_image(tmp_path / "sheet.png")
    _, rainy_crop, clean_crop, target_crop = np.split(sheet[-360:], 4, axis=1)
    expected = Image.fromarray(rainy[170:290, 230:390]).resize((480, 360), Image.Resampling.BICUBIC)
    assert np.array_equal(rainy_crop[:, :480], expected)
    assert np.array_equal(clean_crop, target_crop)


def test_crops_of_the_dark_are_lit(tmp_path):
    dark = np.full((120, 160, 3), 20, np.uint8)

    save_crops(tmp_path / "sheet.png", [Comparison("a", dark, dark, None)])

    whole, difference, rainy, clean = np.split(read_image(tmp_path / "sheet.png")[-360:], 4, axis=1)
    assert whole[180, 240].tolist() == [20] * 3
    assert not difference.any()
    assert rainy[180, 240].tolist() == clean[180, 240].tolist() == [80] * 3


def test_crops_of_pictures_of_all_sizes_fit_on_a_sheet(tmp_path):
    comparisons = [Comparison("a", *[noise(*size)] * 3) for size in ((9, 13), (500, 40), (40, 900))]

    save_crops(tmp_path / "sheet.png", comparisons)

    height, width, _ = read_image(tmp_path / "sheet.png").shape
    assert height > 3 * 360
    assert width >= 4 * 480
