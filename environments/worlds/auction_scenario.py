"""Scenarios of the auction house: what the good is worth to whom, who gets it, and a generator."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, Field, model_validator

from ..scenario import STRICT, ProtocolChoice, Role, Scenario
from ..world import Solution

AUCTIONEER, BIDDER = "auctioneer", "bidder"
SEALED = "sealed_bid"
PROTOCOLS = (SEALED, "english_auction", "dutch_auction")
LARGEST, MOST_PRICES = 1_000_000, 10_000
NAMES = ("ann", "bob", "cleo", "dan", "eve", "finn", "gus", "hana", "ivo", "jun", "kim", "leo")
GOODS = (
    "clock",
    "painting",
    "carpet",
    "telescope",
    "violin",
    "chair",
    "lamp",
    "atlas",
    "vase",
    "camera",
)
Amount = Annotated[int, Field(ge=0, le=LARGEST)]
Rule = Literal["first_price", "second_price"]


class Sale(NamedTuple):
    """Who has the good, and what it pays."""

    winner: str
    price: int


def sale(bids: Mapping[str, int], rule: Rule, low: int, lot: int = 0) -> Sale | None:
    """The highest bid wins; of equal ones, the `lot`-th in seat order, round and round. It pays its own
    bid, or the second-highest (`low` where there is none). None without a bid."""
    if not bids:
        return None
    ranked = sorted(bids.values(), reverse=True)
    tied = [agent for agent, bid in bids.items() if bid == ranked[0]]
    price = ranked[0] if rule == "first_price" else (*ranked, low)[1]
    return Sale(tied[lot % len(tied)], price)


class AuctionRole(Role):
    """A bidder has a `value` or, of a good of common worth, a `signal`; an auctioneer a `reserve`."""

    role: str = Field(
        default="", description="auctioneer or bidder; empty: the seat `auctioneer` is that."
    )
    value: Amount | None = Field(default=None, description="What the good is worth to this bidder.")
    signal: Amount | None = Field(
        default=None, description="Common worth: this bidder's estimate of it."
    )
    reserve: Amount | None = Field(
        default=None, description="Auctioneer: what the good is worth to it unsold."
    )


class AuctionScenario(Scenario):
    """One good to be sold, by sealed bids or by an auctioneer."""

    world: str = "auction_house"
    item: str = Field(default="painting", min_length=1, description="The good, in words.")
    low: Amount = Field(default=0, description="Lowest price.")
    high: Amount = Field(default=100, description="Highest price.")
    tick: int = Field(default=1, ge=1, description="Prices are its multiples.")
    rule: Rule = Field(
        default="first_price",
        description="Sealed bids: whether the winner pays its own bid or the second-highest (Vickrey).",
    )
    worth: Amount | None = Field(
        default=None,
        description="What the good is worth to whoever has it, known to nobody; unset: each has its own"
        " value.",
    )
    noise: Amount = Field(
        default=0, description="Common worth: most by which a signal is wrong, known to all."
    )
    lot: int = Field(default=0, ge=0, description="Decides which one of equal sealed bids wins.")
    roles: dict[str, AuctionRole] = Field(description="Bidders, and an auctioneer if not sealed.")  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.protocol.name not in PROTOCOLS:
            raise ValueError(
                f"protocol: got {self.protocol.name!r}, want one of {', '.join(PROTOCOLS)}"
            )
        if self.low % self.tick or self.high % self.tick or self.low >= self.high:
            raise ValueError(
                f"low {self.low} and high {self.high} must be multiples of the tick {self.tick}, low the"
                " lower one"
            )
        if (self.high - self.low) // self.tick > MOST_PRICES:
            raise ValueError(f"tick: more than {MOST_PRICES} prices; raise it")
        for name, role in self.roles.items():
            side = self.side(name)
            want = "reserve" if side == AUCTIONEER else "value" if self.worth is None else "signal"
            have = [f for f in ("value", "signal", "reserve") if getattr(role, f) is not None]
            if side not in (AUCTIONEER, BIDDER):
                raise ValueError(f"roles.{name}.role: got {side!r}, want auctioneer or bidder")
            if have != [want]:
                raise ValueError(
                    f"roles.{name}: this {side} has {' and '.join(have) or 'nothing'}, want a {want}"
                )
        sides = [self.side(name) for name in self.roles]
        wanted = 0 if self.protocol.name == SEALED else 1
        if sides.count(AUCTIONEER) != wanted or BIDDER not in sides:
            raise ValueError(
                f"roles: {self.protocol.name} wants {wanted or 'no'} auctioneer and bidders, got"
                f" {', '.join(sides) or 'none'}"
            )
        return self

    def side(self, agent: str) -> str:
        """`auctioneer` or `bidder`."""
        return self.roles[agent].role or (AUCTIONEER if agent == AUCTIONEER else BIDDER)

    def values(self) -> dict[str, int]:
        """Bidder -> what the good is worth to it."""
        return {
            a: self.worth if self.worth is not None else r.value or 0
            for a, r in self.roles.items()
            if self.side(a) == BIDDER
        }

    def key(self) -> Key:
        """What the solution depends on."""
        values = self.values()
        reserve = next((r.reserve for r in self.roles.values() if r.reserve is not None), None)
        worths = tuple((a, values.get(a)) for a in self.roles)
        return worths, reserve, (self.low, self.high, self.tick)


Key = tuple[tuple[tuple[str, int | None], ...], int | None, tuple[int, int, int]]
"""Each seat with its value (None: the auctioneer's), the reserve (None: sealed bids), the prices."""


@lru_cache(maxsize=16384)
def solve(key: Key) -> Solution:
    """With an auctioneer, prices move points between it and the winner; without one, the best for a bidder
    is to have the good at the lowest price. Losers gain nothing, so that the Nash product is 0 but where a
    single bidder faces the auctioneer. `reference`: what the game's theory says of these values, drawn
    uniformly from the prices: the sale at truthful second-price bids, and at first-price equilibrium
    bids v - (v - low) / n (Vickrey 1961)."""
    seats, reserve, (low, high, tick) = key
    values = {agent: v for agent, v in seats if v is not None}
    best = max(values, key=values.__getitem__)
    top, n = values[best], len(values)
    nash = 0.0
    points: list[tuple[float, ...]] = []
    if reserve is None:
        points = [
            tuple(float(v - low) if a == winner else 0.0 for a in values)
            for winner, v in values.items()
            if v > low
        ]
    elif n == 1:
        prices = range(low, high + 1, tick)
        nash = float(max(max(p - reserve, 0) * max(top - p, 0) for p in prices))
    second = (*sorted(values.values(), reverse=True), low)[1]
    return Solution(
        disagreement=(0.0,) * len(seats),
        frontier=tuple(sorted(points)),
        transfer=reserve is not None,
        max_joint=top - (low if reserve is None else reserve),
        max_nash=nash,
        best={"winner": best},
        reference={
            "truthful second price": {"winner": best, "price": second},
            "first price equilibrium": {"winner": best, "price": top - (top - low) / n},
        },
    )


class AuctionGenerator(BaseModel):
    """Private values, or signals of a common worth, drawn uniformly from the prices."""

    model_config = STRICT

    auctions: tuple[Literal["first_price", "second_price", "english", "dutch"], ...] = Field(
        default=("first_price", "second_price", "english", "dutch"),
        min_length=1,
        description="Kinds to draw from; the first two are sealed.",
    )
    bidders: tuple[int, int] = Field(default=(3, 5), description="Fewest and most bidders.")
    low: Amount = Field(default=0, description="Lowest price and value.")
    high: Amount = Field(default=100, description="Highest price and value.")
    tick: int = Field(default=5, ge=1, description="Prices are its multiples.")
    common: float = Field(
        default=0.25, ge=0, le=1, description="Share of goods whose worth is common and unknown."
    )
    noise: Amount = Field(default=15, description="Common worth: most by which a signal is wrong.")
    reserve: tuple[int, int] = Field(
        default=(0, 30), description="Lowest and highest worth to an auctioneer."
    )
    auctioneer: str = Field(
        default=AUCTIONEER, min_length=1, description="Name of the auctioneer's seat."
    )
    people: tuple[str, ...] = Field(default=NAMES, description="Names that bidders may have.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.low >= self.high or self.low % self.tick or self.high % self.tick:
            raise ValueError(
                f"low {self.low} and high {self.high} must be multiples of the tick {self.tick}, low the"
                " lower one"
            )
        for name, least, most in (
            ("bidders", 2, len(set(self.people) - {self.auctioneer})),
            ("reserve", 0, LARGEST),
        ):
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(
                    f"{name}: got {low} to {high}, want {least} <= low <= high <= {most}"
                )
        return self

    def draw(self, rng: random.Random) -> AuctionScenario:
        """Kind, bidders, values or worth and signals: all uniform. No deadline: prices have an end."""
        kind = rng.choice(self.auctions)
        sealed = kind.endswith("_price")
        name = SEALED if sealed else f"{kind}_auction"
        fields: dict[str, Any] = {"name": name} | ({} if sealed else {"deadline": None})
        people = rng.sample(
            sorted(set(self.people) - {self.auctioneer}), rng.randint(*self.bidders)
        )
        common = rng.random() < self.common
        worth = rng.randint(self.low, self.high) if common else None
        roles: dict[str, Any] = {}
        if not sealed:
            roles[self.auctioneer] = {"role": AUCTIONEER, "reserve": rng.randint(*self.reserve)}
        for person in people:
            roles[person] = {"role": BIDDER}
            if worth is None:
                roles[person]["value"] = rng.randint(self.low, self.high)
            else:
                near = worth + rng.randint(-self.noise, self.noise)
                roles[person]["signal"] = max(near, 0)
        return AuctionScenario(
            name="auction_house",
            protocol=ProtocolChoice.model_validate(fields),
            item=rng.choice(GOODS),
            low=self.low,
            high=self.high,
            tick=self.tick,
            rule="second_price" if kind == "second_price" else "first_price",
            worth=worth,
            noise=self.noise if common else 0,
            lot=rng.randrange(60),
            roles=roles,
        )
