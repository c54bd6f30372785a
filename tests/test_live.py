"""The live program: which frames are dropped, what the sinks get, how a latency is held, and that nothing leaks."""

import threading
import time
from contextlib import closing
from dataclasses import replace

import psutil
import pytest
import torch

from nerdrain_rt.derainer import Derainer
from nerdrain_rt.errors import BackendError, MediaError, UsageError
from nerdrain_rt.live import LiveSettings, Sinks
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

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


def run(source, derainer=None, sinks=(), **settings):
    """All steps of a source that is entered here."""
    with source:
        return list(derain_live(source, derainer or make_derainer(), sinks, settings=LiveSettings(**settings)))


def gated(gate: Gate) -> FakeBackend:
    def residual(rainy):
        gate()
        return torch.zeros_like(rainy)

    return FakeBackend(residual)


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


class Server(KeepingSink):
    """Found again; takes nothing from the frame `fails_at` on, until that is None."""

    is_found_again = True
    closed = 0

    def write(self, frame):
        if self.fails_at is not None and len(self.frames) >= self.fails_at:
            raise MediaError("server: connection reset by peer")
        super().write(frame)

    def close(self):
        self.closed += 1


def test_a_sink_that_worked_and_was_lost_is_tried_again(monkeypatch):
    monkeypatch.setattr("nerdrain_rt.live.sinks.PROVEN_SECONDS", 0.05)
    monkeypatch.setattr("nerdrain_rt.live.sinks.RETRY_SECONDS", 0.05)
    server, errors = Server(fails_at=50), []
    with FrameSource(10**6, gate=lambda _: time.sleep(0.002)) as source:
        for step in derain_live(source, make_derainer(strength=0), [server]):
            error = step.stats.sinks[0].error
            if error not in errors[-1:]:
                errors.append(error)
            if server.closed >= 2:
                server.fails_at = None
            if errors[-2:] == ["server: connection reset by peer; trying again", None]:
                source.stop()
    sink = step.report.sinks[0]
    assert sink.error is None
    assert len(server.frames) > 50
    assert errors == [None, "server: connection reset by peer; trying again", None]
    assert sink.frames_written + sink.dropped == step.report.frames_out


def test_a_sink_that_works_again_at_the_end_is_no_longer_tried(monkeypatch):
    monkeypatch.setattr("nerdrain_rt.live.sinks.PROVEN_SECONDS", 0.05)
    monkeypatch.setattr("nerdrain_rt.live.sinks.RETRY_SECONDS", 0.05)
    server = Server(fails_at=50)
    with FrameSource(10**6, gate=lambda _: time.sleep(0.002)) as source:
        for step in derain_live(source, make_derainer(strength=0), [server]):
            report = step.report
            if server.closed and server.fails_at is not None:
                monkeypatch.setattr("nerdrain_rt.live.sinks.PROVEN_SECONDS", 10**6)
                server.fails_at = None
            if len(server.frames) > 50:
                source.stop()
    assert report.sinks[0].error is None


def test_a_sink_that_is_away_at_the_end_is_lost(monkeypatch):
    monkeypatch.setattr("nerdrain_rt.live.sinks.PROVEN_SECONDS", 0.05)
    server, report = Server(fails_at=50), None
    with FrameSource(10**6, gate=lambda _: time.sleep(0.002)) as source, pytest.raises(MediaError, match="no output"):
        for step in derain_live(source, make_derainer(strength=0), [server]):
            report = step.report
            if step.stats.sinks[0].error:
                source.stop()
    assert report.sinks[0].error == "server: connection reset by peer"


def test_a_sink_that_never_worked_is_not_tried_again():
    server = KeepingSink(fails_at=0)
    server.is_found_again = True
    with FrameSource(50, gate=lambda _: time.sleep(0.002)) as source, pytest.raises(MediaError, match="no output"):
        for _ in derain_live(source, make_derainer(strength=0), [server]):
            pass


def test_each_sink_gets_a_picture_of_its_own_with_the_same_samples():
    pace, sinks = OneByOne(), (KeepingSink("a"), KeepingSink("b"))
    with FrameSource(2, gate=pace) as source:
        for step in derain_live(source, make_derainer(strength=0), sinks):
            for sink in sinks:
                sink.await_frames(step.frame_index)
            pace.done.release()
    pictures = [step.frame.picture, *(sink.frames[-1].picture for sink in sinks)]
    assert len({id(picture) for picture in pictures}) == 3
    assert len({picture.planes[0].buffer_ptr for picture in pictures}) == 1


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


def test_rainy_and_clean_are_beside_each_other_for_the_sinks_only():
    sink = KeepingSink()
    backend = FakeBackend(lambda rainy: torch.full_like(rainy, 0.5))
    step, *_ = run(FrameSource(1, size=(16, 32)), make_derainer(backend), [sink], side_by_side=True)
    assert (step.frame.picture.height, step.frame.picture.width) == (16, 32)
    both = sink.frames[0].picture.to_ndarray(format="gray")
    assert both.shape == (16, 64)
    assert both[:, :32].max() < both[:, 32:].min()


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


def test_a_sink_that_fails_is_told_of_and_the_others_go_on():
    pace, bad, good = OneByOne(), KeepingSink("disk", fails_at=2), KeepingSink("good")
    source = FrameSource(8, gate=pace)
    with source:
        for step in derain_live(source, make_derainer(), [bad, good]):
            good.await_frames(step.frame_index)
            pace.done.release()
    disk, other = step.report.sinks
    assert (disk.frames_written, disk.error) == (2, "disk: no space left on device")
    assert (other.frames_written, other.error) == (8, None)
    assert bad.is_closed


def test_it_is_an_error_when_no_sink_is_left():
    sinks = [KeepingSink("one", fails_at=0), KeepingSink("two", fails_at=1)]
    with pytest.raises(MediaError, match=r"no output is left: one: no space .*; two: no space"):
        run(FrameSource(10**9), sinks=sinks)


def test_sinks_come_and_go_while_frames_flow():
    pace, sinks, sink = OneByOne(), Sinks(), KeepingSink()
    source = FrameSource(9, gate=pace)
    with source:
        for step in derain_live(source, make_derainer(), sinks):
            if step.frame_index == 3:
                sinks.add(sink)
            if step.frame_index == 6:
                until(lambda: sink.frames and round(sink.frames[-1].seconds * 25) == 5)
                sinks.remove(sink)
            pace.done.release()
    times = [round(frame.seconds * 25) for frame in sink.frames]
    assert set(times) <= {3, 4, 5}
    assert times[-1] == 5
    assert sink.is_closed
    assert step.report.sinks[0].frames_written == len(times)


def test_a_sink_that_is_ending_keeps_its_figures():
    pace, is_over, sink = OneByOne(), threading.Event(), KeepingSink()
    sink.close = lambda: is_over.wait(PATIENCE_SECONDS)
    sinks = Sinks([sink])
    ending = threading.Thread(target=sinks.remove, args=(sink,))
    with FrameSource(6, gate=pace) as source:
        for step in derain_live(source, make_derainer(), sinks):
            assert [figures.name for figures in step.stats.sinks] == ["kept"]
            if step.frame_index == 3:
                ending.start()
                until(lambda: not sinks._lines)
            if step.frame_index == 6:
                is_over.set()
            pace.done.release()
    ending.join()


def test_a_sink_that_hangs_holds_nothing_up(monkeypatch):
    monkeypatch.setattr("nerdrain_rt.live.sinks.STALLED_SECONDS", 0.05)
    is_over, stuck, good = threading.Event(), KeepingSink("stuck"), KeepingSink("good")
    stuck.write = lambda frame: is_over.wait(PATIENCE_SECONDS)
    source = FrameSource(10**9)
    with source:
        for step in derain_live(source, make_derainer(), [stuck, good]):
            if step.stats.sinks[0].error:
                assert step.stats.sinks[0].error == "stuck: has taken nothing for 0.05 s"
                is_over.set()
                source.stop()
    assert good.frames


def test_what_sinks_of_the_same_name_dropped_is_added_up():
    pace, is_over = OneByOne(), threading.Event()
    busy = [threading.Event(), threading.Event()]

    def sink(is_busy: threading.Event) -> KeepingSink:
        twin = KeepingSink("twin")
        twin.write = lambda frame: (is_busy.set(), is_over.wait(PATIENCE_SECONDS))
        return twin

    source = FrameSource(6, gate=pace)
    with source:
        for step in derain_live(source, make_derainer(), [sink(is_busy) for is_busy in busy]):
            assert all(is_busy.wait(PATIENCE_SECONDS) for is_busy in busy)
            if step.frame_index == 6:
                is_over.set()
            pace.done.release()
    assert step.report.dropped == {"network": 0, "loop": 0, "twin": 2 * 4}


def test_an_output_that_cannot_be_finished_is_an_error_where_it_is_the_only_one():
    def fail():
        raise MediaError("disk: no space left on device")

    bad, good = KeepingSink("bad"), KeepingSink("good")
    bad.close = fail
    with pytest.raises(MediaError, match="no output is left: disk: no space left"):
        run(FrameSource(5), sinks=[bad])
    *_, last = run(FrameSource(5), sinks=[bad, good])
    assert [sink.error for sink in last.report.sinks] == ["disk: no space left on device", None]


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


def soak(frames: int, **settings: float) -> list[float]:
    """Resident mebibytes at ten moments of a run at full speed."""
    process, resident, pace = psutil.Process(), [], OneByOne()
    source, sink = FrameSource(10**9, size=(32, 32), gate=pace), IgnoringSink()
    with source:
        for step in derain_live(source, make_derainer(**settings), [sink], settings=LiveSettings(keep_rainy=True)):
            if step.frame_index % (frames // 10) == 0 and step.report is None:
                resident.append(process.memory_info().rss / 2**20)
            if step.frame_index == frames:
                source.stop()
            pace.done.release()
    return resident


class IgnoringSink(KeepingSink):
    def write(self, frame):
        pass


def test_memory_is_flat_over_many_frames():
    resident = soak(1000)
    assert resident[-1] - resident[2] < 8


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_memory_is_flat_over_a_million_frames():
    resident = soak(1_000_000, strength=0)
    assert resident[-1] - resident[1] < 16


def test_two_hundred_rounds_leave_no_thread_and_no_file(tmp_path):
    clip = clips.video(tmp_path / "a.mkv", size=(16, 16), frames=2, codec="ffv1")
    process = psutil.Process()
    for round_ in range(200):
        with PacedFile(clip) as source:
            next(derain_live(source, make_derainer()))
        if round_ == 5:
            before = process.num_fds(), threading.active_count()
    assert (process.num_fds(), threading.active_count()) == before
