# SPDX-License-Identifier: GPL-3.0-or-later
"""What the library's doctor and benchmark found, in a person's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from PyQt6.QtCore import QCoreApplication

Mark = Literal["good", "warn", "faint"]
translate = QCoreApplication.translate
CODECS = {"libx264": "H.264", "libx265": "H.265", "libsvtav1": "AV1", "libvpx-vp9": "VP9", "prores_ks": "ProRes"}
FAMILIES = {"h264": "H.264", "hevc": "H.265", "av1": "AV1"}
MAKERS = {"nvenc": "NVIDIA", "videotoolbox": "Apple", "qsv": "Intel", "amf": "AMD"}
"""By the two parts of the names of encoders in hardware."""


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


def device_in_words(name: str) -> str:
    """A device's name as a person knows it."""
    names = {
        "cpu": translate("Findings", "Processor"),
        "cuda": translate("Findings", "NVIDIA graphics"),
        "mps": translate("Findings", "Apple graphics"),
    }
    return names.get(name.split(":")[0], name)


def backend_in_words(name: str) -> str:
    """A backend's name as a person knows it."""
    names = {
        "tensorrt": "NVIDIA TensorRT",
        "fused": translate("Findings", "Fused GPU kernels"),
        "compile": translate("Findings", "Compiled PyTorch"),
        "openvino": "Intel OpenVINO",
        "eager": "PyTorch",
    }
    return names.get(name, name)


def encoder_in_words(name: str) -> str:
    """An encoder's name as a person knows it."""
    family, _, maker = name.rpartition("_")
    if family in FAMILIES and maker in MAKERS:
        return translate("Findings", "{0} on {1}").format(FAMILIES[family], MAKERS[maker])
    return translate("Findings", "FFV1 (lossless)") if name == "ffv1" else CODECS.get(name, name)


def verdict(facts: dict[str, Any]) -> tuple[str, str]:
    """What to expect of this computer: a headline and a sentence."""
    devices: dict[str, Any] = facts.get("devices", {})
    gpu = next((device for name, device in devices.items() if name != "cpu" and device.get("available")), None)
    if gpu is not None:
        name = gpu.get("name") or translate("Findings", "the graphics processor")
        return (
            translate("Findings", "Rain is removed on {0}").format(name),
            translate("Findings", "That is the fast way. Measure the speed to know which sizes run in real time."),
        )
    cpu = devices.get("cpu", {})
    return (
        translate("Findings", "Rain is removed on the processor"),
        translate(
            "Findings",
            "{0} with {1} cores. Every file can be done here, but live pictures will be slow;"
            " a smaller work size helps, a graphics card from NVIDIA helps most.",
        ).format(cpu.get("name", translate("Findings", "A processor")), cpu.get("cores", "?")),
    )


def findings(facts: dict[str, Any]) -> list[Finding]:
    """One card each for devices, backends, encoders, cameras, weights and versions."""
    return [
        Finding(
            translate("Findings", "Processors"),
            tuple(_device(name, what) for name, what in facts.get("devices", {}).items()),
        ),
        Finding(translate("Findings", "Methods"), tuple(_backend(*item) for item in facts.get("backends", {}).items())),
        Finding(translate("Findings", "Cameras"), _cameras(facts.get("cameras", []))),
        Finding(translate("Findings", "Video formats"), _encoders(facts.get("codecs", {}).get("encoders", {}))),
        Finding(
            translate("Findings", "Networks"),
            tuple(_weights(name, what) for name, what in facts.get("weights", {}).items()),
        ),
        Finding(translate("Findings", "Versions"), _versions(facts.get("system", {}))),
    ]


def benchmark_rows(result: Any) -> list[tuple[str, ...]]:
    """The rows of a table, its head first; empty where the result has no answers."""
    answers = result.get("real_time") if isinstance(result, dict) else None
    if not answers:
        return []
    head = (
        translate("Findings", "Goal"),
        translate("Findings", "Frames a second"),
        translate("Findings", "Method"),
        translate("Findings", "Real time"),
    )
    return [head, *(_answer(answer) for answer in answers)]


def _answer(answer: dict[str, Any]) -> tuple[str, ...]:
    scale = answer.get("work_scale")
    if answer.get("real_time"):
        words = translate("Findings", "yes")
    elif scale:
        words = translate("Findings", "at work size {0} %").format(round(scale * 100))
    else:
        words = translate("Findings", "no")
    return str(answer["goal"]), f"{answer['fps']:.3g}", backend_in_words(str(answer["backend"])), words


def _device(name: str, what: dict[str, Any]) -> Line:
    if not what.get("available"):
        return Line(device_in_words(name), _sentence(what.get("reason", "")), "faint")
    precisions = {
        "bf16": translate("Findings", "16-bit (bfloat16)"),
        "fp16": translate("Findings", "16-bit (half)"),
        "fp32": translate("Findings", "32-bit"),
    }
    parts = [
        translate("Findings", "{0} cores").format(what["cores"]) if "cores" in what else "",
        translate("Findings", "{0} GB of memory").format(what["memory_gib"]) if "memory_gib" in what else "",
        precisions.get(what.get("precision", ""), ""),
    ]
    return Line(what.get("name") or device_in_words(name), ", ".join(part for part in parts if part))


def _backend(name: str, what: dict[str, Any]) -> Line:
    if what.get("available"):
        return Line(
            backend_in_words(name),
            translate("Findings", "ready · {0}").format(device_in_words(what.get("device", "cpu"))),
        )
    return Line(backend_in_words(name), _sentence(what.get("reason") or ""), "faint")


def _cameras(cameras: list[dict[str, Any]]) -> tuple[Line, ...]:
    if not cameras:
        return (
            Line(
                translate("Findings", "None found"),
                translate("Findings", "Plug one in, or open the address of a network camera."),
                "faint",
            ),
        )
    return tuple(Line(camera["name"] or camera["address"], _camera_modes(camera)) for camera in cameras)


def _camera_modes(camera: dict[str, Any]) -> str:
    modes = camera["modes"]
    return translate("Findings", "{0} modes").format(len(modes)) if modes else str(camera["address"])


def _encoders(encoders: dict[str, bool]) -> tuple[Line, ...]:
    def named(is_there: bool) -> str:
        return ", ".join(encoder_in_words(name) for name, has in encoders.items() if has == is_there)

    lines = [Line(translate("Findings", "Can be written"), named(True))]
    if named(False):
        lines.append(Line(translate("Findings", "Need hardware that is not here"), named(False), "faint"))
    return tuple(lines)


def _weights(name: str, what: dict[str, Any]) -> Line:
    if not what.get("usable"):
        return Line(name, _sentence(what.get("reason", "")), "warn")
    origin = (
        translate("Findings", "comes with the program")
        if what.get("origin") == "bundled"
        else translate("Findings", "imported by you")
    )
    return Line(name, origin)


def _versions(system: dict[str, Any]) -> tuple[Line, ...]:
    names = {"nerdrain-rt": "NeRD-Rain RT", "torch": "PyTorch", "av": "PyAV", "python": "Python"}
    versions = ", ".join(f"{words} {system[name]}" for name, words in names.items() if name in system)
    return (Line(versions, str(system.get("platform", ""))),)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
