"""The picture of a training run: what it is drawn from, and that it can always be drawn."""

import csv
import math
import sys

import pytest
from PIL import Image

from nerdrain_rt.__main__ import run
from nerdrain_rt.errors import MediaError
from nerdrain_rt.training.logs import STEPS, VALIDATION, StepLog, ValidationLog, read_table
from nerdrain_rt.training.plot import PLOT, plot, trend

pytest.importorskip("matplotlib")


@pytest.fixture
def run_folder(tmp_path):
    """The tables of a short run."""
    steps = [StepLog(step, 1 / step, 20.0, 20 + step / 10, 1e-4, 0.1, 2.0, 2.0) for step in range(1, 41)]
    write(tmp_path / STEPS, StepLog._fields, steps)
    write(tmp_path / VALIDATION, ValidationLog._fields, [ValidationLog(20, 30.0, 31.0), ValidationLog(40, 30.0, 32.0)])
    return tmp_path


def write(path, names, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])


def drawn(folder):
    with Image.open(plot(folder)) as picture:
        return picture.size


def test_run_is_drawn_into_its_folder(run_folder):
    assert plot(run_folder) == run_folder / PLOT
    assert min(drawn(run_folder)) > 500


def test_run_without_validation_is_drawn(run_folder):
    (run_folder / VALIDATION).unlink()

    assert min(drawn(run_folder)) > 500


def test_run_that_diverged_is_drawn(run_folder):
    nothing = [StepLog(step, *[math.nan] * 7) for step in range(1, 4)]
    write(run_folder / STEPS, StepLog._fields, nothing)

    assert min(drawn(run_folder)) > 500


@pytest.mark.parametrize("content", ["", "step,loss\n", ",".join(StepLog._fields) + "\n", "\n\n"])
def test_run_without_steps_is_refused(tmp_path, content):
    (tmp_path / STEPS).write_text(content)

    with pytest.raises(MediaError, match=r"no steps in log\.csv"):
        plot(tmp_path)


@pytest.mark.parametrize("content", [b"1,a,b,c,d,e,f,g\n", b"\xff\xfe\n"])
def test_table_of_something_else_is_refused(tmp_path, content):
    (tmp_path / STEPS).write_bytes(content)

    with pytest.raises(MediaError, match=r"log\.csv: "):
        plot(tmp_path)


def test_table_is_read_without_its_unfinished_row(run_folder):
    with (run_folder / VALIDATION).open("a") as file:
        file.write("60,30.0")

    assert read_table(run_folder / VALIDATION) == {"step": [20, 40], "input_psnr_y": [30, 30], "psnr_y": [31, 32]}


def test_trend_is_the_quartiles_of_neighbours():
    values = trend(list(range(10)), [0, 1, 2, 3, 4, 10, 11, 12, 13, 14], points=2)

    assert values.steps.tolist() == [2, 7]
    assert values.low.tolist() == [1, 11]
    assert values.median.tolist() == [2, 12]
    assert values.high.tolist() == [3, 13]


def test_trend_leaves_out_what_is_not_finite():
    values = trend([1, 2, 3], [4.0, math.nan, math.inf])

    assert (values.steps.tolist(), values.median.tolist()) == ([1], [4])


def test_command_draws_a_run_again(run_folder, capsys):
    assert run(["train", "--plot", str(run_folder)]) == 0
    assert PLOT in capsys.readouterr().err
    assert (run_folder / PLOT).exists()


def test_command_without_matplotlib_says_what_to_install(run_folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    assert run(["train", "--plot", str(run_folder)]) == 2
    assert "nerdrain-rt[train]" in capsys.readouterr().err
