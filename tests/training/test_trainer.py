"""Training: what is learned from, and what is told of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nerdrain_rt.errors import DerainError, MediaError, UsageError
from nerdrain_rt.training.batches import Batches
from nerdrain_rt.training.data import CleanImages
from nerdrain_rt.training.looks import RainSettings
from nerdrain_rt.training.train import MOST_BAD_STEPS, Diverged, new_net
from nerdrain_rt.training.validation import Validation, psnr_y
from tests.training.runs import equal, load_metadata, rows, trainer


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


def test_new_network_leaves_images_as_they_are(settings):
    rainy = torch.rand(1, 3, 16, 16)
    state = torch.random.get_rng_state()

    net = new_net(settings)

    assert not net(rainy).any()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert equal(net.state_dict(), new_net(settings).state_dict())


def test_pairs_and_photographs_share_a_batch(settings, gray_pairs, tmp_path):
    settings = replace(settings, crops=((0, 16, 2),)).with_data(pairs=gray_pairs)
    batches = Batches(settings, torch.device("cpu"))

    rainy, target, _ = next(batches.rendered(0, torch.Generator().manual_seed(0)))

    flat = [image.unique().numel() == 1 for image in target]
    assert flat == [False, True]
    torch.testing.assert_close(rainy[1] - target[1], torch.full((3, 16, 16), 50 / 255))


@pytest.mark.parametrize(("batch", "parts"), [(1, 1), (2, 2), (6, 2), (5, 1)])
def test_batches_too_small_for_their_share_of_pairs_keep_it_over_several(settings, gray_pairs, batch, parts):
    settings = replace(settings, crops=((0, 16, batch),), pairs_share=0.3).with_data(pairs=gray_pairs)
    targets = []
    for part in range(parts):
        drawn = Batches(settings, torch.device("cpu"), part=part, parts=parts).rendered(0, torch.Generator())
        targets += [image for _ in range(20) for image in next(drawn).target]

    paired = sum(image.unique().numel() == 1 for image in targets)

    assert paired == pytest.approx(0.3 * 20 * batch, abs=1)


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


def test_images_smaller_than_the_crops_are_told(settings, tmp_path, caplog):
    trainer(replace(settings, crops=((0, 16, 1), (4, 64, 1))), tmp_path)

    assert "5 of 5 images are smaller than the crop of 64 pixels, as one of 64x48" in caplog.text


def test_diverged_is_an_error_of_ours():
    assert issubclass(Diverged, DerainError)
