"""Crossing scenarios: cars on the arms of a junction, how they move, what can be reached at best.

Cells are (x, y), y down. Traffic keeps right; the junction is the box of the cells 0 and 1:

              north                 a car from the south comes up x = 1 and goes
            | v |   |               right     (1,1)
    --------+---+---+--------       straight  (1,1) (1,0)
    west <    0,0 1,0   < east      left      (1,1) (1,0) (0,0)
    west >    0,1 1,1   > east
    --------+---+---+--------       the other arms are the same, turned
            |   | ^ |
              south

One step has two halves: `fast` moves a cell in both, `slow` in the second, `wait` in neither. Cars in one
cell after a half, or two that have changed places in it, have crashed. Every vector of delays that nobody
can better without harming another is found by recursion over places: cars never go back, so it ends.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from operator import add
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, PositiveInt, model_validator

from ...protocols import MootError
from ..scenario import STRICT, Role, Scenario
from ..world import Solution
from .rounds import joint_action, misfit

Arm = Literal["south", "east", "north", "west"]
Turn = Literal["straight", "left", "right"]
Pace = Literal["wait", "slow", "fast"]
Cell = tuple[int, int]
Path = tuple[Cell, ...]
ARMS: tuple[Arm, ...] = ("south", "east", "north", "west")
PACES: tuple[Pace, ...] = ("fast", "slow", "wait")
HALVES: Mapping[Pace, tuple[int, int]] = {"wait": (0, 0), "slow": (0, 1), "fast": (1, 1)}
"""Cells that a pace has moved after either half: one per half at most."""
CELLS = {pace: sum(halves) for pace, halves in HALVES.items()}
BOX: Mapping[Turn, Path] = {
    "right": ((1, 1),),
    "straight": ((1, 1), (1, 0)),
    "left": ((1, 1), (1, 0), (0, 0)),
}
"""Cells of the box on the way from the south."""
CRASHED = -1
FARTHEST = 4
MOST_CARS = 4


class Car(BaseModel):
    """Where a car comes from, where it goes, how far it is."""

    model_config = STRICT

    arm: Arm = Field(description="The arm that it comes from.")
    turn: Turn = Field(default="straight", description="What it does at the junction.")
    left: int = Field(ge=1, le=FARTHEST, description="Cells to the box; 1: it stands before it.")

    def path(self) -> Path:
        """Every cell from where it starts to the last one in the box."""
        south = [(1, 1 + i) for i in range(self.left, 0, -1)] + list(BOX[self.turn])
        for _ in range(ARMS.index(self.arm)):
            south = [(y, 1 - x) for x, y in south]
        return tuple(south)


class CarRole(Role):
    """What only the driver knows."""

    hurry: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.05, description="Points that each step of delay costs."
    )


class CrossingScenario(Scenario):
    """A junction without signals."""

    world: str = "crossing"
    cars: dict[str, Car] = Field(description="Seat -> its car.")
    sight: int = Field(
        default=2, ge=0, description="Cells, in either direction, that a driver sees."
    )
    steps: PositiveInt = Field(default=12, description="Joint moves until it is over.")
    crash: float = Field(default=2.0, ge=0, le=100, description="Points that a crash costs a car.")
    roles: dict[str, CarRole] = Field(description="Seat -> its hurry.")  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.cars.keys() != self.roles.keys():
            raise ValueError(f"cars: got {sorted(self.cars)}, seats are {sorted(self.roles)}")
        if not 2 <= len(self.cars) <= MOST_CARS:
            raise ValueError(f"cars: want 2 to {MOST_CARS}, got {len(self.cars)}")
        starts = [(c.arm, c.left) for c in self.cars.values()]
        if len(set(starts)) < len(starts):
            raise ValueError("cars: two start in the same place")
        for seat, role in self.roles.items():
            if role.hurry * self.steps > 1:
                raise ValueError(
                    f"roles.{seat}.hurry: {role.hurry:g} for each of {self.steps} steps is more than 1,"
                    " what arriving is worth"
                )
        alone = [quickest(path) for path in self.paths()]
        last = max(q + d for v in delays(self.paths()) for q, d in zip(alone, v, strict=True))
        if last > self.steps:
            raise ValueError(f"steps: the best play takes {last}, got {self.steps}")
        wrong = misfit(self.protocol, len(self.roles), self.steps)
        if wrong is not None:
            raise ValueError(wrong)
        return self

    def paths(self) -> tuple[Path, ...]:
        """Of every car, in seat order."""
        return tuple(self.cars[seat].path() for seat in self.roles)


class CrossingGenerator(BaseModel):
    """Cars of which at least one has to give way."""

    model_config = STRICT

    cars: tuple[PositiveInt, PositiveInt] = Field(
        default=(2, 3), description="Fewest and most cars."
    )
    left: tuple[PositiveInt, PositiveInt] = Field(
        default=(1, 3), description="Least and most cells to the box."
    )
    turns: tuple[Turn, ...] = Field(
        default=("straight", "straight", "left", "right"), description="One is drawn for each car."
    )
    sight: int = Field(default=2, ge=0, description="Cells that a driver sees.")
    steps: PositiveInt = Field(default=12, description="Joint moves until it is over.")
    crash: float = Field(default=2.0, ge=0, le=100, description="Points that a crash costs a car.")
    hurry: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = Field(
        default=(1, 8), description="Least and most hundredths of a point that a delay costs."
    )
    talk: int = Field(default=1, ge=0, description="How often each speaks before a move.")
    names: tuple[str, ...] = Field(
        default=("red", "blue", "green", "yellow"), description="Seats, the first ones taken."
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not 2 <= self.cars[0] <= self.cars[1] <= min(MOST_CARS, len(self.names)):
            raise ValueError(f"cars: want 2 to {min(MOST_CARS, len(self.names))}, got {self.cars}")
        if not self.left[0] <= self.left[1] <= FARTHEST:
            raise ValueError(f"left: want 1 to {FARTHEST}, got {self.left}")
        if self.hurry[0] > self.hurry[1] or self.hurry[1] * self.steps > 100:
            raise ValueError(
                f"hurry: {self.hurry} hundredths over {self.steps} steps; want 1 in all"
            )
        if not self.turns:
            raise ValueError("turns: name one at least")
        if self.steps < 4 * MOST_CARS - 4:
            raise ValueError(f"steps: want {4 * MOST_CARS - 4} or more, so that all can pass")
        return self

    def draw(self, rng: random.Random) -> CrossingScenario:
        """Cars in different places, drawn again until they cannot all drive as if alone."""
        for _ in range(1000):
            count = rng.randint(*self.cars)
            lefts = range(self.left[0], self.left[1] + 1)
            spots = list(itertools.product(ARMS, lefts))
            if count > len(spots):
                continue
            drawn = [
                Car(arm=arm, turn=rng.choice(self.turns), left=left)
                for arm, left in rng.sample(spots, count)
            ]
            if (0,) * count not in delays(tuple(car.path() for car in drawn)):
                break
        else:
            raise MootError(
                "crossing: in 1,000 draws nobody had to give way; widen `left` or `turns`"
            )
        names = self.names[:count]
        return CrossingScenario(
            name="crossing",
            protocol=joint_action(self.talk),
            cars=dict(zip(names, drawn, strict=True)),
            sight=self.sight,
            steps=self.steps,
            crash=self.crash,
            roles={name: CarRole(hurry=rng.randint(*self.hurry) / 100) for name in names},
        )


def quickest(path: Path) -> int:
    """Steps that it takes alone."""
    return (len(path) + 1) // 2


def advance(
    paths: Sequence[Path], places: Sequence[int], paces: Sequence[Pace]
) -> tuple[list[int], list[tuple[int, int]]]:
    """Places after one step, and the pairs that have crashed. A place is an index into the path: past
    its end the car is through; `CRASHED` cars are towed away at once."""
    now, crashes = list(places), list[tuple[int, int]]()
    for half in range(2):
        before = list(now)
        for i, pace in enumerate(paces):
            if 0 <= now[i] < len(paths[i]):
                now[i] += HALVES[pace][half]
        cells = [_at(p, i) for p, i in zip(paths, now, strict=True)]
        olds = [_at(p, i) for p, i in zip(paths, before, strict=True)]
        hit = [
            (i, j)
            for i, j in itertools.combinations(range(len(paths)), 2)
            if cells[i] is not None
            and cells[j] is not None
            and (cells[i] == cells[j] or (cells[i] == olds[j] and cells[j] == olds[i]))
        ]
        crashes += hit
        for i in {i for pair in hit for i in pair}:
            now[i] = CRASHED
    return now, crashes


def _at(path: Path, place: int) -> Cell | None:
    return path[place] if 0 <= place < len(path) else None


def meet(one: tuple[Path, int, Pace], two: tuple[Path, int, Pace]) -> bool:
    """Whether `advance` would see two cars crash that are at these places of their ways."""
    (path, at, pace), (other, there, speed) = one, two
    for go, come in zip(HALVES[pace], HALVES[speed], strict=True):
        was, once = path[at], other[there]
        at, there = at + go, there + come
        if at >= len(path) or there >= len(other):
            return False
        if path[at] == other[there] or (path[at] == once and other[there] == was):
            return True
    return False


@lru_cache(maxsize=4096)
def delays(paths: tuple[Path, ...]) -> frozenset[tuple[int, ...]]:
    """Steps of delay of every car, in each way to pass without a crash that is not beaten by another:
    better for some car and worse for none."""
    ends = tuple(map(len, paths))
    ahead = [[set(path[place:]) for place in range(len(path) + 1)] for path in paths]

    @cache
    def crossed(places: tuple[int, ...]) -> frozenset[int]:
        """Cars that still share a cell with another; the rest go fast, which delays nobody."""
        ways = [rest[place] for rest, place in zip(ahead, places, strict=True)]
        pairs = itertools.combinations(range(len(paths)), 2)
        return frozenset(i for pair in pairs if ways[pair[0]] & ways[pair[1]] for i in pair)

    @cache
    def left(places: tuple[int, ...]) -> frozenset[tuple[int, ...]]:
        """Steps that remain for each car."""
        if places == ends:
            return frozenset([(0,) * len(ends)])
        found: set[tuple[int, ...]] = set()
        alone = tuple([(e - p + 1) // 2 for p, e in zip(places, ends, strict=True)])
        here = [int(p < e) for p, e in zip(places, ends, strict=True)]
        for paces in choices(places, 0, ()):
            gone = [p + CELLS[pace] for p, pace in zip(places, paces, strict=True)]
            then = tuple(map(min, gone, ends))
            if then != places:  # to wait for each other helps nobody
                found |= {tuple(map(add, here, rest)) for rest in left(then)}
                if alone in found:  # nobody can be quicker than alone
                    return frozenset([alone])
        return best(found)

    def choices(
        places: tuple[int, ...], i: int, chosen: tuple[Pace, ...]
    ) -> Iterator[tuple[Pace, ...]]:
        """Paces for the cars from `i` on that bring nobody together, quick ones first."""
        if i == len(places):
            yield chosen
        elif places[i] == ends[i]:
            yield from choices(places, i + 1, (*chosen, "wait"))
        else:
            for pace in PACES if i in crossed(places) else ("fast",):
                mine = paths[i], places[i], pace
                for j in range(i):
                    if places[j] < ends[j] and meet((paths[j], places[j], chosen[j]), mine):
                        break
                else:
                    yield from choices(places, i + 1, (*chosen, pace))

    least = tuple(map(quickest, paths))
    start = (0,) * len(paths)
    return frozenset(tuple(s - a for s, a in zip(d, least, strict=True)) for d in left(start))


def best(vectors: set[tuple[int, ...]]) -> frozenset[tuple[int, ...]]:
    """Those that no other beats: nowhere more, somewhere less."""
    kept: list[tuple[int, ...]] = []
    for vector in sorted(vectors):  # whoever beats it is sorted before it
        if not any(all(k <= v for k, v in zip(other, vector, strict=True)) for other in kept):
            kept.append(vector)
    return frozenset(kept)


def solve(scenario: CrossingScenario) -> Solution:
    """Exact: every undominated way to pass. Where hurries differ, others may be best in sum."""
    hurry = [role.hurry for role in scenario.roles.values()]
    points = sorted(
        {
            tuple(1 - h * d for h, d in zip(hurry, vector, strict=True))
            for vector in delays(scenario.paths())
        }
    )
    kept = [p for p in points if not any(_beats(q, p) for q in points)]
    top = max(kept, key=sum)
    nash = max(points, key=_product)
    best_: dict[str, Any] = dict(zip(scenario.roles, top, strict=True))
    return Solution(
        disagreement=(0.0,) * len(hurry),
        frontier=tuple(kept),
        max_joint=sum(top),
        max_nash=_product(nash),
        best=best_,
    )


def _beats(one: Sequence[float], two: Sequence[float]) -> bool:
    return one != two and all(a >= b for a, b in zip(one, two, strict=True))


def _product(point: Sequence[float]) -> float:
    product = 1.0
    for utility in point:
        product *= utility
    return product
