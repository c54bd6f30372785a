"""Muon: steps along the nearest orthogonal matrix of each momentum, so that no direction of a layer learns alone."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import torch
from torch import Tensor, nn

# Jordan 2024, "Muon: an optimizer for hidden layers in neural networks".
_POLYNOMIAL = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
# Liu et al. 2025, "Muon is scalable for LLM training": entries of the step are then as large as AdamW's usually are.
_MATCHED_RMS = 0.2


class Muon(torch.optim.Optimizer):
    """For kernels of convolutions, each taken as the matrix of outputs by inputs; rates are those of AdamW.

    Kernels of one shape are stepped together, which saves a GPU a thousand launches. Weight decay is decoupled,
    momentum Nesterov's.
    """

    def __init__(
        self, kernels: Iterable[Tensor], learning_rate: float, *, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        ordered = sorted(kernels, key=_matrix_shape)
        super().__init__(ordered, {"lr": learning_rate, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Step every kernel that has a gradient."""
        for group in self.param_groups:
            moving = (kernel for kernel in group["params"] if kernel.grad is not None)
            for shape, alike in groupby(moving, _matrix_shape):
                kernels = list(alike)
                directions = self._directions(kernels, group["momentum"])
                matrices = orthogonal(torch.stack([direction.flatten(1) for direction in directions]))
                torch._foreach_mul_(kernels, 1 - group["lr"] * group["weight_decay"])
                size = group["lr"] * _MATCHED_RMS * max(shape) ** 0.5
                steps = [matrix.view_as(kernel) for matrix, kernel in zip(matrices, kernels, strict=True)]
                torch._foreach_add_(kernels, steps, alpha=-size)

    def _directions(self, kernels: list[Tensor], momentum: float) -> tuple[Tensor, ...]:
        gradients = [kernel.grad for kernel in kernels if kernel.grad is not None]
        for kernel in kernels:
            if not self.state[kernel]:
                self.state[kernel]["momentum"] = torch.zeros_like(kernel)
        averages = [self.state[kernel]["momentum"] for kernel in kernels]
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        return torch._foreach_lerp(gradients, averages, momentum)


def orthogonal(matrices: Tensor) -> Tensor:
    """N m n to about the nearest matrices of orthonormal rows (or columns where m > n), singular values near 1.

    A Newton-Schulz iteration in bfloat16; its polynomial trades exactness for few iterations.
    """
    a, b, c = _POLYNOMIAL
    if is_tall := matrices.shape[1] > matrices.shape[2]:
        matrices = matrices.mT
    x = (matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp_min(1e-12)).bfloat16()
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x.mT if is_tall else x
    return result.to(matrices.dtype)


def hidden_kernels(net: nn.Module) -> list[Tensor]:
    """What Muon is for: the dense convolutions between features, neither depthwise nor from or to a picture."""
    layers = (layer for layer in net.modules() if isinstance(layer, nn.Conv2d))
    return [it.weight for it in layers if it.groups == 1 and min(it.in_channels, it.out_channels) > 3]


def _matrix_shape(kernel: Tensor) -> tuple[int, int]:
    return kernel.shape[0], kernel[0].numel()
