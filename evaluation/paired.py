"""Means over clients and paired differences, with bootstrap intervals that keep clients apart.

    value = mean over groups of the mean within the group

Groups (clients) are fixed, what is drawn again is the episodes within each (a stratified bootstrap, Davison
and Hinkley 1997, chapter 3): the interval speaks of other games of these clients, not of other clients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

DRAWS = 2000


class Estimate(NamedTuple):
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    """Episodes, or pairs of them, of all groups together."""

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def mean(groups: Mapping[str, Sequence[float]], seed: int = 0) -> Estimate | None:
    """Group -> values; None where no group has any. Groups without a value do not count."""
    there = [np.asarray(g, dtype=float) for g in groups.values() if len(g)]
    if not there:
        return None
    rng = np.random.default_rng(seed)
    drawn = np.zeros(DRAWS)
    for g in there:
        drawn += g[rng.integers(len(g), size=(DRAWS, len(g)))].mean(1)
    low, high = np.quantile(drawn / len(there), [0.025, 0.975])
    value = float(np.mean([g.mean() for g in there]))
    return Estimate(value, float(low), float(high), sum(map(len, there)))


def difference(
    ours: Mapping[str, Mapping[int, float]],
    theirs: Mapping[str, Mapping[int, float]],
    seed: int = 0,
) -> Estimate | None:
    """Ours minus theirs, paired: group -> number of the episode -> value; what one lacks is left out."""
    pairs = {
        name: [x - theirs[name][i] for i, x in mine.items() if i in theirs[name]]
        for name, mine in ours.items()
        if name in theirs
    }
    return mean(pairs, seed)
