"""A picture of a training run, drawn from the tables in its folder."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from nerdrain_rt.errors import MediaError, UsageError
from nerdrain_rt.media.report import media_errors
from nerdrain_rt.training.logs import STEPS, VALIDATION, read_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOT = "training.png"
POINTS = 50
QUARTILES = (25, 50, 75)

Values = npt.NDArray[np.float64]


class Trend(NamedTuple):
    """Noisy values drawn together: their steps, and quartiles of neighbours."""

    steps: Values
    low: Values
    median: Values
    high: Values


def load_matplotlib() -> ModuleType:
    """matplotlib.figure; raises UsageError where matplotlib is not installed."""
    try:
        from matplotlib import figure
    except ImportError:
        raise UsageError("matplotlib is not installed; pip install 'nerdrain-rt[train]'") from None
    return figure


def plot(folder: Path) -> Path:
    """Draw loss, gain and validation of a run against its steps into its `training.png`, and return that path.

    Raises UsageError without matplotlib, MediaError for a folder that holds no run, or cannot be written to.
    """
    steps, validation = read_table(folder / STEPS), read_table(folder / VALIDATION)
    if not steps["step"]:
        raise MediaError(f"{folder}: no steps in {STEPS}; to draw a run, name its folder")
    figure = load_matplotlib().Figure(figsize=(9, 9), layout="constrained")
    loss, gain, score = figure.subplots(3, sharex=True)
    loss.set(ylabel="loss", yscale="log", title=folder.resolve().name)
    loss.yaxis.set_major_formatter("{x:g}")
    loss.yaxis.set_minor_formatter("{x:g}")
    _draw(loss, trend(steps["step"], steps["loss"]), "C0")
    rate = loss.twinx()
    rate.plot(steps["step"], steps["learning_rate"], color="gray", alpha=0.4, linewidth=1)
    rate.set_ylabel("learning rate", color="gray")
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    rate.tick_params(axis="y", colors="gray")

    gain.set_ylabel("gain on trained crops, PSNR (dB)")
    gains = [after - before for before, after in zip(steps["input_psnr"], steps["output_psnr"], strict=True)]
    _draw(gain, trend(steps["step"], gains), "C1")
    gain.axhline(0, color="gray", linewidth=0.8)

    score.set(xlabel="step", ylabel="held-out photographs, PSNR-Y (dB)")
    for name, label, style in (("psnr_y", "derained", "o-"), ("input_psnr_y", "rainy", "--")):
        score.plot(validation["step"], validation[name], style, color="C2", label=label)
    if validation["step"]:
        score.annotate(
            f"{validation['psnr_y'][-1]:.2f}",
            (validation["step"][-1], validation["psnr_y"][-1]),
            textcoords="offset points",
            xytext=(0, 7),
            ha="center",
        )
        score.legend()
        score.margins(y=0.15)
    path = folder / PLOT
    with media_errors(path):
        figure.savefig(path, dpi=110)
    return path


def trend(steps: list[float], values: list[float], points: int = POINTS) -> Trend:
    """Values of at most so many runs of neighbouring steps; what is not finite is left out.

    Quartiles, because a batch with hardly any rain can be worth minus fifty decibels.
    """
    table = np.array([steps, values])
    table = table[:, np.isfinite(table[1])]
    runs = np.array_split(table, max(1, min(points, table.shape[1])), axis=1)
    places = np.array([run[0].mean() for run in runs if run.size])
    low, median, high = np.array([np.percentile(run[1], QUARTILES) for run in runs if run.size]).reshape(-1, 3).T
    return Trend(places, low, median, high)


def _draw(axes: Axes, values: Trend, color: str) -> None:
    axes.fill_between(values.steps, values.low, values.high, color=color, alpha=0.2, linewidth=0)
    axes.plot(values.steps, values.median, color=color)
