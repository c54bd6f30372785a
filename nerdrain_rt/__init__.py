"""Takes the rain out of videos and images, and leaves the rest of the file alone."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nerdrain_rt.derainer import Derainer, DerainSettings
    from nerdrain_rt.errors import BackendError, DerainError, MediaError, UsageError, WeightsError
    from nerdrain_rt.media.image import ImageReport, derain_image
    from nerdrain_rt.media.writer import OutputSettings
    from nerdrain_rt.model.weights import load_weights
    from nerdrain_rt.pipeline import Progress, VideoReport, derain_video

__version__ = version("nerdrain-rt")

__all__ = [
    "BackendError",
    "DerainError",
    "DerainSettings",
    "Derainer",
    "ImageReport",
    "MediaError",
    "OutputSettings",
    "Progress",
    "UsageError",
    "VideoReport",
    "WeightsError",
    "derain_image",
    "derain_video",
    "load_weights",
]

_HOMES = {
    "derainer": ("DerainSettings", "Derainer"),
    "errors": ("BackendError", "DerainError", "MediaError", "UsageError", "WeightsError"),
    "media.image": ("ImageReport", "derain_image"),
    "media.writer": ("OutputSettings",),
    "model.weights": ("load_weights",),
    "pipeline": ("Progress", "VideoReport", "derain_video"),
}


def __getattr__(name: str) -> object:
    """A public name from its module, when it is first asked for: PyTorch takes seconds to import."""
    for module, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"nerdrain_rt.{module}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
