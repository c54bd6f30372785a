"""NeRD-Rain (Chen, Pan, Dong, CVPR 2024: bidirectional multi-scale implicit neural representations).

Three scales of the rainy image pass through one U-Net, two in a row and three in a row. The paper's
implicit representation only ever queries pixel centres, so it is written as the convolutions it equals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class NetConfig:
    """What tells one NeRD-Rain from another; the defaults are NeRD-Rain-S, width 48 is NeRD-Rain."""

    width: int = 32
    depths: tuple[int, int, int] = (2, 3, 3)
    heads: tuple[int, int, int] = (1, 2, 4)
    expansion: float = 2.66
    head_width: int = 256

    @property
    def widths(self) -> tuple[int, int, int]:
        """Channels at level 1, level 2 and the latent."""
        return self.width, 2 * self.width, 4 * self.width


class Outputs(NamedTuple):
    """The images at every scale, B 3 h w each: the last three decoders' and the two heads' first estimates."""

    fine: Tensor
    middle: Tensor
    coarse: Tensor
    middle_first: Tensor
    coarse_first: Tensor


class Norm(nn.LayerNorm):
    """LayerNorm over the channels of B C H W."""

    def forward(self, x: Tensor) -> Tensor:
        """B C H W to the same."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ChannelAttention(nn.Module):
    """Attention between channels: its cost is linear in pixels."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = conv1(width, 3 * width)
        self.depthwise = nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width, bias=False)
        self.project = conv1(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """B C H W to the same."""
        batch, _, height, columns = x.shape
        width = self.project.out_channels  # Known where the exported shape of x is an expression.
        mixed = self.depthwise(self.qkv(x)).reshape(batch, 3, self.heads, width // self.heads, height * columns)
        query, key, value = mixed.unbind(1)
        weights = self.channel_weights(query, key)
        return self.project((weights.to(value.dtype) @ value).reshape(batch, width, height, columns))

    def channel_weights(self, query: Tensor, key: Tensor) -> Tensor:
        """B heads C pixels, twice, to float32 B heads C C.

        The Gram matrix of the raw query and key, divided by their norms, equals the product of the normalised
        ones; it needs float32 sums, and never writes entries near half precision's smallest numbers.
        """
        query, key = query.float(), key.float()
        norms = query.norm(dim=-1, keepdim=True) * key.norm(dim=-1, keepdim=True).mT
        return (query @ key.mT / norms.clamp_min(1e-12) * self.temperature.float()).softmax(dim=-1)


class FeedForward(nn.Module):
    """Two gated branches: gelu(first) * second."""

    def __init__(self, width: int, expansion: float) -> None:
        super().__init__()
        hidden = int(width * expansion)
        self.expand = conv1(width, 2 * hidden)
        self.depthwise = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.project = conv1(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """B C H W to the same."""
        first, second = self.depthwise(self.expand(x)).chunk(2, dim=1)
        return self.project(F.gelu(first) * second)


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, width: int, heads: int, expansion: float) -> None:
        super().__init__()
        self.norm1 = Norm(width)
        self.attention = ChannelAttention(width, heads)
        self.norm2 = Norm(width)
        self.feed_forward = FeedForward(width, expansion)

    def forward(self, x: Tensor) -> Tensor:
        """B C H W to the same."""
        x = x + self.attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))


class UNet(nn.Module):
    """One encoder and decoder of three levels; its two halves are called apart, for what happens between them."""

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        narrow, middle, wide = config.widths

        def blocks(level: int) -> nn.Sequential:
            width, heads = config.widths[level], config.heads[level]
            return nn.Sequential(*(Block(width, heads, config.expansion) for _ in range(config.depths[level])))

        self.encoder1, self.down1 = blocks(0), down(narrow)
        self.encoder2, self.down2 = blocks(1), down(middle)
        self.latent = blocks(2)
        self.up2, self.reduce2, self.decoder2 = up(wide), conv1(2 * middle, middle), blocks(1)
        self.up1, self.reduce1, self.decoder1 = up(middle), conv1(2 * narrow, narrow), blocks(0)

    def encode(self, features: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """B c H W to the latent B 4c H/4 W/4 and the two skips."""
        skip1 = self.encoder1(features)
        skip2 = self.encoder2(self.down1(skip1))
        return self.latent(self.down2(skip2)), (skip1, skip2)

    def decode(self, latent: Tensor, skips: tuple[Tensor, Tensor]) -> Tensor:
        """The latent and the skips to features B c H W."""
        skip1, skip2 = skips
        x = self.decoder2(self.reduce2(torch.cat([self.up2(latent), skip2], dim=1)))
        return self.decoder1(self.reduce1(torch.cat([self.up1(x), skip1], dim=1)))


class Head(nn.Sequential):
    """A latent B 4c H/4 W/4 to a first residual B 3 H W: the paper's implicit representation, folded."""

    def __init__(self, config: NetConfig) -> None:
        narrow, middle, wide = config.widths
        hidden = config.head_width
        super().__init__(
            up(wide),
            up(middle),
            nn.Conv2d(narrow, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, 3, 1),
        )


class Fusion(nn.Module):
    """The paper's BFPU: two latents weighed by their agreement, kept at every second row and column."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(width, width, 3, padding=1)
        self.key = nn.Conv2d(width, width, 3, padding=1)
        self.weigh1 = nn.Conv2d(2 * width, 2, 3, stride=2, padding=1)
        self.weigh2 = nn.Conv2d(2 * width, 2, 3, stride=2, padding=1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """B C H W, twice, to B C H/2 W/2."""
        agreement = torch.sigmoid(self.query(first) * self.key(second))
        return self.weighed(first, agreement, self.weigh1) + self.weighed(second, agreement, self.weigh2)

    @staticmethod
    def weighed(latent: Tensor, agreement: Tensor, weigh: nn.Conv2d) -> Tensor:
        """One latent's share of the sum; the stride skips what the halving would drop."""
        agreed = latent * agreement
        weights = weigh(torch.cat([latent, agreed], dim=1))
        return shrink(latent) * weights[:, :1] + shrink(agreed) * weights[:, 1:]


class NerdRain(nn.Module):
    """Rainy images B 3 H W in [0, 1] to the residual that makes them clean, of the same shape.

    H and W must be multiples of 16. In half precision the image may stay float32: it is converted where it enters.
    """

    multiple_of = 16

    def __init__(self, config: NetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetConfig()
        width, latent_width = config.widths[0], config.widths[2]
        self.embed_coarse, self.embed_middle, self.embed_fine = (conv3(3, width) for _ in range(3))
        self.coarse = UNet(config)
        self.middle1, self.middle2 = UNet(config), UNet(config)
        self.fine1, self.fine2, self.fine3 = UNet(config), UNet(config), UNet(config)
        self.context_middle, self.context_fine1, self.context_fine2 = (conv3(width, width) for _ in range(3))
        self.head_coarse, self.head_middle = Head(config), Head(config)
        self.fuse_fine12, self.fuse_fine23, self.fuse_middle12 = (Fusion(latent_width) for _ in range(3))
        self.output_coarse, self.output_middle, self.output_fine = (conv3(width, 3) for _ in range(3))

    def forward(self, rainy: Tensor) -> Tensor:
        """The residual at full size: clean = rainy + residual."""
        fine, *_ = self._features(rainy.to(self.output_fine.weight.dtype))
        return self.output_fine(fine)

    def scales(self, rainy: Tensor) -> Outputs:
        """The images of every scale, for training."""
        fine, middle, coarse, middle_first, coarse_first = self._features(rainy)
        half, quarter = shrink(rainy), shrink(rainy, 4)
        return Outputs(
            rainy + self.output_fine(fine),
            half + self.output_middle(middle),
            quarter + self.output_coarse(coarse),
            middle_first,
            coarse_first,
        )

    def _features(self, rainy: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The decoders' last features from fine to coarse, and the heads' first images."""
        half, quarter = shrink(rainy), shrink(rainy, 4)

        latent_coarse, skips_coarse = self.coarse.encode(self.embed_coarse(quarter))
        coarse_first = quarter + self.head_coarse(latent_coarse)

        image_middle = half + grow(coarse_first)
        latent_middle1, skips_middle1 = self.middle1.encode(self.embed_middle(image_middle))
        middle_first = image_middle + self.head_middle(latent_middle1)

        image_fine = rainy + grow(middle_first)
        latent_fine1, skips = self.fine1.encode(self.embed_fine(image_fine))
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
        middle = self.middle2.decode(latent_middle2, skips_middle2) + grow(coarse)
        fine = self.fine3.decode(latent_fine3, skips_fine3) + grow(middle)
        return fine, middle, coarse, middle_first, coarse_first


def conv1(channels_in: int, channels_out: int) -> nn.Conv2d:
    """A 1x1 convolution without bias."""
    return nn.Conv2d(channels_in, channels_out, 1, bias=False)


def conv3(channels_in: int, channels_out: int) -> nn.Conv2d:
    """A 3x3 convolution without bias."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)


def down(width: int) -> nn.Sequential:
    """B C H W to B 2C H/2 W/2."""
    return nn.Sequential(conv3(width, width // 2), nn.PixelUnshuffle(2))


def up(width: int) -> nn.Sequential:
    """B C H W to B C/2 2H 2W."""
    return nn.Sequential(conv3(width, 2 * width), nn.PixelShuffle(2))


def shrink(x: Tensor, step: int = 2) -> Tensor:
    """Every `step`-th row and column."""
    return x[..., ::step, ::step]


def grow(x: Tensor) -> Tensor:
    """Twice the rows and columns, by nearest neighbour."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
