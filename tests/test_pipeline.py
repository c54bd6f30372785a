"""The whole program on small clips: every frame comes out, and however it ends, nothing is left behind."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from torch import Tensor

from nerdrain_rt import pipeline
from nerdrain_rt.derainer import Derainer, DerainSettings
from nerdrain_rt.errors import BackendError, MediaError, UsageError
from nerdrain_rt.frame import Frame
from nerdrain_rt.media.reader import VideoReader
from nerdrain_rt.media.writer import OutputSettings, VideoWriter
from nerdrain_rt.pipeline import Progress, VideoReport, derain_video
from tests import clips
from tests.fakes import FakeBackend

FRAMES = 12
LOSSLESS = OutputSettings(codec="ffv1")


class Failure(Exception):
    """Told apart by its arguments: where, and at which frame."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return clips.video(tmp_path_factory.mktemp("clips") / "rainy.mkv", size=(32, 32), frames=FRAMES, codec="ffv1")


@pytest.fixture
def target(tmp_path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "clean.mkv"


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def make_derainer(*backends: FakeBackend, **settings) -> Derainer:
    return Derainer(DerainSettings(**settings), backend=backends or FakeBackend())


def derain(source: Path, target: Path, derainer: Derainer | None = None, **options) -> VideoReport:
    *_, last = derain_video(source, target, derainer or make_derainer(), **options)
    return last.report


def is_empty(folder: Path) -> bool:
    return not list(folder.iterdir())


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le", "yuv444p", "gray"])
@pytest.mark.parametrize("settings", [{"strength": 0}, {}], ids=["strength 0", "residual 0"])
def test_identity_is_lossless(pixel_format, settings, tmp_path, target):
    source = clips.video(tmp_path / "a.mkv", size=(34, 50), frames=7, codec="ffv1", pixel_format=pixel_format)
    derain(source, target, make_derainer(**settings), output=LOSSLESS)
    assert clips.all_samples(target, pixel_format) == clips.all_samples(source, pixel_format)


def test_progress_counts_the_frames_and_ends_with_the_report(clip, target):
    steps = list(derain_video(clip, target, make_derainer()))
    assert [step.frame_index for step in steps] == [*range(1, FRAMES + 1), FRAMES]
    assert all(step.frame_count in (None, FRAMES) for step in steps)
    assert [step.report is None for step in steps] == [True] * FRAMES + [False]
    assert [round(step.frame.seconds * 24) for step in steps[:-1]] == list(range(FRAMES))
    assert steps[0].frame.rgb().shape == (32, 32, 3)


def test_the_target_appears_when_it_is_whole(clip, target):
    for step in derain_video(clip, target, make_derainer()):
        assert target.exists() == (step.report is not None)
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_the_report_says_what_was_done(clip, target):
    report = derain(clip, target, output=LOSSLESS)
    assert (report.input, report.output) == (str(clip), str(target))
    assert (report.frames_in, report.frames_out) == (FRAMES, FRAMES)
    assert (report.device, report.backend, report.precision) == ("cpu", "fake", "fp32")
    assert [(stream.index, stream.type, stream.action) for stream in report.streams] == [(0, "video", "derained")]
    assert report.fps == pytest.approx(FRAMES / report.seconds)
    assert report.warnings == ()
    assert not report.is_damaged


def test_a_part_of_the_source_is_derained(clip, target):
    report = derain(clip, target, output=LOSSLESS, start=2.5 / 24, end=7.5 / 24)
    assert report.frames_out == 5
    assert clips.all_samples(target, "yuv420p") == clips.all_samples(clip, "yuv420p")[3:8]


def test_a_truncated_source_is_delivered_as_far_as_it_goes(tmp_path, target):
    whole = clips.video(tmp_path / "whole.mkv", frames=96)
    report = derain(clips.truncated(whole, tmp_path / "cut.mkv"), target)
    assert 0 < report.frames_in == report.frames_out < 96
    assert report.is_damaged
    assert report.warnings


def test_a_warning_of_the_derainer_is_in_the_report_of_its_video_only(clip, target):
    class Cramped(FakeBackend):
        def __call__(self, rainy: Tensor) -> Tensor:
            if rainy.shape[-1] > 64:
                raise torch.OutOfMemoryError("too large")
            return super().__call__(rainy)

    derainer = make_derainer(Cramped())
    large = clips.video(target.with_name("large.mkv"), size=(128, 128), frames=3, codec="ffv1")
    assert derain(large, target, derainer).warnings == ("cpu: no memory for 128x128 at once; working in tiles of 64",)
    assert derain(clip, target, derainer, output=OutputSettings(overwrite=True)).warnings == ()


def test_a_refused_target_costs_no_work(clip, target):
    target.touch()
    backend = FakeBackend(seconds=2)
    started = time.monotonic()
    with pytest.raises(UsageError, match="exists"):
        derain(clip, target, make_derainer(backend))
    assert time.monotonic() - started < 1
    assert backend.shapes == []
    assert target.stat().st_size == 0


def test_a_source_that_is_no_video_leaves_nothing(tmp_path, target):
    source = tmp_path / "notes.mp4"
    source.write_text("buy an umbrella\n")
    with pytest.raises(MediaError, match=r"notes\.mp4: "):
        derain(source, target)
    assert is_empty(target.parent)


@pytest.mark.parametrize("taken", [0, 1, 5, FRAMES])
def test_closing_midway_leaves_nothing(clip, target, taken):
    progress = derain_video(clip, target, make_derainer())
    for _ in range(taken):
        next(progress)
    progress.close()
    assert is_empty(target.parent)


def test_leaving_the_loop_leaves_nothing(clip, target):
    for step in derain_video(clip, target, make_derainer()):
        if step.frame_index == 3:
            break
    assert is_empty(target.parent)


def test_an_error_of_the_backend_arrives_as_itself_and_leaves_nothing(clip, target):
    error = Failure("backend", 5)
    backend = FakeBackend()

    def residual(rainy: Tensor) -> Tensor:
        if len(backend.shapes) == 6:
            raise error
        return torch.zeros_like(rainy)

    backend.residual = residual
    steps = []
    with pytest.raises(Failure) as caught:
        steps.extend(derain_video(clip, target, make_derainer(backend)))
    assert caught.value is error
    assert len(steps) == 5
    assert is_empty(target.parent)


@pytest.mark.parametrize("devices", [2, 3, 20])
def test_several_devices_give_every_frame_once_and_in_order(devices, clip, target):
    backends = [FakeBackend(seconds=0.002 * index) for index in range(devices)]
    derainer = make_derainer(*backends)
    steps = list(derain_video(clip, target, derainer, output=LOSSLESS))
    assert [round(step.frame.seconds * 24) for step in steps[:-1]] == list(range(FRAMES))
    assert sum(len(backend.shapes) for backend in backends) == FRAMES
    assert clips.all_samples(target, "yuv420p") == clips.all_samples(clip, "yuv420p")
    assert steps[-1].report.warnings == ()


def test_frames_of_several_devices_are_compared_as_those_of_one(clip, tmp_path):
    def residual(rainy: Tensor) -> Tensor:
        return torch.where(rainy > 0.6, -rainy / 8, 0)

    def samples(devices: int, **settings: bool) -> list[bytes]:
        target = tmp_path / f"{devices}{settings}.mkv"
        backends = [FakeBackend(residual) for _ in range(devices)]
        derain(clip, target, make_derainer(*backends, **settings), output=LOSSLESS)
        return clips.all_samples(target, "yuv420p")

    assert samples(1) == samples(2) == samples(3) != samples(1, temporal=False)


def test_the_report_names_every_device(clip, target):
    first, second = FakeBackend(), FakeBackend()
    second.name, second.device, second.dtype = "other", torch.device("cpu:0"), torch.bfloat16
    report = derain(clip, target, make_derainer(first, second))
    assert (report.device, report.backend, report.precision) == ("cpu, cpu:0", "fake, other", "fp32, bf16")
    assert (report.frames_in, report.frames_out) == (FRAMES, FRAMES)


def test_devices_work_at_the_same_time(clip, target):
    both = threading.Barrier(2)

    class Meeting(FakeBackend):
        def __call__(self, rainy: Tensor) -> Tensor:
            if len(self.shapes) == 1:  # the first run of a size has the machine for itself
                both.wait(10)
            return super().__call__(rainy)

    assert derain(clip, target, make_derainer(Meeting(), Meeting())).frames_out == FRAMES


def test_a_quick_device_is_not_held_up_by_a_slow_one(tmp_path, target):
    source = clips.video(tmp_path / "longer.mkv", size=(32, 32), frames=60, codec="ffv1")
    quick, slow = FakeBackend(), FakeBackend(seconds=0.05)
    derain(source, target, make_derainer(slow, quick))
    assert len(quick.shapes) > len(slow.shapes)


def test_changed_settings_act_on_every_device(tmp_path, target):
    source = clips.video(tmp_path / "longer.mkv", size=(32, 32), frames=60, codec="ffv1")
    backends = [FakeBackend(seconds=0.005), FakeBackend(seconds=0.005)]
    derainer = make_derainer(*backends)
    for step in derain_video(source, target, derainer):
        if step.frame_index == 2:
            derainer.settings = DerainSettings(work_scale=0.5, strength=0.9)
    assert all(backend.shapes[0] == (1, 3, 32, 32) and backend.shapes[-1] == (1, 3, 16, 16) for backend in backends)


def test_each_device_tiles_by_its_own_memory(tmp_path, target):
    class Cramped(FakeBackend):
        def __call__(self, rainy: Tensor) -> Tensor:
            if rainy.shape[-1] > 64:
                raise torch.OutOfMemoryError("too large")
            return super().__call__(rainy)

    source = clips.video(tmp_path / "large.mkv", size=(128, 128), frames=8, codec="ffv1")
    cramped, roomy = Cramped(), FakeBackend(seconds=0.05)
    report = derain(source, target, make_derainer(cramped, roomy, temporal=False))
    assert set(roomy.shapes) == {(1, 3, 128, 128)}
    assert set(cramped.shapes) == {(1, 3, 64, 64)}
    assert report.warnings == ("cpu: no memory for 128x128 at once; working in tiles of 64",)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            torch.AcceleratorError("CUDA error: unspecified launch failure\nmore"),
            "cpu: the GPU failed: CUDA error: uns",
        ),
        (torch.OutOfMemoryError("2 GiB"), "cpu: out of memory even in tiles of"),
        (BackendError("fused: no kernel"), "fused: no kernel"),
    ],
)
@pytest.mark.parametrize("devices", [1, 2])
def test_a_device_that_fails_ends_all_with_one_line_and_leaves_nothing(devices, error, message, clip, target):
    class Failing(FakeBackend):
        def __call__(self, rainy: Tensor) -> Tensor:
            if len(self.shapes) == 2:
                raise error
            return super().__call__(rainy)

    backends = [Failing(), *(FakeBackend(seconds=0.01) for _ in range(devices - 1))]
    with pytest.raises(BackendError, match=message) as caught:
        derain(clip, target, make_derainer(*backends))
    assert "\n" not in str(caught.value)
    assert is_empty(target.parent)


@pytest.mark.gpu
def test_gpus_side_by_side_give_what_the_processor_gives(tmp_path, target):
    class OnGpu(FakeBackend):
        def __init__(self, index: int) -> None:
            super().__init__(lambda rainy: -0.25 * rainy)
            self.device = torch.device("cuda", index)

    source = clips.video(tmp_path / "large.mkv", size=(256, 320), frames=50, codec="ffv1")
    expected = target.with_name("expected.mkv")
    derain(source, expected, make_derainer(FakeBackend(lambda rainy: -0.25 * rainy)), output=LOSSLESS)
    gpus = [OnGpu(0), OnGpu(torch.cuda.device_count() - 1)]
    report = derain(source, target, make_derainer(*gpus), output=LOSSLESS)
    assert report.device == ", ".join(str(gpu.device) for gpu in gpus)
    assert all(gpu.shapes for gpu in gpus)
    for clean, wanted in zip(*(clips.all_samples(path, "yuv420p") for path in (target, expected)), strict=True):
        difference = np.frombuffer(clean, np.uint8).astype(int) - np.frombuffer(wanted, np.uint8)
        assert np.abs(difference).max() <= 1


def test_lost_frames_are_an_error(clip, target, monkeypatch):
    class Forgetful(VideoWriter):
        def write(self, frame: Frame) -> None:
            if frame.pts:
                super().write(frame)

    monkeypatch.setattr(pipeline, "VideoWriter", Forgetful)
    with pytest.raises(MediaError, match=f"{FRAMES - 1} frames of {FRAMES} came out"):
        derain(clip, target)
    assert is_empty(target.parent)


@pytest.mark.parametrize("devices", [1, 2])
def test_ctrl_c_with_a_busy_backend_ends_within_a_second_and_leaves_nothing(devices, clip, target):
    begun, is_over, workers, pressed = threading.Event(), threading.Event(), [], []

    def residual(rainy: Tensor) -> Tensor:
        if len(backend.shapes) == 3:
            workers.append(threading.current_thread())
            begun.set()
            is_over.wait(30)
        return torch.zeros_like(rainy)

    def press() -> None:
        begun.wait(10)
        time.sleep(0.05)
        pressed.append(time.monotonic())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    backend = FakeBackend(residual)
    others = [FakeBackend(seconds=0.01) for _ in range(devices - 1)]
    finger = threading.Thread(target=press)
    finger.start()
    try:
        with (
            pytest.raises(KeyboardInterrupt),
            closing(derain_video(clip, target, make_derainer(backend, *others))) as steps,
        ):
            list(steps)
        assert time.monotonic() - pressed[0] < 1
        assert is_empty(target.parent)
    finally:
        is_over.set()
        for thread in (finger, *workers):
            thread.join()
    assert is_empty(target.parent)


@pytest.mark.parametrize(("devices", "runs"), [(1, 300), (3, 100)])
def test_random_failures_arrive_as_themselves_and_leave_nothing(devices, runs, clip, target, monkeypatch):
    before = threading.active_count()
    for seed in range(runs):
        parts = run_with_failures(Random(seed), clip, target, monkeypatch, devices=devices)
        assert threading.active_count() == before, f"seed {seed}: {parts}"
        assert [path.name for path in target.parent.iterdir()] == ([] if parts else [target.name]), f"seed {seed}"
        target.unlink(missing_ok=True)


def run_with_failures(
    random: Random, clip: Path, target: Path, monkeypatch: pytest.MonkeyPatch, *, devices: int
) -> dict[str, int]:
    """One run in which some parts fail at a frame of theirs: which they were."""
    parts = {
        part: random.randrange(FRAMES)
        for part in ("reader", "backend", "writer", "consumer", "leaving")
        if random.random() < 0.2
    }
    pause = Random(random.random())

    def work(part: str, index: int) -> None:
        if pause.random() < 0.2:
            time.sleep(pause.random() * 0.002)
        if index == parts.get(part):
            raise Failure(part, index)

    class Reader(VideoReader):
        def __iter__(self) -> Iterator[Frame]:
            for index, frame in enumerate(super().__iter__()):
                work("reader", index)
                yield frame

    class Writer(VideoWriter):
        def write(self, frame: Frame) -> None:
            work("writer", self.frames_written)
            super().write(frame)

    def residual(rainy: Tensor) -> Tensor:
        work("backend", next(calls))
        return torch.zeros_like(rainy)

    calls = count()
    backends = [FakeBackend(residual) for _ in range(devices)]
    monkeypatch.setattr(pipeline, "VideoReader", Reader)
    monkeypatch.setattr(pipeline, "VideoWriter", Writer)
    order = {"reader": 0, "backend": 1, "writer": 2, "leaving": 3, "consumer": 4}
    first = min(parts, key=lambda part: (parts[part], order[part]), default=None)
    steps: list[Progress] = []
    try:
        with closing(derain_video(clip, target, make_derainer(*backends))) as progress:
            for step in progress:
                steps.append(step)
                if step.frame_index - 1 == parts.get("leaving"):
                    break
                if step.report is None:
                    work("consumer", step.frame_index - 1)
    except Failure as failure:
        assert failure.args in parts.items()
        assert devices > 1 or failure.args == (first, parts[first])
    else:
        assert not parts or "leaving" in parts
        assert devices > 1 or first in (None, "leaving")
        assert parts or steps[-1].report is not None
    return parts
