"""The network against outputs of the published code, and what its users rely on."""

import zlib

import numpy as np
import pytest
import torch
from torch import Tensor

from nerdrain_rt.errors import WeightsError
from nerdrain_rt.model.checkpoint import from_published, read_published, to_published
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
    import json

    shapes = json.loads((parity_folder / f"{name}_keys.json").read_text())
    state = {key: published_tensor(key, shape) for key, shape in shapes.items()}
    net = NerdRain(NetConfig(width=width)).eval()
    net.load_state_dict(from_published(state))
    return state, net, np.load(parity_folder / f"{name}.npz")


@torch.inference_mode()
def test_outputs_equal_published_code(published):
    _, net, data = published
    rainy = torch.from_numpy(data["rainy"])
    outputs = net.scales(rainy)
    expected = [data[f"output{index}"] for index in (0, 1, 2, 3, 5)]
    errors = [relative_error(output, reference) for output, reference in zip(outputs, expected, strict=True)]
    assert max(errors) < 1e-4, errors
    assert relative_error(rainy + net(rainy), data["output0"]) < 1e-4
