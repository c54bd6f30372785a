"""Train NeRD-Rain on photographs with rain drawn on the fly; a run stops and resumes exactly where it was."""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import torch
from torch import Tensor, nn

from nerdrain_rt.errors import DerainError, UsageError, WeightsError, first_line
from nerdrain_rt.model.net import Block, NerdRain, NetConfig, Outputs
from nerdrain_rt.model.weights import save_weights
from nerdrain_rt.stages import Prefetch
from nerdrain_rt.training.batches import Batch, Batches
from nerdrain_rt.training.checkpoints import (
    NOT_ON_RESUMING,
    PLAN,
    differences,
    plan_of,
    read_checkpoint,
    write_checkpoint,
)
from nerdrain_rt.training.logs import RunLog, StepLog
from nerdrain_rt.training.losses import derain_loss
from nerdrain_rt.training.muon import Muon, hidden_kernels
from nerdrain_rt.training.recipe import TrainSettings
from nerdrain_rt.training.timetable import Timetable
from nerdrain_rt.training.validation import Validation
from nerdrain_rt.training.workers import Workers

_log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
LOCK = "run.lock"
WEIGHTS = "weights.safetensors"
"""The averaged parameters in half precision, to derain with."""
EXACT_WEIGHTS = "weights-fp32.safetensors"
"""The same in full precision, to train on from."""
MOST_BAD_STEPS = 20


class Diverged(DerainError):
    """Loss or gradient was not finite for many steps in a row."""


class Trainer:
    """The state of a run; `folder` holds its checkpoint, tables, sheets and weights.

    With several processes (`workers`) each trains on its part of every batch, and the first one writes.
    Raises UsageError, MediaError as the data does.
    """

    def __init__(
        self,
        settings: TrainSettings,
        folder: Path,
        device: torch.device | str = "cpu",
        *,
        workers: Workers | None = None,
        net: NerdRain | None = None,
        tensorboard: bool = False,
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.workers = workers or Workers(device)
        self.device = device = self.workers.device
        self._batches = Batches(settings, device, part=self.workers.rank, parts=self.workers.count)
        self._validation = Validation.of(settings, device) if self.workers.is_first else None
        self._tensorboard = tensorboard
        self.net = (net or new_net(settings)).to(device)
        if settings.channels_last:
            self.net = self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.net).requires_grad_(False)
        self._parameters: list[Tensor] = list(self.net.parameters())
        self._averages: list[Tensor] = list(self.average.parameters())
        if settings.compile and device.type == "cuda":
            compile_blocks(self.net)
        self._scales = self.workers.join(_Scales(self.net))
        self.optimizers = new_optimizers(self.net, settings)
        self.step = 0
        self._state = torch.Generator().manual_seed(settings.seed + self.workers.rank).get_state()
        self._bad_steps = 0
        self.saved_step: int | None = None
        """That of the last checkpoint."""
        self.is_stopped = False
        self._is_fitted = False

    def stop(self) -> None:
        """Let `run` end after the step it is at, as if its time were up; may be called by a signal handler."""
        self.is_stopped = True

    def run(self, *, minutes: float = math.inf, fit_minutes: float | None = None) -> Iterator[StepLog]:
        """Train until the recipe's last step or for `minutes`; checkpoints on the way and at the end.

        With `fit_minutes` the recipe gets as many steps as are done by then, unless the run was fitted before: a plan
        stays until its end, in however many slices.

        Raises Diverged, UsageError where another training is at work in the folder, WeightsError where a checkpoint
        cannot be written, and what the data raises.
        """
        make_folder(self.folder)
        with _alone_in(self.folder) if self.workers.is_first else nullcontext():
            yield from self._run(minutes, fit_minutes)

    def _run(self, minutes: float, fit_minutes: float | None) -> Iterator[StepLog]:
        start = last_saved = time.monotonic()
        generator = torch.Generator()
        generator.set_state(self._state)
        is_first = self.workers.is_first
        timetable = None if fit_minutes is None or self._is_fitted else Timetable(fit_minutes, self.workers)
        log = RunLog(self.folder, self.step, tensorboard=self._tensorboard) if is_first else nullcontext()
        with log as tables, self._ahead(self._batches.rendered(self.step, generator)) as batches:
            while self.step < self.settings.steps:
                entry = self._train_step(batches)
                if timetable and (plan := timetable.fitted(self.settings, self.step)):
                    self.settings = self._batches.settings = plan
                    self._is_fitted = True
                if tables:
                    tables.add(entry)
                    self._validate(tables)
                yield entry
                now = time.monotonic()
                if self.workers.any(self.is_stopped or now - start > 60 * minutes):
                    break
                is_due = now - last_saved > 60 * self.settings.checkpoint_minutes
                if self.workers.any(is_due) and not self._bad_steps:
                    self.save()
                    last_saved = now
        if self._bad_steps:
            _log.warning("%s: not written, because the last steps were not finite", self.folder / CHECKPOINT)
        else:
            self.save()

    def _ahead(self, batches: Generator[Batch]) -> AbstractContextManager[Iterator[Batch]]:
        """The same batches, drawn while a GPU works.

        On the CPU they are drawn in between: OpenMP no longer lets the threads of a team wait for each other by
        spinning once two teams are more threads than there are cores, and a step takes a third longer.
        """
        return closing(batches) if self.device.type == "cpu" else Prefetch(batches)

    def _train_step(self, batches: Iterator[Batch]) -> StepLog:
        """One step; where loss or gradient is not finite the weights stay as they are."""
        start = time.monotonic()
        rainy, target, state = next(batches)
        precision = getattr(torch, self.settings.precision)
        with torch.autocast(self.device.type, dtype=precision, enabled=precision != torch.float32):
            outputs = self._scales(rainy)
        loss = derain_loss(outputs, target).total
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._parameters, self.settings.gradient_limit)
        errors = (mean_square(rainy, target), mean_square(outputs.fine.detach().clamp(0, 1), target))
        figures = self.workers.mean(torch.stack((loss.detach(), norm, *errors)))
        rate = self.settings.learning_rate_at(self.step)
        self._apply(rate, *figures[:2])
        self._state = state
        self.step += 1
        seconds = time.monotonic() - start
        speed = len(rainy) * self.workers.count / seconds
        return StepLog(self.step, figures[0], psnr(figures[2]), psnr(figures[3]), rate, figures[1], seconds, speed)

    def _apply(self, rate: float, loss: float, norm: float) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.step()
            self._follow()
            self._bad_steps = 0
            return
        self._bad_steps += 1
        _log.warning("step %d: loss %g, gradient %g; left out", self.step, loss, norm)
        if self._bad_steps >= MOST_BAD_STEPS:
            raise Diverged(
                f"step {self.step}: loss {loss:g}, gradient {norm:g}, the {MOST_BAD_STEPS}th step in a row that is not"
                f" finite; go on from {self.folder / CHECKPOINT}, of before them, with a lower learning_rate"
            )

    @torch.no_grad()
    def _follow(self) -> None:
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self._averages, self._parameters, 1 - decay)

    def _validate(self, tables: RunLog) -> None:
        is_due = self.step % self.settings.validate_every == 0 or self.step == self.settings.steps
        if self._validation is not None and is_due:
            tables.add(self._validation(self.average, self.step))
            self._validation.save_sheet(self.folder / "sheets" / f"{self.step:07d}.png")

    def save(self) -> None:
        """Write checkpoint and weights, each whole or not at all; raises WeightsError, the files before it kept."""
        states = self.workers.gather(self._state)
        if self.workers.is_first:
            self._write(states)
        self.saved_step = self.step
        self.workers.wait()

    def _write(self, states: list[Tensor]) -> None:
        make_folder(self.folder)
        average = self.average.state_dict()
        halves = {name: tensor.half() for name, tensor in average.items()}
        if not all(tensor.isfinite().all() for tensor in (*self.net.state_dict().values(), *halves.values())):
            raise WeightsError(f"{self.folder / CHECKPOINT}: not written: there are parameters that are not finite")
        state = {
            "step": self.step,
            "settings": asdict(self.settings),
            "is_fitted": self._is_fitted,
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "generator": states[0],
            "generators": states,
        }
        write_checkpoint(self.folder / CHECKPOINT, state)
        for name, parameters in ((WEIGHTS, halves), (EXACT_WEIGHTS, average)):
            save_weights(parameters, self.folder / name, metadata=self._metadata())

    def _metadata(self) -> dict[str, str]:
        recipe = asdict(replace(self.settings, images=None, pairs=None)) | {"rain": self.settings.rain.shares}
        return {
            "step": str(self.step),
            "width": str(self.settings.width),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "data": self._batches.description,
            "recipe": json.dumps({name: value for name, value in recipe.items() if value is not None}),
        }

    def resume(self, path: Path | None = None) -> None:
        """Go on from a checkpoint; raises WeightsError where it is not one of this kind of run.

        With as many processes as before, the run goes on as if it had not been interrupted; where its plan was fitted
        to the time, with the checkpoint's and not the recipe's.
        """
        path = path or self.folder / CHECKPOINT
        state = read_checkpoint(path)
        others = differences(state["settings"], self.settings)
        if fixed := [text for name, text in others.items() if name in NOT_ON_RESUMING]:
            raise WeightsError(f"{path}: of another network than the recipe's: {', '.join(fixed)}")
        try:
            self._restore(state)
        except Exception as error:
            raise WeightsError(f"{path}: not a checkpoint of this program ({first_line(error)})") from error
        if self._is_fitted:
            self.settings = self._batches.settings = replace(self.settings, **plan_of(state["settings"]))
        if others := {name: text for name, text in others.items() if not (self._is_fitted and name in PLAN)}:
            _log.warning("%s: goes on with another recipe: %s", path, ", ".join(others.values()))

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        optimizer_states = state.get("optimizers") or [state["optimizer"]]
        for optimizer, its_state in zip(self.optimizers, optimizer_states, strict=True):
            optimizer.load_state_dict(its_state)
        states = state.get("generators", [state["generator"]])
        if self.workers.rank < len(states):
            self._state = states[self.workers.rank]
        self.step = state["step"]
        self._is_fitted = state.get("is_fitted", False)

    def start_from(self, state: Mapping[str, Tensor]) -> None:
        """Begin at step 0 with these parameters; raises WeightsError where they are of another network."""
        try:
            for net in (self.net, self.average):
                net.load_state_dict({name: tensor.float() for name, tensor in state.items()})
        except RuntimeError:
            raise WeightsError(f"the weights are of another network than the recipe's, {self.net.config}") from None


class _Scales(nn.Module):
    """The network at every scale as a module, for what wraps modules."""

    def __init__(self, net: NerdRain) -> None:
        super().__init__()
        self.net = net

    def forward(self, rainy: Tensor) -> Outputs:
        return self.net.scales(rainy)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold a run's folder; raises UsageError where another training does."""
    try:
        with filelock.FileLock(folder / LOCK, blocking=False):
            yield
    except filelock.Timeout:
        raise UsageError(f"{folder}: another training is at work here") from None


def new_net(settings: TrainSettings) -> NerdRain:
    """The recipe's network, by its seed, before its first step."""
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        return start_as_identity(NerdRain(NetConfig(width=settings.width, head_width=settings.head_width)))


def new_optimizers(net: NerdRain, settings: TrainSettings) -> list[torch.optim.Optimizer]:
    """The recipe's optimizers, which share its rates: AdamW for all parameters, or for those that Muon is not for."""
    decay = settings.weight_decay
    kernels = hidden_kernels(net) if settings.optimizer == "muon" else []
    taken = {id(kernel) for kernel in kernels}
    rest = [parameter for parameter in net.parameters() if id(parameter) not in taken]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            rest, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=decay, fused=rest[0].is_cuda or None
        )
    ]
    if kernels:
        optimizers.append(Muon(kernels, settings.learning_rate, weight_decay=decay))
    return optimizers


def start_as_identity(net: NerdRain) -> NerdRain:
    """Zero the last layer of every output and head: an untrained network adds nothing."""
    for layer in (net.output_coarse, net.output_middle, net.output_fine, net.head_coarse[-1], net.head_middle[-1]):
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
    return net


def compile_blocks(net: NerdRain) -> None:
    """Compile each block in place: they are of few kinds, so that it takes far less time than the whole network."""
    # One code serves all blocks; its variants are 3 widths at 3 scales for each size of crop.
    torch._dynamo.config.recompile_limit = 64
    for module in net.modules():
        if isinstance(module, Block):
            module.compile(dynamic=False)


def make_folder(folder: Path) -> None:
    """Raises UsageError where the folder of a run cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: the folder of the run cannot be made: {error.strerror}") from None


def mean_square(images: Tensor, targets: Tensor) -> Tensor:
    """Mean of the squared differences."""
    return (images.float() - targets.float()).square().mean()


def psnr(error: float) -> float:
    """PSNR in dB of a mean squared error where 1 is the peak."""
    return -10 * math.log10(max(error, 1e-10))
