"""Triton's interpreter for kernels on the CPU: import this before any kernel."""

import os
from typing import Any

import pytest
import torch

HAS_GPU = torch.cuda.is_available()
if not HAS_GPU:
    os.environ["TRITON_INTERPRET"] = "1"  # read where a kernel is defined, Triton's own functions among them

pytest.importorskip("triton")
DEVICE = torch.device("cuda" if HAS_GPU else "cpu")


def mend_interpreter() -> None:
    """Multiply bfloat16 as numbers (it multiplies their bits), and prepare each function once per launch."""
    import numpy as np
    import triton.language as tl
    from triton.runtime import interpreter

    multiply, launch = interpreter.InterpreterBuilder.create_dot, interpreter.GridExecutor.__call__
    prepare = interpreter._patch_lang
    prepared: set[Any] = set()

    def widened(operand: Any) -> Any:
        if operand.dtype.scalar != tl.bfloat16:
            return operand
        bits = operand.data.astype(np.uint32) << 16
        return interpreter.TensorHandle(bits.view(np.float32), tl.float32)

    def create_dot(self: Any, a: Any, b: Any, *rest: Any) -> Any:
        return multiply(self, widened(a), widened(b), *rest)

    def prepare_once(function: Any) -> Any:
        if function not in prepared:
            prepared.add(function)
            return prepare(function)
        return None

    def launch_anew(self: Any, *arguments: Any, **options: Any) -> Any:
        prepared.clear()
        return launch(self, *arguments, **options)

    interpreter.InterpreterBuilder.create_dot = create_dot
    interpreter._patch_lang = prepare_once
    interpreter.GridExecutor.__call__ = launch_anew


if not HAS_GPU:
    mend_interpreter()
