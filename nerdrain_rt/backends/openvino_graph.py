"""The network as an OpenVINO graph for one shape, written out directly: a fraction of a second; tracing takes ten.

It computes what the modules compute, by algebra that suits OpenVINO's kernels. Channels stay last in memory, so query,
key, value and the gate's two halves are convolutions of their own (a split would copy them), and all heads share one
product of matrices with what lies between heads masked; the attention's projection is multiplied into its weights.
On one core in bfloat16 it takes 1.0 s for 256x256 where the traced graph takes 1.6 s.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from openvino import Node
from openvino import opset13 as ops
from torch import Tensor, nn

from nerdrain_rt.model.net import Block, ChannelAttention, FeedForward, Fusion, NerdRain, Norm, UNet

VERSION = 1
"""To be raised with every change of the graph, so that nothing kept from before is used."""
MASKED = -1e4
"""Added before a softmax, it leaves nothing, and half precision can hold it."""

Array = NDArray[np.float32]


def build_graph(net: NerdRain, shape: tuple[int, int, int, int]) -> openvino.Model:
    """The graph from rainy images of `shape`, B 3 H W in [0, 1], to their residual; H and W multiples of 16."""
    rainy = ops.parameter(list(shape), np.float32, "rainy")
    return openvino.Model([_residual(net, rainy)], [rainy], "nerdrain")


def _residual(net: NerdRain, rainy: Node) -> Node:
    """As `NerdRain.forward`."""
    half, quarter = _shrink(rainy), _shrink(rainy, 4)

    latent_coarse, skips_coarse = _encode(net.coarse, _convolve(net.embed_coarse, quarter))
    coarse_first = ops.add(quarter, _apply(net.head_coarse, latent_coarse))

    image_middle = ops.add(half, _grow(coarse_first))
    latent_middle1, skips_middle1 = _encode(net.middle1, _convolve(net.embed_middle, image_middle))
    middle_first = ops.add(image_middle, _apply(net.head_middle, latent_middle1))

    image_fine = ops.add(rainy, _grow(middle_first))
    latent_fine1, skips = _encode(net.fine1, _convolve(net.embed_fine, image_fine))
    fine1 = _decode(net.fine1, latent_fine1, skips)
    latent_fine2, skips = _encode(net.fine2, _convolve(net.context_fine1, fine1))
    fine2 = _decode(net.fine2, latent_fine2, skips)
    latent_fine3, skips_fine3 = _encode(net.fine3, _convolve(net.context_fine2, fine2))

    fused = ops.add(latent_middle1, _fuse(net.fuse_fine12, latent_fine1, latent_fine2))
    middle1 = _decode(net.middle1, fused, skips_middle1)
    latent_middle2, skips_middle2 = _encode(net.middle2, _convolve(net.context_middle, middle1))

    latent_coarse = ops.add(latent_coarse, _fuse(net.fuse_middle12, latent_middle1, latent_middle2))
    latent_middle2 = ops.add(latent_middle2, _fuse(net.fuse_fine23, latent_fine2, latent_fine3))
    coarse = _decode(net.coarse, latent_coarse, skips_coarse)
    middle = ops.add(_decode(net.middle2, latent_middle2, skips_middle2), _grow(coarse))
    fine = ops.add(_decode(net.fine3, latent_fine3, skips_fine3), _grow(middle))
    return _convolve(net.output_fine, fine)


def _encode(unet: UNet, features: Node) -> tuple[Node, tuple[Node, Node]]:
    skip1 = _apply(unet.encoder1, features)
    skip2 = _apply(unet.encoder2, _apply(unet.down1, skip1))
    return _apply(unet.latent, _apply(unet.down2, skip2)), (skip1, skip2)


def _decode(unet: UNet, latent: Node, skips: tuple[Node, Node]) -> Node:
    skip1, skip2 = skips
    x = _apply(unet.decoder2, _convolve(unet.reduce2, ops.concat([_apply(unet.up2, latent), skip2], 1)))
    return _apply(unet.decoder1, _convolve(unet.reduce1, ops.concat([_apply(unet.up1, x), skip1], 1)))


def _apply(module: nn.Module, x: Node) -> Node:
    """A module of one input: a layer, a block, or a sequence of them."""
    match module:
        case nn.Conv2d():
            return _convolve(module, x)
        case nn.ReLU():
            return ops.relu(x)
        case nn.PixelShuffle():
            return ops.depth_to_space(x, "depth_first", module.upscale_factor)
        case nn.PixelUnshuffle():
            return ops.space_to_depth(x, "depth_first", module.downscale_factor)
        case Block():
            x = ops.add(x, _attend(module.attention, _normalise(module.norm1, x)))
            return ops.add(x, _feed_forward(module.feed_forward, _normalise(module.norm2, x)))
        case nn.Sequential():
            for layer in module:
                x = _apply(layer, x)
            return x
    raise AssertionError(f"{type(module).__name__} is no part of the network")


def _normalise(norm: Norm, x: Node) -> Node:
    centred = ops.mvn(x, [1], True, norm.eps, "inside_sqrt")
    return ops.add(ops.multiply(centred, _per_channel(norm.weight)), _per_channel(norm.bias))


def _attend(attention: ChannelAttention, x: Node) -> Node:
    """B C H W to the same; the matrices are B pixels C and B C C.

    The Gram matrix is divided by the norms, which cancels any factor of query and key: a power of two makes
    it a mean over the pixels instead of a sum, which is exact, and no picture is too large for half precision.
    """
    batch, width, height, columns = x.shape
    factor = 2.0 ** -round(math.log2(height * columns) / 2)
    qkv = _branches(attention.qkv, attention.depthwise, x, factors=(factor, factor, 1.0))
    query, key, value = (ops.reshape(_channels_last(branch), [batch, -1, width], False) for branch in qkv)
    norms = ops.matmul(ops.reduce_l2(query, [1], True), ops.reduce_l2(key, [1], True), True, False)
    gram = ops.divide(ops.matmul(query, key, True, False), ops.maximum(norms, np.float32(1e-12)))
    temperature, mask = _temperature_and_mask(attention, width)
    weights = ops.softmax(ops.add(ops.multiply(gram, temperature), mask), -1)
    weights = ops.matmul(_array(attention.project.weight).reshape(width, width), weights, False, False)
    attended = ops.reshape(ops.matmul(value, weights, False, True), [batch, height, columns, width], False)
    return ops.transpose(attended, [0, 3, 1, 2])


def _temperature_and_mask(attention: ChannelAttention, width: int) -> tuple[Array, Array]:
    """Each channel's temperature, C 1, and what keeps the heads apart, C C."""
    per_head = width // attention.heads
    temperature = np.repeat(_array(attention.temperature).reshape(-1, 1), per_head, axis=0)
    head = np.arange(width) // per_head
    return temperature, np.where(head[:, None] == head, 0, MASKED).astype(np.float32)


def _feed_forward(feed_forward: FeedForward, x: Node) -> Node:
    first, second = _branches(feed_forward.expand, feed_forward.depthwise, x, factors=(1.0, 1.0))
    return _convolve(feed_forward.project, ops.multiply(ops.gelu(first, "erf"), second))


def _branches(expand: nn.Conv2d, depthwise: nn.Conv2d, x: Node, *, factors: tuple[float, ...]) -> Iterator[Node]:
    """What splitting `depthwise(expand(x))` by channels into equal parts gives, each times its factor."""
    parts = (np.split(_array(convolution.weight), len(factors)) for convolution in (expand, depthwise))
    for mix, spread, factor in zip(*parts, factors, strict=True):
        mixed = ops.convolution(x, mix, [1, 1], [0, 0], [0, 0], [1, 1])
        filters = (spread * np.float32(factor))[:, None]
        yield ops.group_convolution(mixed, filters, [1, 1], [1, 1], [1, 1], [1, 1])


def _fuse(fusion: Fusion, first: Node, second: Node) -> Node:
    agreement = ops.sigmoid(ops.multiply(_convolve(fusion.query, first), _convolve(fusion.key, second)))
    return ops.add(_weigh(first, agreement, fusion.weigh1), _weigh(second, agreement, fusion.weigh2))


def _weigh(latent: Node, agreement: Node, weigh: nn.Conv2d) -> Node:
    agreed = ops.multiply(latent, agreement)
    weights = _convolve(weigh, ops.concat([latent, agreed], 1))
    shares = (
        ops.multiply(_shrink(part), ops.slice(weights, [index], [index + 1], [1], [1]))
        for index, part in enumerate((latent, agreed))
    )
    return ops.add(*shares)


def _convolve(convolution: nn.Conv2d, x: Node) -> Node:
    """A convolution without groups."""
    assert convolution.groups == 1
    stride, padding = list(convolution.stride), [int(side) for side in convolution.padding]
    y = ops.convolution(x, _array(convolution.weight), stride, padding, padding, [1, 1])
    return y if convolution.bias is None else ops.add(y, _per_channel(convolution.bias))


def _shrink(x: Node, step: int = 2) -> Node:
    """Every `step`-th row and column."""
    return ops.slice(x, [0, 0], list(x.shape[2:]), [step, step], [2, 3])


def _grow(x: Node) -> Node:
    """Twice the rows and columns, by nearest neighbour."""
    scales = np.array([2, 2], np.float32)
    return ops.interpolate(
        x,
        scales,
        "nearest",
        "scales",
        axes=[2, 3],
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _channels_last(x: Node) -> Node:
    return ops.transpose(x, [0, 2, 3, 1])


def _per_channel(parameter: Tensor) -> Array:
    """C to 1 C 1 1."""
    return _array(parameter).reshape(1, -1, 1, 1)


def _array(parameter: Tensor) -> Array:
    array: Array = parameter.detach().to(torch.float32).numpy()
    return array
