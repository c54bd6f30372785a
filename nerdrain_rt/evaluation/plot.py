"""A chart of what was measured on each picture, in order."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from statistics import fmean

from nerdrain_rt.errors import UsageError
from nerdrain_rt.evaluation.evaluate import Evaluation
from nerdrain_rt.evaluation.flicker import Flicker
from nerdrain_rt.evaluation.harm import Harm
from nerdrain_rt.evaluation.real_drops import REACH, RealDrops
from nerdrain_rt.media.report import media_errors

PLOT_SUFFIXES = frozenset({".png", ".svg", ".pdf"})


def require_matplotlib() -> None:
    """Raise UsageError where it is missing, before anything is measured."""
    if find_spec("matplotlib") is None:
        raise UsageError("--plot: matplotlib is missing; pip install 'nerdrain-rt[train]'")


def save_plot(result: Evaluation | Harm | Flicker | RealDrops, title: str, path: Path) -> None:
    """Write a chart in the format of the path's suffix; raises MediaError where it cannot be written."""
    from matplotlib.figure import Figure

    rows, first = result.rows, 0
    match result:
        case Evaluation():
            unit, curves = "PSNR-Y (dB)", {"input": "input_psnr_y", "output": "psnr_y"}
        case Harm():
            unit, curves = "PSNR between input and output (dB)", {"output": "psnr"}
        case Flicker():
            unit, curves, first = "flicker (8-bit codes)", {"input": "before", "output": "after"}, 1
        case RealDrops():
            unit, curves, first = "light of drops (8-bit codes)", {"input": "before", "output": "after"}, REACH
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="picture", ylabel=unit)
    # Names of files may have dollar signs, and bytes that are no text.
    axes.set_title(title.encode(errors="backslashreplace").decode(), parse_math=False)
    for label, column in curves.items():
        values = [getattr(row, column) for row in rows]
        axes.plot(range(first, first + len(rows)), values, ".-", label=f"{label}, mean {fmean(values):.2f}")
    axes.locator_params(axis="x", integer=True)
    axes.legend()
    with media_errors(path):
        figure.savefig(path)
