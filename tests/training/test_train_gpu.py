"""The script that trains on a GPU as long as there is time for, tried on the CPU and with a Python that fails."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from nerdrain_rt.model.weights import load_weights, save_weights
from nerdrain_rt.training.recipe import TrainSettings
from nerdrain_rt.training.train import new_net
from tests.training.runs import checkpoint

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a script for Linux")


def train(folder: Path, *arguments: object, **environment: object) -> subprocess.CompletedProcess[str]:
    """Run the script that is in a folder; its results come to `out`, its run is `run`."""
    command = ["bash", folder / "benchmarks/train_gpu.sh", folder / "run", *arguments]
    variables = os.environ | {"OUT": str(folder / "out")} | {name: str(value) for name, value in environment.items()}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=100)


@pytest.fixture
def checkout(tmp_path) -> Path:
    """What the script needs of the project."""
    for name in ("pyproject.toml", "benchmarks", "nerdrain_rt"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "benchmarks").unlink()
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_a_run_gives_weights_to_go_on_with(checkout, recipe, photographs):
    start = checkout / "start.safetensors"
    save_weights(new_net(TrainSettings.read(recipe)).state_dict(), start, metadata={})
    recipe.write_text(recipe.read_text().replace("steps = 2", "steps = 5000"))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    options = "1", recipe, "--device", "cpu", "--fit", "0"

    done = train(checkout, *options, FROM=start, IMAGES=photographs, PATH=path)

    assert done.returncode == 0, done.stdout
    assert checkpoint(checkout / "run")["step"] == 5
    joined = checkout / "joined.safetensors"
    joined.write_bytes(b"".join(piece.read_bytes() for piece in sorted(checkout.glob("out/weights-fp32*"))))
    assert joined.read_bytes() == (checkout / "run/weights-fp32.safetensors").read_bytes()
    assert load_weights(joined).config.width == 8
    with tarfile.open(checkout / "out/run.tar.gz") as archive:
        names = archive.getnames()
    assert {"log.csv", "recipe.toml", "sheets/0000005.png"} <= set(names)
    assert "TFLOP/s" in (checkout / "out/train.log").read_text()


PYTHON = r"""#!/bin/bash
case "$*" in
  *device_count*) echo 1 ;;
  *"import re, sys"*) exec REAL "$@" ;;
  *" train "*)
    run=$(dirname "$4")
    echo "trains: $(grep -E 'compile|crops' "$4" | tr '\n' ' ')"
    if grep -qE "$HANGS" "$4"; then exec sleep 60; fi
    if grep -qE "$FAILS" "$4"; then exit 1; fi
    printf 'step\n1\n' >"$run/log.csv"
    echo weights >"$run/weights-fp32.safetensors"
    touch "$run/checkpoint.pt"
    ;;
esac
"""


@pytest.fixture
def fake(checkout, monkeypatch) -> Path:
    """A checkout, and a Python that says what it is to train and does as it is told."""
    python = checkout / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(PYTHON.replace("REAL", sys.executable))
    python.chmod(0o755)
    monkeypatch.setenv("PATH", f"{python.parent}:{os.environ['PATH']}")
    (checkout / "recipe.toml").write_text("crops = [[0, 128, 64], [900, 256, 16]]\ncompile = true\n")
    return checkout


WHOLE = "trains: crops = [[0, 128, 64], [900, 256, 16]] compile = true"
UNCOMPILED = "trains: crops = [[0, 128, 64], [900, 256, 16]] compile = false"
HALVED = "trains: crops = [[0, 128, 32], [900, 256, 8]] compile = false"


@pytest.mark.parametrize(
    ("fails", "trained", "code"),
    [
        ("nothing", [WHOLE], 0),
        ("compile = true", [WHOLE, UNCOMPILED], 0),
        ("true|, 64", [WHOLE, UNCOMPILED, HALVED], 0),
        ("compile", [WHOLE, UNCOMPILED, HALVED], 1),
    ],
)
def test_what_fails_is_tried_with_less(fake, fails, trained, code):
    done = train(fake, "1", fake / "recipe.toml", FAILS=fails, HANGS="nothing")

    assert [line.strip() for line in done.stdout.splitlines() if line.startswith("trains")] == trained
    assert done.returncode == code
    assert (fake / "out/weights-fp32.safetensors.0").exists() == (code == 0)


def test_what_hangs_is_ended_and_tried_with_less(fake):
    done = train(fake, "1", fake / "recipe.toml", FAILS="nothing", HANGS="compile = true")

    assert [line.strip() for line in done.stdout.splitlines() if line.startswith("trains")] == [WHOLE, UNCOMPILED]
    assert done.returncode == 0


def test_a_run_that_was_cut_off_goes_on(fake):
    (fake / "run").mkdir()
    (fake / "run/recipe.toml").write_text("crops = [[0, 64, 2]]\n")
    (fake / "run/checkpoint.pt").touch()

    done = train(fake, "1", FAILS="nothing", HANGS="nothing")

    assert "trains: crops = [[0, 64, 2]]" in done.stdout
    assert done.returncode == 0
