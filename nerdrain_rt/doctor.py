"""`nerdrain doctor`: what this machine has, and why something that one might expect is not available."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Literal

import av
import psutil
import torch
import typer
from rich.table import Column, Table

from nerdrain_rt import console
from nerdrain_rt.backends import NAMES, find_device, precision_name, why_backend_is_missing, why_device_is_missing
from nerdrain_rt.backends.eager import best_dtype, has_native_bfloat16
from nerdrain_rt.backends.engine_cache import default_folder
from nerdrain_rt.backends.engine_spec import driver_version
from nerdrain_rt.backends.remembered import remembered_choices
from nerdrain_rt.errors import WeightsError
from nerdrain_rt.folders import cache_folder
from nerdrain_rt.media.camera import camera_modes, list_cameras
from nerdrain_rt.media.codecs import starts
from nerdrain_rt.model.weights import BUNDLED, list_weights, load_weights, user_folder

CODECS = ("h264", "hevc", "av1", "vp9", "mjpeg", "mpeg4", "prores", "ffv1")
ENCODERS = (
    "libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1",
    "h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_videotoolbox", "hevc_videotoolbox", "h264_qsv", "hevc_qsv",
)  # fmt: skip
LIBRARIES = (
    "nerdrain-rt", "torch", "av", "numpy", "safetensors", "opencv-python-headless", "pillow", "openvino", "triton",
    "torch-tensorrt", "torch-tensorrt-rtx", "tensorrt", "tensorrt-rtx", "PyQt6", "pyvirtualcam",
)  # fmt: skip


def examine() -> dict[str, Any]:
    """Everything doctor knows, ready for JSON."""
    return {
        "system": _examine_system(),
        "devices": _examine_devices(),
        "backends": _examine_backends(),
        "choices": [str(choice) for choice in remembered_choices()],
        "codecs": {
            "decoders": {name: _has_codec(name, "r") for name in CODECS},
            "encoders": {name: _has_codec(name, "w") and starts(name) for name in ENCODERS},
        },
        "cameras": _find_cameras(),
        "weights": {name: _examine_weights(name) for name in list_weights()},
        "folders": {
            "weights": str(user_folder()),
            "cache": str(cache_folder()),
            "engines": str(default_folder()),
        },
    }


def doctor_command(as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False) -> None:
    """Show devices, backends, codecs, cameras and weights, and what is missing why."""
    facts = examine()
    if as_json:
        console.print_json(facts)
        return
    for title, content in facts.items():
        table = Table(
            "name", Column(overflow="fold"), title=title, title_justify="left", show_header=False, min_width=60
        )
        for key, value in _rows(content):
            table.add_row(key, value)
        console.stdout.print(table)


def _rows(content: dict[str, Any] | list[Any]) -> list[tuple[str, str]]:
    if isinstance(content, list):
        content = {str(index): value for index, value in enumerate(content)} or {"none": "none found"}
    return [(key, _words(value)) for key, value in content.items()]


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "not told"
    if isinstance(value, dict):
        if all(isinstance(part, bool) for part in value.values()):
            missing = ", ".join(name for name, is_there in value.items() if not is_there)
            present = ", ".join(name for name, is_there in value.items() if is_there)
            return present + (f"\nnot usable here: {missing}" if missing else "")
        return ", ".join(f"{key} {_words(part)}" for key, part in value.items() if part is not None)
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _examine_system() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        **{name: _version(name) for name in LIBRARIES},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _examine_devices() -> dict[str, Any]:
    cpu = {
        "available": True,
        "name": torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine(),
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "native_bfloat16": has_native_bfloat16(),
        "precision": precision_name(best_dtype(torch.device("cpu"))),
    }
    devices: dict[str, Any] = {"cpu": cpu}
    for kind in ("cuda", "mps"):
        if reason := why_device_is_missing(torch.device(kind)):
            devices[kind] = {"available": False, "reason": reason}
    # NVML counts GPUs that PyTorch cannot use too.
    for index in range(0 if "cuda" in devices else torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices[f"cuda:{index}"] = {
            "available": True,
            "name": properties.name,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "capability": f"{properties.major}.{properties.minor}",
            "driver": driver_version(),
            "precision": precision_name(best_dtype(torch.device("cuda", index))),
        }
    if "mps" not in devices:
        devices["mps"] = {"available": True, "precision": precision_name(best_dtype(torch.device("mps")))}
    return devices


def _examine_backends() -> dict[str, Any]:
    """Each on the device that would be used."""
    device = find_device()
    return {
        name: {"available": not (why := why_backend_is_missing(name, device)), "reason": why, "device": device.type}
        for name in NAMES
    }


def _has_codec(name: str, mode: Literal["r", "w"]) -> bool:
    try:
        av.Codec(name, mode)
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def _find_cameras() -> list[dict[str, Any]]:
    return [
        {"address": camera.address, "name": camera.name, "modes": camera_modes(camera.address)}
        for camera in list_cameras()
    ]


def _examine_weights(name: str) -> dict[str, Any]:
    origin = "bundled" if name in BUNDLED else "imported"
    try:
        weights = load_weights(name)
    except WeightsError as error:
        return {"origin": origin, "usable": False, "reason": str(error)}
    return {"origin": origin, "usable": True, "width": weights.config.width, "sha256": weights.sha256}
