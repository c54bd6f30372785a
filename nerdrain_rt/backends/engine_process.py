"""Builds engines in a process of their own: `python -m nerdrain_rt.backends.engine_process FOLDER`.

A build holds Python's global lock for minutes; in another process the frames go on meanwhile.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from nerdrain_rt.backends.engine_build import Report, build_plan
from nerdrain_rt.backends.engine_spec import EngineSpec
from nerdrain_rt.errors import BackendError
from nerdrain_rt.model.net import NerdRain, NetConfig

if TYPE_CHECKING:
    from nerdrain_rt.model.weights import Weights

_log = logging.getLogger(__name__)


def build_in_process(
    weights: Weights, spec: EngineSpec, device: torch.device, report: Report, is_cancelled: threading.Event
) -> bytes:
    """Build in another process, which ends when it is cancelled or this one ends.

    Raises BackendError, or torch.OutOfMemoryError where the GPU or this machine has too little memory for it.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="nerdrain-engine-") as folder:
            _write_request(Path(folder), weights, spec, device)
            _run_build(Path(folder), report, is_cancelled)
            return Path(folder, "plan").read_bytes()
    except (OSError, SafetensorError) as error:
        raise BackendError(f"tensorrt: the engine cannot be built: {error}") from error


def _write_request(folder: Path, weights: Weights, spec: EngineSpec, device: torch.device) -> None:
    save_file({name: tensor.contiguous() for name, tensor in weights.state.items()}, folder / "weights.safetensors")
    config, gpu = dataclasses.asdict(weights.config), device.index or 0
    request = {"spec": dataclasses.asdict(spec), "config": config, "gpu": gpu}
    (folder / "request.json").write_text(json.dumps(request))


def _run_build(folder: Path, report: Report, is_cancelled: threading.Event) -> None:
    command = [sys.executable, "-m", "nerdrain_rt.backends.engine_process", str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with (
        (folder / "log").open("w+b") as log,
        subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, text=True
        ) as process,
    ):
        threading.Thread(target=_end_when, args=(is_cancelled, process), daemon=True).start()
        assert process.stdout is not None
        answer: dict[str, Any] = {}
        for line in process.stdout:
            answer = json.loads(line)
            if "stage" in answer:
                report(answer["stage"], answer["done"])
        code = process.wait()
        log.seek(0)
        words = log.read().decode(errors="replace").strip()
    _log.debug("engine build: %s", words)
    if is_cancelled.is_set():
        raise BackendError("tensorrt: the build was cancelled")
    if code:
        last = words.splitlines()[-1] if words else "it said nothing"
        reason = answer.get("error") or f"the process ended with exit code {code}: {last}"
        is_memory = "out of memory" in f"{reason} {words}".lower()
        kind = torch.OutOfMemoryError if is_memory else BackendError
        raise kind(f"tensorrt: the engine cannot be built: {reason}")


def _end_when(is_cancelled: threading.Event, process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        if is_cancelled.wait(0.5):
            process.kill()
            return


def main() -> None:
    """Build what the request in the folder asks for; one JSON object for each step on stdout."""
    folder = Path(sys.argv[1])
    with os.fdopen(os.dup(1), "w", buffering=1) as channel:
        os.dup2(2, 1)  # what libraries print goes to the log

        def tell(**answer: Any) -> None:
            channel.write(json.dumps(answer) + "\n")

        threading.Thread(target=_end_with_parent, daemon=True).start()
        if hasattr(os, "nice"):
            os.nice(10)
        try:
            _build_request(folder, lambda stage, done: tell(stage=stage, done=round(done, 3)))
        except Exception as error:
            logging.getLogger(__name__).exception("build failed")
            lines = str(error).strip().splitlines() or [type(error).__name__]
            tell(error="out of memory" if isinstance(error, MemoryError) else lines[0])
            sys.exit(1)


def _build_request(folder: Path, report: Report) -> None:
    request = json.loads((folder / "request.json").read_text())
    config: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in request["config"].items()
    }
    net = NerdRain(NetConfig(**config)).eval().requires_grad_(False)
    net.load_state_dict({name: tensor.float() for name, tensor in load_file(folder / "weights.safetensors").items()})
    if torch.cuda.is_available():
        torch.cuda.set_device(request["gpu"])
    plan = build_plan(net, EngineSpec.from_json(request["spec"]), _throttled(report), gpu=request["gpu"])
    (folder / "plan").write_bytes(plan)


def _throttled(report: Report) -> Report:
    """Passes on every new stage and every further hundredth."""
    last: list[tuple[str, int]] = []

    def tell(stage: str, done: float) -> None:
        if last != [(stage, int(100 * done))]:
            last[:] = [(stage, int(100 * done))]
            report(stage, done)

    return tell


def _end_with_parent() -> None:
    """Standard input is a pipe that nobody writes to; it ends when the parent does."""
    with suppress(OSError):
        sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
