"""Builds a TensorRT engine of the whole network: exported, lowered and converted by torch-tensorrt."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from nerdrain_rt.backends import PRECISIONS
from nerdrain_rt.backends.engine_spec import EngineSpec
from nerdrain_rt.errors import BackendError
from nerdrain_rt.model.net import NerdRain

Report = Callable[[str, float], None]
"""Takes what is being done, and how much of it is, from 0 to 1."""


class WholeNetwork(nn.Module):
    """The network between float32 images, so that the conversions to and from its precision are in the engine."""

    def __init__(self, net: NerdRain) -> None:
        super().__init__()
        self.net = net

    def forward(self, rainy: Tensor) -> Tensor:
        """1 3 H W in [0, 1] to the residual, float32."""
        residual: Tensor = self.net(rainy)
        return residual.float()


def export_network(net: NerdRain, spec: EngineSpec) -> torch.export.ExportedProgram:
    """The graph of one image of the spec's size, or of any size in its range."""
    module = WholeNetwork(net.to(PRECISIONS[spec.precision])).eval()
    multiple = NerdRain.multiple_of
    dynamic: dict[int, Any] = {}
    for dim, name, low, high in zip((2, 3), ("rows", "columns"), spec.smallest, spec.largest, strict=True):
        if low < high:
            dynamic[dim] = multiple * torch.export.Dim(name, min=low // multiple, max=high // multiple)
    with torch.no_grad():
        return torch.export.export(module, (torch.zeros(1, 3, *spec.usual),), dynamic_shapes=(dynamic,), strict=False)


def build_plan(net: NerdRain, spec: EngineSpec, report: Report, *, gpu: int = 0) -> bytes:
    """Build here and now; raises BackendError where the network cannot be converted as a whole.

    TensorRT-RTX builds for the spec's compute capability, whatever GPU is here. torch-tensorrt's own function of one
    call also loads what it built, which another GPU's engine cannot be, and has no settings for target and progress.
    """
    import torch_tensorrt
    from torch_tensorrt.dynamo._settings import CompilationSettings
    from torch_tensorrt.dynamo.conversion._conversion import infer_module_output_dtypes
    from torch_tensorrt.dynamo.conversion._TRTInterpreter import TRTInterpreter

    trt = import_module(spec.versions.flavour.replace("-", "_"))
    settings = CompilationSettings(device=torch_tensorrt.Device(gpu_id=gpu), **spec.options)
    report("exporting the network", 0.0)
    graph = lower(export_network(net, spec), settings)
    report("converting the network", 0.0)
    types = infer_module_output_dtypes(graph)
    interpreter = TRTInterpreter(graph, [_input(spec)], output_dtypes=types, compilation_settings=settings)
    interpreter._construct_trt_network_def()
    config = interpreter._populate_trt_builder_config()
    config.progress_monitor = _progress_monitor(trt, report)
    if spec.versions.flavour == "tensorrt-rtx":
        aim(trt, config, spec)
    plan = interpreter.builder.build_serialized_network(interpreter.ctx.net, config)
    if plan is None:
        raise BackendError("TensorRT gives no engine; --verbose shows its log")
    return bytes(plan)


def lower(program: torch.export.ExportedProgram, settings: Any) -> torch.fx.GraphModule:
    """The graph in the operators that torch-tensorrt converts, by its own passes."""
    from torch_tensorrt.dynamo.lowering import get_decompositions, post_lowering, pre_export_lowering

    lowered = pre_export_lowering(program, settings).run_decompositions(get_decompositions())
    graph: torch.fx.GraphModule = post_lowering(lowered.module(), settings)
    return graph


def _input(spec: EngineSpec) -> Any:
    from torch_tensorrt import Input

    smallest, usual, largest = ((1, 3, *size) for size in (spec.smallest, spec.usual, spec.largest))
    if spec.is_dynamic:
        return Input(min_shape=smallest, opt_shape=usual, max_shape=largest, dtype=torch.float32)
    return Input(shape=usual, dtype=torch.float32)


def aim(trt: Any, config: Any, spec: EngineSpec) -> None:
    """Build for the spec's compute capability; for a GPU that TensorRT-RTX does not name, for all that it does."""
    known = [name for name in trt.ComputeCapability.__members__ if name.startswith("SM")]
    name = f"SM{spec.target.capability.replace('.', '')}"
    if name in known:
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.__members__[name], 0)
    elif spec.target.gpu == "any":
        raise BackendError(f"{name.lower()}: TensorRT-RTX builds for {', '.join(known).lower()}")


def _progress_monitor(trt: Any, report: Report) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Tells how far TensorRT is, from the steps done in its nested phases."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.phases: dict[str, list[int]] = {}
            self.done = 0.0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.phases[phase_name] = [0, num_steps]

        def phase_finish(self, phase_name: str) -> None:
            self.phases.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self.phases:
                self.phases[phase_name][0] = step + 1
            done, share = 0.0, 1.0
            for finished, steps in self.phases.values():
                done, share = done + share * finished / steps, share / steps
            self.done = min(1.0, max(self.done, done))  # how phases nest is TensorRT's own affair
            report("building the engine", self.done)
            return True

    return Monitor()
