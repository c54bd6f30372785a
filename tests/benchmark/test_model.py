"""Rows of measurements: every backend and precision at every size, or why not."""

import json
import math

import pytest
import torch
from torch import Tensor

from nerdrain_rt.benchmark.floor import Rates
from nerdrain_rt.benchmark.model import Error, ModelBench, ModelRow
from nerdrain_rt.benchmark.pictures import synthesize
from nerdrain_rt.benchmark.published import Published
from nerdrain_rt.benchmark.timing import Budget, Timing
from nerdrain_rt.errors import BackendError
from nerdrain_rt.model.weights import Weights
from tests.benchmark.measurements import CPU, MIB
from tests.fakes import FakeBackend


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
