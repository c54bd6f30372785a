"""What a person reads of a benchmark: lines while it goes on, tables at its end."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from nerdrain_rt import console
from nerdrain_rt.backends import precision_name
from nerdrain_rt.backends.eager import best_dtype
from nerdrain_rt.benchmark.advice import MARGIN
from nerdrain_rt.benchmark.floor import Rates
from nerdrain_rt.benchmark.model import ModelRow, size_name
from nerdrain_rt.benchmark.pipeline import STAGES, PipelineRow
from nerdrain_rt.benchmark.report import Report, device_name


def describe_device(rates: Rates) -> str:
    """One line with the rates that the floor is computed from."""
    dtype = best_dtype(rates.device)
    copy, matrix = rates.copy() / 1e9, rates.multiply(dtype) / 1e12
    return f"{device_name(rates.device)}: copies {copy:.3g} GB/s, {precision_name(dtype)} matrices {matrix:.3g} TFLOP/s"


def describe(row: ModelRow) -> str:
    """One line on a row as soon as it is measured."""
    return f"{_subject(row)}: {f'{row.timing.median_ms:.1f} ms' if row.timing else row.reason}"


def print_tables(report: Report) -> None:
    """The measurements and what they mean, on stdout."""
    console.stdout.print(_model_table(report))
    for row in report.model:
        if remark := row.reason or row.note:
            console.stdout.print(f"{_subject(row)}: {remark}")
    if report.pipeline:
        console.stdout.print(_pipeline_table(report.pipeline))
    for failed in report.pipeline:
        if failed.reason:
            console.stdout.print(f"pipeline at {size_name(failed.size)}: {failed.reason}")
    if advice := report.advice():
        console.stdout.print(f"Real time here? (the network alone, counting on {MARGIN:.0%} of its speed)")
    for answer in advice:
        console.stdout.print(f"  {answer}")


def _subject(row: ModelRow) -> str:
    size = f"at {size_name(row.size)}" if row.size else None
    return " ".join(filter(None, (row.backend, row.precision, size)))


def _model_table(report: Report) -> Table:
    columns = "ms", "p95 ms", "fps", "times", "floor", "MiB", "PSNR dB"
    table = _table(f"The network on {device_name(report.device)}", ("size", "backend"), columns)
    table.caption = (
        "times: as fast as the published arrangement; PSNR: against the float32 network\n"
        "floor: the least time the device needs, by the time taken"
    )
    for row in report.model:
        if row.size is None or row.timing is None:
            continue
        table.add_row(
            size_name(row.size),
            f"{row.backend} {row.precision}",
            f"{row.timing.median_ms:.1f}",
            f"{row.timing.p95_ms:.1f}",
            _cell(row.fps, ".3g"),
            _cell(report.speedup(row), ".3g"),
            _cell(row.floor_share, ".1%"),
            _cell(None if row.peak_bytes is None else row.peak_bytes / 2**20, ".0f"),
            _cell(row.error.psnr_db if row.error else None, ".1f"),
        )
    return table


def _pipeline_table(rows: Sequence[PipelineRow]) -> Table:
    title = "From file to file, milliseconds per frame; each stage alone, then the whole"
    table = _table(title, ("size", "backend"), (*STAGES, "whole", "fps", "ratio"))
    table.padding = (0, 1, 0, 0)
    for row in rows:
        if taken := row.seconds:
            times = [f"{1000 * getattr(taken, name) / taken.frames:.1f}" for name in (*STAGES, "pipeline")]
            table.add_row(size_name(row.size), row.backend, *times, f"{taken.fps:.3g}", f"{taken.ratio:.1%}")
    return table


def _table(title: str, names: Sequence[str], figures: Sequence[str]) -> Table:
    """Narrow enough for 80 columns."""
    table = Table(title=title, title_justify="left", caption_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, no_wrap=True)
    for figure in figures:
        table.add_column(figure, justify="right", no_wrap=True)
    return table


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"
