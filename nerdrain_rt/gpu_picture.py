"""Pictures in an NVIDIA GPU's memory, where its decoder leaves them and its encoder takes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import av
import torch
from av.codec.hwaccel import HWAccel
from torch import Tensor
from torch.utils.dlpack import from_dlpack


@contextmanager
def gpu_access(gpu: int | None) -> Iterator[HWAccel | None]:
    """FFmpeg's access to the GPU of this number, for what is opened inside; None without one.

    In PyTorch's context there, because addresses are valid in one context only. Raises what PyTorch raises where it
    cannot use the GPU.
    """
    if gpu is None:
        yield None
        return
    with torch.cuda.device(gpu):
        torch.cuda.synchronize()  # PyTorch makes its context the thread's own no earlier than it needs it
        in_this_context: dict[str, object] = {"primary_ctx": "0", "current_ctx": "1"}
        yield HWAccel("cuda", str(gpu), allow_software_fallback=True, options=in_this_context, is_hw_owned=True)


def is_on_gpu(picture: av.VideoFrame) -> bool:
    """Whether the samples are in a GPU's memory."""
    return picture.sw_format is not None


def sample_format(picture: av.VideoFrame) -> str:
    """The pixel format of the samples, wherever they are."""
    return (picture.sw_format or picture.format).name


def can_stay_on_gpu(picture: av.VideoFrame) -> bool:
    """Whether `gpu_samples` gives all of it: PyAV leaves out the last row and column of chroma of odd sizes."""
    has_even_size = not (picture.width % 2 or picture.height % 2)
    return is_on_gpu(picture) and has_even_size and sample_format(picture) in ("nv12", "p010le", "p016le")


def gpu_samples(picture: av.VideoFrame) -> tuple[Tensor, ...]:
    """The planes (rows x samples) in the picture's own memory: what is written there changes the picture."""
    # As capsules, because PyAV refuses the stream that PyTorch would name to it.
    return tuple(from_dlpack(plane.__dlpack__()).flatten(1) for plane in picture.planes)


def on_host(picture: av.VideoFrame) -> av.VideoFrame:
    """The picture with its samples in the host's memory; itself where they are there."""
    if not is_on_gpu(picture):
        return picture
    return picture.reformat(format=sample_format(picture), threads=1)
