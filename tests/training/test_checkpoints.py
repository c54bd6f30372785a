"""Runs resume exactly, and their checkpoints survive."""

import math
import os
import pickle
import resource
from dataclasses import replace

import pytest
import torch

from nerdrain_rt.errors import UsageError, WeightsError
from nerdrain_rt.model.weights import load_weights
from nerdrain_rt.training.looks import RainSettings
from nerdrain_rt.training.recipe import OPTIMIZERS
from nerdrain_rt.training.train import Trainer
from tests.training.runs import checkpoint, equal, rows, take, trainer


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_three_steps_and_three_more_equal_six_bit_for_bit(settings, tmp_path, optimizer):
    settings = replace(settings, precision="bfloat16", optimizer=optimizer)
    whole = trainer(settings, tmp_path / "whole")
    losses = [entry.loss for entry in whole.run()]

    first = trainer(settings, tmp_path / "parts")
    for entry in first.run():
        if entry.step == 3:
            first.stop()
    second = trainer(settings, tmp_path / "parts")
    second.resume()

    assert [entry.loss for entry in second.run()] == losses[3:]
    assert equal(checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "parts"))
    assert [row["loss"] for row in rows(tmp_path / "whole/log.csv")] == [
        row["loss"] for row in rows(tmp_path / "parts/log.csv")
    ]


def test_checkpoint_of_the_first_version_goes_on(settings, tmp_path):
    settings = replace(settings, optimizer="adamw")
    old = trainer(settings, tmp_path)
    take(old.run(), 2)
    old.save()
    state = checkpoint(tmp_path)
    del state["generators"]
    [state["optimizer"]] = state.pop("optimizers")
    for name in ("images", "width", "steps"):
        assert name in state["settings"]
    state["settings"] = {name: state["settings"][name] for name in ("images", "width", "steps")}
    torch.save(state, tmp_path / "checkpoint.pt")
    (tmp_path / "log.csv").write_text("1,0.2,29,29,2e-06,0.9,45\n2,0.2,29,29,2e-06,0.9,45\n3,0.2,29,29,2e-06,0.9,4")

    new = trainer(settings, tmp_path)
    new.resume()

    assert [entry.step for entry in new.run()] == [3, 4, 5, 6]
    assert [int(row["step"]) for row in rows(tmp_path / "log.csv")] == [1, 2, 3, 4, 5, 6]


def test_weights_are_exported_in_half_and_full_precision(settings, tmp_path):
    settings = replace(settings, steps=1, crops=((0, 16, 1),))
    run_of = Trainer(settings, tmp_path)
    list(run_of.run())

    half, full = load_weights(tmp_path / "weights.safetensors"), load_weights(tmp_path / "weights-fp32.safetensors")

    assert {tensor.dtype for tensor in half.state.values()} == {torch.float16}
    assert equal(dict(full.state), dict(run_of.average.state_dict()))
    assert half.metadata["step"] == "1"
    assert "5 images" in half.metadata["data"]
    assert '"learning_rate": 0.001' in half.metadata["recipe"]
    assert settings.images not in str(half.metadata)

    again = Trainer(settings, tmp_path / "again")
    again.start_from(full.state)
    assert again.step == 0
    assert equal(again.net.state_dict(), dict(full.state))
    with pytest.raises(WeightsError, match="another network"):
        Trainer(replace(settings, head_width=8), tmp_path).start_from(full.state)


def test_a_checkpoint_without_a_newer_key_had_its_default(settings, tmp_path, caplog):
    trainer(settings, tmp_path).save()
    state = checkpoint(tmp_path)
    del state["settings"]["streaky"]
    torch.save(state, tmp_path / "checkpoint.pt")

    trainer(settings, tmp_path).resume()
    assert not caplog.records
    trainer(replace(settings, streaky=0.2), tmp_path).resume()
    assert "streaky 0.0 is now 0.2" in caplog.text


def test_a_kind_of_rain_that_a_checkpoint_does_not_know_was_not_drawn(settings, tmp_path, caplog):
    trainer(settings, tmp_path).save()
    state = checkpoint(tmp_path)
    del state["settings"]["rain"]["short"], state["settings"]["rain"]["optics"]["shortest"]
    torch.save(state, tmp_path / "checkpoint.pt")

    trainer(replace(settings, rain=RainSettings(short=0.0)), tmp_path).resume()
    assert not caplog.records
    trainer(replace(settings, rain=RainSettings(short=0.2)), tmp_path).resume()
    assert "rain {'short': 0.0} is now {'short': 0.2}" in caplog.text


def test_steps_that_are_not_finite_do_not_reach_the_checkpoint(settings, tmp_path, caplog):
    run_of = trainer(replace(settings, checkpoint_minutes=0.0), tmp_path)
    steps = run_of.run()
    take(steps, 2)
    run_of.workers.mean = lambda figures: [math.nan] * len(figures)
    take(steps, 1)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    take(steps, 3)
    run_of.stop()
    take(steps, 3)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert "not written" in caplog.text


def test_parameters_that_are_not_finite_are_not_written(settings, tmp_path):
    run_of = trainer(settings, tmp_path)
    run_of.average.output_fine.weight.data[0] = 1e6
    with pytest.raises(WeightsError, match="not finite"):
        run_of.save()
    assert not (tmp_path / "checkpoint.pt").exists()


def test_two_trainings_do_not_share_a_folder(settings, tmp_path):
    steps = trainer(settings, tmp_path).run()
    next(steps)
    with pytest.raises(UsageError, match="another training is at work here"):
        next(trainer(settings, tmp_path).run())
    steps.close()
    take(trainer(settings, tmp_path).run(), 1)


def test_resuming_with_another_recipe_is_told(settings, tmp_path, caplog):
    run_of = trainer(settings, tmp_path)
    run_of.save()
    trainer(replace(settings, learning_rate=1e-5, steps=99), tmp_path).resume()
    assert "another recipe: learning_rate" in caplog.text
    rainier = RainSettings(dry=0.5)
    trainer(replace(settings, streaky=0.2, rain=rainier), tmp_path).resume()
    assert "streaky 0.0 is now 0.2" in caplog.text
    assert "rain {'dry': 0.08} is now {'dry': 0.5}" in caplog.text
    assert "steps" not in caplog.text.replace("checkpoint.pt", "").replace("warmup_steps", "")
    with pytest.raises(WeightsError, match="another network than the recipe's: head_width 16 is now 32"):
        Trainer(replace(settings, head_width=32), tmp_path).resume()


def test_a_full_disk_keeps_the_previous_checkpoint(settings, tmp_path):
    run_of = trainer(settings, tmp_path)
    take(run_of.run(), 1)
    run_of.save()
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.*t*s*")} | {
        "checkpoint.pt": (tmp_path / "checkpoint.pt").read_bytes()
    }
    run_of.net.output_fine.weight.data.add_(1)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(WeightsError, match=r"checkpoint\.pt: cannot be written") as raised:
            run_of.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert "\n" not in str(raised.value)
    assert all((tmp_path / name).read_bytes() == content for name, content in before.items())
    assert not list(tmp_path.glob("*.partial"))


class Malice:
    def __reduce__(self):
        return os.system, ("touch owned",)


@pytest.mark.parametrize("kind", ["pickle", "noise", "empty", "other", "width", "missing"])
def test_a_file_that_is_no_checkpoint_of_the_run_is_refused_in_one_line(settings, tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "checkpoint.pt"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Malice()))
    elif kind == "noise":
        path.write_bytes(os.urandom(1000))
    elif kind == "empty":
        path.touch()
    elif kind == "other":
        torch.save({"state_dict": {}}, path)
    elif kind == "width":
        torch.save({"settings": {"width": 48}}, path)

    with pytest.raises(WeightsError, match=r"checkpoint\.pt: ") as raised:
        trainer(settings, tmp_path).resume()

    assert "\n" not in str(raised.value)
    assert "weights_only" not in str(raised.value), "an advice that would run what is in it"
    assert not (tmp_path / "owned").exists()
