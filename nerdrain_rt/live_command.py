"""`nerdrain live`: takes the rain out of what a camera or stream shows, while it shows it."""

from __future__ import annotations

import dataclasses
import math
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Annotated, Any, Literal

import typer
from rich.status import Status

from nerdrain_rt import console
from nerdrain_rt.command_options import (
    ENCODING,
    BackendName,
    CodecOptions,
    Device,
    Overwrite,
    Precision,
    Quiet,
    Strength,
    Tile,
    Verbose,
    WeightsName,
    WorkScale,
    parse_duration,
    parse_options,
    parse_size,
    parse_tile,
    set_up_logging,
)
from nerdrain_rt.derainer import Derainer, DerainSettings
from nerdrain_rt.errors import BackendError, UsageError, WeightsError
from nerdrain_rt.live import LiveReport, LiveSettings, LiveStats
from nerdrain_rt.media.live_source import LiveSource, LiveSourceSettings, is_address, open_source
from nerdrain_rt.media.sinks import EncoderSettings, Sink, VirtualCamera, open_sink
from nerdrain_rt.model.weights import DEFAULT
from nerdrain_rt.pipeline import LiveProgress, derain_live

INTERRUPTED = 130
STATS_SECONDS = 1
LINE_SECONDS = 10
SAME_SIGNAL_SECONDS = 0.5
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
SOURCE = "The source"

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A camera by number, name or path; an address (rtsp, http, udp, srt, ...); a file; or 'test'.",
        show_default=False,
    ),
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="TARGET",
        help="An address (rtsp, rtmp, srt, udp), an HLS folder/, or a recording (.mkv, .mp4, .ts); repeat for more.",
        rich_help_panel=ENCODING,
    ),
]
VirtualCameraFlag = Annotated[
    bool, typer.Option("--virtual-camera", help="Be a camera for other programs.", rich_help_panel=ENCODING)
]
Show = Annotated[bool, typer.Option("--show", help="Open a window.", rich_help_panel=ENCODING)]
Segment = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Begin a new recording after so long, as 10min.", rich_help_panel=ENCODING),
]
SideBySide = Annotated[
    bool, typer.Option("--side-by-side", help="Rainy and clean beside each other.", rich_help_panel=ENCODING)
]
Codec = Annotated[
    str,
    typer.Option("-c", "--codec", help="An FFmpeg encoder, as libx264 or h264_nvenc.", rich_help_panel=ENCODING),
]
Size = Annotated[
    str | None, typer.Option(metavar="WxH", help="Asked of a camera, as 1280x720.", rich_help_panel=SOURCE)
]
Rate = Annotated[float | None, typer.Option(help="Frames per second asked of a camera.", rich_help_panel=SOURCE)]
Format = Annotated[
    str | None,
    typer.Option("--format", help="A camera's format: mjpeg (asked for first), yuyv422.", rich_help_panel=SOURCE),
]
Realtime = Annotated[bool, typer.Option("--realtime", help="Play a file as if it were live.", rich_help_panel=SOURCE)]
Loop = Annotated[bool, typer.Option("--loop", help="Play a file again and again.", rich_help_panel=SOURCE)]
Transport = Annotated[Literal["tcp", "udp"], typer.Option(help="How RTSP carries its media.", rich_help_panel=SOURCE)]
Reconnect = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Give up a lost source after so long, 0s: at once. Default: never.", rich_help_panel=SOURCE
    ),
]
NoAudio = Annotated[bool, typer.Option("--no-audio", help="Leave the sound out.", rich_help_panel=SOURCE)]
MaxLatency = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Hold this latency by working at a smaller scale, as 100ms."),
]
Duration = Annotated[str | None, typer.Option(metavar="TIME", help="Stop after so long, as 30s.")]
AsJson = Annotated[bool, typer.Option("--json", help="The report as a JSON object on stdout, at the end.")]
Stats = Annotated[bool, typer.Option("--stats", help="Figures as a line of JSON on stdout, each second.")]


def live_command(
    source: Source,
    to: Targets = None,
    virtual_camera: VirtualCameraFlag = False,
    show: Show = False,
    segment: Segment = None,
    side_by_side: SideBySide = False,
    codec: Codec = "libx264",
    encoder_option: CodecOptions = None,
    overwrite: Overwrite = False,
    size: Size = None,
    rate: Rate = None,
    pixel_format: Format = None,
    realtime: Realtime = False,
    loop: Loop = False,
    transport: Transport = "tcp",
    reconnect: Reconnect = None,
    no_audio: NoAudio = False,
    max_latency: MaxLatency = None,
    duration: Duration = None,
    device: Device = "auto",
    backend: BackendName = "auto",
    precision: Precision = "auto",
    weights: WeightsName = DEFAULT,
    strength: Strength = 1.0,
    tile: Tile = "auto",
    work_scale: WorkScale = 1.0,
    as_json: AsJson = False,
    stats: Stats = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Derain a camera or stream while it runs; the newest frame wins, so it never lags.

    Exit codes: 0 at the end of the source or duration, 130 when interrupted.
    """
    set_up_logging(is_verbose=verbose)
    if rate is not None and not math.isfinite(rate):
        raise UsageError(f"--rate {rate:g}: is not a number of frames per second; write for example 30")
    source_settings = LiveSourceSettings(
        size=parse_size(size) if size else None,
        rate=None if rate is None else Fraction(rate).limit_denominator(1001),
        pixel_format=pixel_format,
        loop=loop,
        transport=transport,
        reconnect_seconds=parse_duration(reconnect, "--reconnect"),
        has_sound=not no_audio,
    )
    latency = parse_duration(max_latency, "--max-latency")
    settings = LiveSettings(
        max_latency_ms=latency and 1000 * latency,
        side_by_side=side_by_side,
        duration_seconds=parse_duration(duration, "--duration"),
    )
    if not is_address(source) and Path(source).is_file() and not (realtime or loop):
        raise UsageError(f"{source}: is a file; derain it with 'nerdrain video', or add --realtime to play it as live")
    if show and (as_json or stats):
        raise UsageError("--show leaves the figures to the window; --json and --stats are for runs without it")
    encoder = EncoderSettings(codec, parse_options(encoder_option or []))
    length = parse_duration(segment, "--segment")
    if twice := [name for name, count in Counter(to or ()).items() if count > 1]:
        raise UsageError(f"--to {twice[0]}: is given twice")
    sinks = [open_sink(name, encoder=encoder, segment_seconds=length, overwrite=overwrite) for name in to or ()]
    if virtual_camera:
        sinks.append(VirtualCamera())
    show_live = _find_window() if show else None
    derain_settings = DerainSettings(
        weights, backend, device, precision, strength=strength, tile=parse_tile(tile), work_scale=work_scale
    )
    live = open_source(source, source_settings)
    derainer = _load(derain_settings)
    if show_live is not None:
        show_live(source, source_settings, derainer, sinks, settings)
    report, is_interrupted = _run(live, derainer, sinks, settings, has_stats=stats, is_quiet=quiet)
    if as_json:
        console.print_json(report_json(report))
    if not quiet:
        print_report(report)
    if is_interrupted:
        raise typer.Exit(INTERRUPTED)


def _load(settings: DerainSettings) -> Derainer:
    try:
        return Derainer(settings)
    except (WeightsError, BackendError) as error:
        raise UsageError(str(error)) from error


def _find_window() -> Any:
    if find_spec("PyQt6") is None or find_spec("nerdrain_gui") is None:
        raise UsageError('the window is not installed; pip install "nerdrain-rt[gui]"')
    from nerdrain_gui.app import show_live

    return show_live


def _run(
    source: LiveSource,
    derainer: Derainer,
    sinks: list[Sink],
    settings: LiveSettings,
    *,
    has_stats: bool,
    is_quiet: bool,
) -> tuple[LiveReport, bool]:
    """Derain until the end or a signal; the report, and whether there was a signal."""
    report: LiveReport | None = None
    with (
        _connected(source),
        _stopped_by_signals(source) as signals,
        closing(derain_live(source, derainer, sinks, settings=settings)) as progress,
    ):
        followed = progress if is_quiet else follow(progress, source.name)
        for step in _with_stats(followed) if has_stats else followed:
            report = step.report
    assert report is not None
    return report, bool(signals)


@contextmanager
def _connected(source: LiveSource) -> Iterator[None]:
    """Enter the source in a thread: no signal reaches Python inside FFmpeg, which waits long for a silent server."""
    future: Future[LiveSource] = Future()

    def enter() -> None:
        try:
            future.set_result(source.__enter__())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=enter, name="connect", daemon=True).start()
    future.result()
    with ExitStack() as stack:
        stack.push(source)
        yield


@contextmanager
def _stopped_by_signals(source: LiveSource) -> Iterator[list[float]]:
    """Let the first Ctrl-C or SIGTERM end the source, so that all after it is finished; another one interrupts.

    One that comes at once is the same again: what started the program and the terminal or service both pass it on.
    """
    received: list[float] = []

    def stop(number: int, _: FrameType | None) -> None:
        received.append(time.monotonic())
        if received[-1] - received[0] > SAME_SIGNAL_SECONDS:
            raise KeyboardInterrupt
        source.stop()

    known = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, stop) for number in known}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def follow(progress: Iterable[LiveProgress], name: str) -> Iterator[LiveProgress]:
    """Show on stderr how it goes: a line that changes on a terminal, else one now and then; and what goes wrong."""
    told: set[str] = set()
    work_scale: float | None = None
    shown = time.monotonic()
    seconds = 0.2 if console.stderr.is_terminal else LINE_SECONDS
    status = Status(name, console=console.stderr)
    if console.stderr.is_terminal:
        status.start()
    try:
        for step in progress:
            for text in _faults(step.stats):
                if text not in told:
                    told.add(text)
                    console.warn(text)
            if work_scale is not None and step.stats.work_scale != work_scale:
                console.note(f"{name}: work scale is now {step.stats.work_scale:g}")
            work_scale = step.stats.work_scale
            if time.monotonic() - shown >= seconds and step.report is None:
                shown = time.monotonic()
                if console.stderr.is_terminal:
                    status.update(f"{name}: {describe(step.stats)}")
                else:
                    console.note(f"{name}: {describe(step.stats)}")
            yield step
    finally:
        status.stop()


def _faults(stats: LiveStats) -> Iterator[str]:
    yield from stats.warnings
    yield from (sink.error for sink in stats.sinks if sink.error)


def _with_stats(progress: Iterable[LiveProgress]) -> Iterator[LiveProgress]:
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
