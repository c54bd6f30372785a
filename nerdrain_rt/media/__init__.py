"""Media in and out: files read and written with everything in them."""

from nerdrain_rt.media.reader import VideoReader
from nerdrain_rt.media.report import StreamReport
from nerdrain_rt.media.writer import OutputSettings, VideoWriter

__all__ = ["OutputSettings", "StreamReport", "VideoReader", "VideoWriter"]
