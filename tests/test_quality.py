"""The quality benchmark: what it measures on small pictures with derainers whose effect is known."""

import json

import av
import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import quality
from benchmarks.quality import APART, CLIPS, INTENSITIES, LOOKS, SCENES, Data, Quality
from nerdrain_rt.derainer import Derainer, DerainSettings
from nerdrain_rt.evaluation.metrics import EQUAL_DB
from nerdrain_rt.evaluation.pictures import read_pictures, to_tensor
from nerdrain_rt.media.image_folder import read_image
from nerdrain_rt.media.writer import OutputSettings
from nerdrain_rt.training.shower import Shower, rain_on_video
from tests.fakes import FakeBackend

SIDE = 96


def photograph(seed=0):
    """Smooth, so that rain shows."""
    pixels = np.random.default_rng(seed).integers(30, 120, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((SIDE + 32, SIDE))


def write_clip(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIDE + 32, SIDE, "yuv420p"
        for index in range(7):
            frame = av.VideoFrame.from_ndarray(np.roll(np.asarray(photograph()), index, axis=1), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p", threads=1)))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Everything that is measured, small."""
    data = tmp_path_factory.mktemp("data")
    for name in ("pairs/rain200l/test/input", "pairs/rain200l/test/target", "train", "clips"):
        (data / name).mkdir(parents=True)
    for index in (1, 2):
        for side in ("input", "target"):
            photograph(index).save(data / "pairs/rain200l/test" / side / f"{index}.png")
        photograph(index).save(data / "train" / f"C-test_{index}.webp", lossless=True)
    photograph(9).save(data / "train" / "C-train_9.webp")
    for name in CLIPS:
        write_clip(data / "clips" / f"{name}.mp4")
    return data


@pytest.fixture
def data(folder):
    return Data(folder, longest=64, frames=2, photographs=2)


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Runs the benchmark with a network that does nothing; gives its exit code, output and errors."""
    monkeypatch.setattr(quality, "Derainer", lambda settings: idle())

    def call(*arguments, data=folder):
        limits = ("--longest", "64", "--frames", "2", "--photographs", "1")
        code = 0
        try:
            quality.main(["--data", str(data), *limits, *arguments])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


def idle():
    return Derainer(DerainSettings(tile=0), backend=FakeBackend())


def test_last_line_holds_every_figure(run):
    code, output, _ = run()

    result = json.loads(output.splitlines()[-1])
    assert code == 0
    assert "must" in output
    assert "[green]" not in output
    assert result["rain200l"]["psnr_y"] == EQUAL_DB
    assert list(result["showers"]["intensities"]) == ["0.1", "0.25", "0.5", "0.75", "1"]
    assert list(result["showers"]["scenes"]) == list(SCENES)
    assert list(result["looks"]["kinds"]) == list(LOOKS)
    assert result["showers"]["all"]["images"] == len(SCENES) * len(INTENSITIES)
    assert result["real"]["changed"] == 0
    assert result["dry"]["harm_psnr"] == EQUAL_DB
    for clip in ("gopro_walk", "dashcam_highway"):
        assert result[clip]["dry"]["harm_psnr"] == EQUAL_DB
        for rain in ("moving", "driving"):
            assert result[clip][rain]["gain"] == 0
            assert result[clip][rain]["flicker_left"] == 1
        assert result[clip]["moving"]["input_psnr_y"] != result[clip]["driving"]["input_psnr_y"]


def test_json_comes_alone_and_sheets_into_their_folder(run, tmp_path):
    _, output, _ = run("--json", "--sheets", str(tmp_path / "sheets"))

    sheets = sorted(tmp_path.glob("sheets/*.png"))
    assert len(output.splitlines()) == 1
    assert json.loads(output)["photographs"] == 1
    assert [sheet.stem for sheet in sheets] == ["dry", "moving", "night", "real", "synthetic"]
    assert all(read_image(sheet).shape[1] > 1900 for sheet in sheets)


def test_network_that_takes_away_what_rain_adds_gains(data):
    added = np.mean([np.mean(pair.rainy.astype(float) - pair.target) for pair in data.look("heavy")]) / 255
    derainer = Derainer(DerainSettings(tile=0), backend=FakeBackend(lambda rainy: torch.full_like(rainy, -added)))

    assert Quality(derainer, data).looks()["kinds"]["heavy"]["gain"] > 0


def test_drops_of_short_exposures_are_measured_apart_from_the_mean(data):
    derainer = Derainer(DerainSettings(tile=0), backend=FakeBackend(lambda rainy: torch.full_like(rainy, -0.01)))

    whole, kinds = Quality(derainer, data).looks().values()
    short = kinds.pop(APART)

    assert set(kinds) == {"light", "heavy", "fine", "thick", "optical"}
    assert whole["gain"] == pytest.approx(np.mean([it["gain"] for it in kinds.values()]), abs=1e-3)
    assert whole["images"] == sum(it["images"] for it in kinds.values())
    assert short["gain"] != pytest.approx(whole["gain"], abs=0.1)
    assert short["images"] == 2


def test_harm_to_dry_photographs_is_measured_and_the_worst_shown(data):
    def darkened(rainy):
        """The second photograph, by a quarter."""
        return -rainy / 4 if torch.equal(rainy, second) else torch.zeros_like(rainy)

    second = to_tensor([picture.rgb for picture in data.unrained()][1])
    measured = Quality(Derainer(DerainSettings(tile=0), backend=FakeBackend(darkened)), data)

    figures = measured.dry()

    assert figures["worst_frame"] == 1
    assert figures["changed_share"] == pytest.approx(0.5, abs=0.01)
    assert [comparison.name for comparison in measured.shown["dry"]] == ["C-test_2"]


def test_rain_is_the_same_each_time_and_grows_with_intensity(data):
    first, again = (list(data.shower("standing", 0.5)) for _ in range(2))
    heavy = next(iter(data.shower("standing", 1.0)))

    assert all(np.array_equal(one.rainy, other.rainy) for one, other in zip(first, again, strict=True))
    assert (
        np.abs(heavy.rainy.astype(int) - heavy.target).sum()
        > np.abs(first[0].rainy.astype(int) - first[0].target).sum()
    )


def test_held_out_photographs_are_measured_and_no_others(data):
    assert [path.stem for path in data.held_out()] == ["C-test_1", "C-test_2"]


def test_night_is_dark(data):
    day, night = (next(iter(data.shower(scene, 0.5))).target for scene in ("standing", "night"))

    assert night.mean() < day.mean() / 2


def test_moving_rain_is_that_of_the_rain_command(data, folder, tmp_path):
    clip = folder / "clips" / "gopro_walk.mp4"
    for _ in rain_on_video(clip, tmp_path / "rainy.mkv", Shower(0.5, 1), output=OutputSettings(codec="ffv1")):
        pass
    expected = [picture.rgb[16:80, 32:96] for picture in read_pictures(tmp_path / "rainy.mkv")]

    pairs = list(data.moving("gopro_walk", quality.MOVING["moving"]))

    assert len(pairs) == 4
    for pair, rainy in zip(pairs, expected, strict=False):
        assert np.array_equal(pair.rainy, rainy)
        assert not np.array_equal(pair.rainy, pair.target)


def test_pictures_are_cut_not_shrunk(data, folder):
    frame = next(iter(data.dry("gopro_walk"))).rgb
    whole = next(iter(read_pictures(folder / "clips" / "gopro_walk.mp4"))).rgb

    assert np.array_equal(frame, whole[16:80, 32:96])


@pytest.mark.parametrize("missing", ["clips/rain_street.mp4", "pairs/rain200l/test/target", "train"])
def test_missing_data_is_one_line(run, folder, tmp_path, missing):
    for name in ("pairs", "train", "clips"):
        (tmp_path / name).mkdir()
        for path in folder.glob(f"{name}/**/*.*"):
            place = tmp_path / path.relative_to(folder)
            if not place.is_relative_to(tmp_path / missing):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(path)

    code, _, errors = run(data=tmp_path)

    assert code == 1
    assert len(errors.splitlines()) == 1
    assert missing in errors


@pytest.mark.parametrize("arguments", [["--longest", "8"], ["--frames", "1"], ["--photographs", "0"]])
def test_wrong_limits_are_refused(run, arguments):
    code, _, errors = run(*arguments)

    assert code == 2
    assert arguments[0] in errors
