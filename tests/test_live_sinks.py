"""Sinks of a live run: each on its own, tried again where it was lost, told of where it fails."""

import threading
import time

import pytest
import torch

from nerdrain_rt.errors import MediaError
from nerdrain_rt.live import Sinks
from nerdrain_rt.pipeline import derain_live
from tests.fakes import FakeBackend
from tests.live_parts import PATIENCE_SECONDS, FrameSource, KeepingSink, OneByOne, make_derainer, until
from tests.live_runs import run

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


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


def test_rainy_and_clean_are_beside_each_other_for_the_sinks_only():
    sink = KeepingSink()
    backend = FakeBackend(lambda rainy: torch.full_like(rainy, 0.5))
    step, *_ = run(FrameSource(1, size=(16, 32)), make_derainer(backend), [sink], side_by_side=True)
    assert (step.frame.picture.height, step.frame.picture.width) == (16, 32)
    both = sink.frames[0].picture.to_ndarray(format="gray")
    assert both.shape == (16, 64)
    assert both[:, :32].max() < both[:, 32:].min()


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
