"""`nerdrain bench` as it is called: what it prints, refuses, and saves of an interrupted run."""

import json

import pytest
import torch
import typer
from typer.testing import CliRunner

from nerdrain_rt.benchmark import command, model
from nerdrain_rt.benchmark.command import bench_command
from nerdrain_rt.benchmark.pipeline import make_clip
from nerdrain_rt.errors import BackendError, MediaError, UsageError


@pytest.fixture
def bench(tiny_weights, small_rates):
    """Run the command on the tiny network with what is given added."""
    app = typer.Typer()
    app.command()(bench_command)
    options = ["--weights", str(tiny_weights.path), "--device", "cpu", "--backend", "eager", "--runs", "1"]

    def run(*added: str):
        return CliRunner().invoke(app, [*options, "--seconds", "0", "--size", "48x32", *added])

    return run


def test_json_is_one_document_and_nothing_else(bench):
    result = bench("--json", "--precision", "fp32", "--precision", "bf16")
    assert result.exit_code == 0
    assert result.stderr == ""
    document = json.loads(result.stdout)
    assert [(row["backend"], row["precision"]) for row in document["model"]] == [
        ("published", "fp32"),
        ("eager", "fp32"),
        ("eager", "bf16"),
    ]
    assert document["model"][0]["times_published"] == 1
    assert [row["size"] for row in document["pipeline"]] == ["48x32"]
    assert document["device"]["device"] == "cpu"
    assert document["device"]["copy_gb_per_second"] > 0
    assert set(document["device"]["matrix_tflops"]) == {"fp32", "bf16"}
    assert [answer["goal"] for answer in document["real_time"]] == ["720p30", "1080p30", "1080p60", "2160p30"]
    assert document["interrupted"] is False


def test_a_person_reads_tables_and_the_last_line_is_json(bench):
    result = bench("--no-pipeline", "--no-published", "--precision", "fp32")
    assert result.exit_code == 0
    *shown, last = result.stdout.splitlines()
    assert json.loads(last)["pipeline"] == []
    assert any("eager fp32" in line and "48x32" in line for line in shown)
    assert any(line.strip().startswith("1080p30: no") for line in shown)
    assert max(map(len, shown[: shown.index(next(line for line in shown if "Real time" in line))])) <= 80
    assert "eager fp32 at 48x32:" in result.stderr


def test_an_interrupted_run_tells_what_was_measured_and_exits_with_130(bench, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "measure_pipeline", interrupt)
    result = bench("--json", "--no-published", "--precision", "fp32")
    assert result.exit_code == 130
    document = json.loads(result.stdout)
    assert document["interrupted"] is True
    assert [row["backend"] for row in document["model"]] == ["eager"]
    assert document["pipeline"] == []


def test_a_gpu_that_is_lost_is_one_line_after_what_was_measured(bench, monkeypatch):
    def lose(*_, **__):
        raise torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors may come later")

    monkeypatch.setattr(command, "measure_pipeline", lose)
    result = bench("--json", "--no-published", "--precision", "fp32")
    assert isinstance(result.exception, BackendError)
    assert str(result.exception) == "cpu: the GPU failed: CUDA error: unspecified launch failure"
    document = json.loads(result.stdout)
    assert document["error"] == str(result.exception)
    assert [row["fps"] is not None for row in document["model"]] == [True]


def test_what_takes_long_before_it_can_be_measured_is_told_to_a_person(bench, monkeypatch):
    load = model.load_backend

    def announce_and_load(*arguments, announce, **options):
        announce("engine for 48x32: building the engine, 25%")
        return load(*arguments, **options)

    monkeypatch.setattr(model, "load_backend", announce_and_load)
    options = ("--no-published", "--no-pipeline", "--precision", "fp32")
    assert "engine for 48x32: building the engine, 25%" in bench(*options).stderr
    assert bench(*options, "--json").stderr == ""


def test_a_chart_that_cannot_be_written_loses_no_measurement(bench, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    folder = tmp_path / "chart.png"
    folder.mkdir()
    result = bench("--json", "--no-published", "--no-pipeline", "--plot", str(folder))
    assert isinstance(result.exception, MediaError)
    assert len(json.loads(result.stdout)["model"]) == 1


def test_the_first_frame_of_an_input_is_measured_on(bench, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (64, 96), 1)
    assert bench("--input", str(clip), "--json", "--no-pipeline", "--no-published").exit_code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "big"], "'big' is not a size"),
        (["--size", "8x720"], "8x720: a side is to be of 16 to 16384 pixels"),
        (["--size", "1280x99999"], "1280x99999: a side is to be of 16 to 16384 pixels"),
        (["--backend", "imagined"], "imagined: no such backend; there are"),
        (["--precision", "fp8"], "fp8: no such precision; there are auto, fp32"),
        (["--plot", "/nowhere/at/all.png"], "there is no folder"),
        (["--plot", "speeds.xyz"], "speeds.xyz: not the name of a chart; end it in .png, .svg or .pdf"),
        (["--plot", "speeds"], "speeds: not the name of a chart"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(bench, options, message):
    pytest.importorskip("matplotlib")
    result = bench(*options)
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)
    assert result.stdout == ""


def test_a_chart_is_written(bench, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "speeds.png"
    assert bench("--no-pipeline", "--json", "--plot", str(path)).exit_code == 0
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_chart_without_matplotlib_is_refused_before_anything_is_measured(bench, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    result = bench("--plot", "speeds.png")
    assert isinstance(result.exception, UsageError)
    assert "nerdrain-rt[train]" in str(result.exception)
