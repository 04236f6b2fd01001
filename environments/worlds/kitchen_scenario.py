"""Kitchens to cook in: the layout, the menu, how long and for how much; a generator, and layout files.

A layout is rows of characters, as in Overcooked-AI (Carroll et al. 2019, arXiv 1910.05789):

    (space) floor    X counter    O onions    T tomatoes    D dishes    P pot    S where soup is served
    1 2     where the first and the second cook start
"""

from __future__ import annotations

import ast
import random
import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, Field, PositiveInt, ValidationError, model_validator

from ...protocols import MootError
from ..scenario import STRICT, Role, Scenario
from .rounds import joint_action

FLOOR, COUNTER, ONIONS, TOMATOES, DISHES, POT, SERVE = " XOTDPS"
INGREDIENTS = {ONIONS: "onion", TOMATOES: "tomato"}
WAYS = {"north": (0, -1), "south": (0, 1), "east": (1, 0), "west": (-1, 0)}
WIDEST = 20
FULLEST = 3
"""Ingredients that a pot holds."""
Cell = tuple[int, int]
Grid = tuple[str, ...]
Ingredient = Literal["onion", "tomato"]
Recipe = Annotated[list[Ingredient], Field(min_length=1, max_length=FULLEST)]


class KitchenRole(Role):
    """One cook."""


class KitchenScenario(Scenario):
    """A kitchen and its menu."""

    world: str = "kitchen"
    grid: Annotated[list[str], Field(min_length=3, max_length=WIDEST)] = Field(
        description="Rows: `X` counter, `O` `T` `D` supplies, `P` pot, `S` serving, `1` `2` cooks."
    )
    menu: Annotated[list[Recipe], Field(min_length=1)] = Field(
        default=[["onion", "onion", "onion"]], description="Soups that are paid for."
    )
    menu_for: Literal["both", "first", "second"] = Field(
        default="both", description="Which cook knows the menu."
    )
    points: dict[Ingredient, Annotated[float, Field(ge=0)]] | None = Field(
        default=None, description="Points of a soup, by ingredient; unset: 20 for any."
    )
    minutes: dict[Ingredient, PositiveInt] | None = Field(
        default=None, description="Steps that a soup cooks, by ingredient; unset: 20 for any."
    )
    horizon: PositiveInt = Field(default=120, description="Steps until the kitchen closes.")
    stretch: Annotated[int, Field(ge=1, le=20)] = Field(
        default=6, description="Most steps that a cook decides on at a time."
    )
    goal: PositiveInt = Field(default=1, description="Soups served for the task to be completed.")
    roles: dict[str, KitchenRole] = Field(description="Two seats: the cooks `1` and `2`.")  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        wrong = flaw(self.grid)
        if wrong:
            raise ValueError(f"grid: {wrong}")
        grid = tuple(self.grid)
        near = {m for cook in "12" for m in beside(grid, find(grid, cook))}
        supplies = {INGREDIENTS[m] for m in near if m in INGREDIENTS}
        if not any(set(recipe) <= supplies for recipe in self.menu):
            raise ValueError(
                f"menu: no soup can be made of {', '.join(sorted(supplies)) or 'nothing'}, which is"
                " what a cook can reach"
            )
        if len(self.roles) != 2:
            raise ValueError(f"roles: a kitchen seats 2 cooks, got {len(self.roles)}")
        return self

    def worth(self, soup: Iterable[str]) -> float:
        """Points of a soup: 0 unless it is on the menu."""
        made = sorted(soup)
        if made not in [sorted(recipe) for recipe in self.menu]:
            return 0.0
        if self.points is None:
            return 20.0
        return sum(self.points.get(cast(Ingredient, i), 0.0) for i in made)

    def cooks(self, soup: Iterable[str]) -> int:
        """Steps that a soup takes once it is on."""
        if self.minutes is None:
            return 20
        return sum(self.minutes.get(cast(Ingredient, i), 20) for i in soup)


def flaw(rows: list[str]) -> str | None:
    """What makes these rows no kitchen; None when they are one."""
    grid = tuple(rows)
    if len({len(row) for row in grid}) != 1 or not 3 <= len(grid[0]) <= WIDEST:
        return f"rows want one length, 3 to {WIDEST}"
    whole = "".join(grid)
    strange = sorted(set(whole) - set(" XOTDPS12"))
    if strange:
        return f"{strange[0]!r} is none of X O T D P S 1 2 and space"
    for mark in "12":
        if whole.count(mark) != 1:
            return f"want one cook {mark}, got {whole.count(mark)}"
    border = grid[0] + grid[-1] + "".join(row[0] + row[-1] for row in grid)
    if any(mark in " 12" for mark in border):
        return "the border wants counters or stations, not floor"
    if not any(m in whole for m in INGREDIENTS):
        return "want a supply of onions O or tomatoes T"
    for mark, what in ((DISHES, "dishes D"), (POT, "a pot P"), (SERVE, "a place to serve S")):
        if mark not in whole:
            return f"want {what}"
    near = {m for cook in "12" for m in beside(grid, find(grid, cook))}
    missing = next((m for m in (DISHES, POT, SERVE) if m not in near), None)
    return f"no cook reaches {missing}" if missing else None


def find(grid: Grid, mark: str) -> Cell:
    """Column and row of the first cell with this mark."""
    return next((row.index(mark), y) for y, row in enumerate(grid) if mark in row)


def walkable(grid: Grid, start: Cell) -> set[Cell]:
    """Floor that a cook can come to from here, others aside."""
    seen, waiting = {start}, deque([start])
    while waiting:
        x, y = waiting.popleft()
        for dx, dy in WAYS.values():
            there = (x + dx, y + dy)
            if there not in seen and grid[there[1]][there[0]] in " 12":
                seen.add(there)
                waiting.append(there)
    return seen


def beside(grid: Grid, start: Cell) -> set[str]:
    """Marks of the stations that a cook can come to stand before."""
    return {
        grid[y + dy][x + dx] for x, y in walkable(grid, start) for dx, dy in WAYS.values()
    } - set(" 12")


class KitchenGenerator(BaseModel):
    """Rooms with stations strewn over the border, and counters within."""

    model_config = STRICT

    width: int = Field(default=6, ge=4, le=WIDEST, description="Cells from west to east.")
    height: int = Field(default=5, ge=4, le=WIDEST, description="Cells from north to south.")
    pots: int = Field(default=1, ge=1, le=3, description="How many pots.")
    tomatoes: bool = Field(default=False, description="Whether soups may want tomatoes.")
    hidden_menu: bool = Field(default=False, description="Only the first cook knows the menu.")
    horizon: int = Field(default=60, ge=1, description="Steps until the kitchen closes.")
    stretch: int = Field(default=6, ge=1, le=20, description="Most steps decided on at a time.")
    talk: int = Field(default=1, ge=0, description="Rounds of talk before each joint move.")
    seats: tuple[str, str] = Field(default=("ann", "bob"), description="Names of the cooks.")

    def draw(self, rng: random.Random) -> KitchenScenario:
        """Drawn anew until every station is in reach."""
        while True:
            grid = self._room(rng)
            stations = set("".join(grid)) - set(" X12")
            if flaw(grid) is None and all(
                beside(tuple(grid), find(tuple(grid), cook)) >= stations for cook in "12"
            ):
                break
        recipe = ["onion"] * FULLEST
        if self.tomatoes:
            recipe = sorted(rng.choice(("onion", "tomato")) for _ in range(FULLEST))
        return KitchenScenario(
            name="kitchen",
            protocol=joint_action(self.talk),
            grid=grid,
            menu=cast(Any, [recipe]),
            menu_for="first" if self.hidden_menu else "both",
            horizon=self.horizon,
            stretch=self.stretch,
            roles={seat: KitchenRole() for seat in self.seats},
        )

    def _room(self, rng: random.Random) -> list[str]:
        wide, high = self.width, self.height
        inner = [(x, y) for y in range(1, high - 1) for x in range(1, wide - 1)]
        border = [(x, y) for y in range(high) for x in range(wide) if (x, y) not in inner]
        corners = {(x, y) for x in (0, wide - 1) for y in (0, high - 1)}
        stations = [ONIONS, DISHES, SERVE, *([POT] * self.pots)]
        stations += [TOMATOES] if self.tomatoes else []
        rows = [[COUNTER] * wide for _ in range(high)]
        for x, y in inner:
            rows[y][x] = COUNTER if len(inner) > 6 and rng.random() < 0.1 else FLOOR
        for (x, y), mark in zip(
            rng.sample([c for c in border if c not in corners], len(stations)),
            stations,
            strict=True,
        ):
            rows[y][x] = mark
        for (x, y), cook in zip(rng.sample(inner, 2), "12", strict=True):
            rows[y][x] = cook
        return ["".join(row) for row in rows]


def load_layout(path: Path) -> KitchenScenario:
    """A layout file of Overcooked-AI: a Python literal with `grid` and, perhaps, orders and times.

    Raises `MootError` for a file that is none, or a kitchen that two cooks cannot use.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data: object = ast.literal_eval(text.strip())
    except OSError as error:
        raise MootError(f"{path}: {error.strerror}", usage=False) from None
    except (ValueError, SyntaxError, UnicodeDecodeError, MemoryError, RecursionError):
        raise MootError(f"{path}: no layout; want a Python literal with 'grid'") from None
    fields = cast(dict[str, Any], data) if isinstance(data, dict) else {}
    if not isinstance(fields.get("grid"), str):
        raise MootError(f"{path}: no layout; want a Python literal with 'grid'")
    rows = [row.strip("\t ") if i else row for i, row in enumerate(fields["grid"].split("\n"))]
    orders = cast(list[dict[str, Any]], fields.get("start_all_orders") or [])
    whole = {
        key: {i: fields[f"{i}_{what}"] for i in ("onion", "tomato") if f"{i}_{what}" in fields}
        for key, what in (("points", "value"), ("minutes", "time"))
    }
    found: dict[str, Any] = {
        "name": re.sub(r"\W", "_", path.stem),
        "protocol": joint_action(1),
        "grid": rows,
        "roles": {"ann": {}, "bob": {}},
        "source": path.name,
        **{key: value for key, value in whole.items() if value},
    }
    if orders:
        found["menu"] = [order["ingredients"] for order in orders]
    try:
        return KitchenScenario.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise MootError(f"{path}: {first['msg'].removeprefix('Value error, ')}") from None
