"""The command line as a user meets it: exit codes, one line of error, JSON, reports, interruption."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import av
import pytest
import torch

from nerdrain_rt import console, doctor
from nerdrain_rt.__main__ import run
from nerdrain_rt.cli import parse_options, parse_tile, parse_time
from nerdrain_rt.errors import UsageError
from nerdrain_rt.model.net import NerdRain, NetConfig
from nerdrain_rt.model.weights import BUNDLED, save_weights
from tests import clips

TALKATIVE = "from nerdrain_rt import console, __main__ as entry; console.LINE_SECONDS = 0; entry.main()"
"""The command line as a program that tells of every frame."""


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory) -> Path:
    """A network of few channels that darkens everything a little."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(NerdRain(NetConfig(width=8, head_width=16)).state_dict(), path, metadata={})
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    return clips.video(tmp_path_factory.mktemp("clip") / "rainy.mp4", size=(48, 64), frames=6)


@pytest.fixture
def derain(tiny_weights):
    """Run `nerdrain video` or another command with the tiny network; returns the exit code."""

    def command(name: str, *arguments: object) -> int:
        return run([name, *map(str, arguments), "--weights", str(tiny_weights), "--device", "cpu"])

    return command


def frame_count(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def one_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, text
    return lines[0]


def test_video_writes_every_frame_and_reports(derain, clip, tmp_path, capsys):
    target = tmp_path / "clean.mp4"
    assert derain("video", clip, "-o", target) == 0
    assert frame_count(target) == 6
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "6 frames" in captured.err
    assert "derained" in captured.err


def test_json_gives_one_object_with_the_promised_keys(derain, clip, tmp_path, capsys):
    assert derain("video", clip, "-o", tmp_path / "clean.mp4", "--json") == 0
    report = json.loads(one_line(capsys.readouterr().out))
    promised = {
        "input", "output", "frames_in", "frames_out", "seconds", "fps", "device", "backend", "precision", "streams",
        "warnings",
    }  # fmt: skip
    assert promised <= report.keys()
    assert report["frames_in"] == report["frames_out"] == 6
    assert report["device"] == "cpu"
    assert report["streams"] == [
        {"index": 0, "type": "video", "codec": "h264", "action": "derained", "reason": report["streams"][0]["reason"]}
    ]


def test_target_that_exists_is_refused_and_kept(derain, clip, tmp_path, capsys):
    target = tmp_path / "clean.mp4"
    target.write_text("precious")
    assert derain("video", clip, "-o", target) == 2
    assert "exists" in one_line(capsys.readouterr().err)
    assert target.read_text() == "precious"
    assert derain("video", clip, "-o", target, "-y", "--quiet") == 0
    assert frame_count(target) == 6


def test_source_is_never_its_own_target(derain, clip, capsys):
    before = clip.read_bytes()
    assert derain("video", clip, "-o", clip, "-y") == 2
    assert "source itself" in one_line(capsys.readouterr().err)
    assert clip.read_bytes() == before


def test_failure_in_one_does_not_stop_the_rest(derain, clip, tmp_path, capsys):
    broken = tmp_path / "broken.mp4"
    broken.write_text("I am text")
    assert derain("video", broken, clip, "-o", tmp_path / "out", "--json", "--quiet") == 1
    captured = capsys.readouterr()
    first, second = map(json.loads, captured.out.splitlines())
    assert first["output"] is None
    assert "not a media file" in first["error"]
    assert second["frames_out"] == 6
    assert "Traceback" not in captured.err


def test_damaged_video_is_delivered_with_exit_code_1_unless_tolerant(derain, tmp_path, capsys):
    whole = clips.video(tmp_path / "whole.mkv", size=(48, 64), frames=144)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    target = tmp_path / "clean.mkv"
    assert derain("video", cut, "-o", target) == 1
    assert "damaged" in capsys.readouterr().err
    assert 0 < frame_count(target) < 144
    assert derain("video", cut, "-o", target, "-y", "--tolerant") == 0


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["--strength", "1.5"], "strength is 1.5", 2),
        (["--work-scale", "0"], "work scale is 0", 2),
        (["--tile", "big"], "not a tile size", 2),
        (["--tile", "8"], "tile is 8", 2),
        (["--start", "soon"], "not a time", 2),
        (["--start", "5", "--end", "2"], "must be after the start", 2),
        (["-e", "crf"], "key=value", 2),
        (["-c", "nonsense"], "nonsense", 2),
        (["--device", "toaster"], "unknown device", 2),
        (["--backend", "magic"], "no such backend", 2),
        (["--precision", "fp4"], "no such precision", 2),
    ],
)
def test_wrong_option_is_one_line(derain, clip, tmp_path, capsys, arguments, words, code):
    options = ["video", clip, "-o", tmp_path / "out" / "x.mp4"]
    (tmp_path / "out").mkdir()
    if "--device" in arguments:
        assert run([*map(str, options), *arguments]) == code
    else:
        assert derain(*options, *arguments) == code
    assert words in one_line(capsys.readouterr().err)
    assert not list((tmp_path / "out").iterdir())


def test_no_arguments_is_a_usage_error(capsys):
    assert run(["video"]) == 2
    assert "INPUT" in capsys.readouterr().err


def test_start_and_end_cut_the_clip(derain, tmp_path, capsys):
    source = clips.video(tmp_path / "long.mp4", size=(48, 64), frames=24, rate=12)
    assert derain("video", source, "-o", tmp_path / "part.mp4", "--start", "0.5", "--end", "0:01.5", "--json") == 0
    assert json.loads(capsys.readouterr().out)["frames_out"] == 12


def test_strength_0_in_ffv1_gives_the_same_samples(derain, clip, tmp_path):
    target = tmp_path / "same.mkv"
    assert derain("video", clip, "-o", target, "--strength", "0", "-c", "ffv1", "--quiet") == 0
    with av.open(str(clip)) as before, av.open(str(target)) as after:
        pairs = list(zip(before.decode(video=0), after.decode(video=0), strict=True))
    assert pairs
    assert all((a.to_ndarray() == b.to_ndarray()).all() for a, b in pairs)


def test_lines_of_progress_where_there_is_no_terminal(derain, clip, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("nerdrain_rt.console.LINE_SECONDS", 0)
    assert derain("video", clip, "-o", tmp_path / "x.mp4") == 0
    assert re.search(r"frame 3 of 6, [\d.]+ fps, \d+ s left", capsys.readouterr().err)


def test_speed_leaves_out_what_is_prepared_before_the_first_frame(monkeypatch, capsys):
    now = iter([0.0, 100.0, 100.0, 101.0, 101.0, 102.0, 102.0])
    monkeypatch.setattr("nerdrain_rt.console.time", SimpleNamespace(monotonic=lambda: next(now)))
    monkeypatch.setattr("nerdrain_rt.console.LINE_SECONDS", 0)
    steps = (SimpleNamespace(frame_index=index, frame_count=4001, report=None) for index in (1, 2, 3))
    list(console._with_lines(steps, "rain.mp4"))
    assert capsys.readouterr().err.splitlines() == [
        "rain.mp4: frame 1 of 4001",
        "rain.mp4: frame 2 of 4001, 1.00 fps, 1:06 h left",
        "rain.mp4: frame 3 of 4001, 1.00 fps, 1:06 h left",
    ]


def test_image_command_derains_a_folder(derain, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(2):
        clips.picture(index, (40, 50), "rgb24").to_image().save(folder / f"{index}.png")
    assert derain("image", folder, "-o", tmp_path / "out", "--json") == 0
    reports = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [report["size"] for report in reports] == [[40, 50], [40, 50]]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"0.png", "1.png"}


def test_doctor_tells_devices_and_weights(capsys):
    assert run(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["devices"]["cpu"]["available"] is True
    assert facts["backends"]["eager"]["available"] is True
    assert facts["codecs"]["encoders"]["libx264"] is True
    assert {name for name, weights in facts["weights"].items() if weights["usable"]} >= BUNDLED.keys()
    assert run(["doctor"]) == 0
    assert "nerdrain-s" in capsys.readouterr().out


def test_doctor_tells_what_an_engine_depends_on(monkeypatch):
    gpu = SimpleNamespace(name="NVIDIA H100", major=9, minor=0, total_memory=80 << 30)
    monkeypatch.setattr(doctor, "why_device_is_missing", lambda device: None)
    monkeypatch.setattr(doctor, "driver_version", lambda: "580.65.06")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: gpu)
    facts = doctor.examine()
    told = {key: facts["devices"]["cuda:0"][key] for key in ("name", "memory_gib", "capability", "driver")}
    assert told == {"name": "NVIDIA H100", "memory_gib": 80.0, "capability": "9.0", "driver": "580.65.06"}
    assert {"torch", "torch-tensorrt", "tensorrt", "tensorrt-rtx"} <= facts["system"].keys()


def test_doctor_says_why_a_gpu_is_not_used(capsys):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    run(["doctor", "--json"])
    assert json.loads(capsys.readouterr().out)["devices"]["cuda"]["reason"]


def test_weights_commands_import_list_and_describe(tiny_weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NERDRAIN_WEIGHTS", str(tmp_path))
    assert run(["weights", "import", str(tiny_weights), "--name", "small"]) == 0
    assert run(["weights", "list", "--json"]) == 0
    assert {*BUNDLED, "small"} == {row["name"] for row in json.loads(capsys.readouterr().out)["weights"]}
    assert run(["weights", "info", "small", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["width"] == 8
    update = tmp_path / "update.safetensors"
    update_of_small = ["weights", "update", str(tiny_weights), "--base", "small", "-o", str(update)]
    assert run(update_of_small) == 0
    assert run(["weights", "info", str(update), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["update_of"] == "small"
    assert run(update_of_small) == 2
    assert "already there" in one_line(capsys.readouterr().err)
    assert run([*update_of_small, "-y"]) == 0
    capsys.readouterr()
    assert run(["weights", "info", "none"]) == 1
    assert "no weights of this name" in one_line(capsys.readouterr().err)


def test_names_are_printed_as_they_are(tmp_path, tiny_weights):
    sources = [tmp_path / name for name in ("dash [models] [red]08:100:30.mp4", os.fsdecode(b"K\xf6ln.mp4"))]
    for source in sources:
        source.write_text("no video")
    command = [sys.executable, "-m", "nerdrain_rt", "video", *sources, "-o", tmp_path, "--weights", tiny_weights]
    done = subprocess.run([*command, "--backend", "eager", "--json"], capture_output=True, text=True, check=False)
    assert [json.loads(line)["input"] for line in done.stdout.splitlines()] == list(map(str, sources))
    assert sources[0].name in done.stderr
    assert r"K\udcf6ln.mp4" in done.stderr


def test_a_batch_goes_on_where_it_was_ended(derain, tmp_path, capsys):
    (tmp_path / "card").mkdir()
    for name in ("a.mp4", "b.mp4"):
        clips.video(tmp_path / "card" / name, size=(48, 64), frames=3)
    done = tmp_path / "out" / "a.mp4"
    done.parent.mkdir()
    done.write_text("done")
    arguments = ["video", tmp_path / "card", "-o", tmp_path / "out", "--json"]
    assert derain(*arguments, "--skip-existing") == 0
    skipped, fresh = map(json.loads, capsys.readouterr().out.splitlines())
    assert skipped == {"input": str(tmp_path / "card" / "a.mp4"), "output": str(done), "skipped": True}
    assert fresh["frames_out"] == 3
    assert done.read_text() == "done"
    assert derain(*arguments, "--skip-existing", "-y") == 2


def test_a_name_that_is_too_long_fails_alone(derain, tmp_path, capsys):
    folder = tmp_path / "card"
    folder.mkdir()
    for name in ("b", 245 * "n"):
        clips.video(tmp_path / "a.mp4", size=(48, 64), frames=3).rename(folder / f"{name}.mp4")
    assert derain("video", folder, "-o", f"{tmp_path / 'out'}/") == 0
    capsys.readouterr()
    assert derain("video", folder) == 1
    assert "File name too long" in capsys.readouterr().err
    assert (folder / "b_derained.mp4").exists()


def test_ctrl_c_while_libraries_load_is_one_word(tmp_path):
    with subprocess.Popen([sys.executable, "-m", "nerdrain_rt", "--version"], stderr=subprocess.PIPE, text=True) as run:
        time.sleep(0.3)
        run.send_signal(signal.SIGINT)
        stderr = run.stderr.read()
    assert "Traceback" not in stderr
    assert run.returncode in (0, 130, -signal.SIGINT)


def test_version_is_printed(capsys):
    assert run(["--version"]) == 0
    assert one_line(capsys.readouterr().out).startswith("nerdrain-rt ")


@pytest.mark.parametrize(("number", "options"), [(signal.SIGINT, []), (signal.SIGTERM, ["--keep-partial"])])
def test_interrupted_run_ends_within_a_second_and_leaves_nothing_else(tmp_path, number, options):
    source = clips.video(tmp_path / "long.mp4", size=(128, 192), frames=200)
    out = tmp_path / "out"
    out.mkdir()
    arguments = ["video", source, "-o", out / "clean.mkv", *options]
    with subprocess.Popen(
        [sys.executable, "-c", TALKATIVE, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        try:
            assert any("frame 2" in line for line in process.stderr)
            started = time.monotonic()
            process.send_signal(number)
            stderr = process.stderr.read()
            process.wait(timeout=30)
        finally:
            process.kill()
    assert time.monotonic() - started < 3  # a second of ours; the rest is for a loaded machine
    assert process.returncode == 130
    assert "Traceback" not in stderr
    left = [path.name for path in out.iterdir()]
    assert left == (["clean.partial.mkv"] if options else [])
    if options:
        assert frame_count(out / left[0]) > 0
        assert "clean.partial.mkv: what was done until then" in stderr


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
@pytest.mark.parametrize("is_ignored", [True, False], ids=["nohup", "terminal"])
def test_a_terminal_that_is_closed_ends_a_run_unless_it_was_begun_with_nohup(tmp_path, tiny_weights, is_ignored):
    source, target = clips.video(tmp_path / "rain.mp4", size=(96, 128), frames=60), tmp_path / "clean.mp4"
    hang_up = signal.signal(signal.SIGHUP, signal.SIG_IGN if is_ignored else signal.SIG_DFL)
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", TALKATIVE, "video", source, "-o", target, "--weights", tiny_weights],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
    finally:
        signal.signal(signal.SIGHUP, hang_up)
    with process:
        try:
            assert any("frame 2" in line for line in process.stderr)
            process.send_signal(signal.SIGHUP)
            process.stderr.read()
            process.wait(timeout=60)
        finally:
            process.kill()
    assert process.returncode == (0 if is_ignored else 130)
    assert target.exists() == is_ignored


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1:30.5", 90.5), ("01:00:01", 3601), (None, None)])
def test_time_is_seconds_or_clock(text, seconds):
    assert parse_time(text) == seconds


def test_option_values_may_hold_equal_signs():
    assert parse_options(["x265-params=a=1:b=2"]) == {"x265-params": "a=1:b=2"}


def test_tile_auto_is_none():
    assert parse_tile("auto") is None
    assert parse_tile("256") == 256
    with pytest.raises(UsageError):
        parse_tile("-3")
