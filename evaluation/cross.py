"""Cross-play: every agent with every agent, in either seat, on the same scenarios.

    M[i, j] = mean points of agent i beside agent j, both seatings together

The diagonal is self-play: an agent that does well there alone has learned its own habits, not the game
(Hu et al. 2020, arXiv 2003.02979). Strengths come from matches: of two agents the one with more points
over both seatings of one scenario beats the other, as at duplicate bridge, so that neither the seat nor
the scenario decides. All intervals resample scenarios (episodes, of fewer than `FEW`), the same ones in
every cell.

Left out: what points of different seats are worth beside each other (they are added), and tables of more
than two parties of agents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..environments import Episode
from .compare import FEW, game_of
from .paired import Estimate
from .ratings import elo, strengths
from .statistics import Floats, Ratios, interval, weights

Cell = tuple[str, str]
"""Who has the first side and who the second."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One agent among the others."""

    name: str
    crossed: Estimate | None
    """Points beside the others, each of them counting alike."""
    alone: Estimate | None
    """Points beside itself."""
    gap: Estimate | None
    """`alone` minus `crossed`."""
    elo: Estimate | None
    matches: tuple[float, int]
    """Matches won (a tie is half a win) and played."""


@dataclass(frozen=True, slots=True)
class Cross:
    """The matrix and the standings."""

    agents: tuple[str, ...]
    cells: dict[Cell, Estimate]
    """(row, column) -> points of the row beside the column."""
    standings: tuple[Standing, ...]
    """The strongest first."""
    episodes: int
    unit: str
    units: int

    def data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "agents": list(self.agents),
            "cells": [
                {"agent": i, "beside": j, **_data(e), "self_play": i == j}
                for (i, j), e in self.cells.items()
            ],
            "standings": [
                {
                    "agent": s.name,
                    "crossed": _data(s.crossed),
                    "self_play": _data(s.alone),
                    "gap": _data(s.gap),
                    "elo": _data(s.elo),
                    "won": s.matches[0],
                    "matches": s.matches[1],
                }
                for s in self.standings
            ],
            "episodes": self.episodes,
            "unit": self.unit,
            "units": self.units,
        }

    def words(self) -> list[str]:
        """Who is stronger than whom, and who is at its best among its like."""
        lines: list[str] = []
        for one, two in zip(self.standings, self.standings[1:], strict=False):
            if one.elo and two.elo:
                apart = one.elo.low > two.elo.high
                verb = "is stronger than" if apart else "cannot be told from"
                lines.append(
                    f"{one.name} {verb} {two.name} ({one.elo.value:.0f}, {two.elo.value:.0f})"
                )
        for s in self.standings:
            if s.gap and (s.gap.low > 0 or s.gap.high < 0):
                how = "better" if s.gap.low > 0 else "worse"
                lines.append(f"{s.name} does {how} beside itself than beside others: {s.gap}")
        return lines


def crossed(
    agents: Iterable[str],
    cells: Mapping[Cell, Iterable[Episode]],
    first: Callable[[Episode], Iterable[str]],
) -> Cross:
    """The matrix of played cells; `first` names the seats of an episode that the first of a cell holds.

    A cell that is missing or half played leaves out what would need it.
    """
    names = tuple(agents)
    points: dict[Cell, dict[int, tuple[float, float]]] = {}
    games: dict[int, int] = {}
    count = 0
    for cell, episodes in cells.items():
        played = points.setdefault(cell, {})
        for episode in episodes:
            count += 1
            ours, gained = set(first(episode)), episode.outcome.utilities
            sides = (
                [u for a, u in gained.items() if a in ours],
                [u for a, u in gained.items() if a not in ours],
            )
            if all(sides):
                played[episode.id] = sum(sides[0]) / len(sides[0]), sum(sides[1]) / len(sides[1])
                games[episode.id] = game_of(episode.scenario)
    by_game = len(set(games.values())) >= FEW
    keys = {number: game if by_game else number for number, game in games.items()}
    ratios = Ratios()
    for number, key in sorted(keys.items()):
        sums: dict[str, tuple[float, float]] = {}
        for (i, j), played in points.items():
            if number in played:
                one, two = played[number]
                for name, value in ((_name(i, j), one), (_name(j, i), two)):
                    top, bottom = sums.get(name, (0.0, 0.0))
                    sums[name] = top + value, bottom + 1
        ratios.add(key, sums)
    units = len(set(keys.values()))
    found = {
        (i, j): estimate
        for i in names
        for j in names
        if (estimate := _estimate([_drawn(ratios, i, j)], [1.0], units)) is not None
    }
    rated, record = _rated(names, points, keys, units)
    standings = [
        _standing(name, names, ratios, units, rated.get(name), record.get(name, (0.0, 0)))
        for name in names
    ]
    standings.sort(key=lambda s: -(s.elo.value if s.elo else 0.0))
    unit = "scenario" if by_game else "episode"
    return Cross(names, found, tuple(standings), count, unit, units)


def _standing(
    name: str,
    names: tuple[str, ...],
    ratios: Ratios,
    units: int,
    rating: Estimate | None,
    matches: tuple[float, int],
) -> Standing:
    own = _drawn(ratios, name, name)
    others = [d for j in names if j != name and (d := _drawn(ratios, name, j)) is not None]
    share = [1 / len(others)] * len(others)
    gap = None
    if own is not None and others:
        gap = _estimate([own, *others], [1.0, *(-x for x in share)], units)
    return Standing(
        name=name,
        crossed=_estimate(others, share, units) if others else None,
        alone=_estimate([own], [1.0], units),
        gap=gap,
        elo=rating,
        matches=matches,
    )


Drawn = tuple[float, Floats, int]
"""Value, its resampled sums (2, RESAMPLES), and its denominator."""


def _drawn(ratios: Ratios, i: str, j: str) -> Drawn | None:
    name = _name(i, j)
    if name not in ratios.sums:
        return None
    top, bottom, _ = ratios.sums[name]
    return top / bottom, ratios.drawn(name), round(bottom)


def _estimate(parts: Sequence[Drawn | None], shares: list[float], units: int) -> Estimate | None:
    """A weighted sum of ratios; one of fewer than two units has no width to tell."""
    there = [p for p in parts if p is not None]
    if len(there) < len(parts) or not there:
        return None
    value = sum(s * p[0] for s, p in zip(shares, there, strict=True))
    some = np.logical_and.reduce([p[1][1] > 0 for p in there])
    draws = sum(s * p[1][0, some] / p[1][1, some] for s, p in zip(shares, there, strict=True))
    ci = interval(np.stack([draws, np.ones_like(draws)]), units)
    low, high = ci if ci is not None else (float("nan"), float("nan"))
    return Estimate(value, low, high, min(p[2] for p in there))


def _rated(
    names: tuple[str, ...],
    points: Mapping[Cell, Mapping[int, tuple[float, float]]],
    keys: Mapping[int, int],
    units: int,
) -> tuple[dict[str, Estimate], dict[str, tuple[float, int]]]:
    """Elo-scaled strengths, and matches won and played."""
    numbers = sorted(keys)
    wins = np.zeros((len(numbers), len(names), len(names)))
    for row, number in enumerate(numbers):
        for a, i in enumerate(names):
            for b, j in enumerate(names[:a]):
                there, back = points.get((i, j), {}), points.get((j, i), {})
                if number in there and number in back:
                    gap = there[number][0] + back[number][1] - there[number][1] - back[number][0]
                    share = 0.5 if abs(gap) < 1e-9 else float(gap > 0)
                    wins[row, a, b], wins[row, b, a] = share, 1 - share
    total = wins.sum(0)
    played = total + total.T
    if not played.any():
        return {}, {}
    value = elo(strengths(total))
    drawn = weights(np.array([keys[n] for n in numbers], dtype=np.uint64))
    resampled = np.tensordot(drawn, wins, ((0,), (0,)))
    rated = elo(strengths(resampled))
    found: dict[str, Estimate] = {}
    for a, name in enumerate(names):
        ci = interval(np.stack([rated[:, a], np.ones(len(rated))]), units)
        low, high = ci if ci is not None else (float("nan"), float("nan"))
        found[name] = Estimate(float(value[a]), low, high, round(float(played[a].sum())))
    record = {
        name: (float(total[a].sum()), round(float(played[a].sum()))) for a, name in enumerate(names)
    }
    return found, record


def _name(i: str, j: str) -> str:
    return f"{i}\0{j}"


def _data(estimate: Estimate | None) -> dict[str, Any]:
    if estimate is None:
        return {"value": None, "ci": None, "n": 0}
    known = estimate.low == estimate.low
    ci = [estimate.low, estimate.high] if known else None
    return {"value": estimate.value, "ci": ci, "n": estimate.n}
