"""Adventure: two in different parts of a house find keys, hand things over, and pull two levers at once.

A text adventure (after Crowther and Woods 1977) for two. Each sees the room that it is in, what lies and
stands there, and the other one only face to face or through a hatch; everything else it must be told. They
talk, then both act at the same time (`joint_action`), each one deed: go, unlock, take, drop, give, pull or
wait, of which the schema holds those that are possible here. It is won when both levers are pulled in the
same turn; one that was pulled alone is stuck for `jam` turns. Both score

    won    1 + turns left / limit        0 otherwise

Who knows the map, and who the notes of where things are, differs by role. `adventure_rules.py` has the rules
on numbers and the shortest joint plan. Left out: light, time, things within things, words for deeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, cast

from pydantic import BaseModel

from ...protocols import Act, Choice, Content, Ended, Message, Move
from ...protocols.schemas import closed
from ..scenario import STRICT, Scenario
from ..world import Notice, Outcome, Solution
from .adventure_generator import AdventureGenerator
from .adventure_rules import WAIT, Both, Deed, House, Stand, after, possible, shortest, solved
from .adventure_scenario import DIRECTIONS, AdventureScenario
from .adventure_view import Eyes

Verb = Literal["go", "unlock", "take", "drop", "give", "pull", "wait"]


class Did(Choice):
    """What a player does now, or announces that it will do."""

    model_config = STRICT
    do: Verb
    what: str = ""
    """A way for go and unlock, a thing for take, drop and give, a lever for pull; empty for wait."""


class Adventure:
    """One game."""

    name: ClassVar[str] = "adventure"
    summary: ClassVar[str] = (
        "two in different parts of a house share keys and pull two levers at once"
    )
    Scenario: ClassVar[type[Scenario]] = AdventureScenario
    Generator: ClassVar[type[BaseModel]] = AdventureGenerator
    contents: ClassVar[Mapping[type[Content], type[Content]]] = {Choice: Did}

    def __init__(self, scenario: AdventureScenario) -> None:
        self.scenario = scenario
        self._house = scenario.house()
        self._eyes = Eyes(scenario, self._house)
        self._seats = self._eyes.seats
        self._stand = self._house.start
        self._stuck = [0, 0]
        """Turns until each lever can be pulled again."""
        self._turn = self._alone = 0
        self._won = False
        self._chosen: dict[str, Deed] = {}
        self._news: tuple[Notice, ...] = ()
        self._trail = [self._stand.at]
        self._first = [self._eyes.view(seat, self._stand, self._stuck) for seat in (0, 1)]
        self._look()

    @classmethod
    def build(cls, scenario: Scenario) -> Self:
        return cls(cast(AdventureScenario, scenario))

    @classmethod
    def solve(cls, scenario: Scenario) -> Solution:
        """`best`: turns of the shortest joint plan; `reference.plan`: one such, turn by turn."""
        s = cast(AdventureScenario, scenario)
        plan = s.plan()
        score = 2 - len(plan) / s.limit
        return Solution(
            disagreement=(0.0, 0.0),
            frontier=((score, score),),
            max_joint=2 * score,
            max_nash=score * score,
            best={"turns": len(plan)},
            reference={"plan": cls(s)._plan_in_words(plan)},
        )

    def roles(self) -> Mapping[str, str]:
        return dict.fromkeys(self._seats, "")

    def public(self) -> Mapping[str, Any]:
        s = self.scenario
        return {"levers": list(s.levers), "hands": s.hands, "limit": s.limit, "jam": s.jam}

    def private(self, agent: str) -> Mapping[str, Any]:
        knows = self.scenario.roles[agent].knows
        return {
            "sees": self._first[self._seats.index(agent)],
            **({"map": self.scenario.chart()} if "map" in knows else {}),
            **({"notes": self.scenario.notes()} if "notes" in knows else {}),
        }

    def describe(self, agent: str) -> tuple[str, str]:
        s = self.scenario
        one, two = s.levers
        everyone = (
            f"Two are in different parts of one place, and see only the room that they are in. The {one} and"
            f" the {two} must be pulled in the same turn, within {s.limit} turns; then both score 1 plus the"
            f" share of turns left."
            + (f" A lever pulled alone is stuck for {s.jam} turns." if s.jam else "")
            + f" A key opens the lock of its colour and stays in it. Each carries at most {s.hands}."
            " Through a hatch one sees and gives, and cannot go. In a turn both act at once: go or unlock"
            " a way, take, drop or give a thing, pull a lever, or wait."
        )
        knows, seat = s.roles[agent].knows, self._seats.index(agent)
        return everyone, "\n".join(
            (
                *((f"You have a map. {self._eyes.map()}.",) if "map" in knows else ()),
                *((f"You have notes: {self._eyes.notes()}.",) if "notes" in knows else ()),
                self._eyes.words(seat, self._first[seat], looks=True),
            )
        )

    def explain(self, move: Move) -> str:
        return (
            '{"do": "go", "unlock", "take", "drop", "give" or "pull", "what": the way, thing or lever},'
            ' or {"do": "wait"}'
        )

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        """Only what is possible here and now."""
        by_verb: dict[str, list[str]] = {}
        for deed in self._open[self._seats.index(agent)]:
            by_verb.setdefault(deed[0], []).append(self._named(deed))
        return {
            "anyOf": [
                closed({"do": {"const": do}, **({"what": {"enum": whats}} if do != "wait" else {})})
                for do, whats in by_verb.items()
            ]
        }

    def check(self, agent: str, content: Content, move: Move, to: tuple[str, ...]) -> str | None:
        deeds = self._open[self._seats.index(agent)]
        said = cast(Did, content)
        legal = [(deed[0], self._named(deed)) for deed in deeds]
        plain = said.do != "wait" or "what" not in said.model_fields_set
        if (said.do, said.what) in legal and plain:
            return None
        return "; ".join(" ".join(words).strip() for words in legal)

    def _named(self, deed: Deed) -> str:
        """What a deed is done to."""
        do, what = deed
        if do == "wait":
            return ""
        names = {"go": DIRECTIONS, "unlock": DIRECTIONS, "pull": self._eyes.levers}
        return names.get(do, self._eyes.things)[what]

    def _plan_in_words(self, plan: Sequence[Both]) -> list[list[str]]:
        """Turn by turn, in the order of the seats."""
        return [[f"{deed[0]} {self._named(deed)}".strip() for deed in both] for both in plan]

    def hear(self, message: Message) -> None:
        self._news = ()
        if message.act is not Act.REQUEST:
            return
        seat = self._seats.index(message.sender)
        said = cast(Did, message.content)
        self._chosen[message.sender] = next(
            d for d in self._open[seat] if (d[0], self._named(d)) == (said.do, said.what)
        )
        if len(self._chosen) == 2:
            one, two = (self._chosen.pop(name) for name in self._seats)
            self._both(one, two)

    def _both(self, one: Deed, two: Deed) -> None:
        """A turn."""
        before, self._turn = self._stand, self._turn + 1
        self._stand = after(self._house, before, (one, two))
        self._won = solved(self._house, (one, two))
        self._stuck = [max(turns - 1, 0) for turns in self._stuck]
        for do, what in (one, two):
            if do == "pull" and not self._won:
                self._stuck[what] = self.scenario.jam
                self._alone += 1
        self._trail.append(self._stand.at)
        self._look()
        self._news = tuple(self._notice(seat, before, (one, two)) for seat in (0, 1))

    def _notice(self, seat: int, before: Stand, both: Both) -> Notice:
        view = self._eyes.view(seat, self._stand, self._stuck)
        happened = self._eyes.happened(seat, before, both, bool(self.scenario.jam))
        clock = f"Turn {self._turn} of {self.scenario.limit}."
        new = self._stand.at[seat] not in [at[seat] for at in self._trail[:-1]]
        words = f"{clock} {happened} {self._eyes.words(seat, view, looks=new)}"
        return Notice((self._seats[seat],), words, {"turn": self._turn, **view})

    def _look(self) -> None:
        """What each may do now."""
        self._open = [
            [
                deed
                for deed in possible(self._house, self._stand, seat)
                if deed[0] != "pull" or not self._stuck[deed[1]]
            ]
            for seat in (0, 1)
        ]

    def tell(self) -> Sequence[Notice]:
        return self._news

    def over(self) -> Ended | None:
        if self._won:
            return Ended.DONE
        return Ended.FAILED if self._turn >= self.scenario.limit else None

    def reveal(self) -> Mapping[str, Any]:
        """`deeds`: what each does next in a shortest joint plan from here; nothing where none is left."""
        if self._won:
            return {"deeds": {}}
        plan = shortest(House(*self._house._replace(start=self._stand)))
        assert plan is not None, "nothing that anybody does puts the goal out of reach"
        deeds = dict(zip(self._seats, plan[0], strict=True))
        if any(do == "pull" and self._stuck[what] for do, what in plan[0]):
            deeds = dict.fromkeys(self._seats, WAIT)
        return {
            "deeds": {
                seat: {"do": deed[0]} | ({"what": self._named(deed)} if deed != WAIT else {})
                for seat, deed in deeds.items()
            }
        }

    def outcome(self, ended: Ended) -> Outcome:
        """`steps`: turns played; `shortest`: those of the best plan; `regret`: the difference, of games
        that were won; `alone`: pulls of a lever alone."""
        best = len(self.scenario.plan())
        results = {"steps": float(self._turn), "shortest": float(best), "alone": float(self._alone)}
        if self._won:
            results["regret"] = float(self._turn - best)
        return Outcome(
            completed=self._won,
            deal={"turns": self._turn} if self._won else None,
            utilities=dict.fromkeys(
                self._seats, 2 - self._turn / self.scenario.limit if self._won else 0.0
            ),
            results=results,
        )

    def space(self, agent: str) -> None:
        """None: there are no offers to rank."""

    def picture(self) -> str:
        """The plan of the house, both players and the ways they took."""
        from .adventure_picture import drawn

        return drawn(self.scenario, self._house, self._stand, self._trail)
