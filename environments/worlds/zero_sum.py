"""Zero-sum games in normal form: value and optimal mixtures of both, by linear programming.

The row player wants much, the column player little. With all gains made positive, the column's program

    max 1 q   so that   gains q <= 1,   q >= 0

has the value 1 / v, q v is the column's mixture, and the dual solution times v is the row's (Dantzig 1951, A
Proof of the Equivalence of the Programming Problem and the Game Problem). Solved by the simplex method on a
dense tableau; Bland's rule, should it go on for long, keeps it from cycling. Left out: sparse games.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
CLOSE = 1e-11
PATIENT = 60
"""Steps by the steepest column before Bland's rule."""


class Mixed(NamedTuple):
    """What both can be sure of, and the probabilities of the row's (m,) and the column's (n,) actions."""

    value: float
    row: tuple[float, ...]
    column: tuple[float, ...]


def zero_sum(gains: Matrix) -> Mixed:
    """Optimal play of the game in which the row player gets `gains` (m, n) from the column player."""
    m, n = gains.shape
    low, high = gains.min(axis=1), gains.max(axis=0)
    best, worst = int(low.argmax()), int(high.argmin())
    if low[best] >= high[worst] - CLOSE:  # nobody has to mix
        return Mixed(float(low[best]), _pure(m, best), _pure(n, worst))
    shift = 1.0 - float(gains.min())
    table = np.zeros((m + 1, n + m + 1))
    table[:m, :n] = gains + shift
    table[:m, n : n + m] = np.eye(m)
    table[:m, -1] = 1.0
    table[m, :n] = -1.0
    basis = list(range(n, n + m))
    step = 0
    while True:
        costs = table[m, :-1]
        at = int(costs.argmin()) if step < PATIENT else int((costs < -CLOSE).argmax())
        if costs[at] >= -CLOSE:
            break
        column = table[:m, at]
        ratios = np.full(m, np.inf)
        up = column > CLOSE
        ratios[up] = table[:m, -1][up] / column[up]
        least = ratios.min()
        out = min((i for i in range(m) if ratios[i] <= least + CLOSE), key=basis.__getitem__)
        table[out] /= table[out, at]
        others = table[:, at].copy()
        others[out] = 0.0
        table -= others[:, None] * table[out]
        basis[out] = at
        step += 1
    value = 1.0 / float(table[m, -1])
    column_mix = np.zeros(n + m)
    column_mix[basis] = table[:m, -1]
    return Mixed(value - shift, _whole(table[m, n : n + m]), _whole(column_mix[:n]))


def _pure(size: int, at: int) -> tuple[float, ...]:
    return tuple(float(i == at) for i in range(size))


def _whole(mixture: Matrix) -> tuple[float, ...]:
    """As probabilities, without the dust of rounding."""
    clean = np.where(mixture < CLOSE, 0.0, mixture)
    return tuple((clean / clean.sum()).tolist())
