"""What is measured, chosen, remembered and said, with backends that only pretend to work."""

import json

import pytest
import torch

from nerdrain_rt.backends.remembered import KEPT, Choice, Key, choices_path, remember, remembered_choices
from nerdrain_rt.errors import BackendError
from tests.candidates import KEY, SIZE, Bench, refuse

pytestmark = pytest.mark.usefixtures("cache_folder")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_fastest_is_chosen_and_told_with_the_others(bench):
    slow, fast = bench.candidate("eager", 48), bench.candidate("fused", 16)
    assert bench.choose(slow, fast, names="eager fused") == "fused"
    assert bench.said == ["backend fused: 16.0 ms at 128x72 (eager 48.0 ms)"]
    assert len(bench.begun) == 1
    assert "eager, fused at 128x72" in bench.begun[0]


def test_a_slower_one_is_dropped_after_one_run_beside_the_warm_up(bench):
    bench.choose(bench.candidate("fused", 16), bench.candidate("eager", 48), names="fused eager")
    assert bench.runs.count("fused") == 6
    assert bench.runs.count("eager") == 2


def test_one_that_does_not_load_is_passed_over_and_told(bench):
    assert bench.choose(refuse("no engine"), bench.candidate("eager", 48), names="tensorrt eager") == "eager"
    assert bench.said == ["backend eager: 48.0 ms at 128x72 (tensorrt: no engine)"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BackendError("kernel refused"), "kernel refused"),
        (torch.OutOfMemoryError("tried to allocate 9 GiB"), "out of memory"),
        (torch.AcceleratorError("CUDA error: out of memory\nmore"), "out of memory"),
        (RuntimeError("CUDA error\nand many lines"), "CUDA error"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_one_that_fails_when_it_runs_is_passed_over_and_told(bench, error, reason):
    broken = bench.candidate("fused", 1, error=error)
    assert bench.choose(broken, bench.candidate("eager", 48), names="fused eager") == "eager"
    assert bench.said == [f"backend eager: 48.0 ms at 128x72 (fused: {reason})"]


def test_none_that_runs_is_an_error_with_every_reason(bench):
    with pytest.raises(BackendError, match="tensorrt: no engine; eager: no kernels"):
        bench.choose(refuse("no engine"), refuse("no kernels"), names="tensorrt eager")
    assert not choices_path().exists()


def test_none_that_has_the_memory_lets_the_caller_tile(bench):
    greedy = bench.candidate("eager", 1, error=torch.OutOfMemoryError("9 GiB"))
    with pytest.raises(torch.OutOfMemoryError):
        bench.choose(refuse("no engine"), greedy, names="tensorrt eager")


def test_those_slow_to_load_come_last(bench):
    slow, quick = bench.candidate("compile", 20, load_seconds=4), bench.candidate("eager", 48)
    assert bench.choose(slow, quick, names="compile eager", load_seconds={"compile": 4}) == "compile"
    assert bench.loaded == ["eager", "compile"]


def test_one_whose_load_is_beyond_the_budget_is_not_tried(bench):
    candidates = bench.candidate("tensorrt", 9), bench.candidate("eager", 48)
    assert bench.choose(*candidates, names="tensorrt eager", load_seconds={"tensorrt": 300}) == "eager"
    assert bench.said == ["backend eager: 48.0 ms at 128x72 (tensorrt: takes about 300 s to start)"]


def test_the_only_one_is_taken_however_long_it_loads(bench):
    assert bench.choose(bench.candidate("tensorrt", 9), names="tensorrt", load_seconds={"tensorrt": 300}) == "tensorrt"


def test_no_candidate_is_begun_after_the_budget(bench):
    first = bench.candidate("eager", 48, load_seconds=11)
    assert bench.choose(first, bench.candidate("fused", 16), names="eager fused", budget_seconds=10) == "eager"
    assert bench.loaded == ["eager"]
    assert "fused: not tried, the time was over" in bench.said[0]


def test_the_budget_does_not_end_the_search_before_one_runs(bench):
    broken = bench.candidate("fused", 11_000, error=BackendError("lost"))
    assert bench.choose(broken, bench.candidate("eager", 48), names="fused eager", budget_seconds=10) == "eager"


def test_the_answer_is_remembered(bench):
    candidates = bench.candidate("eager", 48), bench.candidate("fused", 16)
    bench.choose(*candidates, names="eager fused")
    bench.loaded.clear()
    bench.runs.clear()
    assert bench.choose(*candidates, names="eager fused") == "fused"
    assert (bench.loaded, bench.runs) == (["fused"], [])
    assert bench.said[1] == f"{bench.said[0]}, as measured before"
    assert remembered_choices() == [Choice("fused", SIZE, {"eager": 48.0, "fused": 16.0}, {})]


@pytest.mark.parametrize(
    "other",
    [
        {"key": Key({"device": "Other GPU", "torch": "2"}, "48f1", "auto")},
        {"key": Key({"device": "Pretended GPU", "torch": "2"}, "90ab", "auto")},
        {"key": Key({"device": "Pretended GPU", "torch": "2"}, "48f1", "fp32")},
        {"size": (216, 384)},
    ],
    ids=["machine", "weights", "precision", "size"],
)
def test_another_question_is_measured_anew(bench, other):
    candidates = bench.candidate("eager", 48), bench.candidate("fused", 16)
    bench.choose(*candidates, names="eager fused")
    bench.runs.clear()
    bench.choose(*candidates, names="eager fused", **other)
    assert bench.runs
    assert len(remembered_choices()) == 2


def test_a_size_nearby_has_the_same_answer(bench):
    candidates = bench.candidate("eager", 48), bench.candidate("fused", 16)
    bench.choose(*candidates, names="eager fused", size=(72, 128))
    bench.runs.clear()
    bench.choose(*candidates, names="eager fused", size=(80, 96))
    assert not bench.runs


def test_a_candidate_that_has_become_quick_to_load_is_measured(bench):
    candidates = bench.candidate("tensorrt", 9), bench.candidate("eager", 48)
    bench.choose(*candidates, names="tensorrt eager", load_seconds={"tensorrt": 300})
    assert bench.choose(*candidates, names="tensorrt eager") == "tensorrt"


def test_a_remembered_one_that_no_longer_loads_is_replaced(bench, caplog):
    eager = bench.candidate("eager", 48)
    bench.choose(bench.candidate("fused", 16), eager, names="fused eager")
    assert bench.choose(refuse("old driver"), eager, names="fused eager") == "eager"
    assert "old driver" in caplog.text
    assert [choice.backend for choice in remembered_choices()] == ["eager"]


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\x00", b"{}", b'{"a": 1}', b"[1]", b'[{"size": [72, 128]}]', b'"text"', b"null"],
)
def test_a_damaged_file_is_ignored_with_a_line_and_replaced(bench, content, caplog):
    choices_path().parent.mkdir()
    choices_path().write_bytes(content)
    assert remembered_choices() == []
    if content != b"{}":
        assert "ignored" in caplog.text
    bench.choose(bench.candidate("eager", 48), names="eager")
    assert [choice.backend for choice in remembered_choices()] == ["eager"]


def test_an_answer_that_was_not_measured_is_damage(bench):
    bench.choose(bench.candidate("eager", 48), names="eager")
    choices_path().write_text(choices_path().read_text().replace('"backend": "eager"', '"backend": "fused"'))
    assert remembered_choices() == []


def test_a_folder_that_cannot_be_written_is_only_logged(bench, cache_folder, caplog):
    cache_folder.write_text("a file in its place")
    assert bench.choose(bench.candidate("eager", 48), names="eager") == "eager"
    assert "cannot be written" in caplog.text


def test_writing_leaves_nothing_beside_the_file(bench, cache_folder):
    bench.choose(bench.candidate("eager", 48), names="eager")
    assert [path.name for path in cache_folder.iterdir()] == ["choices.json"]


def test_only_the_newest_answers_are_kept():
    for index in range(KEPT + 3):
        key = Key(KEY.machine, f"weights {index}", "auto")
        remember(key, ["eager"], Choice("eager", SIZE, {"eager": float(index)}, {}))
    assert [choice.milliseconds["eager"] for choice in remembered_choices()] == list(range(3, KEPT + 3))
    assert len(json.loads(choices_path().read_text())) == KEPT
