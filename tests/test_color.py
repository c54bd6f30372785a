"""Pictures to RGB and residuals back: against a float64 reference, against FFmpeg, and what must never change."""

from __future__ import annotations

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nerdrain_rt.color import Planes, add_residual, to_rgb
from nerdrain_rt.color_spec import ColorSpec, Siting
from nerdrain_rt.pixel_layout import PixelLayout
from tests.reference_color import (
    BT470BG,
    BT709,
    BT2020,
    CPU,
    SAMPLINGS,
    SUPPORTED,
    UNSPECIFIED,
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

LIMITED, FULL = 1, 2


@pytest.mark.parametrize("format_name", SAMPLINGS)
@pytest.mark.parametrize("colorspace", [BT709, BT470BG, BT2020])
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
def test_to_rgb_equals_float64_reference(format_name: str, colorspace: int, color_range: int) -> None:
    size = (18, 22)
    codes = random_codes(SAMPLINGS[format_name], size)
    picture = make_picture(format_name, size, codes)
    picture.colorspace, picture.color_range = colorspace, color_range
    expected = reference_rgb(codes, SAMPLINGS[format_name], ColorSpec.of(picture)).clip(0, 1)
    rgb = to_rgb(picture, device=CPU)
    assert rgb.shape == (1, 3, *size)
    assert rgb.dtype == torch.float32
    assert rgb.is_contiguous()
    np.testing.assert_allclose(rgb[0].numpy(), expected, atol=1e-5)


@given(
    format_name=st.sampled_from(sorted(SAMPLINGS)),
    size=st.tuples(st.integers(1, 13), st.integers(1, 13)),
    colorspace=st.sampled_from([BT709, UNSPECIFIED, BT2020]),
    seed=st.integers(0, 99),
)
@settings(max_examples=150, deadline=None)
def test_any_size_reads_and_changes_as_the_reference(
    format_name: str, size: tuple[int, int], colorspace: int, seed: int
) -> None:
    sampling = SAMPLINGS[format_name]
    codes = random_codes(sampling, size, seed)
    picture = make_picture(format_name, size, codes)
    picture.colorspace = colorspace
    spec = ColorSpec.of(picture)
    rainy, residual = to_rgb(picture, device=CPU), random_residual(size, seed)
    expected_rgb = reference_rgb(codes, sampling, spec).clip(0, 1)
    change = (expected_rgb + residual[0].numpy()).clip(0, 1) - expected_rgb

    add_residual(picture, rainy, residual)

    np.testing.assert_allclose(rainy[0].numpy(), expected_rgb, atol=1e-5)
    changed = read_codes(picture, codes)
    for letter, expected in reference_codes(codes, change, sampling, spec).items():
        assert np.abs(changed[letter] - expected).max() <= 0.5 + 2**sampling.bits * 1e-6, letter


@pytest.mark.parametrize("format_name", ["yuv444p", "yuv444p10le", "yuvj444p", "gbrp", "rgb24", "bgra", "gray"])
@pytest.mark.parametrize("matrix", ["itu601", "itu709", "bt2020"])
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
def test_to_rgb_agrees_with_swscale(format_name: str, matrix: str, color_range: int) -> None:
    # swscale's integers wrap around far outside the gamut.
    picture = random_picture(format_name, (32, 48), low=0.3, high=0.7)
    picture.colorspace = {"itu601": BT470BG, "itu709": BT709, "bt2020": BT2020}[matrix]
    if format_name.startswith("yuv4"):
        picture.color_range = color_range
    is_full = ColorSpec.of(picture).is_full_range
    converted = picture.reformat(
        format="rgb24",
        src_colorspace=matrix,
        src_color_range=FULL if is_full else LIMITED,
        dst_color_range=FULL,
        threads=1,
    ).to_ndarray()
    rgb = to_rgb(picture, device=CPU)[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(rgb - converted).max() <= 2


@pytest.mark.parametrize("format_name", SUPPORTED)
def test_components_are_where_ffmpeg_puts_them(format_name: str) -> None:
    size, color = (16, 24), (200, 60, 120)
    source = av.VideoFrame.from_ndarray(np.full((*size, 3), color, np.uint8), "rgb24")
    try:
        picture = source.reformat(format=format_name, dst_colorspace="itu601", threads=1)
    except (ValueError, OSError) as error:
        pytest.skip(f"swscale does not write {format_name}: {error}")
    picture.colorspace = BT470BG
    rgb = to_rgb(picture, device=CPU)[0].amax((1, 2)) * 255
    is_gray = PixelLayout.of(format_name).letters == "y"
    expected = [np.dot(color, (0.299, 0.587, 0.114))] * 3 if is_gray else color
    assert rgb.tolist() == pytest.approx(expected, abs=3)


@pytest.mark.parametrize("format_name", SUPPORTED)
@pytest.mark.parametrize("size", [(7, 5), (2, 2), (1, 1)])
def test_no_residual_leaves_every_byte(format_name: str, size: tuple[int, int]) -> None:
    picture = random_picture(format_name, size)
    before = snapshot(picture)
    rainy = to_rgb(picture, device=CPU)
    add_residual(picture, rainy, torch.zeros_like(rainy))
    assert snapshot(picture) == before
    add_residual(picture, rainy, random_residual(size), strength=0)
    assert snapshot(picture) == before


@pytest.mark.parametrize("format_name", SUPPORTED)
def test_residuals_lead_any_picture_to_the_color_asked_for(format_name: str) -> None:
    picture = random_picture(format_name, (6, 8))
    rainy = to_rgb(picture, device=CPU)
    target = torch.tensor([0.6, 0.5, 0.4]).view(1, 3, 1, 1).expand_as(rainy)
    if PixelLayout.of(format_name).letters == "y":
        target = torch.full_like(rainy, 0.5)
    for _ in range(40):
        rainy = to_rgb(picture, device=CPU)
        add_residual(picture, rainy, target - rainy)
    torch.testing.assert_close(to_rgb(picture, device=CPU), target, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("format_name", "black", "steps"),
    [("yuv420p", 16, 44), ("yuvj420p", 0, 51), ("yuv422p10le", 64, 175), ("yuv420p10be", 64, 175), ("p010le", 64, 175)],
)
def test_a_fifth_of_gray_moves_luma_by_a_fifth_of_its_range(format_name: str, black: int, steps: int) -> None:
    sampling, size = SAMPLINGS[format_name], (6, 8)
    codes = random_codes(sampling, size)
    codes["y"][...] = black + 1 + np.arange(48).reshape(size)
    codes["u"][...] = codes["v"][...] = 2 ** (sampling.bits - 1)
    picture = make_picture(format_name, size, codes)
    rainy = to_rgb(picture, device=CPU)

    add_residual(picture, rainy, torch.full_like(rainy, 0.1), strength=2.0)

    changed = read_codes(picture, codes)
    assert (changed["y"] - codes["y"] == steps).all()
    assert (changed["u"] == codes["u"]).all()
    assert (changed["v"] == codes["v"]).all()


def test_padding_under_the_samples_of_p010_survives_a_change() -> None:
    picture = random_picture("p010le", (6, 8))
    before = np.concatenate([np.frombuffer(plane, "<u2").copy() for plane in picture.planes])
    add_residual(picture, to_rgb(picture, device=CPU), random_residual((6, 8)))
    after = np.concatenate([np.frombuffer(plane, "<u2") for plane in picture.planes])
    assert (before != after).any()
    assert (before & 63 == after & 63).all()


def test_a_residual_at_one_pixel_reaches_only_the_chroma_around_it() -> None:
    sampling, size = SAMPLINGS["yuv420p"], (16, 16)
    codes = random_codes(sampling, size)
    picture = make_picture("yuv420p", size, codes)
    rainy = torch.full((1, 3, *size), 0.5)
    residual = torch.zeros_like(rainy)
    residual[0, 0, 8, 7] = 0.5
    add_residual(picture, rainy, residual)
    changed = read_codes(picture, codes)
    assert np.argwhere(changed["y"] != codes["y"]).tolist() in ([[8, 7]], [])
    assert {tuple(place) for place in np.argwhere(changed["v"] != codes["v"])} <= {(4, 3), (4, 4)}


@pytest.mark.parametrize(("change", "expected"), [(0.0, 250), (0.1, 250), (-0.1, 228)])
def test_luma_above_white_survives_and_is_only_darkened(change: float, expected: int) -> None:
    picture = flat_picture(250)
    rainy = to_rgb(picture, device=CPU)
    assert rainy.max() == 1
    add_residual(picture, rainy, torch.full_like(rainy, change))
    assert (plane_rows(picture.planes[0], "u1")[:, :8] == expected).all()


@pytest.mark.parametrize("format_name", ["yuv420p10le", "yuv444p9be", "p012le", "gbrp14le", "gray10le"])
def test_samples_stay_within_their_bits(format_name: str) -> None:
    picture = random_picture(format_name, (32, 32))
    rainy = torch.rand(1, 3, 32, 32)
    add_residual(picture, rainy, 4 * random_residual((32, 32)))
    layout = PixelLayout.of(format_name)
    for plane in picture.planes:
        codes = np.frombuffer(plane, layout.sample_type) >> layout.padding_bits
        assert codes.max() < 2**layout.bits


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_once_at_the_end(dtype: torch.dtype) -> None:
    picture = random_picture("yuv420p10le", (8, 6))
    before = snapshot(picture)
    rainy = to_rgb(picture, device=CPU, dtype=dtype)
    assert torch.equal(rainy, to_rgb(picture, device=CPU).to(dtype))
    add_residual(picture, rainy, torch.zeros_like(rainy))
    assert snapshot(picture) == before


@pytest.mark.parametrize(
    ("format_name", "height", "colorspace", "color_range", "expected"),
    [
        ("yuv420p", 719, UNSPECIFIED, 0, ColorSpec("bt601", False, "left")),
        ("yuv420p", 720, UNSPECIFIED, 0, ColorSpec("bt709", False, "left")),
        ("yuv420p", 1080, 6, LIMITED, ColorSpec("bt601", False, "left")),
        ("yuv420p", 480, 1, FULL, ColorSpec("bt709", True, "left")),
        ("yuv420p", 480, 4, 0, ColorSpec("fcc", False, "left")),
        ("yuv420p", 480, 7, 0, ColorSpec("smpte240m", False, "left")),
        ("yuv444p", 480, 8, 0, ColorSpec("ycgco", False, "left")),
        ("yuv420p10le", 480, 9, LIMITED, ColorSpec("bt2020", False, "topleft")),
        ("yuv420p10le", 480, 10, LIMITED, ColorSpec("bt2020", False, "topleft")),
        ("yuv420p10le", 480, 14, LIMITED, ColorSpec("bt2020", False, "topleft")),
        ("yuvj420p", 480, UNSPECIFIED, 0, ColorSpec("bt601", True, "center")),
        ("gray", 480, UNSPECIFIED, 0, ColorSpec("bt601", True, "left")),
        ("gray10le", 480, UNSPECIFIED, LIMITED, ColorSpec("bt601", False, "left")),
        ("rgb24", 480, UNSPECIFIED, 0, ColorSpec("bt601", True, "left")),
        ("gbrp", 480, 0, LIMITED, ColorSpec("bt601", True, "left")),
    ],
)
def test_color_spec_follows_tags_then_conventions(
    format_name: str, height: int, colorspace: int, color_range: int, expected: ColorSpec
) -> None:
    picture = av.VideoFrame(64, height, format_name)
    picture.colorspace, picture.color_range = colorspace, color_range
    assert ColorSpec.of(picture) == expected


@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
@pytest.mark.parametrize("format_name", ["yuv420p", "nv12", "yuv422p10le", "yuyv422", "yuv410p", "gray12le", "rgb24"])
def test_a_picture_taken_in_bands_is_the_picture_taken_at_once(
    format_name: str, siting: Siting, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, spec = (37, 10), ColorSpec("bt709", False, siting)
    picture, residual = random_picture(format_name, size), random_residual(size)
    results = []
    for band_rows in (4, 7, 100):
        monkeypatch.setattr("nerdrain_rt.color.BAND_PIXELS", band_rows * size[1])
        planes = Planes.of(picture, spec=spec)
        rainy = planes.rgb()
        for part in (planes, *planes.fields()):
            part.add_residual(part.rgb(), residual[:, :, : part.size[0]])
        results.append([rainy, *planes.samples])
    assert all(map(torch.equal, results[0], results[-1]))
    assert all(map(torch.equal, results[1], results[-1]))


def test_ycgco_has_green_and_orange_axes() -> None:
    matrix = ColorSpec("ycgco", True, "left").rgb_to_yuv()
    assert matrix @ [0, 1, 0] == pytest.approx([0.5, 0.5, 0])
    assert matrix @ [1, 0, 0] == pytest.approx([0.25, -0.25, 0.5])


def test_a_spec_given_overrules_the_picture() -> None:
    picture = random_picture("yuv420p", (8, 6))
    spec = ColorSpec("bt2020", True, "topleft")
    codes = read_codes(picture, random_codes(SAMPLINGS["yuv420p"], (8, 6)))
    expected = reference_rgb(codes, SAMPLINGS["yuv420p"], spec).clip(0, 1)
    np.testing.assert_allclose(Planes.of(picture, spec=spec).rgb()[0].numpy(), expected, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("format_name", ["yuv420p", "p010le", "yuv422p10le", "yuyv422", "rgb48le", "gray"])
def test_cuda_gives_what_the_processor_gives(format_name: str) -> None:
    on_cpu, on_cuda = random_picture(format_name, (31, 45)), random_picture(format_name, (31, 45))
    device, residual = torch.device("cuda"), random_residual((31, 45))
    rainy = to_rgb(on_cuda, device=device)
    torch.testing.assert_close(rainy.cpu(), to_rgb(on_cpu, device=CPU), atol=1e-6, rtol=0)
    add_residual(on_cuda, rainy, residual.to(device))
    add_residual(on_cpu, rainy.cpu(), residual)
    torch.testing.assert_close(to_rgb(on_cuda, device=CPU), to_rgb(on_cpu, device=CPU), atol=0.01, rtol=0)
