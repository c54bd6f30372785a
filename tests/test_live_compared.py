"""Live frames and the stills of a paused file, compared with the frames before or around them."""

from dataclasses import replace

import pytest
import torch

from nerdrain_rt.live import LiveSettings
from nerdrain_rt.media.live_base import LiveSourceSettings
from nerdrain_rt.media.paced_file import PacedFile
from nerdrain_rt.media.reader import VideoReader
from nerdrain_rt.pipeline import derain_live
from tests import clips
from tests.fakes import FakeBackend
from tests.live_parts import FrameSource, KeepingSink, OneByOne, make_derainer

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


@pytest.mark.parametrize("index", [0, 4, 9])
def test_a_still_comes_out_as_it_does_in_the_file(tmp_path, index):
    clip = clips.video(tmp_path / "a.mkv", size=(48, 64), frames=10, rate=10, codec="ffv1")

    def seeing_rain(rainy):
        return torch.full_like(rainy, -8 / 255)

    def in_file(**settings):
        with VideoReader(clip) as reader:
            return [frame.rgb() for frame in make_derainer(FakeBackend(seeing_rain), **settings).derain(reader)][index]

    with PacedFile(clip, LiveSourceSettings(has_stills=True)) as source:
        source.pause()
        source.seek(index / 10)
        for step in derain_live(source, make_derainer(FakeBackend(seeing_rain))):
            if step.frame.around is not None:
                source.stop()
    assert (step.frame.rgb() == in_file()).all()
    assert (step.frame.rgb() != in_file(temporal=False)).any()


def taking_a_line(rainy):
    """Takes the same columns from all frames, as if they were rain."""
    residual = torch.zeros_like(rainy)
    residual[..., 4:6] = -16 / 255
    return residual


def test_a_still_of_a_file_of_two_frames_is_compared_with_none(tmp_path):
    clip = clips.video(tmp_path / "a.mkv", size=(48, 64), frames=2, rate=10, codec="ffv1")
    with VideoReader(clip) as reader:
        *_, in_file = [frame.rgb() for frame in make_derainer(FakeBackend(taking_a_line)).derain(reader)]
    stills = []
    with PacedFile(clip, LiveSourceSettings(has_stills=True, hold_at_end=True)) as source:
        live = derain_live(
            source, make_derainer(FakeBackend(taking_a_line)), settings=LiveSettings(temporal=True, tick_seconds=1)
        )
        for step in live:
            if step.frame is not None and step.frame.around is not None:
                stills.append(step.frame.rgb())
                source.again() if len(stills) < 3 else source.stop()
    assert all((still == in_file).all() for still in stills)


def live_pictures(change=lambda derainer, index: None, make_source=FrameSource, **settings):
    pace, sink, derainer = OneByOne(), KeepingSink(), make_derainer(FakeBackend(taking_a_line))
    with make_source(6, gate=pace) as source:
        for step in derain_live(source, derainer, [sink], settings=LiveSettings(**settings)):
            sink.await_frames(step.frame_index)
            change(derainer, step.frame_index)
            pace.done.release()
    return [frame.rgb().astype(int) for frame in sink.frames]


def test_live_frames_are_compared_with_the_two_before_on_demand():
    alone, compared = live_pictures(temporal=False), live_pictures(temporal=True)
    changed = [(after - before)[:, 4:6].mean() for before, after in zip(alone, compared, strict=True)]
    assert changed[:2] == [0, 0]
    assert min(changed[2:]) > 1, "what stays is no rain"


def leave_out_the_third(derainer, index):
    derainer.settings = replace(derainer.settings, temporal=index != 2)


def change_the_backend_after_the_third(derainer, index):
    if index == 3:
        derainer.backend = FakeBackend(taking_a_line)


@pytest.mark.parametrize(
    ("change", "compared"),
    [(leave_out_the_third, [5]), (change_the_backend_after_the_third, [2, 5])],
    ids=["comparing was off", "another backend works"],
)
def test_live_frames_are_compared_anew_when(change, compared):
    pictures = zip(live_pictures(temporal=False), live_pictures(change, temporal=True), strict=True)
    assert [index for index, (one, other) in enumerate(pictures) if (one != other).any()] == compared


@pytest.mark.parametrize("seconds", [-1, 60])
def test_live_frames_are_not_compared_with_those_before_a_jump(seconds):
    class Jumping(FrameSource):
        def _frame(self, picture, pts, captured, position):
            return super()._frame(picture, pts, captured, position + seconds * (self.frames_read >= 3))

    alone, compared = live_pictures(temporal=False), live_pictures(make_source=Jumping, temporal=True)
    is_alone = [(one == other).all() for one, other in zip(alone, compared, strict=True)]
    assert is_alone == [True, True, False, True, True, False]


def test_live_frames_are_not_compared_on_a_processor_unless_asked_for():
    assert all((one == other).all() for one, other in zip(live_pictures(), live_pictures(temporal=False), strict=True))


def test_a_still_that_takes_long_does_not_move_the_governor(tmp_path):
    clip = clips.video(tmp_path / "a.mkv", size=(48, 64), frames=10, rate=10, codec="ffv1")
    count = 0
    with PacedFile(clip, LiveSourceSettings(has_stills=True, hold_at_end=True)) as source:
        source.pause()
        source.seek(0.5)
        backend = FakeBackend(seconds=0.005)
        for step in derain_live(source, make_derainer(backend), settings=LiveSettings(max_latency_ms=1)):
            count += step.frame is not None and step.frame.around is not None
            source.stop() if count >= 40 else source.again()
    assert step.report.work_scale_steps == ()
