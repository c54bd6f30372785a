"""Milliseconds to read a picture as RGB and to add a residual to it, by pixel format and size.

Run as `python benchmarks/color.py [--device cpu] [--repeats 50]`; the last line is JSON.
"""

import argparse
import json
import time
from collections.abc import Callable

import av
import torch

from nerdrain_rt.color import Planes, add_residual, to_rgb

FORMATS = ("yuv420p", "yuv420p10le", "nv12", "p010le", "yuv422p10le", "yuv444p", "yuyv422", "gray", "rgb24", "gbrp10le")
SIZES = {"720p": (720, 1280), "1080p": (1080, 1920)}


def fastest_milliseconds(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """The least of `repeats` runs after five to warm up: what is not the work itself only adds."""
    seconds = []
    for _ in range(5 + repeats):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds[5:])


def measure(format_name: str, size: tuple[int, int], device: torch.device, repeats: int) -> dict[str, float]:
    """Milliseconds for each way, copies from and to the picture included."""
    height, width = size
    noise = av.VideoFrame.from_ndarray(torch.randint(0, 256, (height, width, 3), dtype=torch.uint8).numpy(), "rgb24")
    picture = noise.reformat(format=format_name)
    planes = Planes.of(picture).to(device)
    rainy = planes.rgb()
    residual = torch.rand_like(rainy).sub_(0.5)
    return {
        "to_rgb": fastest_milliseconds(lambda: to_rgb(picture, device=device), device, repeats),
        "add_residual": fastest_milliseconds(lambda: add_residual(picture, rainy, residual), device, repeats),
        "on_device": fastest_milliseconds(lambda: planes.add_residual(planes.rgb(), residual), device, repeats),
    }


def main() -> None:
    """Print a row for each format and size, then everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=50)
    options = parser.parse_args()
    device = torch.device(options.device)
    results = []
    print(f"{'format':12} {'size':6} {'to_rgb':>8} {'residual':>9} {'both':>7}  {'without copies':>14}   ms")
    for format_name in FORMATS:
        for name, size in SIZES.items():
            row = measure(format_name, size, device, options.repeats)
            both = row["to_rgb"] + row["add_residual"]
            print(
                f"{format_name:12} {name:6} {row['to_rgb']:8.2f} {row['add_residual']:9.2f} {both:7.2f}"
                f"  {row['on_device']:14.2f}"
            )
            results.append({"format": format_name, "size": name, **{key: round(ms, 3) for key, ms in row.items()}})
    print(json.dumps({"device": options.device, "threads": torch.get_num_threads(), "milliseconds": results}))


if __name__ == "__main__":
    main()
