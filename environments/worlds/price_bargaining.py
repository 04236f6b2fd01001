"""Price bargaining: a seller and a buyer settle the price of one thing; each hides where it stops.

The game of CraigslistBargain. An agent has a `reserve`, the worst price that it accepts, and a `target`,
the price that it hopes for. Utility is linear in the price p with 1 at the own target, after He et al.
2018 (arXiv 1808.09637), who have no reserves; here 0 lies at the own reserve:

    seller  u(p) = (p - reserve) / (target - reserve)        target > reserve
    buyer   u(p) = (reserve - p) / (reserve - target)        target < reserve

and 0 without a deal. It is not clipped: a price beyond the reserve is a loss, one beyond the target is
worth more than 1. Left out: goods of several attributes, and what the thing looks like.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import AfterValidator, BaseModel, Field, FiniteFloat, model_validator

from ...protocols import Content, Ended, Message, Move, Offer, Preferences, trusted
from ...protocols.schemas import closed
from ..scenario import STRICT, ProtocolChoice, Role, Scenario
from ..world import Listener, Outcome, Solution
from .price_listener import listeners

MAX_PRICES = 2000
SELLER, BUYER = "seller", "buyer"
ITEMS = (
    "bicycle", "desk", "guitar", "sofa", "camera", "lamp", "bookshelf", "record player", "tent",
    "sewing machine", "washing machine", "armchair", "telescope", "monitor", "rug", "kayak",
)  # fmt: skip


def _whole(value: int | float) -> int | float:
    return value if value % 1 else int(value)


Money = Annotated[int | FiniteFloat, AfterValidator(_whole)]
"""Whole amounts stay whole, so that prices read 120 and not 120.0."""


class Price(Offer):
    """The price at which its sender would trade."""

    model_config = STRICT
    price: int | float


class Limit(Preferences):
    """The reserve that its sender claims to have: the worst price that it would accept."""

    model_config = STRICT
    limit: int | float


class PriceRole(Role):
    """One side of the trade."""

    reserve: Money = Field(description="The worst price that this agent accepts.")
    target: Money | None = Field(
        default=None, description="The price it hopes for; unset: seller `high`, buyer `low`."
    )


class PriceScenario(Scenario):
    """One thing to sell, the prices that may be named, and where either side stops."""

    world: str = "price_bargaining"
    item: str = Field(min_length=1, description="What is sold, as in an advertisement's title.")
    low: Money = Field(default=0, ge=0, description="Lowest price that may be named.")
    high: Money = Field(description="Highest price that may be named.")
    tick: Money = Field(
        default=1, gt=0, description="Step between prices; low and high are multiples."
    )
    list_price: Money | None = Field(
        default=None, ge=0, description="Advertised price, seen by all."
    )
    no_zone: bool = Field(default=False, description="Allow that no price suits both.")
    roles: dict[str, PriceRole] = Field(description="A seller and a buyer.")  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.high <= self.low:
            raise ValueError(f"high: got {self.high:g}, want more than low {self.low:g}")
        for name, value in (("low", self.low), ("high", self.high)):
            if not _on(value, self.tick):
                raise ValueError(f"{name}: got {value:g}, want a multiple of tick {self.tick:g}")
        count = round((self.high - self.low) / self.tick) + 1
        if count > MAX_PRICES:
            raise ValueError(
                f"tick: {count} prices from low to high, at most {MAX_PRICES}; raise it"
            )
        sides = {self.side(name): name for name in self.roles}
        if len(self.roles) != 2 or sides.keys() != {SELLER, BUYER}:
            raise ValueError(
                f"roles: want one seller and one buyer, got {', '.join(self.roles) or 'nobody'}; "
                "name the seats so or give each a role"
            )
        for name, role in self.roles.items():
            sign, target = self.sign(name), self.target(name)
            if (target - role.reserve) * sign <= 0:
                raise ValueError(
                    f"roles.{name}.reserve: got {role.reserve:g}, want {'less' if sign > 0 else 'more'}"
                    f" than the {self.side(name)}'s target {target:g}"
                )
        if _solve(self.key()).zone is None and not self.no_zone:
            least, most = self.roles[sides[SELLER]].reserve, self.roles[sides[BUYER]].reserve
            raise ValueError(
                f"roles: the seller wants at least {least:g}, the buyer pays at most {most:g}: no "
                "price suits both; change a reserve or set no_zone: true"
            )
        return self

    def side(self, agent: str) -> str:
        """`seller` or `buyer`."""
        return self.roles[agent].role or agent

    def sign(self, agent: str) -> int:
        """+1 for who wants a high price, -1 for who wants a low one."""
        return 1 if self.side(agent) == SELLER else -1

    def target(self, agent: str) -> float:
        """The price that this agent hopes for."""
        given = self.roles[agent].target
        return (self.high if self.sign(agent) > 0 else self.low) if given is None else given

    def key(self) -> tuple[Grid, tuple[Line, Line]]:
        """What the solution depends on: the prices, and (reserve, target) in seat order."""
        one, two = ((role.reserve, self.target(name)) for name, role in self.roles.items())
        return (self.low, self.high, self.tick), (one, two)


Grid = tuple[float, float, float]
"""Lowest price, highest price, step."""
Line = tuple[float, float]
"""Reserve (utility 0) and target (utility 1) of one agent."""


def _on(price: float, tick: float) -> bool:
    steps = price / tick
    return abs(steps - round(steps)) < 1e-6


@lru_cache(maxsize=4096)
def _prices(grid: Grid) -> tuple[float, ...]:
    """Every price, ascending."""
    low, high, tick = grid
    count = round((high - low) / tick) + 1
    if isinstance(low, int) and isinstance(tick, int):
        return tuple(low + tick * i for i in range(count))
    return tuple(round(low + tick * i, 9) for i in range(count))


@lru_cache(maxsize=1024)
def _offers(grid: Grid) -> tuple[Price, ...]:
    """An offer of every price, ascending; those who bargain over the same prices share them."""
    return tuple([trusted(Price, {"price": p}) for p in _prices(grid)])


def _utility(price: float, line: Line) -> float:
    reserve, target = line
    return (price - reserve) / (target - reserve)


@lru_cache(maxsize=65536)
def _solve(key: tuple[Grid, tuple[Line, Line]]) -> Solution:
    grid, (one, two) = key
    points = [(p, _utility(p, one), _utility(p, two)) for p in _prices(grid)]
    both = [point for point in points if point[1] >= -1e-9 and point[2] >= -1e-9]
    best = max(points, key=lambda point: point[1] + point[2])
    return Solution(
        disagreement=(0.0, 0.0),
        frontier=tuple(sorted((u1, u2) for _, u1, u2 in both)),
        max_joint=best[1] + best[2],
        max_nash=max((max(u1, 0.0) * max(u2, 0.0) for _, u1, u2 in both), default=0.0),
        zone=(both[0][0], both[-1][0]) if both else None,
        best={"price": best[0]},
    )


class PriceGenerator(BaseModel):
    """Scenarios whose prices lie around a level that is drawn anew each time.

    With a level L: low = L/2 and high = 3L/2 (to whole ticks); the zone's width is drawn from `zone`,
    as a share of high - low, and its place uniformly. Targets are the ends of the grid. With
    probability `no_zone` the two reserves change places, so that no price suits both.
    """

    model_config = STRICT

    items: tuple[str, ...] = Field(default=ITEMS, min_length=1, description="What may be for sale.")
    cheapest: int = Field(default=20, ge=4, description="Lowest price level, in ticks.")
    dearest: int = Field(default=200, ge=4, description="Highest price level, in ticks.")
    tick: int = Field(default=1, ge=1, description="Step between prices.")
    zone: tuple[float, float] = Field(
        default=(0.1, 0.6),
        description="Narrowest and widest bargaining zone; conflict is 1 minus it.",
    )
    no_zone: float = Field(
        default=0.0, ge=0, le=1, description="Share of scenarios without a zone."
    )
    listed: bool = Field(
        default=True, description="Whether the highest price is shown as the list price."
    )
    seats: tuple[str, str] = Field(
        default=(SELLER, BUYER), description="Names of the seller and the buyer."
    )
    first: Literal["seller", "buyer", "either"] = Field(
        default="either", description="Who speaks first."
    )
    deadline: int = Field(default=10, ge=1, description="Most messages.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.dearest < self.cheapest:
            raise ValueError(f"dearest: got {self.dearest}, want at least cheapest {self.cheapest}")
        if self.dearest + 1 > MAX_PRICES:
            raise ValueError(f"dearest: got {self.dearest}, want at most {MAX_PRICES - 1} ticks")
        narrow, wide = self.zone
        if not 0 < narrow <= wide < 1:
            raise ValueError(f"zone: got {narrow:g} to {wide:g}, want 0 < narrowest <= widest < 1")
        if self.seats[0] == self.seats[1]:
            raise ValueError(f"seats: got {self.seats[0]!r} twice, want two names")
        return self

    def draw(self, rng: random.Random) -> PriceScenario:
        """Level, zone and place, all uniform."""
        level = rng.randint(self.cheapest, self.dearest)
        low, high = level // 2, level // 2 + level
        # At least one tick wide and one tick away from either end: the targets stay out of reach.
        width = min(max(round(level * rng.uniform(*self.zone)), 1), level - 2)
        least = rng.randint(low + 1, high - 1 - width)
        most = least + width
        empty = rng.random() < self.no_zone
        if empty:
            least, most = most, least
        item = rng.choice(self.items)
        seller_first = {"seller": True, "buyer": False}.get(self.first)
        if seller_first is None:
            seller_first = rng.random() < 0.5
        seller, buyer = self.seats
        roles = {
            seller: PriceRole(role=SELLER, reserve=least * self.tick),
            buyer: PriceRole(role=BUYER, reserve=most * self.tick),
        }
        return PriceScenario(
            name="price_bargaining",
            protocol=ProtocolChoice(name="alternating_offers", deadline=self.deadline),  # pyright: ignore[reportCallIssue]
            item=item,
            low=low * self.tick,
            high=high * self.tick,
            tick=self.tick,
            list_price=high * self.tick if self.listed else None,
            no_zone=empty,
            roles=roles if seller_first else dict(reversed(roles.items())),
        )


class PriceSpace:
    """Every price as one agent judges it, best first."""

    def __init__(self, grid: Grid, line: Line) -> None:
        self._line, self._grid = line, grid
        reserve, target = line
        way = -1 if target > reserve else 1
        self.offers: Sequence[Content] = _offers(grid)[::way]
        self.utilities: Sequence[float] = [_utility(p, line) for p in _prices(grid)[::way]]

    def utility(self, offer: Content, *, mine: bool) -> float:
        return _utility(cast(Price, offer).price, self._line)

    def partner(self, told: Content) -> Sequence[float]:
        """As if the other's target were the far end of the prices. A limit that leaves it nothing to
        gain at all cannot be true; then every price is judged by its distance alone."""
        low, high, tick = self._grid
        limit, far = cast(Limit, told).limit, low if self._line[1] > self._line[0] else high
        reach = max(abs(far - limit), tick)
        side = 1 if far == high else -1
        return [side * (cast(Price, o).price - limit) / reach for o in self.offers]

    def told(self) -> Content:
        """The reserve, to the next price that is no worse for this agent."""
        low, _, tick = self._grid
        reserve, target = self._line
        steps = (reserve - low) / tick
        at = math.ceil(steps - 1e-6) if target > reserve else math.floor(steps + 1e-6)
        prices = _prices(self._grid)
        return Limit(limit=prices[min(max(at, 0), len(prices) - 1)])


@lru_cache(maxsize=4096)
def _space(grid: Grid, line: Line) -> PriceSpace:
    return PriceSpace(grid, line)


class PriceBargaining:
    """One trade."""

    name: ClassVar[str] = "price_bargaining"
    summary: ClassVar[str] = "a seller and a buyer with hidden limits settle a price (Craigslist)"
    Scenario: ClassVar[type[Scenario]] = PriceScenario
    Generator: ClassVar[type[BaseModel]] = PriceGenerator
    contents: ClassVar[Mapping[type[Content], type[Content]]] = {Offer: Price, Preferences: Limit}

    def __init__(self, scenario: PriceScenario) -> None:
        self.scenario = scenario
        self.agents = tuple(scenario.roles)
        self._grid = scenario.key()[0]
        self._price: float | None = None

    @classmethod
    def build(cls, scenario: Scenario) -> Self:
        return cls(cast(PriceScenario, scenario))

    @classmethod
    def solve(cls, scenario: Scenario) -> Solution:
        """`zone` and `frontier` hold the prices that both accept, `max_joint` runs over all prices."""
        return _solve(cast(PriceScenario, scenario).key())

    def roles(self) -> Mapping[str, str]:
        return {a: self.scenario.side(a) for a in self.agents}

    def public(self) -> Mapping[str, Any]:
        s = self.scenario
        listed = {} if s.list_price is None else {"list_price": s.list_price}
        return {"item": s.item, "low": s.low, "high": s.high, "tick": s.tick, **listed}

    def private(self, agent: str) -> Mapping[str, Any]:
        s = self.scenario
        return {"reserve": s.roles[agent].reserve, "target": s.target(agent)}

    def describe(self, agent: str) -> tuple[str, str]:
        s = self.scenario
        seller = s.sign(agent) > 0
        listed = "" if s.list_price is None else f" It is listed at {s.list_price:g}."
        reserve, target = s.roles[agent].reserve, s.target(agent)
        bound = f"do not go {'below' if seller else 'above'} {reserve:g}"
        return (
            f"Settle the price of this: {s.item}.{listed}"
            f" Prices run from {s.low:g} to {s.high:g} in steps of {s.tick:g}.",
            f"You {'sell' if seller else 'buy'} it. You hope for {target:g} (1 point) and {bound}"
            " (0 points). Without a deal you get 0 points.",
        )

    def explain(self, move: Move) -> str:
        if move.content is Offer:
            return '{"price": number}'
        return '{"limit": number}, the worst price you accept'

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        return _schema("price" if move.content is Offer else "limit", self._grid)

    def check(self, agent: str, content: Content, move: Move, to: tuple[str, ...]) -> str | None:
        low, high, tick = self._grid
        value = content.price if isinstance(content, Price) else cast(Limit, content).limit
        if low <= value <= high and _on(value, tick):
            return None
        return f"a price from {low:g} to {high:g} in steps of {tick:g}"

    def hear(self, message: Message) -> None:
        if isinstance(message.content, Price):
            self._price = message.content.price

    def outcome(self, ended: Ended) -> Outcome:
        return self.close(self.scenario, self._price if ended is Ended.AGREED else None)

    @staticmethod
    def close(scenario: PriceScenario, price: float | None) -> Outcome:
        """The outcome of a deal at this price, or of none."""
        if price is None:
            return Outcome(completed=False, utilities=dict.fromkeys(scenario.roles, 0.0))
        lines = {
            name: (role.reserve, scenario.target(name)) for name, role in scenario.roles.items()
        }
        utilities = {name: _utility(price, line) for name, line in lines.items()}
        return Outcome(completed=True, deal={"price": price}, utilities=utilities)

    def space(self, agent: str) -> PriceSpace:
        return _space(self._grid, (self.scenario.roles[agent].reserve, self.scenario.target(agent)))

    def listeners(self) -> Sequence[Listener]:
        told = {a: cast(Limit, self.space(a).told()).limit for a in self.agents}
        return listeners(self._grid, told, {a: self.scenario.sign(a) > 0 for a in self.agents})


@lru_cache(maxsize=4096)
def _schema(key: str, grid: Grid) -> dict[str, Any]:
    low, high, tick = grid
    whole = all(isinstance(value, int) for value in grid)
    number: dict[str, Any] = {
        "type": "integer" if whole else "number", "minimum": low, "maximum": high
    }  # fmt: skip
    if not whole or tick != 1:
        number["multipleOf"] = tick
    return closed({key: number})
