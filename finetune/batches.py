"""Batches for many agents at once: who reads which examples when, decided by each agent's own data.

Every agent goes through its examples in epochs, in an order keyed by (seed, agent, epoch): shuffled, cut
into windows, sorted by length within a window, so that a batch holds like lengths. The windows' batches
are then visited in an order that agents with equally many batches share, shortest rank with shortest, so
that agents' rows are of like length too. No agent's order depends on another's data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .examples import Example
from .keyed import number

WINDOW = 32
"""Batches in a window; 1 would shuffle freely and pad much, the whole epoch would always go by length."""


class Table(NamedTuple):
    """Rows of several agents, padded on the right; the rows of an agent stand together."""

    ids: Tensor
    """(B, T)"""
    weights: Tensor
    """(B, T), 0 where nothing is learned."""
    agents: list[int]
    """(B,) agent of each row, ascending, every agent equally often."""
    slots: list[int]
    """(B,) number of the row among its agent's."""
    tokens: int
    """Tokens that are not padding."""

    @property
    def padding(self) -> float:
        """Share of the places that hold no token."""
        return 1 - self.tokens / self.ids.numel()


def order(
    found: Sequence[Example], batch: int, seed: int, agent: str, epoch: int
) -> list[list[int]]:
    """The batches of one epoch, as indices into `found`; every example comes once."""
    free = sorted(range(len(found)), key=lambda i: number("order", seed, agent, epoch, i))
    wide = WINDOW * batch
    batches: list[list[int]] = []
    for start in range(0, len(free), wide):
        window = sorted(free[start : start + wide], key=lambda i: len(found[i].ids))
        cut = [window[i : i + batch] for i in range(0, len(window), batch)]
        turn = sorted(range(len(cut)), key=lambda i: number("turn", seed, epoch, start // wide, i))
        batches += [cut[i] for i in turn]
    return batches


def stream(
    found: Sequence[Example], batch: int, seed: int, agent: str, epochs: int | None = None
) -> Iterator[list[Example]]:
    """Batches of one agent, epoch after epoch; without end if `epochs` is None."""
    epoch = 0
    while found and (epochs is None or epoch < epochs):
        for batch_ in order(found, batch, seed, agent, epoch):
            yield [found[i] for i in batch_]
        epoch += 1


def table(rows: Sequence[tuple[int, Sequence[Example]]]) -> Table:
    """One batch from (agent, its examples), agents ascending.

    An agent with fewer examples than another gets empty rows, which learn nothing.
    """
    each = max(len(found) for _, found in rows)
    longest = max(len(e.ids) for _, found in rows for e in found)
    ids = torch.zeros(len(rows) * each, longest, dtype=torch.long)
    weights = torch.zeros(len(rows) * each, longest)
    tokens = 0
    for place, (_, found) in enumerate(rows):
        for slot, e in enumerate(found):
            b, n = place * each + slot, len(e.ids)
            ids[b, :n] = torch.tensor(e.ids)
            weights[b, :n] = torch.tensor(e.weights)
            tokens += n
    agents = [k for k, _ in rows for _ in range(each)]
    return Table(ids, weights, agents, list(range(each)) * len(rows), tokens)
