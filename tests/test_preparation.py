"""What is prepared in another process: turns, failures, and how it ends with this one; with stand-ins for Triton."""

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nerdrain_rt.backends.preparation import ProcessPreparation, Turns, prepare_fused
from nerdrain_rt.model.net import NetConfig

SMALL = NetConfig(width=8, depths=(1, 1, 1), head_width=16)
MEASURING = "import sys; print('measure', flush=True); sys.stdin.readline(); "


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def prepare(code: str, turns: Turns | None = None) -> ProcessPreparation:
    return ProcessPreparation([sys.executable, "-c", code], turns or Turns())


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process_id}/stat").read_text().split()[2] != "Z"


def test_a_turn_is_not_taken_twice_while_another_waits():
    turns = Turns()
    order: list[str] = []

    def take() -> None:
        with turns:
            order.append("other")

    other = threading.Thread(target=take)
    with turns:
        other.start()
        wait_for(turns._door.locked)
    with turns:
        order.append("same")
    other.join()
    assert order == ["other", "same"]


def test_what_ends_well_is_over_without_a_failure():
    preparation = prepare("")
    wait_for(lambda: preparation.is_over)
    assert preparation.failure is None


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('fused: a kernel does not run here'); exit(1)", "fused: a kernel does not run here"),
        ("import sys; sys.exit('first\\nlast words')", "its process ended with exit code 1: last words"),
        ("exit(3)", "its process ended with exit code 3: it said nothing"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "its process ended with exit code -9: it said nothing",
        ),
        ("import os; print('measure', flush=True); os._exit(5)", "its process ended with exit code 5: it said nothing"),
    ],
    ids=["its word", "its log", "silent", "killed", "in its turn"],
)
def test_a_failure_is_one_line(code, reason):
    turns = Turns()
    preparation = prepare(code, turns)
    wait_for(lambda: preparation.is_over)
    assert preparation.failure == reason
    with turns:
        pass


def test_a_command_that_cannot_be_started_is_a_failure():
    preparation = ProcessPreparation(["/does/not/exist"], Turns())
    wait_for(lambda: preparation.is_over)
    assert "/does/not/exist" in (preparation.failure or "")


def test_nothing_is_measured_while_another_has_its_turn(tmp_path):
    asked, measured = tmp_path / "asked", tmp_path / "measured"
    code = "from pathlib import Path; import sys; print('measure', flush=True); "
    code += f"Path({str(asked)!r}).touch(); sys.stdin.readline(); Path({str(measured)!r}).touch(); print('measured')"
    turns = Turns()
    with turns:
        preparation = prepare(code, turns)
        wait_for(asked.exists)
        wait_for(turns._door.locked)
        assert not measured.exists()
    wait_for(lambda: preparation.is_over)
    assert measured.exists()


def test_nobody_else_has_a_turn_while_something_is_measured(tmp_path):
    turns = Turns()
    may_end = tmp_path / "may end"
    code = f"{MEASURING}from pathlib import Path\nwhile not Path({str(may_end)!r}).exists(): pass\nprint('measured')"
    preparation = prepare(code, turns)
    wait_for(turns._lock.locked)
    has_turn = threading.Event()

    def take() -> None:
        with turns:
            has_turn.set()

    threading.Thread(target=take).start()
    wait_for(turns._door.locked)
    assert not has_turn.is_set()
    may_end.touch()
    assert has_turn.wait(20)
    wait_for(lambda: preparation.is_over)


def test_one_is_made_ready_after_the_other(tmp_path):
    began, may_end = tmp_path / "began", tmp_path / "may end"
    code = "from pathlib import Path\nPath({!r}).touch()\nwhile not Path({!r}).exists(): pass"
    first = prepare(code.format(str(began), str(may_end)))
    wait_for(began.exists)
    second = prepare(f"import sys; from pathlib import Path; sys.exit(not Path({str(may_end)!r}).exists())")
    time.sleep(0.5)  # in which a second one would have found that the first is not over
    may_end.touch()
    wait_for(lambda: first.is_over and second.is_over)
    assert second.failure is None


@pytest.mark.parametrize("code", ["", MEASURING], ids=["compiling", "measuring"])
def test_a_dropped_preparation_ends_its_process(tmp_path, code):
    process_id = tmp_path / "id"
    code += f"import os, time; from pathlib import Path; Path({str(process_id)!r}).write_text(str(os.getpid())); "
    preparation = prepare(code + "time.sleep(300)")
    wait_for(lambda: process_id.exists() and process_id.read_text())
    del preparation
    gc.collect()
    wait_for(lambda: not is_running(int(process_id.read_text())))


PROGRAM = """
import sys, time
from pathlib import Path
from nerdrain_rt.backends.preparation import ProcessPreparation, Turns
code = "import os, time; from pathlib import Path; Path({file!r}).write_text(str(os.getpid())); time.sleep(300)"
kept = ProcessPreparation([sys.executable, "-c", code], Turns())
waiting = ProcessPreparation([sys.executable, "-c", code], Turns())
while not Path({file!r}).exists():
    time.sleep(0.01)
"""


def test_the_program_ends_at_once_and_silently(tmp_path):
    process_id = tmp_path / "id"
    command = [sys.executable, "-c", PROGRAM.format(file=str(process_id))]
    program = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert (program.stdout, program.stderr) == ("", "")
    wait_for(lambda: not is_running(int(process_id.read_text())))


def test_the_real_process_says_what_is_missing():
    turns = Turns()
    preparation = prepare_fused(SMALL, torch.device("cuda", 99), torch.float16, (64, 64), turns)
    wait_for(lambda: preparation.is_over)
    assert preparation.failure
    assert "\n" not in preparation.failure


def test_the_real_process_ends_with_its_parent():
    code = "import sys; from nerdrain_rt.backends import preparation as p; p._listen(None)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, env=environment) as child:
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(60) == 1
