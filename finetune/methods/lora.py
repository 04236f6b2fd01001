"""LoRA (Hu et al. 2021, arXiv 2106.09685): a low-rank term beside a frozen linear layer.

    y = W x + scale_k B_k A_k drop(x)      A (K, r, in)   B (K, out, r)   scale (K,)

B starts at zero, A as peft starts it (uniform in +-1/sqrt(in)). The scale is alpha / r, or alpha / sqrt(r)
with `rslora` (Kalajdzievski 2023, arXiv 2312.03732). Agents may have unlike ranks: the tensors have the
largest r, and beyond its own rank an agent's rows of A **and** columns of B are zero. Then the gradient
of either is zero there too, and they stay zero under every optimiser with weight decay or momentum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as USUAL
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from ...protocols import MootError, did_you_mean
from ..keyed import number
from .targets import layers, sizes, usual

if TYPE_CHECKING:
    from ..bank import AdapterBank

Rank = Annotated[int, Field(ge=1)]


class LoRA(BaseModel):
    """Options of LoRA. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    method: Literal["lora"] = "lora"
    rank: Rank | dict[str, Rank] = 8
    """r; or agent -> r, for every agent."""
    alpha: Annotated[float, Field(gt=0)] = 16.0
    """Numerator of the scale."""
    rslora: bool = False
    """Scale by alpha / sqrt(r) instead of alpha / r."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability of dropping an input of A, in training."""
    targets: tuple[str, ...] | str | None = None
    """Last parts of layer names; a string is a regular expression for the whole name, or
    "all-linear". None: what peft uses for the architecture."""

    def scale(self, rank: int) -> float:
        """What the product is multiplied by."""
        return self.alpha / (math.sqrt(rank) if self.rslora else rank)

    def attach(self, bank: AdapterBank) -> LoraLayers:
        """Called by the bank."""
        return LoraLayers(self, bank)


def per_agent(what: str, value: int | Mapping[str, int], agents: tuple[str, ...]) -> list[int]:
    """One number per agent. Raises `MootError` unless a mapping names each agent and no other."""
    if isinstance(value, int):
        return [value] * len(agents)
    for name in value:
        if name not in agents:
            raise MootError(f"{what}: no agent {name!r} in the bank; {did_you_mean(name, agents)}")
    for name in agents:
        if name not in value:
            raise MootError(f"{what}: nothing for agent {name!r}; give every agent one")
    return [value[name] for name in agents]


class LoraLayers:
    """LoRA as it sits in a bank."""

    def __init__(self, spec: LoRA, bank: AdapterBank) -> None:
        self.ranks = per_agent("rank", spec.rank, bank.agents)
        """Each agent's own rank."""
        self.targets = usual(bank.model, USUAL, "targets") if spec.targets is None else spec.targets
        self.layers = layers(bank.model, self.targets)
        most = max(self.ranks)
        self.scales = torch.tensor([spec.scale(r) for r in self.ranks], dtype=torch.float64)
        """(K,)"""
        self._there: dict[torch.device, Tensor] = {}
        for name, layer in self.layers.items():
            width, out = sizes(layer)
            device = layer.weight.device
            a = bank.add(
                f"{name}.lora_A", (most, width), device,
                partial(nn.init.uniform_, a=-(width**-0.5), b=width**-0.5),
            )  # fmt: skip
            b = bank.add(f"{name}.lora_B", (out, most), device, None)
            with torch.no_grad():
                for k, rank in enumerate(self.ranks):
                    a[k, rank:] = 0
            bank.hook(layer.register_forward_hook(self._hook(bank, spec.dropout, name, a, b)))

    def set_agent(self, k: int, rank: int, scale: float) -> None:
        """Another rank and scale for agent k, whose tensors the caller has replaced."""
        self.ranks[k], self.scales[k] = rank, scale
        self._there.clear()

    def _hook(self, bank: AdapterBank, p: float, name: str, a: Tensor, b: Tensor) -> Any:
        site = number("lora", name)

        def hook(layer: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            route = bank.active
            if route is None:
                return None
            x = route.check(args[0])
            if not torch.is_autocast_enabled(x.device.type):  # which would cast it back
                x = x.to(a.dtype)
            x = route.dropped(x, site, p)
            low_GNr = route.split(x) @ route.pick(a).mT
            scaled_GNr = low_GNr * route.pick(self._scales(a))[:, None, None]
            low_GNr = scaled_GNr.to(low_GNr.dtype)  # the scale itself is not rounded to bfloat16
            b_GOr = route.pick(b)
            if low_GNr.dtype == output.dtype and route.none is None:
                # One pass over the output instead of two.
                wide_GNO = output.reshape(*low_GNr.shape[:2], -1)
                return torch.baddbmm(wide_GNO, low_GNr, b_GOr.mT).reshape(output.shape)
            return output + route.join(low_GNr @ b_GOr.mT, x).to(output.dtype)

        return hook

    def _scales(self, like: Tensor) -> Tensor:
        if like.device not in self._there:
            with torch.inference_mode(False):  # what a decoder makes first, training uses later
                self._there[like.device] = self.scales.to(like)
        return self._there[like.device]
