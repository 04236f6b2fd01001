"""Bottleneck adapters (Houlsby et al. 2019, arXiv 1902.00751): a small network after a sublayer.

    h + U_k s(D_k h + c_k) + e_k        D (K, m, d)   c (K, m)   U (K, d, m)   e (K, d)

h is the output of a sublayer before it is added to the residual stream. Houlsby puts one after attention
and one after the feed-forward layer of every block; Pfeiffer et al. 2021 (arXiv 2005.00247) only the second.
U and e start at zero, so that training starts from the base model exactly. Agents may have unlike widths m,
padded with zeros as in `lora.py`; s must map 0 to 0 for that. Left out: training the layer norms.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from ..keyed import number
from .lora import per_agent
from .targets import blocks

if TYPE_CHECKING:
    from ..bank import AdapterBank

ACTIVATIONS = {"relu": nn.functional.relu, "gelu": nn.functional.gelu, "silu": nn.functional.silu}
Size = Annotated[int, Field(ge=1)]


class Bottleneck(BaseModel):
    """Options of bottleneck adapters. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    method: Literal["bottleneck"] = "bottleneck"
    size: Size | dict[str, Size] = 16
    """m, the width between; or agent -> m, for every agent."""
    variant: Literal["houlsby", "pfeiffer"] = "houlsby"
    """After both sublayers of a block, or only after the feed-forward one."""
    activation: Literal["relu", "gelu", "silu"] = "relu"
    """s."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability of dropping an input of D, in training."""

    def attach(self, bank: AdapterBank) -> BottleneckLayers:
        """Called by the bank."""
        return BottleneckLayers(self, bank)


class BottleneckLayers:
    """Bottleneck adapters as they sit in a bank."""

    def __init__(self, spec: Bottleneck, bank: AdapterBank) -> None:
        self.ranks = per_agent("size", spec.size, bank.agents)
        """Each agent's own m."""
        self.sites = [
            name
            for attention, feedforward in blocks(bank.model)
            for name in ((attention, feedforward) if spec.variant == "houlsby" else (feedforward,))
        ]
        """Names of the sublayers that are followed by an adapter."""
        width: int = bank.model.config.get_text_config().hidden_size
        most = max(self.ranks)
        for name in self.sites:
            sublayer = bank.model.get_submodule(name)
            device = next(sublayer.parameters()).device
            bound = width**-0.5
            down = bank.add(
                f"{name}.down.weight", (most, width), device,
                partial(nn.init.uniform_, a=-bound, b=bound),
            )  # fmt: skip
            with torch.no_grad():
                for k, size in enumerate(self.ranks):
                    down[k, size:] = 0
            rest = [
                bank.add(f"{name}.{part}", shape, device, None)
                for part, shape in (
                    ("down.bias", (most,)), ("up.weight", (width, most)), ("up.bias", (width,)),
                )
            ]  # fmt: skip
            bank.hook(sublayer.register_forward_hook(_hook(bank, spec, name, down, *rest)))


def _hook(
    bank: AdapterBank, spec: Bottleneck, name: str, down: Tensor, c: Tensor, up: Tensor, e: Tensor
) -> Any:
    site, activation = number("bottleneck", name), ACTIVATIONS[spec.activation]

    def hook(sublayer: Any, args: Any, output: Any) -> Any:
        route = bank.active
        if route is None:
            return None
        rest = cast("tuple[Any, ...]", output)[1:] if isinstance(output, tuple) else None
        h = cast(Tensor, output if rest is None else output[0])
        x = route.dropped(route.check(h).to(down.dtype), site, spec.dropout)
        low_GNm = activation(route.split(x) @ route.pick(down).mT + route.pick(c)[:, None])
        added = low_GNm @ route.pick(up).mT + route.pick(e)[:, None]
        h = h + route.join(added, x).to(h.dtype)
        return h if rest is None else (h, *rest)

    return hook
