"""The auction house: one good, bidders who alone know what it is worth to them, four ways to sell it.

Sealed bids at the first or the second price, the English and the Dutch auction (Vickrey 1961, J. Finance
16:8-37; Milgrom and Weber 1982, Econometrica 50:1089-1122). Values are each bidder's own, or there is one
worth that nobody knows and each has a noisy signal of it. Utility is money:

    winner   value (or worth) - price
    seller   price - its own reserve, where it has a seat (English, Dutch)

Left out: several goods, budgets, fees, bids on behalf of others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel

from ...protocols import Act, Content, Ended, Message, Move, Offer
from ...protocols.schemas import closed
from ..scenario import STRICT, Scenario
from ..world import Gaps, Notice, Outcome, Solution
from .auction_scenario import (
    AUCTIONEER,
    SEALED,
    AuctionGenerator,
    AuctionScenario,
    Sale,
    sale,
    solve,
)
from .replies import auction_gaps


class Bid(Offer):
    """A price that is bid or called."""

    model_config = STRICT
    price: int


class AuctionHouse:
    """One sale."""

    name: ClassVar[str] = "auction_house"
    summary: ClassVar[str] = (
        "bidders of hidden values buy one good (sealed, English, Dutch auction)"
    )
    Scenario: ClassVar[type[Scenario]] = AuctionScenario
    Generator: ClassVar[type[BaseModel]] = AuctionGenerator
    contents: ClassVar[Mapping[type[Content], type[Content]]] = {Offer: Bid}

    def __init__(self, scenario: AuctionScenario) -> None:
        self.scenario = scenario
        self._kind = scenario.protocol.name
        self._agents = tuple(scenario.roles)
        self._values = scenario.values()
        self._bids: dict[str, int] = {}
        self._waiting = len(self._values)
        self._call: int | None = None
        self._leader: Sale | None = None
        self._sold: Sale | None = None
        self._news: list[Notice] = []

    @classmethod
    def build(cls, scenario: Scenario) -> Self:
        return cls(cast(AuctionScenario, scenario))

    @classmethod
    def solve(cls, scenario: Scenario) -> Solution:
        s = cast(AuctionScenario, scenario)
        return solve(s.key())

    def roles(self) -> Mapping[str, str]:
        sealed = self._kind == SEALED
        return {a: "" if sealed else self.scenario.side(a) for a in self._agents}

    def public(self) -> Mapping[str, Any]:
        """`auction`: first_price, second_price, english_auction or dutch_auction."""
        s = self.scenario
        return {
            "auction": s.rule if self._kind == SEALED else self._kind,
            "item": s.item,
            "bidders": list(self._values),
            "low": s.low,
            "high": s.high,
            "tick": s.tick,
            "common": s.worth is not None,
            "noise": s.noise,
        }

    def private(self, agent: str) -> Mapping[str, Any]:
        role = self.scenario.roles[agent]
        if role.reserve is not None:
            return {"reserve": role.reserve}
        return {"value": role.value} if role.value is not None else {"signal": role.signal}

    def describe(self, agent: str) -> tuple[str, str]:
        s, role = self.scenario, self.scenario.roles[agent]
        steps = f"{s.low} to {s.high}" + (f" in steps of {s.tick}" if s.tick > 1 else "")
        how = {
            SEALED: "The highest sealed bid wins and pays "
            + ("its price." if s.rule == "first_price" else "the price of the second-highest bid."),
            "english_auction": "Called prices rise; the last who takes one can have it.",
            "dutch_auction": "Called prices fall; the first who takes one has it.",
        }[self._kind]
        worth = (
            f" It is worth the same to every bidder; nobody knows how much. Each has an estimate, wrong by"
            f" at most {s.noise}."
            if s.worth is not None
            else " What it is worth, each bidder knows for itself."
        )
        everyone = f"A sale: one {s.item}. Bidders: {', '.join(self._values)}. Prices: {steps}. {how}{worth}"
        if role.reserve is not None:
            mine = f"Unsold it is worth {role.reserve} to you. You score the price minus that."
        elif role.value is not None:
            mine = (
                f"It is worth {role.value} to you. You score that minus the price, if you buy it."
            )
        else:
            mine = (
                f"Your estimate: {role.signal}. You score its worth minus the price, if you buy it."
            )
        return everyone, mine

    def explain(self, move: Move) -> str:
        return '{"price": a price}'

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        first, last = self._range(move.act)
        if first > last:
            return None
        tick = {} if self.scenario.tick == 1 else {"multipleOf": self.scenario.tick}
        price = {"type": "integer", "minimum": first, "maximum": last, **tick}
        return closed({"price": price})

    def check(self, agent: str, content: Content, move: Move, to: tuple[str, ...]) -> str | None:
        first, last = self._range(move.act)
        price, tick = cast(Bid, content).price, self.scenario.tick
        if first <= price <= last and price % tick == 0:
            return None
        if first > last:
            return "no price: there is none left to call"
        return f"price {first} to {last}" + (f" in steps of {tick}" if tick > 1 else "")

    def _range(self, act: Act) -> tuple[int, int]:
        """Lowest and highest price that may be named now; the other way round when there is none."""
        s, call = self.scenario, self._call
        if self._kind == SEALED or call is None:
            return s.low, s.high
        if act is Act.PROPOSE:
            return call, call
        if self._kind == "english_auction":
            return call + s.tick, s.high
        return s.low, call - s.tick

    def hear(self, message: Message) -> None:
        act, content = message.act, message.content
        price = content.price if isinstance(content, Bid) else 0
        if self._kind == SEALED:
            self._waiting -= 1
            if act is Act.PROPOSE:
                self._bids[message.sender] = price
            if not self._waiting:
                s = self.scenario
                self._close(sale(self._bids, s.rule, s.low, s.lot))
        elif act is Act.CFP:
            self._call = price
        elif act is Act.ACCEPT_PROPOSAL:
            self._leader = Sale(message.receivers[0], self._call or 0)
            if self._kind == "dutch_auction":
                self._close(self._leader)
        elif act is Act.REQUEST:
            self._close(self._leader)

    def _close(self, sold: Sale | None) -> None:
        """Tell everybody who has the good, at what price."""
        self._sold = sold
        text = (
            "Nobody bids: not sold." if sold is None else f"Sold to {sold.winner} for {sold.price}."
        )
        data = None if sold is None else {"winner": sold.winner, "price": sold.price}
        self._news.append(Notice(self._agents, text, data))

    def tell(self) -> Sequence[Notice]:
        news, self._news = self._news, []
        return news

    def outcome(self, ended: Ended) -> Outcome:
        """`revenue`: the price, 0 unsold. `efficiency`: what the good is worth where it ends, as a share of
        the largest worth to anyone (the seller's reserve too). `winner_profit`: absent where unsold."""
        s, sold = self.scenario, self._sold
        over = ended in (Ended.DONE, Ended.AGREED, Ended.REFUSED)
        seller = next((a for a in self._agents if s.side(a) == AUCTIONEER), None)
        reserve = (s.roles[seller].reserve or 0) if seller is not None else 0
        utilities = dict.fromkeys(self._agents, 0.0)
        results: dict[str, float] = {}
        if sold is not None:
            utilities[sold.winner] = float(self._values[sold.winner] - sold.price)
            results["winner_profit"] = utilities[sold.winner]
            if seller is not None:
                utilities[seller] = float(sold.price - reserve)
        if over:
            most = max(*self._values.values(), reserve)
            kept = reserve if sold is None else self._values[sold.winner]
            results["revenue"] = float(0 if sold is None else sold.price)
            results["efficiency"] = kept / most if most else 1.0
        return Outcome(
            completed=sold is not None,
            deal=None if sold is None else {"winner": sold.winner, "price": sold.price},
            utilities=utilities,
            results=results,
        )

    def space(self, agent: str) -> None:
        """None: bids are compared with each other, not ranked by one agent."""

    def gaps(self, messages: Sequence[Message]) -> Gaps | None:
        return auction_gaps(self.scenario, messages) if self._kind == SEALED else None
