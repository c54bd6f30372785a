"""The processes that train one network together, as torchrun starts them; one alone needs nothing of it."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Workers:
    """This process among those of a run, as a context manager: rank and count from torchrun's environment."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        device = torch.device(device)
        self.rank = int(os.environ.get("RANK", "0"))
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]) if self.count > 1 else device.index or 0)
        self.device = device
        """Of this process: each has a CUDA device of its own."""

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def __enter__(self) -> Self:
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.count > 1:
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.count > 1:
            dist.destroy_process_group()

    def join(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over all processes."""
        if self.count == 1:
            return module
        return nn.parallel.DistributedDataParallel(
            module, device_ids=[self.device] if self.device.type == "cuda" else None, gradient_as_bucket_view=True
        )

    def mean(self, figures: Tensor) -> list[float]:
        """Each figure's mean over all processes."""
        if self.count > 1:
            dist.all_reduce(figures)
            figures = figures / self.count
        values: list[float] = figures.tolist()
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return bool(self.mean(torch.tensor([float(flag)], device=self.device))[0]) if self.count > 1 else flag

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            dist.barrier()

    def gather(self, state: Tensor) -> list[Tensor]:
        """A tensor of the CPU from every process, by rank."""
        states = [state] * self.count
        if self.count > 1:
            dist.all_gather_object(states, state)
        return states
