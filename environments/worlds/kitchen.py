"""Kitchen: two cooks, one grid, soups to be cooked and served before it closes.

The rules of Overcooked-AI (Carroll et al. 2019, arXiv 1910.05789): both move at once; a cook faces where it
last went; `act` takes, puts, cooks or serves at what it faces. A pot holds three ingredients, and cooks
when it is full or when somebody acts on it with empty hands. Two cooks never share a cell nor swap: then
neither moves. Each decides on up to `stretch` steps at a time, after a round of talk, and the steps of both
run side by side. Both score the points of all soups served. Left out: partial reward, bonus orders.

The best of all joint plans is not known: `max_joint` is an upper bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import BaseModel, Field

from ...protocols import Act, Choice, Content, Ended, Message, Move
from ...protocols.schemas import closed
from ..scenario import STRICT, Scenario
from ..world import Notice, Outcome, Solution
from .kitchen_bound import most_points
from .kitchen_scenario import (
    COUNTER,
    DISHES,
    FULLEST,
    INGREDIENTS,
    POT,
    SERVE,
    WAYS,
    Cell,
    KitchenGenerator,
    KitchenScenario,
    find,
)

Step = Literal["north", "south", "east", "west", "act", "stay"]
STEPS: tuple[Step, ...] = ("north", "south", "east", "west", "act", "stay")


class Steps(Choice):
    """What a cook does next, step by step, or announces that it will do."""

    model_config = STRICT
    steps: Annotated[list[Step], Field(min_length=1, max_length=20)]


class Cook:
    """Where a cook stands, where it looks, and what it carries."""

    def __init__(self, at: Cell) -> None:
        self.at, self.facing = at, "north"
        self.holds: tuple[str, ...] = ()
        """Nothing, ("onion",), ("tomato",), ("dish",), or ("soup", *ingredients)."""


class Pot:
    """What is in a pot, and how long it still cooks (None: not on)."""

    def __init__(self) -> None:
        self.holds: list[str] = []
        self.left: int | None = None


class Kitchen:
    """One shift."""

    name: ClassVar[str] = "kitchen"
    summary: ClassVar[str] = "two cooks on a grid cook and serve soups together (Overcooked)"
    Scenario: ClassVar[type[Scenario]] = KitchenScenario
    Generator: ClassVar[type[BaseModel]] = KitchenGenerator
    contents: ClassVar[Mapping[type[Content], type[Content]]] = {Choice: Steps}

    def __init__(self, scenario: KitchenScenario) -> None:
        self.scenario = scenario
        grid = tuple(scenario.grid)
        self._seats = tuple(scenario.roles)
        self._cooks = [Cook(find(grid, mark)) for mark in "12"]
        self._grid = tuple(row.replace("1", " ").replace("2", " ") for row in grid)
        self._pots = {
            (x, y): Pot() for y, row in enumerate(grid) for x, m in enumerate(row) if m == POT
        }
        self._counters: dict[Cell, tuple[str, ...]] = {}
        self._plans: dict[str, list[Step]] = {}
        self._clock = self._soups = self._wasted = self._collisions = 0
        self._points = 0.0
        self._news: tuple[Notice, ...] = ()

    @classmethod
    def build(cls, scenario: Scenario) -> Self:
        return cls(cast(KitchenScenario, scenario))

    @classmethod
    def solve(cls, scenario: Scenario) -> Solution:
        """`max_joint` is an upper bound (`kitchen_bound.py`): nobody scores more, perhaps nobody as much."""
        most = most_points(cast(KitchenScenario, scenario))
        return Solution(
            disagreement=(0.0, 0.0),
            frontier=(),
            max_joint=2 * most,
            max_nash=most * most,
            reference={"points_at_most": most},
        )

    def roles(self) -> Mapping[str, str]:
        return dict.fromkeys(self._seats, "")

    def public(self) -> Mapping[str, Any]:
        s = self.scenario
        known = {"menu": s.menu} if s.menu_for == "both" else {}
        return {
            "grid": list(s.grid),
            "horizon": s.horizon,
            "stretch": s.stretch,
            "points": dict(s.points) if s.points else 20,
            "minutes": dict(s.minutes) if s.minutes else 20,
            **known,
        }

    def private(self, agent: str) -> Mapping[str, Any]:
        return {"menu": self.scenario.menu} if self._knows_menu(agent) else {}

    def _knows_menu(self, agent: str) -> bool:
        number = {"both": None, "first": 0, "second": 1}[self.scenario.menu_for]
        return number is not None and self._seats[number] == agent

    def describe(self, agent: str) -> tuple[str, str]:
        s = self.scenario
        menu = "; ".join(", ".join(recipe) for recipe in s.menu)
        takes = "20 steps" if s.minutes is None else _by_ingredient(s.minutes) + " steps"
        pays = "20 points" if s.points is None else _by_ingredient(s.points) + " points"
        everyone = (
            f"Two cooks, {self._seats[0]} (1) and {self._seats[1]} (2), in a kitchen, north is up:"
            " X counter, O onions, T tomatoes, D dishes, P pot, S where soup is served.\n"
            + "\n".join(s.grid)
            + "\nA step is north, south, east, west (you turn there, and go if it is free floor), act or"
            " stay. act takes from a supply, puts on or takes from a counter, fills a pot you face, takes"
            f" soup with a dish, serves. A pot cooks when it holds {FULLEST}, or when acted on with empty"
            f" hands: {takes}. A soup of the menu pays both {pays}. Each move is up to {s.stretch} steps of"
            f" both at once. {s.horizon} steps in all."
        )
        if s.menu_for == "both":
            return f"{everyone} The menu: {menu}.", ""
        told = f"You alone know the menu: {menu}." if self._knows_menu(agent) else ""
        return everyone, told or "The other cook knows the menu."

    def explain(self, move: Move) -> str:
        return f'{{"steps": [1 to {self.scenario.stretch} of {", ".join(STEPS)}]}}'

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        steps = {"type": "array", "items": {"enum": list(STEPS)}, "minItems": 1}
        return closed({"steps": {**steps, "maxItems": self.scenario.stretch}})

    def check(self, agent: str, content: Content, move: Move, to: tuple[str, ...]) -> str | None:
        most = self.scenario.stretch
        return None if len(cast(Steps, content).steps) <= most else f"at most {most} steps"

    def hear(self, message: Message) -> None:
        self._news = ()
        if message.act is not Act.REQUEST:
            return
        self._plans[message.sender] = list(cast(Steps, message.content).steps)
        if len(self._plans) < 2:
            return
        served, before = self._soups, self._collisions
        for number in range(max(map(len, self._plans.values()))):
            if self._clock >= self.scenario.horizon:
                break
            both = [self._plans[seat] for seat in self._seats]
            self._step([plan[number] if number < len(plan) else "stay" for plan in both])
        self._plans = {}
        self._news = (self._notice(self._soups - served, self._collisions - before),)

    def _step(self, steps: Sequence[Step]) -> None:
        """One step of both, as in Overcooked-AI: acts in seat order, then moves, then the pots."""
        self._clock += 1
        for cook, step in zip(self._cooks, steps, strict=True):
            if step == "act":
                self._act(cook)
        goes = [cook.at for cook in self._cooks]
        for i, (cook, step) in enumerate(zip(self._cooks, steps, strict=True)):
            if step in WAYS:
                cook.facing = step
                there = self._before(cook)
                if self._grid[there[1]][there[0]] == " ":
                    goes[i] = there
        one, two = self._cooks
        if goes[0] == goes[1] or (goes[0] == two.at and goes[1] == one.at):
            self._collisions += 1
        else:
            one.at, two.at = goes
        for pot in self._pots.values():
            if pot.left:
                pot.left -= 1

    def _before(self, cook: Cook) -> Cell:
        """The cell that a cook faces."""
        dx, dy = WAYS[cook.facing]
        return cook.at[0] + dx, cook.at[1] + dy

    def _act(self, cook: Cook) -> None:
        there = self._before(cook)
        mark = self._grid[there[1]][there[0]]
        if mark in INGREDIENTS and not cook.holds:
            cook.holds = (INGREDIENTS[mark],)
        elif mark == DISHES and not cook.holds:
            cook.holds = ("dish",)
        elif mark == COUNTER and cook.holds and there not in self._counters:
            self._counters[there], cook.holds = cook.holds, ()
        elif mark == COUNTER and not cook.holds:
            cook.holds = self._counters.pop(there, ())
        elif mark == SERVE and cook.holds[:1] == ("soup",):
            worth = self.scenario.worth(cook.holds[1:])
            self._points += worth
            self._soups += worth > 0
            self._wasted += worth == 0
            cook.holds = ()
        elif mark == POT:
            self._cook(cook, self._pots[there])

    def _cook(self, cook: Cook, pot: Pot) -> None:
        kind = cook.holds[0] if cook.holds else ""
        if kind in INGREDIENTS.values() and pot.left is None and len(pot.holds) < FULLEST:
            pot.holds.append(kind)
            cook.holds = ()
            if len(pot.holds) == FULLEST:
                pot.left = self.scenario.cooks(pot.holds)
        elif not kind and pot.holds and pot.left is None:
            pot.left = self.scenario.cooks(pot.holds)
        elif kind == "dish" and pot.left == 0:
            cook.holds = ("soup", *pot.holds)
            pot.holds, pot.left = [], None

    def _notice(self, served: int, collisions: int) -> Notice:
        cooks = {
            seat: {"at": list(c.at), "facing": c.facing, "holds": list(c.holds)}
            for seat, c in zip(self._seats, self._cooks, strict=True)
        }
        pots = [
            {"at": list(at), "holds": list(pot.holds), "left": pot.left}
            for at, pot in self._pots.items()
        ]
        counters = [{"at": list(at), "holds": list(held)} for at, held in self._counters.items()]
        data = {
            "clock": self._clock, "points": self._points, "served": served,
            "collisions": collisions, "cooks": cooks, "pots": pots, "counters": counters,
        }  # fmt: skip
        words = [f"Step {self._clock} of {self.scenario.horizon}, {self._points:g} points."]
        words += [f"{served} served."] if served else []
        words += [f"You were in each other's way {collisions} times."] if collisions else []
        words += [
            f"{seat} at {_cell(c.at)} facing {c.facing}, holds {' '.join(c.holds) or 'nothing'}."
            for seat, c in zip(self._seats, self._cooks, strict=True)
        ]
        words += [
            f"Pot {_cell(at)}: {', '.join(p.holds) or 'empty'}"
            + ("" if p.left is None else f", {p.left} steps to go" if p.left else ", ready")
            + "."
            for at, p in self._pots.items()
        ]
        words += [f"Counter {_cell(at)}: {' '.join(h)}." for at, h in self._counters.items()]
        return Notice(self._seats, " ".join(words), data)

    def tell(self) -> Sequence[Notice]:
        return self._news

    def over(self) -> Ended | None:
        return Ended.DONE if self._clock >= self.scenario.horizon else None

    def outcome(self, ended: Ended) -> Outcome:
        """`soups` served of the menu, `wasted` ones that were not on it, `collisions`."""
        return Outcome(
            completed=self._soups >= self.scenario.goal,
            deal={"soups": self._soups} if self._soups else None,
            utilities=dict.fromkeys(self._seats, self._points),
            results={
                "soups": float(self._soups),
                "wasted": float(self._wasted),
                "collisions": float(self._collisions),
            },
        )

    def space(self, agent: str) -> None:
        """None: there are no offers to rank."""

    def picture(self) -> str:
        """The kitchen from above."""
        from .kitchen_picture import drawn

        cooks = [(c.at, c.facing, c.holds) for c in self._cooks]
        pots = {at: (tuple(p.holds), p.left) for at, p in self._pots.items()}
        return drawn(self._grid, cooks, pots, self._counters)


def _by_ingredient(amounts: Mapping[Any, float]) -> str:
    return " and ".join(f"{amount:g} for each {name}" for name, amount in amounts.items())


def _cell(at: Cell) -> str:
    return f"column {at[0] + 1} row {at[1] + 1}"
