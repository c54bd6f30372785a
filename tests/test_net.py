"""The network against outputs of the published code, and what its users rely on."""

import json
import zlib

import numpy as np
import pytest
import torch
from torch import Tensor

from nerdrain_rt.model.checkpoint import from_published
from nerdrain_rt.model.net import NerdRain, NetConfig

TINY = NetConfig(width=8, head_width=16)


def published_tensor(key: str, shape: list[int]) -> Tensor:
    values = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape, dtype=np.float32)
    if len(shape) >= 2 and "temperature" not in key:
        values /= np.sqrt(np.prod(shape[1:]))
    elif key.endswith("bias"):
        values *= 0.1
    else:
        values = 1 + 0.1 * values
    return torch.from_numpy(values.astype(np.float32))


def relative_error(output: Tensor, expected: np.ndarray) -> float:
    reference = torch.from_numpy(expected)
    return ((output - reference).abs().max() / reference.abs().max()).item()


@pytest.fixture(scope="module", params=[("nerd_rain_s", 32), ("nerd_rain", 48)], ids=["S", "full"])
def published(request, parity_folder):
    name, width = request.param
    shapes = json.loads((parity_folder / f"{name}_keys.json").read_text())
    state = {key: published_tensor(key, shape) for key, shape in shapes.items()}
    net = NerdRain(NetConfig(width=width)).eval()
    net.load_state_dict(from_published(state))
    with np.load(parity_folder / f"{name}.npz") as data:
        return state, net, dict(data)


@torch.inference_mode()
def test_outputs_equal_published_code(published):
    _, net, data = published
    rainy = torch.from_numpy(data["rainy"])
    outputs = net.scales(rainy)
    expected = [data[f"output{index}"] for index in (0, 1, 2, 3, 5)]
    errors = [relative_error(output, reference) for output, reference in zip(outputs, expected, strict=True)]
    assert max(errors) < 1e-4, errors
    assert relative_error(rainy + net(rainy), data["output0"]) < 1e-4


@pytest.fixture
def tiny() -> NerdRain:
    torch.manual_seed(0)
    return NerdRain(TINY).eval()


@torch.inference_mode()
def test_forward_is_the_residual_of_the_finest_scale(tiny):
    rainy = torch.rand(2, 3, 32, 48)
    torch.testing.assert_close(rainy + tiny(rainy), tiny.scales(rainy).fine)


@pytest.mark.timeout(1200)  # symbolic shapes are slow to trace
def test_export_takes_any_multiple_of_16():
    shallow = NerdRain(NetConfig(width=8, depths=(1, 1, 1), head_width=16)).eval()
    rows, columns = torch.export.Dim("rows", min=2, max=64), torch.export.Dim("columns", min=2, max=64)
    shapes = {"rainy": {2: 16 * rows, 3: 16 * columns}}
    program = torch.export.export(shallow, (torch.rand(1, 3, 48, 32),), dynamic_shapes=shapes)
    for size in ((32, 64), (64, 80)):
        rainy = torch.rand(1, 3, *size)
        torch.testing.assert_close(program.module()(rainy), shallow(rainy))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 0.1), (torch.float16, 0.01)])
@torch.inference_mode()
def test_half_precision_stays_near_float32(tiny, dtype, bound):
    rainy = torch.rand(1, 3, 64, 64)
    expected = tiny(rainy)
    residual = tiny.to(dtype)(rainy).float()
    assert torch.isfinite(residual).all()
    assert (residual - expected).abs().max() < bound * expected.abs().max()


@torch.inference_mode()
def test_float16_attention_survives_sums_beyond_its_range(tiny):
    attention = tiny.fine1.encoder1[0].attention
    query = torch.full((1, 1, 8, 4096), 30.0, dtype=torch.float16)
    weights = attention.channel_weights(query, query)
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / 8))


@pytest.mark.parametrize(("width", "millions"), [(32, 10.5), (48, 22.9)])
def test_parameter_count_is_the_papers(width, millions):
    with torch.device("meta"):
        net = NerdRain(NetConfig(width=width))
    assert sum(parameter.numel() for parameter in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
