"""The pipeline: seconds from file to file against each of its stages alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from nerdrain_rt.backends import Backend, precision_name
from nerdrain_rt.benchmark.model import Size, size_name
from nerdrain_rt.benchmark.timing import synchronize
from nerdrain_rt.derainer import Derainer, DerainSettings
from nerdrain_rt.media.reader import VideoReader
from nerdrain_rt.media.writer import OutputSettings, VideoWriter
from nerdrain_rt.pipeline import derain_video

RATE = 30
STAGES = ("decode", "prepare", "predict", "compare", "finish", "encode")
HELD_BYTES = 2**32
"""At most this much of prepared frames is held to time the stages with their input in memory."""


@dataclass(frozen=True, slots=True)
class StageSeconds:
    """What one clip took: each stage alone, and the whole from file to file."""

    name: str
    frames: int
    decode: float
    prepare: float
    predict: float
    compare: float
    finish: float
    encode: float
    pipeline: float
    pipeline_cpu: float
    """Processor time of all threads."""

    @property
    def slowest(self) -> str:
        """The stage that took longest alone."""
        return max(STAGES, key=lambda stage: getattr(self, stage))

    @property
    def ratio(self) -> float:
        """The slowest stage's seconds by the pipeline's; 1 is a pipeline that costs nothing."""
        slowest: float = getattr(self, self.slowest)
        return slowest / self.pipeline

    @property
    def fps(self) -> float:
        """From file to file."""
        return self.frames / self.pipeline


@dataclass(frozen=True, slots=True)
class PipelineRow:
    """The pipeline with one backend at one size; only with a `reason` where it could not run."""

    backend: str
    size: Size
    precision: str
    seconds: StageSeconds | None = None
    reason: str | None = None

    def json(self) -> dict[str, Any]:
        """Ready for JSON, the stages in milliseconds per frame."""
        head = {"backend": self.backend, "size": size_name(self.size), "precision": self.precision}
        taken = self.seconds
        if taken is None:
            return head | {"reason": self.reason}
        times = {f"{name}_ms": round(1000 * getattr(taken, name) / taken.frames, 4) for name in (*STAGES, "pipeline")}
        return head | {
            "frames": taken.frames,
            **times,
            "fps": round(taken.fps, 4),
            "slowest": taken.slowest,
            "ratio": round(taken.ratio, 4),
            "cores": round(taken.pipeline_cpu / taken.pipeline, 2),
            "reason": None,
        }


def measure_pipeline(backend: Backend, size: Size, folder: Path, *, fps: float, seconds: float) -> PipelineRow:
    """Derain a clip made in `folder`, so long that a network of `fps` takes about these seconds."""
    row = PipelineRow(backend.name, size, precision_name(backend.dtype))
    try:
        clip = make_clip(folder / f"{size_name(size)}.mp4", size, frames_for(size, fps=fps, seconds=seconds))
        taken = measure_stages(size_name(size), clip, backend, OutputSettings(overwrite=True))
    except Exception as error:
        return PipelineRow(row.backend, row.size, row.precision, reason=str(error) or type(error).__name__)
    return PipelineRow(row.backend, row.size, row.precision, taken)


def frames_for(size: Size, *, fps: float, seconds: float) -> int:
    """Frames of a clip that takes about so long, at least 4, and no more than memory is meant for."""
    held = HELD_BYTES // (16 * size[0] * size[1])
    return max(4, min(int(fps * seconds), 300, held))


def make_clip(path: Path, size: Size, frames: int) -> Path:
    """A drifting texture in H.264."""
    height, width = size
    texture = np.random.default_rng(0).integers(0, 256, (-(-height // 4), width // 4 + 64, 3), dtype=np.uint8)
    texture = texture.repeat(4, axis=0).repeat(4, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            left = index % 240
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(texture[:height, left : left + width]), "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def measure_stages(
    name: str, clip: Path, backend: Backend, output: OutputSettings, *, temporal: bool = True
) -> StageSeconds:
    """Each stage alone with its input in memory, then the whole."""
    target = clip.with_name("clean.mkv")
    derainer = Derainer(DerainSettings(temporal=temporal), backend=backend)
    with VideoReader(clip) as reader:
        prepared = list(derainer.prepare(reader))
    predicted = list(derainer.predict(prepared[:1])) * len(prepared)

    def decode() -> None:
        with VideoReader(clip) as reader:
            exhaust(reader)

    def encode() -> None:
        with VideoReader(clip) as reader, VideoWriter(target, like=reader, settings=output) as writer:
            for frame, _ in prepared:
                writer.write(frame)

    def seconds_of(call: Callable[[], None]) -> float:
        synchronize(backend.device)
        start = time.perf_counter()
        call()
        synchronize(backend.device)
        return time.perf_counter() - start

    frames = [frame for frame, _ in prepared]
    alone = {
        "decode": seconds_of(decode),
        "prepare": seconds_of(lambda: exhaust(derainer.prepare(frames))),
        "predict": seconds_of(lambda: exhaust(derainer.predict(prepared))),
        "compare": seconds_of(lambda: exhaust(derainer.compare(predicted))),
        "finish": seconds_of(lambda: exhaust(derainer.finish(predicted))),
        "encode": seconds_of(encode),
    }
    cpu = time.process_time()
    whole = seconds_of(lambda: exhaust(derain_video(clip, target, derainer, output=output)))
    return StageSeconds(name, len(frames), **alone, pipeline=whole, pipeline_cpu=time.process_time() - cpu)


def exhaust(items: Iterable[object]) -> None:
    """Take every item and keep none."""
    for _ in items:
        pass
