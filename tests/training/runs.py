"""What the tests of training share: small runs, and what they leave."""

import csv
from itertools import islice
from pathlib import Path

import torch

from nerdrain_rt.model.net import NerdRain, NetConfig
from nerdrain_rt.training.train import Trainer, start_as_identity


def tiny_net() -> NerdRain:
    torch.manual_seed(0)
    return start_as_identity(NerdRain(NetConfig(width=8, depths=(1, 1, 1), head_width=16)))


def trainer(settings, folder, **options) -> Trainer:
    return Trainer(settings, folder, net=tiny_net(), **options)


def take(steps, count) -> list:
    return list(islice(steps, count))


def equal(one: object, other: object) -> bool:
    """Bit for bit, through dicts and lists."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def checkpoint(folder: Path) -> dict:
    return torch.load(folder / "checkpoint.pt", weights_only=True)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def load_metadata(folder: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(folder / "weights.safetensors", framework="pt") as file:
        return file.metadata()


def one_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, text
    return lines[0]
