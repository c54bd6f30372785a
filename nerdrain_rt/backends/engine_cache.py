"""Built TensorRT engines on disk: each plan with a JSON file beside it that says what it is of, for which GPU."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import filelock

from nerdrain_rt.backends.engine_spec import EngineSpec
from nerdrain_rt.folders import cache_folder, write_whole

_log = logging.getLogger(__name__)

SUFFIXES = (".engine", ".json", ".jit", ".lock", ".partial", ".refused")
"""Of the files that belong to engines."""


@dataclass(frozen=True, slots=True)
class CachedEngine:
    """An engine in the cache."""

    path: Path
    spec: EngineSpec
    name: str
    """The weights' name when it was built."""
    sha256: str
    bytes: int
    built: str
    """The time, by ISO 8601 in UTC."""
    seconds: float
    """What building it took."""


def default_folder() -> Path:
    """Where engines are kept; NERDRAIN_ENGINES says otherwise."""
    return Path(os.environ.get("NERDRAIN_ENGINES") or cache_folder() / "engines")


class EngineCache:
    """A folder of engines, shared by any number of processes; where it cannot be written, nothing is kept."""

    def __init__(self, folder: Path | None = None, *, warn: Callable[[str], None] = _log.warning) -> None:
        """`warn` takes a line where an engine is damaged or cannot be kept."""
        self.folder = folder or default_folder()
        self._warn = warn

    def load(self, spec: EngineSpec) -> bytes | None:
        """The plan, checked against its SHA-256; None where there is none, or (as `warn` is told) it is damaged."""
        path = self.plan_path(spec)
        if not path.with_suffix(".json").is_file():
            return None
        try:
            cached = _read(path.with_suffix(".json"))
            plan = path.read_bytes()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._warn(f"{path}: cannot be read, the engine is built again: {error}")
            return None
        if cached.spec != spec or hashlib.sha256(plan).hexdigest() != cached.sha256:
            self._warn(f"{path}: damaged, the engine is built again")
            return None
        return plan

    def load_or_build(
        self, spec: EngineSpec, build: Callable[[], bytes], *, name: str, is_cancelled: threading.Event
    ) -> bytes:
        """The plan, built and kept where there is none; one process builds while the others wait for it."""
        with self.lock(spec, is_cancelled):
            plan = self.load(spec)
            if plan is None:
                started = time.monotonic()
                plan = build()
                self.store(spec, plan, name=name, seconds=time.monotonic() - started)
        return plan

    def store(self, spec: EngineSpec, plan: bytes, *, name: str, seconds: float) -> Path | None:
        """Keep a plan under its spec, replacing what is there; None, with a warning, where it cannot be written."""
        path = self.plan_path(spec)
        content = {
            "name": name,
            "sha256": hashlib.sha256(plan).hexdigest(),
            "bytes": len(plan),
            "built": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 1),
            "spec": dataclasses.asdict(spec),
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, plan)
            write_whole(path.with_suffix(".json"), json.dumps(content, indent=1).encode())
        except OSError as error:
            reason = error.strerror or error
            self._warn(f"{self.folder}: the engine cannot be kept ({reason}); it is used from memory this time")
            return None
        return path

    def discard(self, spec: EngineSpec) -> None:
        """Forget an engine that does not run."""
        for path in (self.plan_path(spec).with_suffix(".json"), self.plan_path(spec)):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                self._warn(f"{path}: cannot be removed: {error.strerror or error}")

    def refuse(self, spec: EngineSpec, reason: str) -> None:
        """Remember that this machine does not run the engine it built, so that it is not built every time."""
        self.discard(spec)
        with suppress(OSError):
            write_whole(self._refusal_path(spec), reason.encode())

    def refusal(self, spec: EngineSpec) -> str | None:
        """Why the engine is not to be built again; None where nothing speaks against it."""
        try:
            reason = self._refusal_path(spec).read_text()
        except (OSError, UnicodeDecodeError):
            return None
        return f"{reason} (tried before; 'nerdrain engine clear' forgets it)"

    def _refusal_path(self, spec: EngineSpec) -> Path:
        return self.plan_path(spec).with_suffix(".refused")

    @contextmanager
    def lock(self, spec: EngineSpec, is_cancelled: threading.Event) -> Iterator[None]:
        """Only one process at a time builds an engine; the next one finds it.

        Without a lock where none can be had, as in a folder that is read-only; not waited for once cancelled.
        """
        lock = self._acquire(spec, is_cancelled)
        try:
            yield
        finally:
            if lock is not None:
                lock.release()

    def _acquire(self, spec: EngineSpec, is_cancelled: threading.Event) -> filelock.BaseFileLock | None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.plan_path(spec).with_suffix(".lock"))
            while not is_cancelled.is_set():
                with suppress(filelock.Timeout):
                    lock.acquire(timeout=0.5)
                    return lock
        except (OSError, NotImplementedError) as error:
            _log.debug("%s: engines are built without a lock: %s", self.folder, error)
        return None

    def engines(self) -> list[CachedEngine]:
        """Everything in the cache that can be read, in the order of names."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                found.append(_read(path))
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                _log.warning("%s: not the description of an engine: %s", path, error)
        return found

    def clear(self) -> tuple[int, int]:
        """Remove all engines and what belongs to them; the count of engines and the bytes of all files."""
        count = total = 0
        for path in sorted(self.folder.glob("*")):
            if path.is_file() and path.suffix in SUFFIXES:
                total += path.stat().st_size
                count += path.suffix == ".engine"
                path.unlink(missing_ok=True)
        return count, total

    def plan_path(self, spec: EngineSpec) -> Path:
        """Where the plan of a spec is, if there is one."""
        return self.folder / f"{spec.stem}.engine"


def _read(path: Path) -> CachedEngine:
    content = json.loads(path.read_bytes())
    spec = EngineSpec.from_json(content.pop("spec"))
    return CachedEngine(path.with_suffix(".engine"), spec, **content)
