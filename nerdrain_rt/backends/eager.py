"""The network as PyTorch runs it, layer by layer: works on every device, and is what other backends are held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nerdrain_rt.lanes import in_one_thread, thread_count
from nerdrain_rt.model.net import NerdRain

if TYPE_CHECKING:
    from nerdrain_rt.model.weights import Weights


def why_missing(device: torch.device) -> str | None:
    """Nothing: it runs wherever PyTorch does."""
    return None


def load(weights: Weights, device: torch.device, dtype: torch.dtype | None = None) -> EagerBackend:
    """The network of `weights` on a device, by default in the precision that suits it."""
    with in_one_thread(thread_count()):
        return EagerBackend(weights.build(), device, dtype)


class EagerBackend:
    """PyTorch on CPU, CUDA or MPS in float32, bfloat16 or float16."""

    name = "eager"
    multiple_of = NerdRain.multiple_of

    def __init__(self, net: NerdRain, device: torch.device, dtype: torch.dtype | None = None) -> None:
        self.device = device
        self.dtype = dtype or best_dtype(device)
        self._width = net.config.width
        self._net = net.to(device, self.dtype)

    @torch.inference_mode()
    def __call__(self, rainy: Tensor) -> Tensor:
        """B 3 H W in [0, 1] to the residual, float32."""
        residual: Tensor = self._net(rainy)
        return residual.float()

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Peak measured for NeRD-Rain-S, which grows with the width."""
        height, width = size
        return 40 * height * width * self._width * self.dtype.itemsize


def best_dtype(device: torch.device) -> torch.dtype:
    """float16 on GPUs, bfloat16 on processors that compute in it, else float32."""
    if device.type != "cpu":
        return torch.float16
    return torch.bfloat16 if has_native_bfloat16() else torch.float32


def has_native_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself (AVX512-BF16, AMX, or Arm's extension)."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16"))
