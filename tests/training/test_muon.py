"""Muon: what it steps, how far, and that it learns."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from nerdrain_rt.model.net import NerdRain, NetConfig
from nerdrain_rt.training.muon import Muon, hidden_kernels, orthogonal


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 64), (2, 64, 8), (1, 32, 288)])
def test_orthogonal_makes_every_singular_value_about_one(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(1e-6 * matrices))
    # A square random matrix has values near 0, which the iteration lifts but not all the way.
    assert values.max() < 1.3
    assert values.quantile(0.3) > 0.5


def test_orthogonal_keeps_the_directions():
    matrix = torch.randn(1, 8, 32, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    nearest, found = (left @ right).flatten(), orthogonal(matrix).flatten()
    assert functional.cosine_similarity(nearest, found, dim=0) > 0.97


def test_hidden_kernels_are_neither_depthwise_nor_at_a_picture():
    net = NerdRain(NetConfig(width=8, depths=(1, 1, 1), head_width=16))
    kernels = {id(kernel) for kernel in hidden_kernels(net)}
    names = {name for name, parameter in net.named_parameters() if id(parameter) in kernels}
    assert "coarse.encoder1.0.attention.qkv.weight" in names
    assert "fine3.up2.0.weight" in names
    assert not [name for name in names if "depthwise" in name or "embed" in name or "output" in name or "norm" in name]


def test_steps_are_as_large_as_the_rate_says():
    kernel = nn.Parameter(torch.zeros(16, 8, 3, 3))
    kernel.grad = torch.randn(kernel.shape, generator=torch.Generator().manual_seed(0))
    Muon([kernel], 1e-2).step()
    assert kernel.detach().square().mean().sqrt() == pytest.approx(0.2 * 1e-2, rel=0.15)


def test_kernels_of_one_shape_step_as_each_alone():
    def stepped(count: int) -> torch.Tensor:
        kernels = [nn.Parameter(torch.ones(8, 4, 1, 1)) for _ in range(count)]
        for seed, kernel in enumerate(kernels):
            kernel.grad = torch.randn(kernel.shape, generator=torch.Generator().manual_seed(seed))
        Muon(kernels, 1e-2, weight_decay=0.1).step()
        return kernels[0].detach()

    torch.testing.assert_close(stepped(1), stepped(3))


def test_kernels_without_gradient_stay():
    kernel = nn.Parameter(torch.ones(8, 4, 1, 1))
    Muon([kernel], 1e-2, weight_decay=0.1).step()
    assert torch.equal(kernel, torch.ones(8, 4, 1, 1))


def test_kernels_are_stepped_alike_together_and_alone_whatever_their_memory_order():
    generator = torch.Generator().manual_seed(0)
    shapes = ((4, 2, 3, 3), (4, 18, 1, 1), (4, 2, 3, 3))  # all are matrices of 4 by 18
    gradients = [torch.randn(shape, generator=generator) for shape in shapes]

    def stepped(memory_format: torch.memory_format, *, together: bool) -> list[torch.Tensor]:
        kernels = [nn.Parameter(torch.ones(shape).to(memory_format=memory_format)) for shape in shapes]
        optimizers = [Muon(kernels, 1e-2)] if together else [Muon([kernel], 1e-2) for kernel in kernels]
        for _ in range(2):
            for kernel, gradient in zip(kernels, gradients, strict=True):
                kernel.grad = gradient.to(memory_format=memory_format)
            for optimizer in optimizers:
                optimizer.step()
        return [kernel.detach() for kernel in kernels]

    alone = stepped(torch.contiguous_format, together=False)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        torch.testing.assert_close(stepped(memory_format, together=True), alone, rtol=0, atol=1e-3)


def test_muon_learns_a_convolution():
    torch.manual_seed(0)
    wanted, layer = nn.Conv2d(8, 8, 1, bias=False), nn.Conv2d(8, 8, 1, bias=False)
    optimizer, x = Muon([layer.weight], 0.05), torch.randn(4, 8, 6, 6)

    def error() -> torch.Tensor:
        return (layer(x) - wanted(x)).square().mean()

    before = error().item()
    for _ in range(60):
        optimizer.zero_grad()
        error().backward()
        optimizer.step()
    assert error().item() < 0.1 * before
