"""NeRD-Rain out of fused kernels: its weights packed once, its forward pass on channels-last half precision.

Pixel unshuffle stays a copy of whole runs of channels because the channels below it are kept in the order that the
copy gives, (dy, dx, channel), and every weight that reads them is packed in that order.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nerdrain_rt.backends.kernels.attention import AttentionWeights, apply_attention, attention_matrix
from nerdrain_rt.backends.kernels.feed_forward import FeedForwardWeights, feed_forward
from nerdrain_rt.backends.kernels.head import HeadWeights, head
from nerdrain_rt.backends.kernels.resample import merge
from nerdrain_rt.model.net import Block, Fusion, Head, NerdRain, UNet

WIDEST = 128
"""Channels of which a GPU's shared memory holds the matrices that a kernel needs."""


class Convolution:
    """A 3x3 convolution on B H W C, left to cuDNN."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, dtype: torch.dtype, stride: int = 1) -> None:
        self.weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
        self.bias = None if bias is None else bias.to(dtype)
        self.stride = stride

    def __call__(self, x: Tensor) -> Tensor:
        """B H W C to B H/stride W/stride C'."""
        y = F.conv2d(x.permute(0, 3, 1, 2), self.weight, self.bias, stride=self.stride, padding=1)
        return y.permute(0, 2, 3, 1).contiguous()


class FusedBlock:
    """A Block as three passes over the picture: 1 + 2 + 2 widths."""

    def __init__(self, block: Block, order: Tensor, dtype: torch.dtype) -> None:
        self.attention = AttentionWeights.of(block.norm1, block.attention, order, dtype)
        self.feed_forward = FeedForwardWeights.of(block.norm2, block.feed_forward, order, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """B H W C to the same."""
        x = apply_attention(x, attention_matrix(x, self.attention), self.attention)
        return feed_forward(x, self.feed_forward)


class PlainBlock:
    """A Block too wide for the kernels, left to PyTorch; as wide as that are only latents, which have few pixels."""

    def __init__(self, block: Block, order: Tensor, dtype: torch.dtype) -> None:
        self.block = copy.deepcopy(block).to(dtype)
        self.order = order.to(block.norm1.weight.device)
        self.back = self.order.argsort()

    def __call__(self, x: Tensor) -> Tensor:
        """B H W C to the same."""
        y: Tensor = self.block(x[..., self.back].permute(0, 3, 1, 2))
        return y.permute(0, 2, 3, 1)[..., self.order].contiguous()


class FusedUNet:
    """The two halves of a UNet; `latent_order` says which of the module's channels the latent's are."""

    def __init__(self, net: UNet, dtype: torch.dtype) -> None:
        narrow, middle = net.reduce1.weight.shape[0], net.reduce2.weight.shape[0]
        plain1, plain2 = torch.arange(narrow), torch.arange(middle)
        order2, order3 = unshuffled(narrow // 2), unshuffled(middle // 2)
        self.encoder1 = blocks(net.encoder1, plain1, dtype)
        self.down1 = Convolution(conv_of(net.down1).weight, dtype=dtype)
        self.encoder2 = blocks(net.encoder2, order2, dtype)
        self.down2 = Convolution(conv_of(net.down2).weight[:, order2], dtype=dtype)
        self.latent = blocks(net.latent, order3, dtype)
        self.up2 = Convolution(folded(conv_of(net.up2).weight[:, order3], net.reduce2.weight), dtype=dtype)
        self.reduce2 = net.reduce2.weight[:, middle:, 0, 0][:, order2].to(dtype).contiguous()
        self.decoder2 = blocks(net.decoder2, plain2, dtype)
        self.up1 = Convolution(folded(conv_of(net.up1).weight, net.reduce1.weight), dtype=dtype)
        self.reduce1 = net.reduce1.weight[:, narrow:, 0, 0].to(dtype).contiguous()
        self.decoder1 = blocks(net.decoder1, plain1, dtype)

    def encode(self, features: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """B H W c to the latent B H/4 W/4 4c and the two skips."""
        skip1 = run(self.encoder1, features)
        skip2 = run(self.encoder2, unshuffle(self.down1(skip1)))
        return run(self.latent, unshuffle(self.down2(skip2))), (skip1, skip2)

    def decode(self, latent: Tensor, skips: tuple[Tensor, Tensor]) -> Tensor:
        """The latent and the skips to features B H W c."""
        skip1, skip2 = skips
        x = run(self.decoder2, merge(self.up2(latent), skip2, self.reduce2))
        return run(self.decoder1, merge(self.up1(x), skip1, self.reduce1))


class FusedHead:
    """A Head: two up-convolutions, then one kernel."""

    def __init__(self, net: Head, latent_order: Tensor, dtype: torch.dtype) -> None:
        up2, up1 = conv_of(net[0]).weight, conv_of(net[1]).weight
        self.up2 = Convolution(subpixels_first(up2[:, latent_order]), dtype=dtype)
        self.up1 = Convolution(subpixels_first(up1), dtype=dtype)
        layers = [layer for layer in net if isinstance(layer, nn.Conv2d)]
        self.weights = HeadWeights.of(*layers, dtype=dtype)

    def __call__(self, latent: Tensor) -> Tensor:
        """B h w 4c to B 4h 4w 3."""
        return head(shuffle(self.up1(shuffle(self.up2(latent)))), self.weights)


class FusedFusion:
    """A Fusion; its tensors have a sixteenth of the pixels, so it is left to PyTorch."""

    def __init__(self, net: Fusion, order: Tensor, dtype: torch.dtype) -> None:
        both = torch.cat([order, order + len(order)])
        assert net.query.bias is not None
        assert net.key.bias is not None
        self.query = Convolution(net.query.weight[order][:, order], net.query.bias[order], dtype=dtype)
        self.key = Convolution(net.key.weight[order][:, order], net.key.bias[order], dtype=dtype)
        self.weighs = tuple(
            Convolution(layer.weight[:, both], layer.bias, dtype=dtype, stride=2) for layer in (net.weigh1, net.weigh2)
        )

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """B H W C, twice, to B H/2 W/2 C."""
        agreement = torch.sigmoid(self.query(first) * self.key(second))
        total = torch.zeros((), dtype=first.dtype, device=first.device)
        for latent, weigh in zip((first, second), self.weighs, strict=True):
            agreed = latent * agreement
            weights = weigh(torch.cat([latent, agreed], dim=-1))
            total = total + latent[:, ::2, ::2] * weights[..., :1] + agreed[:, ::2, ::2] * weights[..., 1:]
        return total


class FusedNet:
    """NerdRain's forward pass; what only other scales' images need is left out."""

    def __init__(self, net: NerdRain, dtype: torch.dtype) -> None:
        order = unshuffled(net.config.widths[1] // 2)
        self.dtype = dtype
        self.embed_coarse, self.embed_middle, self.embed_fine = (
            Convolution(layer.weight, dtype=dtype) for layer in (net.embed_coarse, net.embed_middle, net.embed_fine)
        )
        self.coarse, self.middle1, self.middle2, self.fine1, self.fine2, self.fine3 = (
            FusedUNet(unet, dtype) for unet in (net.coarse, net.middle1, net.middle2, net.fine1, net.fine2, net.fine3)
        )
        self.context_middle, self.context_fine1, self.context_fine2 = (
            Convolution(layer.weight, dtype=dtype)
            for layer in (net.context_middle, net.context_fine1, net.context_fine2)
        )
        self.head_coarse, self.head_middle = (
            FusedHead(layer, order, dtype) for layer in (net.head_coarse, net.head_middle)
        )
        self.fuse_fine12, self.fuse_fine23, self.fuse_middle12 = (
            FusedFusion(layer, order, dtype) for layer in (net.fuse_fine12, net.fuse_fine23, net.fuse_middle12)
        )
        self.output_fine = Convolution(net.output_fine.weight, dtype=dtype)

    def __call__(self, rainy: Tensor) -> Tensor:
        """B 3 H W in [0, 1] to the residual, float32."""
        image = rainy.permute(0, 2, 3, 1).contiguous()
        half, quarter = image[:, ::2, ::2], image[:, ::4, ::4]

        latent_coarse, skips_coarse = self.coarse.encode(self.embed_coarse(quarter.to(self.dtype)))
        image_middle = half + grow(quarter + self.head_coarse(latent_coarse))
        latent_middle1, skips_middle1 = self.middle1.encode(self.embed_middle(image_middle.to(self.dtype)))
        image_fine = image + grow(image_middle + self.head_middle(latent_middle1))

        latent_fine1, skips = self.fine1.encode(self.embed_fine(image_fine.to(self.dtype)))
        fine1 = self.fine1.decode(latent_fine1, skips)
        latent_fine2, skips = self.fine2.encode(self.context_fine1(fine1))
        fine2 = self.fine2.decode(latent_fine2, skips)
        latent_fine3, skips_fine3 = self.fine3.encode(self.context_fine2(fine2))

        fused = latent_middle1 + self.fuse_fine12(latent_fine1, latent_fine2)
        middle1 = self.middle1.decode(fused, skips_middle1)
        latent_middle2, skips_middle2 = self.middle2.encode(self.context_middle(middle1))

        latent_coarse = latent_coarse + self.fuse_middle12(latent_middle1, latent_middle2)
        latent_middle2 = latent_middle2 + self.fuse_fine23(latent_fine2, latent_fine3)
        coarse = self.coarse.decode(latent_coarse, skips_coarse)
        middle = add_grown(self.middle2.decode(latent_middle2, skips_middle2), coarse)
        fine = add_grown(self.fine3.decode(latent_fine3, skips_fine3), middle)
        return self.output_fine(fine).permute(0, 3, 1, 2).float().contiguous()


def run(blocks: list[FusedBlock | PlainBlock], x: Tensor) -> Tensor:
    """One block after the other."""
    for block in blocks:
        x = block(x)
    return x


def blocks(modules: nn.Sequential, order: Tensor, dtype: torch.dtype) -> list[FusedBlock | PlainBlock]:
    """Pack the blocks of one level."""
    kind = FusedBlock if len(order) <= WIDEST else PlainBlock
    return [kind(block, order, dtype) for block in modules if isinstance(block, Block)]


def conv_of(module: nn.Module) -> nn.Conv2d:
    """The convolution before a pixel shuffle or unshuffle."""
    assert isinstance(module, nn.Sequential)
    assert isinstance(module[0], nn.Conv2d)
    return module[0]


def unshuffled(channels: int) -> Tensor:
    """PixelUnshuffle's channel for each of (dy, dx, channel)."""
    return torch.arange(4 * channels).reshape(channels, 4).T.flatten()


def subpixels_first(weight: Tensor) -> Tensor:
    """An up-convolution's weight with output channels (dy, dx, channel) in place of (channel, dy, dx)."""
    return weight[unshuffled(weight.shape[0] // 4)]


def folded(up: Tensor, reduce: Tensor) -> Tensor:
    """Up-convolution, pixel shuffle and the first half of the 1x1 after the concatenation as one 3x3 weight."""
    channels = up.shape[0] // 4
    subpixels = up.double().unflatten(0, (channels, 4))
    weight = torch.einsum("oc,csiyx->soiyx", reduce[:, :channels, 0, 0].double(), subpixels)
    return weight.flatten(0, 1).float()


def unshuffle(x: Tensor) -> Tensor:
    """B H W C to B H/2 W/2 4C, in the order (dy, dx, channel)."""
    batch, height, width, channels = x.shape
    pairs = x.view(batch, height // 2, 2, width // 2, 2 * channels)
    return pairs.transpose(2, 3).reshape(batch, height // 2, width // 2, 4 * channels)


def shuffle(x: Tensor) -> Tensor:
    """B H W 4C, in the order (dy, dx, channel), to B 2H 2W C."""
    batch, height, width, channels = x.shape
    pairs = x.view(batch, height, width, 2, channels // 2)
    return pairs.transpose(2, 3).reshape(batch, 2 * height, 2 * width, channels // 4)


def grow(x: Tensor) -> Tensor:
    """B H W C to B 2H 2W C, by nearest neighbour."""
    batch, height, width, channels = x.shape
    return x[:, :, None, :, None].expand(-1, -1, 2, -1, 2, -1).reshape(batch, 2 * height, 2 * width, channels)


def add_grown(fine: Tensor, coarse: Tensor) -> Tensor:
    """Add the coarse picture to the four pixels of each of its own, in place and without growing it."""
    batch, height, width, channels = fine.shape
    fine.view(batch, height // 2, 2, width // 2, 2, channels).add_(coarse[:, :, None, :, None])
    return fine
