import pytest
import torch

from nerdrain_rt.training.capture import Capture, take, to_linear, to_srgb


def picture(size=48):
    coarse = torch.rand(1, 1, 6, 6, generator=torch.Generator().manual_seed(0)).expand(1, 3, 6, 6)
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)[None]


def noise(size=48):
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))


def test_linear_light_and_back_is_the_identity():
    values = torch.linspace(0, 1, 256)

    torch.testing.assert_close(to_srgb(to_linear(values)), values, atol=1e-5, rtol=0)
    assert to_linear(torch.tensor(0.5)).item() == pytest.approx(0.214, abs=1e-3)


def test_plain_capture_changes_nothing():
    torch.testing.assert_close(take(picture(), [Capture(0.0, 0.0, 0.0)], noise()), picture())


def test_noise_has_its_deviation_and_is_the_same_in_all_versions():
    gray = torch.full((2, 1, 3, 48, 48), 0.5)

    taken = take(gray, [Capture(0.0, 0.05, 0.0)], noise())

    assert torch.equal(taken[0], taken[1])
    assert (taken - gray).std().item() == pytest.approx(0.05, rel=0.05)


def test_sharpening_steepens_edges():
    edge = torch.full((1, 1, 3, 16, 16), 0.4)
    edge[..., 8:] = 0.6

    sharpened = take(edge, [Capture(0.5, 0.0, 0.0)], noise(16))

    assert sharpened.max() > 0.61
    assert sharpened.min() < 0.39


@pytest.mark.parametrize("size", [48, 37])
def test_finer_steps_lose_less(size):
    def loss(step):
        taken = take(picture(size), [Capture(0.0, 0.0, step)], noise(size))
        assert taken.shape == picture(size).shape
        return (taken - picture(size)).abs().mean().item()

    assert loss(0.001) < loss(0.01) < loss(0.05)
    assert loss(0.001) < 0.01


def test_flat_gray_survives_compression():
    gray = torch.full((1, 1, 3, 32, 32), 0.5)

    taken = take(gray, [Capture(0.0, 0.0, 0.01)], noise(32))

    torch.testing.assert_close(taken, gray, atol=0.006, rtol=0)
