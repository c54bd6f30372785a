"""File-to-file time of the pipeline against its slowest stage alone, and its memory against the length of the clip.

Run as `python benchmarks/pipeline.py [--weights NAME] [--backend auto] [--device auto]`; the last line is JSON.
The goal: `ratio`, the slowest stage's seconds by the pipeline's, is at least 0.97, on a machine that is otherwise
idle and where the pipeline's work fits its cores (the column says how many it kept busy).
"""

import argparse
import json
import resource
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from nerdrain_rt import Derainer, OutputSettings, derain_video, load_weights
from nerdrain_rt.backends import load_backend
from nerdrain_rt.benchmark.known_cost import KnownCost
from nerdrain_rt.benchmark.pipeline import RATE, STAGES, StageSeconds, exhaust, make_clip, measure_stages
from nerdrain_rt.model.weights import DEFAULT

GOAL = 0.97
LENGTHS_SECONDS = (10, 60)


def peak_mebibytes() -> float:
    """The largest memory this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def measure_memory(folder: Path, size: tuple[int, int], output: OutputSettings) -> dict[int, float]:
    """Peak memory after clips of growing length; what a longer one does not add does not depend on the length."""
    peaks = {}
    for length in LENGTHS_SECONDS:
        clip = make_clip(folder / f"{length}.mp4", size, length * RATE)
        exhaust(derain_video(clip, folder / "clean.mkv", Derainer(backend=KnownCost()), output=output))
        peaks[length] = peak_mebibytes()
    return peaks


def table_of(results: list[StageSeconds]) -> Table:
    """Milliseconds for each frame."""
    table = Table("", "frames", title="Milliseconds per frame")
    for column in (*STAGES, "pipeline", "cores", "ratio"):
        table.add_column(column, justify="right")
    for row in results:
        times = (getattr(row, column) for column in (*STAGES, "pipeline"))
        cells = [f"{1000 * seconds / row.frames:.1f}" for seconds in times]
        color = "green" if row.ratio >= GOAL else "red"
        cores = f"{row.pipeline_cpu / row.pipeline:.1f}"
        table.add_row(row.name, str(row.frames), *cells, cores, f"[{color}]{row.ratio:.1%}[/]")
    return table


def main() -> None:
    """Print both tables, then everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default=DEFAULT, help="name or path")
    parser.add_argument("--backend", default="auto", help="the real network's, a name from 'nerdrain doctor'")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--real-frames", type=int, default=60)
    parser.add_argument("--height", type=int, default=360)
    options = parser.parse_args()
    size = options.height, options.height * 16 // 9 // 2 * 2
    overwriting = OutputSettings(overwrite=True)
    # Without zerolatency x264 takes 60 frames for almost nothing and encodes them at the end, with nothing beside it.
    slow_encoding = {"preset": "slower", "tune": "zerolatency", "threads": "1"}
    slow_encoder = OutputSettings(overwrite=True, codec="libx264", codec_options=slow_encoding)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        memory = measure_memory(folder, (96, 160), overwriting)
        clip = make_clip(folder / "clip.mp4", size, options.frames)
        short = make_clip(folder / "short.mp4", size, options.frames // 4)
        small = make_clip(folder / "small.mp4", (96, 160), options.real_frames)
        shape = f"{size[1]}x{size[0]}"
        real = load_backend(load_weights(options.weights), options.backend, device=options.device)
        results = [
            # A network as quick as these is on a GPU, and so is the comparison of frames.
            measure_stages(f"{shape}, network 20 ms", clip, KnownCost(0.020), overwriting, temporal=False),
            measure_stages(f"{shape}, slow encoder", clip, KnownCost(), slow_encoder, temporal=False),
            measure_stages(f"{shape}, 100 ms, compared", short, KnownCost(0.1), overwriting),
            measure_stages(f"160x96, {real.name} {real.device}", small, real, overwriting),
        ]

    console = Console()
    console.print(table_of(results))
    peaks = Table("clip of", "peak memory", title="Memory against length")
    for length, peak in memory.items():
        peaks.add_row(f"{length} s", f"{peak:.0f} MiB")
    console.print(peaks)
    print(
        json.dumps(
            {
                "ratio": round(min(row.ratio for row in results), 4),
                "threads": torch.get_num_threads(),
                "results": [asdict(row) | {"slowest": row.slowest, "ratio": round(row.ratio, 4)} for row in results],
                "peak_mebibytes": {str(length): round(peak, 1) for length, peak in memory.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
