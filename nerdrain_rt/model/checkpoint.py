"""Checkpoints of the published NeRD-Rain code, to this package's names and back."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nerdrain_rt.errors import WeightsError
from nerdrain_rt.model.net import NerdRain, NetConfig

UNETS = {"small": "coarse", "mid1": "middle1", "mid2": "middle2", "max1": "fine1", "max2": "fine2", "max3": "fine3"}
BLOCK = {
    "norm1": "norm1.body",
    "norm2": "norm2.body",
    "attention.temperature": "attn.temperature",
    "attention.qkv": "attn.qkv",
    "attention.depthwise": "attn.qkv_dwconv.main.0",
    "attention.project": "attn.project_out",
    "feed_forward.expand": "ffn.project_in",
    "feed_forward.depthwise": "ffn.dwconv.main.0",
    "feed_forward.project": "ffn.project_out",
}
STAGES = {
    "encoder1": "encoder_level1",
    "encoder2": "encoder_level2",
    "latent": "latent",
    "decoder2": "decoder_level2",
    "decoder1": "decoder_level1",
}
SAMPLERS = {"down1.0": "down1_2", "down2.0": "down2_3", "up2.0": "up3_2", "up1.0": "up2_1"}
SINGLES = {
    "embed_coarse": "patch_embed_small.proj",
    "embed_middle": "patch_embed_mid.proj",
    "embed_fine": "patch_embed_max.proj",
    "context_middle": "output_mid_context",
    "context_fine1": "output_max_context1",
    "context_fine2": "output_max_context2",
    "output_coarse": "output_small",
    "output_middle": "output_mid",
    "output_fine": "output_max",
    "fuse_fine12": "BF1",
    "fuse_fine23": "BF2",
    "fuse_middle12": "BF3",
    "head_coarse.0.0": "upsmall2mid1.body.0",
    "head_coarse.1.0": "upsmall2mid2.body.0",
    "head_coarse": "INR.imnet.layers",
    "head_middle.0.0": "upmid2max1.body.0",
    "head_middle.1.0": "upmid2max2.body.0",
    "head_middle": "INR2.imnet.layers",
}
FUSION = {"query": "query_conv", "key": "key_conv", "weigh1": "gamma1", "weigh2": "gamma2"}
HEAD_LAYERS = {"2": "0", "4": "2", "6": "4", "8": "6"}
OFFSETS = 20
"""Columns of the published head's first layer that see constants: 18 relative coordinates (0) and the cell (2, 2)."""
UNUSED = "reduce_chan_level1_max3.weight"
"""Published, but never called: the last fine decoder uses `reduce_chan_level1_max2`, and the weights depend on it."""


def published_name(name: str) -> str:
    """Our parameter name to the published one."""
    unet, _, rest = name.partition(".")
    suffix = {ours: theirs for theirs, ours in UNETS.items()}.get(unet)
    if suffix is not None:
        return _published_unet_name(rest, suffix)
    if match := re.fullmatch(r"(fuse_\w+)\.(\w+)\.(weight|bias)", name):
        return f"{SINGLES[match[1]]}.{FUSION[match[2]]}.{match[3]}"
    if match := re.fullmatch(r"(head_\w+)\.([2468])\.(weight|bias)", name):
        return f"{SINGLES[match[1]]}.{HEAD_LAYERS[match[2]]}.{match[3]}"
    prefix, _, leaf = name.rpartition(".")
    return f"{SINGLES[prefix]}.{leaf}"


def _published_unet_name(rest: str, suffix: str) -> str:
    if match := re.fullmatch(r"(reduce)([12])\.weight", rest):
        used = "max2" if suffix == "max3" and match[2] == "1" else suffix
        return f"reduce_chan_level{match[2]}_{used}.weight"
    stage, _, rest = rest.partition(".")
    if stage in STAGES:
        index, _, leaf = rest.partition(".")
        for ours, theirs in BLOCK.items():
            if leaf.startswith(ours):
                return f"{STAGES[stage]}_{suffix}.{index}.{theirs}{leaf[len(ours) :]}"
    return f"{SAMPLERS[f'{stage}.0']}_{suffix.removesuffix('1')}.body.0.weight"


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published state dict to ours, its implicit heads folded to convolutions.

    Raises WeightsError where it is not a NeRD-Rain of a known shape.
    """
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    embed = state.get("patch_embed_max.proj.weight")
    if embed is None or embed.ndim != 4 or not embed.numel():
        raise WeightsError(f"not a NeRD-Rain checkpoint: {len(state)} tensors, none called patch_embed_max.proj.weight")
    with torch.device("meta"):
        ours = NerdRain(NetConfig(width=embed.shape[0])).state_dict()
    expected = {published_name(name) for name in ours}
    missing, unknown = expected - state.keys(), state.keys() - expected - {UNUSED}
    if missing or unknown:
        raise WeightsError(_name_mismatch(missing, unknown))
    result = {}
    for name, like in ours.items():
        tensor = state[published_name(name)].float()
        if re.fullmatch(r"head_\w+\.2\.weight", name):
            tensor = tensor[:, :-OFFSETS]
        elif re.fullmatch(r"head_\w+\.2\.bias", name):
            first_layer = state[published_name(name.replace("bias", "weight"))].float()
            tensor = tensor + 2 * first_layer[:, -2:].sum(dim=1)
        if tensor.numel() != like.numel():
            raise WeightsError(f"{published_name(name)}: shape {tuple(tensor.shape)}, expected {tuple(like.shape)}")
        result[name] = tensor.reshape(like.shape).clone()
    return result


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict to the published names; the heads' constant columns become zeros, which they amount to.

    Raises WeightsError where the last two fine decoders differ in `reduce1`: the published code shares it.
    """
    if not torch.equal(state["fine2.reduce1.weight"], state["fine3.reduce1.weight"]):
        raise WeightsError("fine2.reduce1 and fine3.reduce1 differ; the published network has one weight for both")
    result = {}
    for name, tensor in state.items():
        is_head = re.fullmatch(r"head_\w+\.[2468]\.weight", name)
        published = tensor.flatten(1) if is_head else tensor
        if is_head and ".2." in name:
            published = torch.cat([published, published.new_zeros(len(published), OFFSETS)], dim=1)
        result[published_name(name)] = published
    return result | {UNUSED: state["fine3.reduce1.weight"]}


def read_torch(path: Path) -> Any:
    """What a file of PyTorch holds, on the CPU and without running it; raises WeightsError where that cannot be."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path}: holds more than weights or is damaged, and was not run") from error
    except Exception as error:  # what the reader stumbles over depends on the bytes
        raise WeightsError(f"{path}: not a PyTorch checkpoint, or damaged") from error


def read_published(path: Path) -> dict[str, Tensor]:
    """Read a `.pth` file of the published code without running what is in it, and map it to our names."""
    content = read_torch(path)
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state or not all(map(_is_parameter, state.items())):
        raise WeightsError(f"{path}: not a NeRD-Rain checkpoint: it holds no dictionary of tensors")
    try:
        return from_published(state)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def _is_parameter(item: tuple[object, object]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _name_mismatch(missing: set[str], unknown: set[str]) -> str:
    parts = []
    if missing:
        parts.append(f"{len(missing)} tensors missing, first {min(missing)}")
    if unknown:
        parts.append(f"{len(unknown)} unknown, first {min(unknown)}")
    return f"not a NeRD-Rain checkpoint: {'; '.join(parts)}"
