"""`nerdrain rain`: pictures and videos with rain whose dry source is the ground truth."""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from nerdrain_rt.__main__ import run
from nerdrain_rt.media.reader import VideoReader
from nerdrain_rt.training.shower import Shower
from tests import clips


@pytest.fixture
def picture(tmp_path) -> Path:
    path = tmp_path / "dry.png"
    Image.fromarray(np.full((96, 128, 3), 60, np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return clips.video(tmp_path_factory.mktemp("clip") / "dry.mkv", size=(96, 128), frames=5, codec="ffv1")


def rain(*arguments: object) -> int:
    return run(["rain", *map(str, arguments), "--device", "cpu"])


def test_on_apple_gpus_drops_fall_on_the_processor():
    size = (96, 128)
    places = Shower(seed=3, device="mps").begin(size).streaks(0).x
    assert places.equal(Shower(seed=3, device="cpu").begin(size).streaks(0).x), "their GPUs have no float64"


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def luma(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray").astype(int) for frame in container.decode(video=0)]


def test_rain_brightens_some_pixels_of_an_image_and_leaves_the_others(picture, tmp_path):
    assert rain(picture, "-o", tmp_path / "rainy.png") == 0

    change = pixels(tmp_path / "rainy.png") - 60

    assert change.min() == 0
    assert change.max() > 10
    assert 0.02 < (change > 0).mean() < 0.98


def test_truth_of_hazy_rain_is_haze_without_drops(picture, tmp_path):
    assert rain(picture, "-o", tmp_path / "truth.png", "--haze", 0.3, "--intensity", 0) == 0
    assert rain(picture, "-o", tmp_path / "rainy.png", "--haze", 0.3) == 0

    truth, rainy = pixels(tmp_path / "truth.png"), pixels(tmp_path / "rainy.png")

    assert truth.min() > 65
    assert len(np.unique(truth)) == 1
    assert (rainy - truth).min() == 0
    assert (rainy - truth).max() > 5


def test_seed_decides_the_rain_and_intensity_its_amount(picture, tmp_path):
    amounts = []
    for name, options in {
        "a": ["--seed", 1], "b": ["--seed", 1], "c": ["--seed", 2], "none": ["--intensity", 0],
        "wet": ["--intensity", 1],
    }.items():  # fmt: skip
        assert rain(picture, "-o", tmp_path / f"{name}.png", *options) == 0
        amounts.append((pixels(tmp_path / f"{name}.png") - 60).sum())

    assert (pixels(tmp_path / "a.png") == pixels(tmp_path / "b.png")).all()
    assert (pixels(tmp_path / "a.png") != pixels(tmp_path / "c.png")).any()
    assert amounts[3] == 0 < amounts[0] < amounts[4]


def test_rain_of_a_camera_at_speed_and_of_the_night_is_another(picture, tmp_path):
    for name, options in {"still": [], "driving": ["--driving", 15], "night": ["--night"]}.items():
        assert rain(picture, "-o", tmp_path / f"{name}.png", *options) == 0
    assert len({pixels(tmp_path / f"{name}.png").tobytes() for name in ("still", "driving", "night")}) == 3


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_rain_falls_downwards_in_pictures_as_they_are_shown(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (128, 128), (20, 20, 20)).save(tmp_path / "dry.png", exif=exif)
    assert rain(tmp_path / "dry.png", "-o", tmp_path / "rainy.png") == 0

    stored = pixels(tmp_path / "rainy.png").sum(-1)
    across, down = (np.abs(np.diff(stored, axis=axis)).mean() for axis in (1, 0))

    # Neighbours along a streak are alike.
    assert (across > down) == (orientation in (1, 3))


def test_video_gets_rain_that_falls_and_keeps_its_times(clip, tmp_path, capsys):
    target = tmp_path / "rainy.mkv"
    assert rain(clip, "-o", target, "--json", "--seed", 3) == 0

    report = json.loads(capsys.readouterr().out)
    assert report["frames_in"] == report["frames_out"] == 5
    assert (report["seed"], report["intensity"]) == (3, 0.5)
    changes = [after - before for before, after in zip(luma(clip), luma(target), strict=True)]
    assert all(change.max() > 10 for change in changes)
    assert not (changes[0] == changes[1]).all()
    with VideoReader(clip) as before, VideoReader(target) as after:
        assert [frame.seconds for frame in before] == pytest.approx([frame.seconds for frame in after], abs=2e-3)


def test_rain_at_the_same_time_is_the_same_whatever_the_frame_rate(tmp_path):
    for rate, frames in ((10, 2), (20, 3)):
        clips.video(tmp_path / f"{rate}.mkv", frames=frames, rate=rate, codec="ffv1", time_base=Fraction(1, rate))
        assert rain(tmp_path / f"{rate}.mkv", "-o", tmp_path / f"rainy{rate}.mkv", "-q") == 0

    (_, slow), (_, _, fast) = ([after - before for before, after in zip(
        luma(tmp_path / f"{rate}.mkv"), luma(tmp_path / f"rainy{rate}.mkv"), strict=True)] for rate in (10, 20)
    )  # fmt: skip

    # The pictures below differ, so only where it rains is compared.
    assert np.corrcoef((slow > 3).ravel(), (fast > 3).ravel())[0, 1] > 0.5


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rain_falls_downwards_in_videos_as_they_are_shown(tmp_path, rotation):
    source, target = tmp_path / "dry.mp4", tmp_path / "rainy.mp4"
    clips.video(source, size=(128, 128), frames=1, rotation=rotation or None, options={"qp": "0"})
    assert rain(source, "-o", target, "-q", "--intensity", 1) == 0

    change = luma(target)[0] - luma(source)[0]
    across, down = (np.abs(np.diff(change, axis=axis)).mean() for axis in (1, 0))

    assert (across > down) == (rotation in (0, 180))


def test_dry_rain_on_a_lossless_video_changes_nothing(clip, tmp_path):
    assert rain(clip, "-o", tmp_path / "same.mkv", "--intensity", 0, "-q") == 0
    assert all((a == b).all() for a, b in zip(luma(clip), luma(tmp_path / "same.mkv"), strict=True))


def test_sound_survives(tmp_path):
    source = clips.rich_mkv(tmp_path / "rich.mkv")
    assert rain(source, "-o", tmp_path / "rainy.mkv", "-q", "--intensity", 0.1) == 0
    with av.open(str(source)) as before, av.open(str(tmp_path / "rainy.mkv")) as after:
        assert len(after.streams.audio) == len(before.streams.audio) > 0


def test_rain_is_exact_where_the_encoder_is(clip, tmp_path):
    outputs = [tmp_path / "a.mkv", tmp_path / "b.mkv"]
    for target in outputs:
        assert rain(clip, "-o", target, "--seed", 3, "-c", "ffv1") == 0
    assert all((one == other).all() for one, other in zip(*map(luma, outputs), strict=True))


def test_rain_on_a_damaged_video_is_told(tmp_path, capsys):
    whole = clips.video(tmp_path / "whole.mkv", size=(48, 64), frames=144)
    source = clips.truncated(whole, tmp_path / "dry.mkv", keep=2 / 3)
    assert rain(source, "-o", tmp_path / "rainy.mp4") == 1
    assert "damaged; what could be decoded is in" in capsys.readouterr().err
    assert (tmp_path / "rainy.mp4").exists()


def test_folder_of_both_kinds_gets_a_seed_each(clip, picture, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("one.png", "two.png"):
        (folder / name).write_bytes(picture.read_bytes())
    (folder / "dry.mkv").write_bytes(clip.read_bytes())

    assert rain(folder, "-o", tmp_path / "out", "--json", "--seed", 7) == 0

    assert [json.loads(line)["seed"] for line in capsys.readouterr().out.splitlines()] == [7, 8, 9]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dry.mkv", "one.png", "two.png"]
    assert (pixels(tmp_path / "out/one.png") != pixels(tmp_path / "out/two.png")).any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--intensity", 1.5], "intensity is 1.5"),
        (["--haze", -0.1], "haze is -0.1"),
        (["--haze", "nan"], "haze is nan"),
        (["--driving", -1], "it goes from 0 to 300"),
        (["--driving", "inf"], "inf m/s"),
        (["--seed", 2**64], "the seed is"),
        ([], "exists"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(picture, tmp_path, capsys, options, words):
    target = tmp_path / "rainy.png"
    target.write_text("precious")
    assert rain(picture, "-o", target, *options) == 2
    captured = capsys.readouterr().err
    assert words in captured
    assert len(captured.splitlines()) == 1
    assert target.read_text() == "precious"
    assert rain(picture, "-o", target, "-y") == 0


def test_broken_input_does_not_stop_the_rest(picture, tmp_path, capsys):
    (tmp_path / "broken.mp4").write_text("I am text")
    assert rain(tmp_path / "broken.mp4", picture, "-o", tmp_path / "out", "--json") == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["output"] is None
    assert first["error"]
    assert second["size"] == [96, 128]
    assert not list((tmp_path / "out").glob(".*"))
