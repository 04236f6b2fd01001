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
import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Self, cast

import numpy as np
from pydantic import AfterValidator, BaseModel, Field, FiniteFloat, PositiveInt, model_validator
from scipy.optimize import linear_sum_assignment

from ...protocols import Award, Content, Done, Ended, Message, MootError, Move, Offer, Task
from ..scenario import STRICT, ProtocolChoice, Role, Scenario
from ..world import Outcome, Solution

MAX_TASKS = 6
"""A grant is one of the subsets of the tasks, and the decoder's schema lists them all."""
MANAGER, BIDDER = "manager", "bidder"
TASKS = (
    "paint", "wire", "plumb", "tile", "roof", "glaze", "plaster", "insulate", "fence", "pave",
    "dig", "weld", "clean", "haul", "sand", "varnish",
)  # fmt: skip
NAMES = ("ann", "bob", "cleo", "dan", "eve", "finn", "gus", "hana", "ivo", "jun", "kim", "leo")


def _whole(value: int | float) -> int | float:
    return value if value % 1 else int(value)


Amount = Annotated[int | FiniteFloat, AfterValidator(_whole)]
"""Whole amounts stay whole, so that a record reads 40 and not 40.0."""


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


class TaskRole(Role):
    """The manager has `values`, a bidder has `costs` and a `capacity`."""

    role: str = Field(
        "", description="manager or bidder; empty: the seat `manager` is the manager."
    )
    values: dict[str, Amount] | None = Field(
        None, description="Manager: what each task is worth to it when done."
    )
    costs: dict[str, Amount] | None = Field(
        None, description="Bidder: what doing each task costs it."
    )
    capacity: PositiveInt | None = Field(None, description="Bidder: most tasks that it can do.")


class TaskScenario(Scenario):
    """Tasks, what they are worth to a manager, and what they cost each bidder."""

    world: str = "task_allocation"
    tasks: tuple[str, ...] = Field(description="Names of the tasks, at most six.")
    most_price: PositiveInt = Field(100, description="Highest price that may be asked for a task.")
    roles: dict[str, TaskRole] = Field(description="One manager, one or more bidders.")  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not 1 <= len(self.tasks) <= MAX_TASKS:
            raise ValueError(f"tasks: got {len(self.tasks)}, want 1 to {MAX_TASKS}")
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks: got {', '.join(self.tasks)}, want different names")
        if self.protocol.name != "contract_net":
            raise ValueError(f"protocol: got {self.protocol.name!r}, want contract_net")
        for name, role in self.roles.items():
            side = self.side(name)
            if side not in (MANAGER, BIDDER):
                raise ValueError(f"roles.{name}.role: got {side!r}, want manager or bidder")
            own, other = ("values", "costs") if side == MANAGER else ("costs", "values")
            amounts: dict[str, float] | None = getattr(role, own)
            if getattr(role, other) is not None:
                raise ValueError(f"roles.{name}.{other}: a {side} has {own}, no {other}")
            if amounts is None or amounts.keys() != set(self.tasks):
                raise ValueError(
                    f"roles.{name}.{own}: got {sorted(amounts or ())}, tasks are {sorted(self.tasks)}"
                )
            low = next((t for t, a in amounts.items() if a < 0), None)
            if low is not None:
                raise ValueError(f"roles.{name}.{own}.{low}: got {amounts[low]:g}, want >= 0")
            if side == MANAGER and role.capacity is not None:
                raise ValueError(f"roles.{name}.capacity: a manager has none")
            if side == BIDDER and role.capacity is None:
                raise ValueError(f"roles.{name}.capacity: missing; how many tasks can {name} do?")
        sides = [self.side(name) for name in self.roles]
        if sides.count(MANAGER) != 1 or BIDDER not in sides:
            raise ValueError(
                f"roles: want one manager and at least one bidder, got {', '.join(sides) or 'none'}"
            )
        if _solve(self.key()).max_joint <= 0:
            raise ValueError(
                "roles: no task is worth more to the manager than it costs any bidder; raise a value "
                "or lower a cost"
            )
        return self

    def side(self, agent: str) -> str:
        """`manager` or `bidder`."""
        return self.roles[agent].role or (MANAGER if agent == MANAGER else BIDDER)

    def key(self) -> Key:
        """What the solution depends on."""
        values, bidders = (), []
        for name, role in self.roles.items():
            if role.values is not None:
                values = tuple(role.values[t] for t in self.tasks)
            elif role.costs is not None:
                costs = tuple(role.costs[t] for t in self.tasks)
                bidders.append((name, costs, role.capacity or 0))
        return self.tasks, values, tuple(bidders)


Key = tuple[tuple[str, ...], tuple[float, ...], tuple[tuple[str, tuple[float, ...], int], ...]]
"""Tasks, the manager's values (T,), and each bidder's name, costs (T,) and capacity."""


def _assign(key: Key, everyone: bool) -> tuple[float, dict[str, str]] | None:
    """Largest sum of value - cost under the capacities, with its task -> bidder.

    A linear assignment (Kuhn 1955) of T tasks to columns: every bidder stands in as many columns as it
    has capacity, and T columns of worth 0 leave a task undone. With `everyone`, each bidder must get a
    task: a bonus on its first column larger than anything at stake; None when that cannot be.
    """
    tasks, values, bidders = key
    worth = np.asarray(values)
    columns: list[tuple[str, bool]] = []
    gains: list[np.ndarray] = []
    for name, costs, capacity in bidders:
        for i in range(min(capacity, len(tasks))):
            columns.append((name, i == 0))
            gains.append(worth - np.asarray(costs))
    gain_TC = np.stack([*gains, *[np.zeros(len(tasks))] * len(tasks)], axis=1)
    bonus = 1.0 + 2.0 * len(tasks) * float(np.abs(gain_TC).max()) if everyone else 0.0
    bonus_C = [bonus if first else 0.0 for _, first in columns] + [0.0] * len(tasks)
    rows, picked = linear_sum_assignment(gain_TC + np.asarray(bonus_C), maximize=True)
    pairs = [(int(t), int(c)) for t, c in zip(rows, picked, strict=True) if c < len(columns)]
    taken = {tasks[t]: columns[c][0] for t, c in pairs}
    if everyone and len(set(taken.values())) < len(bidders):
        return None
    if not everyone:
        # A task that gains nothing is left undone: nobody is asked to work for no gain.
        pairs = [(t, c) for t, c in pairs if gain_TC[t, c] > 0]
        taken = {tasks[t]: columns[c][0] for t, c in pairs}
    total = float(sum(gain_TC[t, c] for t, c in pairs))
    return total, {t: taken[t] for t in tasks if t in taken}


@lru_cache(maxsize=16384)
def _solve(key: Key) -> Solution:
    """Payments move utility freely, so a deal is efficient exactly when its sum is maximal, and the
    Nash product of W shared by n agents is (W / n)^n; a bidder without a task is paid nothing, hence
    the largest W in which every bidder has one. Prices are taken as continuous and unbounded."""
    joint = _assign(key, everyone=False)
    assert joint is not None
    shared = _assign(key, everyone=True)
    agents = len(key[2]) + 1
    nash = 0.0 if shared is None or shared[0] <= 0 else (shared[0] / agents) ** agents
    return Solution(
        disagreement=(0.0,) * agents,
        frontier=(),
        transfer=True,
        max_joint=joint[0],
        max_nash=nash,
        best=dict(joint[1]),
    )


class TaskGenerator(BaseModel):
    """Scenarios with whole amounts, all drawn uniformly within the given bounds (both included).

    With `doable` (the rule), a draw is repeated until the optimal assignment does every task.
    """

    model_config = STRICT

    names: tuple[str, ...] = Field(TASKS, description="Names that tasks may have.")
    tasks: tuple[int, int] = Field((2, 4), description="Fewest and most tasks.")
    bidders: tuple[int, int] = Field((2, 3), description="Fewest and most bidders.")
    values: tuple[int, int] = Field((30, 90), description="What a task is worth to the manager.")
    costs: tuple[int, int] = Field((5, 60), description="What a task costs a bidder.")
    capacity: tuple[int, int] = Field((1, 3), description="How many tasks a bidder can do.")
    most_price: int = Field(100, ge=1, description="Highest price that may be asked for a task.")
    manager: str = Field(MANAGER, min_length=1, description="Name of the manager's seat.")
    people: tuple[str, ...] = Field(NAMES, description="Names that bidders may have.")
    doable: bool = Field(True, description="Only scenarios whose best assignment does every task.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, least, most in (
            ("tasks", 1, min(MAX_TASKS, len(set(self.names)))),
            ("bidders", 1, len(set(self.people) - {self.manager})),
            ("values", 0, None),
            ("costs", 0, None),
            ("capacity", 1, None),
        ):
            low, high = getattr(self, name)
            if not least <= low <= high or (most is not None and high > most):
                want = f"{least} <= fewest <= most" + ("" if most is None else f" <= {most}")
                raise ValueError(f"{name}: got {low} to {high}, want {want}")
        if self.values[1] <= self.costs[0]:
            raise ValueError(
                f"values: at most {self.values[1]}, but every cost is at least {self.costs[0]}: no task"
                " is worth its cost"
            )
        if self.doable and self.bidders[1] * self.capacity[1] < self.tasks[0]:
            raise ValueError("capacity: all bidders together can never do every task; raise it")
        return self

    def draw(self, rng: random.Random) -> TaskScenario:
        """Raises `MootError` when 1,000 draws give nothing that fits: the bounds leave no room."""
        for _ in range(1000):
            tasks = tuple(rng.sample(sorted(set(self.names)), rng.randint(*self.tasks)))
            people = rng.sample(
                sorted(set(self.people) - {self.manager}), rng.randint(*self.bidders)
            )
            values = {t: rng.randint(*self.values) for t in tasks}
            bidders = {
                name: TaskRole(
                    role=BIDDER,
                    costs={t: rng.randint(*self.costs) for t in tasks},
                    capacity=rng.randint(*self.capacity),
                )
                for name in people
            }
            sides = [
                (n, tuple((b.costs or {}).values()), b.capacity or 0) for n, b in bidders.items()
            ]
            solution = _solve((tasks, tuple(values.values()), tuple(sides)))
            if solution.max_joint > 0 and (
                not self.doable or len(solution.best or ()) == len(tasks)
            ):
                return TaskScenario(
                    name="task_allocation",
                    protocol=ProtocolChoice(name="contract_net"),
                    tasks=tasks,
                    most_price=self.most_price,
                    roles={self.manager: TaskRole(role=MANAGER, values=values), **bidders},  # pyright: ignore[reportArgumentType]
                )
        raise MootError(
            "generate: 1,000 draws gave no scenario whose tasks are all worth doing and can be done; "
            "raise values or capacity, lower costs, or set doable: false"
        )


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
        return _solve(s.key())

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
        return {
            Task: '{"tasks": [every task]}',
            Offer: '{"prices": {task: price}, "most": most tasks you can take}',
            Award: '{"tasks": [some that are free, at most as many as the bidder takes]}',
            Done: '{"tasks": [every task you were granted]}',
        }[move.content or Task]  # fmt: skip

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        tasks = self.scenario.tasks
        if move.content is Offer:
            price = {"type": "integer", "minimum": 0, "maximum": self.scenario.most_price}
            most = {"type": "integer", "minimum": 1, "maximum": len(tasks)}
            return _object({"prices": _object(dict.fromkeys(tasks, price)), "most": most})
        if move.content is Task:
            return _object({"tasks": {"const": list(tasks)}})
        if move.content is Done:
            mine = self._can_do(agent)
            return None if mine is None else _object({"tasks": {"const": mine}})
        legal = self._grantable(to or self._bidders[0])
        return _object({"tasks": {"enum": legal}}) if legal else None

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


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }
