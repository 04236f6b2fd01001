"""What offers and claims tell of the values in item division.

Hypotheses: all vectors of whole points for which everything on the table is worth what it is worth to the
speaker (Lewis et al. 2017: totals are known, values are not), each as likely. A rational speaker who takes
t of the n items asks for what is good for itself and, as far as it can tell, for the other, who is to agree:

    p(t | v)  =  exp(B w(t)) / sum over t' of exp(B w(t')),   w(t) = (v.t + m.(n - t)) / v.n

with m the mean of all hypotheses. Since w adds up over kinds, so does the logarithm of the sum. Of people's
offers at the camp site (CaSiNo, each side's own values known) this model is the likelier one: with B = 8 the
mean log-likelihood of an offer is -4.02, with w(t) = v.t / v.n never above -4.14, by chance -4.16.

A claim is true, or it is any of the hypotheses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple, cast

import numpy as np

from ...protocols import Message
from ..listening import MOST, Array, Bayes, Evidence, careless, others, table_of, uniform

SHARP = 8.0
"""B: an offer worth a tenth of everything more is exp(0.8), about twice as likely."""


MOST_VALUE = 100
"""Largest points per item that anyone may claim (a public bound, not a secret)."""


class Table(NamedTuple):
    """All hypotheses of one table."""

    values: Array
    """(H, kinds)."""
    slopes: Array
    """B (v - m) / v.n, so that w(t) B = slopes @ t and a constant, (H, kinds)."""
    whole: Array
    """Logarithm of the sum over all offers, (H,)."""
    splits: int
    place: Mapping[tuple[int, ...], int]
    """Values -> number of the hypothesis."""


@lru_cache(maxsize=1024)
def table(counts: tuple[int, ...], total: int) -> Table | None:
    """All whole values that add up to this total; None when there are too many."""
    found = list(islice(_vectors(counts, total), MOST + 1))
    if not found or len(found) > MOST:
        return None
    values = np.array(found, dtype=np.float64)
    slopes = SHARP * (values - values.mean(axis=0)) / max(total, 1)
    whole = np.zeros(len(values))
    for k, count in enumerate(counts):
        whole += np.log(np.exp(np.outer(slopes[:, k], np.arange(count + 1))).sum(axis=1))
    place = {vector: i for i, vector in enumerate(found)}
    return Table(values, slopes, whole, math.prod(c + 1 for c in counts), place)


def _vectors(counts: Sequence[int], total: int) -> Iterator[tuple[int, ...]]:
    """Whole values of each kind, for which so many are worth the total."""
    if len(counts) == 1:
        if total % counts[0] == 0:
            yield (total // counts[0],)
        return
    for value in range(total // counts[0] + 1):
        for rest in _vectors(counts[1:], total - value * counts[0]):
            yield (value, *rest)


def listeners(items: Mapping[str, int], values: Mapping[str, Mapping[str, float]]) -> list[Bayes]:
    """Each of two agents listens to the other; nobody where values are not whole, or of too many kinds."""
    kinds, counts = tuple(items), tuple(items.values())
    found: list[Bayes] = []
    for seat, speaker in others(tuple(values)):
        true = tuple([values[speaker][k] for k in kinds])
        if not all(float(v).is_integer() for v in true):
            return []
        total = int(sum(v * n for v, n in zip(true, counts, strict=True)))
        known = table(counts, total)
        if known is None:
            return []
        truth = known.place[cast(tuple[int, ...], true)]
        hears = _ears(speaker, kinds, counts, total)
        found.append(Bayes(seat, uniform(len(known.values)), truth, hears))
    return found


def _ears(
    speaker: str, kinds: tuple[str, ...], counts: tuple[int, ...], total: int
) -> Callable[[Message], Evidence | None]:
    """What a message is to one who listens to this speaker."""

    wanted = set(kinds)

    def hears(message: Message) -> Evidence | None:
        if message.sender != speaker:
            return None
        for field, logs in (("take", offer), ("values", claim)):
            said = table_of(message, field)
            if said is not None and set(said) == wanted:
                vector = tuple([int(said[k]) for k in kinds])
                return Evidence((field, vector), logs(counts, total, vector))
        return None

    return hears


@lru_cache(maxsize=16384)
def offer(counts: tuple[int, ...], total: int, take: tuple[int, ...]) -> Array:
    """log p of taking so many, (H,)."""
    known = cast(Table, table(counts, total))
    return careless(np.exp(known.slopes @ np.array(take) - known.whole), known.splits)


@lru_cache(maxsize=16384)
def claim(counts: tuple[int, ...], total: int, told: tuple[int, ...]) -> Array:
    """log p of claiming these values, (H,); values of more than may be claimed are told in proportion."""
    values = cast(Table, table(counts, total)).values
    scale = MOST_VALUE / np.maximum(values.max(axis=1, keepdims=True), MOST_VALUE)
    apart = np.abs(np.rint(values * scale) - np.array(told)).max(axis=1)
    return careless(np.where(apart == 0, 1.0, 0.0), len(values))
