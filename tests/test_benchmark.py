"""What `nerdrain bench` measures and says: exact on pretended clocks and rates, and once for real on a tiny network."""

import json
import math
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
import typer
from torch import Tensor
from typer.testing import CliRunner

from nerdrain_rt.benchmark import command, floor, model
from nerdrain_rt.benchmark.advice import advise
from nerdrain_rt.benchmark.command import bench_command
from nerdrain_rt.benchmark.floor import Rates, Work
from nerdrain_rt.benchmark.model import Error, ModelBench, ModelRow, padded
from nerdrain_rt.benchmark.pictures import first_frame, synthesize
from nerdrain_rt.benchmark.pipeline import STAGES, PipelineRow, frames_for, make_clip, measure_pipeline
from nerdrain_rt.benchmark.published import Published
from nerdrain_rt.benchmark.report import Report
from nerdrain_rt.benchmark.timing import Budget, Timing, run_first, time_runs
from nerdrain_rt.errors import BackendError, MediaError, UsageError
from nerdrain_rt.model.net import NerdRain, NetConfig
from nerdrain_rt.model.weights import Weights, load_weights, save_weights
from tests.fakes import FakeBackend

CPU = torch.device("cpu")
RATES = {"bytes_per_second": 3e12, "flops": {torch.float16: 8e14, torch.float32: 4e14}}
MIB = 2**20


class Work10:
    """A call that takes 10 s on its own clock."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Tensor:
        self.calls += 1
        return torch.zeros(1)

    def clock(self) -> float:
        return 10.0 * self.calls


def timed(milliseconds: float) -> Timing:
    return Timing(milliseconds, milliseconds, 1)


def row(backend: str, size: tuple[int, int], milliseconds: float) -> ModelRow:
    return ModelRow(backend, size, "fp16", timed(milliseconds))


@pytest.fixture(scope="module")
def tiny_weights(tmp_path_factory) -> Weights:
    """Random weights of the smallest network, from a file."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(5)
        save_weights(NerdRain(NetConfig(width=8, head_width=8)).state_dict(), path, metadata={})
    return load_weights(path)


@pytest.fixture
def small_rates(monkeypatch):
    """Let the device's rates be measured on little."""
    monkeypatch.setitem(floor.COPY_BYTES, "cpu", MIB)
    monkeypatch.setitem(floor.MATRIX_SIDE, "cpu", 64)


def test_the_timing_is_the_median_and_the_nearest_rank_of_95_percent():
    assert Timing.of([float(value) for value in range(100, 0, -1)]) == Timing(50.5, 95.0, 100)
    assert Timing.of([7.0]) == Timing(7.0, 7.0, 1)


def test_runs_end_with_their_number_or_the_time():
    work = Work10()
    assert time_runs(work, CPU, Budget(5, 1e9), clock=work.clock) == Timing(10_000.0, 10_000.0, 5)
    assert work.calls == 3 + 5
    work = Work10()
    assert time_runs(work, CPU, Budget(50, 35), clock=work.clock).runs == 4


def test_one_run_is_made_whatever_the_budget():
    work = Work10()
    assert time_runs(work, CPU, Budget(5, 0), first_seconds=1, clock=work.clock).runs == 1
    assert work.calls == 1


def test_a_long_first_call_is_warm_up_enough():
    work = Work10()
    time_runs(work, CPU, Budget(1, 35), first_seconds=10, clock=work.clock)
    assert work.calls == 1


def test_the_first_call_gives_its_result_time_and_memory():
    first = run_first(lambda: torch.ones(64 * MIB, dtype=torch.uint8), CPU, iter((5.0, 7.5)).__next__)
    assert first.seconds == 2.5
    assert first.result.sum() == 64 * MIB
    assert first.peak_bytes is not None
    assert 60 * MIB < first.peak_bytes < 120 * MIB


def test_the_work_counted_is_that_of_the_published_table():
    work = Work.of(NetConfig())
    pixels = 1080 * 1920
    assert work.flops / 2 * pixels == pytest.approx(2.10e12, rel=0.01)
    assert work.values * 2 * pixels == pytest.approx(21.8e9, rel=0.01)


@pytest.mark.parametrize(
    ("dtype", "flops", "values", "expected"),
    [
        (torch.float16, 8e8, 1e6, 1.0),
        (torch.float16, 8e7, 3e6, 2.0),
        (torch.float32, 8e7, 3e6, 4.0),
        (torch.float32, 8e8, 1e5, 2.0),
    ],
    ids=["compute", "memory", "memory-fp32", "compute-fp32"],
)
def test_the_floor_is_the_longer_of_computing_and_moving(dtype, flops, values, expected):
    assert Work(flops, values).floor_ms((10, 100), dtype, Rates(CPU, **RATES)) == pytest.approx(expected)


def test_rates_are_measured_once(small_rates):
    rates = Rates(CPU)
    copy, matrix = rates.copy(), rates.multiply(torch.float32)
    assert copy > 0
    assert matrix > 0
    assert (rates.copy(), rates.multiply(torch.float32)) == (copy, matrix)


def test_a_made_picture_is_the_same_again_and_has_structure_and_streaks():
    picture = synthesize((90, 160))
    assert picture.shape == (1, 3, 90, 160)
    assert torch.equal(picture, synthesize((90, 160)))
    assert not torch.equal(picture, synthesize((90, 160), seed=1))
    assert (picture.min(), picture.max()) >= (0, 0.8)
    assert picture.max() <= 1
    neighbours = torch.corrcoef(torch.stack([picture[..., 1:].flatten(), picture[..., :-1].flatten()]))[0, 1]
    assert 0.7 < neighbours < 0.999


def test_the_first_frame_is_scaled_to_the_size(tmp_path):
    pictures, size = first_frame(make_clip(tmp_path / "clip.mp4", (64, 96), 2))
    assert size == (64, 96)
    assert pictures((32, 48)).shape == (1, 3, 32, 48)
    assert 0.3 < pictures((64, 96)).mean() < 0.7


def test_an_input_that_is_no_video_is_refused(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with pytest.raises(MediaError):
        first_frame(path)


def test_padding_continues_the_border_to_a_multiple_of_16():
    picture = torch.rand(1, 3, 30, 33)
    result = padded(picture)
    assert result.shape == (1, 3, 32, 48)
    assert torch.equal(result[..., :30, :33], picture)
    assert torch.equal(result[..., 29, 40], picture[..., 29, 32])
    assert padded(result) is result or torch.equal(padded(result), result)


def test_published_runs_all_windows_in_one_batch_and_keeps_the_first_of_an_overlap():
    def number(windows: Tensor) -> Tensor:
        return torch.arange(len(windows)).float()[:, None, None, None].expand_as(windows)

    backend = FakeBackend(number)
    residual = Published(backend)(torch.rand(1, 3, 272, 480))
    assert backend.shapes == [(4, 3, 256, 256)]
    corners = residual[0, 0, [0, 0, -1, -1], [255, 256, 255, 256]]
    assert corners.tolist() == [0, 1, 2, 3]
    assert residual[0, 0, 255, 0] == 0
    assert residual[0, 0, 256, 0] == 2


def test_published_takes_smaller_batches_where_memory_ends():
    def run(windows: Tensor) -> Tensor:
        if len(windows) > 2:
            raise torch.OutOfMemoryError
        return windows

    rainy = torch.rand(1, 3, 272, 480)
    published = Published(FakeBackend(run))
    assert torch.equal(published(rainy), rainy)
    assert published.batch == 2


def test_published_gives_up_where_one_window_is_too_much():
    def run(windows: Tensor) -> Tensor:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        Published(FakeBackend(run))(torch.rand(1, 3, 272, 480))


def test_the_error_is_the_largest_difference_and_the_psnr():
    reference = torch.zeros(1, 3, 10, 10)
    residual = reference.clone()
    residual[..., 0, :] = 0.01
    error = Error.between(residual, reference)
    assert error.max_abs == pytest.approx(0.01)
    assert error.psnr_db == pytest.approx(50)
    assert Error.between(reference, reference) == Error(0.0, math.inf)


def bench_of(weights: Weights, *sizes: tuple[int, int]) -> ModelBench:
    rates = Rates(CPU, 3e12, dict.fromkeys((torch.float32, torch.bfloat16), 8e14))
    return ModelBench(weights, CPU, synthesize, sizes, rates, Budget(1, 0))


def test_every_backend_and_precision_at_every_size_is_a_row(tiny_weights):
    rows = list(bench_of(tiny_weights, (30, 48), (32, 32)).rows(["eager"], ["fp32", "bf16"]))
    assert [(row.backend, row.size, row.precision) for row in rows] == [
        ("published", (30, 48), "fp32"),
        ("published", (32, 32), "fp32"),
        ("eager", (30, 48), "fp32"),
        ("eager", (32, 32), "fp32"),
        ("eager", (30, 48), "bf16"),
        ("eager", (32, 32), "bf16"),
    ]
    assert all(row.timing and row.fps and row.floor_share and row.error for row in rows)
    assert {row.error.max_abs == 0 for row in rows if row.precision == "fp32"} == {True}
    assert all(0 < row.error.max_abs < 0.1 for row in rows if row.precision == "bf16")


def test_a_backend_of_other_devices_is_one_row_with_its_reason(tiny_weights):
    bench = bench_of(tiny_weights, (32, 32), (32, 48))
    rows = list(bench.rows(["tensorrt"], ["fp32", "fp16"], with_published=False))
    assert [(row.backend, row.size, row.precision, row.timing) for row in rows] == [("tensorrt", None, None, None)]
    assert "NVIDIA" in rows[0].reason


def test_a_backend_that_does_not_load_is_a_row_with_its_reason(tiny_weights, monkeypatch):
    def refuse(*_, **__):
        raise BackendError("eager: the library is too old")

    monkeypatch.setattr("nerdrain_rt.benchmark.model.load_backend", refuse)
    rows = list(bench_of(tiny_weights, (32, 32), (32, 48)).rows(["eager"], ["fp32"], with_published=False))
    assert rows == [ModelRow("eager", None, "fp32", reason="the library is too old")]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("9 GiB"), "out of memory"),
        (BackendError("kernel refused\nat length"), "kernel refused"),
        (ValueError(), "ValueError"),
    ],
)
def test_a_backend_that_fails_at_a_size_is_a_row_with_its_reason(tiny_weights, monkeypatch, error, reason):
    def run(rainy: Tensor) -> Tensor:
        if rainy.shape[-1] == 48:
            raise error
        return torch.zeros_like(rainy)

    monkeypatch.setattr("nerdrain_rt.benchmark.model.load_backend", lambda *_, **__: FakeBackend(run))
    rows = list(bench_of(tiny_weights, (32, 48), (32, 32)).rows(["eager"], ["auto"], with_published=False))
    assert [(row.backend, row.reason) for row in rows] == [("eager", reason), ("eager", None)]
    assert rows[1].error.max_abs > 0


def test_a_row_is_json_with_what_the_issue_names():
    full = ModelRow(
        "fused", (1080, 1920), "fp16", Timing(16.0, 17.5, 50), 1.5, 4.0, 3 * MIB, Error(0.001, 71.23456), 8.0
    )
    assert full.json() == {
        "backend": "fused",
        "size": "1920x1080",
        "precision": "fp16",
        "median_ms": 16.0,
        "p95_ms": 17.5,
        "runs": 50,
        "fps": 62.5,
        "load_seconds": 1.5,
        "first_seconds": 4.0,
        "peak_mib": 3.0,
        "error": {"max_abs": 0.001, "psnr_db": 71.2346},
        "floor_ms": 8.0,
        "floor_share": 0.5,
        "note": None,
        "reason": None,
    }
    missing = ModelRow("tensorrt", None, "auto", reason="not installed").json()
    assert (missing["size"], missing["median_ms"], missing["runs"], missing["reason"]) == (
        None,
        None,
        0,
        "not installed",
    )
    assert json.loads(json.dumps(ModelRow("x", None, "fp32", error=Error(0, math.inf)).json(), allow_nan=False))


def test_real_time_is_answered_from_the_fastest_row_at_the_nearest_size():
    rows = [
        row("published", (1080, 1920), 1.0),
        row("eager", (1080, 1920), 60.0),
        row("fused", (1080, 1920), 20.0),
        row("fused", (480, 640), 1.0),
        ModelRow("tensorrt", None, "auto", reason="not installed"),
    ]
    answers = {answer.goal: answer for answer in advise(rows)}
    assert answers["1080p30"].is_real_time
    assert str(answers["1080p30"]) == "1080p30: yes, 50 fps with --backend fused --precision fp16"
    assert not answers["1080p60"].is_real_time
    assert answers["1080p60"].work_scale == 0.8  # 0.8 * 50 / 60 = 0.67 = 0.816 squared
    assert answers["1080p60"].settings == "--backend fused --precision fp16 --work-scale 0.8"
    assert answers["720p30"].measured_at == (1080, 1920)
    assert answers["720p30"].fps == pytest.approx(112.5)
    assert answers["2160p30"].fps == pytest.approx(12.5)
    assert answers["2160p30"].work_scale == 0.55


def test_a_goal_is_reached_with_the_margin_only():
    fast, slow = row("fused", (720, 1280), 1000 / 37.5), row("fused", (720, 1280), 1000 / 37.4)
    assert advise([fast])[0].work_scale == 1
    assert advise([slow])[0].work_scale == 0.95


def test_what_no_work_scale_reaches_is_told():
    answer = advise([row("eager", (720, 1280), 5000.0)])[0]
    assert answer.work_scale is None
    assert "too far even at --work-scale 0.25" in str(answer)
    assert answer.json() == {
        "goal": "720p30",
        "real_time": False,
        "fps": 0.2,
        "measured_at": "1280x720",
        "backend": "eager",
        "precision": "fp16",
        "work_scale": None,
    }


def test_nothing_measured_is_no_advice():
    assert advise([ModelRow("tensorrt", None, "auto", reason="not installed")]) == []
    assert advise([row("published", (720, 1280), 1.0)]) == []


def test_the_report_compares_with_the_published_arrangement_at_the_same_size():
    size, other = (720, 1280), (1080, 1920)
    fused = row("fused", size, 5.0)
    report = Report(CPU, Rates(CPU), [row("published", size, 100.0), row("published", other, 300.0), fused])
    assert report.speedup(fused) == pytest.approx(20)
    assert report.fastest(size) is fused
    assert report.fastest(other) is None
    assert report.speedup(ModelRow("tensorrt", None, "auto", reason="missing")) is None


def test_the_pipeline_is_measured_against_its_stages(tmp_path):
    backend = FakeBackend(seconds=0.02)
    measured = measure_pipeline(backend, (48, 64), tmp_path, fps=50, seconds=0.2)
    assert measured.reason is None
    content = measured.json()
    assert (content["backend"], content["size"], content["frames"]) == ("fake", "64x48", 10)
    assert content["slowest"] == "predict"
    assert content["predict_ms"] >= 20
    assert content["ratio"] == pytest.approx(content["predict_ms"] / content["pipeline_ms"], rel=0.01)
    assert {f"{stage}_ms" for stage in STAGES} < content.keys()


def test_a_pipeline_that_fails_is_a_row_with_its_reason(tmp_path):
    def refuse(rainy: Tensor) -> Tensor:
        raise BackendError("the GPU was lost")

    measured = measure_pipeline(FakeBackend(refuse), (48, 64), tmp_path, fps=50, seconds=0)
    assert measured == PipelineRow("fake", (48, 64), "fp32", reason="the GPU was lost")
    assert measured.json()["reason"] == "the GPU was lost"


def test_a_clip_has_as_many_frames_as_the_time_and_the_memory_allow():
    assert frames_for((270, 480), fps=0.5, seconds=5) == 4
    assert frames_for((720, 1280), fps=20, seconds=5) == 100
    assert frames_for((720, 1280), fps=2000, seconds=5) <= 300
    assert frames_for((2160, 3840), fps=100, seconds=5) * 16 * 2160 * 3840 <= 2**32


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


@pytest.mark.parametrize("name", ["gpu.sh", "carried.sh", "train_gpu.sh"])
def test_scripts_for_gpus_are_bash(name):
    subprocess.run(["bash", "-n", Path(__file__).parents[1] / "benchmarks" / name], check=True)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with the scripts for GPUs and a Python that only says what it was asked for."""
    repository = Path(__file__).parents[1]
    for name in ("pyproject.toml", "benchmarks/gpu.sh", "benchmarks/carried.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(repository / name, tmp_path / name)
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text("""#!/bin/bash
case "$*" in
  "-c import xdist") exit 1 ;;
  *benchmarks/fused.py*) echo "a row"; exit 3 ;;
  *"$HANGS"*) trap 'echo measured so far; exit 130' INT; while :; do sleep 0.1; done ;;
esac
echo "$*"
""")
    python.chmod(0o755)
    return tmp_path


def run_on(machine: Path, *, budget: int, hangs: str = "nothing") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{machine / 'bin'}:{os.environ['PATH']}"}
    environment |= {"OUT": str(machine / "out"), "BUDGET": str(budget), "HANGS": hangs}
    command = ["bash", machine / "benchmarks" / "gpu.sh", "64x48"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.skipif(os.name == "nt", reason="a script for Linux")
def test_on_a_gpu_a_step_that_fails_keeps_no_other_from_running(machine):
    done = run_on(machine, budget=60)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "failed: python3 benchmarks/fused.py --size 1920x1080"
    assert (machine / "out" / "fused.txt").read_text() == "a row\n"
    assert "--backend fused --backend eager --size 64x48" in (machine / "out" / "bench.json").read_text()
    assert "--backend compile" in (machine / "out" / "compile.json").read_text()
    assert len(list((machine / "out").iterdir())) <= 8


@pytest.mark.skipif(os.name == "nt", reason="a script for Linux")
def test_on_a_gpu_a_step_that_hangs_is_stopped_in_time_and_what_it_measured_kept(machine):
    done = run_on(machine, budget=7, hangs="--backend fused --backend eager")
    assert done.returncode == 1
    assert (machine / "out" / "bench.json").read_text() == "measured so far\n"
    assert done.stdout.count("no time is left") == done.stdout.count("failed: ") - 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_is_timed_by_events_and_its_memory_by_pytorch(tiny_weights):
    device = torch.device("cuda")
    rates = Rates(device)
    bench = ModelBench(tiny_weights, device, synthesize, [(64, 96)], rates, Budget(5, 1.0))
    published, eager = bench.rows(["eager"], ["fp16"])
    assert published.error.max_abs < 1e-2
    assert eager.timing.runs == 5
    assert eager.peak_bytes > 0
    assert eager.error.psnr_db > 40
    assert rates.bytes_per_second > 1e11
