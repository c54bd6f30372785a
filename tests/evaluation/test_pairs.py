"""Which target belongs to which picture."""

from pathlib import Path

import numpy as np
import pytest

from nerdrain_rt.errors import MediaError, UsageError
from nerdrain_rt.evaluation.evaluate import evaluate_pairs
from nerdrain_rt.evaluation.harm import measure_harm
from nerdrain_rt.evaluation.pictures import match_images, read_pairs
from tests.evaluation.pictures import derainer, noise, write, write_video


def test_folder_against_video_is_refused(pairs, tmp_path):
    with pytest.raises(UsageError, match="two folders, two images or two videos"):
        evaluate_pairs(derainer(), pairs[0], write_video(tmp_path / "target.mkv", [noise()]))


def test_pair_of_different_sizes_is_refused(pairs):
    write(pairs[1] / "1.png", noise(41, 60))

    with pytest.raises(MediaError, match=r"1\.png and its target differ in size: 60x40 and 60x41"):
        evaluate_pairs(derainer(), *pairs)


def test_picture_too_small_for_ssim_is_refused(tmp_path):
    picture = write(tmp_path / "a.png", noise(10, 60))

    with pytest.raises(MediaError, match="60x10 is too small for SSIM"):
        evaluate_pairs(derainer(), picture, picture)


@pytest.mark.parametrize(
    ("rainy", "target"),
    [
        ("input/2.png", "target/2.png"),
        ("input/2.PNG", "target/2.jpg"),
        ("rain/norain-1x2.png", "norain/norain-1.png"),
        ("rain/X2/norain-101x2.png", "norain/norain-101.png"),
        ("rainy/rain-001.png", "norain/norain-001.png"),
        ("rainy_image/900_14.jpg", "ground_truth/900.jpg"),
        ("rain/17_rain.png", "gt/17gt.png"),
        ("rain/3_1_2_rain.png", "gt/3_1_2gt.png"),
        ("rain/5.png", "gt/5_gt.png"),
        ("input/clip1/7.png", "target/clip1/7.png"),
    ],
)
def test_names_of_benchmarks_are_matched(tmp_path, rainy, target):
    paths = write(tmp_path / rainy, noise()), write(tmp_path / target, noise())
    folders = tmp_path / rainy.split("/")[0], tmp_path / target.split("/")[0]

    assert match_images(*folders) == dict([paths])


@pytest.mark.parametrize(
    ("rainy_folder", "rainy", "target_folder"),
    [("", "rain-1.png", ""), ("rainy", "rainy/rain-1.png", ""), ("", "rain-1.png", "clear")],
)
def test_folders_may_hold_each_other(tmp_path, rainy_folder, rainy, target_folder):
    paths = write(tmp_path / rainy, noise()), write(tmp_path / target_folder / "norain-1.png", noise())

    assert match_images(tmp_path / rainy_folder, tmp_path / target_folder) == dict([paths])


def test_what_rain100_was_made_of_is_left_out(tmp_path):
    names = ("rain-001", "norain-001", "rainregion-001", "rainstreak-001")
    rainy, target, *_ = (write(tmp_path / f"{name}.png", noise()) for name in names)

    assert match_images(tmp_path, tmp_path) == {rainy: target}


def test_pairs_in_one_image_are_its_halves(tmp_path):
    rainy, target = noise(), noise()
    write(tmp_path / "0.png", np.concatenate((rainy, target), 1))

    (pair,) = read_pairs(tmp_path, tmp_path)

    assert (pair.rainy == rainy).all()
    assert (pair.target == target).all()
    write(tmp_path / "1.png", noise(32, 33))
    with pytest.raises(MediaError, match=r"1\.png: has no target in its folder"):
        list(read_pairs(tmp_path, tmp_path))


@pytest.mark.parametrize("names", [("rain-1", "norain-1"), ("pair",)])
def test_one_folder_written_in_two_ways_is_one(tmp_path, monkeypatch, names):
    """Else each image would be its own target."""
    for seed, name in enumerate(names):
        write(tmp_path / "set" / f"{name}.png", noise(seed=seed))
    (tmp_path / "link").symlink_to(tmp_path / "set")
    monkeypatch.chdir(tmp_path)

    for other in (tmp_path / "set", Path("link"), Path("set/../set")):
        (pair,) = read_pairs(Path("set"), other)
        assert not np.array_equal(pair.rainy, pair.target)


def test_folder_in_another_is_found_there_however_it_is_written(tmp_path, monkeypatch):
    rainy, target = write(tmp_path / "1.png", noise()), write(tmp_path / "clear" / "1.png", noise())
    monkeypatch.chdir(tmp_path)

    assert match_images(tmp_path, Path("clear")) == {rainy: target}


def test_equal_name_goes_before_a_similar_one(tmp_path):
    for name in ("9.png", "9_1.png"):
        write(tmp_path / "input" / name, noise())
        write(tmp_path / "target" / name, noise())

    matches = match_images(tmp_path / "input", tmp_path / "target")

    assert all(rainy.name == target.name for rainy, target in matches.items())


def test_many_rainy_images_share_a_target(tmp_path):
    for index in range(1, 15):
        write(tmp_path / "rainy" / f"900_{index}.jpg", noise())
    target = write(tmp_path / "clean" / "900.jpg", noise())

    assert list(match_images(tmp_path / "rainy", tmp_path / "clean").values()) == [target] * 14


@pytest.mark.parametrize("side", ["input", "target"])
def test_image_without_partner_is_named(pairs, tmp_path, side):
    alone = write(tmp_path / side / "lost.png", noise())

    with pytest.raises(MediaError, match=rf"{alone}: no (target|rainy image) of this name in"):
        evaluate_pairs(derainer(), *pairs)


def test_pictures_of_one_name_in_several_folders_are_told_apart(tmp_path):
    for side, name in ((side, name) for side in ("input", "target") for name in ("a/1.png", "b/1.png")):
        write(tmp_path / side / name, noise())
    folders = tmp_path / "input", tmp_path / "target"

    assert [pair.name for pair in read_pairs(*folders)] == ["a/1.png", "b/1.png"]
    assert [row.name for row in measure_harm(derainer(), folders[0]).rows] == ["a/1.png", "b/1.png"]


def test_folder_without_images_is_refused(tmp_path):
    with pytest.raises(MediaError, match="no images"):
        measure_harm(derainer(), tmp_path)
