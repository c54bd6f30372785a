"""Frames through the derainer: what the backend sees, and what comes of its residual."""

import logging
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from av.filter import Graph
from torch import Tensor

from nerdrain_rt import derainer as derainer_module
from nerdrain_rt.backends import tiled
from nerdrain_rt.color import Planes
from nerdrain_rt.derainer import Derainer, DerainSettings
from nerdrain_rt.errors import BackendError, UsageError
from nerdrain_rt.frame import Frame
from nerdrain_rt.lanes import Lane
from nerdrain_rt.stages import Prefetch
from tests import clips
from tests.fakes import FakeBackend

FORMATS = ("yuv420p", "yuv422p10le", "yuv444p", "yuv444p16le", "nv12", "gray", "gray16le", "rgb24")
ODD_SIZES = ((17, 33), (2, 2), (1, 40), (40, 1), (1, 1), (96, 54), (15, 16))


def make_frame(size: tuple[int, int] = (48, 64), pixel_format: str = "yuv420p", *, index: int = 0) -> Frame:
    return Frame(clips.picture(index, size, pixel_format), index, Fraction(1, 25))


def interlaced(frame: Frame) -> Frame:
    """The same, said to be two fields."""
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(
            width=frame.picture.width, height=frame.picture.height, format=frame.picture.format, time_base="1/25"
        ),
        graph.add("setfield", "tff"),
        graph.add("buffersink"),
    ).configure()
    graph.push(frame.picture)
    picture = graph.vpull()
    assert picture.interlaced_frame
    return replace(frame, picture=picture)


def darker(rainy: Tensor) -> Tensor:
    """A residual that depends on each pixel alone."""
    return -0.25 * rainy


def samples(frame: Frame) -> np.ndarray:
    return frame.picture.to_ndarray().copy()


class CrampedBackend(FakeBackend):
    """Runs out of memory above `limit` pixels."""

    def __init__(self, limit: int, *, error: type[Exception] = torch.OutOfMemoryError) -> None:
        super().__init__(darker)
        self.limit = limit
        self.error = error

    def __call__(self, rainy: Tensor) -> Tensor:
        if rainy.shape[-2] * rainy.shape[-1] > self.limit:
            raise self.error("tried to allocate too much")
        return super().__call__(rainy)


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_strength_zero_changes_nothing_and_runs_nothing(pixel_format):
    backend = FakeBackend(torch.ones_like)
    frame = make_frame(pixel_format=pixel_format)
    before = samples(frame)
    [clean] = Derainer(DerainSettings(strength=0), backend=backend).derain([frame])
    assert clean is frame
    assert np.array_equal(samples(clean), before)
    assert backend.shapes == []


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_a_residual_of_zero_leaves_every_sample(pixel_format):
    backend = FakeBackend()
    frame = make_frame(pixel_format=pixel_format)
    before = samples(frame)
    [clean] = Derainer(backend=backend).derain([frame])
    assert np.array_equal(samples(clean), before)
    assert backend.shapes == [(1, 3, 48, 64)]


def test_the_residual_is_added_to_the_picture():
    frame = make_frame(pixel_format="rgb24")
    before = samples(frame).astype(float)
    list(Derainer(backend=FakeBackend(darker)).derain([frame]))
    assert np.abs(samples(frame) - 0.75 * before).max() <= 0.51


def test_strength_is_the_share_of_the_residual():
    rainy = torch.rand(1, 3, 32, 32)
    residual = Derainer(DerainSettings(strength=0.5), backend=FakeBackend(darker)).residual(rainy)
    torch.testing.assert_close(residual, -0.125 * rainy)


def test_strength_zero_gives_a_residual_of_zeros_without_the_network():
    backend = FakeBackend(torch.ones_like)
    rainy = torch.rand(2, 3, 17, 33, dtype=torch.float64)
    residual = Derainer(DerainSettings(strength=0), backend=backend).residual(rainy)
    assert torch.equal(residual, torch.zeros(2, 3, 17, 33))
    assert residual.dtype == torch.float32
    assert backend.shapes == []


def test_ten_bits_keep_their_depth():
    frame = make_frame(pixel_format="yuv420p10le")
    before = samples(frame).astype(int)
    list(Derainer(backend=FakeBackend(lambda rainy: torch.full_like(rainy, -1 / 876))).derain([frame]))
    luma, before = samples(frame)[:48].astype(int), before[:48]
    assert frame.picture.format.name == "yuv420p10le"
    assert ((before - luma)[before > 100] == 1).mean() > 0.9  # one code of 1023, which 8 bits do not have


def test_frames_keep_their_times_and_order():
    frames = [make_frame(index=index) for index in range(5)]
    clean = list(Derainer(backend=FakeBackend(darker)).derain(frames))
    assert [frame.pts for frame in clean] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
def test_any_size_is_padded_for_the_backend_and_cut_again(size):
    backend = FakeBackend(darker)
    rainy = torch.rand(1, 3, *size)
    torch.testing.assert_close(Derainer(backend=backend).residual(rainy), -0.25 * rainy)
    assert backend.shapes == [(1, 3, *(-(-side // 16) * 16 for side in size))]


@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
def test_frames_of_any_size_are_derained(size):
    frame = make_frame(size, "rgb24")
    before = samples(frame).astype(float)
    list(Derainer(backend=FakeBackend(darker)).derain([frame]))
    assert np.abs(samples(frame) - 0.75 * before).max() <= 0.51


def test_padding_is_a_reflection():
    seen = []
    backend = FakeBackend(lambda rainy: seen.append(rainy) or torch.zeros_like(rainy))
    rainy = torch.rand(1, 3, 12, 27)
    Derainer(backend=backend).residual(rainy)
    torch.testing.assert_close(seen[0], torch.nn.functional.pad(rainy, (0, 5, 0, 4), mode="reflect"))


def test_padding_of_a_strip_repeats_the_reflection():
    seen = []
    backend = FakeBackend(lambda rainy: seen.append(rainy) or torch.zeros_like(rainy))
    Derainer(backend=backend).residual(torch.tensor([1.0, 2.0, 3.0]).expand(1, 3, 1, 3))
    assert seen[0][0, 0, 5].tolist() == 4 * [1, 2, 3, 2]


@pytest.mark.parametrize("size", [(100, 170), (170, 100), (64, 300), (20, 300), (128, 128)])
def test_tiles_give_what_the_whole_frame_gives(size):
    backend = FakeBackend(darker)
    rainy = torch.rand(2, 3, *size)
    residual = Derainer(DerainSettings(tile=64), backend=backend).residual(rainy)
    torch.testing.assert_close(residual, -0.25 * rainy)
    assert len(backend.shapes) > 1
    assert {shape[:2] for shape in backend.shapes} == {(2, 3)}
    assert max(max(shape[2:]) for shape in backend.shapes) == 64


def test_tiles_grow_to_what_the_backend_takes():
    backend = FakeBackend()
    Derainer(DerainSettings(tile=100), backend=backend).residual(torch.rand(1, 3, 300, 300))
    assert set(backend.shapes) == {(1, 3, 112, 112)}


def test_tile_zero_takes_whole_frames_whatever_the_memory(monkeypatch):
    monkeypatch.setattr(tiled, "free_memory", lambda device: 0)
    backend = FakeBackend()
    Derainer(DerainSettings(tile=0), backend=backend).residual(torch.rand(1, 3, 300, 200))
    assert backend.shapes == [(1, 3, 304, 208)]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
@pytest.mark.parametrize("tile", [None, 0, 256])
def test_out_of_memory_falls_back_to_tiles_with_one_warning(error, tile, caplog):
    backend = CrampedBackend(100 * 100, error=error)
    derainer = Derainer(DerainSettings(tile=tile), backend=backend)
    rainy = torch.rand(1, 3, 320, 512)
    with caplog.at_level(logging.WARNING):
        first, second = derainer.residual(rainy), derainer.residual(rainy)
    torch.testing.assert_close(first, -0.25 * rainy)
    torch.testing.assert_close(second, first)
    assert set(backend.shapes) == {(1, 3, 64, 64)}
    assert derainer.warnings == ["cpu: no memory for 512x320 at once; working in tiles of 64"]
    assert caplog.messages == derainer.warnings


def test_out_of_memory_in_the_smallest_tiles_is_a_backend_error():
    derainer = Derainer(backend=CrampedBackend(0))
    with pytest.raises(BackendError, match="cpu: out of memory even in tiles of") as caught:
        derainer.residual(torch.rand(1, 3, 320, 512))
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    assert derainer.warnings == []


def test_an_out_of_memory_error_spoils_nothing_for_smaller_frames():
    backend = CrampedBackend(0)
    derainer = Derainer(backend=backend)
    with pytest.raises(BackendError):
        derainer.residual(torch.rand(1, 3, 320, 512))
    backend.limit = 128 * 128
    derainer.residual(torch.rand(1, 3, 128, 128))
    assert backend.shapes == [(1, 3, 128, 128)]


def test_a_frame_that_fits_is_whole_after_one_that_did_not(monkeypatch):
    monkeypatch.setattr(tiled, "free_memory", lambda device: 100_000)
    backend = FakeBackend(darker)
    derainer = Derainer(backend=backend)
    derainer.residual(torch.rand(1, 3, 320, 512))
    backend.shapes.clear()
    for _ in range(2):
        derainer.residual(torch.rand(1, 3, 96, 640))
    assert backend.shapes == [(1, 3, 96, 640)] * 2
    assert derainer.warnings == ["cpu: no memory for 512x320 at once; working in tiles of 224"]


def test_a_frame_larger_than_one_that_did_not_fit_is_not_tried_whole():
    tried = []

    class Watched(CrampedBackend):
        def __call__(self, rainy: Tensor) -> Tensor:
            tried.append(rainy.shape[-2] * rainy.shape[-1])
            return super().__call__(rainy)

    derainer = Derainer(backend=Watched(100 * 100))
    derainer.residual(torch.rand(1, 3, 128, 128))
    assert tried[0] == 128 * 128
    tried.clear()
    derainer.residual(torch.rand(1, 3, 160, 256))
    assert max(tried) < 128 * 128


def test_other_errors_of_the_backend_arrive_as_themselves():
    class Broken(FakeBackend):
        def __call__(self, rainy: Tensor) -> Tensor:
            raise RuntimeError("a kernel is missing")

    with pytest.raises(RuntimeError, match="a kernel is missing"):
        list(Derainer(backend=Broken()).derain([make_frame()]))


@pytest.mark.parametrize(("free", "side"), [(10**9, None), (320 * 512, 288), (100 * 100, 80), (8000, 64), (0, 64)])
def test_frames_are_tiled_as_the_memory_asks(free, side, monkeypatch):
    monkeypatch.setattr(tiled, "free_memory", lambda device: free)
    backend = FakeBackend(darker)
    derainer = Derainer(backend=backend)
    rainy = torch.rand(1, 3, 320, 512)
    torch.testing.assert_close(derainer.residual(rainy), -0.25 * rainy)
    if side is None:
        assert backend.shapes == [(1, 3, 320, 512)]
        assert derainer.warnings == []
    else:
        assert set(backend.shapes) == {(1, 3, min(side, 320), side)}
        assert derainer.warnings == [f"cpu: no memory for 512x320 at once; working in tiles of {side}"]
        assert side == 64 or backend.bytes_for(backend.shapes[0][2:]) <= 0.7 * free


def test_memory_is_asked_once_for_frames_that_fit(monkeypatch):
    asked = []
    monkeypatch.setattr(tiled, "free_memory", lambda device: asked.append(device) or 10**9)
    derainer = Derainer(backend=FakeBackend())
    for _ in range(3):
        derainer.residual(torch.rand(1, 3, 64, 64))
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("scale", "size", "expected"),
    [(0.5, (96, 128), (48, 64)), (0.5, (97, 129), (48, 64)), (0.25, (64, 64), (16, 16)), (0.1, (4, 4), (16, 16))],
)
def test_the_backend_works_at_the_work_scale(scale, size, expected):
    backend = FakeBackend(lambda rainy: torch.full_like(rainy, -0.125))
    residual = Derainer(DerainSettings(work_scale=scale), backend=backend).residual(torch.rand(1, 3, *size))
    assert backend.shapes == [(1, 3, *expected)]
    torch.testing.assert_close(residual, torch.full((1, 3, *size), -0.125))


def test_a_smooth_residual_survives_the_work_scale():
    rainy = torch.linspace(0, 1, 128).expand(1, 3, 96, 128)
    residual = Derainer(DerainSettings(work_scale=0.5), backend=FakeBackend(darker)).residual(rainy)
    assert (residual + 0.25 * rainy)[..., 4:-4].abs().max() < 1e-3


def test_fields_are_derained_apart(tmp_path):
    with av.open(str(clips.interlaced(tmp_path / "fields.mp4"))) as container:
        picture = next(container.decode(video=0))
    assert picture.interlaced_frame
    rainy = torch.cat([field.rgb() for field in Planes.of(picture).fields()])
    seen = []

    def residual(fields: Tensor) -> Tensor:
        seen.extend(fields.clone())
        return torch.tensor([-0.2, 0.0]).view(2, 1, 1, 1).expand(fields.shape)

    backend = FakeBackend(residual)
    before = picture.to_ndarray()[: picture.height].astype(int)
    [clean] = Derainer(backend=backend).derain([Frame(picture, 0, Fraction(1, 25))])
    luma = clean.picture.to_ndarray()[: picture.height].astype(int)
    assert backend.shapes == [(2, 3, 48, 128)]
    assert torch.equal(torch.stack(seen), rainy)
    assert np.array_equal(luma[1::2], before[1::2])
    assert (luma[0::2] < before[0::2]).mean() > 0.8


@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12", "yuv422p10le", "rgb24"])
@pytest.mark.parametrize("height", [48, 47, 46, 45, 3, 2, 1])
@pytest.mark.parametrize("changed", [0, 1])
def test_a_residual_in_one_field_stays_in_its_rows(pixel_format: str, height: int, changed: int):
    frame = interlaced(make_frame((height, 64), pixel_format))
    before = Planes.of(frame.picture)
    fields = len(before.fields())
    images = 0

    def residual(rainy: Tensor) -> Tensor:
        nonlocal images
        strengths = [0.3 if images + index == min(changed, fields - 1) else 0.0 for index in range(len(rainy))]
        images += len(rainy)
        return torch.tensor(strengths).view(-1, 1, 1, 1) * (0.5 - rainy)

    list(Derainer(backend=FakeBackend(residual)).derain([frame]))

    assert images == fields
    for old, new in zip(before.samples, Planes.of(frame.picture).samples, strict=True):
        assert not torch.equal(new[changed % fields :: fields], old[changed % fields :: fields])
        if fields == 2:
            assert torch.equal(new[1 - changed :: 2], old[1 - changed :: 2])


@pytest.mark.parametrize(("height", "shapes"), [(48, [(2, 3, 32, 64)]), (35, [(1, 3, 32, 64), (1, 3, 32, 64)])])
def test_fields_of_one_size_go_through_the_backend_at_once(height: int, shapes: list[tuple[int, ...]]):
    backend = FakeBackend(darker)
    list(Derainer(backend=backend).derain([interlaced(make_frame((height, 64)))]))
    assert backend.shapes == shapes


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("height", [48, 47, 46, 45, 2, 1])
def test_a_residual_of_zero_leaves_every_sample_of_both_fields(pixel_format: str, height: int):
    frame = interlaced(make_frame((height, 64), pixel_format))
    before = Planes.of(frame.picture)
    list(Derainer(backend=FakeBackend()).derain([frame]))
    assert all(map(torch.equal, Planes.of(frame.picture).samples, before.samples))


def test_frames_that_the_decoder_still_refers_to_are_not_spoiled(tmp_path):
    source = tmp_path / "still.mp4"
    clips.ffmpeg("-f", "lavfi", "-i", "color=gray:s=64x64:r=25:d=1", "-pix_fmt", "yuv420p", "-c:v", "libx264", source)
    derainer = Derainer(backend=FakeBackend(lambda rainy: torch.full_like(rainy, 10 / 219)))
    lumas = []
    with av.open(str(source)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for index, picture in enumerate(container.decode(video=0)):
            list(derainer.derain([Frame(picture, index, Fraction(1, 25))]))
            lumas.append(int(picture.to_ndarray()[32, 32]))
    assert len(lumas) == 25
    assert max(lumas) - min(lumas) <= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": 1.5}, "strength is 1.5; it goes from 0 to 1"),
        ({"strength": -0.1}, "strength is -0.1; it goes from 0 to 1"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"work_scale": 0}, "work scale is 0; it must be above 0 and at most 1"),
        ({"work_scale": 2}, "work scale is 2; it must be above 0 and at most 1"),
        ({"tile": 63}, "tile is 63; use 0 for whole frames, or at least 64"),
        ({"tile": -64}, "tile is -64; use 0 for whole frames, or at least 64"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        DerainSettings(**settings)


def test_residual_that_is_not_finite_is_an_error():
    derainer = Derainer(backend=FakeBackend(lambda rainy: torch.full_like(rainy, float("nan"))))
    with pytest.raises(BackendError, match="not finite"):
        derainer.residual(torch.rand(1, 3, 16, 16))


def test_frame_whose_residual_is_not_finite_is_an_error_and_keeps_its_samples():
    frame = make_frame()
    before = samples(frame)
    derainer = Derainer(backend=FakeBackend(lambda rainy: torch.full_like(rainy, float("inf"))))
    with pytest.raises(BackendError, match="not finite"):
        list(derainer.derain([frame]))
    assert np.array_equal(samples(frame), before)


class CudaBackend(FakeBackend):
    """A residual that takes the device a while."""

    device = torch.device("cuda")

    def __init__(self) -> None:
        super().__init__(self.slow)

    @staticmethod
    def slow(rainy: Tensor) -> Tensor:
        busy = torch.ones(2048, 2048, device=rainy.device)
        for _ in range(20):
            busy = busy @ busy / 2048
        return darker(rainy) * busy[0, 0]


@pytest.mark.gpu
def test_streams_of_a_device_give_what_the_cpu_gives():
    frames = [make_frame((256, 320), index=index) for index in range(50)]
    expected = [make_frame((256, 320), index=index) for index in range(50)]
    list(Derainer(backend=FakeBackend(darker)).derain(expected))
    derainer = Derainer(backend=CudaBackend())
    with (
        Prefetch(derainer.prepare(frames), depth=1) as prepared,
        Prefetch(derainer.predict(prepared), depth=1) as predicted,
        Prefetch(derainer.finish(predicted)) as clean,
    ):
        for frame, other in zip(clean, expected, strict=True):
            assert np.abs(samples(frame).astype(int) - samples(other)).max() <= 1


@pytest.mark.gpu
def test_frames_derained_one_at_a_time_share_their_memory_on_a_device():
    derainer = Derainer(backend=CudaBackend())
    list(derainer.derain([make_frame((256, 320))]))
    held = torch.cuda.memory_reserved()
    for index in range(40):
        list(derainer.derain([make_frame((256, 320), index=index)]))
    assert torch.cuda.memory_reserved() <= held


def test_warming_up_runs_the_network_on_each_device_once():
    backends = [FakeBackend(), FakeBackend()]
    derainer = Derainer(backend=backends)
    derainer.warm_up((33, 47))
    assert [backend.shapes for backend in backends] == [[(1, 3, 48, 48)]] * 2
    derainer.settings = DerainSettings(strength=0.0)
    derainer.warm_up((33, 47))
    assert len(backends[0].shapes) == 1


def test_the_lane_that_frames_come_in_is_warmed_up(monkeypatch):
    entered = []

    class WatchedLane(Lane):
        @contextmanager
        def after(self, mark=None):
            with super().after(mark):
                entered.append(self)
                yield
                entered.pop()

    monkeypatch.setattr(derainer_module, "Lane", WatchedLane)
    used = []
    derainer = Derainer(backend=FakeBackend(lambda rainy: used.append(entered[-1:]) or torch.zeros_like(rainy)))
    derainer.warm_up((48, 64))
    list(derainer.derain([make_frame()]))
    first, second = used
    assert first == second != []
