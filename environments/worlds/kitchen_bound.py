"""The most points that two cooks could score in a kitchen: an upper bound, not the best plan.

Two things run out, and the scarcer decides:

- pots: between two soups a pot has to be filled and to cook, and the first is on only once somebody has
  brought what it takes;
- hands: whatever is in a soup was carried, one thing at a time, and from each pot and each plate served
  hands have to get to the next thing. Two cooks have as many steps as there is time, twice.

Both leave out what else costs time: other cooks in the way, waiting, counters that are full or still empty.
So no plan scores more, and few score as much. Steps are those of `kitchen.py`; turning is one. Carrying
may go over a counter: two acts of hands, which two cooks can do within one step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from heapq import heappop, heappush
from typing import NamedTuple

from .kitchen_scenario import (
    COUNTER,
    DISHES,
    FULLEST,
    INGREDIENTS,
    POT,
    SERVE,
    WAYS,
    Cell,
    Grid,
    KitchenScenario,
    find,
    walkable,
)

FAR = 10**9
Stand = tuple[Cell, str]
"""Where a cook stands and which way it faces."""
Steps = Mapping[Stand, int]


class Soup(NamedTuple):
    """One soup that pays."""

    marks: tuple[str, ...]
    """The supply of each thing in it."""
    cooks: int
    """Steps on the fire."""
    worth: float


def most_points(scenario: KitchenScenario) -> float:
    """An upper bound on the points of all soups served before the kitchen closes."""
    marks = {name: mark for mark, name in INGREDIENTS.items()}
    soups = {
        Soup(tuple(sorted(marks[i] for i in r)), scenario.cooks(r), scenario.worth(r))
        for r in scenario.menu
    }
    return _most(tuple(scenario.grid), tuple(sorted(soups)), scenario.horizon)


@lru_cache(maxsize=1024)
def _most(grid: Grid, soups: tuple[Soup, ...], horizon: int) -> float:
    floor = _Floor(grid)
    pots = [cell for mark, cell in floor.stations if mark == POT]
    by_pots = sum(_one_pot(floor, pot, soups, horizon) for pot in pots)
    return min(by_pots, _two_pairs_of_hands(floor, soups, horizon))


def _one_pot(floor: _Floor, pot: Cell, soups: Sequence[Soup], horizon: int) -> float:
    """The most that one pot could yield.

    A cook that has put something in is back with the next thing after `gap` steps. From a soup taken to the
    next one on: 1 step for one thing (somebody else puts the pot on), gap for two (brought by both), gap + 1
    for three (who took the soup must put that down first). The first soup finds both cooks ready.
    """
    here = floor.facing(POT, pot)
    away, back = floor.ways(here), floor.ways(here, back=True)
    taken = [s for mark in (*INGREDIENTS, COUNTER) for s in floor.facing(mark)]
    gap = min((away.get(s, FAR) + back.get(s, FAR) for s in taken), default=FAR) + 2
    brought = floor.ways(here, back=True, over=1)
    supplies = [s for mark in INGREDIENTS for s in floor.facing(mark)]
    first = min(
        (start.get(s, FAR) + brought.get(s, FAR) for start in floor.starts for s in supplies),
        default=FAR,
    ) + 2  # fmt: skip
    served = floor.least(here, floor.facing(SERVE), over=1) + 1
    filled = {1: (0, 1), 2: (0, gap), 3: (gap, gap + 1)}
    rounds = [(filled[len(s.marks)][1] + s.cooks, s.worth) for s in soups]
    room = horizon - first - served
    return max(
        s.worth + _knapsack(room - filled[len(s.marks)][0] - s.cooks, rounds)
        if room >= filled[len(s.marks)][0] + s.cooks
        else 0.0
        for s in soups
    )


def _two_pairs_of_hands(floor: _Floor, soups: Sequence[Soup], horizon: int) -> float:
    """The most that two cooks could carry: steps of hands for each soup, and steps of both until it closes.

    What a cook does last is not followed by a way to the next thing.
    """
    pots, serving = floor.facing(POT), floor.facing(SERVE)
    things = [s for mark in (*INGREDIENTS, DISHES, COUNTER) for s in floor.facing(mark)]
    after_pot, after_serving = floor.least(pots, things), floor.least(serving, things)
    plate = floor.least(floor.facing(DISHES), pots, over=2) + floor.least(pots, serving, over=2) + 3
    carry = {m: floor.least(floor.facing(m), pots, over=2) + 2 + after_pot for m in INGREDIENTS}
    work = [
        (sum(carry[m] for m in s.marks) + (len(s.marks) < FULLEST) + plate + after_serving, s.worth)
        for s in soups
    ]
    begin = [min((start.get(s, FAR) for s in things), default=FAR) for start in floor.starts]
    steps = sum(max(horizon - wait, 0) for wait in begin)
    return _knapsack(steps + 2 * max(after_pot, after_serving), work)


def _knapsack(room: int, kinds: Sequence[tuple[int, float]]) -> float:
    """The most worth of any number of each kind, (cost, worth), within the room."""
    kinds = [(cost, worth) for cost, worth in kinds if cost <= room and worth > 0]
    if not kinds:
        return 0.0
    if len(kinds) == 1:
        return room // kinds[0][0] * kinds[0][1]
    best = [0.0] * (room + 1)
    for i in range(1, room + 1):
        best[i] = max([best[i - 1], *(best[i - c] + w for c, w in kinds if c <= i)])
    return best[room]


class _Floor:
    """Ways between the places where cooks can stand."""

    def __init__(self, grid: Grid) -> None:
        homes = [find(grid, mark) for mark in "12"]
        cells = walkable(grid, homes[0]) | walkable(grid, homes[1])
        self._next: dict[Stand, list[Stand]] = {}
        self._last: dict[Stand, list[Stand]] = {}
        self._over: dict[Stand, list[Stand]] = {}
        facing: dict[tuple[str, Cell], list[Stand]] = {}
        for x, y in cells:
            for way, (dx, dy) in WAYS.items():
                there = (x + dx, y + dy)
                if there not in cells:
                    facing.setdefault((grid[there[1]][there[0]], there), []).append(((x, y), way))
        self._facing = facing
        self.stations = list(facing)
        for (mark, _), stands in facing.items():
            if mark == COUNTER:
                self._over.update(dict.fromkeys(stands, stands))
        for x, y in cells:
            reached = [
                ((x + dx, y + dy) if (x + dx, y + dy) in cells else (x, y), way)
                for way, (dx, dy) in WAYS.items()
            ]
            for way in WAYS:
                self._next[(x, y), way] = reached
                for stand in reached:
                    self._last.setdefault(stand, []).append(((x, y), way))
        self.starts = [self.ways([(home, "north")]) for home in homes]

    def facing(self, mark: str, at: Cell | None = None) -> list[Stand]:
        """Where one stands before stations of this kind, or before that one."""
        found = (s for (m, cell), s in self._facing.items() if m == mark and at in (None, cell))
        return [stand for stands in found for stand in stands]

    def ways(
        self, stands: Iterable[Stand], *, back: bool = False, over: int | None = None
    ) -> Steps:
        """Least steps from any of these to everywhere, or `back` from everywhere to any of these; `over`:
        what it costs to hand a thing over a counter, if it may be."""
        steps, waiting = dict.fromkeys(stands, 0), [(0, s) for s in stands]
        near = self._last if back else self._next
        while waiting:
            now, at = heappop(waiting)
            if now > steps[at]:
                continue
            moves = [(now + 1, s) for s in near.get(at, ())]
            if over is not None:
                moves += [(now + over, s) for s in self._over.get(at, ())]
            for then, stand in moves:
                if then < steps.get(stand, FAR):
                    steps[stand] = then
                    heappush(waiting, (then, stand))
        return steps

    def least(self, ones: list[Stand], others: list[Stand], over: int | None = None) -> int:
        """Least steps from any of the ones to any of the others; `FAR` where there is no way."""
        steps = self.ways(ones, over=over)
        return min((steps.get(s, FAR) for s in others), default=FAR)
