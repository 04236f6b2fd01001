"""Attention for rows of unlike lengths, over keys and values that stay where they lie.

    plain transformers            here
    a rectangle (B, T), padded    the tokens that are there: (N, 1), or rows of T prompt tokens
    mask (B, 1, T, S) per call    slot <= place, and place - slot < window

Every row of a `Slab` begins at slot 0, so a token's slot is its place in the text. A `Feed` says for one
forward which tokens go where. Rows that decode send their last token as one batch; what a row sends
besides (tokens that its grammar forces) stands in the same batch, so that all weights are read once, and
only its attention is a call of its own. The function is registered as an attention implementation; a
model that does not use those, or wants more of its attention than a window, is not served this way.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME = "moot_rows"
"""Of the attention function, in the model's configuration."""
AWARE = {NAME}
"""Attention functions that know feeds; another that calls `Feed.attend` adds its name."""
FOLD = 64
"""Query heads that share keys are folded into the query's length up to here; beyond, keys are repeated."""
UNSERVED = ("softcap", "s_aux", "position_bias", "head_mask")
"""What an attention layer may ask for and does not get here."""


class Front(NamedTuple):
    """Keys and values before those of the slab, as adapters with virtual tokens put them."""

    keys: Tensor
    """(B, key heads, P, dim)"""
    values: Tensor
    seen: Tensor
    """(B, 1, T, P) bool"""


class Group(NamedTuple):
    """Entries of a feed whose attention is one call."""

    entries: slice
    rows: slice
    """Of the slab."""
    each: int
    """Entries per row: 1, or tokens of one row that follow each other."""
    end: int
    """Slots that the call looks at."""


class Feed:
    """One forward: `places` (B, T), the slot of every token, -1 for padding; `rows` (B,) of the slab.

    Padding is written to the slab's last slot, which no call looks at.
    """

    def __init__(self, rows: Sequence[int], places: Tensor, groups: Sequence[Group]) -> None:
        self.groups, self.places = groups, places
        self.positions = places.clamp_min(0)
        self.rows = torch.tensor(rows, device=places.device)[:, None]
        self.windows: list[int | None] = []
        """Of the attention layers, in the order in which they were called."""
        self._masks: dict[tuple[object, ...], Tensor] = {}

    @classmethod
    def steps(cls, sent: Sequence[int], held: Sequence[int], device: torch.device) -> Feed:
        """Row r, which holds `held[r]` tokens, sends `sent[r]` more: the last of each row first, row by
        row; then, row by row, those before it."""
        rows = list(range(len(sent)))
        places = [h + s - 1 for h, s in zip(held, sent, strict=True)]
        groups = [Group(slice(0, len(rows)), slice(0, len(rows)), 1, max(places) + 1)]
        for row, (have, more) in enumerate(zip(held, sent, strict=True)):
            if more > 1:
                at = slice(len(rows), len(rows) + more - 1)
                groups.append(Group(at, slice(row, row + 1), more - 1, have + more - 1))
                rows += [row] * (more - 1)
                places += range(have, have + more - 1)
        return cls(rows, torch.tensor(places, device=device)[:, None], groups)

    @classmethod
    def block(
        cls, rows: Sequence[int], ends: Sequence[int], length: int, device: torch.device
    ) -> Feed:
        """Each row sends `length` tokens, the last of them to slot `ends[r] - 1`."""
        groups: list[Group] = []
        first = 0
        for i in range(1, len(rows) + 1):
            if i == len(rows) or rows[i] != rows[i - 1] + 1:
                run = slice(rows[first], rows[i - 1] + 1)
                groups.append(Group(slice(first, i), run, 1, max(ends[first:i])))
                first = i
        last = torch.tensor(ends, device=device)[:, None]
        places = last - length + torch.arange(length, device=device)
        return cls(rows, places.clamp_min(-1), groups)

    def write(self, slab: Tensor, states: Tensor) -> None:
        """`states` (B, heads, T, dim) into `slab` (rows, heads, slots, dim)."""
        rows, places = self.rows.to(slab.device), self.places.to(slab.device)
        slab[rows, :, places] = states.transpose(1, 2)

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor,
        scaling: float | None, window: int | None, front: Front | None = None,
    ) -> Tensor:  # fmt: skip
        """`query` (B, heads, T, dim) over the slab `key`, `value` (rows, key heads, slots, dim), to
        (B, T, heads, dim)."""
        self.windows.append(window)
        found = [self._call(g, query, key, value, scaling, window, front) for g in self.groups]
        return found[0] if len(found) == 1 else torch.cat(found)

    def _call(
        self, group: Group, query: Tensor, key: Tensor, value: Tensor,
        scaling: float | None, window: int | None, front: Front | None,
    ) -> Tensor:  # fmt: skip
        query = query[group.entries]
        if group.each > 1:
            query = query.transpose(0, 2)  # (n, heads, 1, dim) to (1, heads, n, dim)
        key = key[group.rows, :, : group.end]
        value = value[group.rows, :, : group.end]
        mask = self._mask(group, window, query)
        if front is not None:
            picked = slice(group.entries.start, group.entries.stop, group.each)
            key = torch.cat([front.keys[picked].to(key.dtype), key], 2)
            value = torch.cat([front.values[picked].to(value.dtype), value], 2)
            seen = front.seen[group.entries]
            seen = seen.transpose(0, 2) if group.each > 1 else seen
            mask = torch.cat([_additive(seen, query.dtype), mask], -1)
        rows, heads, length, width = query.shape
        shared = heads // key.shape[1]
        if shared > 1 and shared * length <= FOLD:
            query = query.reshape(rows, key.shape[1], shared * length, width)
            mask = mask.repeat(1, 1, shared, 1) if length > 1 else mask
        elif shared > 1:
            key, value = key.repeat_interleave(shared, 1), value.repeat_interleave(shared, 1)
        out = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
        out = out.reshape(rows, heads, length, -1)
        return out.permute(2, 0, 1, 3) if group.each > 1 else out.transpose(1, 2)

    def _mask(self, group: Group, window: int | None, query: Tensor) -> Tensor:
        """(rows, 1, T, slots), 0 where a token sees a slot; made once for all calls and layers alike."""
        key = (window, query.dtype, query.device)
        if key not in self._masks:
            places = self.positions.to(query.device)[..., None]
            slots = torch.arange(max(g.end for g in self.groups), device=query.device)
            seen = slots <= places
            if window is not None:
                seen &= slots > places - window
            self._masks[key] = _additive(seen, query.dtype)
        mask = self._masks[key][group.entries, :, : group.end]
        return mask.transpose(0, 1)[None] if group.each > 1 else mask[:, None]


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)


_FEED: ContextVar[Feed | None] = ContextVar("feed", default=None)


def feeding() -> Feed | None:
    """The feed of the forward that is under way."""
    return _FEED.get()


@contextmanager
def apart() -> Generator[None]:
    """While open, forwards are none of the decoder's, as those that make virtual tokens."""
    token = _FEED.set(None)
    try:
        yield
    finally:
        _FEED.reset(token)


@contextmanager
def through(config: Any, feed: Feed) -> Generator[None]:
    """While open, the attention of the model with this configuration is this file's."""
    before: str = config._attn_implementation
    token = _FEED.set(feed)
    if before not in AWARE:
        config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _FEED.reset(token)


def rows_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    scaling: float | None = None, sliding_window: int | None = None, **more: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """The attention function. Raises `NotImplementedError` for what only other functions do."""
    for name in UNSERVED:
        if more.get(name) is not None:
            raise NotImplementedError(f"attention with {name}")
    feed = feeding()
    if feed is None:
        raise RuntimeError(f"{NAME} attends in the decoder's own forwards only")
    return feed.attend(module, query, key, value, scaling, sliding_window), None


_register: Callable[..., None] = AttentionInterface.register  # pyright: ignore
_register(NAME, rows_attention)
