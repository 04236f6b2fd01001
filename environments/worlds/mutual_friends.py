"""Mutual friends: two agents with a private table each find the one row that both tables have.

The task of He et al. 2017 (arXiv 1704.07130). They ask and tell how many rows have which values, and pick:
done when both pick the row they share. What is told may be false; the world counts that and
believes nothing. Left out: the paper's free selection by either side at any time (a pick is a move of the
talk here, to be answered).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel

from ...protocols import Answer, Choice, Content, Ended, Message, Move, Question, trusted
from ...protocols.schemas import closed
from ..scenario import STRICT, Scenario
from ..world import Listener, Outcome, Solution
from .friends_listener import listeners
from .friends_scenario import ANY_VALUE, BETWEEN, FriendsGenerator, FriendsScenario, Row


class Ask(Question):
    """How many rows have these values? Attribute -> value, or `any` where it does not matter."""

    model_config = STRICT
    where: Row


class Tell(Answer):
    """So many of the sender's rows have these values."""

    model_config = STRICT
    where: Row
    count: int


class Pick(Choice):
    """The row that the sender takes to be the shared one, its values in order with " / " between."""

    model_config = STRICT
    row: str


@lru_cache(maxsize=4096)
def least_messages(rows: tuple[int, int]) -> int:
    """Fewest messages in which tables of so many rows can be sure to be found to share a row.

    One of the two must come to know which of its n rows it is: log2(n) bits, of which the count in an
    answer of the other, 0 to its m rows, carries at most log2(m + 1). Then one picks and one agrees.
    """
    one, two = rows
    needed = min(math.log2(n) / math.log2(m + 1) for n, m in ((one, two), (two, one)))
    return math.ceil(needed - 1e-9) + 2


class MutualFriends:
    """One search."""

    name: ClassVar[str] = "mutual_friends"
    summary: ClassVar[str] = "two agents find the one row that both their private tables have"
    Scenario: ClassVar[type[Scenario]] = FriendsScenario
    Generator: ClassVar[type[BaseModel]] = FriendsGenerator
    contents: ClassVar[Mapping[type[Content], type[Content]]] = {
        Question: Ask, Answer: Tell, Choice: Pick
    }  # fmt: skip

    def __init__(self, scenario: FriendsScenario) -> None:
        self.scenario = scenario
        self._asked: Row = {}
        self._picked = ""
        self._said = self._untrue = 0
        self._made: dict[str, dict[str, Any]] = {}

    @classmethod
    def build(cls, scenario: Scenario) -> Self:
        return cls(cast(FriendsScenario, scenario))

    @classmethod
    def solve(cls, scenario: Scenario) -> Solution:
        """`reference`: the `bits` that one must learn, and the fewest `messages` that are sure to do."""
        s = cast(FriendsScenario, scenario)
        one, two = (len(role.rows) for role in s.roles.values())
        return _solution(one, two, s.label(s.shared))

    def roles(self) -> Mapping[str, str]:
        return dict.fromkeys(self.scenario.roles, "")

    def public(self) -> Mapping[str, Any]:
        return {"attributes": list(self.scenario.attributes)}

    def private(self, agent: str) -> Mapping[str, Any]:
        return {"rows": [dict(row) for row in self.scenario.roles[agent].rows]}

    def describe(self, agent: str) -> tuple[str, str]:
        s = self.scenario
        rows = s.roles[agent].rows
        listed = "\n".join(s.label(row) for row in rows)
        return (
            "Each of you has a list of friends; exactly one friend is on both lists. Find it: both"
            f" must pick the same one. A friend is told by: {' / '.join(s.attributes)}.",
            f"Your {len(rows)} friends:\n{listed}",
        )

    def explain(self, move: Move) -> str:
        where = f'{{attribute: value or "{ANY_VALUE}"}}'
        if move.content is Question:
            return f'{{"where": {where}}}, how many of the other\'s rows have these values'
        if move.content is Answer:
            return f'{{"where": {where}, "count": how many of your rows have these values}}'
        return '{"row": one of your rows, as you were told it}'

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        rows = self.scenario.roles[agent].rows
        if move.content is Choice:
            return closed({"row": {"enum": [self.scenario.label(row) for row in rows]}})
        if move.state == "asked":
            where = closed({a: {"const": v} for a, v in self._asked.items()})
        else:
            where = self._made.get(agent) or self._made.setdefault(
                agent, closed({a: {"enum": self._values(agent, a)} for a in self._order})
            )
        if move.content is Question:
            return closed({"where": where})
        count = {"type": "integer", "minimum": 0, "maximum": len(rows)}
        return closed({"where": where, "count": count})

    @property
    def _order(self) -> tuple[str, ...]:
        return self.scenario.attributes

    def _values(self, agent: str, attribute: str) -> list[str]:
        """What an agent may name: the values of its own rows, since no others can be shared."""
        rows = self.scenario.roles[agent].rows
        return [ANY_VALUE, *dict.fromkeys(row[attribute] for row in rows)]

    def check(self, agent: str, content: Content, move: Move, to: tuple[str, ...]) -> str | None:
        s = self.scenario
        rows = s.roles[agent].rows
        if isinstance(content, Pick):
            labels = [s.label(row) for row in rows]
            return None if content.row in labels else f"row one of {'; '.join(labels)}"
        where = cast(Ask | Tell, content).where
        if move.state == "asked" and where != self._asked:
            return f"where {self._asked}, as you were asked"
        if move.state != "asked" and (
            where.keys() != set(self._order)
            or any(value not in self._values(agent, a) for a, value in where.items())
        ):
            return "where " + "; ".join(
                f"{a}: {' or '.join(self._values(agent, a))}" for a in self._order
            )
        if isinstance(content, Tell) and not 0 <= content.count <= len(rows):
            return f"count 0 to {len(rows)}"
        return None

    def hear(self, message: Message) -> None:
        self._said += 1
        content = message.content
        if isinstance(content, Ask):
            # In the order of the attributes, in which the schema of the answer names them.
            self._asked = {a: content.where[a] for a in self._order}
        elif isinstance(content, Tell):
            rows = self.scenario.roles[message.sender].rows
            self._untrue += content.count != sum(matches(content.where, row) for row in rows)
        elif isinstance(content, Pick):
            self._picked = content.row

    def outcome(self, ended: Ended) -> Outcome:
        """Found or not; `results`: `found`, `untrue` (false counts told) and, where it was found, `over`,
        the messages said beyond the fewest that are sure to do (a lucky pick takes less)."""
        s = self.scenario
        found = ended is Ended.AGREED and self._picked == s.label(s.shared)
        results = {"found": float(found), "untrue": float(self._untrue)}
        if found:
            one, two = (len(role.rows) for role in s.roles.values())
            results["over"] = float(self._said - least_messages((one, two)))
        return trusted(
            Outcome,
            {
                "completed": found,
                "deal": {"row": self._picked} if found else None,
                "utilities": dict.fromkeys(s.roles, float(found)),
                "results": results,
            },
        )

    def space(self, agent: str) -> None:
        """None: there is nothing to rank."""

    def listeners(self) -> Sequence[Listener]:
        tables = {
            a: [{name: row[name] for name in self._order} for row in role.rows]
            for a, role in self.scenario.roles.items()
        }
        return listeners(tables, ANY_VALUE, BETWEEN)


def matches(where: Row, row: Row) -> bool:
    """Whether the row has these values."""
    return all(value in (ANY_VALUE, row[a]) for a, value in where.items())


@lru_cache(maxsize=4096)
def _solution(one: int, two: int, shared: str) -> Solution:
    return Solution(
        disagreement=(0.0, 0.0),
        frontier=((1.0, 1.0),),
        max_joint=2.0,
        max_nash=1.0,
        best={"row": shared},
        reference={
            "bits": math.log2(min(one, two)),
            "messages": least_messages((one, two)),
        },
    )
