"""What the tests of benchmarks share."""

import torch

from nerdrain_rt.benchmark.model import ModelRow
from nerdrain_rt.benchmark.timing import Timing

CPU = torch.device("cpu")
RATES = {"bytes_per_second": 3e12, "flops": {torch.float16: 8e14, torch.float32: 4e14}}
MIB = 2**20


def timed(milliseconds: float) -> Timing:
    return Timing(milliseconds, milliseconds, 1)


def row(backend: str, size: tuple[int, int], milliseconds: float) -> ModelRow:
    return ModelRow(backend, size, "fp16", timed(milliseconds))
