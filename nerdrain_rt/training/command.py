"""The `nerdrain train` and `nerdrain rain` commands."""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import torch
import typer

from nerdrain_rt import console
from nerdrain_rt.backends import find_device
from nerdrain_rt.batch import VIDEO_SUFFIXES, Job, JobError, plan_jobs, run_jobs
from nerdrain_rt.command_options import CodecOptions, parse_options
from nerdrain_rt.ending import end_signals
from nerdrain_rt.errors import MediaError, UsageError, WeightsError
from nerdrain_rt.media.image_folder import IMAGE_SUFFIXES
from nerdrain_rt.media.writer import OutputSettings
from nerdrain_rt.model.weights import load_weights
from nerdrain_rt.training.logs import StepLog, load_tensorboard
from nerdrain_rt.training.plot import PLOT, plot
from nerdrain_rt.training.recipe import TrainSettings
from nerdrain_rt.training.shower import Shower, rain_on_image, rain_on_video
from nerdrain_rt.training.train import CHECKPOINT, WEIGHTS, Trainer, make_folder
from nerdrain_rt.training.workers import Workers

LINE_SECONDS = 10
SECONDS_TO_SAY = 2.0
DATA, RUN = "The data", "The run"

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Log what happens; tracebacks with errors.")]


def _plot_only(run: Path | None) -> None:
    """Draw a run's picture in place of training."""
    if run is not None:
        console.note(str(plot(run)))
        raise typer.Exit


def _two_folders(pairs: tuple[Path, Path] | None) -> tuple[Path, Path] | None:
    """Refuse the option that follows where a folder is forgotten; raises UsageError."""
    for path in pairs or ():
        if str(path).startswith("-") and not path.exists():
            raise UsageError(f"--pairs takes two folders, of rainy images and of their targets; {path} is none")
    return pairs


def train_command(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A TOML file.", show_default=False)],
    run: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Takes checkpoints, weights, tables.", rich_help_panel=RUN)
    ],
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Save and end after so long.", rich_help_panel=RUN)
    ] = None,
    fit: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES",
            min=0,
            help="As many steps, instead of the recipe's, as there is time for in so long, all its slices together;"
            " the run keeps that plan.",
            rich_help_panel=RUN,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on exactly where the run stopped.", rich_help_panel=RUN)
    ] = False,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="WEIGHTS", help="Begin with weights, a name or a file.", rich_help_panel=RUN),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Clean photographs, instead of the recipe's.", rich_help_panel=DATA),
    ] = None,
    pairs: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="RAINY TARGET",
            callback=_two_folders,
            is_eager=True,  # before what comes to be missing by it
            help="Folders of pairs, matched by name.",
            rich_help_panel=DATA,
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Log to TensorBoard too.", rich_help_panel=RUN)
    ] = False,
    plotted: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FOLDER",
            callback=_plot_only,
            is_eager=True,
            help=f"Draw {PLOT} of a run again and end; training draws it with each validation.",
            rich_help_panel=RUN,
        ),
    ] = None,
    device: Device = "auto",
    verbose: Verbose = False,
) -> None:
    """Train a network; with several GPUs: torchrun --nproc-per-node N -m -- nerdrain_rt train ..."""
    level = logging.DEBUG if verbose else logging.WARNING if Workers().is_first else logging.ERROR
    handler = console.log_handler() if verbose else console.Lines()
    logging.basicConfig(level=level, format="%(message)s", handlers=[handler], force=True)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    with nullcontext() if verbose else _said_once(), Workers(find_device(device)) as workers:
        settings = TrainSettings.read(recipe).with_data(images=images, pairs=pairs)
        _check_run(run, is_resumed=resume, start=start)
        if tensorboard:
            load_tensorboard()
        trainer = Trainer(settings, run, workers=workers, tensorboard=tensorboard)
        if resume:
            trainer.resume()
        elif start is not None:
            trainer.start_from(load_weights(start).state)
        with _stopped_by_signals(trainer):
            _follow(trainer, minutes, fit)
    if trainer.is_stopped:
        raise KeyboardInterrupt


def rain_command(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Images, videos, folders or patterns.", show_default=False)
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="OUT|DIR", help="Target file or folder.", show_default=False)
    ],
    intensity: Annotated[float, typer.Option(metavar="0..1", help="From dry to a cloudburst.")] = 0.5,
    seed: Annotated[int, typer.Option(help="The same gives the same rain; each further input takes the next.")] = 0,
    driving: Annotated[float, typer.Option(metavar="SPEED", help="Of the camera, forwards, in m/s.")] = 0.0,
    night: Annotated[bool, typer.Option("--night", help="Drops in the light of lamps.")] = False,
    haze: Annotated[
        float,
        typer.Option(metavar="0..1", help="Share of light from distant rain, which brightens; deraining keeps it."),
    ] = 0.0,
    codec: Annotated[
        str | None,
        typer.Option("-c", "--codec", help="An FFmpeg encoder for videos, as ffv1 where the rain must be exact."),
    ] = None,
    encoder_option: CodecOptions = None,
    overwrite: Annotated[bool, typer.Option("-y", "--overwrite", help="Overwrite targets that exist.")] = False,
    recursive: Annotated[bool, typer.Option("--recursive", help="Look into subfolders.")] = False,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for each input on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
) -> None:
    """Make it rain on images and videos, to train on or to measure with; the dry source is the ground truth.

    With --haze the ground truth is what --intensity 0 gives with as much haze.
    """
    shower = Shower(intensity, seed, driving, night, haze, find_device(device))
    target = OutputSettings(codec, parse_options(encoder_option or []), overwrite)
    jobs = plan_jobs(inputs, output, IMAGE_SUFFIXES | VIDEO_SUFFIXES, is_recursive=recursive)
    numbers = {job: index for index, job in enumerate(jobs)}

    def run(job: Job) -> dict[str, Any]:
        drawn = replace(shower, seed=seed + numbers[job])
        return _rain_on(job, drawn, target, is_quiet=quiet or as_json)

    run_jobs(jobs, run, as_json=as_json)


def _rain_on(job: Job, shower: Shower, output: OutputSettings, *, is_quiet: bool) -> dict[str, Any]:
    drawn = {"intensity": shower.intensity, "seed": shower.seed, "haze": shower.haze}
    if job.source.suffix.lower() in IMAGE_SUFFIXES:
        report = rain_on_image(job.source, job.target, shower, overwrite=output.overwrite)
        if not is_quiet:
            console.note(f"{report.output}: {report.size[1]}x{report.size[0]}, {report.bits} bits")
            for message in report.warnings:
                console.warn(message)
        return asdict(report) | {"input": str(report.input), "output": str(report.output)} | drawn
    with closing(rain_on_video(job.source, job.target, shower, output=output)) as progress:
        video = console.follow(progress, job.source.name, is_quiet=is_quiet)
    if not is_quiet:
        console.print_report(video)
    if video.is_damaged:
        words = f"{video.input}: damaged; what could be decoded is in {video.output}"
        raise JobError(words, console.report_json(video) | drawn)
    return console.report_json(video) | drawn


@contextmanager
def _said_once() -> Iterator[None]:
    """What every process on a machine refuses, the first one there says, before the others end."""
    try:
        yield
    except (MediaError, UsageError, WeightsError) as error:
        if os.environ.get("LOCAL_RANK", "0") == "0":
            raise
        time.sleep(SECONDS_TO_SAY)
        raise typer.Exit(2 if isinstance(error, UsageError) else 1) from None


def _check_run(folder: Path, *, is_resumed: bool, start: str | None) -> None:
    if is_resumed and start is not None:
        raise UsageError("--resume goes on with the run's own weights; leave out --from")
    if not is_resumed and (folder / CHECKPOINT).exists():
        raise UsageError(f"{folder}: holds a run; go on with --resume, or choose another folder")
    make_folder(folder)


@contextmanager
def _stopped_by_signals(trainer: Trainer) -> Iterator[None]:
    """Ctrl-C and termination end the run after its step, which is saved; a second time they end it at once."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *end_signals())}

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.default_int_handler)
        trainer.stop()

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _follow(trainer: Trainer, minutes: float | None, fit: float | None) -> None:
    """Run to the end and tell of it now and then."""
    if trainer.step >= trainer.settings.steps:
        console.note(f"{trainer.folder}: done before, at step {trainer.step} of {trainer.settings.steps}")
    last = time.monotonic()
    has_plot = trainer.workers.is_first and find_spec("matplotlib") is not None
    entries: list[StepLog] = []
    for entry in trainer.run(minutes=math.inf if minutes is None else minutes, fit_minutes=fit):
        entries.append(entry)
        now = time.monotonic()
        is_last = entry.step == trainer.settings.steps
        if trainer.workers.is_first and (is_last or now - last >= LINE_SECONDS):
            console.note(_describe(entries, trainer.settings.steps))
            last, entries = now, []
        if has_plot and (is_last or entry.step % trainer.settings.validate_every == 0):
            _plot(trainer.folder)
    if trainer.workers.is_first and trainer.saved_step is not None:
        console.note(f"{trainer.folder / WEIGHTS}: the weights of step {trainer.saved_step}")


def _plot(run: Path) -> None:
    """Draw the run's picture; training goes on without."""
    try:
        plot(run)
    except MediaError as error:
        console.warn(error)


def _describe(entries: list[StepLog], steps: int) -> str:
    def mean(name: str) -> float:
        return math.fsum(getattr(entry, name) for entry in entries) / len(entries)

    return (
        f"step {entries[-1].step} of {steps}: loss {mean('loss'):.4f}, PSNR {mean('input_psnr'):.2f} to"
        f" {mean('output_psnr'):.2f} dB, {mean('crops_per_second'):.1f} crops/s"
    )
