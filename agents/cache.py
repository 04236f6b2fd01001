"""Keys and values of the rows of a batch, and those kept from earlier turns.

`transformers` grows its cache by concatenation, which copies all of it for every token; here each layer is
one buffer with room to spare, written in place. All rows end at the same slot (left padding), so a
sliding window counted in slots is right for each of them; every layer keeps all slots and leaves windows
to the model's own masks. Models that also keep other state (convolutions, linear attention) go through
the library's own cache, one row at a time. Left out: paging.

An agent's prompt at its next turn starts with the tokens of this one, so a finished row leaves its keys
and values in a `Kept` store and only what was said since is computed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer


class LayerShape(NamedTuple):
    """One layer's keys are (rows, heads, slots, keys), its values (rows, heads, slots, values)."""

    heads: int
    keys: int
    values: int
    dtype: torch.dtype
    device: torch.device


def shapes(cache: DynamicCache) -> list[LayerShape]:
    """The layers' shapes, read off a cache that the model has filled. Raises `ValueError` where a layer
    keeps something else than keys and values."""
    found: list[LayerShape] = []
    for layer in cache.layers:
        keys, values = getattr(layer, "keys", None), getattr(layer, "values", None)
        if not isinstance(keys, Tensor) or not isinstance(values, Tensor) or keys.dim() != 4:
            raise ValueError(f"a layer of type {type(layer).__name__}")
        found.append(
            LayerShape(keys.shape[1], keys.shape[3], values.shape[3], keys.dtype, keys.device)
        )
    if not found:
        raise ValueError("no layers")
    return found


class _Window(DynamicLayer):
    """One layer of a `Slab` as the model sees it: some rows, slots up to `filled`, written in place."""

    def __init__(self, keys: Tensor, values: Tensor, filled: int) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self._keys, self._values, self._filled = keys, values, filled
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        self.keys, self.values = keys[:, :, :filled], values[:, :, :filled]

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        start, self._filled = self._filled, self._filled + key_states.shape[2]
        self._keys[:, :, start : self._filled] = key_states
        self._values[:, :, start : self._filled] = value_states
        self.keys = self._keys[:, :, : self._filled]
        self.values = self._values[:, :, : self._filled]
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return self._filled


@dataclass(frozen=True, slots=True)
class Past:
    """Keys and values of the first tokens of one prompt, per layer (heads, len(tokens), dim)."""

    tokens: list[int]
    keys: list[Tensor]
    values: list[Tensor]

    @property
    def bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in (*self.keys, *self.values))


class Slab:
    """Keys and values of `rows` rows with `slots` slots each; zeros until written.

    Without layers it stands for `whole`, a cache of one row that nothing is taken out of.
    """

    def __init__(
        self, layers: Sequence[LayerShape], rows: int, slots: int, whole: Cache | None = None
    ) -> None:
        self.rows, self.slots = rows, slots
        self.layers, self.whole = layers, whole
        self.keys = [_zeros(s, rows, slots, s.keys) for s in layers]
        self.values = [_zeros(s, rows, slots, s.values) for s in layers]

    def window(self, first: int, last: int, low: int, filled: int) -> Cache:
        """Rows `first` to `last` (exclusive) from slot `low` on, as a cache that is taken to `filled`."""
        if self.whole is not None:
            return self.whole
        pairs = zip(self.keys, self.values, strict=True)
        return Cache(
            layers=[
                _Window(k[first:last, :, low:], v[first:last, :, low:], filled - low)
                for k, v in pairs
            ]
        )

    def put(self, row: int, end: int, past: Past, length: int) -> None:
        """Write the first `length` tokens of `past` so that they end before slot `end`."""
        for mine, theirs in ((self.keys, past.keys), (self.values, past.values)):
            for slab, kept in zip(mine, theirs, strict=True):
                slab[row, :, end - length : end] = kept[:, :length]

    def take(self, row: int, start: int, tokens: list[int]) -> Past:
        """A copy of one row from slot `start`, whose slots hold `tokens`."""
        end = start + len(tokens)
        return Past(
            tokens,
            [k[row, :, start:end].clone() for k in self.keys],
            [v[row, :, start:end].clone() for v in self.values],
        )

    def move(self, source: int, target: int, filled: int) -> None:
        """Put one row into another's place."""
        for tensor in (*self.keys, *self.values):
            tensor[target, :, :filled] = tensor[source, :, :filled]

    def clear(self, first: int, last: int, filled: int) -> None:
        """Zero rows for others to use: a masked slot may hold anything but infinities."""
        for tensor in (*self.keys, *self.values):
            tensor[first:last, :, :filled] = 0

    def copy(self, to: Slab, live: int, first: int, filled: int, end: int) -> None:
        """Write what the first `live` rows hold from slot `first` to `filled` so that it ends at slot `end`
        of `to`, another slab or this one."""
        to.whole = self.whole
        start = end - (filled - first)
        for mine, theirs in ((self.keys, to.keys), (self.values, to.values)):
            for old, new in zip(mine, theirs, strict=True):
                held = old[:live, :, first:filled]
                new[:live, :, start:end] = held.clone() if old is new else held


def _zeros(shape: LayerShape, rows: int, slots: int, width: int) -> Tensor:
    size = (rows, shape.heads, slots, width)
    return torch.zeros(size, dtype=shape.dtype, device=shape.device)


class Kept:
    """The pasts of earlier turns, by whose talk they are; the least recently used go first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Most bytes."""
        self._bytes = 0
        self._pasts: OrderedDict[Hashable, Past] = OrderedDict()

    def add(self, talk: Hashable, past: Past) -> None:
        """Keep, in place of what was kept for the same talk."""
        self._drop(talk)
        self._pasts[talk] = past
        self._bytes += past.bytes
        while self._bytes > self.limit:
            self._drop(next(iter(self._pasts)))

    def longest(self, talks: Sequence[Hashable], prompt: list[int]) -> tuple[int, Past | None]:
        """Of the pasts of `talks`, the one that shares most first tokens with `prompt`, and how many; the
        last token of the prompt never counts, since its logits have to be computed."""
        best: tuple[int, Past | None] = (0, None)
        for talk in talks:
            past = self._pasts.get(talk)
            if past is None:
                continue
            self._pasts.move_to_end(talk)
            length = common((past.tokens, prompt[:-1]))
            if length > best[0]:
                best = length, past
        return best

    def clear(self) -> None:
        self._pasts.clear()
        self._bytes = 0

    def _drop(self, talk: Hashable) -> None:
        past = self._pasts.pop(talk, None)
        if past is not None:
            self._bytes -= past.bytes


def common(lists: Sequence[list[int]]) -> int:
    """How many first elements all the lists share."""
    low, high = min(lists), max(lists)  # the two that differ earliest bound all the others
    for i, (a, b) in enumerate(zip(low, high, strict=False)):
        if a != b:
            return i
    return min(len(low), len(high))
