"""Pictures to RGB and residuals back: against a float64 reference, against FFmpeg, and what must never change."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt
import pytest
import torch
from av.filter import Graph
from av.video.format import names
from hypothesis import given, settings
from hypothesis import strategies as st

from nerdrain_rt.color import Planes, add_residual, to_rgb
from nerdrain_rt.color_spec import ColorSpec, Siting
from nerdrain_rt.pixel_layout import PixelLayout, is_supported

Codes = dict[str, npt.NDArray[np.int64]]

CPU = torch.device("cpu")
SUPPORTED = sorted(name for name in names if is_supported(name))
BT709, UNSPECIFIED, BT470BG, BT2020 = 1, 2, 5, 9
LIMITED, FULL = 1, 2


@dataclass(frozen=True)
class Sampling:
    """How a format is stored, said once more and by hand."""

    planes: tuple[str, ...]
    bits: int
    factor: tuple[int, int] = (1, 1)
    shift: int = 0
    dtype: str = "u1"


SAMPLINGS = {
    "yuv420p": Sampling(("y", "u", "v"), 8, (2, 2)),
    "yuvj420p": Sampling(("y", "u", "v"), 8, (2, 2)),
    "yuv422p10le": Sampling(("y", "u", "v"), 10, (1, 2), 0, "<u2"),
    "yuv420p10be": Sampling(("y", "u", "v"), 10, (2, 2), 0, ">u2"),
    "yuv444p12le": Sampling(("y", "u", "v"), 12, (1, 1), 0, "<u2"),
    "yuv444p16le": Sampling(("y", "u", "v"), 16, (1, 1), 0, "<u2"),
    "yuv440p": Sampling(("y", "u", "v"), 8, (2, 1)),
    "yuv411p": Sampling(("y", "u", "v"), 8, (1, 4)),
    "yuv410p": Sampling(("y", "u", "v"), 8, (4, 4)),
    "nv12": Sampling(("y", "uv"), 8, (2, 2)),
    "nv21": Sampling(("y", "vu"), 8, (2, 2)),
    "p010le": Sampling(("y", "uv"), 10, (2, 2), 6, "<u2"),
    "p416be": Sampling(("y", "uv"), 16, (1, 1), 0, ">u2"),
    "yuyv422": Sampling(("yuyv",), 8, (1, 2)),
    "y210le": Sampling(("yuyv",), 10, (1, 2), 6, "<u2"),
    "gray12le": Sampling(("y",), 12, (1, 1), 0, "<u2"),
}


def random_codes(sampling: Sampling, size: tuple[int, int], seed: int = 0) -> Codes:
    generator = np.random.default_rng(seed)
    coarse = tuple(-(-length // factor) for length, factor in zip(size, sampling.factor, strict=True))
    letters = sorted(set("".join(sampling.planes)))
    return {letter: generator.integers(0, 2**sampling.bits, coarse if letter in "uv" else size) for letter in letters}


def plane_rows(plane: av.video.plane.VideoPlane, dtype: str) -> np.ndarray:
    """Rows as stored, padding of the lines included."""
    return np.frombuffer(plane, dtype).reshape(-1, plane.line_size // np.dtype(dtype).itemsize)


def make_picture(format_name: str, size: tuple[int, int], codes: Codes) -> av.VideoFrame:
    sampling = SAMPLINGS[format_name]
    picture = av.VideoFrame(size[1], size[0], format_name)
    for plane, group in zip(picture.planes, sampling.planes, strict=True):
        rows = plane_rows(plane, sampling.dtype)
        for place, letter in enumerate(group):
            values = codes[letter][:, (group[:place].count(letter)) :: group.count(letter)]
            rows[: values.shape[0], place :: len(group)][:, : values.shape[1]] = values << sampling.shift
    return picture


def read_codes(picture: av.VideoFrame, like: Codes) -> Codes:
    sampling = SAMPLINGS[picture.format.name]
    codes = {letter: np.empty_like(values) for letter, values in like.items()}
    for plane, group in zip(picture.planes, sampling.planes, strict=True):
        rows = plane_rows(plane, sampling.dtype)
        for place, letter in enumerate(group):
            target = codes[letter][:, (group[:place].count(letter)) :: group.count(letter)]
            target[...] = rows[: target.shape[0], place :: len(group)][:, : target.shape[1]] >> sampling.shift
    return codes


KR_KB = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}


def levels(spec: ColorSpec, bits: int) -> tuple[float, float, float]:
    """Black, the range of luma and the range of chroma."""
    if spec.is_full_range:
        return 0, 2**bits - 1, 2**bits - 1
    return 16 * 2 ** (bits - 8), 219 * 2 ** (bits - 8), 224 * 2 ** (bits - 8)


def is_centered(spec: ColorSpec) -> tuple[bool, bool]:
    return spec.siting in ("left", "center"), spec.siting == "center"


def interpolation(size: int, factor: int, centered: bool) -> np.ndarray:
    """The matrix from coarse samples to `size` fine ones, each by its place on the line."""
    count = -(-size // factor)
    places = np.arange(count) * factor + ((factor - 1) / 2 if centered else 0)
    return np.stack([np.interp(np.arange(size), places, unit) for unit in np.eye(count)], axis=1)


def averaging(size: int, factor: int, centered: bool) -> np.ndarray:
    count = -(-size // factor)
    matrix = np.zeros((count, size))
    for row in range(count):
        for offset in range(0 if centered else 1 - factor, factor):
            weight = 1 / factor if centered else (1 - abs(offset) / factor) / factor
            matrix[row, np.clip(row * factor + offset, 0, size - 1)] += weight
    return matrix


def reference_rgb(codes: Codes, sampling: Sampling, spec: ColorSpec) -> np.ndarray:
    """3 H W before clamping."""
    black, luma_range, chroma_range = levels(spec, sampling.bits)
    luma = (codes["y"] - black) / luma_range
    if "u" not in codes:
        return np.stack([luma] * 3)
    rows, columns = (
        interpolation(size, factor, centered)
        for size, factor, centered in zip(luma.shape, sampling.factor, is_centered(spec), strict=True)
    )
    cb, cr = (rows @ ((codes[letter] - 2 ** (sampling.bits - 1)) / chroma_range) @ columns.T for letter in "uv")
    kr, kb = KR_KB[spec.matrix]
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    return np.stack([red, (luma - kr * red - kb * blue) / (1 - kr - kb), blue])


def reference_codes(codes: Codes, change: np.ndarray, sampling: Sampling, spec: ColorSpec) -> dict[str, np.ndarray]:
    """Code values with the change of RGB added, before rounding."""
    _, luma_range, chroma_range = levels(spec, sampling.bits)
    kr, kb = KR_KB[spec.matrix]
    red, green, blue = change
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    changed = {"y": codes["y"] + luma_range * luma}
    rows, columns = (
        averaging(size, factor, centered)
        for size, factor, centered in zip(luma.shape, sampling.factor, is_centered(spec), strict=True)
    )
    if "u" in codes:
        changed["u"] = codes["u"] + chroma_range * rows @ ((blue - luma) / (2 * (1 - kb))) @ columns.T
        changed["v"] = codes["v"] + chroma_range * rows @ ((red - luma) / (2 * (1 - kr))) @ columns.T
    return {letter: np.clip(values, 0, 2**sampling.bits - 1) for letter, values in changed.items()}


def random_picture(
    format_name: str, size: tuple[int, int] = (7, 5), *, low: float = 0, high: float = 1
) -> av.VideoFrame:
    """Samples drawn from a share of their range, lines' padding and alpha too."""
    layout, generator = PixelLayout.of(format_name), np.random.default_rng(0)
    whole = 2 ** (layout.bits + layout.padding_bits)
    picture = av.VideoFrame(size[1], size[0], format_name)
    for plane in picture.planes:
        samples = np.frombuffer(plane, layout.sample_type)
        samples[...] = generator.integers(int(low * whole), int(high * whole), samples.shape)
    return picture


def snapshot(picture: av.VideoFrame) -> list[bytes]:
    return [bytes(plane) for plane in picture.planes]


def random_residual(size: tuple[int, int], seed: int = 1) -> torch.Tensor:
    return torch.rand((1, 3, *size), generator=torch.Generator().manual_seed(seed)) - 0.5


def flat_picture(luma: int, format_name: str = "yuv420p", size: tuple[int, int] = (6, 8)) -> av.VideoFrame:
    sampling = SAMPLINGS[format_name]
    codes = random_codes(sampling, size)
    for letter, values in codes.items():
        values[...] = luma if letter == "y" else 2 ** (sampling.bits - 1)
    return make_picture(format_name, size, codes)


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
