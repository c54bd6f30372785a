"""The live program: which frames are dropped, what the sinks get, how a latency is held, and that nothing leaks."""

import threading
import time
from contextlib import closing
from dataclasses import replace

import pytest
import torch

from nerdrain_rt.derainer import Derainer
from nerdrain_rt.errors import BackendError, MediaError, UsageError
from nerdrain_rt.live import LiveSettings
from nerdrain_rt.media.paced_file import PacedFile
from nerdrain_rt.pipeline import derain_live
from tests import clips
from tests.fakes import FakeBackend
from tests.live_parts import (
    PATIENCE_SECONDS,
    FrameSource,
    Gate,
    KeepingSink,
    ManualClock,
    OneByOne,
    make_derainer,
    until,
)
from tests.live_runs import gated, run

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


def test_frames_that_come_in_time_all_come_out():
    pace = OneByOne()
    source, sink = FrameSource(30, gate=pace), KeepingSink()
    indices = []
    with source:
        for step in derain_live(source, make_derainer(), [sink]):
            indices.append(step.frame_index)
            sink.await_frames(step.frame_index)
            pace.done.release()
    assert indices == [*range(1, 31), 30]
    assert [round(frame.seconds * 25) for frame in sink.frames] == list(range(30))
    assert sink.is_closed
    assert step.report.dropped == {"network": 0, "loop": 0, "kept": 0}
    assert (step.report.frames_in, step.report.frames_out) == (30, 30)


@pytest.mark.parametrize("has_output", [True, False])
def test_hdr_that_goes_out_with_8_bits_is_told_of_once(tmp_path, has_output):
    clip = clips.hdr_mp4(tmp_path / "hdr.mp4")
    sinks = [KeepingSink()] if has_output else []
    steps = run(PacedFile(clip), sinks=sinks, duration_seconds=0.5)
    told = [text for text in steps[-1].report.warnings if "HDR (PQ)" in text]
    assert told == ([f"{clip}: HDR (PQ) goes out with 8 bits: skies may show bands"] if has_output else [])


def test_two_devices_work_on_two_frames_at_once_and_keep_their_order():
    at_work, most, lock = 0, 0, threading.Lock()

    def residual(rainy):
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(0.03)
        with lock:
            at_work -= 1
        return torch.zeros_like(rainy)

    derainer = Derainer(backend=[FakeBackend(residual), FakeBackend(residual)])
    sink = KeepingSink()
    *_, last = run(FrameSource(40, gate=lambda _: time.sleep(0.01)), derainer, [sink])
    assert most == 2
    assert [frame.seconds for frame in sink.frames] == sorted(frame.seconds for frame in sink.frames)
    assert last.report.device == "cpu, cpu"


def test_a_paced_file_before_a_slow_network_loses_exactly_the_frames_that_were_overtaken(tmp_path):
    clip = clips.video(tmp_path / "ten.mkv", size=(16, 16), frames=10, rate=10, codec="ffv1")
    clock, gate = ManualClock(), Gate()
    positions, reports = [], []

    def loop() -> None:
        for step in derain_live(source, make_derainer(gated(gate))):
            positions.append(round(step.frame.position, 3))
            reports.append(step.report)

    with PacedFile(clip, clock=clock) as source:
        thread = threading.Thread(target=loop)
        thread.start()
        gate.await_frame()
        for _ in range(6):
            clock.settle()
            clock.advance(0.1)
        clock.settle()
        gate.open()
        gate.await_frame()
        for _ in range(3):
            clock.settle()
            clock.advance(0.1)
        until(lambda: not source.is_connected, "the end of the file")
        until(lambda: source.frames_read == 10)
        gate.open(2)
        thread.join(PATIENCE_SECONDS)
    assert positions == [0, 0.6, 0.9, 0.9]
    assert reports[-1].dropped == {"network": 7, "loop": 0}
    assert (reports[-1].frames_in, reports[-1].frames_out) == (10, 3)
    assert reports[-1].latency_ms == pytest.approx(300, rel=0.02)


def test_a_slow_loop_costs_frames_and_no_latency():
    source = FrameSource(2000)
    with source, closing(derain_live(source, make_derainer())) as steps:
        next(steps)
        until(lambda: source.frames_read == 2000)
        time.sleep(0.05)
        last = list(steps)[-1]
    assert round(last.frame.seconds * 25) == 1999
    assert last.report.frames_out <= 3
    assert sum(last.report.dropped.values()) + last.report.frames_out == 2000


def test_stopping_the_source_ends_with_the_report():
    source = FrameSource(10**9, gate=lambda _: time.sleep(0.001))
    with source:
        for step in derain_live(source, make_derainer()):
            if step.frame_index == 5:
                source.stop()
    assert step.report is not None
    assert step.report.frames_out >= 5


def test_stopping_a_paused_file_ends_with_the_report(tmp_path):
    clip = clips.video(tmp_path / "a.mkv", size=(16, 16), frames=4, codec="ffv1")
    with PacedFile(clip) as source:
        for step in derain_live(source, make_derainer()):
            if step.report is None:
                source.pause()
                threading.Timer(0.05, source.stop).start()
    assert step.report.frames_out == 1


@pytest.fixture
def silent_source():
    """Gives one frame and then nothing."""
    before = threading.active_count()
    is_over = threading.Event()
    with FrameSource(gate=lambda index: index and is_over.wait(PATIENCE_SECONDS)) as source:
        yield source
        is_over.set()
        until(lambda: threading.active_count() <= before)


def test_leaving_the_loop_does_not_wait_for_a_silent_source(silent_source):
    started = time.monotonic()
    with closing(derain_live(silent_source, make_derainer())) as steps:
        next(steps)
    assert time.monotonic() - started < PATIENCE_SECONDS / 2


def test_an_error_of_one_of_two_devices_does_not_wait_for_a_silent_source(silent_source):
    backend = FakeBackend(lambda rainy: torch.full_like(rainy, torch.nan))
    started = time.monotonic()
    with pytest.raises(BackendError, match="not finite"):
        list(derain_live(silent_source, Derainer(backend=[backend, backend])))
    assert time.monotonic() - started < PATIENCE_SECONDS / 2


def test_the_duration_ends_a_source_that_gives_nothing():
    before = threading.active_count()
    is_over = threading.Event()
    source = FrameSource(gate=lambda index: index and is_over.wait(PATIENCE_SECONDS))
    with source:
        *_, last = derain_live(source, make_derainer(), settings=LiveSettings(duration_seconds=0.1))
        assert last.report.frames_out == 1
        is_over.set()
        until(lambda: threading.active_count() <= before)


def test_a_source_without_a_frame_ends_with_a_report_without_one():
    (only,) = run(FrameSource(0))
    assert only.frame is None
    assert (only.report.frames_out, only.report.latency_ms) == (0, None)


def test_an_error_of_the_network_reaches_the_loop():
    backend = FakeBackend(lambda rainy: torch.full_like(rainy, torch.nan))
    with pytest.raises(BackendError, match="not finite"):
        run(FrameSource(3), make_derainer(backend))


def test_an_error_of_the_source_reaches_the_loop_after_its_frames():
    def gate(index: int) -> None:
        if index == 3:
            raise MediaError("frames: unplugged")

    with pytest.raises(MediaError, match="unplugged"):
        run(FrameSource(9, gate=gate))


def test_the_rainy_frame_is_kept_as_it_was():
    backend = FakeBackend(lambda rainy: torch.full_like(rainy, 0.5))
    step, *_ = run(FrameSource(1), make_derainer(backend), keep_rainy=True)
    assert set(bytes(step.rainy.picture.planes[0])[:16]) == {0}
    assert set(bytes(step.frame.picture.planes[0])[:16]) != {0}
    assert step.rainy.pts == step.frame.pts


def test_strength_and_backend_act_from_the_next_frame():
    pace, derainer = OneByOne(), make_derainer()
    first = derainer.backend
    second = FakeBackend()
    source = FrameSource(6, gate=pace)
    with source:
        for step in derain_live(source, derainer):
            if step.frame_index == 2:
                derainer.settings = replace(derainer.settings, strength=0.0)
            if step.frame_index == 4:
                derainer.settings = replace(derainer.settings, strength=1.0)
                derainer.backend = second
            pace.done.release()
    assert (len(first.shapes), len(second.shapes)) == (2, 2)


@pytest.mark.parametrize(
    ("settings", "words"), [({"max_latency_ms": 0}, "latency"), ({"duration_seconds": -1}, "duration")]
)
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(UsageError, match=words):
        LiveSettings(**settings)


def test_a_latency_is_held_while_the_speed_of_the_backend_changes():
    """A backend whose time goes with the area, four times as slow in the middle; the clock is the test's."""
    clock, slowness = ManualClock(), [1.0]

    def residual(rainy):
        clock.advance(slowness[0] * 0.05 * rainy.shape[-1] * rainy.shape[-2] / 64**2)
        return torch.zeros_like(rainy)

    pace, derainer, latencies = OneByOne(), make_derainer(FakeBackend(residual)), []
    source = FrameSource(900, size=(64, 64), gate=pace, clock=clock)
    with source:
        for step in derain_live(source, derainer, settings=LiveSettings(max_latency_ms=100)):
            slowness[0] = 4.0 if 300 <= step.frame_index < 600 else 1.0
            latencies.append((step.stats.work_scale, 1000 * (clock.now() - step.frame.captured)))
            clock.advance(0.02)
            pace.done.release()
    calm, slow, end = latencies[:300], latencies[320:600], latencies[880:]
    assert {scale for scale, _ in calm} == {1.0}
    assert sum(latency > 100 for _, latency in slow) < 0.1 * len(slow)
    assert {scale for scale, _ in slow} <= {0.75, 0.5, 0.375}
    assert {scale for scale, _ in end} == {1.0}
    assert [round(s.work_scale, 3) for s in step.report.work_scale_steps][:2] == [0.75, 0.5]
    assert derainer.settings.work_scale == 1.0


def test_the_users_work_scale_is_a_new_limit():
    derainer = make_derainer(FakeBackend(seconds=0.002))
    source = FrameSource(10**9, size=(64, 64))
    with source:
        for step in derain_live(source, derainer, settings=LiveSettings(max_latency_ms=0.001)):
            if step.stats.work_scale < 0.5:
                derainer.settings = replace(derainer.settings, work_scale=0.6)
                break
        for step in derain_live(source, derainer, settings=LiveSettings(max_latency_ms=10**6)):
            if step.frame_index == 30:
                source.stop()
    assert derainer.settings.work_scale == 0.6
