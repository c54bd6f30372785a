# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads the network for the workers; the library comes in here, so that the window is there before PyTorch is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nerdrain_rt.derainer import Derainer

LoadDerainer = Callable[["Network"], "Derainer"]


@dataclass(frozen=True, slots=True)
class Network:
    """What has to be loaded anew when it changes, as `DerainSettings` names it."""

    backend: str = "auto"
    device: str = "auto"


def load_derainer(network: Network) -> Derainer:
    """The network, ready to run; raises DerainError."""
    from nerdrain_rt.derainer import Derainer, DerainSettings

    return Derainer(DerainSettings(backend=network.backend, device=network.device))


def remembering(load: LoadDerainer) -> LoadDerainer:
    """Loads only where the network is another one than the last time."""
    last: tuple[Network, Derainer] | None = None

    def load_or_reuse(network: Network) -> Derainer:
        nonlocal last
        if last is None or last[0] != network:
            last = network, load(network)
        return last[1]

    return load_or_reuse


def in_words(error: Exception) -> str:
    """One line for the window; what is not ours is named as what it is."""
    from nerdrain_rt.errors import DerainError

    if isinstance(error, DerainError):
        return str(error)
    return f"unexpected {type(error).__name__}: {error}"
