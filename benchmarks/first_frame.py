"""Seconds from launch to the first derained frame, and how frames go on until what was asked for is ready.

Run as `python benchmarks/first_frame.py [--backend auto] [--size 1920x1080] [--seconds 150]`, once with NERDRAIN_CACHE
and TRITON_CACHE_DIR at an empty folder and once with what that left there; the last line is JSON. It ends as soon as
nothing works only meanwhile.
"""

from __future__ import annotations

import argparse
import json
import time
from statistics import median

import psutil
import torch

from nerdrain_rt.derainer import Derainer, DerainSettings


def seconds_since_launch() -> float:
    """Of this process, the start of Python and every import included."""
    return time.time() - psutil.Process().create_time()


def measure(backend: str, size: tuple[int, int], device: str, limit: float) -> dict[str, object]:
    """Derain one picture again and again; milliseconds are those of whole calls, copies included."""
    derainer = Derainer(DerainSettings(backend=backend, device=device), announce=print)
    rainy = torch.rand(1, 3, *size)
    calls: list[tuple[str, float]] = []
    first = 0.0
    while len(calls) < 10 or (seconds_since_launch() < limit and "(" in calls[-1][0]):
        began = time.perf_counter()
        derainer.residual(rainy)
        first = first or seconds_since_launch()
        calls.append((derainer.backend.name, 1000 * (time.perf_counter() - began)))
        if len(calls) > 1 and calls[-1][0] != calls[-2][0]:
            print(f"{seconds_since_launch():.1f} s: {calls[-1][0]}, after {calls[-1][1]:.0f} ms", flush=True)
    last = calls[-1][0]
    meanwhile = [taken for name, taken in calls[1:] if name != last]
    there = [taken for name, taken in calls[1:] if name == last]
    return {
        "first_backend": calls[0][0],
        "first_frame_seconds": round(first, 2),
        "meanwhile_frames": len(meanwhile),
        "meanwhile_median_ms": round(median(meanwhile), 1) if meanwhile else None,
        "meanwhile_longest_ms": round(max(meanwhile), 1) if meanwhile else None,
        "last_backend": last,
        "ready_seconds": round(seconds_since_launch() - sum(there) / 1000, 2),
        "swap_ms": round(there[0], 1),
        "last_median_ms": round(median(there), 1),
    }


def main() -> None:
    """Print each change of backend, then everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--size", default="1920x1080", help="WIDTHxHEIGHT")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=150, help="the longest that is waited for the backend")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    result = measure(options.backend, (height, width), options.device, options.seconds)
    print(json.dumps({"backend": options.backend, "size": options.size, **result}))


if __name__ == "__main__":
    main()
