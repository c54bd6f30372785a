"""The `nerdrain weights` commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from nerdrain_rt import console
from nerdrain_rt.errors import UsageError
from nerdrain_rt.model.weights import (
    BASE,
    BUNDLED,
    import_weights,
    list_weights,
    load_weights,
    save_mean,
    save_update,
    user_folder,
)

weights_app = typer.Typer(help="List, inspect, import and hand on weights.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@weights_app.command("list")
def list_command(as_json: AsJson = False) -> None:
    """List the weights that can be named."""
    found = list_weights()
    if as_json:
        rows = [{"name": name, "path": str(path), "bundled": name in BUNDLED} for name, path in found.items()]
        console.print_json({"weights": rows, "folder": str(user_folder())})
        return
    table = Table("name", "origin", Column("file", overflow="fold"))
    for name, path in found.items():
        table.add_row(name, "bundled" if name in BUNDLED else "imported", str(path))
    console.stdout.print(table)


@weights_app.command("info")
def info_command(
    name: Annotated[str, typer.Argument(help="A name or a file.", show_default=False)], as_json: AsJson = False
) -> None:
    """Show what weights are: network, size, hash, origin."""
    weights = load_weights(name)
    facts = {
        "name": weights.name,
        "path": str(weights.path),
        "sha256": weights.sha256,
        "network": {32: "NeRD-Rain-S", 48: "NeRD-Rain"}.get(weights.config.width, "NeRD-Rain of another width"),
        "width": weights.config.width,
        "parameters": sum(tensor.numel() for tensor in weights.state.values()),
        **weights.metadata,
    }
    if as_json:
        console.print_json(facts)
        return
    table = Table("name", Column(overflow="fold"), show_header=False, box=None)
    for key, value in facts.items():
        table.add_row(key, f"{value:,}" if key == "parameters" else str(value))
    console.stdout.print(table)


@weights_app.command("import")
def import_command(
    source: Annotated[Path, typer.Argument(help="A published .pth file, or .safetensors.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="Name to keep them under; else the file's.")] = None,
    overwrite: Annotated[bool, typer.Option("-y", "--overwrite", help="Replace weights of this name.")] = False,
) -> None:
    """Convert a published checkpoint; nothing in it is run."""
    target = import_weights(source, name=name, overwrite=overwrite)
    console.note(f"{target.stem}: imported to {target}; use it with --weights {target.stem}")


@weights_app.command("update")
def update_command(
    new: Annotated[str, typer.Argument(metavar="WEIGHTS", help="A name or a file.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="A .safetensors file.")],
    base: Annotated[str, typer.Option(help="The named weights that they were trained on from.")] = BASE,
    overwrite: Annotated[bool, typer.Option("-y", "--overwrite", help="Replace the file.")] = False,
) -> None:
    """Keep weights as what differs from others, to hand on; `import` makes an update whole again."""
    _check_output(output, overwrite=overwrite)
    save_update(new, output, base=base)
    console.note(f"{output}: {output.stat().st_size / 1e6:.1f} MB, of {base}; use it with --weights")


@weights_app.command("mean")
def mean_command(
    sources: Annotated[list[str], typer.Argument(metavar="WEIGHTS...", help="Names or files.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="A .safetensors file.")],
    overwrite: Annotated[bool, typer.Option("-y", "--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write the mean of several weights, to train on from or to derain with."""
    if len(sources) < 2:
        raise UsageError("a mean needs two weights or more")
    _check_output(output, overwrite=overwrite)
    save_mean(sources, output)
    console.note(f"{output}: the mean of {len(sources)} weights; use it with --weights or --from")


def _check_output(path: Path, *, overwrite: bool) -> None:
    if path.suffix != ".safetensors":
        raise UsageError(f"{path}: must be named .safetensors")
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: already there; allow overwriting with -y")
