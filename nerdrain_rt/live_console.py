"""What a person or another program sees of `nerdrain live`: its figures while it runs, and its report."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.status import Status
from rich.text import Text

from nerdrain_rt import console
from nerdrain_rt.errors import DerainError
from nerdrain_rt.live import LiveReport, LiveStats
from nerdrain_rt.pipeline import LiveProgress

STATS_SECONDS = 1
LINE_SECONDS = 10


@contextmanager
def failure_as_json(name: str, *, is_wanted: bool) -> Iterator[None]:
    """Print an error that comes before there is a report as a JSON object too, where that is wanted."""
    try:
        yield
    except DerainError as error:
        if is_wanted:
            console.print_json({"input": name, "error": str(error)})
        raise


def follow(progress: Iterable[LiveProgress], name: str) -> Iterator[LiveProgress]:
    """Show on stderr how it goes: a line that changes on a terminal, else one now and then; and what goes wrong."""
    told: set[str] = set()
    work_scale: float | None = None
    shown = time.monotonic()
    seconds = 0.2 if console.stderr.is_terminal else LINE_SECONDS
    status = Status(Text(name), console=console.stderr)
    if console.stderr.is_terminal:
        status.start()
    try:
        for step in progress:
            faults = list(_faults(step.stats))
            for text in faults:
                if text not in told:
                    console.warn(text)
            told = set(faults)
            if work_scale is not None and step.stats.work_scale != work_scale:
                console.note(f"{name}: work scale is now {step.stats.work_scale:g}")
            work_scale = step.stats.work_scale
            if time.monotonic() - shown >= seconds and step.report is None:
                shown = time.monotonic()
                if console.stderr.is_terminal:
                    status.update(Text(f"{name}: {describe(step.stats)}"))
                else:
                    console.note(f"{name}: {describe(step.stats)}")
            if step.report is not None:
                status.stop()
            yield step
    finally:
        status.stop()


def _faults(stats: LiveStats) -> Iterator[str]:
    yield from stats.warnings
    yield from (sink.error for sink in stats.sinks if sink.error)


def with_stats(progress: Iterable[LiveProgress]) -> Iterator[LiveProgress]:
    """Print the figures on stdout, a line of JSON each second."""
    printed: float | None = None
    for step in progress:
        now = time.monotonic()
        if step.report is None and (printed is None or now - printed >= STATS_SECONDS):
            printed = now
            console.print_json(_rounded(dataclasses.asdict(step.stats)))
            sys.stdout.flush()
        yield step


def describe(stats: LiveStats) -> str:
    """The figures of a moment in words."""
    if stats.latency_ms is None:
        return "waiting for the first frame"
    if not stats.is_connected:
        return f"frame {stats.frames_out}, waiting for the source"
    scale = "" if stats.work_scale == 1 else f", work scale {stats.work_scale:g}"
    return (
        f"frame {stats.frames_out}, {stats.fps:.1f} fps, latency {stats.latency_ms or 0:.0f} ms"
        f" (p95 {stats.latency_p95_ms or 0:.0f}), {sum(stats.dropped.values())} dropped{scale}"
    )


def print_report(report: LiveReport) -> None:
    """Some lines on stderr: the whole, then each sink."""
    latency = "no latency known"
    if report.latency_ms is not None and report.latency_p95_ms is not None:
        latency = f"latency {report.latency_ms:.0f} ms, p95 {report.latency_p95_ms:.0f} ms"
    dropped = ", ".join(f"{count} before {stage}" for stage, count in report.dropped.items() if count) or "none"
    console.note(
        f"{report.input}: {report.frames_out} of {report.frames_in} frames in {report.seconds:.1f} s"
        f" ({report.fps:.2f} fps, {report.device}, {report.backend}, {report.precision}), {latency}; dropped: {dropped}"
    )
    for sink in report.sinks:
        console.note(f"  {sink.name}: {sink.frames_written} frames" + (f"; {sink.error}" if sink.error else ""))


def report_json(report: LiveReport) -> dict[str, Any]:
    """The report as `--json` gives it."""
    content: dict[str, Any] = _rounded(dataclasses.asdict(report) | {"fps": report.fps})
    return content


def _rounded(content: Any) -> Any:
    if isinstance(content, float):
        return round(content, 3)
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    return [_rounded(value) for value in content] if isinstance(content, list | tuple) else content
