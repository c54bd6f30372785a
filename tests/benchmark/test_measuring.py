"""What `nerdrain bench` measures and says: exact on pretended clocks and rates, and once for real on a tiny network."""

import math

import pytest
import torch
from torch import Tensor

from nerdrain_rt.benchmark.advice import advise
from nerdrain_rt.benchmark.floor import Rates, Work
from nerdrain_rt.benchmark.model import Error, ModelRow, padded
from nerdrain_rt.benchmark.pictures import first_frame, synthesize
from nerdrain_rt.benchmark.pipeline import STAGES, PipelineRow, frames_for, make_clip, measure_pipeline
from nerdrain_rt.benchmark.report import Report
from nerdrain_rt.benchmark.timing import Budget, Timing, run_first, time_runs
from nerdrain_rt.errors import BackendError, MediaError
from nerdrain_rt.model.net import NetConfig
from tests.benchmark.measurements import CPU, MIB, RATES, row
from tests.fakes import FakeBackend


class Work10:
    """A call that takes 10 s on its own clock."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Tensor:
        self.calls += 1
        return torch.zeros(1)

    def clock(self) -> float:
        return 10.0 * self.calls


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


def test_the_error_is_the_largest_difference_and_the_psnr():
    reference = torch.zeros(1, 3, 10, 10)
    residual = reference.clone()
    residual[..., 0, :] = 0.01
    error = Error.between(residual, reference)
    assert error.max_abs == pytest.approx(0.01)
    assert error.psnr_db == pytest.approx(50)
    assert Error.between(reference, reference) == Error(0.0, math.inf)


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
