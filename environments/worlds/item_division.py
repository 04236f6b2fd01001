"""Item division: two agents share several kinds of items whose worth to the other is unknown.

The Deal-or-No-Deal game (Lewis et al. 2017, arXiv 1706.05125). An offer says what its sender takes; the
other gets the rest, so nothing is ever left over. An agent scores its values times its counts; without
a deal it scores its `no_deal` points (0 in the paper, 5 at CaSiNo's camp site). With a discount d the
points of a deal are worth d^k after k offers that came to nothing (Rubinstein 1982, Econometrica 50:97-109);
the solution is that of a deal at once.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import add, itemgetter, mul
from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import BaseModel, Field, FiniteFloat, PositiveInt, model_validator

from ...protocols import Content, Ended, Message, Move, Offer, Preferences, changed, trusted
from ...protocols.schemas import closed
from ..scenario import STRICT, ProtocolChoice, Role, Scenario
from ..world import Listener, Outcome, Solution
from .item_listener import MOST_VALUE, listeners

MAX_SPLITS = 50_000


class Split(Offer):
    """What the sender takes of each kind; the other agent gets the rest."""

    model_config = STRICT
    take: dict[str, int]


class Values(Preferences):
    """Points that the sender says one item of each kind is worth to it."""

    model_config = STRICT
    values: dict[str, int]


class ItemRole(Role):
    """One side of the table."""

    values: dict[str, Annotated[FiniteFloat, Field(ge=0)]] = Field(
        description="Points per item of each kind."
    )
    no_deal: FiniteFloat = Field(default=0.0, description="Points when there is no deal.")


class ItemScenario(Scenario):
    """Items to divide and what they are worth to each of two agents."""

    world: str = "item_division"
    items: dict[str, PositiveInt] = Field(description="Kind -> how many there are.")
    discounts: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        default_factory=dict[str, float],
        description="Seat -> what a point is worth to it one offer later; who is not named is patient.",
    )
    roles: dict[str, ItemRole] = Field(description="Two seats -> private values.")  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.items:
            raise ValueError("items: nothing to divide; name at least one kind")
        for name in self.discounts.keys() - self.roles.keys():
            raise ValueError(
                f"discounts: nobody is called {name}; here are {', '.join(self.roles)}"
            )
        splits = 1
        for count in self.items.values():
            splits *= count + 1
        if splits > MAX_SPLITS:
            raise ValueError(f"items: {splits} ways to divide them, at most {MAX_SPLITS}")
        for name, role in self.roles.items():
            if role.values.keys() != self.items.keys():
                raise ValueError(
                    f"roles.{name}.values: got {sorted(role.values)}, items are {sorted(self.items)}"
                )
            most = sum(role.values[k] * n for k, n in self.items.items())
            if most <= role.no_deal:
                raise ValueError(
                    f"roles.{name}: everything is worth {most:g} to {name}, no more than no_deal "
                    f"{role.no_deal:g}: no deal could satisfy it; raise a value or lower no_deal"
                )
        return self


class ItemGenerator(BaseModel):
    """Scenarios by the rules of Lewis et al.: both totals equal, every kind wanted by someone, at
    least one kind wanted by both."""

    model_config = STRICT

    items: tuple[str, ...] = Field(default=("book", "hat", "ball"), description="Kinds of items.")
    total: int = Field(default=10, ge=1, description="What everything is worth to each agent.")
    fewest: int = Field(default=5, ge=1, description="Fewest items on the table.")
    most: int = Field(default=7, ge=1, description="Most items on the table.")
    seats: tuple[str, str] = Field(
        default=("ann", "bob"), description="Names; the first speaks first."
    )
    deadline: int = Field(default=10, ge=1, description="Most messages.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not _tables(len(self.items), self.total, self.fewest, self.most):
            raise ValueError(
                f"no scenario has {len(self.items)} kinds, {self.fewest} to {self.most} items and a "
                f"total of {self.total} for both; raise total or most"
            )
        return self

    def draw(self, rng: random.Random) -> ItemScenario:
        """A uniform table of counts, then a uniform pair of value vectors that fit the rules."""
        tables = _tables(len(self.items), self.total, self.fewest, self.most)
        counts, vectors = tables[rng.randrange(len(tables))]
        while True:
            a, b = rng.choice(vectors), rng.choice(vectors)
            if _wanted(a, b):
                break
        # A frame that was validated once, with other numbers: `_tables` has only sound ones.
        one, two = self.seats
        return changed(
            _frame(self.items, self.seats, self.deadline),
            {
                "items": dict(zip(self.items, counts, strict=True)),
                "roles": {one: _role(self.items, a), two: _role(self.items, b)},
            },
        )


@lru_cache(maxsize=64)
def _frame(items: tuple[str, ...], seats: tuple[str, str], deadline: int) -> ItemScenario:
    """A scenario of which only the numbers are still to be drawn."""
    choice = ProtocolChoice(name="alternating_offers", deadline=deadline)  # pyright: ignore[reportCallIssue]
    return ItemScenario(
        name="item_division",
        protocol=choice,
        items=dict.fromkeys(items, 1),
        roles=dict.fromkeys(seats, _role(items, (1,) * len(items))),
    )


@lru_cache(maxsize=4096)
def _role(items: tuple[str, ...], values: tuple[int, ...]) -> ItemRole:
    return ItemRole(values=dict(zip(items, map(float, values), strict=True)))


@lru_cache(maxsize=64)
def _tables(
    kinds: int, total: int, fewest: int, most: int
) -> tuple[tuple[tuple[int, ...], tuple[tuple[int, ...], ...]], ...]:
    """Counts -> all value vectors worth `total`, where at least two vectors can meet."""
    found: list[tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]] = []
    for counts in itertools.product(range(1, most + 1), repeat=kinds):
        if not fewest <= sum(counts) <= most:
            continue
        vectors = tuple(_worth(counts, total))
        if any(_wanted(a, b) for a in vectors for b in vectors):
            found.append((counts, vectors))
    return tuple(found)


def _wanted(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether someone wants each kind, and both want one."""
    return all(map(add, a, b)) and any(map(mul, a, b))


def _worth(counts: Sequence[int], total: int) -> list[tuple[int, ...]]:
    if len(counts) == 1:
        return [(total // counts[0],)] if total % counts[0] == 0 else []
    return [
        (value, *rest)
        for value in range(total // counts[0] + 1)
        for rest in _worth(counts[1:], total - value * counts[0])
    ]


@lru_cache(maxsize=4096)
def _within(items: tuple[tuple[str, int], ...]) -> frozenset[tuple[str, int]]:
    """Every kind with every count that may be taken of it."""
    return frozenset((kind, count) for kind, n in items for count in range(n + 1))


@lru_cache(maxsize=4096)
def _splits(items: tuple[tuple[str, int], ...]) -> tuple[Split, ...]:
    """Every split, as what its sender takes."""
    names = [name for name, _ in items]
    ranges = [range(count + 1) for _, count in items]
    return tuple(
        Split.model_construct(take=dict(zip(names, counts, strict=True)))
        for counts in itertools.product(*ranges)
    )


def _sums(parts: Sequence[Sequence[float]]) -> list[float]:
    """One of each part added up, in the order of `_splits`."""
    return list(map(sum, itertools.product(*parts)))


class ItemSpace:
    """Every split as one agent judges it, best first (ties: in the order of enumeration)."""

    def __init__(self, items: Mapping[str, int], values: Mapping[str, float], point: float) -> None:
        self._items, self._values = items, values
        splits, self._read = _splits(tuple(items.items())), itemgetter(*items)
        worth = _sums([[point * values[k] * c for c in range(n + 1)] for k, n in items.items()])
        self._worth = {self._read(split.take): u for split, u in zip(splits, worth, strict=True)}
        self._order = order = sorted(range(len(splits)), key=worth.__getitem__, reverse=True)
        self.offers: Sequence[Content] = [splits[i] for i in order]
        self.utilities: Sequence[float] = [worth[i] for i in order]
        self._all = point * sum(values[k] * n for k, n in items.items())

    def utility(self, offer: Content, *, mine: bool) -> float:
        worth = self._worth[self._read(offer.take)]  # pyright: ignore
        return worth if mine else self._all - worth

    def partner(self, told: Content) -> Sequence[float]:
        values = cast(Values, told).values
        rest = _sums([[values[k] * (n - c) for c in range(n + 1)] for k, n in self._items.items()])
        return [rest[i] for i in self._order]

    def told(self) -> Content:
        # In proportion where a value is larger than may be claimed.
        scale = MOST_VALUE / max(MOST_VALUE, *self._values.values())
        return Values(values={k: round(v * scale) for k, v in self._values.items()})


@lru_cache(maxsize=4096)
def _space(
    items: tuple[tuple[str, int], ...], values: tuple[tuple[str, float], ...], point: float
) -> ItemSpace:
    return ItemSpace(dict(items), dict(values), point)


@lru_cache(maxsize=65536)
def _solve(
    items: tuple[tuple[str, int], ...],
    sides: tuple[tuple[tuple[float, ...], float], tuple[tuple[float, ...], float]],
) -> Solution:
    (one, d1), (two, d2) = sides
    best: dict[float, float] = {}
    joint, nash, take = float("-inf"), 0.0, ()
    for counts in itertools.product(*(range(n + 1) for _, n in items)):
        u1 = sum(v * c for v, c in zip(one, counts, strict=True))
        u2 = sum(v * (n - c) for v, c, (_, n) in zip(two, counts, items, strict=True))
        best[u1] = max(best.get(u1, u2), u2)
        if u1 + u2 > joint:
            joint, take = u1 + u2, counts
        if u1 > d1 and u2 > d2:
            nash = max(nash, (u1 - d1) * (u2 - d2))
    frontier: list[tuple[float, float]] = []
    for u1 in sorted(best, reverse=True):
        if not frontier or best[u1] > frontier[-1][1]:
            frontier.append((u1, best[u1]))
    return Solution(
        disagreement=(d1, d2),
        frontier=tuple(reversed(frontier)),
        max_joint=joint,
        max_nash=nash,
        best={"first takes": {k: c for (k, _), c in zip(items, take, strict=True)}},
    )


class ItemDivision:
    """One game of item division."""

    name: ClassVar[str] = "item_division"
    summary: ClassVar[str] = "two agents divide items of privately known worth (Deal or No Deal)"
    Scenario: ClassVar[type[Scenario]] = ItemScenario
    Generator: ClassVar[type[BaseModel]] = ItemGenerator
    contents: ClassVar[Mapping[type[Content], type[Content]]] = {Offer: Split, Preferences: Values}

    def __init__(self, scenario: ItemScenario) -> None:
        self.scenario = scenario
        self.agents = tuple(scenario.roles)
        self._within = _within(tuple(scenario.items.items()))
        self._offer: Message | None = None
        self._late = -1  # offers before the last one
        self._discounts = {a: d for a, d in scenario.discounts.items() if d < 1}

    @classmethod
    def build(cls, scenario: Scenario) -> Self:
        return cls(cast(ItemScenario, scenario))

    @classmethod
    def solve(cls, scenario: Scenario) -> Solution:
        s = cast(ItemScenario, scenario)
        one, two = (
            (tuple(role.values[k] for k in s.items), role.no_deal) for role in s.roles.values()
        )
        return _solve(tuple(s.items.items()), (one, two))

    def roles(self) -> Mapping[str, str]:
        return dict.fromkeys(self.agents, "")

    def public(self) -> Mapping[str, Any]:
        # Copies: a scenario and its parts are shared by episodes, what an agent is shown is its own.
        known: dict[str, Any] = {"items": dict(self.scenario.items)}
        return known | {"discounts": dict(self._discounts)} if self._discounts else known

    def private(self, agent: str) -> Mapping[str, Any]:
        role = self.scenario.roles[agent]
        return {"values": dict(role.values), "no_deal": role.no_deal}

    def describe(self, agent: str) -> tuple[str, str]:
        role = self.scenario.roles[agent]
        items = ", ".join(f"{n} {k}" for k, n in self.scenario.items.items())
        values = ", ".join(f"{k} {v:g}" for k, v in role.values.items())
        none = f" Without a deal you get {role.no_deal:g} points."
        left = ", ".join(f"{100 * d:g} percent to {a}" for a, d in self._discounts.items())
        late = (
            f" After each offer that is not accepted all points are worth only {left}."
            if left
            else ""
        )
        return (
            f"Divide these items between the two of you: {items}.{late}",
            f"Points per item for you: {values}.{none}",
        )

    def explain(self, move: Move) -> str:
        if move.content is Offer:
            return '{"take": {item: count}}, what you get, the other gets the rest'
        return '{"values": {item: points}}'

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        items = self.scenario.items
        if move.content is Offer:
            key, kinds = "take", {k: (0, n) for k, n in items.items()}
        else:
            key, kinds = "values", dict.fromkeys(items, (0, MOST_VALUE))
        return closed({key: closed({k: _integer(low, high) for k, (low, high) in kinds.items()})})

    def check(self, agent: str, content: Content, move: Move, to: tuple[str, ...]) -> str | None:
        items = self.scenario.items
        if isinstance(content, Split):
            if len(content.take) == len(items) and content.take.items() <= self._within:
                return None
            legal = ", ".join(f"{k} 0 to {n}" for k, n in items.items())
            return f"take {legal}"
        values = cast(Values, content).values
        if values.keys() == items.keys() and all(0 <= v <= MOST_VALUE for v in values.values()):
            return None
        return f"values 0 to {MOST_VALUE} for {', '.join(items)}"

    def hear(self, message: Message) -> None:
        if isinstance(message.content, Split):
            self._offer = message
            self._late += 1

    def outcome(self, ended: Ended) -> Outcome:
        deal: dict[str, Any] | None = None
        if ended is Ended.AGREED and self._offer is not None:
            take = cast(Split, self._offer.content).take
            rest = {k: n - take[k] for k, n in self.scenario.items.items()}
            deal = {a: take if a == self._offer.sender else rest for a in self.agents}
        outcome = self.close(self.scenario, deal)
        if deal is None or not self._discounts:
            return outcome
        worth = {a: self._point(a) * u for a, u in outcome.utilities.items()}
        return outcome.model_copy(update={"utilities": worth})

    def _point(self, agent: str) -> float:
        """What a point of the offer on the table is worth."""
        return self._discounts.get(agent, 1.0) ** max(self._late, 0)

    @staticmethod
    def close(scenario: ItemScenario, deal: Mapping[str, Mapping[str, int]] | None) -> Outcome:
        """The outcome of a deal (agent -> kind -> count), or of none."""
        if deal is None:
            none = {a: role.no_deal for a, role in scenario.roles.items()}
            return trusted(
                Outcome, {"completed": False, "deal": None, "utilities": none, "results": None}
            )
        utilities: dict[str, float] = {}
        for agent, role in scenario.roles.items():
            values = role.values
            utilities[agent] = float(sum([values[k] * n for k, n in deal[agent].items()]))
        shares = {agent: dict(deal[agent]) for agent in scenario.roles}
        return trusted(
            Outcome, {"completed": True, "deal": shares, "utilities": utilities, "results": None}
        )

    def space(self, agent: str) -> ItemSpace:
        values = self.scenario.roles[agent].values
        items = tuple(self.scenario.items.items())
        return _space(items, tuple(values.items()), self._point(agent))

    def listeners(self) -> Sequence[Listener]:
        return listeners(
            self.scenario.items, {a: role.values for a, role in self.scenario.roles.items()}
        )


def _integer(low: int, high: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high}
