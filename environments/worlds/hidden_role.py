"""The hidden role: all have the same thing in mind but one, the liar; they talk, then vote who it is.

A game of social deduction (as Undercover and The Chameleon; for language models: Xu et al. 2023, arXiv
2309.04658) made exact: what is said of a thing are claims about features that everybody can look up, so
that a perfect listener's probability for each debater follows by Bayes' rule (`hidden_scenario.posterior`).
Who has most votes alone is accused. Debaters score 1 when that is the liar, the liar scores 1 when it is
not, a judge scores 1 when its verdict names the liar. Left out: several liars, guessing the others' thing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel

from ...protocols import Act, Answer, Choice, Content, Ended, Message, Move
from ...protocols.schemas import closed
from ..scenario import STRICT, Scenario
from ..world import Gaps, Listener, Notice, Outcome, Solution
from .hidden_listener import HiddenListener
from .hidden_scenario import HiddenGenerator, HiddenScenario, posterior, solve


class Claim(Answer):
    """Whether a feature holds of the sender's thing. A claim; nothing makes it true."""

    model_config = STRICT
    feature: str
    holds: bool


class Accusation(Choice):
    """Whom the sender takes for the liar."""

    model_config = STRICT
    accuse: str


class HiddenRole:
    """One debate."""

    name: ClassVar[str] = "hidden_role"
    summary: ClassVar[str] = "all have one thing in mind, the liar another; they talk, then vote"
    Scenario: ClassVar[type[Scenario]] = HiddenScenario
    Generator: ClassVar[type[BaseModel]] = HiddenGenerator
    contents: ClassVar[Mapping[type[Content], type[Content]]] = {Answer: Claim, Choice: Accusation}

    def __init__(self, scenario: HiddenScenario) -> None:
        self.scenario = scenario
        self._debaters = scenario.debaters()
        self._claims: dict[str, list[tuple[str, bool]]] = {a: [] for a in self._debaters}
        self._votes: dict[str, str] = {}
        self._verdict: str | None = None
        self._news: list[Notice] = []

    @classmethod
    def build(cls, scenario: Scenario) -> Self:
        return cls(cast(HiddenScenario, scenario))

    @classmethod
    def solve(cls, scenario: Scenario) -> Solution:
        s = cast(HiddenScenario, scenario)
        mine, other = set(s.things[s.common]), set(s.things[s.different])
        apart = tuple(f for f in s.features if (f in mine) != (f in other))
        return solve((tuple(s.roles), s.debaters(), s.liar, apart))

    def roles(self) -> Mapping[str, str]:
        s = self.scenario
        judged = len(self._debaters) < len(s.roles)
        return {a: s.side(a) if judged else "" for a in s.roles}

    def public(self) -> Mapping[str, Any]:
        s = self.scenario
        return {
            "features": list(s.features),
            "things": {name: list(has) for name, has in s.things.items()},
            "debaters": list(self._debaters),
            "aware": s.aware,
            "slip": s.slip,
        }

    def private(self, agent: str) -> Mapping[str, Any]:
        """`liar` only where debaters know which they are."""
        s = self.scenario
        if agent not in self._debaters:
            return {}
        return {"thing": s.thing(agent), **({"liar": agent == s.liar} if s.aware else {})}

    def describe(self, agent: str) -> tuple[str, str]:
        s = self.scenario
        things = "; ".join(
            f"{name}: {', '.join(has) or 'none of these'}" for name, has in s.things.items()
        )
        everyone = (
            f"Debaters: {', '.join(self._debaters)}. Each has one of these things in mind, all the same"
            f" one but the liar, who has another. What each thing is or does: {things}. You talk, then you"
            " vote. The liar wins unless it alone has the most votes; then all others win."
        )
        if agent not in self._debaters:
            return everyone, "You have no thing. You win when your verdict names the liar."
        if not s.aware:
            return (
                everyone,
                f"Your thing: {s.thing(agent)}. You may be the liar without knowing it.",
            )
        who = "You are the liar." if agent == s.liar else "You are not the liar."
        return everyone, f"Your thing: {s.thing(agent)}. {who}"

    def explain(self, move: Move) -> str:
        if move.content is Answer:
            return '{"feature": one that you have not spoken of, "holds": true or false}'
        return '{"accuse": a debater}'

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        if move.content is Answer:
            new = self._unclaimed(agent)
            return closed({"feature": {"enum": new}, "holds": {"type": "boolean"}}) if new else None
        return closed({"accuse": {"enum": self._accusable(agent)}})

    def check(self, agent: str, content: Content, move: Move, to: tuple[str, ...]) -> str | None:
        if isinstance(content, Claim):
            new = self._unclaimed(agent)
            if content.feature in new:
                return None
            return f"a feature among {', '.join(new)}" if new else "words: you have claimed it all"
        others = self._accusable(agent)
        if cast(Accusation, content).accuse in others:
            return None
        return f"accuse {' or '.join(others)}"

    def hear(self, message: Message) -> None:
        content = message.content
        if isinstance(content, Claim):
            self._claims[message.sender].append((content.feature, content.holds))
        elif isinstance(content, Accusation):
            if message.act is Act.CONFIRM:
                self._verdict = content.accuse
                return
            self._votes[message.sender] = content.accuse
            if len(self._votes) == len(self._debaters):
                self._reveal()

    def _reveal(self) -> None:
        """Tell everybody how all voted, and who it was."""
        s, accused = self.scenario, self._accused()
        votes = ", ".join(f"{a} accuses {b}" for a, b in self._votes.items())
        whom = f"Accused: {accused}." if accused else "Nobody alone has the most votes."
        self._news.append(
            Notice(
                tuple(s.roles),
                f"{votes}. {whom} The liar was {s.liar}, with {s.different}; the others had {s.common}.",
                {"votes": dict(self._votes), "accused": accused or "", "liar": s.liar,
                 "common": s.common, "different": s.different},
            )
        )  # fmt: skip

    def tell(self) -> Sequence[Notice]:
        news, self._news = self._news, []
        return news

    def outcome(self, ended: Ended) -> Outcome:
        """`found`: whether the liar was accused. `votes_right`: share of the other debaters who voted for
        it. `posterior`: what a perfect listener gives the liar; `listener_right`: whether it names it (a
        share where it is torn). `honesty`: share of claims that are true of the speaker's thing.
        `verdict_right`: the judge's."""
        s = self.scenario
        over = len(self._votes) == len(self._debaters)
        utilities = dict.fromkeys(s.roles, 0.0)
        if not over:
            return Outcome(completed=False, utilities=utilities)
        accused = self._accused()
        found = accused == s.liar
        for agent in s.roles:
            if agent in self._debaters:
                utilities[agent] = float((agent != s.liar) is found)
            else:
                utilities[agent] = float(self._verdict == s.liar)
        right = [self._votes[a] == s.liar for a in self._debaters if a != s.liar]
        belief = posterior(s.things, self._claims, s.slip)
        likeliest = [a for a, p in belief.items() if p >= max(belief.values()) - 1e-12]
        results = {
            "found": float(found),
            "votes_right": sum(right) / len(right),
            "posterior": belief[s.liar],
            "listener_right": (s.liar in likeliest) / len(likeliest),
        }
        truths = [
            (feature in s.things[s.thing(a)]) == holds
            for a, said in self._claims.items()
            for feature, holds in said
        ]
        if truths:
            results["honesty"] = sum(truths) / len(truths)
        if self._verdict is not None:
            results["verdict_right"] = float(self._verdict == s.liar)
        return Outcome(
            completed=found,
            deal={"accused": accused, "liar": s.liar, "votes": dict(self._votes)},
            utilities=utilities,
            results=results,
        )

    def space(self, agent: str) -> None:
        """None: claims and votes are not offers."""

    def listeners(self) -> Sequence[Listener]:
        s = self.scenario
        return [HiddenListener(s.things, s.features, self._debaters, s.liar, s.slip)]

    def gaps(self, messages: Sequence[Message]) -> Gaps | None:
        """By another vote (a judge: verdict), all others as they were."""
        s = self.scenario
        chosen = {
            m.sender: whom
            for m in messages
            if (whom := getattr(m.content, "accuse", None)) is not None
        }
        if len(chosen) < len(s.roles):
            return None
        votes = {a: chosen[a] for a in self._debaters}
        found = _most(votes) == s.liar
        regret = dict.fromkeys(s.roles, 0.0)
        for agent in s.roles:
            if agent not in self._debaters:
                regret[agent] = float(chosen[agent] != s.liar)
            elif found is (agent == s.liar):  # it lost
                could = [
                    _most({**votes, agent: other}) == s.liar for other in self._accusable(agent)
                ]
                regret[agent] = float((not found) in could)
        return Gaps(regret)

    def _unclaimed(self, agent: str) -> list[str]:
        said = {feature for feature, _ in self._claims.get(agent, ())}
        return [f for f in self.scenario.features if f not in said]

    def _accusable(self, agent: str) -> list[str]:
        return [a for a in self._debaters if a != agent]

    def _accused(self) -> str | None:
        """Who has more votes than anyone else; None when several have the most."""
        return _most(self._votes)


def _most(votes: Mapping[str, str]) -> str | None:
    """Who alone has the most votes."""
    (first, most), *rest = Counter(votes.values()).most_common()
    return first if not rest or rest[0][1] < most else None
