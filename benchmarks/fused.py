"""Each fused kernel's time against what moving its data takes, then the whole network against eager PyTorch.

Run as `python benchmarks/fused.py [--size 1920x1080] [--precision fp16]` on a machine with an NVIDIA GPU, PyTorch 2.11
or later and Triton, and nothing else: weights are random, and the package's own imports stay out. The last line is
JSON. The floor of a kernel is its traffic over the rate of a large copy on the same device.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch

PACKAGE = Path(__file__).resolve().parent.parent / "nerdrain_rt"
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


def import_bare() -> None:
    """Make the package's modules importable without what the package itself imports for video."""
    bare = ModuleType("nerdrain_rt")
    bare.__path__ = [str(PACKAGE)]
    sys.modules["nerdrain_rt"] = bare


def milliseconds(call: Callable[[], object]) -> float:
    """Median of many runs by the device's own clock, the cache emptied between them."""
    from triton.testing import do_bench

    return float(do_bench(call, warmup=50, rep=300, return_mode="median"))


def copy_rate() -> float:
    """Bytes per second read and written by a large copy."""
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.numel() / (milliseconds(lambda: target.copy_(source)) / 1000)


def kernel_cases(
    size: tuple[int, int], dtype: torch.dtype
) -> list[tuple[str, int, tuple[int, int], int, Callable[[], object]]]:
    """Name, channels, picture, traffic in bytes and a call, for each kernel at each of the network's levels."""
    from nerdrain_rt.backends.kernels.attention import AttentionWeights, apply_attention, attention_matrix
    from nerdrain_rt.backends.kernels.feed_forward import FeedForwardWeights, feed_forward
    from nerdrain_rt.backends.kernels.head import HeadWeights, head
    from nerdrain_rt.backends.kernels.resample import merge
    from nerdrain_rt.model.net import Block, Head, NetConfig

    cases = []
    for level, (channels, heads) in enumerate(((32, 1), (64, 2), (128, 4))):
        height, width = size[0] >> level, size[1] >> level
        block = Block(channels, heads, 2.66).requires_grad_(False).cuda()
        x = torch.randn(1, height, width, channels, dtype=dtype, device="cuda")
        order = torch.arange(channels)
        attention = AttentionWeights.of(block.norm1, block.attention, order, dtype)
        forward = FeedForwardWeights.of(block.norm2, block.feed_forward, order, dtype)
        matrix = attention_matrix(x, attention)
        one = x.numel() * x.element_size()
        for name, widths, call in (
            ("attention_matrix", 1, lambda x=x, w=attention: attention_matrix(x, w)),
            ("apply_attention", 2, lambda x=x, m=matrix, w=attention: apply_attention(x, m, w)),
            ("feed_forward", 2, lambda x=x, w=forward: feed_forward(x, w)),
        ):
            cases.append((name, channels, (height, width), widths * one, call))
        if level < 2:
            coarse = torch.randn(1, height // 2, width // 2, 4 * channels, dtype=dtype, device="cuda")
            reduce = torch.randn(channels, channels, dtype=dtype, device="cuda")
            call = lambda c=coarse, s=x, r=reduce: merge(c, s, r)  # noqa: E731
            cases.append(("merge", channels, (height, width), 3 * one, call))
    layers = [layer for layer in list(Head(NetConfig()).requires_grad_(False).cuda())[2:] if hasattr(layer, "weight")]
    weights = HeadWeights.of(*layers, dtype=dtype)
    x = torch.randn(1, size[0] // 2, size[1] // 2, 32, dtype=dtype, device="cuda")
    traffic = x.numel() * x.element_size()
    cases.append(("head", 32, tuple(x.shape[1:3]), traffic, lambda: head(x, weights)))
    return cases


@torch.inference_mode()
def measure_network(size: tuple[int, int], dtype: torch.dtype) -> dict[str, float]:
    """First call and median of the fused network and eager half precision, and their distance from float32."""
    from nerdrain_rt.backends.fused import FusedBackend
    from nerdrain_rt.model.net import NerdRain

    torch.manual_seed(0)
    net = NerdRain().eval().requires_grad_(False)
    rainy = torch.rand(1, 3, *size, device="cuda")
    fused = FusedBackend(net, torch.device("cuda"), dtype)
    start = time.perf_counter()
    residual = fused(rainy)
    torch.cuda.synchronize()
    first = time.perf_counter() - start
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        expected = net(rainy)
    scale = expected.abs().max()
    torch.cuda.reset_peak_memory_stats()
    result = {
        "first_call_seconds": first,
        "fused_ms": milliseconds(lambda: fused(rainy)),
        "fused_error": ((residual - expected).abs().max() / scale).item(),
        "fused_psnr": (-10 * torch.log10((residual - expected).square().mean())).item(),
    }
    half = net.to(dtype).to(memory_format=torch.channels_last)
    result["eager_ms"] = milliseconds(lambda: half(rainy))
    result["eager_error"] = ((half(rainy).float() - expected).abs().max() / scale).item()
    return result


def main() -> None:
    """Print a row for each kernel and the network's, then everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="1920x1080", help="WIDTHxHEIGHT; the height is rounded up to 16 rows")
    parser.add_argument("--precision", choices=DTYPES, default="fp16")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("benchmarks/fused.py: needs an NVIDIA GPU that PyTorch can use")
    import_bare()
    columns, rows = (-(-int(number) // 16) * 16 for number in options.size.split("x"))
    size, dtype = (rows, columns), DTYPES[options.precision]

    rate = copy_rate()
    print(f"{torch.cuda.get_device_name()}: copies {rate / 1e12:.2f} TB/s; {columns}x{rows}, {options.precision}")
    print(f"{'kernel':18}{'channels':>9}{'picture':>12}{'ms':>9}{'floor ms':>10}{'share':>7}")
    kernels = []
    for name, channels, picture, traffic, call in kernel_cases(size, dtype):
        taken, floor = milliseconds(call), 1000 * traffic / rate
        shape = f"{picture[1]}x{picture[0]}"
        print(f"{name:18}{channels:9}{shape:>12}{taken:9.3f}{floor:10.3f}{floor / taken:7.0%}", flush=True)
        kernels.append({"kernel": name, "channels": channels, "size": shape, "ms": taken, "floor_ms": floor})
    network = measure_network(size, dtype)
    print(", ".join(f"{name} {value:.4g}" for name, value in network.items()))
    device = torch.cuda.get_device_name()
    print(json.dumps({"device": device, "copy_bytes_per_second": rate, "kernels": kernels, "network": network}))


if __name__ == "__main__":
    main()
