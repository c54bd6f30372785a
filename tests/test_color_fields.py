"""Fields of interlaced pictures, pictures stored upside down or shared, alpha and gray."""

from __future__ import annotations

import av
import numpy as np
import pytest
import torch
from av.filter import Graph

from nerdrain_rt.color import Planes, add_residual, to_rgb
from nerdrain_rt.color_spec import ColorSpec, Siting
from nerdrain_rt.pixel_layout import PixelLayout
from tests.reference_color import (
    BT709,
    CPU,
    SAMPLINGS,
    flat_picture,
    make_picture,
    plane_rows,
    random_codes,
    random_picture,
    random_residual,
    read_codes,
    reference_codes,
    reference_rgb,
    snapshot,
)


@pytest.mark.parametrize("format_name", ["yuva420p", "yuva444p10le", "gbrap12le"])
def test_alpha_plane_is_untouched(format_name: str) -> None:
    picture = random_picture(format_name)
    before = snapshot(picture)
    add_residual(picture, to_rgb(picture, device=CPU), random_residual((7, 5)))
    after = snapshot(picture)
    assert after[3] == before[3]
    assert after[:3] != before[:3]


@pytest.mark.parametrize(
    ("format_name", "step", "alpha"),
    [("rgba", 4, 3), ("argb", 4, 0), ("rgb0", 4, 3), ("ya8", 2, 1), ("ayuv", 4, 0), ("rgba64le", 4, 3)],
)
def test_alpha_among_colors_is_untouched(format_name: str, step: int, alpha: int) -> None:
    picture = random_picture(format_name)
    dtype = PixelLayout.of(format_name).sample_type
    before = np.frombuffer(picture.planes[0], dtype).copy()
    add_residual(picture, to_rgb(picture, device=CPU), random_residual((7, 5)))
    after = np.frombuffer(picture.planes[0], dtype)
    assert (after[alpha::step] == before[alpha::step]).all()
    assert (after != before).any()


def test_gray_takes_the_luma_of_the_residual() -> None:
    picture = flat_picture(2000, "gray12le")
    picture.colorspace = BT709
    rainy = to_rgb(picture, device=CPU)
    residual = torch.zeros_like(rainy)
    residual[:, 0] = 0.1
    add_residual(picture, rainy, residual)
    assert (plane_rows(picture.planes[0], "<u2")[:, :8] == round(2000 + 4095 * 0.2126 * 0.1)).all()


def filtered(picture: av.VideoFrame, *filters: str) -> list[av.VideoFrame]:
    """What comes out of a filter with one picture put in, one frame for each of its outputs."""
    graph = Graph()
    source = graph.add_buffer(width=picture.width, height=picture.height, format=picture.format, time_base="1/25")
    node = source
    for name in filters:
        following = graph.add(name)
        node.link_to(following)
        node = following
    sinks = [graph.add("buffersink") for _ in node.outputs]
    for index, sink in enumerate(sinks):
        node.link_to(sink, index)
    graph.configure()
    source.push(picture)
    return [sink.pull() for sink in sinks]


def test_a_picture_stored_upside_down_reads_and_writes_the_right_way_up() -> None:
    picture = random_picture("yuv420p", (8, 6))
    rainy, residual = to_rgb(picture, device=CPU), random_residual((8, 6))
    (flipped,) = filtered(picture, "vflip")
    assert flipped.planes[0].line_size < 0
    torch.testing.assert_close(to_rgb(flipped, device=CPU), rainy.flip(2), atol=1e-6, rtol=0)

    add_residual(flipped, rainy.flip(2), residual.flip(2))
    add_residual(picture, rainy, residual)

    torch.testing.assert_close(to_rgb(flipped, device=CPU), to_rgb(picture, device=CPU).flip(2), atol=1e-6, rtol=0)


def test_another_frame_of_the_same_memory_keeps_its_samples() -> None:
    first, second = filtered(random_picture("yuv420p", (8, 6)), "split")
    before = snapshot(second)
    assert first.planes[0].buffer_ptr == second.planes[0].buffer_ptr
    add_residual(first, to_rgb(first, device=CPU), random_residual((8, 6)))
    assert snapshot(second) == before
    assert snapshot(first) != before


def test_planes_are_a_copy_of_the_picture() -> None:
    picture = random_picture("nv12", (8, 6))
    before = snapshot(picture)
    planes = Planes.of(picture)
    planes.add_residual(planes.rgb(), random_residual((8, 6)))
    assert snapshot(picture) == before
    planes.write_to(picture)
    torch.testing.assert_close(to_rgb(picture, device=CPU), planes.rgb())


@pytest.mark.parametrize("format_name", ["yuv420p", "nv12", "yuv422p10le", "yuyv422", "yuv410p", "gray12le"])
@pytest.mark.parametrize("size", [(16, 12), (17, 12), (18, 12), (19, 11), (5, 4)])
def test_fields_read_and_change_as_pictures_of_every_other_row(format_name: str, size: tuple[int, int]) -> None:
    sampling = SAMPLINGS[format_name]
    codes = random_codes(sampling, size)
    picture = make_picture(format_name, size, codes)
    planes, spec = Planes.of(picture), ColorSpec.of(picture)
    for first, field in enumerate(planes.fields()):
        field_codes = {letter: values[first::2] for letter, values in codes.items()}
        field_size = field_codes["y"].shape
        # A field may lack its last row of chroma: the row before stands in, and takes no part in what is written.
        rows = -(-field_size[0] // sampling.factor[0])
        full = {
            letter: values if letter == "y" else np.pad(values, ((0, rows - len(values)), (0, 0)), "edge")
            for letter, values in field_codes.items()
        }
        rainy, residual = field.rgb(), random_residual(field_size, first)
        expected_rgb = reference_rgb(full, sampling, spec).clip(0, 1)
        np.testing.assert_allclose(rainy[0].numpy(), expected_rgb, atol=1e-5)

        field.add_residual(rainy, residual)
        planes.write_to(picture)

        change = (expected_rgb + residual[0].numpy()).clip(0, 1) - expected_rgb
        changed = read_codes(picture, codes)
        for letter, expected in reference_codes(full, change, sampling, spec).items():
            values = changed[letter][first::2]
            assert np.abs(values - expected[: len(values)]).max() <= 0.5 + 2**sampling.bits * 1e-6, letter


@pytest.mark.parametrize(("format_name", "size"), [("yuv420p", (8, 6)), ("yuv420p", (7, 6)), ("yuv422p10le", (5, 6))])
def test_fields_of_a_moving_color_have_no_stripes(format_name: str, size: tuple[int, int]) -> None:
    sampling = SAMPLINGS[format_name]
    codes = random_codes(sampling, size)
    unit = 2 ** (sampling.bits - 8)
    codes["y"][...], codes["u"][...] = 80 * unit, 128 * unit
    codes["v"][0::2], codes["v"][1::2] = 200 * unit, 128 * unit
    planes = Planes.of(make_picture(format_name, size, codes))
    top, bottom = (field.rgb()[0] for field in planes.fields())
    red, gray = 64 / 219 + 1.402 * 72 / 224, 64 / 219
    torch.testing.assert_close(top[0], torch.full_like(top[0], red), atol=1e-5, rtol=0)
    torch.testing.assert_close(bottom, torch.full_like(bottom, gray), atol=1e-5, rtol=0)


@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
@pytest.mark.parametrize("height", range(1, 12))
@pytest.mark.parametrize("format_name", ["yuv420p", "yuv410p", "yuv440p"])
def test_fields_of_any_height_and_siting_lead_to_the_color_asked_for(
    format_name: str, height: int, siting: Siting
) -> None:
    picture = random_picture(format_name, (height, 6), low=0.4, high=0.6)
    planes = Planes.of(picture, spec=ColorSpec("bt601", False, siting))
    for field in planes.fields():
        for _ in range(40):
            rainy = field.rgb()
            field.add_residual(rainy, torch.tensor([0.6, 0.5, 0.4]).view(1, 3, 1, 1) - rainy)
        expected = torch.tensor([0.6, 0.5, 0.4]).view(1, 3, 1, 1).expand(1, 3, *field.size)
        torch.testing.assert_close(field.rgb(), expected, atol=0.02, rtol=0)
