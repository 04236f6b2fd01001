"""Matrix games: two agents choose at once from a public table of points, again and again.

Prisoner's dilemma, stag hunt, chicken, battle of the sexes, coordination, or any table of one's own
(Rapoport and Guyer 1966, General Systems 11:203-214), with cheap talk before each choice. Choices are
sealed; after each round the world tells both what was chosen and what it paid. An agent scores its mean
points a round; a round that is not played, because somebody forfeits, pays each the lowest points that
it has in the table. Left out: chance moves, hidden tables, more than two players (see `commons`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel

from ...protocols import Act, Choice, Content, Ended, Message, Move
from ...protocols.schemas import closed
from ..scenario import STRICT, Scenario
from ..world import Gaps, Notice, Outcome, Solution
from .matrix_scenario import MatrixGenerator, MatrixScenario, solve
from .replies import matrix_gaps


class Action(Choice):
    """What the sender does, or announces that it will do."""

    model_config = STRICT
    action: str


class MatrixGame:
    """One game of a number of rounds."""

    name: ClassVar[str] = "matrix_game"
    summary: ClassVar[str] = "two agents choose at once from a table of points (prisoner's dilemma)"
    Scenario: ClassVar[type[Scenario]] = MatrixScenario
    Generator: ClassVar[type[BaseModel]] = MatrixGenerator
    contents: ClassVar[Mapping[type[Content], type[Content]]] = {Choice: Action}

    def __init__(self, scenario: MatrixScenario) -> None:
        self.scenario = scenario
        self._actions = scenario.actions()
        self._chosen: dict[str, str] = {}
        self._announced: dict[str, str] = {}
        self._pairs: list[tuple[str, str]] = []
        self._told = 0
        self._promises, self._kept = 0, 0

    @classmethod
    def build(cls, scenario: Scenario) -> Self:
        return cls(cast(MatrixScenario, scenario))

    @classmethod
    def solve(cls, scenario: Scenario) -> Solution:
        """`best`: actions of the largest sum; `reference`: equilibria and security levels."""
        s = cast(MatrixScenario, scenario)
        return solve(s.key(), tuple((seat, *names) for seat, names in s.actions().items()))

    def roles(self) -> Mapping[str, str]:
        return dict.fromkeys(self.scenario.roles, "")

    def public(self) -> Mapping[str, Any]:
        """`points`: agent -> own action -> the other's action -> own points of one round."""
        first, second = self.scenario.roles
        table = self.scenario.table
        return {
            "rounds": self.scenario.rounds,
            "actions": {agent: list(names) for agent, names in self._actions.items()},
            "points": {
                first: {a: {b: cell[0] for b, cell in row.items()} for a, row in table.items()},
                second: {
                    b: {a: row[b][1] for a, row in table.items()} for b in self._actions[second]
                },
            },
        }

    def private(self, agent: str) -> Mapping[str, Any]:
        return {}

    def describe(self, agent: str) -> tuple[str, str]:
        first, second = self.scenario.roles
        rows = "; ".join(
            f"{a}/{b}: {one}, {two}"
            for a, row in self.scenario.table.items()
            for b, (one, two) in row.items()
        )
        times = self.scenario.rounds
        return (
            f"The two of you choose at the same time, {times} time{'s' if times > 1 else ''}."
            f" Choices of {first}/{second} and the points that they pay to {first}, {second}: {rows}."
            " You score your mean points."
        ), ""

    def explain(self, move: Move) -> str:
        return '{"action": one of your actions}'

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        return closed({"action": {"enum": list(self._actions[agent])}})

    def check(self, agent: str, content: Content, move: Move, to: tuple[str, ...]) -> str | None:
        if cast(Action, content).action in self._actions[agent]:
            return None
        return f"action {' or '.join(self._actions[agent])}"

    def hear(self, message: Message) -> None:
        content = message.content
        if not isinstance(content, Action):
            return
        if message.act is Act.INFORM:
            self._announced[message.sender] = content.action
            return
        self._chosen[message.sender] = content.action
        if len(self._chosen) == len(self._actions):
            first, second = (self._chosen[agent] for agent in self._actions)
            self._pairs.append((first, second))
            self._promises += len(self._announced)
            self._kept += sum(self._chosen[a] == said for a, said in self._announced.items())
            self._chosen, self._announced = {}, {}

    def tell(self) -> Sequence[Notice]:
        if self._told == len(self._pairs):
            return ()
        self._told = number = len(self._pairs)
        pair, left = self._pairs[-1], self.scenario.rounds - number
        agents = tuple(self._actions)
        actions = dict(zip(agents, pair, strict=True))
        points = dict(zip(agents, self.scenario.table[pair[0]][pair[1]], strict=True))
        did = ", ".join(f"{agent} {action}" for agent, action in actions.items())
        paid = ", ".join(f"{agent} {p}" for agent, p in points.items())
        text = f"Round {number}: {did}; points: {paid}; {left} left."
        data = {"round": number, "actions": actions, "points": points, "left": left}
        return (Notice(agents, text, data),)

    def over(self) -> Ended | None:
        return Ended.DONE if len(self._pairs) == self.scenario.rounds else None

    def outcome(self, ended: Ended) -> Outcome:
        """`best_joint`: share of the rounds with the largest sum of points; `promises_kept`: share of
        what was announced last before a choice that was then chosen (absent where nothing was)."""
        table, rounds, played = self.scenario.table, self.scenario.rounds, len(self._pairs)
        cells = [cell for row in table.values() for cell in row.values()]
        paid = [table[a][b] for a, b in self._pairs]
        utilities = {
            agent: (sum(p[i] for p in paid) + (rounds - played) * min(c[i] for c in cells)) / rounds
            for i, agent in enumerate(self._actions)
        }
        results: dict[str, float] = {}
        if played:
            best = max(map(sum, cells))
            results["best_joint"] = sum(sum(p) == best for p in paid) / played
        if self._promises:
            results["promises_kept"] = self._kept / self._promises
        counts = Counter(f"{a}/{b}" for a, b in self._pairs)
        return Outcome(
            completed=played == rounds,
            deal={"rounds": played, "outcomes": dict(counts)} if played else None,
            utilities=utilities,
            results=results,
        )

    def space(self, agent: str) -> None:
        """None: choices are not offers."""

    def gaps(self, messages: Sequence[Message]) -> Gaps | None:
        return matrix_gaps(self.scenario, messages)
