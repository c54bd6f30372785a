"""What a person sees on the terminal: progress while it works, and what became of each stream."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from nerdrain_rt.media.report import StreamReport
from nerdrain_rt.pipeline import Progress, VideoReport

LINE_SECONDS = 10
"""Between lines of progress where there is no terminal to draw a bar on."""
ACTIONS = {"derained": "derained", "copied": "kept", "reencoded": "re-encoded", "dropped": "lost"}

stdout = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
stderr = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
"""Names of files and addresses are printed as they are: what looks like markup in them is none."""


def error(message: object) -> None:
    """One line in red on stderr."""
    stderr.print(Text.assemble(("error:", "red"), f" {message}"))


def warn(message: object) -> None:
    """One line in yellow on stderr."""
    stderr.print(Text.assemble(("warning:", "yellow"), f" {message}"))


def note(message: str) -> None:
    """One line on stderr."""
    stderr.print(message)


def log_handler() -> RichHandler:
    """Log records as lines on stderr."""
    return RichHandler(console=stderr, show_path=False)


class Lines(logging.Handler):
    """Log records as the lines that errors, warnings and notes are."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print it on stderr."""
        say = error if record.levelno >= logging.ERROR else warn if record.levelno >= logging.WARNING else note
        say(self.format(record))


def print_json(content: Mapping[str, Any]) -> None:
    """One object, one line, on stdout."""
    stdout.print(json.dumps(content))


def follow(progress: Iterable[Progress], name: str, *, is_quiet: bool) -> VideoReport:
    """Show the progress until it ends; a bar on a terminal, else a line now and then. Returns the report."""
    shown = progress if is_quiet else _with_bar(progress, name) if stderr.is_terminal else _with_lines(progress, name)
    report: VideoReport | None = None
    for step in shown:
        report = step.report
    assert report is not None
    return report


def _with_bar(progress: Iterable[Progress], name: str) -> Iterator[Progress]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fps]:.2f} fps"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task(f"{name}: preparing", total=None, fps=0.0)
        speed = _Speed()
        for step in progress:
            fps = speed.after(step.frame_index) or 0.0
            bar.update(task, description=name, completed=step.frame_index, total=step.frame_count, fps=fps)
            yield step


def _with_lines(progress: Iterable[Progress], name: str) -> Iterator[Progress]:
    last, speed = time.monotonic(), _Speed()
    for step in progress:
        now, fps = time.monotonic(), speed.after(step.frame_index)
        if step.report is None and now - last >= LINE_SECONDS:
            last = now
            total = f" of {step.frame_count}" if step.frame_count else ""
            rate = f", {fps:.2f} fps" if fps else ""
            left = ""
            if fps and step.frame_count:
                left = f", {_clock(max(0, step.frame_count - step.frame_index) / fps)} left"
            note(f"{name}: frame {step.frame_index}{total}{rate}{left}")
        yield step


class _Speed:
    """Frames per second since the first was done: what is prepared before it says nothing of the others."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def after(self, frame_index: int) -> float | None:
        """With this one done now; None for the first."""
        now = time.monotonic()
        first_index, started = self._first = self._first or (frame_index, now)
        return (frame_index - first_index) / (now - started) if frame_index > first_index and now > started else None


def _clock(seconds: float) -> str:
    """As 45 s, 3:20 min or 1:05 h."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02} h"
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"


def print_report(report: VideoReport) -> None:
    """Two or more lines on stderr: the result, the streams, the warnings."""
    result = (
        f": {report.frames_out} frames in {report.seconds:.1f} s"
        f" ({report.fps:.2f} fps, {report.device}, {report.backend}, {report.precision})"
    )
    stderr.print(Text.assemble((report.output, "green"), result))
    for stream in report.streams:
        note(f"  {describe_stream(stream)}")
    for message in report.warnings:
        warn(message)


def describe_stream(stream: StreamReport) -> str:
    """One stream's fate in words."""
    reason = f": {stream.reason}" if stream.reason else ""
    return f"stream {stream.index} {stream.type} ({stream.codec}) {ACTIONS[stream.action]}{reason}"


def report_json(report: VideoReport) -> dict[str, Any]:
    """The report as the command line's `--json` gives it."""
    content = dataclasses.asdict(report)
    content["fps"] = round(report.fps, 3)
    content["seconds"] = round(report.seconds, 3)
    return content
