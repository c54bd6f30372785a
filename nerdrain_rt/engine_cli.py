"""The `nerdrain engine` commands."""

from __future__ import annotations

import dataclasses
import re
import threading
from functools import partial
from typing import Annotated, Any

import torch
import typer
from rich.table import Column, Table

from nerdrain_rt import console
from nerdrain_rt.backends import PRECISIONS, find_device
from nerdrain_rt.backends.engine_cache import CachedEngine, EngineCache
from nerdrain_rt.backends.engine_process import build_in_process
from nerdrain_rt.backends.engine_spec import (
    EngineSpec,
    Profile,
    Size,
    Target,
    installed_versions,
    make_spec,
    this_gpu,
)
from nerdrain_rt.backends.engines import LoggedProgress
from nerdrain_rt.command_options import parse_size
from nerdrain_rt.errors import BackendError, UsageError
from nerdrain_rt.model.net import NerdRain
from nerdrain_rt.model.weights import DEFAULT, Weights, load_weights

engine_app = typer.Typer(help="Build, list and remove TensorRT engines.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@engine_app.command("build")
def build_command(
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="WxH", help="Build for this size, for example 1920x1080; repeat for more."),
    ] = None,
    dynamic: Annotated[
        tuple[str, str, str] | None,
        typer.Option(metavar="MIN OPT MAX", help="Build one engine for all sizes from MIN to MAX, fastest at OPT."),
    ] = None,
    precision: Annotated[str, typer.Option(help="fp16, bf16 or fp32.")] = "fp16",
    weights: Annotated[str, typer.Option(help="A name from 'nerdrain weights list', or a file.")] = DEFAULT,
    device: Annotated[str, typer.Option(help="auto, cuda or cuda:N.")] = "auto",
    target: Annotated[
        str | None,
        typer.Option(metavar="SM,...", help="For GPUs of these compute capabilities (sm89,sm120); TensorRT-RTX only."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build engines ahead of time, so that nothing waits for them later."""
    profiles = [(height_width,) * 3 for height_width in map(padded_size, size or [])]
    if dynamic is not None:
        profiles.append(parse_profile(dynamic))
    if not profiles:
        raise UsageError("nothing to build; say --size WxH or --dynamic MIN OPT MAX")
    if precision not in PRECISIONS:
        raise UsageError(f"{precision}: no such precision; there are {', '.join(PRECISIONS)}")
    capabilities = parse_targets(target)
    loaded = load_weights(weights)
    versions = installed_versions()
    if capabilities and versions.flavour != "tensorrt-rtx":
        raise UsageError(f"--target: {versions.flavour} builds for the GPU that is here; TensorRT-RTX can for others")
    where = find_device(device)
    if where.type != "cuda":
        raise BackendError(f"{where}: engines are built where an NVIDIA GPU and its driver are")
    targets = [Target(capability) for capability in capabilities] or [this_gpu(where)]
    for profile in profiles:
        for one in targets:
            build_one(loaded, make_spec(loaded, profile, PRECISIONS[precision], one, versions), where, as_json=as_json)


@engine_app.command("list")
def list_command(as_json: AsJson = False) -> None:
    """List the engines that are kept."""
    cache = EngineCache()
    engines = cache.engines()
    if as_json:
        console.print_json({"engines": [describe(engine) for engine in engines], "folder": str(cache.folder)})
        return
    table = Table("weights", "size", "precision", Column("GPU", overflow="fold"), "TensorRT", "MiB", "built")
    for engine in engines:
        spec = engine.spec
        gpu = f"{spec.target.gpu} (sm{spec.target.capability.replace('.', '')})"
        library = f"{spec.versions.flavour} {spec.versions.tensorrt}"
        mebibytes = f"{engine.bytes / 2**20:.0f}"
        table.add_row(engine.name, spec.size_words, spec.precision, gpu, library, mebibytes, engine.built)
    console.stdout.print(table)


@engine_app.command("clear")
def clear_command() -> None:
    """Remove all engines that are kept."""
    cache = EngineCache()
    try:
        count, total = cache.clear()
    except OSError as error:
        raise BackendError(f"{cache.folder}: cannot be cleared: {error.strerror or error}") from error
    console.note(f"{cache.folder}: {count} engines removed, {total / 2**20:.0f} MiB")


def build_one(weights: Weights, spec: EngineSpec, device: torch.device, *, as_json: bool) -> None:
    """Build an engine unless it is there, and say where it is; raises BackendError where it cannot be."""
    cache, is_cancelled = EngineCache(), threading.Event()
    progress = LoggedProgress(f"engine for {spec.size_words}", tell=console.note)
    build = partial(build_in_process, weights, spec, device, progress, is_cancelled)
    try:
        plan = cache.load_or_build(spec, build, name=weights.name, is_cancelled=is_cancelled)
    except torch.OutOfMemoryError as error:
        raise BackendError(str(error)) from error
    finally:
        is_cancelled.set()
    kept = next((engine for engine in cache.engines() if engine.spec == spec), None)
    if kept is None:
        raise BackendError(f"{cache.folder}: the engine was built and cannot be kept there")
    if as_json:
        console.print_json(describe(kept))
    else:
        console.note(f"{kept.path}: {len(plan) / 2**20:.0f} MiB, built in {kept.seconds:.0f} s")


def describe(engine: CachedEngine) -> dict[str, Any]:
    """An engine as the command line's `--json` gives it."""
    return dataclasses.asdict(engine) | {"path": str(engine.path)}


def padded_size(text: str) -> Size:
    """(height, width) that the network sees of pictures of "1920x1080"; raises UsageError."""
    multiple = NerdRain.multiple_of
    height, width = (-(-side // multiple) * multiple for side in parse_size(text))
    return height, width


def parse_profile(texts: tuple[str, str, str]) -> Profile:
    """The range of one engine; raises UsageError where it is none."""
    smallest, usual, largest = map(padded_size, texts)
    if not all(low <= opt <= high for low, opt, high in zip(smallest, usual, largest, strict=True)):
        raise UsageError(f"--dynamic: {' '.join(texts)} does not go from small to large")
    return smallest, usual, largest


def parse_targets(text: str | None) -> list[str]:
    """Compute capabilities of "sm89,sm120", as in "8.9"; raises UsageError."""
    names = text.lower().split(",") if text else []
    for name in names:
        if not re.fullmatch(r"sm\d{2,3}", name):
            raise UsageError(f"{name!r} is not a compute capability; write for example sm89")
    return [f"{name[2:-1]}.{name[-1]}" for name in names]
