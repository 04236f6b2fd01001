"""Two runs side by side: what differs, by how much, and what cannot be told apart.

Episodes are paired where both runs hold the same game under the same seed and number (a game is the world
with its values; the protocol, the words and the agents may differ: they are what is compared). Where
fewer than half of the smaller run have a partner, the runs are compared unpaired.

    difference = R_one - R_two,    R = sum_i a_i / sum_i b_i  as in `statistics.py`

What is resampled is the scenario, with all its episodes on either side (a cluster bootstrap: Field and
Welsh 2007), so that the interval speaks of other scenarios too. Of fewer than `FEW` scenarios it cannot;
then episodes are resampled and the interval is about other episodes of these scenarios. The test swaps
labels (`permutation.py`); p-values are Holm's over all metrics that could differ at all.

Left out: models of the difference (mixed effects), which need assumptions about its distribution. Both
runs are held in memory, about 1 KB an episode.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple, cast

import numpy as np

from ..environments import Episode, Scenario
from ..environments.records import Run
from ..environments.transcripts import episodes_of
from ..protocols import MootError
from .differences import ALPHA, Comparison, Difference
from .metrics import METRICS, RESULT, SEAT, Metric, Seen, chosen, described, parts
from .permutation import holm, relabel
from .statistics import Floats, Part, Ratios, binomial, interval, student, unanimous

FEW = 10
"""Scenarios below which episodes are resampled, not scenarios."""
POWER = 0.8
CONDITIONS = ("name", "protocol", "brief", "agents", "max_text", "patience", "source")
"""Fields of a scenario that are not part of the game itself."""

Played = Run | str | Path | Iterable[Episode]


class _Row(NamedTuple):
    game: int
    key: int
    """Of game, seed and number."""
    parts: dict[str, Part]


class _Side(NamedTuple):
    rows: list[_Row]
    seats: set[tuple[str, ...]]
    kinds: set[tuple[str, str]]
    """World and name of the scenarios."""


def compare(
    one: Played,
    two: Played,
    *,
    names: tuple[str, str] | None = None,
    metrics: Mapping[str, Metric] | Iterable[str] = METRICS,
) -> Comparison:
    """Compare two runs (or paths, or episodes): differences with intervals, tests and effect sizes.

    `names` are used in the words. `metrics`: names, `utility.SEAT` and `result.NAME` among them; or a
    mapping, to which the seats and results that both runs have are added. Raises `MootError` for no run or
    an unknown metric.
    """
    picked = None
    if not isinstance(metrics, Mapping):
        metrics = picked = list(metrics)
    wanted = chosen(cast(Mapping[str, Metric] | list[str], metrics))
    called = names or (_called(one, "one"), _called(two, "two"))
    sides = _read(one, wanted), _read(two, wanted)
    for name, side in zip(called, sides, strict=True):
        if not side.rows:
            raise MootError(f"{name} has no episodes to compare")
    keys = [{row.key for row in side.rows} for side in sides]
    common = keys[0] & keys[1]
    paired = 2 * len(common) >= min(map(len, keys))
    kept = [[row for row in side.rows if not paired or row.key in common] for side in sides]
    for rows in kept:  # so that nothing depends on the order in which episodes ended
        rows.sort(key=lambda row: row.key)
    games = {row.game for rows in kept for row in rows}
    unit = "scenario" if len(games) >= FEW else "episode"
    shown = _names(sides, kept, wanted)
    if picked is not None:
        shown = [name for name in shown if name in picked]
    found = _differences(kept, shown, wanted, by_game=unit == "scenario")
    return Comparison(
        names=called,
        episodes=(len(kept[0]), len(kept[1])),
        left_out=(len(sides[0].rows) - len(kept[0]), len(sides[1].rows) - len(kept[1])),
        paired=paired,
        unit=unit,
        units=len(games if unit == "scenario" else {r.key for rows in kept for r in rows}),
        differences=tuple(found),
        comparable=_comparable(*sides),
    )


def game_of(scenario: Scenario) -> int:
    """64-bit hash of a scenario's game: its world and values, without the conditions of the talk."""
    text = scenario.model_dump_json(exclude=set(CONDITIONS))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def pair_key(game: int, episode: Episode) -> int:
    """64-bit hash of what pairs two episodes: game, seed and number."""
    text = f"{game}|{episode.seed}|{episode.id}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _called(played: Played, otherwise: str) -> str:
    if isinstance(played, Run):
        return str(played.path)
    return str(played) if isinstance(played, str | Path) else otherwise


def _read(played: Played, metrics: Mapping[str, Metric]) -> _Side:
    if isinstance(played, str | Path):
        played = episodes_of(played)
    elif isinstance(played, Run):
        played = played.episodes()
    rows: list[_Row] = []
    seats: set[tuple[str, ...]] = set()
    kinds: set[tuple[str, str]] = set()
    for episode in played:
        game = game_of(episode.scenario)
        rows.append(_Row(game, pair_key(game, episode), parts(Seen(episode), metrics)))
        seats.add(tuple(sorted(episode.scenario.roles)))
        kinds.add((episode.scenario.world, episode.scenario.name))
    return _Side(rows, seats, kinds)


def _comparable(one: _Side, two: _Side) -> bool:
    """Whether points mean the same on either side: a game or a scenario's name in common, or many games
    of one world (dialogues of people beside games drawn like theirs)."""
    games = [{row.game for row in side.rows} for side in (one, two)]
    worlds = [{world for world, _ in side.kinds} for side in (one, two)]
    if games[0] & games[1] or one.kinds & two.kinds:
        return True
    return worlds[0] == worlds[1] and max(map(len, games)) >= FEW


def _names(
    sides: tuple[_Side, _Side], kept: list[list[_Row]], metrics: Mapping[str, Metric]
) -> list[str]:
    """Metrics that have a value on both sides, in order; seats only where they are all the same."""
    bottoms: list[dict[str, float]] = []
    for rows in kept:
        sums: dict[str, float] = {}
        for row in rows:
            for name, (_, bottom) in row.parts.items():
                sums[name] = sums.get(name, 0.0) + bottom
        bottoms.append(sums)
    both = [n for n in bottoms[0] if bottoms[0][n] and bottoms[1].get(n)]
    same = len(sides[0].seats | sides[1].seats) == 1
    own = sorted(n for n in both if n.startswith(RESULT) or (same and n.startswith(SEAT)))
    return [*(n for n in metrics if n in both), *own]


def _differences(
    kept: list[list[_Row]], names: list[str], metrics: Mapping[str, Metric], *, by_game: bool
) -> list[Difference]:
    if not names:
        return []
    one, two = (_table(rows, names) for rows in kept)
    keys = [
        np.array([r.game if by_game else r.key for r in rows], dtype=np.uint64) for rows in kept
    ]
    (units1, sums1), (units2, sums2) = (
        _by_unit(k, t) for k, t in zip(keys, (one, two), strict=True)
    )
    common = np.intersect1d(units1, units2)
    in1, in2 = np.isin(units1, common), np.isin(units2, common)
    tested = relabel((sums1[in1], sums2[in2]), (sums1[~in1], sums2[~in2]))
    drawn = _drawn(kept[0], keys[0], names), _drawn(kept[1], keys[1], names)
    tests = [i for i in range(len(names)) if tested.movable[i]]
    adjusted = dict(zip(tests, holm([float(tested.p[i]) for i in tests]), strict=True))
    return [
        _difference(
            described(name, metrics),
            (one[:, i], two[:, i]),
            (drawn[0].drawn(name), drawn[1].drawn(name)),
            scored=(drawn[0].sums[name][2], drawn[1].sums[name][2]),
            units=min(_scored(keys[0], one[:, i]), _scored(keys[1], two[:, i])),
            p=float(tested.p[i]) if i in adjusted else 1.0,
            adjusted=adjusted.get(i, 1.0),
            floor=float(tested.floor[i]),
        )
        for i, name in enumerate(names)
    ]


def _difference(
    metric: Metric,
    parts: tuple[Floats, Floats],
    drawn: tuple[Floats, Floats],
    *,
    scored: tuple[int, int],
    units: int,
    p: float,
    adjusted: float,
    floor: float,
) -> Difference:
    """`parts`: (n, 2) of either side; `drawn`: (2, RESAMPLES) of either side."""
    values, spread, own = list[float](), list[float](), list[tuple[float, float] | None]()
    for mine, resampled, count in zip(parts, drawn, scored, strict=True):
        top, bottom = (float(x) for x in mine.sum(0))
        value = top / bottom
        values.append(value)
        # How far a single episode moves the ratio: the delta method's influence values.
        there = mine[(mine != 0).any(1)] if bottom != len(mine) else mine
        influence = (there[:, 0] - value * there[:, 1]) * len(there) / bottom
        spread.append(float(influence.var(ddof=1)) if len(there) > 1 else math.nan)
        if metric.rate and value in (0.0, 1.0):
            own.append(unanimous(value, count))
        elif metric.rate and bottom == count == units:  # every unit said yes or no, once
            own.append(binomial(round(top), count))
        else:
            own.append(interval(resampled, units))
    gap = values[0] - values[1]
    ci, error = _interval(gap, drawn, units)
    if metric.rate and (values[0] in (0.0, 1.0) or values[1] in (0.0, 1.0)):
        ci = _mover(gap, values, own)  # no resample shows any spread where all say the same
        error = None if ci is None else (ci[1] - ci[0]) / (2 * NormalDist().inv_cdf(0.975))
    pooled = math.sqrt(sum(spread) / 2)
    return Difference(
        name=metric.name,
        unit=metric.unit,
        one=values[0],
        two=values[1],
        difference=gap,
        ci=ci,
        p=p,
        adjusted=adjusted,
        effect=gap / pooled if pooled > 1e-12 else None,
        detectable=None if error is None or units < 2 else _detectable(error, units),
        floor=floor,
        n=(round(float(parts[0][:, 1].sum())), round(float(parts[1][:, 1].sum()))),
        scored=scored,
        better=metric.better,
    )


def _interval(
    gap: float, drawn: tuple[Floats, Floats], units: int
) -> tuple[tuple[float, float] | None, float | None]:
    """Percentile interval of the difference, and its standard error; None where nothing can be said."""
    there = (drawn[0][1] > 0) & (drawn[1][1] > 0)
    if units < 2 or not there.any():
        return None, None
    gaps = drawn[0][0, there] / drawn[0][1, there] - drawn[1][0, there] / drawn[1][1, there]
    # As a ratio over 1, so that few units widen it as they do in `interval`.
    return interval(np.stack([gaps, np.ones_like(gaps)]), units), float(gaps.std(ddof=1))


def _mover(
    gap: float, values: list[float], own: list[tuple[float, float] | None]
) -> tuple[float, float] | None:
    """Interval of a difference from the intervals of its two parts (Zou and Donner 2008; Newcombe 1998)."""
    one, two = own
    if one is None or two is None:
        return None
    down = math.hypot(values[0] - one[0], two[1] - values[1])
    up = math.hypot(one[1] - values[0], values[1] - two[0])
    return gap - down, gap + up


def _detectable(error: float, units: int) -> float:
    """(t_97.5% + t_80%) standard errors (Bloom 1995, "Minimum detectable effects")."""
    freedom = units - 1
    return (student(1 - ALPHA / 2, freedom) + student(POWER, freedom)) * error


def _table(rows: list[_Row], names: list[str]) -> Floats:
    """Parts of each episode, (n, names, 2); 0, 0 where it says nothing."""
    nothing = (0.0, 0.0)
    return np.array([[row.parts.get(name, nothing) for name in names] for row in rows])


def _by_unit(keys: Any, table: Floats) -> tuple[Any, Floats]:
    """Units ascending, and the sums of their episodes, (units, names, 2)."""
    units, where = np.unique(keys, return_inverse=True)
    sums = np.zeros((len(units), *table.shape[1:]))
    np.add.at(sums, where, table)
    return units, sums


def _scored(keys: Any, parts: Floats) -> int:
    """Units that say something."""
    return len(np.unique(keys[(parts != 0).any(1)]))


def _drawn(rows: list[_Row], keys: Any, names: list[str]) -> Ratios:
    """Sums of every resample: equal keys are drawn together, on this side and on the other."""
    ratios = Ratios()
    for row, key in zip(rows, keys.tolist(), strict=True):
        ratios.add(key, {name: row.parts[name] for name in names if name in row.parts})
    return ratios


__all__ = ["Comparison", "Difference", "compare", "game_of", "pair_key"]
