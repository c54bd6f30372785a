"""Scores, harm and flicker of derainers whose effect is known, on pictures made for it."""

import csv
import json
import os
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from nerdrain_rt.derainer import Derainer, DerainSettings
from nerdrain_rt.errors import MediaError, UsageError
from nerdrain_rt.evaluation import command
from nerdrain_rt.evaluation.evaluate import Comparison, evaluate_pairs, residual_in_windows
from nerdrain_rt.evaluation.flicker import measure_flicker
from nerdrain_rt.evaluation.harm import measure_harm
from nerdrain_rt.evaluation.metrics import EQUAL_DB
from nerdrain_rt.evaluation.pictures import match_images, read_pairs
from nerdrain_rt.evaluation.sheets import save_crops
from nerdrain_rt.media.image_folder import read_image
from nerdrain_rt.model.checkpoint import from_published
from nerdrain_rt.model.net import NerdRain, NetConfig
from tests import clips
from tests.fakes import FakeBackend
from tests.test_net import published_tensor

RAIN = 8
"""Codes that the rain of these tests adds everywhere."""


def derainer(codes=0.0):
    """Of single pictures: what these residuals take from all frames alike is no rain."""
    backend = FakeBackend(lambda rainy: torch.full_like(rainy, codes / 255))
    return Derainer(DerainSettings(tile=0, temporal=False), backend=backend)


def noise(height=40, width=60, seed=0):
    return np.random.default_rng(seed).integers(20, 200, (height, width, 3), dtype=np.uint8)


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_video(path, pictures, *, rate=25):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *pictures[0].shape[:2], "bgr0"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame.reformat(format="bgr0", threads=1)))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def pairs(tmp_path):
    """Three rainy images and their targets."""
    for seed in range(3):
        write(tmp_path / "input" / f"{seed}.png", noise(seed=seed) + RAIN)
        write(tmp_path / "target" / f"{seed}.png", noise(seed=seed))
    return tmp_path / "input", tmp_path / "target"


def test_right_residual_scores_best(pairs):
    evaluation = evaluate_pairs(derainer(-RAIN), *pairs)

    assert evaluation.images == len(evaluation.rows) == 3
    assert evaluation.psnr_y == EQUAL_DB
    assert evaluation.ssim_y == pytest.approx(1)
    assert evaluation.input_psnr_y == pytest.approx(31.33, abs=0.2)


def test_no_residual_leaves_the_score_of_the_input(pairs):
    evaluation = evaluate_pairs(derainer(), *pairs)

    assert evaluation.psnr_y == evaluation.input_psnr_y


def test_limit_takes_the_first_pairs(pairs):
    assert [row.name for row in evaluate_pairs(derainer(), *pairs, limit=2).rows] == ["0.png", "1.png"]


def test_videos_are_scored_frame_by_frame(tmp_path):
    target = [noise(seed=seed) for seed in range(4)]
    rainy = write_video(tmp_path / "rainy.mkv", [picture + RAIN for picture in target])

    evaluation = evaluate_pairs(derainer(-RAIN), rainy, write_video(tmp_path / "target.mkv", target))

    assert evaluation.images == 4
    assert evaluation.psnr_y == EQUAL_DB > evaluation.input_psnr_y


def test_videos_of_different_length_are_refused(tmp_path):
    rainy = write_video(tmp_path / "rainy.mkv", [noise()] * 3)
    target = write_video(tmp_path / "target.mkv", [noise()] * 2)

    with pytest.raises(MediaError, match=r"target\.mkv: ends after 2 frames"):
        evaluate_pairs(derainer(), rainy, target)


@pytest.mark.parametrize(("rate", "is_told"), [(25, False), (50, True)])
def test_other_frame_rate_of_the_target_is_told(tmp_path, caplog, rate, is_told):
    rainy = write_video(tmp_path / "rainy.mkv", [noise()] * 3)
    target = write_video(tmp_path / "target.mkv", [noise()] * 6, rate=rate)

    evaluate_pairs(derainer(), rainy, target, limit=2)

    assert ("25 and 50 frames a second" in caplog.text) == is_told


def test_damaged_video_is_no_success(tmp_path):
    whole = clips.video(tmp_path / "whole.mkv", size=(48, 64), frames=144)
    cut = clips.truncated(whole, tmp_path / "cut.mkv", keep=2 / 3)

    assert measure_harm(derainer(), whole).changed_share == 0
    with pytest.raises(MediaError, match=r"cut\.mkv: damaged, so figures of it would be wrong: ."):
        measure_harm(derainer(), cut)
    assert len(measure_harm(derainer(), cut, limit=3).rows) == 3


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


def test_what_is_left_out_of_pictures_is_told_once(run, tmp_path):
    for name in ("1.png", "2.png"):
        write(tmp_path / name, np.dstack((noise(), noise()[..., :1])))
    write(tmp_path / "3.png", noise()[..., 0].astype(np.uint16) * 257)

    result = run("--harm", tmp_path)

    assert result.exit_code == 0
    assert [line.split(": ")[:3] for line in result.stderr.splitlines()] == [
        ["warning", str(tmp_path / "1.png"), "has alpha, which is left out; others are not named"],
        ["warning", str(tmp_path / "3.png"), "has 16 bits, cut to 8; others are not named"],
    ]


def test_pictures_of_one_name_in_several_folders_are_told_apart(tmp_path):
    for side, name in ((side, name) for side in ("input", "target") for name in ("a/1.png", "b/1.png")):
        write(tmp_path / side / name, noise())
    folders = tmp_path / "input", tmp_path / "target"

    assert [pair.name for pair in read_pairs(*folders)] == ["a/1.png", "b/1.png"]
    assert [row.name for row in measure_harm(derainer(), folders[0]).rows] == ["a/1.png", "b/1.png"]


def test_folder_without_images_is_refused(tmp_path):
    with pytest.raises(MediaError, match="no images"):
        measure_harm(derainer(), tmp_path)


def test_windows_keep_the_first_ones_pixels():
    seen = []

    def number(window):
        seen.append(window.shape)
        return window[..., :1, :1].expand_as(window)

    places = torch.arange(10.0).expand(1, 3, 10, 10)

    assert residual_in_windows(places, number, 4)[0, 0, 0].tolist() == [0, 0, 0, 0, 4, 4, 4, 4, 6, 6]
    assert set(seen) == {(1, 3, 4, 4)}


def test_picture_smaller_than_a_window_is_one_window():
    rainy = torch.rand(1, 3, 5, 9)

    assert torch.equal(residual_in_windows(rainy, torch.neg, 16), -rainy)


@torch.inference_mode()
def test_windows_equal_the_papers_protocol(parity_folder):
    shapes = json.loads((parity_folder / "nerd_rain_s_keys.json").read_text())
    net = NerdRain(NetConfig(width=32)).eval()
    net.load_state_dict(from_published({key: published_tensor(key, shape) for key, shape in shapes.items()}))
    data = np.load(parity_folder / "nerd_rain_s.npz")
    rainy = torch.from_numpy(data["window64_rainy"])

    clean = (rainy + residual_in_windows(rainy, net, 64)).clamp(0, 1)

    # These weights give residuals of many times the picture's range, so float32 leaves this much.
    assert (clean - torch.from_numpy(data["window64_clean"])).abs().max() < 2e-3


def test_protocols_differ_where_the_network_sees_its_surroundings(tmp_path):
    rainy = write(tmp_path / "rainy.png", np.hstack((noise(300, 140), noise(300, 140) // 4)))
    target = write(tmp_path / "target.png", noise(300, 280, seed=1))
    backend = FakeBackend(lambda rainy: (rainy.mean((2, 3), keepdim=True) - rainy) / 2)

    full, windows = (
        evaluate_pairs(Derainer(DerainSettings(tile=0), backend=backend), rainy, target, protocol=protocol)
        for protocol in ("full", "windows")
    )

    assert backend.shapes == [(1, 3, 304, 288), *[(1, 3, 256, 256)] * 4]
    assert full.psnr_y != windows.psnr_y


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


def panned(count=4, step=3):
    """Frames of a camera that turns over a smooth scene."""
    field = np.random.default_rng(3).standard_normal((80, 160 + count * step, 3))
    spectrum = np.fft.rfft2(field, axes=(0, 1))
    rows, columns = np.fft.fftfreq(field.shape[0])[:, None, None], np.fft.rfftfreq(field.shape[1])[None, :, None]
    smooth = np.fft.irfft2(spectrum * np.exp(-800 * (rows**2 + columns**2)), field.shape[:2], axes=(0, 1))
    scene = np.clip(110 + 40 * smooth / smooth.std(), 10, 215).astype(np.uint8)
    return [scene[:, index * step : index * step + 160] for index in range(count)]


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


@pytest.fixture
def run(monkeypatch):
    """Runs the command with a network that takes RAIN codes away."""
    monkeypatch.setattr(command, "Derainer", lambda settings: derainer(-RAIN))
    app = typer.Typer()
    app.command()(command.eval_command)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_json_of_pairs_has_its_keys(run, pairs):
    result = run("--input", pairs[0], "--target", pairs[1], "--json")

    assert result.exit_code == 0
    assert list(json.loads(result.stdout)) == ["images", "input_psnr_y", "psnr_y", "ssim_y"]
    assert json.loads(result.stdout)["psnr_y"] == EQUAL_DB


def test_json_of_harm_has_its_keys(run, pairs):
    result = json.loads(run("--harm", pairs[1], "--json").stdout)

    assert list(result) == ["harm_psnr", "changed_share", "worst_frame"]
    assert result["changed_share"] == 1


def test_json_of_flicker_has_its_keys(run, tmp_path):
    for index, picture in enumerate(panned()):
        write(tmp_path / f"{index}.png", picture)

    result = json.loads(run("--flicker", tmp_path, "--json").stdout)

    assert list(result) == ["frames", "flicker_before", "flicker_after", "flicker_target", "flicker_left"]


def test_json_of_real_drops_has_its_keys(run, tmp_path):
    for index, picture in enumerate(panned(5)):
        write(tmp_path / f"{index}.png", picture)

    result = json.loads(run("--real", tmp_path, "--json").stdout)

    assert list(result) == ["frames", "drops_before", "drops_after", "drops_left", "changed"]
    assert result["frames"] == 1
    assert result["changed"] == pytest.approx(RAIN, abs=1)


def test_people_get_a_table(run, pairs):
    result = run("--input", pairs[0], "--target", pairs[1], "--score", "yfloat", "--protocol", "windows")

    assert result.exit_code == 0
    assert "psnr_y" in result.stdout
    assert "100.0000" in result.stdout


def test_csv_has_a_line_for_each_picture(run, pairs, tmp_path):
    run("--input", pairs[0], "--target", pairs[1], "--limit", 2, "--csv", tmp_path / "rows.csv")

    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["0.png", "1.png"]
    assert float(rows[0]["psnr_y"]) == EQUAL_DB


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


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--input", "a"],
        ["--harm", "a", "--flicker", "b"],
        ["--harm", "a", "--target", "b"],
        ["--flicker", "a", "--sheet", "b.png"],
        ["--real", "a", "--target", "b"],
        ["--real", "a", "--harm", "b"],
        ["--harm", "a", "--csv", "missing/rows.csv"],
        ["--harm", "a", "--csv", "a.png", "--sheet", "a.png"],
        ["--harm", "a", "--sheet", "a.png", "--plot", "./a.png"],
    ],
)
def test_wrong_options_are_refused_before_any_work(run, arguments):
    assert isinstance(run(*arguments).exception, UsageError)


def test_figures_are_not_written_over_what_is_there(run, pairs, tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("precious")
    arguments = ["--input", pairs[0], "--target", pairs[1], "--limit", 1]
    for option, path in (("--csv", rows), ("--csv", pairs[0] / "0.png"), ("--sheet", pairs[1] / "0.png")):
        before = path.read_bytes()
        assert isinstance(run(*arguments, option, path).exception, UsageError)
        assert path.read_bytes() == before
    assert isinstance(run(*arguments, "--sheet", pairs[1] / "0.png", "-y").exception, UsageError)
    assert isinstance(run(*arguments, "--weights", rows, "--csv", rows, "-y").exception, UsageError)
    assert not run(*arguments, "--csv", rows, "-y").exception
    assert rows.read_text().startswith("name,")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--csv", "."],
        ["--sheet", "a.jpg"],
        ["--sheet", "missing/a.png"],
        ["--plot", "a.txt"],
        ["--plot", "missing/a.png"],
    ],
)
def test_wrong_outputs_are_refused_before_any_work(run, pairs, arguments):
    result = run("--input", pairs[0], "--target", pairs[1], *arguments)

    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith(arguments[1])


@pytest.mark.parametrize(("path", "locked"), [("new.csv", "."), ("old.csv", "old.csv")])
def test_output_that_cannot_be_written_is_refused_before_any_work(run, tmp_path, monkeypatch, path, locked):
    """The superuser may write everything, so the system's answer is made up here."""
    (tmp_path / "old.csv").touch()
    monkeypatch.setattr(os, "access", lambda asked, mode: mode != os.W_OK or asked != tmp_path / locked)

    result = run("--harm", "missing", "--csv", tmp_path / path, "-y")

    assert isinstance(result.exception, UsageError)
    assert str(result.exception).endswith("cannot be written: permission denied")


@pytest.mark.parametrize(
    "what", [["--input", "input", "--target", "target"], ["--harm", "target"], ["--flicker", "pan"], ["--real", "pan"]]
)
def test_plot_is_drawn_of_everything_that_is_measured(run, pairs, tmp_path, what):
    pytest.importorskip("matplotlib")
    for index, picture in enumerate(panned(5)):
        write(tmp_path / "pan" / f"{index}.png", picture)

    result = run(*(it if it.startswith("-") else tmp_path / it for it in what), "--plot", tmp_path / "plot.png")

    assert result.exit_code == 0
    assert min(read_image(tmp_path / "plot.png").shape[:2]) > 300


def test_plot_shows_the_name_as_it_is(run, tmp_path):
    pytest.importorskip("matplotlib")
    write(tmp_path / "cost$_{$" / "a.png", noise())

    result = run("--harm", tmp_path / "cost$_{$", "--plot", tmp_path / "plot.png")

    assert result.exit_code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_names_that_are_no_text_are_written_with_escapes(run, tmp_path):
    pytest.importorskip("matplotlib")
    name = os.fsdecode(b"caf\xe9")
    write(tmp_path / name / f"{name}.png", noise())

    outputs = "--csv", tmp_path / "rows.csv", "--plot", tmp_path / "plot.png"
    result = run("--harm", tmp_path / name, "--json", *outputs)

    assert result.exit_code == 0
    assert "caf\\udce9.png," in (tmp_path / "rows.csv").read_text()


def test_plot_without_matplotlib_is_refused_before_any_work(run, pairs, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    assert "nerdrain-rt[train]" in str(run("--harm", pairs[1], "--plot", "a.png").exception)


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
