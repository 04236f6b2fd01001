"""Keys and values of the rows of a batch, and those kept from earlier turns.

`transformers` grows its cache by concatenation, which copies all of it for every token; here each layer is
one buffer with room to spare, written in place. Every row begins at slot 0, so that the slot of a token is
its place, a row takes as many tokens at once as it likes, and nothing is moved when others join. Every
layer keeps all slots; windows are the attention's business (`attend`). Models that also keep other
state (convolutions, linear attention) are asked through the library (`alone`). Left out: paging.

An agent's prompt at its next turn starts with the tokens of this one, so a finished row leaves its keys
and values in a `Kept` store and only what was said since is computed. The slab goes before the store: what
is kept makes room for it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from .attend import Feed


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


class _Layer(DynamicLayer):
    """One layer of a `Slab` as the model sees it: what a feed sends is written in place."""

    def __init__(self, keys: Tensor, values: Tensor, feed: Feed) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self.keys, self.values = keys, values
        self._slab, self._feed = (keys, values), feed
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """The whole slab: `attend` looks at what each token may see of it."""
        self._feed.write(self._slab[0], key_states)
        self._feed.write(self._slab[1], value_states)
        return self._slab

    def get_seq_length(self) -> int:
        return self._feed.groups[0].end


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
    """Keys and values of `rows` rows with `slots` slots each, and one slot more for padding.

    Zeros until written: a slot that is not seen may hold anything but infinities.
    """

    def __init__(self, layers: Sequence[LayerShape], rows: int, slots: int) -> None:
        self.rows, self.slots, self.layers = rows, slots, layers
        self.keys = [_zeros(s, rows, slots + 1, s.keys) for s in layers]
        self.values = [_zeros(s, rows, slots + 1, s.values) for s in layers]
        self.each = sum(s.heads * (s.keys + s.values) * s.dtype.itemsize for s in layers)
        """Bytes of one slot in all layers."""

    def size(self, rows: int, slots: int) -> int:
        """Bytes of a slab like this with so many rows and slots."""
        return self.each * rows * (slots + 1)

    @property
    def bytes(self) -> int:
        return self.size(self.rows, self.slots)

    def cache(self, feed: Feed) -> Cache:
        """The slab as the cache of one forward."""
        pairs = zip(self.keys, self.values, strict=True)
        return Cache(layers=[_Layer(k, v, feed) for k, v in pairs])

    def put(self, row: int, past: Past, length: int) -> None:
        """Write the first `length` tokens of `past` into the row's first slots."""
        for mine, theirs in ((self.keys, past.keys), (self.values, past.values)):
            for slab, kept in zip(mine, theirs, strict=True):
                slab[row, :, :length] = kept[:, :length]

    def take(self, row: int, tokens: list[int]) -> Past:
        """A copy of one row, whose first slots hold `tokens`."""
        end = len(tokens)
        return Past(
            tokens,
            [k[row, :, :end].clone() for k in self.keys],
            [v[row, :, :end].clone() for v in self.values],
        )

    def move(self, source: int, target: int, filled: int) -> None:
        """Put the first slots of one row into another's place."""
        for tensor in (*self.keys, *self.values):
            tensor[target, :, :filled] = tensor[source, :, :filled]

    def swap(self, one: int, other: int, filled: int) -> None:
        for tensor in (*self.keys, *self.values):
            held = tensor[one, :, :filled].clone()
            tensor[one, :, :filled] = tensor[other, :, :filled]
            tensor[other, :, :filled] = held

    def clear(self, row: int) -> None:
        """Zero a row that may hold what is no number."""
        for tensor in (*self.keys, *self.values):
            tensor[row] = 0

    def resize(self, rows: int, slots: int, live: int, filled: int) -> None:
        """Have so many rows and slots, and what the first `live` rows hold in their first `filled` slots.
        Tensor by tensor, so that at no time more than one of them is there twice."""
        self.rows, self.slots = rows, slots
        for tensors, widths in (
            (self.keys, [s.keys for s in self.layers]),
            (self.values, [s.values for s in self.layers]),
        ):
            for i, (shape, width) in enumerate(zip(self.layers, widths, strict=True)):
                new = _zeros(shape, rows, slots + 1, width)
                new[:live, :, :filled] = tensors[i][:live, :, :filled]
                tensors[i] = new


def _zeros(shape: LayerShape, rows: int, slots: int, width: int) -> Tensor:
    size = (rows, shape.heads, slots, width)
    return torch.zeros(size, dtype=shape.dtype, device=shape.device)


class Kept:
    """The pasts of earlier turns, by whose talk they are; the least recently used go first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Most bytes."""
        self.bytes = 0
        self._pasts: OrderedDict[Hashable, Past] = OrderedDict()

    def __contains__(self, talk: Hashable) -> bool:
        return talk in self._pasts

    def add(self, talk: Hashable, past: Past) -> None:
        """Keep, in place of what was kept for the same talk."""
        self._drop(talk)
        self._pasts[talk] = past
        self.bytes += past.bytes
        self.shrink(self.limit)

    def clear_for(self, talk: Hashable, size: int, most: int) -> bool:
        """Let go of the talk's past and, for another of `size` bytes, of as many others as it takes; whether
        `most` bytes, or the limit, are enough for it."""
        self._drop(talk)
        most = min(most, self.limit)
        if size > most:
            return False
        self.shrink(most - size)
        return True

    def shrink(self, most: int) -> None:
        """Drop what was not used for longest, until at most so many bytes are kept."""
        while self._pasts and self.bytes > most:
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
        self.bytes = 0

    def _drop(self, talk: Hashable) -> None:
        past = self._pasts.pop(talk, None)
        if past is not None:
            self.bytes -= past.bytes


def common(lists: Sequence[list[int]]) -> int:
    """How many first elements all the lists share."""
    low, high = min(lists), max(lists)  # the two that differ earliest bound all the others
    for i, (a, b) in enumerate(zip(low, high, strict=False)):
        if a != b:
            return i
    return min(len(low), len(high))
