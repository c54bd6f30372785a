"""Options that several commands have, and what their texts mean."""

from __future__ import annotations

import logging
import re
from typing import Annotated

import typer

from nerdrain_rt import console
from nerdrain_rt.errors import UsageError

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object for each input on stdout.")]
Overwrite = Annotated[bool, typer.Option("-y", "--overwrite", help="Overwrite targets that exist.")]
SkipExisting = Annotated[
    bool,
    typer.Option("--skip-existing", help="Leave out inputs whose target is there: go on with a batch that was ended."),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only: no progress, report or warnings.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Log what happens; tracebacks with errors.")]

NETWORK = "The network"
Device = Annotated[
    str,
    typer.Option(help="auto, cpu, cuda, cuda:N or mps; for videos several: cuda:0,cuda:1.", rich_help_panel=NETWORK),
]
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

UNITS = {"ms": 0.001, "s": 1, "min": 60, "m": 60, "h": 3600}


def set_up_logging(*, is_verbose: bool) -> None:
    """Everything this package logs goes to stderr with --verbose; without, reports carry the warnings."""
    level = logging.DEBUG if is_verbose else logging.CRITICAL
    logging.basicConfig(level=level, format="%(message)s", handlers=[console.log_handler()], force=True)


def parse_duration(text: str | None, option: str) -> float | None:
    """Seconds of "100ms", "30s", "10min", "1h"; raises UsageError, also where the unit is missing."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h)", text.strip())
    if match is None:
        raise UsageError(f"{option} {text}: is not a time with its unit; write for example 100ms, 30s, 10min or 1h")
    return float(match[1]) * UNITS[match[2]]


def parse_options(texts: list[str]) -> dict[str, str]:
    """Encoder options from "key=value" texts; raises UsageError."""
    for text in texts:
        if not re.fullmatch(r"[^=]+=.+", text):
            raise UsageError(f"{text!r} is not an encoder option; write key=value, for example crf=18")
    return dict(text.split("=", 1) for text in texts)


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of "1920x1080"; raises UsageError."""
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise UsageError(f"{text!r} is not a size; write width and height, for example 1920x1080")
    return int(match[2]), int(match[1])


def parse_tile(text: str) -> int | None:
    """None for "auto", else a whole number; raises UsageError."""
    if text == "auto":
        return None
    if not text.isdecimal():
        raise UsageError(f"{text!r} is not a tile size; use auto, 0 or a number of pixels")
    return int(text)
