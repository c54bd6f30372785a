"""The scripts that measure on a GPU go on past what fails or hangs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


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
