"""The Triton kernels of colour against PyTorch's way: in the interpreter, or on the device where there is one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.triton_cpu import DEVICE, HAS_GPU  # isort: split

from nerdrain_rt import color
from nerdrain_rt.color import Planes
from nerdrain_rt.color_spec import ColorSpec, Siting
from tests.reference_color import random_picture, random_residual

FORMATS = (
    *("yuv420p", "yuvj420p", "nv12", "nv21", "yuv420p10le", "p010le", "p016le"),
    *("yuv422p10le", "yuv440p", "yuv444p12le", "yuv411p", "yuv410p", "yuyv422", "y210le"),
)


def both_ways(planes: Planes, residual: torch.Tensor, monkeypatch: pytest.MonkeyPatch, strength: float = 1.0):
    """By kernels and by PyTorch: RGB, and planes with the residual added, to each field where its strength is not 1.

    Two rows more lie after each plane, and stay as they are.
    """
    results = []
    for has_kernels in (True, False):
        monkeypatch.setattr(color, "_runs_kernels", lambda device, answer=has_kernels: answer)
        memory = [torch.cat([plane, plane[-1:], plane[-1:]]) for plane in planes.samples]
        changed = replace(planes, samples=tuple(whole[:-2] for whole in memory))
        rainy = changed.rgb()
        for part in changed.fields() if strength < 1 else (changed,):
            height = part.size[0]
            part.add_residual(part.rgb(), residual[:, :, :height], strength=strength)
        results.append((rainy, changed))
        for whole, plane in zip(memory, planes.samples, strict=True):
            assert all(torch.equal(whole[row].cpu(), plane[-1].cpu()) for row in (-1, -2))
    return results


def assert_same(by_kernels: tuple[torch.Tensor, Planes], by_torch: tuple[torch.Tensor, Planes]) -> None:
    """RGB to rounding; samples alike, but for those that lie within rounding of the middle between two codes."""
    torch.testing.assert_close(by_kernels[0], by_torch[0], atol=1e-6, rtol=0)
    assert by_kernels[0].is_contiguous()
    one = 2 ** by_torch[1].layout.padding_bits
    for ours, theirs in zip(by_kernels[1].samples, by_torch[1].samples, strict=True):
        difference = (ours.int() - theirs.int()).abs()
        assert difference.max() <= one
        assert (difference > 0).float().mean() < 1e-4 * 2 ** (by_torch[1].layout.bits - 8)


@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
@pytest.mark.parametrize("format_name", FORMATS)
def test_kernels_do_what_pytorch_does(format_name: str, siting: Siting, monkeypatch: pytest.MonkeyPatch) -> None:
    size = (13, 270) if format_name == "yuv420p" else (7, 11)
    spec = ColorSpec("bt709", False, siting)
    planes = Planes.of(random_picture(format_name, size), spec=spec).to(DEVICE)
    assert_same(*both_ways(planes, random_residual(size).to(DEVICE), monkeypatch))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 4), (10, 5)])
def test_fields_of_any_size_are_what_pytorch_makes_of_them(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    planes = Planes.of(random_picture("yuv420p", size)).to(DEVICE)
    assert_same(*both_ways(planes, random_residual(size).to(DEVICE), monkeypatch, strength=0.7))


@pytest.mark.parametrize("spec", [ColorSpec("bt2020", True, "topleft"), ColorSpec("ycgco", True, "left")], ids=str)
def test_matrix_and_range_are_those_of_the_picture(spec: ColorSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    planes = Planes.of(random_picture("yuv420p10le", (6, 8)), spec=spec).to(DEVICE)
    assert_same(*both_ways(planes, random_residual((6, 8)).to(DEVICE), monkeypatch))


def test_no_residual_leaves_every_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(color, "_runs_kernels", lambda device: True)
    for format_name in ("yuv420p", "p010le", "yuv444p16le"):
        planes = Planes.of(random_picture(format_name, (6, 8))).to(DEVICE)
        before = [plane.clone() for plane in planes.samples]
        rainy = planes.rgb()
        planes.add_residual(rainy, torch.zeros_like(rainy))
        assert all(map(torch.equal, planes.samples, before))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_residual_cut_out_of_a_padded_one_is_read_where_it_lies(
    memory_format: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    planes = Planes.of(random_picture("yuv420p", (6, 8))).to(DEVICE)
    padded = random_residual((16, 16)).to(DEVICE, memory_format=memory_format)
    assert_same(*both_ways(planes, padded[..., :6, :8], monkeypatch))


@pytest.mark.parametrize(("device", "is_logged"), [("cpu", False), ("cuda:99", True)])
def test_pytorch_does_it_where_kernels_do_not_run(
    device: str, is_logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert not color._runs_kernels(torch.device(device))
    assert ("cuda:99: colour is converted by PyTorch; Triton's kernels do not run: " in caplog.text) is is_logged


@pytest.mark.gpu
@pytest.mark.parametrize("format_name", FORMATS)
def test_a_whole_picture_on_the_device_is_what_the_processor_makes(format_name: str) -> None:
    assert HAS_GPU
    picture, residual = random_picture(format_name, (1080, 1920)), random_residual((1080, 1920))
    results = []
    for device in (torch.device("cuda"), torch.device("cpu")):
        planes = Planes.of(picture).to(device)
        rainy = planes.rgb()
        planes.add_residual(rainy, residual.to(device))
        results.append((rainy.cpu(), planes.to("cpu")))
    assert color._runs_kernels(torch.device("cuda", 0))
    assert_same(*results)
