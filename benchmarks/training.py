"""How fast a training run was: its crops per second, the least time their steps could take, and drawing rain alone.

Run as `python benchmarks/training.py RECIPE RUN [--images DIR]` after `nerdrain train RECIPE --run RUN` on the same
machine; the last line is JSON. Each size of crop has a row, by the median of its last steps. The floor is three times
that of a forward (`nerdrain bench`), because a step goes through the network forwards and twice as much backwards. With
`--images`, also how many crops a second are cut and rained on: with a GPU beside the training, on the CPU between its
steps.
"""

import argparse
import csv
import json
import statistics
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from nerdrain_rt.backends import find_device
from nerdrain_rt.benchmark.floor import Rates, Work
from nerdrain_rt.errors import DerainError, UsageError
from nerdrain_rt.model.net import NetConfig
from nerdrain_rt.training.batches import Batches
from nerdrain_rt.training.logs import STEPS
from nerdrain_rt.training.recipe import TrainSettings

LAST_STEPS = 100
PASSES = 3
"""Forwards that a step costs: one, and a backward twice as long."""
RENDERED = 5


def drawn_per_second(batches: Batches, step: int) -> float:
    """Crops cut and rained on in a second as from that step on, by themselves."""
    rendered = batches.rendered(step, torch.Generator())
    seconds = []
    for _ in range(RENDERED):
        start = time.perf_counter()
        batch = len(next(rendered).rainy)
        seconds.append(time.perf_counter() - start)
    return batch / statistics.median(seconds)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Print a row for each size of crop; everything as it goes into JSON. Raises DerainError, OSError."""
    device = find_device(options.device)
    settings = TrainSettings.read(options.recipe).with_data(images=options.images)
    with (options.run / STEPS).open() as file:
        steps = list(csv.DictReader(file))
    if options.processes < 1:
        raise UsageError(f"--processes is {options.processes}; a run has at least one")
    if odd := next((batch for *_, batch in settings.crops if batch % options.processes), None):
        raise UsageError(f"a batch of {odd} cannot have been divided among {options.processes} processes")
    batches = Batches(settings, device) if options.images else None
    rates, dtype = Rates(device), getattr(torch, settings.precision)
    work = Work.of(NetConfig(width=settings.width, head_width=settings.head_width))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{name}: {rates.multiply(dtype) / 1e12:.2f} TFLOP/s {settings.precision}, {rates.copy() / 1e9:.0f} GB/s")
    print(f"{'crops':>14}{'ms a step':>11}{'crops/s':>9}{'floor ms':>10}{'of floor':>10}{'drawn/s':>9}")
    rows = []
    for (size, batch), group in groupby(steps, key=lambda row: settings.crop_at(int(row["step"]) - 1)):
        last = list(group)[-LAST_STEPS:]
        ms = 1000 * statistics.median(float(row["seconds"]) for row in last)
        floor_ms = PASSES * work.floor_ms((batch // options.processes * size, size), dtype, rates)
        drawn = batches and drawn_per_second(batches, int(last[0]["step"]) - 1)
        row = {"size": size, "batch": batch, "ms": ms, "crops_per_second": 1000 * batch / ms, "floor_ms": floor_ms}
        rows.append(row | {"times_floor": ms / floor_ms, "drawn_per_second": drawn})
        crops, text = f"{batch} of {size}", "-" if drawn is None else f"{drawn:.0f}"
        print(f"{crops:>14}{ms:11.1f}{1000 * batch / ms:9.1f}{floor_ms:10.1f}{ms / floor_ms:9.1f}x{text:>9}")
    return {"device": name, "flops": rates.multiply(dtype), "bytes_per_second": rates.copy(), "rows": rows}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print everything as JSON in the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path, help="what it was trained by")
    parser.add_argument("run", type=Path, help="a run's folder")
    parser.add_argument("--images", type=Path, help="the photographs it was trained on, to measure drawing")
    parser.add_argument("--processes", type=int, default=1, help="of the run")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    try:
        print(json.dumps(measure(options)))
    except (DerainError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
