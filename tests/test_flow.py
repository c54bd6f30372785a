"""Optical flow between pictures that are known to have moved."""

import cv2
import numpy as np
import pytest
import torch

from nerdrain_rt.flow import moved, optical_flow, resized

SIZE = (120, 160)
INNER = (..., slice(24, -24), slice(32, -32))
"""Away from the borders, over which things come in."""


def scene() -> np.ndarray:
    """Soft patches, large and small, twice as large as a picture of it."""
    noise = np.random.default_rng(0).random((4, 2 * SIZE[0], 2 * SIZE[1]), np.float32) - 0.5
    patches = (cv2.GaussianBlur(each, (0, 0), width) * width for each, width in zip(noise, (2, 6, 18, 54), strict=True))
    return np.clip(0.5 + sum(patches), 0, 1)


def picture(columns: float = 0, rows: float = 0, zoom: float = 1) -> torch.Tensor:
    """The scene with the camera moved by so many pixels, 1 1 H W."""
    height, width = SIZE
    lens = np.float32([[zoom, 0, width / 2 - columns * zoom], [0, zoom, height / 2 - rows * zoom]])
    seen = cv2.warpAffine(scene(), lens, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    return torch.from_numpy(seen)[None, None]


@pytest.mark.parametrize(("columns", "rows"), [(0, 0), (0.5, 0), (0, -0.25), (3, 1.5), (-12, 4), (20, -15)])
def test_a_picture_that_moved_is_followed(columns, rows):
    flow = optical_flow(picture(), picture(columns, rows))
    assert flow.shape == (1, 2, *SIZE)
    error = (flow - torch.tensor([columns, rows]).reshape(1, 2, 1, 1))[INNER]
    assert error.abs().mean() < 0.05
    assert error.abs().max() < 1


def test_pictures_that_moved_differently_are_followed_at_once():
    flow = optical_flow(picture(), torch.cat([picture(2), picture(-5)]))
    torch.testing.assert_close(flow[INNER].mean((2, 3)), torch.tensor([[2.0, 0], [-5, 0]]), atol=0.05, rtol=0)


def test_a_zoom_is_followed():
    zoomed = picture(zoom=1 / 1.05)
    flow = optical_flow(picture(), zoomed)
    assert (moved(zoomed, flow) - picture())[INNER].abs().mean() < 0.005
    assert (zoomed - picture())[INNER].abs().mean() > 0.02


def test_brightness_that_changes_is_no_motion():
    flow = optical_flow(picture(), picture(2) * 0.8 + 0.15)
    torch.testing.assert_close(flow[INNER].mean((2, 3)), torch.tensor([[2.0, 0]]), atol=0.1, rtol=0)


def test_drops_do_not_move_what_is_behind_them():
    generator = np.random.default_rng(1)

    def rain() -> torch.Tensor:
        drops = torch.from_numpy((generator.random((SIZE[0] // 8, SIZE[1])) < 0.05).astype(np.float32))
        return drops.repeat_interleave(8, 0)[None, None] * 0.3

    error = (optical_flow(picture() + rain(), picture(3) + rain()) - torch.tensor([3.0, 0]).reshape(1, 2, 1, 1))[INNER]
    assert error.abs().mean() < 0.15


def test_where_nothing_is_to_be_seen_nothing_moves():
    assert optical_flow(torch.full((1, 1, *SIZE), 0.5), torch.full((1, 1, *SIZE), 0.7)).abs().max() < 1e-4


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 2), (23, 24), (16, 1000)])
def test_pictures_of_any_size_have_flow(size):
    flow = optical_flow(torch.rand(1, 1, *size), torch.rand(2, 1, *size))
    assert flow.shape == (2, 2, *size)
    assert flow.isfinite().all()


def test_values_are_taken_from_where_they_lie():
    values = torch.arange(20.0).reshape(1, 1, 4, 5)
    right_and_down = torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1).expand(1, 2, 4, 5)
    expected = values[..., [2, 3, 3, 3], :][..., [1, 2, 3, 4, 4]]
    torch.testing.assert_close(moved(values, right_and_down), expected)
    torch.testing.assert_close(moved(values, torch.zeros(1, 2, 4, 5)), values)
    half = torch.tensor([0.5, 0.0]).reshape(1, 2, 1, 1).expand(1, 2, 4, 5)
    torch.testing.assert_close(moved(values, half)[..., :4], values[..., :4] + 0.5)


def test_flow_for_a_larger_picture_is_longer():
    flow = torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1).expand(1, 2, 4, 5)
    larger = resized(flow, torch.Size((12, 10)))
    torch.testing.assert_close(larger, torch.tensor([2.0, 6.0]).reshape(1, 2, 1, 1).expand(1, 2, 12, 10))
