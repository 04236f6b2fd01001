"""Multi-issue negotiation: two or more parties agree on one option for each of several issues.

What an option is worth to a party is private, and so is its threshold: a party rather has no deal than one
worth less to it. A deal needs everyone, or as many as `need` says, those with a veto among them; then it
binds all, also who did not sign. The scorable games of Susskind's school (Abdelnabi et al. 2024,
arXiv 2309.17234) are of this kind. Left out: issues whose worth depends on one another.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel

from ...protocols import Act, Content, Ended, Message, Move, Offer, Preferences, trusted
from ...protocols.schemas import closed
from ..scenario import STRICT, Scenario
from ..world import Outcome, Solution
from .multi_scenario import Issues, MultiGenerator, MultiScenario, solve

MOST_VALUE = 100
"""Largest points for an option that anyone may claim (a public bound, not a secret)."""


class Deal(Offer):
    """One option for every issue."""

    model_config = STRICT
    deal: dict[str, str]


class Claim(Preferences):
    """Points that the sender says each option is worth to it, and its threshold."""

    model_config = STRICT
    values: dict[str, dict[str, int]]
    no_deal: int


@lru_cache(maxsize=1024)
def _deals(issues: Issues) -> tuple[Deal, ...]:
    """Every deal, in the order of enumeration."""
    names = [name for name, _ in issues]
    return tuple(
        Deal.model_construct(deal=dict(zip(names, options, strict=True)))
        for options in itertools.product(*(options for _, options in issues))
    )


@lru_cache(maxsize=1024)
def _picks(issues: Issues) -> frozenset[tuple[str, str]]:
    """Every issue with every option that it has."""
    return frozenset((issue, option) for issue, options in issues for option in options)


class DealSpace:
    """Every deal as one party judges it, best first (ties: in the order of enumeration)."""

    def __init__(
        self, issues: Issues, values: tuple[tuple[float, ...], ...], no_deal: float
    ) -> None:
        self._issues, self._values, self._no_deal = issues, values, no_deal
        deals, self._read = _deals(issues), itemgetter(*(name for name, _ in issues))
        worth = [float(sum(parts)) for parts in itertools.product(*values)]
        self._worth = {self._read(d.deal): u for d, u in zip(deals, worth, strict=True)}
        self._order = order = sorted(range(len(deals)), key=worth.__getitem__, reverse=True)
        self.offers: Sequence[Content] = [deals[i] for i in order]
        self.utilities: Sequence[float] = [worth[i] for i in order]

    def utility(self, offer: Content, *, mine: bool) -> float:
        return self._worth[self._read(cast(Deal, offer).deal)]

    def partner(self, told: Content) -> Sequence[float]:
        values = cast(Claim, told).values
        parts = [[values[issue][o] for o in options] for issue, options in self._issues]
        worth = list(map(sum, itertools.product(*parts)))
        return [worth[i] for i in self._order]

    def told(self) -> Content:
        # In proportion where a value is larger than may be claimed.
        scale = MOST_VALUE / max(MOST_VALUE, *(p for points in self._values for p in points))
        values = {
            issue: {o: round(p * scale) for o, p in zip(options, points, strict=True)}
            for (issue, options), points in zip(self._issues, self._values, strict=True)
        }
        return Claim(values=values, no_deal=round(self._no_deal * scale))


@lru_cache(maxsize=1024)
def _space(
    issues: Issues, values: tuple[tuple[float, ...], ...], no_deal: float
) -> DealSpace:  # fmt: skip
    return DealSpace(issues, values, no_deal)


class MultiIssue:
    """One negotiation."""

    name: ClassVar[str] = "multi_issue"
    summary: ClassVar[str] = "two or more parties agree on several issues; thresholds and vetoes"
    Scenario: ClassVar[type[Scenario]] = MultiScenario
    Generator: ClassVar[type[BaseModel]] = MultiGenerator
    contents: ClassVar[Mapping[type[Content], type[Content]]] = {Offer: Deal, Preferences: Claim}

    def __init__(self, scenario: MultiScenario) -> None:
        self.scenario = scenario
        self._issues: Issues = tuple(scenario.issues.items())
        self._allowed = _picks(self._issues)
        self._enough, self._veto = scenario.enough, set(scenario.veto)
        self._deal: dict[str, str] | None = None
        self._signed: set[str] = set()
        self._schemas: dict[type[Content] | None, dict[str, Any]] = {}

    @classmethod
    def build(cls, scenario: Scenario) -> Self:
        return cls(cast(MultiScenario, scenario))

    @classmethod
    def solve(cls, scenario: Scenario) -> Solution:
        return solve(cast(MultiScenario, scenario).key())

    def roles(self) -> Mapping[str, str]:
        return dict.fromkeys(self.scenario.roles, "")

    def public(self) -> Mapping[str, Any]:
        return {
            "issues": {issue: list(options) for issue, options in self._issues},
            "need": self._enough,
            "veto": list(self.scenario.veto),
        }

    def private(self, agent: str) -> Mapping[str, Any]:
        role = self.scenario.roles[agent]
        values = {issue: dict(points) for issue, points in role.values.items()}
        return {"values": values, "no_deal": role.no_deal}

    def describe(self, agent: str) -> tuple[str, str]:
        s, role = self.scenario, self.scenario.roles[agent]
        issues = "; ".join(f"{issue}: {', '.join(options)}" for issue, options in self._issues)
        many, veto = len(s.roles), " and ".join(s.veto)
        if self._enough < many:
            rule = f" A deal needs {self._enough} of the {many} of you" + (
                f", {veto} among them." if veto else "."
            )
        else:
            rule = " A deal needs all of you." if many > 2 else ""
        values = "; ".join(
            f"{issue}: " + ", ".join(f"{o} {role.values[issue][o]:g}" for o in options)
            for issue, options in self._issues
        )
        return (
            f"Agree on one option for each issue. {issues}.{rule}",
            f"Points for you: {values}. Without a deal you have {role.no_deal:g} points.",
        )

    def explain(self, move: Move) -> str:
        if move.content is Offer:
            return '{"deal": {issue: option}}, one option for every issue'
        return '{"values": {issue: {option: points}}, "no_deal": points}'

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        known = self._schemas.get(move.content)
        if known is not None:
            return known
        if move.content is Offer:
            made = closed({"deal": closed({i: {"enum": list(o)} for i, o in self._issues})})
        else:
            points = {"type": "integer", "minimum": 0, "maximum": MOST_VALUE}
            values = {issue: closed(dict.fromkeys(o, points)) for issue, o in self._issues}
            most = {**points, "maximum": self._most}
            made = closed({"values": closed(values), "no_deal": most})
        self._schemas[move.content] = made
        return made

    @property
    def _most(self) -> int:
        return MOST_VALUE * len(self._issues)

    def check(self, agent: str, content: Content, move: Move, to: tuple[str, ...]) -> str | None:
        issues = self.scenario.issues
        if isinstance(content, Deal):
            if len(content.deal) == len(issues) and content.deal.items() <= self._allowed:
                return None
            return "deal " + "; ".join(f"{i}: {' or '.join(o)}" for i, o in self._issues)
        claim = cast(Claim, content)
        if claim.values.keys() == issues.keys() and all(
            points.keys() == set(issues[issue])
            and all(0 <= p <= MOST_VALUE for p in points.values())
            for issue, points in claim.values.items()
        ):
            return None if 0 <= claim.no_deal <= self._most else f"no_deal 0 to {self._most}"
        return f"values 0 to {MOST_VALUE} for every option of {', '.join(issues)}"

    def hear(self, message: Message) -> None:
        if isinstance(message.content, Deal):
            self._deal, self._signed = message.content.deal, {message.sender}
        elif message.act is Act.ACCEPT_PROPOSAL:
            self._signed.add(message.sender)
        elif message.act is Act.REFUSE:
            self._signed.discard(message.sender)

    def over(self) -> Ended | None:
        """Agreed as soon as enough have signed, with those who have a veto."""
        signed = self._signed
        return Ended.AGREED if len(signed) >= self._enough and self._veto <= signed else None

    def outcome(self, ended: Ended) -> Outcome:
        """`results`: `feasible`, whether as many are content with the deal as must agree, and
        `unanimous`, whether all are; content is who has no less than without a deal."""
        roles = self.scenario.roles
        deal = self._deal if ended is Ended.AGREED else None
        if deal is None:
            utilities = {a: float(role.no_deal) for a, role in roles.items()}
        else:
            utilities = {
                a: float(sum([role.values[i][deal[i]] for i, _ in self._issues]))
                for a, role in roles.items()
            }
        content = {a for a, u in utilities.items() if u >= roles[a].no_deal - 1e-9}
        feasible = len(content) >= self._enough and self._veto <= content
        return trusted(
            Outcome,
            {
                "completed": deal is not None,
                "deal": None if deal is None else {issue: deal[issue] for issue, _ in self._issues},
                "utilities": utilities,
                "results": {
                    "feasible": float(deal is not None and feasible),
                    "unanimous": float(deal is not None and len(content) == len(roles)),
                },
            },
        )

    def space(self, agent: str) -> DealSpace:
        role = self.scenario.roles[agent]
        values = tuple(tuple(role.values[i][o] for o in options) for i, options in self._issues)
        return _space(self._issues, values, role.no_deal)
