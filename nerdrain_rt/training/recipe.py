"""Recipes: what decides the weights that a training run ends with, as a TOML file."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from nerdrain_rt.errors import UsageError
from nerdrain_rt.model.net import NerdRain
from nerdrain_rt.training.looks import EVERY_KIND, RainSettings

OPTIMIZERS = ("muon", "adamw")
PRECISIONS = ("bfloat16", "float32")


RANGES: dict[str, tuple[float, float]] = {
    "pairs_share": (0, 1),
    "streaky": (0, 1),
    "validate_every": (1, math.inf),
    "validation_images": (1, math.inf),
    "validation_size": (NerdRain.multiple_of, 4096),
    "width": (8, 512),
    "head_width": (1, 4096),
    "steps": (1, math.inf),
    "learning_rate": (1e-12, 1e3),
    "final_learning_rate": (0, 1e3),
    "warmup_steps": (0, math.inf),
    "decay_steps": (1, math.inf),
    "weight_decay": (0, 1e3),
    "gradient_limit": (1e-9, math.inf),
    "ema_decay": (0, 1),
    "seed": (0, 2**62),
    "checkpoint_minutes": (0, math.inf),
}
"""What numbers may be, both ends allowed."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """A recipe; everything but the folders, the device and `compile` decides the weights.

    Raises UsageError for what cannot be trained.
    """

    images: str | None = None
    """Folder of clean photographs, on which rain is drawn."""
    pairs: tuple[str, str] | None = None
    """Folders of rainy images and their targets, of the same names."""
    pairs_share: float = 0.5
    """Share of each batch cut from the pairs where there are photographs too."""
    rain: RainSettings = EVERY_KIND
    """What is drawn on photographs; in TOML a table of the shares that differ."""
    streaky: float = 0.0
    """Share of the crops of photographs chosen for looking like streaks themselves, as grass, hair and fences do."""
    exclude: tuple[str, ...] = ()
    """File name patterns of photographs and rainy images left out."""
    validate: tuple[str, ...] = ()
    """The same, left out and validated on: photographs, or pairs where there are none."""
    validate_every: int = 500
    """Steps."""
    validation_images: int = 16
    """At most as many of those, evenly spaced by name: every second, third and so on."""
    validation_size: int = 256
    """Largest side of their middles."""
    width: int = 32
    head_width: int = 256
    steps: int = 20_000
    crops: tuple[tuple[int, int, int], ...] = ((0, 64, 4),)
    """(from step, crop size, batch over all processes), growing."""
    optimizer: str = "muon"
    """Of the kernels between features; AdamW is always that of the other parameters."""
    learning_rate: float = 4e-4
    final_learning_rate: float = 1e-6
    warmup_steps: int = 200
    decay_steps: int | None = None
    """Steps of the cosine at the end; None: all after the warm-up."""
    weight_decay: float = 1e-4
    gradient_limit: float = 0.1
    ema_decay: float = 0.999
    precision: str = "bfloat16"
    channels_last: bool = False
    compile: bool = False
    """Compile the network's blocks; on CUDA devices only."""
    seed: int = 0
    checkpoint_minutes: float = 5.0

    @classmethod
    def read(cls, path: Path, **changes: Any) -> TrainSettings:
        """Read a TOML recipe and put `changes` in its place; raises UsageError for a file that is none."""
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: not TOML: {error}") from None
        known = {field.name for field in fields(cls)}
        if unknown := content.keys() - known:
            raise UsageError(f"{path}: unknown keys {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
        content = {name: _frozen(value) for name, value in (content | changes).items()}
        try:
            if "rain" in content:
                content["rain"] = RainSettings.of_shares(content["rain"])
            return cls(**content)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None

    def __post_init__(self) -> None:
        for field in fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            allowed = (int, float) if kind is float else (kind,)
            if field.default is not None and (type(value) not in allowed):
                raise UsageError(f"{field.name} is {value!r}; it must be like {field.default!r}")
        if self.decay_steps is not None and type(self.decay_steps) is not int:
            raise UsageError(f"decay_steps is {self.decay_steps!r}; it must be a whole number")
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UsageError(f"{name} is {value!r}; it goes from {low:g} to {high:g}")
        if self.width % 8:
            raise UsageError(f"width is {self.width}; it must be a multiple of 8")
        self._check_names()
        for start, size, batch in self._stages():
            if start < 0 or size < 1 or size % NerdRain.multiple_of or batch < 1:
                raise UsageError(f"crops has {[start, size, batch]}; sizes are multiples of {NerdRain.multiple_of}")
        if min(start for start, *_ in self.crops) != 0:
            raise UsageError("crops must begin at step 0")
        for name, known in (("precision", PRECISIONS), ("optimizer", OPTIMIZERS)):
            if (value := getattr(self, name)) not in known:
                raise UsageError(f"{name} is {value!r}; there are {', '.join(known)}")

    def _check_names(self) -> None:
        if self.images is not None and not isinstance(self.images, str):
            raise UsageError(f"images is {self.images!r}; it must be a folder")
        folders = self.pairs
        if folders is not None and not (isinstance(folders, tuple) and len(folders) == 2 and _are_texts(folders)):
            raise UsageError(f"pairs is {folders!r}; it must be two folders, of rainy images and of targets")
        for name in ("exclude", "validate"):
            if not _are_texts(patterns := getattr(self, name)):
                raise UsageError(f"{name} is {patterns!r}; it must be a list of file name patterns")

    def _stages(self) -> tuple[tuple[int, int, int], ...]:
        stages = [isinstance(it, tuple) and [type(number) for number in it] == [int] * 3 for it in self.crops]
        if not stages or not all(stages):
            raise UsageError(f"crops is {self.crops!r}; it must be a list of [from step, crop size, batch]")
        return self.crops

    def with_data(self, *, images: Path | None = None, pairs: tuple[Path, Path] | None = None) -> TrainSettings:
        """The same on other data; what is None stays."""
        settings = self if images is None else replace(self, images=str(images))
        return settings if pairs is None else replace(settings, pairs=(str(pairs[0]), str(pairs[1])))

    def learning_rate_at(self, step: int) -> float:
        """Linear warm-up, constant, cosine to the final rate."""
        decay_steps = self.decay_steps or max(1, self.steps - self.warmup_steps)
        done = min(max(0.0, (step - (self.steps - decay_steps)) / decay_steps), 1.0)
        fall = 0.5 * (1 + math.cos(math.pi * done))
        rate = self.final_learning_rate + (self.learning_rate - self.final_learning_rate) * fall
        return rate * min(1.0, (step + 1) / max(1, self.warmup_steps))

    def lasting(self, steps: int) -> TrainSettings:
        """The same over another number of steps: each size of crop keeps its share of them, and so does the cosine.

        The warm-up has a tenth of them at most, so that it leaves a short plan time to fall.
        """
        ratio = steps / self.steps
        crops = {round(start * ratio): (size, batch) for start, size, batch in sorted(self.crops)}
        decay_steps = None if self.decay_steps is None else max(1, round(self.decay_steps * ratio))
        stages = tuple((start, size, batch) for start, (size, batch) in crops.items())
        warmup_steps = min(self.warmup_steps, steps // 10)
        return replace(self, steps=steps, crops=stages, warmup_steps=warmup_steps, decay_steps=decay_steps)

    def pixels_after(self, step: int) -> int:
        """How many pixels are trained on after a step, until the last one."""
        stages = sorted(self.crops)
        ends = [start for start, *_ in stages[1:]] + [self.steps]
        return sum(
            max(0, min(end, self.steps) - max(start, step)) * size * size * batch
            for (start, size, batch), end in zip(stages, ends, strict=True)
        )

    def crop_at(self, step: int) -> tuple[int, int]:
        """(crop size, batch) of a step."""
        return max((start, size, batch) for start, size, batch in self.crops if step >= start)[1:]


def _are_texts(values: tuple[Any, ...]) -> bool:
    return all(isinstance(value, str) for value in values)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
