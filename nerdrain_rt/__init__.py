"""Takes the rain out of videos and images, and leaves the rest of the file alone."""

from importlib.metadata import version

from nerdrain_rt.derainer import Derainer, DerainSettings
from nerdrain_rt.errors import BackendError, DerainError, MediaError, UsageError, WeightsError
from nerdrain_rt.media.writer import OutputSettings
from nerdrain_rt.model.weights import load_weights
from nerdrain_rt.pipeline import Progress, VideoReport, derain_video

__version__ = version("nerdrain-rt")

__all__ = [
    "BackendError",
    "DerainError",
    "DerainSettings",
    "Derainer",
    "MediaError",
    "OutputSettings",
    "Progress",
    "UsageError",
    "VideoReport",
    "WeightsError",
    "derain_video",
    "load_weights",
]
