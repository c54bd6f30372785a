"""The `nerdrain bench` command."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from nerdrain_rt import console
from nerdrain_rt.backends import NAMES, PRECISIONS, find_device
from nerdrain_rt.backends.choice import release_memory
from nerdrain_rt.benchmark.floor import Rates
from nerdrain_rt.benchmark.model import ModelBench, Size
from nerdrain_rt.benchmark.pictures import first_frame, synthesize
from nerdrain_rt.benchmark.pipeline import PipelineRow, measure_pipeline
from nerdrain_rt.benchmark.plot import require_chart, save_plot
from nerdrain_rt.benchmark.report import Report, device_name
from nerdrain_rt.benchmark.tables import describe, describe_device, print_tables
from nerdrain_rt.benchmark.timing import Budget
from nerdrain_rt.command_options import Device, Verbose, WeightsName, parse_size, set_up_logging
from nerdrain_rt.ending import INTERRUPTED
from nerdrain_rt.errors import BackendError, DerainError, UsageError
from nerdrain_rt.lanes import gpu_failures
from nerdrain_rt.model.weights import DEFAULT, load_weights

_log = logging.getLogger(__name__)

SIZES: dict[str, tuple[Size, ...]] = {
    "cuda": ((720, 1280), (1080, 1920), (2160, 3840)),
    "mps": ((270, 480), (720, 1280)),
    "cpu": ((270, 480),),
}
"""(height, width) of the frames measured where none are asked for."""
SMALLEST_SIDE, LARGEST_SIDE = 16, 16384
WHAT = "What is measured"


def bench_command(
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="WxH", help="Frame size, for example 1280x720; repeat for more.", rich_help_panel=WHAT),
    ] = None,
    backend: Annotated[
        list[str] | None, typer.Option(help="A name from doctor; repeat for more. Default: all.", rich_help_panel=WHAT)
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="fp32, bf16 or fp16; repeat for more. Default: what suits the backend.", rich_help_panel=WHAT
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--input", metavar="FILE", help="Measure on its first frame, at its size.", rich_help_panel=WHAT),
    ] = None,
    no_pipeline: Annotated[bool, typer.Option("--no-pipeline", help="The network only.", rich_help_panel=WHAT)] = False,
    no_published: Annotated[
        bool, typer.Option("--no-published", help="Without the published arrangement.", rich_help_panel=WHAT)
    ] = False,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each at most.", rich_help_panel=WHAT)] = 50,
    seconds: Annotated[
        float, typer.Option(min=0, help="Begin no further run of each after so long.", rich_help_panel=WHAT)
    ] = 5.0,
    weights: WeightsName = DEFAULT,
    device: Device = "auto",
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a chart of the speeds.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
    verbose: Verbose = False,
) -> None:
    """Measure how fast and how exact every backend is here, and say what runs in real time."""
    set_up_logging(is_verbose=verbose)
    names = _known(backend or list(NAMES), NAMES, "backend")
    precisions = _known(precision or ["auto"], ("auto", *PRECISIONS), "precision")
    wanted = [_parse_size(text) for text in size or ()]
    if plot:
        require_chart(plot)
    where = find_device(device)
    budget = Budget(runs, seconds)
    rates = Rates(where)
    pictures, usual = first_frame(source) if source else (synthesize, None)
    sizes = list(dict.fromkeys(wanted or ((usual,) if usual else SIZES[where.type])))
    announce = _log.info if as_json else console.note
    bench = ModelBench(load_weights(weights), where, pictures, sizes, rates, budget, announce)
    report = Report(where, rates)
    failure: DerainError | None = None
    try:
        with gpu_failures(where):
            if not as_json:
                console.note(describe_device(rates))
            for row in bench.rows(names, precisions, with_published=not no_published):
                report.model.append(row)
                if not as_json:
                    console.note(describe(row))
            if not no_pipeline:
                for pipeline_row in _pipeline_rows(bench, report):
                    report.pipeline.append(pipeline_row)
    except KeyboardInterrupt:
        report.is_interrupted = True
    except DerainError as error:
        failure, report.error = error, str(error)
    if not as_json:
        print_tables(report)
    console.print_json(report.json())
    if plot and report.model:
        save_plot(report.model, device_name(where), plot)
    if failure is not None:
        raise failure
    if report.is_interrupted:
        raise typer.Exit(INTERRUPTED)


def _known(given: Sequence[str], known: Sequence[str], what: str) -> list[str]:
    for name in given:
        if name not in known:
            raise UsageError(f"{name}: no such {what}; there are {', '.join(known)}")
    return list(dict.fromkeys(given))


def _parse_size(text: str) -> Size:
    size = parse_size(text)
    if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in size):
        raise UsageError(f"{text}: a side is to be of {SMALLEST_SIDE} to {LARGEST_SIDE} pixels")
    return size


def _pipeline_rows(bench: ModelBench, report: Report) -> Iterator[PipelineRow]:
    """The pipeline at each size, with the backend that was fastest there."""
    for size in bench.sizes:
        fastest = report.fastest(size)
        if fastest is None or not fastest.fps:
            continue
        name, precision = fastest.backend, fastest.precision or "auto"
        release_memory()
        try:
            backend = bench.load(name, precision)
        except BackendError as error:
            yield PipelineRow(name, size, precision, reason=str(error))
            continue
        with tempfile.TemporaryDirectory() as folder:
            yield measure_pipeline(backend, size, Path(folder), fps=fastest.fps, seconds=bench.budget.seconds)
