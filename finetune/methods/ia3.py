"""IA3 (Liu et al. 2022, arXiv 2205.05638): one learned factor per activation.

    y = (W x + c) * l_k         keys and values,        l (K, out)
    y = W (x * l_k) + c         feed-forward layers,    l (K, in)

All factors start at one. With grouped-query attention keys and values have fewer features than queries,
and so have their factors. GPT-2 computes queries, keys and values in one layer; as in peft all three
are scaled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from peft.utils.constants import (
    TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as USUAL_FEEDFORWARD,
)
from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING as USUAL
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from ...protocols import MootError
from ..route import Route
from .targets import layers, matches, sizes, usual

if TYPE_CHECKING:
    from ..bank import AdapterBank


class IA3(BaseModel):
    """Options of IA3. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    method: Literal["ia3"] = "ia3"
    targets: tuple[str, ...] | None = None
    """Last parts of layer names. None: what peft uses for the architecture."""
    feedforward: tuple[str, ...] | None = None
    """Those targets whose input is scaled, not their output. None: what peft uses."""

    def attach(self, bank: AdapterBank) -> Ia3Layers:
        """Called by the bank."""
        return Ia3Layers(self, bank)


class Ia3Layers:
    """IA3 as it sits in a bank."""

    def __init__(self, spec: IA3, bank: AdapterBank) -> None:
        self.targets = spec.targets or usual(bank.model, USUAL, "IA3 targets")
        self.feedforward = spec.feedforward
        if self.feedforward is None:
            known = usual(bank.model, USUAL_FEEDFORWARD, "IA3 feed-forward targets")
            self.feedforward = tuple(t for t in known if t in self.targets)
        for target in self.feedforward:
            if target not in self.targets:
                raise MootError(f"feedforward {target!r} is none of the targets {self.targets}")
        self.layers = layers(bank.model, self.targets)
        for name, layer in self.layers.items():
            width, out = sizes(layer)
            inner = self.scales_input(name)
            factor = bank.add(
                f"{name}.ia3_l", (width if inner else out,), layer.weight.device, _ones
            )
            if inner:
                bank.hook(layer.register_forward_pre_hook(_input(bank, factor)))
            else:
                bank.hook(layer.register_forward_hook(_output(bank, factor)))

    def scales_input(self, name: str) -> bool:
        """Whether this layer's input is scaled."""
        return any(matches(name, t) for t in self.feedforward or ())


def _ones(tensor: Tensor, generator: torch.Generator) -> None:
    tensor.fill_(1.0)


def _scaled(route: Route, x: Tensor, factor: Tensor) -> Tensor:
    factor_BW = route.spread(factor)
    without = route.without(x.device)
    if without is not None:
        factor_BW = factor_BW.masked_fill(without[:, None], 1.0)
    return (route.check(x) * factor_BW[:, None]).to(x.dtype)


def _input(bank: AdapterBank, factor: Tensor) -> Any:
    def hook(layer: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        return None if bank.active is None else (_scaled(bank.active, args[0], factor), *args[1:])

    return hook


def _output(bank: AdapterBank, factor: Tensor) -> Any:
    def hook(layer: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        return None if bank.active is None else _scaled(bank.active, output, factor)

    return hook
