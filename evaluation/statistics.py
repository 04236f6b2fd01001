"""Ratios of sums over episodes, with bootstrap intervals that stream and merge.

Every score here is `sum_i a_i / sum_i b_i` over episodes i (a mean is the case b_i = 1), so an episode,
not a message or an agent, is the unit that is resampled: what happens within one hangs together. The
Poisson bootstrap (Hanley and MacGibbon 2006; Chamandy et al. 2012, "Estimating uncertainty for massive
data streams") draws for episode i and resample b an independent weight w_ib ~ Poisson(1) and looks at

    sum_i w_ib a_i / sum_i w_ib b_i,    b = 1..B

which for many episodes is the usual bootstrap, but needs no second pass over the data. The weights are
a hash of the episode's own key and b. So the interval does not depend on the order of the episodes, two
parts merge into the whole by adding up, memory does not grow with the episodes, and the same run gives
the same interval.

The interval is the percentile interval, its tails widened for few episodes as Hesterberg (2015, arXiv
1411.5279, section 4.2) proposes: for n episodes, the normal tail probability of t(n-1, 2.5 %) sqrt(n /
(n-1)). A rate to which every episode adds one yes or no needs no resampling; up to `FEW` of the rarer
answer its interval is the exact one (`binomial`). Left out: BCa, which needs every episode again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
"""B: the ends of the interval then lie within about 5 % of its half-width."""
LEVEL = 0.95
FEW = 100
"""Successes (or failures, if they are fewer) up to which a rate's interval is exact; above, resamples
give the same to about 1 % of its width."""
BLOCK = 256
"""Episodes that are weighed at a time."""
Floats = NDArray[np.float64]
Part = tuple[float, float]
"""What one episode adds to the sums: a_i and b_i."""


@cache
def _poisson() -> NDArray[np.uint8]:
    """Quantiles of Poisson(1) at 65,536 evenly spaced probabilities, (65536,)."""
    at = (np.arange(65536) + 0.5) / 65536
    mass = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(12)])
    return np.searchsorted(mass, at).astype(np.uint8)


def weights(keys: NDArray[np.uint64]) -> Floats:
    """Poisson(1) weights of episodes with these keys in every resample, (episodes, RESAMPLES).

    A 64-bit hash (splitmix64; Steele et al. 2014) of key and counter gives four 16-bit draws.
    """
    counter = np.arange(1, RESAMPLES // 4 + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = keys[:, None] + counter[None, :]
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return _poisson()[z.view(np.uint16)].astype(np.float64)


class Ratios:
    """Named ratios of sums over episodes, with their sums in every resample.

    Memory is about 32 KB a name, whatever the number of episodes.
    """

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, float, int]] = {}
        self._drawn: dict[str, Floats] = {}
        self._waiting: list[tuple[int, Mapping[str, Part]]] = []

    @property
    def sums(self) -> Mapping[str, tuple[float, float, int]]:
        """Name -> sum of a, sum of b, number of episodes that added to them."""
        self._draw()
        return self._sums

    def add(self, key: int, parts: Mapping[str, Part]) -> None:
        """What one episode adds, to each name that it says something about.

        `key` is a 64-bit hash of the episode; episodes of equal keys are drawn together.
        """
        if parts:
            self._waiting.append((key, parts))
        if len(self._waiting) >= BLOCK:
            self._draw()

    def merge(self, other: Ratios) -> Ratios:
        """The ratios over both sets of episodes; neither is changed."""
        both = Ratios()
        for part in (self, other):
            for name, sums in part.sums.items():
                both._count(name, sums, part._drawn[name])
        return both

    def drawn(self, name: str) -> Floats:
        """Sums of a and of b in every resample, (2, RESAMPLES)."""
        self._draw()
        return self._drawn[name]

    def _count(self, name: str, sums: tuple[float, float, int], drawn: Floats) -> None:
        old = self._sums.get(name, (0.0, 0.0, 0))
        self._sums[name] = old[0] + sums[0], old[1] + sums[1], old[2] + sums[2]
        self._drawn[name] = self._drawn.get(name, 0.0) + drawn

    def _draw(self) -> None:
        """Weigh the waiting episodes: one product (2 names, episodes) @ (episodes, RESAMPLES) for each
        set of names, of which there are few."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        weighed = weights(np.array([key for key, _ in waiting], dtype=np.uint64))
        alike: dict[tuple[str, ...], list[int]] = {}
        for i, (_, parts) in enumerate(waiting):
            alike.setdefault(tuple(parts), []).append(i)
        for names, at in alike.items():
            rows = np.array([list(waiting[i][1].values()) for i in at], dtype=np.float64)
            totals: list[list[float]] = rows.sum(0).tolist()
            drawn = weighed if len(alike) == 1 else weighed[at]
            sums = _weigh(rows.reshape(len(at), -1), drawn).reshape(len(names), 2, -1)
            for name, (top, bottom), pair in zip(names, totals, sums, strict=True):
                self._count(name, (top, bottom, len(at)), pair)


def _weigh(columns: Floats, drawn: Floats) -> Floats:
    """columns.T @ drawn: (n, C) and (n, RESAMPLES) to (C, RESAMPLES). Columns of one value (denominators
    of 1, rates of 0) share the sum of the weights, which leaves half of the product or less."""
    same = (columns == columns[0]).all(0)
    sums = np.empty((columns.shape[1], drawn.shape[1]))
    sums[same] = columns[0, same][:, None] * drawn.sum(0)
    sums[~same] = columns[:, ~same].T @ drawn
    return sums


def interval(drawn: Floats, episodes: int) -> tuple[float, float] | None:
    """Percentile interval of a ratio from its resampled sums, (2, RESAMPLES).

    None for fewer than two episodes, which say nothing about how much episodes differ.
    """
    if episodes < 2:
        return None
    tops, bottoms = drawn[:, drawn[1] > 0]
    if not len(bottoms):
        return None
    tail = _tail(episodes)
    low, high = np.quantile(tops / bottoms, [tail, 1 - tail])
    return float(low), float(high)


@cache
def _tail(n: int) -> float:
    """Probability to cut off on either side, at most 2.5 %."""
    wanted = (1 - LEVEL) / 2
    wide = -student(wanted, n - 1) * math.sqrt(n / (n - 1))
    return min(wanted, NormalDist().cdf(-wide))


def student(p: float, freedom: int) -> float:
    """Quantile of Student's t by its expansion around the normal one (Abramowitz and Stegun 26.7.5);
    within 1 % at 2.5 % for 4 degrees of freedom or more, too small below (the exact 1, 2, 3 are used)."""
    exact = {1: math.tan(math.pi * (p - 0.5)), 2: (2 * p - 1) / math.sqrt(2 * p * (1 - p))}
    if freedom in exact:
        return exact[freedom]
    x = NormalDist().inv_cdf(p)
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + sum(term / freedom**k for k, term in enumerate(terms, 1))


def unanimous(value: float, episodes: int) -> tuple[float, float]:
    """Interval of a rate that was 0 (or 1) in every episode, where resampling sees no spread.

    Clopper and Pearson (1934): the largest p for which n episodes without a single success keep a
    probability of 2.5 %, 1 - 0.025^(1/n); mirrored for 1.
    """
    room = 1 - ((1 - LEVEL) / 2) ** (1 / episodes)
    return (0.0, room) if value == 0 else (1 - room, 1.0)


def binomial(yes: int, episodes: int) -> tuple[float, float]:
    """Interval of a rate of `yes` among episodes that each say yes or no: Clopper and Pearson (1934).

    Resampling few of them is too wide: of 8 episodes with 3 successes, a Poisson resample holds none of
    the 3 in exp(-3) = 5 % of all draws, so its interval would begin at 0 and end at 1.
    """
    if yes in (0, episodes):
        return unanimous(yes / episodes, episodes)
    if 2 * yes > episodes:
        low, high = binomial(episodes - yes, episodes)
        return 1 - high, 1 - low
    tail = (1 - LEVEL) / 2
    # P(X < yes | low) = 1 - tail and P(X <= yes | high) = tail; either falls as p grows.
    return _root(yes - 1, episodes, 1 - tail), _root(yes, episodes, tail)


def _root(most: int, n: int, wanted: float) -> float:
    """The p at which at most `most` successes in n trials have the wanted probability; bisection."""
    k = np.arange(most + 1)
    each = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in k.tolist()]
    ways = np.array(each)
    low, high = 0.0, 1.0
    for _ in range(50):
        p = (low + high) / 2
        chance = float(np.exp(ways + k * math.log(p) + (n - k) * math.log1p(-p)).sum())
        low, high = (p, high) if chance > wanted else (low, p)
    return (low + high) / 2
