"""Engines are built in a process of its own, and what goes wrong there is one line."""

import importlib.util
import os
import subprocess
import sys
import threading
import time

import pytest
import torch

from nerdrain_rt.backends import engine_process
from nerdrain_rt.backends.engine_process import build_in_process
from nerdrain_rt.errors import BackendError
from tests.engines import CPU, spec_for, tiny_weights


def run_in_process(code: str, monkeypatch, tmp_path, *, is_cancelled: threading.Event | None = None):
    """What `build_in_process` makes of a building process that runs this code instead."""
    stand_in = tmp_path / "stand_in.py"
    stand_in.write_text(code)
    start = subprocess.Popen

    def start_stand_in(command: list[str], **options) -> subprocess.Popen[str]:
        return start([sys.executable, str(stand_in), command[-1]], **options)

    monkeypatch.setattr(engine_process.subprocess, "Popen", start_stand_in)
    steps: list[tuple[str, float]] = []
    report = lambda stage, done: steps.append((stage, done))  # noqa: E731
    return build_in_process(tiny_weights(), spec_for(), CPU, report, is_cancelled or threading.Event()), steps


def test_a_build_in_another_process_gives_its_plan_and_progress(monkeypatch, tmp_path):
    code = """
import sys, json, pathlib
folder = pathlib.Path(sys.argv[1])
request = json.loads((folder / "request.json").read_text())
print(json.dumps({"stage": "building the engine", "done": 0.5}), flush=True)
(folder / "plan").write_bytes(request["spec"]["precision"].encode() + bytes(request["config"]["depths"]))
"""
    plan, steps = run_in_process(code, monkeypatch, tmp_path)
    assert plan == b"fp16\x01\x01\x01"
    assert steps == [("building the engine", 0.5)]


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ('print(\'{"error": "bad op"}\'); exit(1)', BackendError, "cannot be built: bad op"),
        ('print(\'{"error": "CUDA out of memory"}\'); exit(1)', torch.OutOfMemoryError, "CUDA out of memory"),
        ("import sys; print('Out of memory', file=sys.stderr); exit(1)", torch.OutOfMemoryError, "Out of memory"),
        ("import sys; sys.exit('first\\nlast words')", BackendError, "exit code 1: last words"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", BackendError, "exit code -9"),
    ],
    ids=["an error", "memory", "memory in its log", "an exit", "killed"],
)
def test_a_failed_build_is_one_line(monkeypatch, tmp_path, code, error, message):
    with pytest.raises(error, match=message) as caught:
        run_in_process(code, monkeypatch, tmp_path)
    assert "\n" not in str(caught.value)


def test_cancelling_ends_the_building_process(monkeypatch, tmp_path):
    is_cancelled = threading.Event()
    timer = threading.Timer(0.3, is_cancelled.set)
    timer.start()
    started = time.monotonic()
    with pytest.raises(BackendError, match="cancelled"):
        run_in_process("import time; time.sleep(60)", monkeypatch, tmp_path, is_cancelled=is_cancelled)
    assert time.monotonic() - started < 30
    timer.join()


@pytest.mark.skipif(importlib.util.find_spec("torch_tensorrt") is not None, reason="torch-tensorrt is installed")
def test_the_real_building_process_says_what_is_missing():
    with pytest.raises(BackendError, match=r"cannot be built: .*torch_tensorrt"):
        build_in_process(tiny_weights(), spec_for(), CPU, lambda stage, done: None, threading.Event())


def test_the_building_process_ends_with_its_parent(tmp_path):
    code = "import sys, time; from nerdrain_rt.backends import engine_process as e; e._end_with_parent()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, env=environment) as child:
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(60) == 1
