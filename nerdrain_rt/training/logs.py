"""What a run tells while it trains: tables and TensorBoard."""

from __future__ import annotations

import csv
from pathlib import Path
from types import ModuleType, TracebackType
from typing import IO, TYPE_CHECKING, NamedTuple, Self

from nerdrain_rt.errors import UsageError
from nerdrain_rt.media.report import media_errors

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

STEPS, VALIDATION = "log.csv", "validation.csv"


class StepLog(NamedTuple):
    """What one step did; PSNR of RGB in dB over the batch."""

    step: int
    loss: float
    input_psnr: float
    output_psnr: float
    learning_rate: float
    gradient_norm: float
    seconds: float
    crops_per_second: float


class ValidationLog(NamedTuple):
    """Mean PSNR-Y of the held-out photographs in dB, before and after the network."""

    step: int
    input_psnr_y: float
    psnr_y: float


class RunLog:
    """The tables of a run's folder, as a context manager; what they tell of steps after `step` is cut off."""

    def __init__(self, folder: Path, step: int, *, tensorboard: bool = False) -> None:
        self._folder, self._step = folder, step
        self._tables: dict[type[StepLog] | type[ValidationLog], IO[str]] = {}
        self._board: SummaryWriter | None = None
        self._has_board = tensorboard

    def __enter__(self) -> Self:
        for kind, name in ((StepLog, STEPS), (ValidationLog, VALIDATION)):
            self._tables[kind] = _continued(self._folder / name, kind._fields, self._step)
        if self._has_board:
            self._board = load_tensorboard().SummaryWriter(str(self._folder / "tensorboard"), purge_step=self._step + 1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for table in self._tables.values():
            table.close()
        if self._board is not None:
            self._board.close()

    def add(self, entry: StepLog | ValidationLog) -> None:
        """Write one line to its table; raises MediaError where that cannot be."""
        table = self._tables[type(entry)]
        with media_errors(table.name):
            csv.writer(table).writerow([entry.step, *(f"{value:.6g}" for value in entry[1:])])
            table.flush()
        if self._board is not None:
            group = "training" if isinstance(entry, StepLog) else "validation"
            for name, value in zip(entry._fields[1:], entry[1:], strict=True):
                self._board.add_scalar(f"{group}/{name}", value, entry.step)


def load_tensorboard() -> ModuleType:
    """torch.utils.tensorboard; raises UsageError where TensorBoard is not installed."""
    try:
        from torch.utils import tensorboard
    except ImportError:
        raise UsageError("TensorBoard is not installed; pip install 'nerdrain-rt[train]'") from None
    return tensorboard


def read_table(path: Path) -> dict[str, list[float]]:
    """The columns of a run's table by name, empty where there is none; raises MediaError where it cannot be read."""
    names = ValidationLog._fields if path.name == VALIDATION else StepLog._fields
    with media_errors(path):
        rows = [[float(value) for value in row] for row in _rows(path) if len(row) == len(names)]
    return {name: [row[index] for row in rows] for index, name in enumerate(names)}


def _continued(path: Path, names: tuple[str, ...], step: int) -> IO[str]:
    """The table opened to be written on behind the row of a step; rows of a killed run behind it are dropped."""
    partial = path.with_suffix(".partial")
    with media_errors(path):
        rows = [row for row in _rows(path) if int(row[0]) <= step]
        with partial.open("w", newline="") as file:
            csv.writer(file).writerows([names, *rows])
        partial.replace(path)
        return path.open("a", newline="")


def _rows(path: Path) -> list[list[str]]:
    """The rows of a table, if there is one, but for one that a killed run left unfinished."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [row for row in csv.reader(line for line in lines if line.endswith("\n")) if row and row[0].isdecimal()]
