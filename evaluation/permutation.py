"""Permutation tests of a difference between two ratios of sums, with Holm's correction over several.

If it made no difference who played, the two sides' labels could be swapped. A unit (a scenario, or an
episode of one) that both sides have is swapped or not, with equal chance; the labels of units that only
one side has are dealt out again. What happened within a unit moves together. The statistic is

    R_one - R_two,    R = sum_u a_u / sum_u b_u

and its p-value the share of relabellings that are at least as far from 0 (Fisher 1935; Phipson and Smyth
2010 for the one that is added to both counts). All metrics see the same relabellings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from .statistics import Floats

RELABELLINGS = 9_999
EXACT = 13
"""Up to so many paired units, every one of their 2^n relabellings is looked at."""
BLOCK = 256


class Relabelled(NamedTuple):
    """What relabelling does to each metric's difference, (K,) each."""

    p: Floats
    floor: Floats
    """The 95 % quantile of the absolute difference when labels mean nothing: the A/A noise floor."""
    movable: NDArray[np.bool_]
    """Whether any relabelling gives a difference. Where none does there is nothing to test (Tarone 1990)."""


def relabel(
    both: tuple[Floats, Floats], single: tuple[Floats, Floats], seed: int = 0
) -> Relabelled:
    """Test K differences at once.

    `both`: sums (U, K, 2) of a and b of one side and of the other, of units that both have; `single`:
    those of units that only one has, (V, K, 2) and (W, K, 2).
    """
    one, two = both
    mine, theirs = single
    rng = np.random.default_rng(seed)
    exact = len(one) <= EXACT and not (len(mine) or len(theirs))
    count = 2 ** len(one) if exact else RELABELLINGS
    # Half of the sum and of the difference: a swap changes the sign of the second.
    fixed = (one + two).sum(0)[..., None] / 2
    moved = np.zeros((*fixed.shape[:2], count))
    for at in range(0, len(one), BLOCK):
        part = (one - two)[at : at + BLOCK] / 2
        if exact:
            signs = 1.0 - 2.0 * ((np.arange(count) >> np.arange(len(part))[:, None]) & 1)
        else:
            signs = rng.integers(2, size=(len(part), count), dtype=np.int8) * 2.0 - 1.0
        moved += np.tensordot(part, signs, ((0,), (0,)))
    first, second = fixed + moved, fixed - moved
    if len(mine) or len(theirs):
        pooled = np.concatenate([mine, theirs])
        dealt = _dealt(pooled, len(mine), count, rng)
        first = first + dealt
        second = second + pooled.sum(0)[..., None] - dealt
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = np.abs(first[:, 0] / first[:, 1] - second[:, 0] / second[:, 1])
        told = one.sum(0) + mine.sum(0), two.sum(0) + theirs.sum(0)
        found = np.abs(told[0][:, 0] / told[0][:, 1] - told[1][:, 0] / told[1][:, 1])
    # A relabelling that leaves one side without a denominator tells nothing: counted against us.
    far = ~(drawn < found[:, None] - 1e-9 * (1 + found[:, None]))
    p = far.mean(1) if exact else (far.sum(1) + 1) / (count + 1)
    known = cast(Floats, np.where(np.isfinite(drawn), drawn, found[:, None]))
    most = np.maximum(known.max(1), found)
    return Relabelled(p, np.quantile(known, 0.95, axis=1), most > 1e-12)


def _dealt(pooled: Floats, mine: int, count: int, rng: np.random.Generator) -> Floats:
    """Sums (K, 2, count) over as many units as are `mine`, drawn without putting back."""
    labels = np.zeros((BLOCK, len(pooled)), dtype=np.float32)
    labels[:, :mine] = 1
    flat = pooled.reshape(len(pooled), -1)
    parts = [
        rng.permuted(labels[: min(BLOCK, count - at)], axis=1).astype(np.float64) @ flat
        for at in range(0, count, BLOCK)
    ]
    return np.concatenate(parts).T.reshape(*pooled.shape[1:], count)


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given (Holm 1979): the largest so far of (m - rank) p, at most 1."""
    adjusted, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        least = max(least, min((len(p) - rank) * p[i], 1.0))
        adjusted[i] = least
    return adjusted
