# SPDX-License-Identifier: GPL-3.0-or-later
"""What the library's doctor and benchmark found, in a person's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from PyQt6.QtCore import QCoreApplication

Mark = Literal["good", "warn", "faint"]
BACKENDS = {
    "tensorrt": "NVIDIA TensorRT",
    "fused": "Fused GPU kernels",
    "compile": "Compiled PyTorch",
    "openvino": "Intel OpenVINO",
    "eager": "PyTorch",
}
DEVICES = {"cuda": "NVIDIA graphics", "mps": "Apple graphics"}
ENCODERS = {
    "libx264": "H.264",
    "libx265": "H.265",
    "libsvtav1": "AV1",
    "libvpx-vp9": "VP9",
    "prores_ks": "ProRes",
    "ffv1": "FFV1",
    "h264_nvenc": "H.264 on NVIDIA",
    "hevc_nvenc": "H.265 on NVIDIA",
    "av1_nvenc": "AV1 on NVIDIA",
    "h264_videotoolbox": "H.264 on Apple",
    "hevc_videotoolbox": "H.265 on Apple",
    "h264_qsv": "H.264 on Intel",
    "hevc_qsv": "H.265 on Intel",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that is there, or why it is not."""

    text: str
    detail: str = ""
    mark: Mark = "good"


@dataclass(frozen=True, slots=True)
class Finding:
    """A subject and what there is to say about it."""

    title: str
    lines: tuple[Line, ...]


def _tr(text: str) -> str:
    return QCoreApplication.translate("Findings", text)


def device_in_words(name: str) -> str:
    """A device's name as a person knows it."""
    return _tr("Processor") if name == "cpu" else DEVICES.get(name.split(":")[0], name)


def backend_in_words(name: str) -> str:
    """A backend's name as a person knows it."""
    return BACKENDS.get(name, name)


def encoder_in_words(name: str) -> str:
    """An encoder's name as a person knows it."""
    return ENCODERS.get(name, name)


def verdict(facts: dict[str, Any]) -> tuple[str, str]:
    """What to expect of this computer: a headline and a sentence."""
    devices: dict[str, Any] = facts.get("devices", {})
    gpu = next((device for name, device in devices.items() if name != "cpu" and device.get("available")), None)
    if gpu is not None:
        name = gpu.get("name") or _tr("the graphics processor")
        return (
            _tr("Rain is removed on {0}").format(name),
            _tr("That is the fast way. Measure the speed to know which sizes run in real time."),
        )
    cpu = devices.get("cpu", {})
    return (
        _tr("Rain is removed on the processor"),
        _tr(
            "{0} with {1} cores. Every file can be done here, but live pictures will be slow;"
            " a smaller work size helps, a graphics card from NVIDIA helps most."
        ).format(cpu.get("name", _tr("A processor")), cpu.get("cores", "?")),
    )


def findings(facts: dict[str, Any]) -> list[Finding]:
    """One card each for devices, backends, encoders, cameras, weights and versions."""
    return [
        Finding(_tr("Processors"), tuple(_device(name, what) for name, what in facts.get("devices", {}).items())),
        Finding(_tr("Methods"), tuple(_backend(*item) for item in facts.get("backends", {}).items())),
        Finding(_tr("Cameras"), _cameras(facts.get("cameras", []))),
        Finding(_tr("Video formats"), _encoders(facts.get("codecs", {}).get("encoders", {}))),
        Finding(_tr("Networks"), tuple(_weights(name, what) for name, what in facts.get("weights", {}).items())),
        Finding(_tr("Versions"), _versions(facts.get("system", {}))),
    ]


def benchmark_rows(result: Any) -> list[tuple[str, ...]]:
    """The rows of a table, its head first; empty where the result has no answers."""
    answers = result.get("real_time") if isinstance(result, dict) else None
    if not answers:
        return []
    head = (_tr("Goal"), _tr("Frames a second"), _tr("Method"), _tr("Real time"))
    return [head, *(_answer(answer) for answer in answers)]


def _answer(answer: dict[str, Any]) -> tuple[str, ...]:
    scale = answer.get("work_scale")
    if answer.get("real_time"):
        words = _tr("yes")
    elif scale:
        words = _tr("at work size {0} %").format(round(scale * 100))
    else:
        words = _tr("no")
    return str(answer["goal"]), f"{answer['fps']:.3g}", backend_in_words(str(answer["backend"])), words


def _device(name: str, what: dict[str, Any]) -> Line:
    if not what.get("available"):
        return Line(device_in_words(name), _sentence(what.get("reason", "")), "faint")
    precisions = {"bf16": _tr("16-bit (bfloat16)"), "fp16": _tr("16-bit (half)"), "fp32": _tr("32-bit")}
    parts = [
        _tr("{0} cores").format(what["cores"]) if "cores" in what else "",
        _tr("{0} GB of memory").format(what["memory_gib"]) if "memory_gib" in what else "",
        precisions.get(what.get("precision", ""), ""),
    ]
    return Line(what.get("name") or device_in_words(name), ", ".join(part for part in parts if part))


def _backend(name: str, what: dict[str, Any]) -> Line:
    if what.get("available"):
        return Line(
            backend_in_words(name), _tr("ready on {0}").format(device_in_words(what.get("device", "cpu")).lower())
        )
    return Line(backend_in_words(name), _sentence(what.get("reason") or ""), "faint")


def _cameras(cameras: Any) -> tuple[Line, ...]:
    if not cameras:
        return (Line(_tr("None found"), _tr("Plug one in, or open the address of a network camera."), "faint"),)
    return tuple(
        Line(str(camera.get("name") or camera.get("path")), _camera_modes(camera))
        if isinstance(camera, dict)
        else Line(str(camera))
        for camera in cameras
    )


def _camera_modes(camera: dict[str, Any]) -> str:
    modes = camera.get("modes") or []
    return _tr("{0} modes").format(len(modes)) if modes else str(camera.get("path", ""))


def _encoders(encoders: dict[str, bool]) -> tuple[Line, ...]:
    def named(is_there: bool) -> str:
        return ", ".join(encoder_in_words(name) for name, has in encoders.items() if has == is_there)

    lines = [Line(_tr("Can be written"), named(True))]
    if named(False):
        lines.append(Line(_tr("Need hardware that is not here"), named(False), "faint"))
    return tuple(lines)


def _weights(name: str, what: dict[str, Any]) -> Line:
    if not what.get("usable"):
        return Line(name, _sentence(what.get("reason", "")), "warn")
    origin = _tr("comes with the program") if what.get("origin") == "bundled" else _tr("imported by you")
    return Line(name, origin)


def _versions(system: dict[str, Any]) -> tuple[Line, ...]:
    names = {"nerdrain-rt": "NeRD-Rain RT", "torch": "PyTorch", "av": "PyAV", "python": "Python"}
    versions = ", ".join(f"{words} {system[name]}" for name, words in names.items() if name in system)
    return (Line(versions, str(system.get("platform", ""))),)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
