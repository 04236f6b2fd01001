"""Virtual tokens: per-agent keys and values in front of every attention layer, for any architecture.

A registered attention function puts P keys and values (K, heads, P, dim) before those of the row's own
tokens, and the tokens' positions start at P. The cache of a decoder never holds them, so rows of
different agents, and rows without, share one batch and one cache. A sliding window counts virtual
tokens as peft does: as the first P places, which it leaves behind. Attention is computed by
`scaled_dot_product_attention`; other kernels (flash_attention_2) are replaced by it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.cache_utils import DynamicCache
from transformers.integrations import sdpa_attention
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask  # pyright: ignore

from ...agents.attend import AWARE, Front, apart, feeding
from ...agents.cache import LayerShape, shapes
from ...protocols import MootError
from ..route import Route

if TYPE_CHECKING:
    from ..bank import AdapterBank

NAME = "moot_virtual"
"""Of the attention function, in the model's configuration."""
Past = list[tuple[Tensor, Tensor]]
"""Keys and values per layer, (K, heads, P, dim) each."""


KERNEL = cast(Any, sdpa_attention).sdpa_attention_forward


Source = Callable[[int | None], Front | None]
_SOURCES: WeakKeyDictionary[nn.Module, list[Source]] = WeakKeyDictionary()
"""Attention layer -> the banks that put tokens in front of it; one of them at a time."""
_BEFORE: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
"""Model -> its attention function without them."""


class VirtualTokens:
    """Hangs `tokens` virtual tokens into a bank's model. `past()` gives keys and values of all agents,
    differentiable where gradients are on; called once per route."""

    def __init__(self, bank: AdapterBank, tokens: int, past: Callable[[], Past]) -> None:
        self.bank, self.tokens, self._past = bank, tokens, past
        self._still: tuple[list[int], Past] | None = None
        model = bank.model
        self._most: int | None = getattr(
            model.config.get_text_config(), "max_position_embeddings", None
        )
        found = {
            m.layer_idx: m
            for n, m in model.named_modules()
            if isinstance(getattr(m, "layer_idx", None), int) and n.endswith(("attn", "attention"))
        }
        if not found or sorted(found) != list(range(len(layer_shapes(model)))):
            raise MootError(f"{type(model).__name__}: its attention layers were not found")
        for layer, module in found.items():
            source = partial(self._virtual, layer)
            _SOURCES.setdefault(module, []).append(source)
            bank.undo(partial(_forget, module, source))
        if model not in _BEFORE:
            _BEFORE[model] = model.config._attn_implementation
            model.set_attn_implementation(NAME)
        bank.undo(partial(_restore, model, list(found.values())))
        bank.hook(model.base_model.register_forward_pre_hook(self._shift, with_kwargs=True))

    def _shift(self, module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Places of the rows' tokens start after the virtual ones."""
        route = self.bank.active
        if route is None:
            return None
        given: Tensor | None = kwargs.get("input_ids", args[0] if args else None)
        ids: Tensor = kwargs["inputs_embeds"] if given is None else given
        rows, length = ids.shape[:2]
        if rows != len(route.rows):
            raise MootError(f"a batch of {rows} rows, but {len(route.rows)} are routed")
        places: Tensor | None = kwargs.get("position_ids")
        if places is None:
            cache = kwargs.get("past_key_values")
            first: int = 0 if cache is None else cache.get_seq_length()
            last = first + length + self.tokens
            if self._most is not None and last > self._most:
                raise MootError(
                    f"{first + length} tokens and {self.tokens} virtual ones, but the model's context "
                    f"is {self._most}; shorten the examples by {last - self._most} tokens"
                )
            places = torch.arange(first, first + length, device=ids.device)[None]
        without = route.without(ids.device)
        more = torch.full((rows, 1), self.tokens, device=ids.device)
        if without is not None:
            more = more.masked_fill(without[:, None], 0)
        route.positions = places.expand(rows, length) + more
        self._prepare(route)
        return args, {**kwargs, "position_ids": route.positions}

    def _prepare(self, route: Route) -> None:
        """Keys and values for this route: computed once, and without gradients once per state."""
        if route.past is None or route.past[0] != torch.is_grad_enabled():
            with apart():
                self._made(route)

    def _made(self, route: Route) -> None:
        grad = torch.is_grad_enabled()
        if grad:
            past = self._past()
        else:
            versions = [t._version for t in self.bank.tensors.values()]
            if self._still is None or self._still[0] != versions:
                self._still = versions, self._past()
            past = self._still[1]
        route.past = grad, [(_rows(route, k), _rows(route, v)) for k, v in past]

    def _virtual(self, layer: int, window: int | None) -> Front | None:
        route = self.bank.active
        if route is None or route.past is None or route.positions is None:
            return None
        keys, values = route.past[1][layer]
        places_BT = route.positions.to(keys.device)
        seen = torch.ones(*places_BT.shape, self.tokens, dtype=torch.bool, device=keys.device)
        if window is not None:
            seen &= places_BT[..., None] - torch.arange(self.tokens, device=keys.device) < window
        without = route.without(keys.device)
        if without is not None:
            seen &= ~without[:, None, None]
        return Front(keys, values, seen[:, None])


def _rows(route: Route, stacked: Tensor) -> Tensor:
    """(K, heads, P, dim) to (B, heads, P, dim); zero, not just unseen, where a row has no adapter."""
    rows, without = route.spread(stacked), route.without(stacked.device)
    return rows if without is None else rows.masked_fill(without[:, None, None, None], 0.0)


def _forget(module: nn.Module, source: Source) -> None:
    _SOURCES[module].remove(source)


def _restore(model: Any, layers: list[nn.Module]) -> None:
    """The model's own attention, unless another bank still needs this one."""
    if not any(_SOURCES[layer] for layer in layers):
        model.set_attn_implementation(_BEFORE.pop(model))


def layer_shapes(model: Any) -> list[LayerShape]:
    """Shapes of every layer's keys and values, from one token's forward."""
    cache = DynamicCache()
    with torch.no_grad():
        one = torch.zeros(
            (1, 1), dtype=torch.long, device=model.get_input_embeddings().weight.device
        )
        model.base_model(input_ids=one, past_key_values=cache, use_cache=True)
    return shapes(cache)


def attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    **more: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """`sdpa_attention_forward` with the module's virtual tokens in front, if a route is open.

    query (B, heads, T, dim), key and value (B, key heads, S, dim), mask (B, 1, T, S) bool or None.
    """
    window = more.get("sliding_window") or getattr(module, "sliding_window", None)
    found = (source(window) for source in _SOURCES.get(module, ()))
    virtual = next((v for v in found if v is not None), None)
    feed = feeding()
    if feed is not None:
        out = feed.attend(module, query, key, value, more.get("scaling"), window, virtual)
        return out, None
    if virtual is not None:
        rows, _, length, _ = query.shape
        slots = key.shape[2]
        if attention_mask is None:
            # Left out where it is plainly causal: token t of T sees slots 0 to S - T + t.
            last = torch.arange(slots - length, slots, device=key.device)
            attention_mask = (torch.arange(slots, device=key.device) <= last[:, None])[None, None]
        attention_mask = torch.cat(
            [virtual.seen, attention_mask.expand(rows, 1, length, slots)], dim=-1
        )
        key = torch.cat([virtual.keys.to(key.dtype), key], dim=2)
        value = torch.cat([virtual.values.to(value.dtype), value], dim=2)
        more["is_causal"] = False
    return KERNEL(module, query, key, value, attention_mask, **more)


AttentionInterface.register(NAME, attend)  # pyright: ignore[reportUnknownMemberType]
AttentionMaskInterface.register(NAME, sdpa_mask)  # pyright: ignore
AWARE.add(NAME)
