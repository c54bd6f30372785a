"""The `nerdrain eval` command."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias

import typer
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from nerdrain_rt import console
from nerdrain_rt.derainer import Derainer, DerainSettings
from nerdrain_rt.errors import UsageError
from nerdrain_rt.evaluation.evaluate import Comparison, Evaluation, Protocol, compare
from nerdrain_rt.evaluation.flicker import Flicker
from nerdrain_rt.evaluation.harm import Harm
from nerdrain_rt.evaluation.metrics import Convention
from nerdrain_rt.evaluation.plot import PLOT_SUFFIXES, require_matplotlib, save_plot
from nerdrain_rt.evaluation.real_drops import RealDrops
from nerdrain_rt.evaluation.sheets import Sheet
from nerdrain_rt.media.report import media_errors
from nerdrain_rt.model.weights import DEFAULT

Result: TypeAlias = Evaluation | Harm | Flicker | RealDrops
DECIMALS = 6
WHAT = "What is measured"
NETWORK = "The network"


def eval_command(
    source: Annotated[
        Path | None,
        typer.Option("--input", metavar="DIR|VIDEO", help="Rainy pictures to score.", rich_help_panel=WHAT),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|VIDEO", help="The same without rain, for --input or --flicker.", rich_help_panel=WHAT
        ),
    ] = None,
    harm: Annotated[
        Path | None,
        typer.Option(metavar="DIR|VIDEO", help="Dry footage: how much is changed.", rich_help_panel=WHAT),
    ] = None,
    flicker: Annotated[
        Path | None,
        typer.Option(metavar="DIR|VIDEO", help="Frames in order: how much they flicker.", rich_help_panel=WHAT),
    ] = None,
    real: Annotated[
        Path | None,
        typer.Option(metavar="DIR|VIDEO", help="Real rain: how much of its drops is left.", rich_help_panel=WHAT),
    ] = None,
    protocol: Annotated[
        Protocol, typer.Option(help="Whole pictures, or windows of 256 as in the papers.", rich_help_panel=WHAT)
    ] = "full",
    score: Annotated[
        Convention, typer.Option(help="y8 for Rain100, Rain200, SPA; yfloat for DID, DDN.", rich_help_panel=WHAT)
    ] = "y8",
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The first N pictures only.", rich_help_panel=WHAT)
    ] = None,
    weights: Annotated[str, typer.Option(help="A name or a file.", rich_help_panel=NETWORK)] = DEFAULT,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=NETWORK)] = "auto",
    backend: Annotated[str, typer.Option(help="auto or a name from doctor.", rich_help_panel=NETWORK)] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.", rich_help_panel=NETWORK)] = "auto",
    temporal: Annotated[
        bool,
        typer.Option(help="Compare frames of a video with those around them, as video does.", rich_help_panel=NETWORK),
    ] = True,
    table: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the figures of each picture.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a PNG of the worst pictures side by side.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a chart of the figures of each picture.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("-y", "--overwrite", help="Overwrite files that exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Score a network on pairs, or measure its harm on dry footage, its flicker, or what it leaves of real rain."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[console.Lines()], force=True)
    shown = _only_one(source, harm, flicker, real)
    if (source and not target) or ((harm or real) and target):
        raise UsageError("--input needs a --target, --flicker can have one, --harm and --real have none")
    if flicker and sheet:
        raise UsageError("--sheet goes with --input, --harm or --real")
    read = [shown, *([target] if target else []), Path(weights)]
    for path, suffixes in ((table, ()), (sheet, {".png"}), (plot, PLOT_SUFFIXES)):
        if path is not None:
            _check_output(path, suffixes, read, overwrite=overwrite)
    outputs = [path.resolve() for path in (table, sheet, plot) if path]
    if len(set(outputs)) < len(outputs):
        raise UsageError("--csv, --sheet and --plot need a file each")
    if plot:
        require_matplotlib()
    derainer = Derainer(DerainSettings(weights, backend, device, precision, temporal=temporal))
    worst = Sheet()
    comparisons = worst.watch(_follow(compare(derainer, shown, target, protocol=protocol, limit=limit), limit))
    if source:
        result: Result = Evaluation.of(comparisons, score)
    elif harm:
        result = Harm.of(comparisons)
    elif flicker:
        result = Flicker.of(comparisons)
    else:
        result = RealDrops.of(comparisons)
    if table:
        write_csv(table, result.rows)
    if sheet:
        worst.save(sheet)
    if plot:
        save_plot(result, shown.name, plot)
    if as_json:
        console.print_json(summary(result))
    else:
        _print_table(result, shown)


def summary(result: Result) -> dict[str, Any]:
    """The figures of the whole without those of each picture, ready for JSON."""
    content = {field.name: getattr(result, field.name) for field in fields(result) if field.name != "rows"}
    return {name: round(value, DECIMALS) if isinstance(value, float) else value for name, value in content.items()}


def write_csv(path: Path, rows: Sequence[NamedTuple]) -> None:
    """A line for each picture below the names of the columns; raises MediaError where it cannot be written."""
    with media_errors(path), path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0]._fields)
        writer.writerows([round(v, DECIMALS) if isinstance(v, float) else v for v in row] for row in rows)


def _only_one(*sources: Path | None) -> Path:
    given = [source for source in sources if source]
    if len(given) != 1:
        raise UsageError("give one of --input (with --target), --harm, --flicker and --real")
    return given[0]


def _check_output(path: Path, suffixes: Collection[str], sources: Iterable[Path], *, overwrite: bool) -> None:
    """Raise UsageError, before any work, for a file that cannot be, is read or is not in the format of its name."""
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")
    if suffixes and path.suffix.lower() not in suffixes:
        raise UsageError(f"{path}: must be named {' or '.join(sorted(suffixes))}")
    if path.exists() and any(path.resolve().is_relative_to(source.resolve()) for source in sources):
        raise UsageError(f"{path}: is among what is read; choose another name")
    if path.is_file() and not overwrite:
        raise UsageError(f"{path}: exists; allow overwriting (-y) or choose another name")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{path}: cannot be written: permission denied")


def _follow(comparisons: Iterable[Comparison], limit: int | None) -> Iterator[Comparison]:
    """Count on the terminal what passes by."""
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), MofNCompleteColumn()
    is_shown = console.stderr.is_terminal
    with Progress(*columns, console=console.stderr, transient=True, disable=not is_shown) as bar:
        task = bar.add_task("pictures", total=limit)
        for comparison in comparisons:
            bar.update(task, advance=1, description=comparison.name)
            yield comparison


def _print_table(result: Result, source: Path) -> None:
    table = Table(title=str(source), title_justify="left", show_header=False)
    for name, value in summary(result).items():
        if value is not None:
            table.add_row(name, f"{value:.4f}" if isinstance(value, float) else str(value))
    if isinstance(result, Harm):
        worst = result.rows[result.worst_frame]
        table.add_row("worst frame", f"{worst.name}: {worst.psnr:.2f} dB, {worst.changed_share:.2%} changed")
    console.stdout.print(table)
