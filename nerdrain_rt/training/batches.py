"""Batches of rainy crops and their targets, rendered on the training device."""

from __future__ import annotations

import logging
from collections.abc import Generator
from itertools import count
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from nerdrain_rt.errors import UsageError
from nerdrain_rt.training.data import CleanImages, ImagePairs
from nerdrain_rt.training.rain import add_rain
from nerdrain_rt.training.recipe import TrainSettings

_log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """B 3 S S in [0, 1], twice, and the state of the generator after they were drawn."""

    rainy: Tensor
    target: Tensor
    state: Tensor


class Batches:
    """The data of a recipe, resident on a device; with several processes, each draws its own part of a batch.

    Raises UsageError where the recipe names no data or a batch cannot be divided, MediaError as the data does.
    """

    def __init__(self, settings: TrainSettings, device: torch.device, *, part: int = 0, parts: int = 1) -> None:
        if settings.images is None and settings.pairs is None:
            raise UsageError("no images and no pairs to train on; give --images DIR or --pairs RAINY TARGET")
        if odd := next((batch for *_, batch in settings.crops if batch % parts), None):
            raise UsageError(f"a batch of {odd} cannot be divided among {parts} processes")
        self.settings = settings
        """Whose crops are drawn next."""
        self._device, self._part, self._parts = device, part, parts
        self._images = self._pairs = None
        left_out = (*settings.exclude, *settings.validate)
        if settings.images is not None:
            self._images = CleanImages(settings.images, device, exclude=left_out)
        if settings.pairs is not None:
            self._pairs = ImagePairs(*settings.pairs, device, exclude=left_out)
        self._tell_of_small_images(max(size for _, size, _ in settings.crops))

    def _tell_of_small_images(self, crop: int) -> None:
        images = [
            *(self._images.images if self._images is not None else ()),
            *(self._pairs.rainy if self._pairs is not None else ()),
        ]
        if small := [image.shape[1:] for image in images if min(image.shape[1:]) < crop]:
            height, width = min(small, key=min)
            _log.warning(
                "%d of %d images are smaller than the crop of %d pixels, as one of %dx%d; mirror images continue them",
                *(len(small), len(images), crop, width, height),
            )

    @property
    def description(self) -> str:
        """What is trained on, for a person."""
        sources = []
        if self._images is not None:
            sources.append(f"{len(self._images)} images of {Path(self.settings.images or '').name} with drawn rain")
        if self._pairs is not None:
            sources.append(f"{len(self._pairs)} pairs of {Path((self.settings.pairs or [''])[0]).name}")
        return ", ".join(sources)

    def rendered(self, step: int, generator: torch.Generator) -> Generator[Batch]:
        """The batches from a step on, without end; all that is random comes from the generator.

        On CUDA they are rendered beside the training, in a stream of their own, whose many small steps go first.
        """
        training = stream = None
        if self._device.type == "cuda":
            training = torch.cuda.current_stream(self._device)
            stream = torch.cuda.Stream(self._device, priority=-1)  # type: ignore[no-untyped-call]
            stream.wait_stream(training)
        for number in count(step):
            with torch.cuda.stream(stream):
                rainy, target = self._render(number, generator)
            if stream is not None and training is not None:
                stream.synchronize()
                rainy.record_stream(training)
                target.record_stream(training)
            yield Batch(rainy, target, generator.get_state())

    def _render(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        size, batch = self.settings.crop_at(step)
        batch //= self._parts
        if self._pairs is None:
            paired = 0
        elif self._images is None:
            paired = batch
        else:
            # What is no whole number of a part is made up for by the next one.
            share, number = self.settings.pairs_share * batch, step * self._parts + self._part
            paired = int(share * (number + 1)) - int(share * number)
        sources: list[tuple[Tensor, Tensor]] = []
        if self._images is not None and paired < batch:
            clean = self._images.crops(batch - paired, size, generator, streaky=self.settings.streaky)
            sources.append(add_rain(clean, generator, self.settings.rain))
        if self._pairs is not None and paired:
            sources.append(self._pairs.crops(paired, size, generator))
        rainy, target = zip(*sources, strict=True)
        return torch.cat(rainy), torch.cat(target)
