"""The engines of one set of weights on one GPU: loaded from the cache, or built in the background, as sizes come."""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from nerdrain_rt.backends.engine_build import Report
from nerdrain_rt.backends.engine_cache import EngineCache
from nerdrain_rt.backends.engine_spec import EngineSpec, Profile, Size, Target, Versions, make_spec
from nerdrain_rt.errors import BackendError

if TYPE_CHECKING:
    from nerdrain_rt.model.weights import Weights

_log = logging.getLogger(__name__)

BUILD_AFTER = 8
"""Images of a size before its engine is built: minutes of work are too much for one that comes only a few times."""
MOST_ENGINES = 4
"""Kept loaded; each has weights and working memory on the GPU."""
REPORT_SECONDS = 10
"""Between lines of progress in the log."""

Run = Callable[[Tensor], Tensor]
"""An engine: one image 1 3 H W to its residual."""


class Build(Protocol):
    """Makes a plan, as `build_in_process` does."""

    def __call__(
        self, weights: Weights, spec: EngineSpec, device: torch.device, report: Report, is_cancelled: threading.Event
    ) -> bytes:
        """The serialized engine."""


@dataclass(frozen=True, slots=True)
class Toolkit:
    """What TensorRT is on this machine."""

    versions: Versions
    target: Target
    build: Build
    open: Callable[[bytes, EngineSpec, torch.device, Path], Run]


class Engines:
    """Gives the engine for a size as soon as there is one.

    Builds run one after the other in a thread that only waits; whatever touches the GPU is done by the caller's thread.
    """

    def __init__(
        self,
        weights: Weights,
        device: torch.device,
        dtype: torch.dtype,
        toolkit: Toolkit,
        *,
        wait_engine: bool = False,
        cache: EngineCache | None = None,
        announce: Callable[[str], None] | None = None,
    ) -> None:
        """`announce` takes a line now and then on what is built, and where no engine can be had; else the log does."""
        self.wait_engine = wait_engine
        self.status = ""
        """What is being built and how far it is; empty where nothing is."""
        self._weights = weights
        self._device = device
        self._dtype = dtype
        self._toolkit = toolkit
        self._tell = announce or _log.info
        self._warn = announce or _log.warning
        once = functools.cache(self._warn)  # a damaged engine is looked at again before it is built
        self._cache = cache or EngineCache(warn=once)
        self._specs: dict[Size, tuple[EngineSpec, EngineSpec]] = {}
        self._loaded: OrderedDict[str, Run] = OrderedDict()
        self._builds: dict[str, Future[bytes]] = {}
        self._looked_up: set[str] = set()
        self._given_up: set[str] = set()
        self._seen: Counter[Size] = Counter()
        self._one_build = threading.Lock()
        self._is_closed = threading.Event()

    def find(self, size: Size, *, count: int = 1) -> Run | None:
        """The engine for `count` more images of a size; None as long as there is none, or where it cannot be had.

        With `wait_engine` it is waited for; then raises BackendError or torch.OutOfMemoryError where there is none.
        """
        self._seen[size] += count
        spec, _ = self._specs_for(size)
        if run := self._loaded.get(spec.key):
            self._loaded.move_to_end(spec.key)
            return run
        if spec.key in self._builds:
            return self._built_engine(spec)
        if spec.key not in self._looked_up:
            self._looked_up.add(spec.key)
            if run := self._cached_engine(size):
                return run
            if reason := self._cache.refusal(spec):
                self._builds[spec.key] = future = Future[bytes]()
                future.set_exception(BackendError(reason))
                return self._built_engine(spec)
        if not self.wait_engine and self._seen[size] < BUILD_AFTER:
            return None
        self._start(spec)
        return self._built_engine(spec)

    def close(self) -> None:
        """Stop what is being built."""
        self._is_closed.set()

    def _cached_engine(self, size: Size) -> Run | None:
        own, _ = specs = self._specs_for(size)
        for spec in specs:
            plan = self._cache.load(spec)
            if plan is not None:
                try:
                    return self._open(plan, spec, own.key)
                except BackendError as error:
                    self._warn(f"{self._cache.plan_path(spec)}: removed, the engine is built again: {error}")
                    self._cache.discard(spec)
        return None

    def _built_engine(self, spec: EngineSpec) -> Run | None:
        if spec.key in self._given_up:
            return None
        build = self._builds[spec.key]
        if not self.wait_engine and not build.done():
            return None
        try:
            run = self._open_built(build.result(), spec)
        except (BackendError, torch.OutOfMemoryError) as error:
            if self.wait_engine:
                raise
            self._given_up.add(spec.key)
            reason = str(error).partition("\n")[0]
            self._warn(f"{reason}; going on without an engine for {spec.size_words}")
            return None
        del self._builds[spec.key]
        return run

    def _open_built(self, plan: bytes, spec: EngineSpec) -> Run:
        try:
            return self._open(plan, spec, spec.key)
        except BackendError as error:
            self._cache.refuse(spec, str(error))
            raise

    def _open(self, plan: bytes, spec: EngineSpec, key: str) -> Run:
        run = self._toolkit.open(plan, spec, self._device, self._cache.plan_path(spec))
        self._loaded[key] = run
        if len(self._loaded) > MOST_ENGINES:
            evicted, _ = self._loaded.popitem(last=False)
            self._looked_up.discard(evicted)
        self._tell(f"tensorrt: the engine for {spec.size_words} is loaded")
        return run

    def _start(self, spec: EngineSpec) -> None:
        self._builds[spec.key] = future = Future[bytes]()
        threading.Thread(target=self._build, args=(spec, future), name="engine-build", daemon=True).start()

    def _build(self, spec: EngineSpec, future: Future[bytes]) -> None:
        what = f"tensorrt: engine for {spec.size_words}"
        report = LoggedProgress(what, tell=self._tell, show=functools.partial(setattr, self, "status"))
        build = functools.partial(self._toolkit.build, self._weights, spec, self._device, report, self._is_closed)
        try:
            with self._one_build:
                plan = self._cache.load_or_build(spec, build, name=self._weights.name, is_cancelled=self._is_closed)
            future.set_result(plan)
        except Exception as error:
            future.set_exception(error)
        finally:
            self.status = ""

    def _specs_for(self, size: Size) -> tuple[EngineSpec, EngineSpec]:
        """The engine for images of this size on this GPU, and the one built ahead of time for all of its capability.

        Where neither is kept, but one for a range of sizes that holds this one is, those of the range.
        """
        if size not in self._specs:
            own = self._specs_of((size, size, size))
            kept = (specs for specs in (own, *self._ranges_around(size)) if self._is_kept(specs))
            self._specs[size] = next(kept, own)
        return self._specs[size]

    def _specs_of(self, profile: Profile) -> tuple[EngineSpec, EngineSpec]:
        here, versions = self._toolkit.target, self._toolkit.versions
        targets = (here, Target(here.capability))
        spec, ahead = (make_spec(self._weights, profile, self._dtype, target, versions) for target in targets)
        return spec, ahead

    def _ranges_around(self, size: Size) -> Iterator[tuple[EngineSpec, EngineSpec]]:
        """Those of the ranges that engines are kept for, whatever weights and GPU they are of."""
        for kept in self._cache.engines():
            profile = kept.spec.smallest, kept.spec.usual, kept.spec.largest
            if kept.spec.is_dynamic and is_within(size, profile):
                yield self._specs_of(profile)

    def _is_kept(self, specs: tuple[EngineSpec, EngineSpec]) -> bool:
        return any(self._cache.plan_path(spec).is_file() for spec in specs)


class LoggedProgress:
    """Shows how far a build is, and tells it now and then."""

    def __init__(
        self, what: str, *, tell: Callable[[str], None] = _log.info, show: Callable[[str], None] | None = None
    ) -> None:
        self._what = what
        self._tell = tell
        self._show = show
        self._told = -math.inf

    def __call__(self, stage: str, done: float) -> None:
        """As `Report` says."""
        words = f"{self._what}: {stage}, {done:.0%}" if done else f"{self._what}: {stage}"
        if self._show is not None:
            self._show(words)
        if time.monotonic() - self._told >= REPORT_SECONDS:
            self._told = time.monotonic()
            self._tell(words)


def is_within(size: Size, profile: Profile) -> bool:
    """Whether an engine of this profile runs images of this size."""
    smallest, _, largest = profile
    return all(low <= side <= high for low, side, high in zip(smallest, size, largest, strict=True))
