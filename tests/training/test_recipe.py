"""What a recipe may say, and what it does."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from nerdrain_rt.errors import UsageError
from nerdrain_rt.training.batches import Batches
from nerdrain_rt.training.recipe import TrainSettings

ROOT = Path(__file__).parents[2]


def test_learning_rate_warms_up_holds_and_falls():
    settings = TrainSettings(steps=1000, warmup_steps=100, decay_steps=400, learning_rate=1.0, final_learning_rate=0.1)
    rates = [settings.learning_rate_at(step) for step in (0, 49, 99, 300, 600, 800, 1000)]
    assert rates == pytest.approx([0.01, 0.5, 1, 1, 1, 0.55, 0.1])


def test_crops_grow():
    settings = TrainSettings(crops=((0, 64, 8), (100, 128, 2)))
    assert [settings.crop_at(step) for step in (0, 99, 100, 5000)] == [(64, 8), (64, 8), (128, 2), (128, 2)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps = ", "not TOML"),
        ("step = 3", "unknown keys step"),
        ('steps = "many"', "steps is 'many'"),
        ("crops = [[0, 60, 4]]", "multiples of 16"),
        ("crops = [[10, 64, 4]]", "begin at step 0"),
        ("crops = [64]", "list of"),
        ('precision = "float16"', "precision is 'float16'"),
        ('optimizer = "sgd"', "there are muon, adamw"),
        ('pairs = ["one"]', "two folders"),
        ("pairs = 5", "two folders"),
        ("images = 5", "images is 5; it must be a folder"),
        ("validate = [5]", "a list of file name patterns"),
        ("crops = [[0, 32.0, 1]]", "list of"),
        ("steps = 0", "steps is 0; it goes from 1 to inf"),
        ("width = 12", "a multiple of 8"),
        ("width = 0", "width is 0; it goes from 8 to 512"),
        ("head_width = -1", "head_width is -1"),
        ("learning_rate = nan", "learning_rate is nan"),
        ("learning_rate = -1.0", "learning_rate is -1.0"),
        ('decay_steps = "x"', "decay_steps is 'x'"),
        ("decay_steps = -5", "decay_steps is -5"),
        ("ema_decay = 2.0", "ema_decay is 2.0; it goes from 0 to 1"),
        ("gradient_limit = 0.0", "gradient_limit is 0.0"),
        ("seed = 18446744073709551616", "seed is 18446744073709551616"),
        ("rain = 3", "rain is 3; it must be a table"),
        ("rain = { drizzle = 1 }", "'drizzle'; its shares are dry, light"),
        ("rain = { light = -1 }", "light = -1; it goes from 0 to 1000"),
        ("rain = { light = nan }", "light = nan"),
        ("rain = { dry_filmed = 2 }", "dry_filmed = 2; it goes from 0 to 1"),
        (f"rain = {{ light = 1{'0' * 400} }}", "it goes from 0 to 1000"),
        (
            "rain = { dry = 0, light = 0, heavy = 0, fine = 0, thick = 0, optical = 0, short = 0, falling = 0 }",
            "no kind with a share above 0",
        ),
    ],
)
def test_wrong_recipe_is_named_in_one_line(tmp_path, text, words):
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(UsageError, match=r"recipe\.toml: ") as raised:
        TrainSettings.read(tmp_path / "recipe.toml")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_recipe_says_which_rain_is_drawn(tmp_path, photographs):
    others = "".join(
        f"{name} = 0\n" for name in ("light", "heavy", "fine", "thick", "optical", "short", "falling", "dry_filmed")
    )
    for name, is_dry in (("dry", True), ("thick", False)):
        recipe = tmp_path / "recipe.toml"
        shares = others.replace(f"{name} = 0", f"{name} = 1") + f"dry = {float(is_dry)}"
        recipe.write_text(f'images = "{photographs}"\ncrops = [[0, 48, 4]]\n[rain]\n{shares}\n')
        settings = TrainSettings.read(recipe)
        batches = Batches(settings, torch.device("cpu")).rendered(0, torch.Generator().manual_seed(0))
        rainy, target, _ = next(batches)
        assert torch.equal(rainy, target) is is_dry


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_project_is_one(path):
    settings = TrainSettings.read(path)
    assert settings.validate
    assert asdict(settings)["crops"]
