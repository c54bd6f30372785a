"""Frames of videos and cameras, each compared with those around it."""

from collections import deque
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from nerdrain_rt import Derainer, DerainSettings, OutputSettings, derain_video
from nerdrain_rt.evaluation.evaluate import compare
from nerdrain_rt.frame import Frame
from nerdrain_rt.temporal import from_neighbours
from tests import clips
from tests.fakes import FakeBackend
from tests.still_rain import SIZE, SeesDrops, codes, frames, streak_of, tensor_of, texture


class SeesAll(FakeBackend):
    """Takes out all that is brighter than the texture, so that nothing is left for the comparison."""

    def __init__(self) -> None:
        still = tensor_of(codes(texture()))
        super().__init__(lambda rainy: still - rainy[..., : SIZE[0], : SIZE[1]])


@pytest.mark.parametrize("wet", range(5))
def test_frames_are_compared_with_those_around_them(wet):
    clean = list(Derainer(backend=SeesDrops()).derain(frames(5, wet)))
    assert [frame.pts for frame in clean] == [0, 1, 2, 3, 4]
    assert streak_of(clean[wet]) < 6
    assert all(abs(streak_of(frame)) < 3 for frame in clean if frame.pts != wet)


@pytest.mark.parametrize("count", [1, 2])
def test_frames_of_too_few_stand_alone(count):
    clean = list(Derainer(backend=SeesDrops()).derain(frames(count, 0)))
    assert streak_of(clean[0]) > 35


def test_with_the_two_before_no_frame_is_waited_for():
    derainer, before = Derainer(backend=SeesDrops()), deque(maxlen=2)
    clean = [next(derainer.derain([frame], before=before)) for frame in frames(5, 2)]
    assert streak_of(clean[2]) < 6
    assert all(abs(streak_of(frame)) < 3 for frame in clean if frame.pts != 2)
    clean = [next(derainer.derain([frame], before=before)) for frame in frames(2, 0)]
    assert streak_of(clean[0]) < 6, "what was before is kept from call to call"


def test_a_frame_without_two_before_it_stands_alone():
    derainer, before = Derainer(backend=SeesDrops()), deque(maxlen=2)
    clean = [next(derainer.derain([frame], before=before)) for frame in frames(2, 1)]
    assert streak_of(clean[1]) > 35


@pytest.mark.parametrize("what", ["Seen", "from_neighbours"])
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["GPU", "CPU"],
)
def test_frames_for_which_memory_is_short_stand_alone(what, error, monkeypatch):
    tries = []

    def too_much(*_, **__):
        tries.append(what)
        raise error

    derainer = Derainer(backend=SeesDrops())
    with monkeypatch.context() as patched:
        patched.setattr(f"nerdrain_rt.derainer.{what}", too_much)
        clean = list(derainer.derain(frames(5, 2)))
    assert [frame.pts for frame in clean] == [0, 1, 2, 3, 4]
    assert streak_of(clean[2]) > 35
    assert len(tries) == 2, "each try costs the memory that PyTorch keeps"
    assert derainer.warnings == ["cpu: no memory to compare frames of 160x120 with those around them"]


def test_memory_that_is_short_once_costs_one_frame(monkeypatch):
    answers = iter([torch.OutOfMemoryError("CUDA out of memory")])

    def too_much_once(*arguments):
        for error in answers:
            raise error
        return from_neighbours(*arguments)

    monkeypatch.setattr("nerdrain_rt.derainer.from_neighbours", too_much_once)
    derainer = Derainer(backend=SeesDrops())
    assert streak_of(list(derainer.derain(frames(5, 2)))[2]) < 6
    assert not derainer.warnings


def test_without_it_each_frame_stands_alone():
    clean = list(Derainer(DerainSettings(temporal=False), backend=SeesDrops()).derain(frames(5, 2)))
    assert streak_of(clean[2]) > 35


@pytest.mark.parametrize("backend", [SeesDrops, SeesAll])
@pytest.mark.parametrize("strength", [0.25, 0.5, 0.75])
def test_the_strength_is_the_share_that_is_taken_out(backend, strength):
    def taken(share: float) -> float:
        given, clean = frames(5, 2), Derainer(DerainSettings(strength=share), backend=backend()).derain(frames(5, 2))
        return streak_of(given[2]) - streak_of(list(clean)[2])

    assert taken(strength) == pytest.approx(strength * taken(1), abs=1)


@pytest.mark.parametrize("strength", [0, 1e-40, 0.5])
def test_a_part_of_the_rain_is_taken_out_of_a_file_and_its_evaluation(strength, tmp_path):
    clip = rainy_clip(tmp_path / "rainy.mov")
    derainer = Derainer(DerainSettings(strength=strength), backend=SeesDrops())
    list(derain_video(clip, tmp_path / "clean.mov", derainer, output=OutputSettings(codec="png")))
    written = clips.all_samples(tmp_path / "clean.mov", "rgb24")
    for picture, comparison in zip(written, compare(derainer, clip), strict=True):
        difference = np.frombuffer(picture, np.uint8).reshape(*SIZE, 3).astype(int) - comparison.clean
        assert np.abs(difference).max() <= 1


def rainy_clip(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "rgb24"
        for frame in frames(5, 2):
            container.mux(stream.encode(frame.picture))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("temporal", "expected"), [(True, 6), (False, 40)])
def test_a_file_and_its_evaluation_are_compared_alike(temporal, expected, tmp_path):
    clip = rainy_clip(tmp_path / "rainy.mov")
    derainer = Derainer(DerainSettings(temporal=temporal), backend=SeesDrops())
    *_, last = derain_video(clip, tmp_path / "clean.mov", derainer, output=OutputSettings(codec="png"))
    assert last.report is not None
    written = [np.frombuffer(picture, np.uint8) for picture in clips.all_samples(tmp_path / "clean.mov", "rgb24")]
    assert abs(expected - streak_of(Frame(as_picture(written[2]), 2, Fraction(1, 25)))) < 6
    for picture, comparison in zip(written, compare(derainer, clip), strict=True):
        difference = picture.reshape(*SIZE, 3).astype(int) - comparison.clean
        assert np.abs(difference).max() <= 1


def as_picture(samples: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(samples.reshape(*SIZE, 3), "rgb24")


def test_a_residual_of_zero_stays_zero(tmp_path):
    clip = rainy_clip(tmp_path / "rainy.mov")
    derainer = Derainer(backend=FakeBackend())
    list(derain_video(clip, tmp_path / "clean.mov", derainer, output=OutputSettings(codec="png")))
    assert clips.all_samples(tmp_path / "clean.mov", "rgb24") == clips.all_samples(clip, "rgb24")
