"""Plans that are as long as there is time for."""

from dataclasses import replace
from itertools import chain, repeat

import pytest

from nerdrain_rt.__main__ import run
from nerdrain_rt.training import timetable
from nerdrain_rt.training.recipe import TrainSettings
from nerdrain_rt.training.timetable import MEASURED_STEPS, WITHIN_STEPS, Timetable, steps_within
from nerdrain_rt.training.workers import Workers
from tests.training.runs import checkpoint, rows, take, trainer

PLAN = TrainSettings(steps=1000, warmup_steps=100, decay_steps=500, crops=((0, 64, 8), (800, 128, 8)))


@pytest.fixture
def fitted(monkeypatch):
    """The plan and the step at which it is made, where the first step takes `first` seconds and the others `each`."""

    def fit(settings: TrainSettings, minutes: float, each: float, first: float | None = None):
        now = 0.0
        seconds = chain([each if first is None else first], repeat(each))
        monkeypatch.setattr(timetable.time, "monotonic", lambda: now)
        table = Timetable(minutes, Workers())
        for step in range(1, 10_000):
            now += next(seconds)
            if plan := table.fitted(settings, step):
                assert table.fitted(plan, step + 1) is None
                return plan, step
        raise AssertionError("no plan was made")

    return fit


def test_a_plan_of_another_length_keeps_its_shares():
    longer = PLAN.lasting(3000)

    assert (longer.steps, longer.decay_steps, longer.warmup_steps) == (3000, 1500, 100)
    assert longer.crops == ((0, 64, 8), (2400, 128, 8))
    assert longer.lasting(1000) == PLAN
    assert replace(PLAN, decay_steps=None).lasting(10).decay_steps is None


@pytest.mark.parametrize("decay_steps", [500, None])
def test_a_short_plan_warms_up_and_falls_too(decay_steps):
    rates = [replace(PLAN, decay_steps=decay_steps).lasting(80).learning_rate_at(step) for step in range(80)]

    assert max(rates) > 0.9 * PLAN.learning_rate
    assert rates[0] < 0.2 * PLAN.learning_rate
    assert rates[-1] < 0.02 * PLAN.learning_rate


def test_pixels_after_a_step_are_those_of_every_stage():
    assert PLAN.pixels_after(0) == 800 * 64 * 64 * 8 + 200 * 128 * 128 * 8
    assert PLAN.pixels_after(900) == 100 * 128 * 128 * 8
    assert PLAN.pixels_after(1000) == 0


def test_as_many_steps_as_pixels_allow():
    assert steps_within(PLAN, 0, PLAN.pixels_after(0)) == 1000
    assert steps_within(PLAN, 0, PLAN.lasting(999).pixels_after(0)) == 999
    assert steps_within(PLAN, 150, 0) == 151


def test_the_time_that_is_left_becomes_steps(fitted):
    settings = replace(PLAN, crops=((0, 64, 8),))

    plan, step = fitted(settings, minutes=10, each=0.5, first=60.0)

    assert step == 1 + MEASURED_STEPS
    left = 600 - 60 - 0.5 * MEASURED_STEPS
    assert plan.steps == step + int(WITHIN_STEPS * left / 0.5)


def test_larger_crops_take_longer_and_compile_again(fitted):
    plan, step = fitted(PLAN, minutes=10, each=0.5, first=60.0)

    left = 600 - 60 - 0.5 * MEASURED_STEPS - 60
    share = plan.crops[1][0] / plan.steps
    seconds = 0.5 * (plan.crops[1][0] - step) + 0.5 * 4 * (plan.steps - plan.crops[1][0])
    assert share == pytest.approx(0.8, abs=0.01)
    assert seconds == pytest.approx(WITHIN_STEPS * left, abs=2)


def test_slow_steps_tell_after_a_part_of_the_time(fitted):
    plan, step = fitted(replace(PLAN, crops=((0, 64, 8),)), minutes=10, each=20)

    assert step == 6
    assert plan.steps == 6 + int(WITHIN_STEPS * 480 / 20)


def test_a_run_follows_its_new_plan_to_the_end(settings, tmp_path):
    longer = replace(settings, steps=100_000, crops=((0, 16, 1),))

    entries = list(trainer(longer, tmp_path / "run").run(fit_minutes=0))

    assert len(entries) == 5
    assert checkpoint(tmp_path / "run")["settings"]["steps"] == 5


def test_larger_crops_come_where_the_new_plan_has_them(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(timetable, "steps_within", lambda *_: 20)
    run = trainer(replace(settings, steps=1000, crops=((0, 16, 1), (500, 32, 1))), tmp_path / "run")

    entries = list(run.run(fit_minutes=0))

    assert len(entries) == 20
    assert run.settings.crops == ((0, 16, 1), (10, 32, 1))
    assert entries[-1].learning_rate < entries[10].learning_rate


@pytest.mark.parametrize("fit_minutes", [0, 60, None])
def test_a_cut_off_run_goes_on_with_its_plan(settings, tmp_path, caplog, fit_minutes):
    longer = replace(settings, steps=100_000, crops=((0, 16, 1),))
    first = trainer(longer, tmp_path / "run")
    steps = first.run(fit_minutes=0)
    take(steps, 4)
    first.save()
    steps.close()

    second = trainer(longer, tmp_path / "run")
    second.resume()

    assert second.settings.steps == first.settings.steps == 5
    assert [entry.step for entry in second.run(fit_minutes=fit_minutes)] == [5]
    assert not caplog.messages


def test_slices_have_the_plan_and_the_rates_of_a_run_in_one_go(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(timetable, "steps_within", lambda settings, step, pixels: step + 3)
    settings = replace(settings, crops=((0, 16, 1),))
    whole = [entry.learning_rate for entry in trainer(settings, tmp_path / "whole").run(fit_minutes=0)]

    rates = []
    for _ in range(2):
        part = trainer(settings, tmp_path / "parts")
        if rates:
            part.resume()
        for entry in part.run(fit_minutes=0):
            rates.append(entry.learning_rate)
            if not entry.step % 5:
                part.stop()

    assert len(whole) == 4 + 3
    assert rates == whole


def test_the_command_fits_a_run(recipe, tmp_path, capsys):
    recipe.write_text(recipe.read_text().replace("steps = 2", "steps = 5000"))

    assert run(["train", str(recipe), "--run", str(tmp_path / "run"), "--fit", "0", "--device", "cpu"]) == 0

    assert len(rows(tmp_path / "run/log.csv")) == 5
    assert "step 5 of 5" in capsys.readouterr().err
