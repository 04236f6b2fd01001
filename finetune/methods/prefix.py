"""Prefix tuning and prompt tuning: an agent is a few virtual tokens, the weights stay as they are.

**Prefix tuning** (Li and Liang 2021, arXiv 2101.00190) learns keys and values of P virtual tokens in every
layer: `embedding (K, P, layers * 2 * heads * dim)`, laid out as in peft: layer by layer, keys then
values. Optionally they come out of a small network, `W2 tanh(W1 e + b1) + b2` with e (K, P, d), which is
easier to train and folded into plain numbers on export. Heads are those of the keys (grouped queries).

**Prompt tuning** (Lester et al. 2021, arXiv 2104.08691) learns P input embeddings, `embedding (K, P, d)`,
that start as those of tokens drawn from the vocabulary. Later tokens see them only through their keys
and values, so these are computed once per agent, not once per row: the same function, less work.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache

from ...protocols import MootError
from .virtual import Past, VirtualTokens, layer_shapes

if TYPE_CHECKING:
    from ..bank import AdapterBank

Tokens = Annotated[int, Field(ge=1)]
EMBEDDING = "embedding"


class Prefix(BaseModel):
    """Options of prefix tuning. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    method: Literal["prefix"] = "prefix"
    tokens: Tokens = 8
    """P, virtual tokens."""
    hidden: Annotated[int, Field(ge=1)] | None = None
    """Width of the network that the keys and values come from; None: they are learned themselves."""
    std: Annotated[float, Field(ge=0)] = 0.02
    """Spread of the numbers it starts with."""

    def attach(self, bank: AdapterBank) -> PrefixLayers:
        """Called by the bank."""
        return PrefixLayers(self, bank)


class Prompt(BaseModel):
    """Options of prompt tuning. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    method: Literal["prompt"] = "prompt"
    tokens: Tokens = 8
    """P, virtual tokens."""

    def attach(self, bank: AdapterBank) -> PromptLayers:
        """Called by the bank."""
        return PromptLayers(self, bank)


class PrefixLayers:
    """Prefix tuning as it sits in a bank."""

    def __init__(self, spec: Prefix, bank: AdapterBank) -> None:
        self.tokens, self.bank = spec.tokens, bank
        found = {(s.heads, s.keys, s.values) for s in layer_shapes(bank.model)}
        heads, dim, values = next(iter(found))
        if len(found) > 1 or dim != values:
            raise MootError("prefix tuning wants the same shape of keys and values in every layer")
        self.depth, self.heads, self.dim = len(layer_shapes(bank.model)), heads, dim
        device = bank.model.get_input_embeddings().weight.device
        flat = self.depth * 2 * heads * dim
        normal = partial(nn.init.normal_, std=spec.std)
        if spec.hidden is None:
            bank.add(EMBEDDING, (spec.tokens, flat), device, normal)
        else:
            width, mid = heads * dim, spec.hidden
            bank.add(EMBEDDING, (spec.tokens, width), device, partial(nn.init.normal_, std=1.0))
            for name, shape, fan in (
                ("transform.0.weight", (mid, width), width),
                ("transform.2.weight", (flat, mid), mid),
            ):
                bound = fan**-0.5
                bank.add(name, shape, device, partial(nn.init.uniform_, a=-bound, b=bound))
                bank.add(name.replace("weight", "bias"), shape[:1], device, None)
        self.virtual = VirtualTokens(bank, spec.tokens, self.past)

    def flat(self) -> Tensor:
        """Keys and values (K, P, layers * 2 * heads * dim), the network folded in."""
        t = self.bank.tensors
        e = t[EMBEDDING]
        if "transform.0.weight" not in t:
            return e
        mid = torch.tanh(e @ t["transform.0.weight"].mT + t["transform.0.bias"][:, None])
        return mid @ t["transform.2.weight"].mT + t["transform.2.bias"][:, None]

    def past(self) -> Past:
        """Keys and values of every layer, (K, heads, P, dim)."""
        shape = (len(self.bank.agents), self.tokens, self.depth, 2, self.heads, self.dim)
        flat = self.flat().reshape(shape)
        by_layer = flat.permute(2, 3, 0, 4, 1, 5)  # layers, 2, K, heads, P, dim
        return [(kv[0], kv[1]) for kv in by_layer]


class PromptLayers:
    """Prompt tuning as it sits in a bank."""

    def __init__(self, spec: Prompt, bank: AdapterBank) -> None:
        self.tokens, self.bank = spec.tokens, bank
        words = bank.model.get_input_embeddings()
        device = words.weight.device

        def draw(tensor: Tensor, generator: torch.Generator) -> None:
            ids = torch.randint(words.num_embeddings, (spec.tokens,), generator=generator)
            with torch.no_grad():
                tensor.copy_(words(ids.to(device)))

        bank.add(EMBEDDING, (spec.tokens, words.embedding_dim), device, draw)
        self.virtual = VirtualTokens(bank, spec.tokens, self.past)

    def past(self) -> Past:
        """Keys and values of every layer, (K, heads, P, dim): one forward over the prompts alone."""
        model, cache = self.bank.model, DynamicCache()
        prompts = self.bank.tensors[EMBEDDING].to(model.dtype)
        with self.bank.plain(), self.bank.cached():
            model.base_model(inputs_embeds=prompts, past_key_values=cache, use_cache=True)
        return [(layer.keys, layer.values) for layer in cache.layers]  # pyright: ignore
