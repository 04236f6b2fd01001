"""Task allocation: a manager contracts tasks to bidders, each of whom knows only its own costs.

The contract net's original use (Smith 1980, IEEE Trans. Computers C-29:1104-1113). The manager calls
for all tasks; a bid names a price for every task and the most tasks that its sender can take; the
manager grants tasks, at most that many, one bidder at a time; contractors report. Utility is money:

    manager   sum over done tasks of  value - price
    bidder    sum over its done tasks of  price - cost

Unassigned and failed tasks pay and cost nothing. `most` is a claim; a bidder's true capacity is its
secret. Whoever is granted more than its capacity cannot do it: only a report of failure is legal then.
Left out: tasks that depend on each other, prices for bundles, partial reports, penalties.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel

from ...protocols import Award, Content, Done, Ended, Message, Move, Offer, Task
from ...protocols.schemas import closed
from ..scenario import STRICT, Scenario
from ..world import Outcome, Solution
from .task_scenario import MANAGER, TaskGenerator, TaskScenario, solve


class Call(Task):
    """The tasks that the manager calls for: all, in the scenario's order."""

    model_config = STRICT
    tasks: list[str]


class Bid(Offer):
    """What its sender asks for each task, and the most tasks that it says it can take."""

    model_config = STRICT
    prices: dict[str, int]
    most: int


class Grant(Award):
    """The tasks that its receiver shall do, at the prices of its bid, in the scenario's order."""

    model_config = STRICT
    tasks: list[str]


class Report(Done):
    """The tasks that its sender was granted, all done."""

    model_config = STRICT
    tasks: list[str]


class TaskAllocation:
    """One round of contracting."""

    name: ClassVar[str] = "task_allocation"
    summary: ClassVar[str] = "a manager contracts tasks to bidders of hidden costs (contract net)"
    Scenario: ClassVar[type[Scenario]] = TaskScenario
    Generator: ClassVar[type[BaseModel]] = TaskGenerator
    contents: ClassVar[Mapping[type[Content], type[Content]]] = {
        Task: Call, Offer: Bid, Award: Grant, Done: Report
    }  # fmt: skip

    def __init__(self, scenario: TaskScenario) -> None:
        self.scenario = scenario
        self._manager = next(a for a in scenario.roles if scenario.side(a) == MANAGER)
        self._bidders = [a for a in scenario.roles if a != self._manager]
        self._bids: dict[str, Bid] = {}
        self._grants: dict[str, list[str]] = {}
        self._done: list[str] = []

    @classmethod
    def build(cls, scenario: Scenario) -> Self:
        return cls(cast(TaskScenario, scenario))

    @classmethod
    def solve(cls, scenario: Scenario) -> Solution:
        """`best` maps each task worth doing to its bidder."""
        s = cast(TaskScenario, scenario)
        return solve(s.key())

    def roles(self) -> Mapping[str, str]:
        return {a: self.scenario.side(a) for a in self.scenario.roles}

    def public(self) -> Mapping[str, Any]:
        return {"tasks": list(self.scenario.tasks), "most_price": self.scenario.most_price}

    def private(self, agent: str) -> Mapping[str, Any]:
        role = self.scenario.roles[agent]
        if role.values is not None:
            return {"values": role.values}
        return {"costs": role.costs, "capacity": role.capacity}

    def describe(self, agent: str) -> tuple[str, str]:
        s = self.scenario
        role = s.roles[agent]
        everyone = (
            f"{self._manager} gives out these tasks: {', '.join(s.tasks)}."
            f" A price is 0 to {s.most_price} for each task."
        )
        amounts = role.values if role.values is not None else role.costs or {}
        listed = ", ".join(f"{t} {amounts[t]:g}" for t in s.tasks)
        if role.values is not None:
            return everyone, f"Worth to you when done: {listed}. You score worth minus price."
        return everyone, (
            f"Cost to you: {listed}. You can do {role.capacity} at most; with more you fail and are"
            " paid nothing. You score price minus cost."
        )

    def explain(self, move: Move) -> str:
        words: dict[object, str] = {
            Task: '{"tasks": [every task]}',
            Offer: '{"prices": {task: price}, "most": most tasks you can take}',
            Award: '{"tasks": [some that are free, at most as many as the bidder takes]}',
            Done: '{"tasks": [every task you were granted]}',
        }
        return words[move.content]

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        tasks = self.scenario.tasks
        if move.content is Offer:
            price = {"type": "integer", "minimum": 0, "maximum": self.scenario.most_price}
            most = {"type": "integer", "minimum": 1, "maximum": len(tasks)}
            return closed({"prices": closed(dict.fromkeys(tasks, price)), "most": most})
        if move.content is Task:
            return closed({"tasks": {"const": list(tasks)}})
        if move.content is Done:
            mine = self._can_do(agent)
            return None if mine is None else closed({"tasks": {"const": mine}})
        legal = self._grantable(to or self._bidders[0])
        return closed({"tasks": {"enum": legal}}) if legal else None

    def check(self, agent: str, content: Content, move: Move, to: tuple[str, ...]) -> str | None:
        tasks, most_price = self.scenario.tasks, self.scenario.most_price
        if isinstance(content, Bid):
            prices = content.prices
            if prices.keys() != set(tasks) or not all(
                0 <= p <= most_price for p in prices.values()
            ):
                return f"prices 0 to {most_price} for {', '.join(tasks)}"
            return None if 1 <= content.most <= len(tasks) else f"most 1 to {len(tasks)}"
        if isinstance(content, Call):
            return None if content.tasks == list(tasks) else f"tasks {', '.join(tasks)}"
        if isinstance(content, Report):
            mine = self._can_do(agent)
            if mine is None:
                return f"failure: you can do at most {self.scenario.roles[agent].capacity} tasks"
            return None if content.tasks == mine else f"tasks {', '.join(mine)}"
        legal = self._grantable(to[0])
        if cast(Grant, content).tasks in legal:
            return None
        if not legal:
            return f"reject-proposal: no task is left for {to[0]}"
        free, most = self._free(), self._bids[to[0]].most
        return f"1 to {most} of {', '.join(free)}, each once, in this order"

    def hear(self, message: Message) -> None:
        content = message.content
        if isinstance(content, Bid):
            self._bids[message.sender] = content
        elif isinstance(content, Grant):
            self._grants[message.receivers[0]] = content.tasks
        elif isinstance(content, Report):
            self._done.append(message.sender)

    def outcome(self, ended: Ended) -> Outcome:
        """Completed when every task was done; a contract that was carried out counts however the
        episode ended."""
        roles = self.scenario.roles
        utilities = dict.fromkeys(roles, 0.0)
        deal: dict[str, Any] = {}
        values = roles[self._manager].values or {}
        for bidder in self._done:
            costs = roles[bidder].costs or {}
            for task in self._grants[bidder]:
                price = self._bids[bidder].prices[task]
                utilities[self._manager] += values[task] - price
                utilities[bidder] += price - costs[task]
                deal[task] = {"by": bidder, "price": price}
        tasks = self.scenario.tasks
        return Outcome(
            completed=len(deal) == len(tasks),
            deal={t: deal[t] for t in tasks if t in deal} or None,
            utilities=utilities,
        )

    def space(self, agent: str) -> None:
        """None: bids are combined, not ranked."""

    def _free(self) -> list[str]:
        granted = {t for ts in self._grants.values() for t in ts}
        return [t for t in self.scenario.tasks if t not in granted]

    def _grantable(self, bidder: str) -> Sequence[list[str]]:
        """Every set of free tasks that this bidder's bid allows, small ones first."""
        bid = self._bids.get(bidder)
        free = self._free()
        sizes = range(1, min(bid.most, len(free)) + 1) if bid else ()
        return [list(c) for size in sizes for c in itertools.combinations(free, size)]

    def _can_do(self, bidder: str) -> list[str] | None:
        """What this bidder was granted; None when that is more than it can do."""
        mine = self._grants.get(bidder, [])
        return mine if len(mine) <= (self.scenario.roles[bidder].capacity or 0) else None
