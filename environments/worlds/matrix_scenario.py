"""Scenarios of matrix games: the classic tables, the exact references, and a generator."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, Self, cast, get_args

import numpy as np
from pydantic import BaseModel, Field, model_validator

from ..scenario import STRICT, Role, Scenario
from ..world import Solution
from .equilibria import equilibria, security
from .rounds import joint_action, misfit

MOST_ACTIONS, MOST_ROUNDS, MOST_POINTS = 6, 200, 100

Points = Annotated[int, Field(ge=-MOST_POINTS, le=MOST_POINTS)]
Table = Mapping[str, Mapping[str, tuple[int, int]]]
"""Action of the first seat -> action of the second -> points of both."""
Game = Literal[
    "prisoners_dilemma", "stag_hunt", "chicken", "battle_of_the_sexes", "coordination"
]  # fmt: skip
GAMES: dict[Game, Table] = {
    # Axelrod 1980, J. Conflict Resolution 24:3-25: 5, 3, 1, 0.
    "prisoners_dilemma": {
        "cooperate": {"cooperate": (3, 3), "defect": (0, 5)},
        "defect": {"cooperate": (5, 0), "defect": (1, 1)},
    },
    "stag_hunt": {
        "stag": {"stag": (4, 4), "hare": (0, 3)},
        "hare": {"stag": (3, 0), "hare": (3, 3)},
    },
    "chicken": {
        "swerve": {"swerve": (3, 3), "straight": (1, 4)},
        "straight": {"swerve": (4, 1), "straight": (0, 0)},
    },
    "battle_of_the_sexes": {
        "opera": {"opera": (3, 2), "football": (0, 0)},
        "football": {"opera": (0, 0), "football": (2, 3)},
    },
    "coordination": {
        "left": {"left": (1, 1), "right": (0, 0)},
        "right": {"left": (0, 0), "right": (1, 1)},
    },
}
Key = tuple[tuple[tuple[tuple[int, int], ...], ...], int]
"""Points of both for each action of the first (m) and the second (n), and the rounds."""


class MatrixScenario(Scenario):
    """A game in normal form for two, played a number of times."""

    world: str = "matrix_game"
    game: Game | None = Field(default=None, description="A classic table; or give `payoffs`.")
    payoffs: dict[str, dict[str, tuple[Points, Points]]] | None = Field(
        default=None,
        description="Own table: action of the first seat -> action of the second -> [points of the "
        "first, points of the second], whole numbers from -100 to 100.",
    )
    rounds: int = Field(
        default=10, ge=1, le=MOST_ROUNDS, description="How often the game is played."
    )
    roles: dict[str, Role] = Field(description="Two seats; the first chooses the table's rows.")  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.roles) != 2:
            raise ValueError(f"roles: got {len(self.roles)} seats, want 2")
        if (self.game is None) == (self.payoffs is None):
            have = "neither" if self.game is None else "both"
            raise ValueError(f"want a game's name or own payoffs, got {have}")
        columns = [tuple(row) for row in self.table.values()]
        if not columns or any(row != columns[0] for row in columns):
            raise ValueError("payoffs: every row must name the same actions in the same order")
        for actions in (tuple(self.table), columns[0]):
            if not 2 <= len(actions) <= MOST_ACTIONS:
                raise ValueError(f"payoffs: {len(actions)} actions, want 2 to {MOST_ACTIONS}")
        if wrong := misfit(self.protocol, 2, self.rounds):
            raise ValueError(wrong)
        return self

    @property
    def table(self) -> Table:
        return self.payoffs if self.payoffs is not None else GAMES[cast(Game, self.game)]

    def actions(self) -> dict[str, tuple[str, ...]]:
        """Seat -> its actions."""
        first, second = self.roles
        return {first: tuple(self.table), second: tuple(next(iter(self.table.values())))}

    def key(self) -> Key:
        """What the solution depends on."""
        return tuple(tuple(row.values()) for row in self.table.values()), self.rounds


def frontier(key: Key) -> list[tuple[float, float]]:
    """Undominated mean points of all ways to play the rounds, ascending in the first seat's.

    most[x] = the most that the second can have in sum when the first has x, cell after cell (W,)
    """
    cells = [cell for row in key[0] for cell in row]
    kept = {c for c in cells if not any(_beats(d, c) for d in cells)}
    low = min(a for a, _ in kept)
    width = (max(a for a, _ in kept) - low) * key[1] + 1
    never = -(10**9)
    most = np.full(width, never)
    most[0] = 0
    for _ in range(key[1]):
        more = np.full(width, never)
        for a, b in kept:
            np.maximum(more[a - low :], most[: width - (a - low)] + b, out=more[a - low :])
        most = more
    found: list[tuple[float, float]] = []
    best = never // 2
    for x in reversed(range(width)):
        if most[x] > best:
            best = int(most[x])
            found.append(((x + low * key[1]) / key[1], best / key[1]))
    return found[::-1]


def _beats(one: tuple[int, int], two: tuple[int, int]) -> bool:
    return one != two and one[0] >= two[0] and one[1] >= two[1]


@lru_cache(maxsize=4096)
def references(cells: tuple[tuple[tuple[int, int], ...], ...]) -> dict[str, Any]:
    """Equilibria of the game played once, and what each seat can be sure of."""
    one, two = np.array(cells, dtype=np.float64).transpose(2, 0, 1)
    return {
        "equilibria": [
            {"row": list(e.row), "column": list(e.column), "points": list(e.points)}
            for e in equilibria(one, two)
        ],
        "security": [security(one), security(two.T)],
    }


@lru_cache(maxsize=4096)
def solve(key: Key, names: tuple[tuple[str, ...], ...]) -> Solution:
    """`names`: each seat, then its actions. All numbers are mean points of a round. A round that is not
    played pays each seat the lowest points that it has in the table."""
    cells, rounds = key
    every = [cell for row in cells for cell in row]
    nothing = min(a for a, _ in every), min(b for _, b in every)
    points = frontier(key)
    joint = max(a + b for a, b in every)
    at = next(
        (i, j) for i, row in enumerate(cells) for j, cell in enumerate(row) if sum(cell) == joint
    )
    (first, *mine), (second, *theirs) = names
    return Solution(
        disagreement=tuple(low * rounds / rounds for low in nothing),
        frontier=tuple(points),
        max_joint=joint,
        max_nash=max((a - nothing[0]) * (b - nothing[1]) for a, b in points),
        best={first: mine[at[0]], second: theirs[at[1]]},
        reference=references(cells),
    )


class MatrixGenerator(BaseModel):
    """Games of the classic kinds, or with whole points drawn uniformly, for a number of rounds."""

    model_config = STRICT

    games: tuple[Game | Literal["random"], ...] = Field(
        default=get_args(Game),
        min_length=1,
        description="Kinds to draw from; `random`: all points are drawn.",
    )
    rounds: tuple[int, int] = Field(default=(3, 6), description="Fewest and most rounds.")
    talk: int = Field(default=1, ge=0, description="Rounds of talk before each joint move.")
    actions: tuple[int, int] = Field(
        default=(2, 3), description="Random games: fewest and most actions of a seat."
    )
    points: tuple[int, int] = Field(
        default=(0, 9), description="Random games: lowest and highest points."
    )
    seats: tuple[str, str] = Field(default=("ann", "bob"), description="Names; the first has rows.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, least, most in (
            ("rounds", 1, MOST_ROUNDS),
            ("actions", 2, MOST_ACTIONS),
            ("points", -MOST_POINTS, MOST_POINTS),
        ):
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(
                    f"{name}: got {low} to {high}, want {least} <= low <= high <= {most}"
                )
        if len(set(self.seats)) < 2:
            raise ValueError(f"seats: got {self.seats[0]!r} twice, want two names")
        return self

    def draw(self, rng: random.Random) -> MatrixScenario:
        """A kind, a number of rounds and, for a random game, its size and points: all uniform."""
        game = rng.choice(self.games)
        fields: dict[str, Any] = {"game": game}
        if game == "random":
            mine, theirs = (
                [chr(first + i) for i in range(rng.randint(*self.actions))]
                for first in (ord("A"), ord("P"))
            )
            low, high = self.points
            fields = {
                "payoffs": {
                    a: {b: (rng.randint(low, high), rng.randint(low, high)) for b in theirs}
                    for a in mine
                }
            }
        return MatrixScenario(
            name="matrix_game",
            protocol=joint_action(self.talk),
            rounds=rng.randint(*self.rounds),
            roles={seat: Role() for seat in self.seats},
            **fields,
        )
