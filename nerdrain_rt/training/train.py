"""Train NeRD-Rain on photographs with rain drawn on the fly; a run stops and resumes exactly where it was."""

from __future__ import annotations

import copy
import csv
import logging
import math
import time
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nerdrain_rt.errors import UsageError, WeightsError
from nerdrain_rt.model.net import NerdRain, NetConfig
from nerdrain_rt.training.data import CleanImages
from nerdrain_rt.training.losses import derain_loss
from nerdrain_rt.training.rain import add_rain

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """A recipe; everything but the folders and the device decides the weights."""

    images: str
    """Folder of clean photographs."""
    exclude: tuple[str, ...] = ()
    """File name patterns left out of training."""
    width: int = 32
    steps: int = 20_000
    crops: tuple[tuple[int, int, int], ...] = ((0, 64, 4),)
    """(from step, crop size, batch), growing."""
    learning_rate: float = 4e-4
    final_learning_rate: float = 1e-6
    warmup_steps: int = 200
    decay_steps: int | None = None
    """Steps of the cosine at the end; None: all after the warm-up."""
    weight_decay: float = 1e-4
    gradient_limit: float = 0.1
    ema_decay: float = 0.999
    precision: str = "bfloat16"
    seed: int = 0
    checkpoint_minutes: float = 5.0

    @classmethod
    def read(cls, path: Path, **changes: Any) -> TrainSettings:
        """Read a TOML recipe; raises UsageError where a key is unknown or the file is not TOML."""
        try:
            content = tomllib.loads(path.read_text())
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from None
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{path}: not TOML: {error}") from None
        known = {field.name for field in fields(cls)}
        if unknown := content.keys() - known:
            raise UsageError(f"{path}: unknown keys {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
        content["crops"] = tuple(tuple(stage) for stage in content.get("crops", ((0, 64, 4),)))
        content["exclude"] = tuple(content.get("exclude", ()))
        return replace(cls(**content), **changes)

    def learning_rate_at(self, step: int) -> float:
        """Linear warm-up, constant, cosine to the final rate."""
        decay_steps = self.decay_steps or self.steps - self.warmup_steps
        done = min(max(0.0, (step - (self.steps - decay_steps)) / decay_steps), 1.0)
        fall = 0.5 * (1 + math.cos(math.pi * done))
        rate = self.final_learning_rate + (self.learning_rate - self.final_learning_rate) * fall
        return rate * min(1.0, (step + 1) / max(1, self.warmup_steps))

    def crop_at(self, step: int) -> tuple[int, int]:
        """(crop size, batch) of a step."""
        return next((size, batch) for start, size, batch in reversed(self.crops) if step >= start)


class StepLog(NamedTuple):
    """What one step did."""

    step: int
    loss: float
    input_psnr: float
    output_psnr: float
    learning_rate: float
    gradient_norm: float
    seconds: float


class Trainer:
    """The state of a run; `run_folder` holds `checkpoint.pt` and `log.csv`."""

    def __init__(self, settings: TrainSettings, run_folder: Path, device: torch.device | str = "cpu") -> None:
        self.settings = settings
        self.folder = run_folder
        self.device = torch.device(device)
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(settings.seed)
        self.images = CleanImages(settings.images, self.device, exclude=settings.exclude)
        self.generator = torch.Generator().manual_seed(settings.seed)
        net = start_as_identity(NerdRain(NetConfig(width=settings.width)))
        self.net = net.to(self.device)
        self.average = copy.deepcopy(self.net).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay
        )
        self.step = 0

    def run(self, *, minutes: float = math.inf) -> Iterator[StepLog]:
        """Train until the recipe's last step or for `minutes`; checkpoints on the way and at the end."""
        start = last_saved = time.monotonic()
        with (self.folder / "log.csv").open("a", newline="") as file:
            log = csv.writer(file)
            while self.step < self.settings.steps and time.monotonic() - start < 60 * minutes:
                entry = self.train_step()
                log.writerow([f"{value:.6g}" for value in entry])
                file.flush()
                if time.monotonic() - last_saved > 60 * self.settings.checkpoint_minutes:
                    self.save()
                    last_saved = time.monotonic()
                yield entry
        self.save()

    def train_step(self) -> StepLog:
        """One step; where loss or gradient is not finite the weights stay as they are."""
        start = time.monotonic()
        size, batch = self.settings.crop_at(self.step)
        rate = self.settings.learning_rate_at(self.step)
        rainy, target = add_rain(self.images.crops(batch, size, self.generator), self.generator)
        precision = getattr(torch, self.settings.precision)
        with torch.autocast(self.device.type, dtype=precision, enabled=precision != torch.float32):
            outputs = self.net.scales(rainy)
        loss = derain_loss(outputs, target).total
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), self.settings.gradient_limit)
        if torch.isfinite(loss) and torch.isfinite(norm):
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
            self._follow()
        else:
            _log.warning("step %d: loss %g, gradient %g; left out", self.step, loss, norm)
        self.step += 1
        before, after = psnr(rainy, target), psnr(outputs.fine.detach().clamp(0, 1), target)
        return StepLog(self.step, loss.item(), before, after, rate, norm.item(), time.monotonic() - start)

    @torch.no_grad()
    def _follow(self) -> None:
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), 1 - decay)

    def save(self) -> None:
        """Write `checkpoint.pt` whole or not at all."""
        state = {
            "step": self.step,
            "settings": asdict(self.settings),
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }
        partial = self.folder / "checkpoint.partial"
        torch.save(state, partial)
        partial.replace(self.folder / "checkpoint.pt")

    def resume(self, path: Path | None = None) -> None:
        """Go on from a checkpoint; raises WeightsError where it is not one of this kind of run."""
        path = path or self.folder / "checkpoint.pt"
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.net.load_state_dict(state["net"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.generator.set_state(state["generator"].cpu())
            self.step = state["step"]
        except FileNotFoundError:
            raise WeightsError(f"{path}: no such file") from None
        except Exception as error:
            raise WeightsError(f"{path}: not a checkpoint of this run ({str(error).splitlines()[0]})") from error


def start_as_identity(net: NerdRain) -> NerdRain:
    """Zero the last layer of every output and head: an untrained network adds nothing."""
    for layer in (net.output_coarse, net.output_middle, net.output_fine, net.head_coarse[-1], net.head_middle[-1]):
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
    return net


def psnr(image: Tensor, target: Tensor) -> float:
    """PSNR in dB over a batch of RGB images in [0, 1]."""
    error = (image.float() - target.float()).square().mean().item()
    return -10 * math.log10(max(error, 1e-10))
