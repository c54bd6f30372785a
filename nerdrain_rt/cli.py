"""The `nerdrain` command line."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import Annotated, Any

import typer

from nerdrain_rt import __version__, console
from nerdrain_rt.backends import precision_name
from nerdrain_rt.batch import VIDEO_SUFFIXES, Job, JobError, plan_jobs, run_jobs, skips_existing
from nerdrain_rt.benchmark.command import bench_command
from nerdrain_rt.command_options import (
    ENCODING,
    NETWORK,
    AsJson,
    BackendName,
    CodecOptions,
    Device,
    Overwrite,
    Precision,
    Quiet,
    SkipExisting,
    Strength,
    Tile,
    Verbose,
    WeightsName,
    WorkScale,
    parse_options,
    parse_tile,
    set_up_logging,
)
from nerdrain_rt.derainer import Derainer, DerainSettings
from nerdrain_rt.doctor import doctor_command
from nerdrain_rt.engine_cli import engine_app
from nerdrain_rt.errors import BackendError, UsageError, WeightsError
from nerdrain_rt.evaluation.command import eval_command
from nerdrain_rt.gui_command import gui_command
from nerdrain_rt.live_command import live_command
from nerdrain_rt.media.image import FORMATS, derain_image
from nerdrain_rt.media.target import kept_partial
from nerdrain_rt.media.writer import OutputSettings
from nerdrain_rt.model.weights import DEFAULT
from nerdrain_rt.pipeline import derain_video
from nerdrain_rt.training.command import rain_command, train_command
from nerdrain_rt.weights_cli import weights_app

_log = logging.getLogger(__name__)

app = typer.Typer(
    help="Take the rain out of videos and images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(weights_app, name="weights")
app.add_typer(engine_app, name="engine")
app.command("live")(live_command)
app.command("gui")(gui_command)
app.command("bench")(bench_command)
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
Recursive = Annotated[bool, typer.Option("--recursive", help="Look into subfolders.")]
WaitEngine = Annotated[
    bool,
    typer.Option(
        "--wait-engine",
        help="Wait for the TensorRT engine instead of starting on another backend.",
        rich_help_panel=NETWORK,
    ),
]
Codec = Annotated[
    str | None,
    typer.Option(
        "-c",
        "--codec",
        help="An FFmpeg encoder, for example ffv1. Default: by the source, for 8-bit video libx264 at CRF 16.",
        rich_help_panel=ENCODING,
    ),
]
Temporal = Annotated[
    bool,
    typer.Option(
        help="Compare each frame with those around it, for rain over texture; takes time of the processor.",
        rich_help_panel=NETWORK,
    ),
]
DecodeOnGpu = Annotated[
    bool,
    typer.Option(
        "--decode-on-gpu",
        help="Let the NVIDIA GPU decode too; with -c h264_nvenc, hevc_nvenc or av1_nvenc frames never leave it.",
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
    skip_existing: SkipExisting = False,
    recursive: Recursive = False,
    device: Device = "auto",
    backend: BackendName = "auto",
    precision: Precision = "auto",
    wait_engine: WaitEngine = False,
    weights: WeightsName = DEFAULT,
    strength: Strength = 1.0,
    tile: Tile = "auto",
    work_scale: WorkScale = 1.0,
    temporal: Temporal = True,
    codec: Codec = None,
    encoder_option: CodecOptions = None,
    decode_on_gpu: DecodeOnGpu = False,
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
    derain = partial(derain_video, start=parse_time(start), end=parse_time(end), decode_on_gpu=decode_on_gpu)
    target = OutputSettings(codec, parse_options(encoder_option or []), overwrite, keep_partial)
    settings = DerainSettings(
        weights, backend, device, precision, wait_engine, strength, parse_tile(tile), work_scale, temporal
    )
    _check_existing(overwrite=overwrite, skip_existing=skip_existing)
    jobs = plan_jobs(inputs, output, VIDEO_SUFFIXES, is_recursive=recursive)
    derainer = load_derainer(settings, jobs, as_json=as_json, is_quiet=quiet)

    def run(job: Job) -> dict[str, Any]:
        if skip_existing and (skipped := skips_existing(job, is_quiet=quiet or as_json)):
            return skipped
        try:
            with closing(derain(job.source, job.target, derainer, output=target)) as progress:
                report = console.follow(progress, job.source.name, is_quiet=quiet)
        except KeyboardInterrupt:
            if keep_partial and kept_partial(job.target).exists() and not quiet:
                console.note(f"{kept_partial(job.target)}: what was done until then")
            raise
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
    skip_existing: SkipExisting = False,
    recursive: Recursive = False,
    device: Device = "auto",
    backend: BackendName = "auto",
    precision: Precision = "auto",
    wait_engine: WaitEngine = False,
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
    settings = DerainSettings(weights, backend, device, precision, wait_engine, strength, parse_tile(tile), work_scale)
    _check_existing(overwrite=overwrite, skip_existing=skip_existing)
    jobs = plan_jobs(inputs, output, FORMATS, is_recursive=recursive)
    derainer = load_derainer(settings, jobs, as_json=as_json, is_quiet=quiet)

    def run(job: Job) -> dict[str, Any]:
        if skip_existing and (skipped := skips_existing(job, is_quiet=quiet or as_json)):
            return skipped
        started = time.monotonic()
        derainer.warnings.clear()
        report = derain_image(job.source, job.target, derainer.residual, overwrite=overwrite)
        seconds = time.monotonic() - started
        warnings = [*report.warnings, *derainer.warnings]
        if not quiet and not as_json:
            console.note(f"{report.output}: {report.size[1]}x{report.size[0]}, {report.bits} bits, {seconds:.1f} s")
            for message in warnings:
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
            "warnings": warnings,
        }

    run_jobs(jobs, run, as_json=as_json, is_verbose=verbose)


def load_derainer(settings: DerainSettings, jobs: Sequence[Job], *, as_json: bool, is_quiet: bool) -> Derainer:
    """The network, or every job refused: UsageError where weights, device or backend are not to be had."""
    try:
        return Derainer(settings, announce=_log.info if is_quiet else console.note)
    except (WeightsError, BackendError) as error:
        if as_json:
            for job in jobs:
                console.print_json({"input": str(job.source), "output": None, "error": str(error)})
        raise UsageError(str(error)) from error


def _check_existing(*, overwrite: bool, skip_existing: bool) -> None:
    if overwrite and skip_existing:
        raise UsageError("--skip-existing leaves out what --overwrite would write again; choose one")


def parse_time(text: str | None) -> float | None:
    """Seconds of "90", "1:30.5" or "00:01:30"; raises UsageError."""
    if text is None:
        return None
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)", text)
    if match is None:
        raise UsageError(f"{text!r} is not a time; give seconds (90.5) or [HH:]MM:SS (1:30)")
    hours, minutes, seconds = match.groups(default="0")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
