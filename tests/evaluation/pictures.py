"""Pictures of noise, and a network that takes away or adds so many codes."""

import av
import numpy as np
import torch
from PIL import Image

from nerdrain_rt.derainer import Derainer, DerainSettings
from tests.fakes import FakeBackend

RAIN = 8
"""Codes that the rain of these tests adds everywhere."""


def derainer(codes=0.0):
    """Of single pictures: what these residuals take from all frames alike is no rain."""
    backend = FakeBackend(lambda rainy: torch.full_like(rainy, codes / 255))
    return Derainer(DerainSettings(tile=0, temporal=False), backend=backend)


def noise(height=40, width=60, seed=0):
    return np.random.default_rng(seed).integers(20, 200, (height, width, 3), dtype=np.uint8)


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_video(path, pictures, *, rate=25):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *pictures[0].shape[:2], "bgr0"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame.reformat(format="bgr0", threads=1)))
        container.mux(stream.encode(None))
    return path


def panned(count=4, step=3):
    """Frames of a camera that turns over a smooth scene."""
    field = np.random.default_rng(3).standard_normal((80, 160 + count * step, 3))
    spectrum = np.fft.rfft2(field, axes=(0, 1))
    rows, columns = np.fft.fftfreq(field.shape[0])[:, None, None], np.fft.rfftfreq(field.shape[1])[None, :, None]
    smooth = np.fft.irfft2(spectrum * np.exp(-800 * (rows**2 + columns**2)), field.shape[:2], axes=(0, 1))
    scene = np.clip(110 + 40 * smooth / smooth.std(), 10, 215).astype(np.uint8)
    return [scene[:, index * step : index * step + 160] for index in range(count)]
