"""What the tests of live runs share."""

import torch

from nerdrain_rt.live import LiveSettings
from nerdrain_rt.pipeline import derain_live
from tests.fakes import FakeBackend
from tests.live_parts import Gate, make_derainer


def run(source, derainer=None, sinks=(), **settings):
    """All steps of a source that is entered here."""
    with source:
        return list(derain_live(source, derainer or make_derainer(), sinks, settings=LiveSettings(**settings)))


def gated(gate: Gate) -> FakeBackend:
    def residual(rainy):
        gate()
        return torch.zeros_like(rainy)

    return FakeBackend(residual)
