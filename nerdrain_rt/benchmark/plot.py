"""A chart of the frames per second of every backend at every size."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from nerdrain_rt.benchmark.model import ModelRow, size_name
from nerdrain_rt.errors import UsageError
from nerdrain_rt.media.report import media_errors

REAL_TIME_FPS = 30


def require_chart(path: Path) -> None:
    """Raise UsageError where no chart can be written to the path, before anything is measured."""
    if find_spec("matplotlib") is None:
        raise UsageError("--plot: matplotlib is missing; pip install 'nerdrain-rt[train]'")
    from matplotlib.backend_bases import FigureCanvasBase

    if path.suffix.lower().removeprefix(".") not in FigureCanvasBase.get_supported_filetypes():
        raise UsageError(f"{path}: not the name of a chart; end it in .png, .svg or .pdf")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")


def save_plot(rows: Sequence[ModelRow], title: str, path: Path) -> None:
    """Write a chart in the format of the path's suffix; raises MediaError where it cannot be written."""
    from matplotlib.figure import Figure

    measured = [(row, row.size, row.fps) for row in rows if row.size and row.fps]
    sizes = sorted({size for _, size, _ in measured})
    series = list(dict.fromkeys((row.backend, row.precision) for row, _, _ in measured))
    height = 0.8 / max(1, len(series))
    figure = Figure(figsize=(8, 1.5 + 0.35 * max(1, len(sizes) * len(series))), layout="constrained")
    axes = figure.add_subplot(xscale="log", xlabel="frames per second, network alone", title=title)
    for index, (backend, precision) in enumerate(series):
        points = [
            (sizes.index(size) + index * height, fps)
            for row, size, fps in measured
            if (row.backend, row.precision) == (backend, precision)
        ]
        places, values = zip(*points, strict=True)
        bars = axes.barh(places, values, height=height, label=f"{backend} {precision}")
        axes.bar_label(bars, fmt="%.3g", padding=3)
    axes.axvline(REAL_TIME_FPS, color="gray", linestyle=":")
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(sizes))], [size_name(size) for size in sizes])
    axes.invert_yaxis()
    axes.margins(x=0.15)
    figure.legend(loc="outside lower center", ncols=3)
    with media_errors(path):
        figure.savefig(path)
