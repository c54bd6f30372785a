"""What goes on around live frames: their latency and its budget, the figures that tell of it, and the sinks."""

from nerdrain_rt.live.figures import Latencies, LiveReport, LiveStats, Meter, SinkStats, WorkScaleStep
from nerdrain_rt.live.governor import WORK_SCALES, Governor
from nerdrain_rt.live.session import LiveSession, LiveSettings
from nerdrain_rt.live.sinks import Sinks

__all__ = [
    "WORK_SCALES",
    "Governor",
    "Latencies",
    "LiveReport",
    "LiveSession",
    "LiveSettings",
    "LiveStats",
    "Meter",
    "SinkStats",
    "Sinks",
    "WorkScaleStep",
]
