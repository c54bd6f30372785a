"""Compile every kernel for a GPU that is not there, and print what it takes: a line for each."""

import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime import Autotuner

from nerdrain_rt import color_kernels
from nerdrain_rt.backends.kernels import attention, feed_forward, head, resample

HALF, FLOAT, INT = "*fp16", "*fp32", "i32"
FLOATS = {"gamma", "beta", "depthwise", "partial", "temperature"}
INTS = {"height", "width", "rows", "tiles", "pixel_count"}


def argument_type(name: str) -> str:
    return INT if name in INTS else FLOAT if name in FLOATS or name.endswith("_bias") else HALF


def color_type(name: str) -> str:
    """Of an argument of a kernel of colour."""
    if name in ("y", "u", "v"):
        return "*u16"
    if name in ("rgb", "rainy", "residual"):
        return FLOAT
    return INT if name.endswith(("height", "width", "_row", "_step", "_color")) else "fp32"


def compile_kernel(
    kernel: Any, capability: int, constants: dict[str, int], type_of: Callable[[str], str] = argument_type
) -> str:
    """Compile the first configuration that tuning would try; gives the line to print."""
    function, config = kernel, triton.Config({}, num_warps=4)
    if isinstance(kernel, Autotuner):
        kernel.nargs = {}
        function, config = kernel.fn, kernel.prune_configs(constants)[0]
    constants = constants | config.kwargs
    names = function.arg_names
    signature = {name: "constexpr" if name in constants else type_of(name) for name in names}
    source = ASTSource(
        fn=function,
        signature=signature,
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={(index,): [["tt.divisibility", 16]] for index, name in enumerate(names) if signature[name][0] == "*"},
    )
    options = {"num_warps": config.num_warps, "num_stages": config.num_stages}
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    return f"{function.__name__} {constants}: shared {compiled.metadata.shared}, spills {spilled(compiled)} bytes"


def spilled(compiled: Any) -> int:
    """Bytes of stack that the machine code uses."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        usage = subprocess.run([tool, "-res-usage", file.name], check=True, capture_output=True, text=True).stdout
    found = re.search(r"STACK:(\d+)", usage)
    assert found, usage
    return int(found[1])


def compile_all(capability: int) -> None:
    """Every kernel at the widths of NeRD-Rain-S."""
    for channels, heads in ((32, 1), (64, 2), (128, 4)):
        head_channels = channels // heads
        sizes = {"C": channels, "CP": channels}
        heads_sizes = {"D": head_channels, "DP": head_channels}
        part = min(feed_forward.PARTS)
        hidden = {"HIDDEN": -(-int(channels * 2.66) // part) * part}
        print(compile_kernel(attention.gram_kernel, capability, sizes | heads_sizes))
        print(compile_kernel(attention.softmax_kernel, capability, heads_sizes | {"ROWS": 4, "TILES": 16}))
        print(compile_kernel(attention.mix_kernel, capability, sizes | heads_sizes))
        print(compile_kernel(attention.apply_kernel, capability, sizes))
        print(compile_kernel(feed_forward.feed_forward_kernel, capability, sizes | hidden))
        print(compile_kernel(resample.merge_kernel, capability, sizes))
    outputs = {"HIDDEN": 256, "HP": 256, "CHANNELS_OUT": 3, "OUT": 16}
    print(compile_kernel(head.head_kernel, capability, {"C": 32, "CP": 32} | outputs))
    p010 = {"PADDING_BITS": 6, "ROWS": 2, "COLUMNS": 2, "BLOCK": color_kernels.BLOCK}
    left = {"ROWS_CENTERED": 1, "COLUMNS_CENTERED": 0}
    print(compile_kernel(color_kernels.rgb_kernel, capability, p010 | left, color_type))
    # Triton makes constants of arguments that are 1.
    one_row = {"height": 1, "chroma_height": 1}
    print(compile_kernel(color_kernels.rgb_kernel, capability, p010 | left | one_row, color_type))
    left = {"ROWS_REACH": 0, "COLUMNS_REACH": 1, "HIGHEST": 1023}
    print(compile_kernel(color_kernels.residual_kernel, capability, p010 | left, color_type))
