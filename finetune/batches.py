"""Batches for many agents at once: who reads which examples when, decided by each agent's own data.

Every agent goes through its examples in epochs, in an order keyed by (seed, agent, epoch): shuffled, cut
into windows, sorted by length within a window, so that a batch holds like lengths. When a window's batches
are visited follows one random sequence over all updates, the same for all agents: where it is low, every
agent reads a batch that is short among its own, however many it has. No agent's order depends on
another's data. Batches that are of unlike length all the same go into different tables, as many as pay.

Left out: packing several examples into one row, which would need attention masks of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import inf
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
    first = epoch * -(-len(found) // batch)
    free = sorted(range(len(found)), key=lambda i: number("order", seed, agent, epoch, i))
    wide = WINDOW * batch
    batches: list[list[int]] = []
    for start in range(0, len(free), wide):
        window = sorted(free[start : start + wide], key=lambda i: len(found[i].ids))
        cut = [window[i : i + batch] for i in range(0, len(window), batch)]
        at = first + len(batches)
        turn = sorted(range(len(cut)), key=lambda i: number("turn", seed, at + i))
        rank = {i: r for r, i in enumerate(turn)}
        batches += [cut[rank[i]] for i in range(len(cut))]
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


Rows = Sequence[tuple[int, Sequence[Example]]]
"""(agent, its examples), agents ascending."""


def tables(rows: Rows, apart: int) -> list[Table]:
    """The fewest places for these rows, where another table costs as much as `apart` places.

    Agents are sorted by their longest example, and the best of all cuts is found.
    """
    sized = sorted(rows, key=lambda row: _longest(row[1]))
    least: list[float] = [0.0]
    cuts = [0]
    filled = [0, *accumulate(sum(len(e.ids) for e in found) for _, found in sized)]
    for end in range(1, len(sized) + 1):
        best, cut, each = inf, 0, 0
        for start in reversed(range(end)):
            each = max(each, len(sized[start][1]))
            here = apart + (end - start) * each * _longest(sized[end - 1][1])
            if filled[start] + here >= best:
                break  # what comes before takes at least its tokens, and this padding only grows
            if least[start] + here < best:
                best, cut = least[start] + here, start
        least.append(best)
        cuts.append(cut)
    made: list[Table] = []
    end = len(sized)
    while end:
        made.append(table(sorted(sized[cuts[end] : end], key=lambda row: row[0])))
        end = cuts[end]
    return made


def _longest(found: Sequence[Example]) -> int:
    return max(len(e.ids) for e in found)


def table(rows: Rows) -> Table:
    """One batch.

    An agent with fewer examples than another gets empty rows, which learn nothing.
    """
    each = max(len(found) for _, found in rows)
    longest = max(_longest(found) for _, found in rows)
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
