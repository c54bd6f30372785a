"""Pictures that stay in a GPU's memory; where there is none, a picture of the host plays one."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.video.format import VideoFormat

from nerdrain_rt import Derainer, OutputSettings, UsageError, derain_video
from nerdrain_rt.color import Planes
from nerdrain_rt.frame import Frame
from nerdrain_rt.gpu_picture import can_stay_on_gpu, gpu_access, gpu_samples, is_on_gpu, on_host, sample_format
from nerdrain_rt.media.codecs import starts
from nerdrain_rt.media.reader import VideoReader
from tests import clips
from tests.fakes import FakeBackend

SIZE = (64, 96)


class GpuPicture:
    """A picture that says that its samples are on a GPU and refuses what such a picture does."""

    def __init__(self, picture: av.VideoFrame) -> None:
        self.own = picture
        self.sw_format = picture.format
        self.format = VideoFormat("cuda", picture.width, picture.height)

    def __getattr__(self, name: str) -> object:
        return getattr(self.own, name)

    def make_writable(self) -> None:
        raise AssertionError("would move the samples away from the GPU's memory")


def make_picture(pixel_format: str, index: int = 0) -> av.VideoFrame:
    return clips.picture(index, SIZE, pixel_format)


def darker(rainy: torch.Tensor) -> torch.Tensor:
    return -0.25 * rainy


def samples(picture: av.VideoFrame) -> list[np.ndarray]:
    return [plane.numpy().copy() for plane in Planes.of(picture).samples]


@pytest.mark.parametrize("pixel_format", ["nv12", "p010le"])
def test_samples_on_a_gpu_are_the_pictures_own_memory(pixel_format):
    picture = make_picture(pixel_format)
    planes = gpu_samples(picture)
    assert [tuple(plane.shape) for plane in planes] == [SIZE, (SIZE[0] // 2, SIZE[1])]
    planes[1][3, 5] = 77
    assert Planes.of(picture).samples[1][3, 5] == 77


@pytest.mark.parametrize("pixel_format", ["nv12", "p010le"])
def test_a_picture_on_a_gpu_is_derained_in_its_place(pixel_format):
    expected, picture = make_picture(pixel_format), make_picture(pixel_format)
    derainer = Derainer(backend=FakeBackend(darker))
    list(derainer.derain([Frame(expected, 0, Fraction(1, 25))]))
    (clean,) = derainer.derain([Frame(GpuPicture(picture), 0, Fraction(1, 25))])
    assert is_on_gpu(clean.picture)
    for own, wanted in zip(samples(picture), samples(expected), strict=True):
        np.testing.assert_array_equal(own, wanted)


def test_samples_from_elsewhere_are_put_into_a_picture_on_a_gpu():
    picture = make_picture("nv12")
    planes = Planes.of(make_picture("nv12", 1))
    planes.write_to(GpuPicture(picture))
    for own, wanted in zip(samples(picture), planes.samples, strict=True):
        np.testing.assert_array_equal(own, wanted.numpy())


@pytest.mark.parametrize(
    ("pixel_format", "size", "is_expected"),
    [("nv12", (64, 96), True), ("p010le", (64, 96), True), ("nv12", (63, 96), False), ("yuv444p", (64, 96), False)],
)
def test_only_what_pyav_gives_whole_stays_on_a_gpu(pixel_format, size, is_expected):
    picture = GpuPicture(av.VideoFrame(size[1], size[0], pixel_format))
    assert sample_format(picture) == pixel_format
    assert can_stay_on_gpu(picture) is is_expected
    assert not can_stay_on_gpu(picture.own)


def test_a_picture_on_the_host_stays_itself():
    picture = make_picture("nv12")
    assert on_host(picture) is picture
    assert not is_on_gpu(picture)


def test_no_gpu_needs_no_access():
    with gpu_access(None) as hwaccel:
        assert hwaccel is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU would decode it")
def test_a_video_that_the_gpu_cannot_decode_is_decoded_on_the_processor_with_a_warning(tmp_path):
    clip = clips.video(tmp_path / "a.mp4", frames=3)
    with VideoReader(clip) as plain, VideoReader(clip, gpu=0) as reader:
        assert [frame.pts for frame in reader] == [frame.pts for frame in plain]
        assert reader.gpu is None
        assert reader.warnings == ["the GPU cannot decode this video; decoded on the processor"]


def test_decoding_on_a_gpu_that_does_not_derain_is_refused(tmp_path):
    clip = clips.video(tmp_path / "a.mp4", frames=3)
    derainer = Derainer(backend=FakeBackend())
    with pytest.raises(UsageError, match="the network runs on cpu, not on one NVIDIA GPU"):
        next(derain_video(clip, tmp_path / "b.mp4", derainer, decode_on_gpu=True))
    assert list(tmp_path.iterdir()) == [clip]


@pytest.mark.parametrize(
    ("devices", "gpu"),
    [(["cuda:1"], 1), (["cuda"], 0), (["cpu"], None), (["cuda:0", "cuda:1"], None)],
)
def test_a_gpu_decodes_where_it_derains_alone(devices, gpu):
    backends = [FakeBackend() for _ in devices]
    for backend, device in zip(backends, devices, strict=True):
        backend.device = torch.device(device)
    assert Derainer(backend=backends).gpu == gpu


class CudaBackend(FakeBackend):
    device = torch.device("cuda", 0)


def derained(clip: Path, target: Path, backend: FakeBackend, **options: object) -> tuple[list[str], tuple[str, ...]]:
    """The hashes of its frames' samples as yuv420p, and the warnings."""
    *_, last = derain_video(clip, target, Derainer(backend=backend), **options)
    assert last.report is not None
    return [hash(frame) for frame in clips.all_samples(target, "yuv420p")], last.report.warnings


@pytest.mark.gpu
@pytest.mark.parametrize(("codec", "pixel_format"), [("libx264", "yuv420p"), ("libx265", "yuv420p10le")])
def test_a_gpu_decodes_what_the_processor_decodes(codec, pixel_format, tmp_path):
    clip = clips.video(tmp_path / "a.mp4", size=(256, 320), frames=40, codec=codec, pixel_format=pixel_format)
    with VideoReader(clip) as plain, VideoReader(clip, gpu=0) as reader:
        if reader.gpu is None:
            pytest.skip("no decoder for it on this GPU")
        for frame, other in zip(reader, plain, strict=True):
            torch.cuda.synchronize()
            assert frame.pts == other.pts
            there = on_host(frame.picture).reformat(format=pixel_format, threads=1)
            for own, wanted in zip(samples(there), samples(other.picture), strict=True):
                np.testing.assert_array_equal(own, wanted)


@pytest.mark.gpu
def test_a_video_decoded_on_the_gpu_is_derained_alike(tmp_path):
    clip = clips.video(tmp_path / "a.mp4", size=(256, 320), frames=60)
    lossless = OutputSettings(codec="ffv1")
    expected, _ = derained(clip, tmp_path / "b.mkv", CudaBackend(darker), output=lossless)
    given, warnings = derained(clip, tmp_path / "c.mkv", CudaBackend(darker), output=lossless, decode_on_gpu=True)
    if any("decoded on the processor" in text for text in warnings):
        pytest.skip("no decoder for it on this GPU")
    assert given == expected


@pytest.mark.gpu
@pytest.mark.parametrize("decode_on_gpu", [True, False])
def test_an_encoder_of_the_gpu_takes_frames_from_either_memory(decode_on_gpu, tmp_path):
    if not starts("h264_nvenc"):
        pytest.skip("no encoder on this GPU")
    clip = clips.video(tmp_path / "a.mp4", size=(256, 320), frames=60)
    target = tmp_path / "b.mp4"
    *_, last = derain_video(
        clip,
        target,
        Derainer(backend=CudaBackend()),
        output=OutputSettings(codec="h264_nvenc"),
        decode_on_gpu=decode_on_gpu,
    )
    assert last.report is not None
    assert last.report.frames_out == 60
    for own, wanted in zip(*(clips.all_samples(path, "gray") for path in (target, clip)), strict=True):
        difference = np.frombuffer(own, np.uint8).astype(int) - np.frombuffer(wanted, np.uint8)
        assert np.abs(difference).mean() < 4
