"""Many frames and many runs leave nothing behind."""

import threading

import psutil
import pytest

from nerdrain_rt.live import LiveSettings
from nerdrain_rt.media.paced_file import PacedFile
from nerdrain_rt.pipeline import derain_live
from tests import clips
from tests.live_parts import FrameSource, KeepingSink, OneByOne, make_derainer

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


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
