"""The command, several processes, and how fast a run was."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from benchmarks import training
from nerdrain_rt.__main__ import run
from nerdrain_rt.errors import UsageError
from nerdrain_rt.training import command
from nerdrain_rt.training.workers import Workers
from tests.training.runs import checkpoint, equal, load_metadata, one_line, rows, trainer

ROOT = Path(__file__).parents[2]


def test_training_needs_no_pyav_with_what_takes_its_place():
    folders = ROOT / "benchmarks" / "without_video", ROOT
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    code = "import av, nerdrain_rt.training.command as c; print(av.__file__); c.plot(c.Path('none'))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert Path(done.stdout.strip()).parents[1] == folders[0]
    assert "MediaError: none" in done.stderr


def test_missing_tensorboard_is_one_line(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    assert run(["train", str(recipe), "--run", str(tmp_path / "run"), "--tensorboard"]) == 2
    assert "nerdrain-rt[train]" in one_line(capsys.readouterr().err)


def test_command_trains_refuses_to_overwrite_and_resumes(recipe, tmp_path, capsys):
    arguments = ["train", str(recipe), "--run", str(tmp_path / "run"), "--device", "cpu"]
    assert run(arguments) == 0
    assert "weights.safetensors" in capsys.readouterr().err
    assert len(rows(tmp_path / "run/log.csv")) == 2
    assert (tmp_path / "run/training.png").exists() == bool(find_spec("matplotlib"))

    assert run(arguments) == 2
    assert "--resume" in one_line(capsys.readouterr().err)

    recipe.write_text(recipe.read_text().replace("steps = 2", "steps = 3"))
    assert run([*arguments, "--resume"]) == 0
    assert "done before" not in capsys.readouterr().err
    assert len(rows(tmp_path / "run/log.csv")) == 3

    assert run([*arguments, "--resume"]) == 0
    assert "done before, at step 3 of 3" in capsys.readouterr().err

    start = str(tmp_path / "run/weights.safetensors")
    assert run([*arguments[:3], str(tmp_path / "next"), "--from", start, "--device", "cpu", "--minutes", "0"]) == 0
    assert checkpoint(tmp_path / "next")["step"] == 1
    assert run([*arguments, "--resume", "--from", start]) == 2


def test_a_forgotten_folder_of_pairs_is_told(recipe, tmp_path, capsys):
    assert run(["train", str(recipe), "--pairs", str(tmp_path), "--run", str(tmp_path / "run")]) == 2

    assert "--pairs takes two folders" in (line := one_line(capsys.readouterr().err))
    assert "--run is none" in line


def test_command_takes_other_data(recipe, photographs, tmp_path, capsys):
    arguments = ["train", str(recipe), "--run", str(tmp_path / "run"), "--device", "cpu"]
    assert run([*arguments, "--images", str(tmp_path / "none")]) == 1
    assert "none" in one_line(capsys.readouterr().err)
    assert run([*arguments, "--pairs", str(photographs), str(photographs), "--minutes", "0"]) == 0
    assert "3 pairs" in load_metadata(tmp_path / "run")["data"]


@pytest.mark.parametrize(("name", "index"), [("cuda", 0), ("cuda:1", 1)])
def test_a_gpu_that_trains_alone_has_a_number(name, index):
    assert Workers(name).device == torch.device("cuda", index)


@pytest.mark.gpu
@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_gpu_trains_in_half_precision_and_resumes(recipe, tmp_path, is_compiled):
    text = recipe.read_text().replace("'float32'", "'bfloat16'") + "channels_last = true\n"
    text += f"compile = {str(is_compiled).lower()}\n"
    arguments = ["train", str(recipe), "--run", str(tmp_path / "run"), "--device", "cuda"]
    for steps, options in ((3, []), (6, ["--resume"])):
        recipe.write_text(text.replace("steps = 2", f"steps = {steps}"))
        assert run([*arguments, *options]) == 0
    losses = [float(row["loss"]) for row in rows(tmp_path / "run/log.csv")]
    assert len(losses) == 6
    assert all(map(math.isfinite, losses))


def test_interrupted_run_saves_its_step_and_ends_with_130(recipe, tmp_path):
    recipe.write_text(recipe.read_text().replace("steps = 2", "steps = 100000"))
    log = tmp_path / "run/log.csv"
    command = [sys.executable, "-m", "nerdrain_rt", "train", recipe, "--run", tmp_path / "run", "--device", "cpu"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (log.exists() and len(log.read_text().splitlines()) > 2):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert checkpoint(tmp_path / "run")["step"] == int(rows(log)[-1]["step"])


WORKER = """
import sys
from itertools import islice
from dataclasses import replace
from pathlib import Path
import torch
from nerdrain_rt.model.net import NerdRain, NetConfig
from nerdrain_rt.training.recipe import TrainSettings
from nerdrain_rt.training.train import Trainer, start_as_identity
from nerdrain_rt.training.workers import Workers

recipe, folder = map(Path, sys.argv[1:3])
settings = replace(TrainSettings.read(recipe), validate_every=1)
with Workers("cpu") as workers:
    for name, stop in (("whole", 2), ("parts", 1), ("parts", 2)):
        torch.manual_seed(0)
        net = start_as_identity(NerdRain(NetConfig(width=8, depths=(1, 1, 1), head_width=16)))
        trainer = Trainer(settings, folder / name, workers=workers, net=net)
        if (folder / name / "checkpoint.pt").exists():
            trainer.resume()
        for entry in trainer.run():
            if entry.step == stop and workers.rank == 1:
                trainer.stop()
        weights = torch.cat([parameter.detach().flatten() for parameter in net.parameters()])
        assert torch.equal(*workers.gather(weights)), "each process trains a network of its own"
"""


def test_two_processes_train_one_network_and_resume_exactly(recipe, tmp_path):
    (tmp_path / "worker.py").write_text(WORKER)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [*launcher, tmp_path / "worker.py", recipe, tmp_path],
        check=True, env=environment, timeout=120, capture_output=True,
    )  # fmt: skip

    whole, parts = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "parts")
    assert equal(whole, parts)
    assert len(whole["generators"]) == 2
    assert not torch.equal(*whole["generators"])
    assert len(rows(tmp_path / "whole/log.csv")) == 2


def test_batch_that_processes_cannot_share_is_refused(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UsageError, match="a batch of 2 cannot be divided among 3"):
        trainer(replace(settings, crops=((0, 16, 2),)), tmp_path, workers=Workers("cpu"))


def test_speed_of_a_run_is_told_beside_its_floor(recipe, photographs, tmp_path, capsys):
    folder = str(tmp_path / "run")
    assert run(["train", str(recipe), "--run", folder, "--device", "cpu"]) == 0

    training.main([str(recipe), folder, "--images", str(photographs), "--device", "cpu"])

    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    (row,) = report["rows"]
    seconds = [float(it["seconds"]) for it in rows(tmp_path / "run/log.csv")]
    assert (row["size"], row["batch"]) == (16, 2)
    assert row["ms"] == pytest.approx(1000 * sum(seconds) / 2)
    assert row["crops_per_second"] == pytest.approx(2000 / row["ms"])
    assert row["times_floor"] > 1
    assert row["drawn_per_second"] > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.toml", "run"], "none.toml: No such file"),
        (["recipe.toml", "run"], "log.csv"),
        (["recipe.toml", "run", "--processes", "3"], "a batch of 2 cannot have been divided among 3"),
        (["recipe.toml", "run", "--processes", "0"], "at least one"),
    ],
)
def test_speed_of_what_is_no_run_is_refused(recipe, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(recipe.parent)
    if "--processes" in arguments:
        (recipe.parent / "run").mkdir()
        (recipe.parent / "run/log.csv").write_text("step,seconds\n1,1\n")
    with pytest.raises(SystemExit) as ended:
        training.main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_what_all_processes_refuse_is_said_by_the_first(recipe, tmp_path, monkeypatch, capsys):
    def train(rank):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("LOCAL_RANK", str(rank % 2))
        status = run(
            ["train", str(recipe), "--run", str(tmp_path / "run"), "--device", "cpu", "--resume", "--from", "x"]
        )
        return status, capsys.readouterr().err

    monkeypatch.setattr(command, "SECONDS_TO_SAY", 0)
    assert train(1) == (2, "")
    for first_on_its_machine in (0, 2):
        status, message = train(first_on_its_machine)
        assert status == 2
        assert "leave out --from" in one_line(message)
