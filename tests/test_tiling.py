"""Tiles cover a picture, and their blended results are what the whole picture would give."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nerdrain_rt.tiling import blend_tiles, tile_starts


@given(st.integers(1, 500), st.integers(2, 200), st.data())
def test_tiles_cover_the_length_with_at_least_the_overlap(length, tile, data):
    overlap = data.draw(st.integers(0, tile - 1))
    starts = tile_starts(length, tile, overlap)
    ends = [start + tile for start in starts]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert all(after <= end - overlap for end, after in zip(ends, starts[1:], strict=False))
    assert ends[-1] == length or (len(starts) == 1 and tile >= length)


@pytest.mark.parametrize(
    ("length", "expected"),
    [(64, [0]), (40, [0]), (65, [0, 1]), (112, [0, 48]), (160, [0, 48, 96]), (161, [0, 48, 96, 97])],
)
def test_the_last_tile_ends_with_the_picture(length, expected):
    assert tile_starts(length, 64, 16) == expected


@pytest.mark.parametrize("size", [(64, 64), (80, 112), (65, 200), (200, 65), (16, 130)])
@pytest.mark.parametrize("overlap", [0, 8, 16])
@pytest.mark.parametrize("tile", [32, 64])
def test_weights_sum_to_one_everywhere(size, overlap, tile):
    tile = min(tile, size[0]), min(tile, size[1])
    ones = blend_tiles(torch.zeros(1, 3, *size), torch.ones_like, tile=tile, overlap=min(overlap, min(tile) - 1))
    torch.testing.assert_close(ones, torch.ones(1, 3, *size))


def test_a_pointwise_function_gives_the_same_in_tiles():
    image = torch.rand(2, 3, 100, 170)
    tiled = blend_tiles(image, lambda part: part.square() - 0.3, tile=(64, 48), overlap=16)
    torch.testing.assert_close(tiled, image.square() - 0.3)


def test_every_tile_has_the_size_asked_for():
    shapes = set()

    def compute(part: torch.Tensor) -> torch.Tensor:
        shapes.add(tuple(part.shape))
        return part

    blend_tiles(torch.rand(2, 3, 100, 170), compute, tile=(64, 48), overlap=16)
    assert shapes == {(2, 3, 64, 48)}


def test_two_tiles_that_disagree_are_cross_faded_without_a_step():
    levels = iter((0.0, 1.0))
    row = blend_tiles(
        torch.zeros(1, 1, 8, 112), lambda part: torch.full_like(part, next(levels)), tile=(8, 64), overlap=16
    )[0, 0, 4]
    assert row[:48].eq(0).all()
    assert row[64:].eq(1).all()
    steps = row[47:65].diff()
    torch.testing.assert_close(steps, torch.full_like(steps, 1 / 17))
