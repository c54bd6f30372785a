"""From names on the command line to jobs."""

import errno
import json
import os
from pathlib import Path

import pytest
import typer

from nerdrain_rt.batch import VIDEO_SUFFIXES, Job, plan_jobs, run_jobs
from nerdrain_rt.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.mp4", "b.MKV", "a_derained.mp4", ".hidden.mp4", "notes.txt", "deep/c.mov"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def plan(*inputs: object, output: object = None, is_recursive: bool = False) -> list[Job]:
    return plan_jobs([str(text) for text in inputs], output and str(output), VIDEO_SUFFIXES, is_recursive=is_recursive)


def test_single_file_without_output_goes_beside_itself(folder):
    assert plan(folder / "a.mp4") == [Job(folder / "a.mp4", folder / "a_derained.mp4")]


def test_single_file_with_file_output_gets_that_name(folder):
    assert plan(folder / "a.mp4", output=folder / "x.mkv") == [Job(folder / "a.mp4", folder / "x.mkv")]


def test_file_that_does_not_exist_is_left_to_the_reader(folder):
    assert plan(folder / "no.mp4")[0].source == folder / "no.mp4"


def test_folder_gives_its_videos_but_no_results_and_no_hidden_files(folder):
    assert [job.source.name for job in plan(folder)] == ["a.mp4", "b.MKV"]


def test_recursive_folder_keeps_subfolders_in_output(folder, tmp_path):
    jobs = plan(folder, output=tmp_path / "out", is_recursive=True)
    assert {job.target.relative_to(tmp_path / "out").as_posix() for job in jobs} == {"a.mp4", "b.MKV", "deep/c.mov"}
    assert (tmp_path / "out" / "deep").is_dir()


def test_folders_that_are_hidden_or_the_systems_are_left_out(folder):
    for name in (".Trashes/d.mp4", "$RECYCLE.BIN/e.mp4", "deep/.thumbnails/f.mp4"):
        (folder / name).parent.mkdir()
        (folder / name).touch()
    assert [job.source.name for job in plan(folder, is_recursive=True)] == ["a.mp4", "b.MKV", "c.mov"]


@pytest.fixture
def locked(folder, monkeypatch) -> Path:
    """A subfolder that cannot be read, for the superuser too."""
    locked, scandir = folder / "locked", os.scandir
    locked.mkdir()

    def scan(path):
        if Path(path) == locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    return locked


def test_a_subfolder_that_cannot_be_read_fails_after_the_files(folder, locked, capsys):
    jobs = plan(folder, output=folder / "out", is_recursive=True)
    assert [job.source.name for job in jobs] == ["a.mp4", "b.MKV", "c.mov", "locked"]
    with pytest.raises(typer.Exit) as stop:
        run_jobs(jobs, lambda job: {"input": job.source.name}, as_json=True)
    assert stop.value.exit_code == 1
    words = f"{locked}: the folder cannot be read: Permission denied"
    captured = capsys.readouterr()
    assert f"error: {words}\n" in captured.err
    assert json.loads(captured.out.splitlines()[-1]) == {"input": str(locked), "output": None, "error": words}
    assert [job.source.name for job in plan(folder)] == ["a.mp4", "b.MKV"]


def test_a_folder_that_cannot_be_read_is_refused_as_such(locked):
    with pytest.raises(UsageError, match="locked: the folder cannot be read: Permission denied"):
        plan(locked)


def test_several_inputs_make_output_a_folder(folder):
    jobs = plan(folder / "a.mp4", folder / "b.MKV", output=folder / "out")
    assert [job.target for job in jobs] == [folder / "out" / "a.mp4", folder / "out" / "b.MKV"]


def test_slash_makes_output_a_folder(folder):
    assert plan(folder / "a.mp4", output=f"{folder}/new/")[0].target == folder / "new" / "a.mp4"


def test_pattern_is_expanded_without_results(folder):
    (folder / "c.mp4").touch()
    assert [job.source.name for job in plan(f"{folder}/*.mp4")] == ["a.mp4", "c.mp4"]


def test_result_that_is_named_is_derained_again(folder):
    assert plan(folder / "a_derained.mp4")[0].target == folder / "a_derained_derained.mp4"


def test_same_input_twice_is_one_job(folder):
    assert len(plan(folder / "a.mp4", folder / "a.mp4")) == 1


@pytest.mark.parametrize(
    ("inputs", "output", "words"),
    [
        (["{}/*.webm"], None, "matches no file$"),
        (["{}/*_derained.*"], None, "matches no file but results"),
        (["{}/empty"], None, "no files to derain"),
        (["{}/a.mp4", "{}/b.MKV"], "{}/notes.txt", "several inputs need a folder"),
        (["{}/a.mp4", "{}/deep/a.mp4"], "{}/out", "would both become"),
        (["{}/a.mp4", "{}/b.MKV"], "{}/clean.mp4", "write .*clean.mp4/"),
    ],
)
def test_impossible_request_is_refused(folder, inputs, output, words):
    (folder / "empty").mkdir()
    (folder / "deep" / "a.mp4").touch()
    with pytest.raises(UsageError, match=words):
        plan(*(text.format(folder) for text in inputs), output=output and output.format(folder))


def test_same_input_spelled_differently_is_one_job(folder):
    assert len(plan(folder / "a.mp4", folder / "deep" / ".." / "a.mp4", output=folder / "out")) == 1


def test_results_of_an_earlier_run_below_the_input_are_left_out(folder):
    first = plan(folder, output=folder / "clean", is_recursive=True)
    for job in first:
        job.target.touch()
    assert {job.source for job in plan(folder, output=folder / "clean", is_recursive=True)} == {
        job.source for job in first
    }


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (MemoryError(), "a.mp4: out of memory; close"),
        (ZeroDivisionError("by zero\nand more"), "a.mp4: unexpected ZeroDivisionError: by zero; run again"),
    ],
)
def test_an_unexpected_error_fails_its_job_alone(fault, words, capsys):
    def run(job: Job) -> dict[str, str]:
        if job.source.name == "a.mp4":
            raise fault
        return {"input": str(job.source)}

    jobs = [Job(Path(name), Path("out", name)) for name in ("a.mp4", "b.mp4")]
    with pytest.raises(typer.Exit) as stop:
        run_jobs(jobs, run, as_json=True, is_verbose=True)
    assert stop.value.exit_code == 1
    captured = capsys.readouterr()
    first, second = map(json.loads, captured.out.splitlines())
    assert first["error"].startswith(words)
    assert first["output"] is None
    assert second == {"input": "b.mp4"}
    assert f"error: {first['error']}\n" in captured.err
    assert "Traceback" in captured.err


def test_an_interruption_ends_the_batch():
    def run(job: Job) -> dict[str, str]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs([Job(Path("a.mp4"), Path("b.mp4"))], run, as_json=False)
