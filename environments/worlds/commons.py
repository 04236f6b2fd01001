"""Commons: everybody takes from one stock that regrows; what is left decides what there will be.

The tragedy of the commons (Gordon 1954, J. Political Economy 62:124-142; Hardin 1968), with talk before
each round as in Ostrom's experiments (Ostrom, Gardner and Walker 1994). With `inflow`, private `demands`
and `shortage: blackout` the same game is a power grid with demand shocks. What each takes is sealed
until all have; then the world tells. An agent scores the units that it took and could use. Left out:
sanctions, prices, stocks that only some can see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel

from ...protocols import Act, Choice, Content, Ended, Message, Move
from ...protocols.schemas import closed
from ..scenario import STRICT, Scenario
from ..world import Gaps, Notice, Outcome, Solution
from .commons_scenario import CommonsGenerator, CommonsScenario, solve
from .replies import commons_gaps


class Take(Choice):
    """How many units the sender takes this round, or announces that it will."""

    model_config = STRICT
    take: int


class Commons:
    """One stock and those who live off it."""

    name: ClassVar[str] = "commons"
    summary: ClassVar[str] = "all take from one stock that regrows (fishery, power grid)"
    Scenario: ClassVar[type[Scenario]] = CommonsScenario
    Generator: ClassVar[type[BaseModel]] = CommonsGenerator
    contents: ClassVar[Mapping[type[Content], type[Content]]] = {Choice: Take}

    def __init__(self, scenario: CommonsScenario) -> None:
        self.scenario = scenario
        self._agents = tuple(scenario.roles)
        self._uses = scenario.uses()
        self._rule = scenario.stock
        self._stock = scenario.first
        self._gone = False
        self._asked: dict[str, int] = {}
        self._taken: list[list[int]] = []
        self._news: list[Notice] = []

    @classmethod
    def build(cls, scenario: Scenario) -> Self:
        return cls(cast(CommonsScenario, scenario))

    @classmethod
    def solve(cls, scenario: Scenario) -> Solution:
        """`best`: the social optimum; `reference.myopic`: everybody always takes what it can use."""
        s = cast(CommonsScenario, scenario)
        return solve(s.stock, s.first, s.uses())

    def roles(self) -> Mapping[str, str]:
        return dict.fromkeys(self._agents, "")

    def public(self) -> Mapping[str, Any]:
        s = self.scenario
        return {
            "resource": s.resource,
            "rounds": s.rounds,
            "capacity": s.capacity,
            "start": s.first,
            "growth": s.growth,
            "inflow": s.inflow,
            "collapse": s.collapse,
            "most": s.most,
            "shortage": s.shortage,
        }

    def private(self, agent: str) -> Mapping[str, Any]:
        demands = self.scenario.roles[agent].demands
        return {} if demands is None else {"demands": list(demands)}

    def describe(self, agent: str) -> tuple[str, str]:
        s = self.scenario
        grows = [
            f"{s.growth:g} x left x (1 - left / {s.capacity}) grow back" if s.growth else "",
            f"{s.inflow} come in" if s.inflow else "",
        ]
        next_ = " and ".join(g for g in grows if g) or "nothing grows back"
        gone = f" When fewer than {s.collapse} are left, it is over." if s.collapse else ""
        short = (
            "nobody gets anything"
            if s.shortage == "blackout"
            else "each gets its proportion, rounded down"
        )
        demands = s.roles[agent].demands
        return (
            f"You all take {s.resource} from one stock at the same time, {s.rounds} times, each 0 to"
            f" {s.most}. There are {s.first}. After each round {next_}, up to {s.capacity} in"
            f" all.{gone} When you ask for more than there is, {short}. Each scores the units it gets."
        ), (
            ""
            if demands is None
            else f"You can use {', '.join(map(str, demands))}, round by round; more scores nothing."
        )

    def explain(self, move: Move) -> str:
        return '{"take": number of units}'

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        units = {"type": "integer", "minimum": 0, "maximum": self.scenario.most}
        return closed({"take": units})

    def check(self, agent: str, content: Content, move: Move, to: tuple[str, ...]) -> str | None:
        most = self.scenario.most
        return None if 0 <= cast(Take, content).take <= most else f"take 0 to {most}"

    def hear(self, message: Message) -> None:
        if message.act is not Act.REQUEST:
            return
        self._asked[message.sender] = cast(Take, message.content).take
        if len(self._asked) == len(self._agents):
            self._harvest([self._asked[agent] for agent in self._agents])
            self._asked = {}

    def _harvest(self, asked: list[int]) -> None:
        """Everybody takes; what is left grows."""
        taken = self._rule.taken(self._stock, asked)
        self._taken.append(taken)
        left = self._stock - sum(taken)
        grown = self._rule.grown(left)
        self._gone, self._stock = grown is None, grown or 0
        number = len(self._taken)
        short = sum(asked) > sum(taken)
        data: dict[str, Any] = {
            "round": number,
            "taken": dict(zip(self._agents, taken, strict=True)),
            "short": short,
            "left": left,
            "stock": self._stock,
            "to_go": 0 if self._gone else self.scenario.rounds - number,
        }
        got = ", ".join(f"{agent} {n}" for agent, n in data["taken"].items())
        why = " You asked for more than there was." if short else ""
        now = "it is gone, 0 now; 0 rounds to go." if self._gone else (
            f"{self._stock} now; {data['to_go']} rounds to go."
        )  # fmt: skip
        text = f"Round {number}: taken {got}.{why} {left} left, {now}"
        self._news.append(Notice(self._agents, text, data))

    def tell(self) -> Sequence[Notice]:
        news, self._news = self._news, []
        return news

    def over(self) -> Ended | None:
        return Ended.DONE if self._gone or len(self._taken) == self.scenario.rounds else None

    def outcome(self, ended: Ended) -> Outcome:
        """`survival`: rounds that the resource lasted; to take all in the last is no harm.

        `yield`: units taken and used. `gini`: inequality of the agents' units, 0 for equal to
        (n - 1) / n for all to one.
        """
        used = [
            float(sum(min(n[i], u) for n, u in zip(self._taken, uses, strict=False)))
            for i, uses in enumerate(self._uses)
        ]
        played = len(self._taken)
        results = {"survival": float(played), "yield": sum(used), "gini": gini(used)}
        return Outcome(
            completed=played == self.scenario.rounds,
            deal={"rounds": played, "gone": self._gone, "taken": self._taken} if played else None,
            utilities=dict(zip(self._agents, used, strict=True)),
            results=results if played else {},
        )

    def space(self, agent: str) -> None:
        """None: what is taken is no offer."""

    def gaps(self, messages: Sequence[Message]) -> Gaps | None:
        return commons_gaps(self.scenario, messages)


def gini(amounts: Sequence[float]) -> float:
    """Mean absolute difference over twice the mean (Gini 1912); 0 where there is nothing."""
    total, count = sum(amounts), len(amounts)
    if not total:
        return 0.0
    return sum(abs(a - b) for a in amounts for b in amounts) / (2 * count * total)
