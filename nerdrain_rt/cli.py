"""The `nerdrain` command line."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Annotated, Any

import typer

from nerdrain_rt import __version__, console
from nerdrain_rt.backends import precision_name
from nerdrain_rt.batch import VIDEO_SUFFIXES, Job, JobError, plan_jobs, run_jobs
from nerdrain_rt.derainer import Derainer, DerainSettings
from nerdrain_rt.doctor import doctor_command
from nerdrain_rt.errors import BackendError, UsageError, WeightsError
from nerdrain_rt.evaluation.command import eval_command
from nerdrain_rt.media.image import FORMATS, derain_image
from nerdrain_rt.media.writer import OutputSettings
from nerdrain_rt.model.weights import DEFAULT
from nerdrain_rt.pipeline import derain_video
from nerdrain_rt.training.command import rain_command, train_command
from nerdrain_rt.weights_cli import weights_app

app = typer.Typer(
    help="Take the rain out of videos and images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(weights_app, name="weights")
app.command("doctor")(doctor_command)
app.command("eval")(eval_command)
app.command("train")(train_command)
app.command("rain")(rain_command)

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help="Files, folders or patterns; ./-name for a name that begins with a dash.",
        show_default=False,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "-o", "--output", metavar="OUT|DIR", help="Target file or folder. Default: <stem>_derained beside the input."
    ),
]
Overwrite = Annotated[bool, typer.Option("-y", "--overwrite", help="Overwrite targets that exist.")]
Recursive = Annotated[bool, typer.Option("--recursive", help="Look into subfolders.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object for each input on stdout.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only: no progress, report or warnings.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Log what happens; tracebacks with errors.")]

NETWORK = "The network"
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=NETWORK)]
BackendName = Annotated[str, typer.Option("--backend", help="auto or a name from doctor.", rich_help_panel=NETWORK)]
Precision = Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.", rich_help_panel=NETWORK)]
WeightsName = Annotated[
    str, typer.Option("--weights", help="A name from 'nerdrain weights list', or a file.", rich_help_panel=NETWORK)
]
Strength = Annotated[
    float, typer.Option(help="How much of the rain to take out, 0 to 1.", rich_help_panel=NETWORK, metavar="0..1")
]
Tile = Annotated[
    str, typer.Option(help="auto, 0 for whole frames, or the side of tiles in pixels.", rich_help_panel=NETWORK)
]
WorkScale = Annotated[
    float,
    typer.Option(
        metavar="0..1", help="Size the network works at; 0.5 is about 4 times as fast.", rich_help_panel=NETWORK
    ),
]

ENCODING = "The output"
Codec = Annotated[
    str | None,
    typer.Option(
        "-c",
        "--codec",
        help="An FFmpeg encoder, for example ffv1. Default: by the source, for 8-bit video libx264 at CRF 16.",
        rich_help_panel=ENCODING,
    ),
]
CodecOptions = Annotated[
    list[str] | None,
    typer.Option(
        "-e",
        "--encoder-option",
        metavar="KEY=VALUE",
        help="An encoder option, for example crf=18; repeat for more.",
        rich_help_panel=ENCODING,
    ),
]
Start = Annotated[
    str | None,
    typer.Option(help="Begin here: seconds or [HH:]MM:SS from the beginning of the file.", rich_help_panel=ENCODING),
]
End = Annotated[str | None, typer.Option(help="End before here, counted like --start.", rich_help_panel=ENCODING)]
KeepPartial = Annotated[
    bool,
    typer.Option(
        "--keep-partial",
        help="When interrupted, keep what is done as <stem>.partial, playable.",
        rich_help_panel=ENCODING,
    ),
]
Tolerant = Annotated[
    bool,
    typer.Option("--tolerant", help="Exit with 0 where damage in an input was passed over.", rich_help_panel=ENCODING),
]


@app.callback(invoke_without_command=True)
def show_version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Take the rain out of videos and images."""
    if version:
        console.stdout.print(f"nerdrain-rt {__version__}")
        raise typer.Exit


@app.command()
def video(
    inputs: Inputs,
    output: Output = None,
    overwrite: Overwrite = False,
    recursive: Recursive = False,
    device: Device = "auto",
    backend: BackendName = "auto",
    precision: Precision = "auto",
    weights: WeightsName = DEFAULT,
    strength: Strength = 1.0,
    tile: Tile = "auto",
    work_scale: WorkScale = 1.0,
    codec: Codec = None,
    encoder_option: CodecOptions = None,
    start: Start = None,
    end: End = None,
    keep_partial: KeepPartial = False,
    tolerant: Tolerant = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Derain videos; sound, subtitles, telemetry, chapters and tags stay as they are."""
    set_up_logging(is_verbose=verbose)
    span = {"start": parse_time(start), "end": parse_time(end)}
    target = OutputSettings(codec, parse_options(encoder_option or []), overwrite, keep_partial)
    settings = DerainSettings(weights, backend, device, precision, strength, parse_tile(tile), work_scale)
    jobs = plan_jobs(inputs, output, VIDEO_SUFFIXES, is_recursive=recursive)
    derainer = load_derainer(settings, jobs, as_json=as_json)

    def run(job: Job) -> dict[str, Any]:
        with closing(derain_video(job.source, job.target, derainer, output=target, **span)) as progress:
            report = console.follow(progress, job.source.name, is_quiet=quiet)
        if not quiet and not as_json:
            console.print_report(report)
        if report.is_damaged and not tolerant:
            words = f"{report.input}: damaged; what could be decoded is in {report.output}"
            raise JobError(words, console.report_json(report))
        return console.report_json(report)

    run_jobs(jobs, run, as_json=as_json, is_verbose=verbose)


@app.command()
def image(
    inputs: Inputs,
    output: Output = None,
    overwrite: Overwrite = False,
    recursive: Recursive = False,
    device: Device = "auto",
    backend: BackendName = "auto",
    precision: Precision = "auto",
    weights: WeightsName = DEFAULT,
    strength: Strength = 1.0,
    tile: Tile = "auto",
    work_scale: WorkScale = 1.0,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Derain images at 8 or 16 bits; EXIF, ICC profile and alpha stay as they are."""
    set_up_logging(is_verbose=verbose)
    settings = DerainSettings(weights, backend, device, precision, strength, parse_tile(tile), work_scale)
    jobs = plan_jobs(inputs, output, FORMATS, is_recursive=recursive)
    derainer = load_derainer(settings, jobs, as_json=as_json)

    def run(job: Job) -> dict[str, Any]:
        started = time.monotonic()
        report = derain_image(job.source, job.target, derainer.residual, overwrite=overwrite)
        seconds = time.monotonic() - started
        if not quiet and not as_json:
            console.note(f"{report.output}: {report.size[1]}x{report.size[0]}, {report.bits} bits, {seconds:.1f} s")
            for message in report.warnings:
                console.warn(message)
        return {
            "input": str(report.input),
            "output": str(report.output),
            "size": report.size,
            "bits": report.bits,
            "seconds": round(seconds, 3),
            "device": str(derainer.backend.device),
            "backend": derainer.backend.name,
            "precision": precision_name(derainer.backend.dtype),
            "warnings": report.warnings,
        }

    run_jobs(jobs, run, as_json=as_json, is_verbose=verbose)


def load_derainer(settings: DerainSettings, jobs: Sequence[Job], *, as_json: bool) -> Derainer:
    """The network, or every job refused: UsageError where weights, device or backend are not to be had."""
    try:
        return Derainer(settings)
    except (WeightsError, BackendError) as error:
        if as_json:
            for job in jobs:
                console.print_json({"input": str(job.source), "output": None, "error": str(error)})
        raise UsageError(str(error)) from error


def set_up_logging(*, is_verbose: bool) -> None:
    """Everything this package logs goes to stderr with --verbose; without, reports carry the warnings."""
    level = logging.DEBUG if is_verbose else logging.CRITICAL
    logging.basicConfig(level=level, format="%(message)s", handlers=[console.log_handler()], force=True)


def parse_time(text: str | None) -> float | None:
    """Seconds of "90", "1:30.5" or "00:01:30"; raises UsageError."""
    if text is None:
        return None
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)", text)
    if match is None:
        raise UsageError(f"{text!r} is not a time; give seconds (90.5) or [HH:]MM:SS (1:30)")
    hours, minutes, seconds = match.groups(default="0")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def parse_options(texts: list[str]) -> dict[str, str]:
    """Encoder options from "key=value" texts; raises UsageError."""
    for text in texts:
        if not re.fullmatch(r"[^=]+=.+", text):
            raise UsageError(f"{text!r} is not an encoder option; write key=value, for example crf=18")
    return dict(text.split("=", 1) for text in texts)


def parse_tile(text: str) -> int | None:
    """None for "auto", else a whole number; raises UsageError."""
    if text == "auto":
        return None
    if not text.isdecimal():
        raise UsageError(f"{text!r} is not a tile size; use auto, 0 or a number of pixels")
    return int(text)
