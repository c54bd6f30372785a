"""Each Triton kernel against the plain modules: in the interpreter, or on the device where there is one."""

import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from tests.triton_cpu import DEVICE, HAS_GPU  # isort: split

from nerdrain_rt.backends.kernels.attention import AttentionWeights, apply_attention, attention_matrix
from nerdrain_rt.backends.kernels.feed_forward import FeedForwardWeights, feed_forward
from nerdrain_rt.backends.kernels.head import HeadWeights, head
from nerdrain_rt.backends.kernels.network import folded, shuffle, subpixels_first, unshuffle, unshuffled
from nerdrain_rt.backends.kernels.resample import merge
from nerdrain_rt.model.net import Block, Head, NetConfig, conv1, up

BOUNDS = {torch.float16: 0.01, torch.bfloat16: 0.06}
"""Largest error as a share of the largest change that the module makes; of weights alone half rounds 5e-4 and 4e-3."""
PICTURES = [
    # width, heads, batch, (height, width): one program and several, cut ones, fewer columns than a strip
    (32, 1, 2, (9, 70), torch.float16),
    (32, 1, 1, (5, 3), torch.bfloat16),
    (64, 2, 1, (17, 33), torch.bfloat16),
    (64, 2, 1, (4, 6), torch.float16),
    (128, 4, 1, (3, 35), torch.float16),
    (8, 1, 1, (8, 64), torch.float16),
    (48, 2, 1, (1, 9), torch.float16),
]


def lively(module: nn.Module) -> nn.Module:
    """Weights that keep values near 1, so that every part shows in the result."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 4:
            parameter.data = noise * parameter[0].numel() ** -0.5
        else:
            parameter.data = 0.3 * noise + (0.0 if name.endswith("bias") else 1.0)
    return module.eval().requires_grad_(False)


def picture(batch: int, size: tuple[int, int], channels: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(sum(size) + channels)
    return (torch.randn(batch, *size, channels, generator=generator) + 0.5).to(dtype)


def apply(module: nn.Module, x: Tensor) -> Tensor:
    """What a module of B C H W makes of B H W C, in float32."""
    return module(x.float().permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def assert_near(result: Tensor, expected: Tensor, bound: float, *, scale: Tensor | None = None) -> None:
    assert result.shape == expected.shape
    assert torch.isfinite(result).all()
    scale = expected if scale is None else scale
    error = ((result.float().cpu() - expected.cpu()).abs().max() / scale.abs().max().cpu()).item()
    assert error <= bound, f"error {error:.2g} of the largest value, allowed {bound:g}"


@pytest.mark.parametrize(("channels", "heads", "batch", "size", "dtype"), PICTURES)
def test_attention_is_that_of_the_module(channels, heads, batch, size, dtype):
    block = lively(Block(channels, heads, 2.66))
    x = picture(batch, size, channels, dtype)
    weights = AttentionWeights.of(block.norm1.to(DEVICE), block.attention.to(DEVICE), torch.arange(channels), dtype)
    on_device = x.to(DEVICE)
    result = apply_attention(on_device, attention_matrix(on_device, weights), weights)
    change = apply(nn.Sequential(block.norm1, block.attention).cpu(), x)
    assert result.dtype == dtype
    assert_near(result, x.float() + change, BOUNDS[dtype], scale=change)


@pytest.mark.parametrize(("channels", "heads", "batch", "size", "dtype"), PICTURES)
def test_feed_forward_is_that_of_the_module(channels, heads, batch, size, dtype):
    block = lively(Block(channels, heads, 2.66))
    x = picture(batch, size, channels, dtype)
    norm, module = block.norm2.to(DEVICE), block.feed_forward.to(DEVICE)
    result = feed_forward(x.to(DEVICE), FeedForwardWeights.of(norm, module, torch.arange(channels), dtype))
    change = apply(nn.Sequential(norm, module).cpu(), x)
    assert result.dtype == dtype
    assert_near(result, x.float() + change, BOUNDS[dtype], scale=change)


def test_a_block_follows_the_order_of_its_channels():
    block, order = lively(Block(16, 1, 2.66)), unshuffled(4)
    x = picture(1, (4, 6), 16, torch.float16)
    attention = AttentionWeights.of(block.norm1.to(DEVICE), block.attention.to(DEVICE), order, torch.float16)
    forward = FeedForwardWeights.of(block.norm2.to(DEVICE), block.feed_forward.to(DEVICE), order, torch.float16)
    reordered = x[..., order].contiguous().to(DEVICE)
    mixed = apply_attention(reordered, attention_matrix(reordered, attention), attention)
    assert_near(feed_forward(mixed, forward), apply(block.cpu(), x)[..., order], 0.01)


def test_the_attention_of_large_values_does_not_overflow():
    """A sum of squares that half precision cannot hold."""
    block = lively(Block(16, 1, 2.66))
    block.norm1.weight.data *= 300
    x = picture(1, (9, 20), 16, torch.float16)
    weights = AttentionWeights.of(block.norm1.to(DEVICE), block.attention.to(DEVICE), torch.arange(16), torch.float16)
    on_device = x.to(DEVICE)
    result = apply_attention(on_device, attention_matrix(on_device, weights), weights)
    expected = x.float() + apply(nn.Sequential(block.norm1, block.attention).cpu(), x)
    assert_near(result, expected, 0.01)


def test_the_same_picture_gives_the_same_matrix():
    block = lively(Block(16, 1, 2.66))
    x = picture(2, (20, 70), 16, torch.float16).to(DEVICE)
    weights = AttentionWeights.of(block.norm1.to(DEVICE), block.attention.to(DEVICE), torch.arange(16), torch.float16)
    assert torch.equal(attention_matrix(x, weights), attention_matrix(x, weights))


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize(("channels", "size"), [(32, (6, 22)), (64, (4, 2)), (8, (2, 70))])
def test_merge_is_up_convolution_concatenation_and_reduction(channels, size, dtype):
    grow, reduce = lively(up(2 * channels)), lively(conv1(2 * channels, channels))
    coarse = picture(2, (size[0] // 2, size[1] // 2), 2 * channels, dtype)
    skip = picture(2, size, channels, dtype)
    weight = folded(grow[0].weight, reduce.weight).to(dtype)
    convolved = apply(lambda x: nn.functional.conv2d(x, weight.float(), padding=1), coarse).to(dtype).contiguous()
    to_skip = reduce.weight[:, channels:, 0, 0].to(dtype).contiguous()
    result = merge(convolved.to(DEVICE), skip.to(DEVICE), to_skip.to(DEVICE))
    both = torch.cat([apply(grow, coarse), skip.float()], dim=-1)
    assert_near(result, apply(reduce, both), BOUNDS[dtype])


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize(("width", "hidden", "size"), [(32, 256, (7, 11)), (8, 24, (9, 15))])
def test_head_is_that_of_the_module(width, hidden, size, dtype):
    module = nn.Sequential(*list(lively(Head(NetConfig(width=width, head_width=hidden))))[2:])
    x = picture(2, size, width, dtype)
    weights = HeadWeights.of(*(layer.to(DEVICE) for layer in module if isinstance(layer, nn.Conv2d)), dtype=dtype)
    assert_near(head(x.to(DEVICE), weights), apply(module.cpu(), x), BOUNDS[dtype])


def test_unshuffle_is_pixel_unshuffle_in_its_order():
    x = torch.randn(2, 4, 6, 5)
    expected = apply(nn.PixelUnshuffle(2), x)[..., unshuffled(5)]
    assert torch.equal(unshuffle(x), expected)


def test_shuffle_undoes_unshuffle():
    x = torch.randn(2, 4, 6, 5)
    assert torch.equal(shuffle(unshuffle(x)), x)


def test_subpixels_first_makes_shuffle_pixel_shuffle():
    grow = lively(up(8))
    x = torch.randn(1, 3, 5, 8)
    convolved = apply(lambda y: nn.functional.conv2d(y, subpixels_first(grow[0].weight), padding=1), x)
    torch.testing.assert_close(shuffle(convolved.contiguous()), apply(grow, x))


COMPILE = """
import sys
from tests.compiled import compile_all
compile_all(int(sys.argv[1]))
"""


MEASURE = """
from types import SimpleNamespace
import torch, triton
from triton.backends.compiler import GPUTarget
from nerdrain_rt.backends.kernels.head import head_kernel as tuner

compiled = []
triton.knobs.runtime.jit_post_compile_hook = lambda **kernel: compiled.append(kernel["key"])
triton.runtime.driver.set_active(SimpleNamespace(
    get_current_device=lambda: 0,
    get_current_stream=lambda device: 0,
    get_current_target=lambda: GPUTarget("cuda", 90, 32),
    get_benchmarker=lambda: lambda call, quantiles: [len(compiled), 0, 0],
))
x, weight, bias = torch.zeros(64, dtype=torch.float16), torch.zeros(64, dtype=torch.float16), torch.zeros(64)
arguments = [x, *[weight] * 4, *[bias] * 4, x, 64, 8, 8]
sizes = {"C": 16, "CP": 16, "HIDDEN": 16, "HP": 16, "CHANNELS_OUT": 3, "OUT": 16}
tuner.nargs = dict(zip(tuner.arg_names, arguments))
configs = tuner.prune_configs({"grid": (1,), "warmup": False} | sizes)
assert not compiled
print(tuner.do_bench(None, quantiles=(0.5,))[0], len(configs))
tuner.fn.warmup(*arguments, grid=(1,), **sizes, **configs[-1].all_kwargs())
print(len(compiled), len(configs))
"""


def test_what_is_measured_is_compiled_before_all_at_once():
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-c", MEASURE]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["5"] * 4


SHARED_MEMORY = {89: 101_376, 90: 232_448}
"""Bytes that a program may have, by compute capability."""


@pytest.mark.parametrize("capability", SHARED_MEMORY)
def test_kernels_compile_without_a_device_fit_it_and_spill_little(capability):
    """In a process of its own: the interpreter and the compiler exclude each other."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-c", COMPILE, str(capability)]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert len(lines) >= 10
    assert [line for line in lines if int(line.split()[-2]) > 512] == []
    assert [line for line in lines if int(line.split()[-4].strip(",")) > SHARED_MEMORY[capability]] == []


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize(
    ("channels", "heads", "size"), [(32, 1, (1088, 1920)), (64, 2, (360, 640)), (128, 4, (272, 480))]
)
def test_a_block_of_a_whole_picture_is_that_of_the_module(channels, heads, size, dtype):
    assert HAS_GPU
    block = lively(Block(channels, heads, 2.66)).to(DEVICE)
    x = picture(1, size, channels, dtype).to(DEVICE)
    order = torch.arange(channels)
    attention = AttentionWeights.of(block.norm1, block.attention, order, dtype)
    mixed = apply_attention(x, attention_matrix(x, attention), attention)
    result = feed_forward(mixed, FeedForwardWeights.of(block.norm2, block.feed_forward, order, dtype))
    expected = apply(block, x)
    assert_near(result, expected, BOUNDS[dtype], scale=expected - x.float())
