"""Equilibria of a game of two players in normal form, by enumeration of supports.

For supports of equal size, the other's mixture must make every supported action equally good:

    A[I, J] q = u 1,   1 q = 1,   q > 0,   and no action outside I is better than u

(von Stengel 2007, in Algorithmic Game Theory, section 3.3). Complete for nondegenerate games. In
degenerate ones, equilibria with supports of different sizes are left out (they lie on the edges between
those that are listed). The numbers of actions are small, so every pair of supports is tried.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
CLOSE = 1e-9


class Equilibrium(NamedTuple):
    """Probabilities of the row's actions (m,) and the column's (n,), and the points of both."""

    row: tuple[float, ...]
    column: tuple[float, ...]
    points: tuple[float, float]


def equilibria(row: Matrix, column: Matrix) -> list[Equilibrium]:
    """Nash equilibria of the game with payoffs `row` and `column`, both (m, n); pure ones first."""
    found: list[Equilibrium] = []
    m, n = row.shape
    for size in range(1, min(m, n) + 1):
        for i in itertools.combinations(range(m), size):
            for j in itertools.combinations(range(n), size):
                q = _indifferent(row, i, j)
                p = None if q is None else _indifferent(column.T, j, i)
                if p is not None and q is not None:
                    points = float(p @ row @ q), float(p @ column @ q)
                    found.append(Equilibrium(tuple(p.tolist()), tuple(q.tolist()), points))
    return found


def _indifferent(gains: Matrix, own: tuple[int, ...], others: tuple[int, ...]) -> Matrix | None:
    """The mixture over `others` to which all of `own` are best replies; None when there is none."""
    size = len(own)
    system = np.ones((size + 1, size + 1))
    system[:size, :size] = gains[np.ix_(own, others)]
    system[:size, size] = -1.0
    system[size, size] = 0.0
    solved = _last(system)
    if solved is None or solved[:size].min() <= CLOSE:
        return None
    whole = np.zeros(gains.shape[1])
    whole[list(others)] = solved[:size]
    return whole if (gains @ whole).max() <= solved[size] + CLOSE else None


def _last(system: Matrix) -> Matrix | None:
    """The solution for a right-hand side of 0 but for a last 1; None when there is not exactly one."""
    try:
        return cast(Matrix, np.linalg.solve(system, np.eye(len(system))[-1]))
    except np.linalg.LinAlgError:
        return None


def security(gains: Matrix) -> float:
    """What the row player can be sure of by mixing: max over p of min over j of (p gains)[j].

    It is the row's points in an equilibrium of the zero-sum game; one with supports of equal size
    always exists (Shapley and Snow 1950, Annals of Mathematics Studies 24:27-35).
    """
    m, n = gains.shape
    for size in range(1, min(m, n) + 1):
        for i in itertools.combinations(range(m), size):
            for j in itertools.combinations(range(n), size):
                value = _kernel(gains, i, j)
                if value is not None:
                    return value
    raise ValueError(f"a game without a value: {gains.tolist()}")


def _kernel(gains: Matrix, i: tuple[int, ...], j: tuple[int, ...]) -> float | None:
    """The game's value, if optimal mixtures of both have these supports or parts of them."""
    size = len(i)
    system = np.ones((size + 1, size + 1))
    system[:size, :size] = gains[np.ix_(i, j)]
    system[:size, size] = -1.0
    system[size, size] = 0.0
    q = _last(system)
    system[:size, :size] = system[:size, :size].T.copy()
    p = _last(system)
    if p is None or q is None:
        return None
    if p[:size].min() < -CLOSE or q[:size].min() < -CLOSE:
        return None
    low = float((p[:size] @ gains[list(i)]).min())
    high = float((gains[:, list(j)] @ q[:size]).max())
    return low if high - low <= CLOSE else None
