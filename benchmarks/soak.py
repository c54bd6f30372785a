"""The live path for as many frames as a camera has in days, and the memory it holds: a picture and a JSON line.

Run as `python benchmarks/soak.py [--frames 1000000] [--strength 1] [--plot soak.png]`; it needs matplotlib. A source
without a decoder and a backend without a network go as fast as they can; copies of the rainy frame, stages, figures
and a sink are the program's own, and with a strength above 0 colour there and back. The goal: what is held at the
end is at most 8 MiB more than after the first tenth.
"""

import argparse
import json
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import torch

from nerdrain_rt import Derainer, DerainSettings
from nerdrain_rt.benchmark.known_cost import KnownCost
from nerdrain_rt.frame import VideoInfo
from nerdrain_rt.live import LiveReport, LiveSettings
from nerdrain_rt.media.live_base import LiveFrame, LiveSource
from nerdrain_rt.media.sinks import Sink
from nerdrain_rt.pipeline import derain_live

SIZE = (32, 48)
RATE = 30
SAMPLES = 400
GOAL_MIB = 8


class Frames(LiveSource):
    """`count` new pictures, each as soon as the one before is through, so that all go the whole way."""

    def __init__(self, count: int) -> None:
        super().__init__("frames")
        self.is_through = threading.Semaphore(2)
        self._count = count

    def _open(self) -> None:
        self.info = VideoInfo(SIZE, "yuv420p", "rawvideo", Fraction(RATE), None, None, 0, False)

    def _close(self) -> None:
        self.is_connected = False

    def _frames(self) -> Iterator[LiveFrame]:
        samples = np.zeros((SIZE[0] * 3 // 2, SIZE[1]), np.uint8)
        for index in range(self._count):
            self.is_through.acquire()
            samples[:] = index % 256
            picture = av.VideoFrame.from_ndarray(samples, format="yuv420p")
            pts = self._timeline.place(None, self._timeline.started + index / RATE)
            yield self._frame(picture, pts, self.clock.now(), index / RATE)


def run(count: int, strength: float) -> tuple[LiveReport, list[tuple[int, float]]]:
    """The report, and pairs of a frame's number and the resident memory in MiB then."""
    process, every = psutil.Process(), max(1, count // SAMPLES)
    memory: list[tuple[int, float]] = []
    backend = KnownCost(residual=lambda rainy: torch.full_like(rainy, -0.01))
    derainer = Derainer(DerainSettings(strength=strength), backend=backend)
    with Frames(count) as source:
        for step in derain_live(source, derainer, [Sink()], settings=LiveSettings(keep_rainy=True)):
            if step.report is not None:
                return step.report, memory
            source.is_through.release()
            if step.frame_index % every == 0:
                memory.append((step.frame_index, process.memory_info().rss / 2**20))
    raise SystemExit("the run ended without a report")


def plot(memory: list[tuple[int, float]], title: str, path: Path) -> None:
    """Memory over frames, from 0 up, so that what is flat looks flat."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 3.2), layout="constrained")
    axes.plot([frame / 1e6 for frame, _ in memory], [mebibytes for _, mebibytes in memory], color="#1b6ce5")
    largest = max(mebibytes for _, mebibytes in memory)
    axes.set(
        xlabel="million frames", ylabel="resident memory (MiB)", ylim=(0, 1.3 * largest), xlim=(0, None), title=title
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run, draw, and tell; the exit code is 1 where memory grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    started = time.monotonic()
    report, memory = run(options.frames, options.strength)
    settled = memory[len(memory) // 10][1]
    grown = memory[-1][1] - settled
    if options.plot is not None:
        hours = report.frames_in / RATE / 3600
        plot(memory, f"{report.frames_in:,} frames through the live path ({hours:.1f} h at {RATE}/s)", options.plot)
    result = {
        "frames_in": report.frames_in,
        "frames_out": report.frames_out,
        "seconds": round(time.monotonic() - started, 1),
        "settled_mib": round(settled, 1),
        "largest_mib": round(max(mebibytes for _, mebibytes in memory), 1),
        "grown_mib": round(grown, 1),
    }
    print(json.dumps(result))
    raise SystemExit(0 if grown <= GOAL_MIB else 1)


if __name__ == "__main__":
    main()
