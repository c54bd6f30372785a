"""What the live path costs with a backend that costs nothing: processor time, added latency, time to the first picture.

Run as `python benchmarks/live.py [--size 1920x1080] [--rate 30] [--seconds 10]`; the last line is JSON.
The goal, on two cores: at most one frame of latency and 10 ms of processor time per frame, and the first picture
within 2 s. "path" is everything but the picture's way into the network's numbers and back (strength 0), "with color"
has both; a file plays the source's part, so that its decoder is in the figures as a camera's would be.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from nerdrain_rt import Derainer, DerainSettings
from nerdrain_rt.benchmark.known_cost import KnownCost
from nerdrain_rt.live import LiveReport, LiveSettings
from nerdrain_rt.media.live_source import LiveSourceSettings, open_source
from nerdrain_rt.media.sinks import Recording, Sink
from nerdrain_rt.pipeline import derain_live

GOAL_CPU_MS = 10
GOAL_FIRST_SECONDS = 2


def a_little_rain(rainy: Tensor) -> Tensor:
    """The same residual for every picture of a size, up to three steps of 8 bits."""
    return _rain_of(rainy.shape)


@cache
def _rain_of(shape: torch.Size) -> Tensor:
    return torch.rand(shape).mul_(-3 / 255)


def make_clip(path: Path, size: tuple[int, int], rate: int, codec: str) -> Path:
    """A second of a drifting texture."""
    height, width = size
    texture = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8 + 64, 3), dtype=np.uint8)
    texture = texture.repeat(8, axis=0).repeat(8, axis=1)
    options = {"preset": "ultrafast", "tune": "zerolatency"} if codec == "libx264" else {"qmin": "4", "qmax": "4"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p" if codec == "libx264" else "yuvj420p"
        for index in range(rate):
            left = 4 * index
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(texture[:height, left : left + width]), "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cpu_seconds() -> float:
    """Processor time of all threads so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def run(clip: Path, seconds: float, strength: float, sinks: Sequence[Sink] = ()) -> tuple[LiveReport, float, float]:
    """The report, the processor milliseconds per frame, and the seconds to the first clean frame."""
    derainer = Derainer(DerainSettings(strength=strength), backend=KnownCost(residual=a_little_rain))
    report: LiveReport | None = None
    started, first = time.perf_counter(), 0.0
    settings = LiveSourceSettings(loop=True, has_sound=False)
    with open_source(str(clip), settings) as source:
        for step in derain_live(source, derainer, sinks, settings=LiveSettings(duration_seconds=seconds)):
            if step.frame_index == 1 and step.report is None:
                first = time.perf_counter() - started
                cpu = cpu_seconds()
            report = step.report
    if report is None:
        raise SystemExit("the run ended without a report")
    return report, 1000 * (cpu_seconds() - cpu) / max(1, report.frames_out - 1), first


def decoder_milliseconds(clip: Path) -> float:
    """Processor time that decoding a frame takes alone."""
    cpu, frames = cpu_seconds(), 0
    for _ in range(3):
        with av.open(str(clip)) as container:
            container.streams.video[0].thread_type = "AUTO"
            frames += sum(1 for _ in container.decode(video=0))
    return 1000 * (cpu_seconds() - cpu) / frames


def main() -> None:
    """Print a table, then everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--rate", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = make_clip(folder / "a.mp4", (height, width), options.rate, "libx264")
        decoding = decoder_milliseconds(clip)
        cases: list[tuple[str, float, list[Sink]]] = [
            ("path", 0.0, []),
            ("with color", 1.0, []),
            ("path, recording", 0.0, [Recording(folder / "rec.mkv")]),
        ]
        for title, strength, sinks in cases:
            report, cpu, first = run(clip, options.seconds, strength, sinks)
            results.append(
                {
                    "case": title,
                    "fps": round(report.fps, 1),
                    "cpu_ms": round(cpu, 2),
                    "cpu_ms_without_decoding": round(cpu - decoding, 2),
                    "latency_ms": round(report.latency_ms or 0, 1),
                    "latency_p95_ms": round(report.latency_p95_ms or 0, 1),
                    "first_seconds": round(first, 2),
                    "dropped": sum(report.dropped.values()),
                }
            )
    table = Table(title=f"{options.size} at {options.rate} frames/s, decoding {decoding:.1f} ms of CPU per frame")
    for column in results[0]:
        table.add_column(column, justify="right")
    for row in results:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    print(json.dumps({"threads": torch.get_num_threads(), "decoding_ms": round(decoding, 2), "results": results}))


if __name__ == "__main__":
    main()
