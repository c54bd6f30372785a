"""Named weights: those in the package, those a user imported, and any file by its path."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import platformdirs
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nerdrain_rt.errors import UsageError, WeightsError
from nerdrain_rt.folders import write_whole
from nerdrain_rt.model.checkpoint import read_published
from nerdrain_rt.model.net import NerdRain, NetConfig
from nerdrain_rt.model.update import differences, updated

BASE = "nerdrain-s"
"""The bundled weights that others are kept as updates of."""
DEFAULT = "nerdrain-s-4"
BUNDLED_FOLDER = Path(__file__).parent.parent / "weights"
BUNDLED = {
    DEFAULT: "37a136f118c655f60e786871320ffedd051585de835443fabbc61497dbd7d93c",
    BASE: "aace56acdbd0db4be09d494250cd1d4fff4417106bd831610aec0452862a26c7",
}
"""The weights in the package, by name, with the SHA-256 of their file."""
UPDATE_OF, UPDATE_OF_SHA256 = "update_of", "update_of_sha256"
"""In the metadata of a file that holds differences alone: the name and the SHA-256 of the weights they are from."""
CHECKPOINT_STARTS = (b"PK", b"\x80")
"""First bytes of what torch.save writes: a zip archive, or in old files a pickle."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A network's parameters by our names, and where they came from."""

    name: str
    path: Path
    sha256: str
    config: NetConfig
    state: Mapping[str, Tensor] = field(repr=False)
    metadata: Mapping[str, str]

    def build(self) -> NerdRain:
        """The network with these parameters, float32, on the CPU, for inference."""
        with torch.device("meta"):
            net = NerdRain(self.config)
        net.load_state_dict({name: tensor.float() for name, tensor in self.state.items()}, assign=True)
        return net.eval().requires_grad_(False)


def user_folder() -> Path:
    """Where imported weights are kept; NERDRAIN_WEIGHTS says otherwise."""
    return Path(os.environ.get("NERDRAIN_WEIGHTS") or platformdirs.user_data_path("nerdrain-rt") / "weights")


def list_weights() -> dict[str, Path]:
    """Every name that `load_weights` knows, with its file."""
    bundled = {name: BUNDLED_FOLDER / f"{name}.safetensors" for name in BUNDLED}
    imported = {path.stem: path for path in sorted(user_folder().glob("*.safetensors"))}
    return imported | bundled


def load_weights(name: str | Path = DEFAULT) -> Weights:
    """Load weights by name, or by the path of a `.safetensors` file or a published `.pth` checkpoint.

    Raises WeightsError where there are none of that name, or the file is damaged or of another network.
    """
    file = _read(name)
    state = file.state
    try:
        if UPDATE_OF in file.metadata:
            state = updated(_base_of(file.metadata), state)
        config = _find_config(state)
    except WeightsError as error:
        raise WeightsError(f"{file.path}: {error}") from None
    return Weights(file.path.stem, file.path, file.sha256, config, state, file.metadata)


def import_weights(source: Path, *, name: str | None = None, overwrite: bool = False) -> Path:
    """Convert a published `.pth` checkpoint (or copy a `.safetensors`) to the user's folder under `name`.

    An update is imported with what it is an update of, and needs that no longer.

    Raises UsageError where the name is taken or no name, WeightsError where the file is not a NeRD-Rain.
    """
    name = name or source.stem
    if not _is_name(name):
        raise UsageError(f"{name!r} cannot be a name of weights; use letters, digits, '-', '_' and '.'")
    target = user_folder() / f"{name}.safetensors"
    if name in BUNDLED:
        raise UsageError(f"{name}: is the name of bundled weights; choose another with --name")
    if target.exists() and not overwrite:
        raise UsageError(f"{name}: there are weights of this name; allow overwriting with -y or choose another")
    weights = load_weights(source)
    metadata = dict(weights.metadata) | {"source": source.name, "source_sha256": weights.sha256}
    for key in (UPDATE_OF, UPDATE_OF_SHA256):
        metadata.pop(key, None)
    save_weights(weights.state, target, metadata=metadata)
    return target


def save_update(new: str | Path, path: Path, *, base: str = BASE) -> None:
    """Write weights, given by a name or a file, as what differs from named ones.

    Raises WeightsError where either are no weights or the two are of different networks, UsageError where the base
    has no name, is an update itself or would be written over.
    """
    weights, of = load_weights(new), load_weights(base)
    if base not in list_weights() or UPDATE_OF in of.metadata:
        raise UsageError(f"{base}: an update needs a base that has a name and is no update itself")
    if path.resolve() == of.path.resolve():
        raise UsageError(f"{path}: is the base itself; choose another file")
    metadata = dict(weights.metadata) | {UPDATE_OF: base, UPDATE_OF_SHA256: of.sha256}
    save_weights(differences(of.state, weights.state), path, metadata=metadata)


def save_mean(names: Sequence[str | Path], path: Path) -> None:
    """Write the mean of several weights, parameter by parameter; raises WeightsError where they are not of one network.

    Weights of one training that went on in two ways are often better than either (Wortsman et al., 2022).
    """
    all_weights = [load_weights(name) for name in names]
    if len({weights.config for weights in all_weights}) > 1:
        raise WeightsError(f"{', '.join(map(str, names))}: not of one network, and so without a mean")
    states = [weights.state for weights in all_weights]
    mean = {name: torch.stack([state[name].float() for state in states]).mean(0) for name in states[0]}
    save_weights(mean, path, metadata={"mean_of": ", ".join(weights.sha256 for weights in all_weights)})


def save_weights(state: Mapping[str, Tensor], path: Path, *, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whole and to the disk, or not at all."""
    if not path.name or (path.exists() and not path.is_file()):
        raise WeightsError(f"{path}: cannot be written: not a file that can be replaced")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, save({name: tensor.contiguous() for name, tensor in state.items()}, dict(metadata)))
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be written: {error}") from error


class _File(NamedTuple):
    """What is in a file of weights, or of an update of some."""

    path: Path
    sha256: str
    state: Mapping[str, Tensor]
    metadata: Mapping[str, str]


def _read(name: str | Path) -> _File:
    path = list_weights().get(str(name), Path(name))
    if str(name) in BUNDLED and not path.is_file():
        raise WeightsError(f"{path}: the bundled weights are missing; install the package again")
    if not path.is_file():
        known = ", ".join(list_weights())
        raise WeightsError(f"{name}: no weights of this name and no such file; there are {known}")
    expected = BUNDLED.get(str(name))
    try:
        sha256, is_checkpoint = _sha256(path), _is_checkpoint(path)
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}") from error
    if expected is not None and sha256 != expected:
        raise WeightsError(f"{path}: damaged, its SHA-256 is {sha256[:12]}..., expected {expected[:12]}...; reinstall")
    if is_checkpoint:
        return _File(path, sha256, read_published(path), {})
    return _File(path, sha256, *_read_safetensors(path))


def _base_of(metadata: Mapping[str, str]) -> Mapping[str, Tensor]:
    """The parameters that an update is one of."""
    name, wanted = metadata[UPDATE_OF], metadata.get(UPDATE_OF_SHA256, "")
    if not _is_name(name) or not re.fullmatch("[0-9a-f]{64}", wanted):
        raise WeightsError("an update that does not say of which weights")
    if name not in list_weights():
        raise WeightsError(f"an update of {name}, which is not here; import that first")
    base = _read(name)
    if base.sha256 != wanted:
        raise WeightsError(
            f"an update of the {name} with SHA-256 {wanted[:12]}..., but the one here has {base.sha256[:12]}...;"
            " `nerdrain weights import` where that one is makes it whole"
        )
    if UPDATE_OF in base.metadata:
        raise WeightsError(f"an update of {name}, which is an update itself")
    _find_config(base.state)
    return base.state


def _is_name(name: str) -> bool:
    return bool(re.fullmatch(r"[\w.-]{1,100}", name)) and not name.startswith(".")


def _is_checkpoint(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(9)
    is_safetensors = start[8:] == b"{"  # a length of any bytes, then JSON
    return start.startswith(CHECKPOINT_STARTS) and not is_safetensors


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise WeightsError(f"{path}: neither safetensors nor a PyTorch checkpoint, or damaged ({error})") from error


def _find_config(state: Mapping[str, Tensor]) -> NetConfig:
    """The configuration whose network has exactly these tensors."""
    embed, hidden = (state.get(name, torch.empty(0)) for name in ("embed_fine.weight", "head_coarse.4.weight"))
    if not all(kernel.ndim == 4 and kernel.numel() for kernel in (embed, hidden)):
        raise WeightsError("not the weights of a NeRD-Rain")
    config = NetConfig(width=embed.shape[0], head_width=hidden.shape[0])
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in NerdRain(config).state_dict().items()}
    if shapes.keys() != state.keys():
        raise WeightsError(f"not the weights of a NeRD-Rain: {len(shapes.keys() ^ state.keys())} names differ")
    for name, tensor in state.items():
        if tensor.shape != shapes[name]:
            raise WeightsError(f"{name}: shape {tuple(tensor.shape)}, expected {tuple(shapes[name])}")
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{name}: holds values that are not finite")
    return config


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
