"""Strengths from who beat whom: Bradley and Terry (1952), by Hunter's minorisation (2004, Ann. Stat. 32:384).

    P(i beats j) = s_i / (s_i + s_j),    s_i <- W_i / sum_j n_ij / (s_i + s_j)

with W_i the wins of i (a tie is half a win for each) and n_ij the matches of i and j. Hunter proves that
every step raises the likelihood, and that there is a maximum where everybody is beaten by somebody along
some chain. So that there always is one, each pair that met is taken to have tied once more.

    Elo_i = 1500 + 400 log10 s_i,    the s_i of geometric mean 1

Left out: the advantage of a seat, which swapping seats cancels; ratings that change over time.
"""

from __future__ import annotations

import numpy as np

from .statistics import Floats

MIDDLE, SCALE = 1500.0, 400.0
STEPS, CLOSE = 2_000, 1e-7


def strengths(wins: Floats) -> Floats:
    """Logarithms of s, (..., N) of mean 0, from the wins of row over column, (..., N, N)."""
    met = wins + np.swapaxes(wins, -1, -2)
    wins = wins + (met > 0) / 2
    met = met + (met > 0)
    won = wins.sum(-1)
    log = np.zeros(won.shape)
    for _ in range(STEPS):
        s = np.exp(log)
        shares = (met / (s[..., :, None] + s[..., None, :])).sum(-1)
        new = np.log(np.where(shares > 0, won / np.where(shares > 0, shares, 1), 1.0))
        new -= new.mean(-1, keepdims=True)
        moved = float(np.abs(new - log).max(initial=0.0))
        log = new
        if moved < CLOSE:
            break
    return log


def elo(log: Floats) -> Floats:
    """On the scale of chess: 400 points are odds of 10 to 1."""
    return MIDDLE + SCALE * log / np.log(10)
