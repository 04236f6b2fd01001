"""Scenarios of task allocation: what they hold, their exact solution, and their generator."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, Field, FiniteFloat, PositiveInt, model_validator

from ...protocols import MootError
from ..scenario import STRICT, ProtocolChoice, Role, Scenario
from ..world import Solution

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


class TaskRole(Role):
    """The manager has `values`, a bidder has `costs` and a `capacity`."""

    role: str = Field(
        default="", description="manager or bidder; empty: the seat `manager` is the manager."
    )
    values: dict[str, Amount] | None = Field(
        default=None, description="Manager: what each task is worth to it when done."
    )
    costs: dict[str, Amount] | None = Field(
        default=None, description="Bidder: what doing each task costs it."
    )
    capacity: PositiveInt | None = Field(
        default=None, description="Bidder: most tasks that it can do."
    )


class TaskScenario(Scenario):
    """Tasks, what they are worth to a manager, and what they cost each bidder."""

    world: str = "task_allocation"
    tasks: tuple[str, ...] = Field(description="Names of the tasks, at most six.")
    most_price: PositiveInt = Field(
        default=100, description="Highest price that may be asked for a task."
    )
    roles: dict[str, TaskRole] = Field(description="One manager, one or more bidders.")  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not 1 <= len(self.tasks) <= MAX_TASKS:
            raise ValueError(f"tasks: got {len(self.tasks)}, want 1 to {MAX_TASKS}")
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks: got {', '.join(self.tasks)}, want different names")
        if (self.protocol.build().roles or {}).keys() != {MANAGER, BIDDER}:
            name = self.protocol.name
            raise ValueError(f"protocol: got {name!r}, want contract_net or another such net")
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
        if solve(self.key()).max_joint <= 0:
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
        values: tuple[float, ...] = ()
        bidders: list[tuple[str, tuple[float, ...], int]] = []
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

    Bidder after bidder, the best way to have done each set of tasks (a bit mask). With `everyone`,
    each bidder does at least one; None when that cannot be.
    """
    tasks, values, bidders = key
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    for _, costs, capacity in bidders:
        gains = [value - cost for value, cost in zip(values, costs, strict=True)]
        bundles = [
            (mask, sum(gain for i, gain in enumerate(gains) if mask >> i & 1))
            for mask in range(1 if everyone else 0, 2 ** len(tasks))
            if mask.bit_count() <= capacity
        ]
        more: dict[int, tuple[float, tuple[int, ...]]] = {}
        for done, (total, picks) in best.items():
            for mask, gain in bundles:
                if done & mask:
                    continue
                old = more.get(done | mask)
                if old is None or total + gain > old[0]:
                    more[done | mask] = total + gain, (*picks, mask)
        best = more
    if not best:
        return None
    # Of equal sums, the one that does more tasks.
    _, (total, picks) = max(best.items(), key=lambda way: (way[1][0], way[0].bit_count()))
    doer = {
        task: name
        for i, task in enumerate(tasks)
        for (name, _, _), mask in zip(bidders, picks, strict=True)
        if mask >> i & 1
    }
    return total, doer


@lru_cache(maxsize=16384)
def solve(key: Key) -> Solution:
    """Payments move utility freely, so a deal is efficient exactly when its sum is maximal, and the
    Nash product of W shared by n agents is (W / n)^n; a bidder without a task is paid nothing, hence
    the largest W with a task for everyone. Prices are taken as continuous and unbounded."""
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

    names: tuple[str, ...] = Field(default=TASKS, description="Names that tasks may have.")
    tasks: tuple[int, int] = Field(default=(2, 4), description="Fewest and most tasks.")
    bidders: tuple[int, int] = Field(default=(2, 3), description="Fewest and most bidders.")
    values: tuple[int, int] = Field(
        default=(30, 90), description="What a task is worth to the manager."
    )
    costs: tuple[int, int] = Field(default=(5, 60), description="What a task costs a bidder.")
    capacity: tuple[int, int] = Field(default=(1, 3), description="How many tasks a bidder can do.")
    most_price: int = Field(
        default=100, ge=1, description="Highest price that may be asked for a task."
    )
    manager: str = Field(default=MANAGER, min_length=1, description="Name of the manager's seat.")
    people: tuple[str, ...] = Field(default=NAMES, description="Names that bidders may have.")
    doable: bool = Field(
        default=True, description="Only scenarios whose best assignment does every task."
    )

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
            values: dict[str, int | float] = {t: rng.randint(*self.values) for t in tasks}
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
            solution = solve((tasks, tuple(values.values()), tuple(sides)))
            if solution.max_joint > 0 and (
                not self.doable or len(solution.best or ()) == len(tasks)
            ):
                return TaskScenario(
                    name="task_allocation",
                    protocol=ProtocolChoice(name="contract_net"),
                    tasks=tasks,
                    most_price=self.most_price,
                    roles={self.manager: TaskRole(role=MANAGER, values=values), **bidders},
                )
        raise MootError(
            "generate: 1,000 draws gave no scenario whose tasks are all worth doing and can be done; "
            "raise values or capacity, lower costs, or set doable: false"
        )
