"""Training: recipes, exact resumption, checkpoints that survive, several processes."""

import csv
import json
import math
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import training
from nerdrain_rt.__main__ import run
from nerdrain_rt.errors import DerainError, MediaError, UsageError, WeightsError
from nerdrain_rt.model.net import NerdRain, NetConfig
from nerdrain_rt.model.weights import load_weights
from nerdrain_rt.training import command
from nerdrain_rt.training.batches import Batches
from nerdrain_rt.training.data import CleanImages
from nerdrain_rt.training.looks import RainSettings
from nerdrain_rt.training.recipe import OPTIMIZERS, TrainSettings
from nerdrain_rt.training.train import MOST_BAD_STEPS, Diverged, Trainer, new_net, start_as_identity
from nerdrain_rt.training.validation import Validation, psnr_y
from nerdrain_rt.training.workers import Workers

ROOT = Path(__file__).parents[1]


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


def tiny_net() -> NerdRain:
    torch.manual_seed(0)
    return start_as_identity(NerdRain(NetConfig(width=8, depths=(1, 1, 1), head_width=16)))


def trainer(settings, folder, **options) -> Trainer:
    return Trainer(settings, folder, net=tiny_net(), **options)


def take(steps, count) -> list:
    return list(islice(steps, count))


def equal(one: object, other: object) -> bool:
    """Bit for bit, through dicts and lists."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def checkpoint(folder: Path) -> dict:
    return torch.load(folder / "checkpoint.pt", weights_only=True)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


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


@pytest.fixture
def gray_pairs(tmp_path) -> tuple[Path, Path]:
    folders = tmp_path / "rainy", tmp_path / "target"
    for folder, level in zip(folders, (150, 100), strict=True):
        folder.mkdir()
        Image.fromarray(np.full((32, 32, 3), level, np.uint8)).save(folder / "one.png")
    return folders


def test_training_on_pairs_learns_what_tells_them_apart(settings, gray_pairs, tmp_path):
    settings = replace(settings, images=None, crops=((0, 16, 1),), learning_rate=3e-3, warmup_steps=1, ema_decay=0.5)
    run_of = trainer(settings.with_data(pairs=gray_pairs), tmp_path)

    losses = [entry.loss for entry in run_of.run()]

    assert losses[-1] < 0.8 * losses[0]
    assert run_of.average(torch.full((1, 3, 16, 16), 150 / 255)).mean() < -0.01


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


def test_new_network_leaves_images_as_they_are(settings):
    rainy = torch.rand(1, 3, 16, 16)
    state = torch.random.get_rng_state()

    net = new_net(settings)

    assert not net(rainy).any()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert equal(net.state_dict(), new_net(settings).state_dict())


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


def test_pairs_and_photographs_share_a_batch(settings, gray_pairs, tmp_path):
    settings = replace(settings, crops=((0, 16, 2),)).with_data(pairs=gray_pairs)
    batches = Batches(settings, torch.device("cpu"))

    rainy, target, _ = next(batches.rendered(0, torch.Generator().manual_seed(0)))

    flat = [image.unique().numel() == 1 for image in target]
    assert flat == [False, True]
    torch.testing.assert_close(rainy[1] - target[1], torch.full((3, 16, 16), 50 / 255))


def test_a_checkpoint_without_a_newer_key_had_its_default(settings, tmp_path, caplog):
    trainer(settings, tmp_path).save()
    state = checkpoint(tmp_path)
    del state["settings"]["streaky"]
    torch.save(state, tmp_path / "checkpoint.pt")

    trainer(settings, tmp_path).resume()
    assert not caplog.records
    trainer(replace(settings, streaky=0.2), tmp_path).resume()
    assert "streaky 0.0 is now 0.2" in caplog.text


def test_streaky_crops_are_trained_on_where_the_recipe_says(settings):
    def batch(**changes):
        batches = Batches(replace(settings, **changes), torch.device("cpu"))
        return next(batches.rendered(0, torch.Generator().manual_seed(0))).target

    crops = CleanImages(settings.images).crops(1, 16, torch.Generator().manual_seed(0), streaky=1.0)
    dry = {"rain": RainSettings.of_shares(dict.fromkeys(RainSettings().shares, 0.0) | {"dry": 1.0})}
    assert torch.equal(batch(streaky=1.0, **dry), crops)
    assert not torch.equal(batch(**dry), crops)


def test_data_that_is_missing_is_named(settings, tmp_path):
    with pytest.raises(UsageError, match=r"--images"):
        trainer(replace(settings, images=None), tmp_path)
    with pytest.raises(MediaError, match=r"none: no such folder"):
        trainer(replace(settings, images=str(tmp_path / "none")), tmp_path)


def test_steps_that_are_not_finite_change_nothing_and_end_the_run(settings, tmp_path, caplog):
    settings = replace(settings, steps=100, crops=((0, 16, 1),))
    run_of = trainer(settings, tmp_path)
    parameter = run_of.net.output_fine.weight
    parameter.data.fill_(torch.nan)
    before = {name: tensor.clone() for name, tensor in run_of.average.state_dict().items()}

    with pytest.raises(Diverged, match="in a row"):
        list(run_of.run())

    assert run_of.step < MOST_BAD_STEPS + 1
    assert equal(run_of.average.state_dict(), before)
    assert "left out" in caplog.text
    assert not (tmp_path / "checkpoint.pt").exists()


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


def test_validation_sees_photographs_left_out_of_training(settings, tmp_path):
    settings = replace(settings, validate=("test-*",), validate_every=2, steps=3)
    run_of = trainer(settings, tmp_path)

    list(run_of.run())

    table = rows(tmp_path / "validation.csv")
    assert [row["step"] for row in table] == ["2", "3"]
    assert len({row["input_psnr_y"] for row in table}) == 1
    assert "3 images" in load_metadata(tmp_path)["data"]
    with Image.open(tmp_path / "sheets/0000003.png") as sheet:
        assert sheet.size == (3 * 48, 2 * 48)


def load_metadata(folder: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(folder / "weights.safetensors", framework="pt") as file:
        return file.metadata()


def test_validation_without_photographs_is_left_out_with_a_warning(settings, caplog):
    assert Validation.of(replace(settings, validate=("other-*",)), torch.device("cpu")) is None
    assert "other-*" in caplog.text


def test_psnr_y_is_that_of_luma():
    black, gray = torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), 0.1)
    assert psnr_y(black, gray) == pytest.approx(10 * np.log10(255**2 / 21.9**2), abs=1e-3)
    assert psnr_y(gray, gray) == 100


def test_pairs_left_out_are_validated_on(settings, photographs, tmp_path):
    settings = replace(
        settings, images=None, pairs=(str(photographs),) * 2, validate=("test-*",), validate_every=1, steps=1
    )
    list(trainer(settings, tmp_path).run())
    assert "3 pairs" in load_metadata(tmp_path)["data"]
    assert [float(row["input_psnr_y"]) for row in rows(tmp_path / "validation.csv")] == [100], "both sides are the same"


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


def test_training_needs_no_pyav_with_what_takes_its_place():
    folders = ROOT / "benchmarks" / "without_video", ROOT
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    code = "import av, sys, nerdrain_rt.training.command; print(av.__file__)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).parents[1] == folders[0]


def test_missing_tensorboard_is_one_line(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    assert run(["train", str(recipe), "--run", str(tmp_path / "run"), "--tensorboard"]) == 2
    assert "nerdrain-rt[train]" in one_line(capsys.readouterr().err)


@pytest.fixture
def recipe(photographs, tmp_path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(
        f"images = '{photographs}'\nvalidate = ['test-*']\nwidth = 8\nhead_width = 16\nsteps = 2\n"
        "crops = [[0, 16, 2]]\nvalidation_size = 16\nprecision = 'float32'\n"
    )
    return path


def one_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, text
    return lines[0]


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
    assert len(rows(tmp_path / "run/log.csv")) == 3

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
def test_a_gpu_trains_in_half_precision_and_resumes(recipe, tmp_path):
    text = recipe.read_text().replace("'float32'", "'bfloat16'") + "channels_last = true\n"
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


def test_images_smaller_than_the_crops_are_told(settings, tmp_path, caplog):
    trainer(replace(settings, crops=((0, 16, 1), (4, 64, 1))), tmp_path)

    assert "5 of 5 images are smaller than the crop of 64 pixels, as one of 64x48" in caplog.text


def test_diverged_is_an_error_of_ours():
    assert issubclass(Diverged, DerainError)
