"""Rescue: a drone that sees the map guides a rover that sees nothing, by words, through a grid.

The map task (Anderson et al. 1991, Language and Speech 34:351-366) on a grid, with a battery. The guide
knows the map and is told where the rover stands; the walker knows how it moved, and nothing else. One
action is up to three steps; a step against a wall or the edge is a bump and ends the action; a step into
a pit ends the game. Every step and every bump costs one unit of charge. Both score

    rescued    1 + charge left / charge        0 otherwise

so that a short way with few bumps is best. Left out: other rovers, a map that changes.

    . free    # wall    o pit    S where the rover starts    G the person to be rescued
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import BaseModel, Field, PositiveInt, model_validator

from ...protocols import Act, Answer, Choice, Content, Ended, Message, Move
from ...protocols.guidance import GUIDE, WALKER
from ...protocols.schemas import closed
from ..scenario import STRICT, ProtocolChoice, Role, Scenario
from ..world import Notice, Outcome, Solution

FREE, WALL, PIT, START, GOAL = ".#oSG"
STEPS = {"north": (0, -1), "south": (0, 1), "east": (1, 0), "west": (-1, 0)}
MOST_STEPS = 3
"""Steps of one action, and of one instruction."""
WIDEST = 24
Direction = Literal["north", "south", "east", "west"]
Grid = tuple[str, ...]
Cell = tuple[int, int]


class Way(Answer):
    """The next steps, as the guide would take them."""

    model_config = STRICT
    steps: Annotated[list[Direction], Field(min_length=1, max_length=MOST_STEPS)]


class Steps(Choice):
    """The steps that the rover takes now."""

    model_config = STRICT
    steps: Annotated[list[Direction], Field(min_length=1, max_length=MOST_STEPS)]


class RescueRole(Role):
    """Either side; `role` guide or walker, empty: the first seat guides."""


class RescueScenario(Scenario):
    """A map, and how long the battery lasts."""

    world: str = "rescue"
    map: Annotated[list[str], Field(min_length=2, max_length=WIDEST)] = Field(
        description="Rows of the grid: `.` free, `#` wall, `o` pit, `S` start, `G` goal."
    )
    charge: PositiveInt = Field(description="Steps and bumps until the battery is empty.")
    roles: dict[str, RescueRole] = Field(description="Two seats: guide and walker.")  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        whole = "".join(self.map)
        if len({len(row) for row in self.map}) != 1 or not 2 <= len(self.map[0]) <= WIDEST:
            raise ValueError(f"map: rows want one length, 2 to {WIDEST}")
        strange = sorted(set(whole) - {FREE, WALL, PIT, START, GOAL})
        if strange:
            raise ValueError(f"map: {strange[0]!r} is none of . # o S G")
        for mark, what in ((START, "start S"), (GOAL, "goal G")):
            if whole.count(mark) != 1:
                raise ValueError(f"map: want one {what}, got {whole.count(mark)}")
        length = shortest(tuple(self.map))
        if length is None:
            raise ValueError("map: no way leads from S to G")
        if length > self.charge:
            raise ValueError(f"charge: got {self.charge}, the shortest way takes {length} steps")
        if len(self.roles) == 2 and set(self.sides().values()) != {GUIDE, WALKER}:
            raise ValueError("roles: want one guide and one walker")
        return self

    def sides(self) -> dict[str, str]:
        """Seat -> guide or walker."""
        usual = (GUIDE, WALKER)
        return {
            seat: role.role or (seat if seat in usual else usual[min(i, 1)])
            for i, (seat, role) in enumerate(self.roles.items())
        }


class RescueGenerator(BaseModel):
    """Maps with a way from start to goal, walls and pits strewn at random."""

    model_config = STRICT

    width: int = Field(default=7, ge=3, le=WIDEST, description="Cells from west to east.")
    height: int = Field(default=6, ge=3, le=WIDEST, description="Cells from north to south.")
    walls: float = Field(default=0.25, ge=0, le=0.6, description="Share of cells that are walls.")
    pits: float = Field(default=0.06, ge=0, le=0.3, description="Share of cells that are pits.")
    slack: float = Field(
        default=2.0, ge=1, description="Charge, as a multiple of the shortest way's steps."
    )
    seats: tuple[str, str] = Field(default=("drone", "rover"), description="Guide, then walker.")
    deadline: int = Field(default=40, ge=1, description="Most messages.")

    def draw(self, rng: random.Random) -> RescueScenario:
        """Drawn anew until there is a way of at least half the width plus height."""
        cells = [(x, y) for y in range(self.height) for x in range(self.width)]
        while True:
            start, goal = rng.sample(cells, 2)
            rows = [[self._cell(rng) for _ in range(self.width)] for _ in range(self.height)]
            for (x, y), mark in ((start, START), (goal, GOAL)):
                rows[y][x] = mark
            grid = tuple("".join(row) for row in rows)
            length = shortest(grid)
            if length is not None and 2 * length >= self.width + self.height - 2:
                break
        return RescueScenario(
            name="rescue",
            protocol=ProtocolChoice.model_validate({"name": "guidance", "deadline": self.deadline}),
            map=list(grid),
            charge=max(round(self.slack * length), length),
            roles=dict(
                zip(self.seats, (RescueRole(role=GUIDE), RescueRole(role=WALKER)), strict=True)
            ),
        )

    def _cell(self, rng: random.Random) -> str:
        at = rng.random()
        return WALL if at < self.walls else PIT if at < self.walls + self.pits else FREE


class Rescue:
    """One drive."""

    name: ClassVar[str] = "rescue"
    summary: ClassVar[str] = "a drone that sees the map guides a blind rover through it by words"
    Scenario: ClassVar[type[Scenario]] = RescueScenario
    Generator: ClassVar[type[BaseModel]] = RescueGenerator
    contents: ClassVar[Mapping[type[Content], type[Content]]] = {Answer: Way, Choice: Steps}

    def __init__(self, scenario: RescueScenario) -> None:
        self.scenario = scenario
        self._grid: Grid = tuple(scenario.map)
        self._at = place(self._grid, START)
        self._sides = scenario.sides()
        self._trail = [self._at]
        self._used = self._bumps = 0
        self._fell = False
        self._news: tuple[Notice, ...] = ()

    @classmethod
    def build(cls, scenario: Scenario) -> Self:
        return cls(cast(RescueScenario, scenario))

    @classmethod
    def solve(cls, scenario: Scenario) -> Solution:
        """`best`: the number of steps of the shortest way."""
        s = cast(RescueScenario, scenario)
        length = cast(int, shortest(tuple(s.map)))
        score = 2 - length / s.charge
        return Solution(
            disagreement=(0.0, 0.0),
            frontier=((score, score),),
            max_joint=2 * score,
            max_nash=score * score,
            best={"steps": length},
        )

    def roles(self) -> Mapping[str, str]:
        return self._sides

    def public(self) -> Mapping[str, Any]:
        return {
            "width": len(self._grid[0]),
            "height": len(self._grid),
            "charge": self.scenario.charge,
            "most_steps": MOST_STEPS,
        }

    def private(self, agent: str) -> Mapping[str, Any]:
        return {"map": list(self._grid)} if self._sides[agent] == GUIDE else {}

    def describe(self, agent: str) -> tuple[str, str]:
        everyone = (
            f"A rover must reach a person on a grid, {len(self._grid[0])} cells wide and"
            f" {len(self._grid)} high. One action is 1 to {MOST_STEPS} steps, north, south, east or west."
            " A wall or the edge stops it, a pit ends the game without a rescue. Steps and bumps drain the"
            f" battery of {self.scenario.charge}. Rescued, both score 1 plus the share of charge left."
        )
        if self._sides[agent] == WALKER:
            return everyone, "You are the rover. You see nothing."
        return everyone, (
            "You see the map, north is up: . free, # wall, o pit, S start, G person.\n"
            + "\n".join(self._grid)
        )

    def explain(self, move: Move) -> str:
        return f'{{"steps": [1 to {MOST_STEPS} of north, south, east, west]}}'

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        steps = {"type": "array", "items": {"enum": list(STEPS)}, "minItems": 1}
        return closed({"steps": {**steps, "maxItems": MOST_STEPS}})

    def check(self, agent: str, content: Content, move: Move, to: tuple[str, ...]) -> str | None:
        """Nothing beyond the type: a bump is an outcome, not an illegal move."""

    def hear(self, message: Message) -> None:
        if message.act is not Act.REQUEST:
            self._news = ()
            return
        before, bumps = self._used, self._bumps
        for step in cast(Steps, message.content).steps:
            if self._used >= self.scenario.charge:
                break
            self._used += 1
            there = reached(self._grid, self._at, step)
            if there is None:
                self._bumps += 1
                break
            self._at = there
            self._trail.append(there)
            self._fell = self._mark() == PIT
            if self._fell or self._mark() == GOAL:
                break
        self._news = self._told(self._used - before, self._bumps > bumps)

    def _mark(self) -> str:
        x, y = self._at
        return self._grid[y][x]

    def _told(self, used: int, bumped: bool) -> tuple[Notice, ...]:
        moved = used - bumped
        left = self.scenario.charge - self._used
        did = f"moved {moved} step{'' if moved == 1 else 's'}"
        did += " and hit a wall" if bumped else ""
        walker = next(a for a, side in self._sides.items() if side == WALKER)
        guide = next(a for a, side in self._sides.items() if side == GUIDE)
        felt = {"moved": moved, "bumped": bumped, "charge": left}
        x, y = self._at
        return (
            Notice((walker,), f"You {did}. Charge {left}.", felt),
            Notice(
                (guide,),
                f"{walker} {did}; it stands in column {x + 1}, row {y + 1}. Charge {left}.",
                {**felt, "at": [x, y]},
            ),
        )

    def tell(self) -> Sequence[Notice]:
        return self._news

    def over(self) -> Ended | None:
        if self._mark() == GOAL:
            return Ended.DONE
        return Ended.FAILED if self._fell or self._used >= self.scenario.charge else None

    def outcome(self, ended: Ended) -> Outcome:
        """`detour`: steps and bumps beyond the shortest way, of rescues; `bumps`; `falls`."""
        rescued = self._mark() == GOAL
        score = 2 - self._used / self.scenario.charge if rescued else 0.0
        results = {"bumps": float(self._bumps), "falls": float(self._fell)}
        if rescued:
            results["detour"] = float(self._used - cast(int, shortest(self._grid)))
        return Outcome(
            completed=rescued,
            deal={"charge_used": self._used} if rescued else None,
            utilities=dict.fromkeys(self.scenario.roles, score),
            results=results,
        )

    def space(self, agent: str) -> None:
        """None: there are no offers to rank."""

    def picture(self) -> str:
        """The grid with the rover's trail."""
        return drawn(self._grid, self._trail)


def place(grid: Grid, mark: str) -> Cell:
    """Column and row of the one cell with this mark."""
    return next((row.index(mark), y) for y, row in enumerate(grid) if mark in row)


def reached(grid: Grid, at: Cell, step: str) -> Cell | None:
    """Where a step leads; None against a wall or the edge."""
    x, y = at[0] + STEPS[step][0], at[1] + STEPS[step][1]
    inside = 0 <= y < len(grid) and 0 <= x < len(grid[0])
    return (x, y) if inside and grid[y][x] != WALL else None


@lru_cache(maxsize=1024)
def shortest(grid: Grid) -> int | None:
    """Steps of the shortest way from S to G that touches no pit (breadth first); None: there is none."""
    start, goal = place(grid, START), place(grid, GOAL)
    seen, waiting = {start: 0}, deque([start])
    while waiting:
        at = waiting.popleft()
        if at == goal:
            return seen[at]
        for step in STEPS:
            there = reached(grid, at, step)
            if there is not None and there not in seen and grid[there[1]][there[0]] != PIT:
                seen[there] = seen[at] + 1
                waiting.append(there)
    return None


def drawn(grid: Grid, trail: Sequence[Cell]) -> str:
    """An SVG document, 32 pixels a cell; the colours are those of Okabe and Ito (2008)."""
    colours = {FREE: "#f2f2ef", WALL: "#4d4d4d", PIT: "#d55e00", START: "#f2f2ef", GOAL: "#009e73"}
    wide, high = 32 * len(grid[0]), 32 * len(grid)
    cells = "".join(
        f'<rect x="{32 * x}" y="{32 * y}" width="31" height="31" fill="{colours[mark]}"/>'
        for y, row in enumerate(grid)
        for x, mark in enumerate(row)
    )
    points = " ".join(f"{32 * x + 16},{32 * y + 16}" for x, y in trail)
    x, y = trail[-1]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}"'
        f' height="{high}">{cells}<polyline points="{points}" fill="none" stroke="#0072b2"'
        f' stroke-width="4" stroke-opacity="0.5"/><circle cx="{32 * x + 16}" cy="{32 * y + 16}" r="10"'
        ' fill="#0072b2"/></svg>'
    )
