"""What the talk itself achieved: the same games without it, with it, and with nothing left to find out.

    eta = (S - S_silent) / (S_oracle - S_silent)

S is the mean of a metric over episodes, S_silent with the talk switched off, S_oracle of agents that are
shown everybody's secrets. 0: the talk changed nothing; 1: it won all that information could; below 0: it
did harm. All arms play the same games with the same random numbers, so that a resample of games is one of
all arms at once. Divided by what was said, eta is what a hundred tokens (or words) won.

Left out where it says nothing: eta is None unless the 95 % interval of S_oracle - S_silent lies above 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..environments import Episode
from .compare import FEW, game_of
from .metrics import RESULT, SEAT, Metric, Seen, parts
from .paired import Estimate
from .statistics import Floats, Ratios, interval

SILENT, ORACLE = "silent", "oracle"


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of playing the games."""

    name: str
    score: Estimate
    words: float
    """Per episode."""
    tokens: float | None
    """Completion tokens per episode; None where nobody counts any."""
    eta: Estimate | None
    per_100_words: Estimate | None
    """eta per 100 words of an episode."""
    per_100_tokens: Estimate | None

    def data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "score": _data(self.score),
            "words": self.words,
            "tokens": self.tokens,
            "eta": _data(self.eta),
            "eta_per_100_words": _data(self.per_100_words),
            "eta_per_100_tokens": _data(self.per_100_tokens),
        }


def efficiency(arms: Mapping[str, Iterable[Episode]], metric: Metric) -> dict[str, Arm]:
    """Name of an arm -> what it came to; `arms` holds `silent` and `oracle` among others."""
    brought = metric.name.startswith((SEAT, RESULT))
    rows: dict[str, dict[int, dict[str, tuple[float, float]]]] = {}
    games: dict[int, int] = {}
    for name, episodes in arms.items():
        rows[name] = {}
        for episode in episodes:
            seen = Seen(episode)
            found = parts(seen, {} if brought else {metric.name: metric}).get(metric.name)
            said = {} if found is None else {"score": found}
            said["words"] = float(sum(map(len, seen.words))), 1.0
            if seen.tokens:
                said["tokens"] = float(sum(seen.tokens)), 1.0
            rows[name][episode.id] = said
            games[episode.id] = game_of(episode.scenario)
    by_game = len(set(games.values())) >= FEW
    ratios = Ratios()
    for number, game in sorted(games.items()):
        sums = {
            f"{name}\0{what}": part
            for name, episodes in rows.items()
            for what, part in episodes.get(number, {}).items()
        }
        ratios.add(game if by_game else number, sums)
    units = len(set(games.values()) if by_game else games)
    means = {key: _mean(ratios, key) for key in ratios.sums}
    base, best = means.get(f"{SILENT}\0score"), means.get(f"{ORACLE}\0score")
    room = None if base is None or best is None else (best[0] - base[0], best[1] - base[1])
    if room is not None and not _estimate(room, 0, units).low > 0:
        room = None
    return {
        name: _arm(name, means, base, room, units, len(rows[name]))
        for name in rows
        if f"{name}\0score" in means
    }


Mean = tuple[float, Floats]
"""A value, and what it is in each resample, (RESAMPLES,)."""


def _arm(
    name: str, means: Mapping[str, Mean], base: Mean | None, room: Mean | None, units: int, n: int
) -> Arm:
    score, words = means[f"{name}\0score"], means[f"{name}\0words"]
    tokens = means.get(f"{name}\0tokens")
    eta: Mean | None = None
    if base is not None and room is not None and name not in (SILENT, ORACLE):
        with np.errstate(divide="ignore", invalid="ignore"):
            eta = (score[0] - base[0]) / room[0], (score[1] - base[1]) / room[1]

    def per_100(said: Mean | None) -> Estimate | None:
        if eta is None or said is None or not said[0]:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            return _estimate((100 * eta[0] / said[0], 100 * eta[1] / said[1]), n, units)

    return Arm(
        name=name,
        score=_estimate(score, n, units),
        words=words[0],
        tokens=None if tokens is None else tokens[0],
        eta=None if eta is None else _estimate(eta, n, units),
        per_100_words=per_100(words),
        per_100_tokens=per_100(tokens),
    )


def _mean(ratios: Ratios, key: str) -> Mean:
    top, bottom, _ = ratios.sums[key]
    drawn = ratios.drawn(key)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (top / bottom if bottom else float("nan")), drawn[0] / drawn[1]


def _estimate(mean: Mean, n: int, units: int) -> Estimate:
    value, drawn = mean
    there = drawn[np.isfinite(drawn)]
    ci = interval(np.stack([there, np.ones_like(there)]), units)
    low, high = ci if ci is not None else (float("nan"), float("nan"))
    return Estimate(value, low, high, n)


def _data(e: Estimate | None) -> dict[str, Any] | None:
    if e is None:
        return None
    return {"value": e.value, "ci": [e.low, e.high] if e.low == e.low else None, "n": e.n}
