"""Pairs to score, and the command with a network that takes their rain away."""

import pytest
import typer
from typer.testing import CliRunner

from nerdrain_rt.evaluation import command
from tests.evaluation.pictures import RAIN, derainer, noise, write


@pytest.fixture
def pairs(tmp_path):
    """Three rainy images and their targets."""
    for seed in range(3):
        write(tmp_path / "input" / f"{seed}.png", noise(seed=seed) + RAIN)
        write(tmp_path / "target" / f"{seed}.png", noise(seed=seed))
    return tmp_path / "input", tmp_path / "target"


@pytest.fixture
def run(monkeypatch):
    """Runs the command with a network that takes RAIN codes away."""
    monkeypatch.setattr(command, "Derainer", lambda settings: derainer(-RAIN))
    app = typer.Typer()
    app.command()(command.eval_command)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])
