"""A tiny network, and rates measured on little."""

import pytest
import torch

from nerdrain_rt.benchmark import floor
from nerdrain_rt.model.net import NerdRain, NetConfig
from nerdrain_rt.model.weights import Weights, load_weights, save_weights
from tests.benchmark.measurements import MIB


@pytest.fixture(scope="module")
def tiny_weights(tmp_path_factory) -> Weights:
    """Random weights of the smallest network, from a file."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(5)
        save_weights(NerdRain(NetConfig(width=8, head_width=8)).state_dict(), path, metadata={})
    return load_weights(path)


@pytest.fixture
def small_rates(monkeypatch):
    """Let the device's rates be measured on little."""
    monkeypatch.setitem(floor.COPY_BYTES, "cpu", MIB)
    monkeypatch.setitem(floor.MATRIX_SIDE, "cpu", 64)
