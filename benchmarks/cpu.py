"""Times of a forward on the processor: the published arrangement, PyTorch layer by layer, and OpenVINO, in one run.

Run as `python benchmarks/cpu.py [--size 256x256] [--repeats 5]`; the last line is JSON. The ways take turns, so that
whatever else runs on the machine meets all of them. `published` is float32 in windows of 256 with the implicit
representation queried four times, as the published code does; its gathers are left out, so it is rather too fast.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import openvino
import torch
from torch import Tensor, nn

from nerdrain_rt.backends.eager import EagerBackend
from nerdrain_rt.backends.openvino import OpenVinoBackend
from nerdrain_rt.errors import BackendError
from nerdrain_rt.evaluation.evaluate import residual_in_windows
from nerdrain_rt.model.net import NerdRain
from nerdrain_rt.model.weights import Weights, load_weights

CPU = torch.device("cpu")
UPS = 2
"""Layers of a head before its implicit representation."""


class Ensemble(nn.Module):
    """A head whose implicit representation is queried four times, with equal results."""

    def __init__(self, head: nn.Sequential) -> None:
        super().__init__()
        layers = list(head)
        self.ups, self.query = nn.Sequential(*layers[:UPS]), nn.Sequential(*layers[UPS:])

    def forward(self, latent: Tensor) -> Tensor:
        """The mean of the four."""
        features = self.ups(latent)
        return sum(self.query(features) for _ in range(4)) / 4


def published(net: NerdRain) -> Callable[[Tensor], Tensor]:
    """The arrangement that the others are measured against."""
    net.head_coarse, net.head_middle = Ensemble(net.head_coarse), Ensemble(net.head_middle)
    return torch.inference_mode()(lambda rainy: residual_in_windows(rainy, net))


def ways(weights: Weights) -> dict[str, Callable[[Tensor], Tensor]]:
    """Every way that this processor has, by name."""
    found: dict[str, Callable[[Tensor], Tensor]] = {"published": published(weights.build())}
    for name, make in (("eager", EagerBackend), ("openvino", OpenVinoBackend)):
        for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            try:
                found[f"{name} {precision}"] = make(weights.build(), CPU, dtype)
            except BackendError as error:
                print(error)
    return found


def main() -> None:
    """Print a row for each way, then everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="256x256", help="width x height")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    rainy = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))

    computes = ways(load_weights())
    first_ms: dict[str, float] = {}
    residuals: dict[str, Tensor] = {}
    times_ms: dict[str, list[float]] = {name: [] for name in computes}
    for turn in range(1 + options.repeats):
        for name, compute in computes.items():
            start = time.perf_counter()
            residuals[name] = compute(rainy)
            elapsed_ms = 1000 * (time.perf_counter() - start)
            if turn:
                times_ms[name].append(elapsed_ms)
            else:
                first_ms[name] = elapsed_ms

    processor = openvino.Core().get_property("CPU", "FULL_DEVICE_NAME").strip() or platform.processor()
    print(f"{processor}, {torch.get_num_threads()} threads, {options.size}, median of {options.repeats}")
    print(f"{'':14} {'ms':>8} {'first':>8} {'x published':>12} {'x eager bf16':>13} {'PSNR to fp32':>13}")
    medians = {name: statistics.median(times) for name, times in times_ms.items()}
    rows = []
    for name, median in medians.items():
        error = (residuals[name] - residuals["eager fp32"]).square().mean()
        row = {
            "name": name,
            "median_ms": round(median, 1),
            "fastest_ms": round(min(times_ms[name]), 1),
            "first_ms": round(first_ms[name], 1),
            "over_published": round(medians["published"] / median, 2),
            "over_eager_bf16": round(medians["eager bf16"] / median, 2),
            "psnr_db": round(float(-10 * error.clamp_min(1e-20).log10()), 1),
        }
        rows.append(row)
        print(
            f"{name:14} {median:8.0f} {first_ms[name]:8.0f} {row['over_published']:12.2f}"
            f" {row['over_eager_bf16']:13.2f} {row['psnr_db']:13.1f}"
        )
    threads = torch.get_num_threads()
    print(json.dumps({"processor": processor, "threads": threads, "size": options.size, "ways": rows}))


if __name__ == "__main__":
    main()
