"""`nerdrain live`: takes the rain out of what a camera or stream shows, while it shows it."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from fractions import Fraction
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Annotated, Literal

import typer

from nerdrain_rt import console
from nerdrain_rt.command_options import (
    ENCODING,
    NETWORK,
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
from nerdrain_rt.ending import INTERRUPTED, end_signals
from nerdrain_rt.errors import BackendError, UsageError, WeightsError
from nerdrain_rt.gui_command import find_window
from nerdrain_rt.live import LiveSettings
from nerdrain_rt.live_console import failure_as_json, follow, print_report, report_json, with_stats
from nerdrain_rt.media.live_source import LiveSource, LiveSourceSettings, is_address, open_source
from nerdrain_rt.media.live_stream import without_password
from nerdrain_rt.media.sinks import EncoderSettings, VirtualCamera, open_sinks
from nerdrain_rt.model.weights import DEFAULT
from nerdrain_rt.pipeline import derain_live
from nerdrain_rt.stages import HEARD_SECONDS

TICK_SECONDS = 1.0
SAME_SIGNAL_SECONDS = 0.5
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
Temporal = Annotated[
    bool | None,
    typer.Option(
        "--temporal/--no-temporal",
        help="Compare each frame with the two before it. Default: on an NVIDIA GPU.",
        show_default=False,
        rich_help_panel=NETWORK,
    ),
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
    temporal: Temporal = None,
    as_json: AsJson = False,
    stats: Stats = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Derain a camera or stream while it runs; the newest frame wins, so it never lags.

    Exit codes: 0 at the end of the source or duration, 1 when the source or the last output is lost, 130 when
    interrupted.
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
        temporal=temporal,
        duration_seconds=parse_duration(duration, "--duration"),
        tick_seconds=TICK_SECONDS,
    )
    if not is_address(source) and Path(source).is_file() and not (realtime or loop):
        raise UsageError(f"{source}: is a file; derain it with 'nerdrain video', or add --realtime to play it as live")
    if show and (as_json or stats):
        raise UsageError("--show leaves the figures to the window; --json and --stats are for runs without it")
    encoder = EncoderSettings(codec, parse_options(encoder_option or []))
    length = parse_duration(segment, "--segment")
    sinks = open_sinks(to or (), source, encoder=encoder, segment_seconds=length, overwrite=overwrite)
    if virtual_camera:
        sinks.append(VirtualCamera())
    window = find_window() if show else None
    derain_settings = DerainSettings(
        weights, backend, device, precision, strength=strength, tile=parse_tile(tile), work_scale=work_scale
    )
    with failure_as_json(without_password(source), is_wanted=as_json):
        live = open_source(source, source_settings)
        derainer = _load(derain_settings)
        if window is not None:
            window.show_live(source, source_settings, derainer, sinks, settings)
        _connect(live)
    with ExitStack() as stack:
        stack.push(live)
        signals = stack.enter_context(_stopped_by_signals(live))
        if live.is_seekable:  # a camera goes on meanwhile, a file waits for the network
            with failure_as_json(live.name, is_wanted=as_json):
                derainer.warm_up(live.info.size)
        progress = stack.enter_context(closing(derain_live(live, derainer, sinks, settings=settings)))
        followed = progress if quiet else follow(progress, live.name)
        for step in with_stats(followed) if stats else followed:
            if step.report is not None and as_json:
                console.print_json(report_json(step.report))
            if step.report is not None and not quiet:
                print_report(step.report)
    if signals:
        raise typer.Exit(INTERRUPTED)


def _load(settings: DerainSettings) -> Derainer:
    try:
        return Derainer(settings)
    except (WeightsError, BackendError) as error:
        raise UsageError(str(error)) from error


def _connect(source: LiveSource) -> None:
    """Enter the source, in a thread: no signal reaches Python inside FFmpeg, which waits long for a silent server."""
    entered: Future[LiveSource] = Future()

    def enter() -> None:
        try:
            entered.set_result(source.__enter__())
        except BaseException as error:
            entered.set_exception(error)

    thread = Thread(target=enter, name="connect", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(HEARD_SECONDS)
    entered.result()


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

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, *end_signals())}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
