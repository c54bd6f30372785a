"""`nerdrain eval` as it is called: its JSON, tables and files, and what it refuses."""

import csv
import json
import os
import sys

import numpy as np
import pytest

from nerdrain_rt.errors import UsageError
from nerdrain_rt.evaluation.metrics import EQUAL_DB
from nerdrain_rt.media.image_folder import read_image
from tests.evaluation.pictures import RAIN, noise, panned, write


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
