from pathlib import Path

import numpy as np
import pytest
import torch

from nerdrain_rt.training.losses import derain_loss, target_pyramid

PARITY = Path(__file__).parents[3] / "shared" / "data" / "parity" / "nerd_rain_s.npz"


@pytest.fixture(scope="module")
def parity():
    if not PARITY.exists():
        pytest.skip("no parity data beside the repository")
    with np.load(PARITY) as data:
        return {name: torch.from_numpy(data[name]) for name in data.files}


def scales(target):
    full, half, quarter = target_pyramid(target)
    return [full, half, quarter, half, quarter]


def test_losses_equal_the_published_ones(parity):
    outputs = [parity[f"output{index}"] for index in (0, 1, 2, 3, 5)]

    losses = torch.stack(derain_loss(outputs, parity["target"])).double()

    torch.testing.assert_close(losses, parity["losses"], rtol=1e-5, atol=0)


def test_pyramid_equals_the_published_one(parity):
    full, half, quarter = target_pyramid(parity["target"])

    assert torch.equal(full, parity["target"])
    torch.testing.assert_close(half, parity["target_half"], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(quarter, parity["target_quarter"], rtol=1e-6, atol=1e-6)


def test_perfect_outputs_leave_only_the_smoothing():
    target = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))

    losses = derain_loss(scales(target), target)

    assert losses.fft == 0
    assert losses.l1 == 0
    assert losses.charbonnier.item() == pytest.approx(3e-3)
    assert losses.edge.item() == pytest.approx(3e-3)


def test_loss_of_a_step_of_brightness_is_its_height_per_scale():
    target = torch.full((1, 3, 32, 32), 0.25)

    losses = derain_loss([scale + 0.5 for scale in scales(target)], target)

    assert losses.charbonnier.item() == pytest.approx(1.5, rel=1e-4)
    assert losses.l1.item() == pytest.approx(1.0, rel=1e-4)
    assert losses.fft.item() == pytest.approx(1.5, rel=1e-4)


def test_gradients_are_finite_at_a_perfect_output():
    target = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    outputs = [scale.clone().requires_grad_() for scale in scales(target)]

    derain_loss(outputs, target).total.backward()

    assert all(output.grad is not None and output.grad.isfinite().all() for output in outputs)


def test_half_precision_outputs_are_judged_in_single_precision():
    target = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).bfloat16()
    outputs = [scale.bfloat16() for scale in scales(target.float())]

    losses = derain_loss(outputs, target)

    assert losses.total.dtype == torch.float32
    assert losses.charbonnier.item() > 3e-3


def test_autocast_does_not_change_the_losses():
    target = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    outputs = [scale + 0.01 for scale in scales(target)]

    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = derain_loss(outputs, target)

    assert losses == derain_loss(outputs, target)
