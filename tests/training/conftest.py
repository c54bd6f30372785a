"""A few photographs, and recipes that train a tiny network on them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nerdrain_rt.training.recipe import TrainSettings


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(0)
    for name in ("a", "b", "c", "test-1", "test-2"):
        pixels = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 48)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def settings(photographs) -> TrainSettings:
    return TrainSettings(
        images=str(photographs),
        width=8,
        head_width=16,
        steps=6,
        crops=((0, 16, 1), (4, 32, 1)),
        learning_rate=1e-3,
        warmup_steps=2,
        precision="float32",
    )


@pytest.fixture
def recipe(photographs, tmp_path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(
        f"images = '{photographs}'\nvalidate = ['test-*']\nwidth = 8\nhead_width = 16\nsteps = 2\n"
        "crops = [[0, 16, 2]]\nvalidation_size = 16\nprecision = 'float32'\n"
    )
    return path
