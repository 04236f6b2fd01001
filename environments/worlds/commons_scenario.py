"""Scenarios of commons: a stock that regrows, what is the best to do with it, and a generator.

    left  = stock - what was taken
    next  = min(capacity, left + floor(growth left (1 - left / capacity)) + inflow)

the discrete logistic with harvest (Schaefer 1954, Inter-American Tropical Tuna Commission Bulletin
1(2):27-56) and a steady inflow. Below `collapse` nothing grows any more and the game is over.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import BaseModel, Field, model_validator

from ..scenario import STRICT, Role, Scenario
from ..world import Solution
from .rounds import joint_action, misfit

LARGEST, MOST_ROUNDS = 1000, 100
NAMES = ("ann", "bob", "cleo", "dan", "eve", "finn", "gus", "hana", "ivo", "jun", "kim", "leo")
Amount = Annotated[int, Field(ge=0, le=LARGEST)]


class Stock(NamedTuple):
    """The dynamics, apart from who takes part. Amounts in whole units."""

    capacity: int
    growth: float
    inflow: int
    collapse: int
    blackout: bool
    """Whether nobody gets anything when more is asked for than there is; else all get less."""

    def grown(self, left: int) -> int | None:
        """The stock of the next round; None when it has collapsed."""
        if left < self.collapse:
            return None
        new = int(self.growth * left * (self.capacity - left) / self.capacity + 1e-9)
        return min(self.capacity, left + new + self.inflow)

    def taken(self, stock: int, asked: Sequence[int]) -> list[int]:
        """What each gets; where it is not enough, in proportion and rounded down, or nothing."""
        total = sum(asked)
        if total <= stock:
            return list(asked)
        return [0 if self.blackout else stock * a // total for a in asked]


class CommonsRole(Role):
    """One of those who take."""

    demands: tuple[Amount, ...] | None = Field(
        default=None,
        description="The most that it can use in each round, known to it alone; more is worth nothing."
        " Unset: it can use everything.",
    )


class CommonsScenario(Scenario):
    """A stock that everybody takes from at once, round after round."""

    world: str = "commons"
    resource: str = Field(default="fish", min_length=1, description="What it is, in words.")
    rounds: int = Field(default=10, ge=1, le=MOST_ROUNDS, description="How often all take.")
    capacity: int = Field(default=100, ge=1, le=LARGEST, description="The largest stock.")
    start: int | None = Field(
        default=None, ge=0, description="The stock at the start; unset: the capacity."
    )
    growth: float = Field(
        default=0.5, ge=0, le=4, description="Logistic growth rate of a round; 0: none."
    )
    inflow: Amount = Field(default=0, description="Units that come in each round whatever is left.")
    collapse: Amount = Field(
        default=0, description="When less than this is left, the resource is gone; 0: never."
    )
    most: int = Field(
        default=20, ge=1, le=LARGEST, description="The most that one may take in a round."
    )
    shortage: Literal["ration", "blackout"] = Field(
        default="ration",
        description="When all ask for more than there is: each gets its proportion, rounded down, or "
        "nobody gets anything.",
    )
    roles: dict[str, CommonsRole] = Field(description="Two or more seats.")  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.roles) < 2:
            raise ValueError(f"roles: got {len(self.roles)} seats, want 2 or more")
        if self.first > self.capacity:
            raise ValueError(f"start: got {self.first}, want at most the capacity {self.capacity}")
        for name, role in self.roles.items():
            if role.demands is not None and len(role.demands) != self.rounds:
                raise ValueError(
                    f"roles.{name}.demands: got {len(role.demands)}, want one for each of"
                    f" {self.rounds} rounds"
                )
        if wrong := misfit(self.protocol, len(self.roles), self.rounds):
            raise ValueError(wrong)
        return self

    @property
    def first(self) -> int:
        return self.capacity if self.start is None else self.start

    @property
    def stock(self) -> Stock:
        blackout = self.shortage == "blackout"
        return Stock(self.capacity, self.growth, self.inflow, self.collapse, blackout)

    def uses(self) -> tuple[tuple[int, ...], ...]:
        """The most that each seat can use in each round (agents, rounds)."""
        return tuple(
            tuple(min(self.most, d) for d in role.demands or [self.most] * self.rounds)
            for role in self.roles.values()
        )


def optimum(stock: Stock, first: int, uses: Sequence[int]) -> list[int]:
    """What all together take in each round for the largest sum; `uses`: the most that they can use.

    Backwards over the rounds, with s the stock and r what is left of it:

        V_t(s) = max over s - uses_t <= r <= s of  (s - r) + V_t+1(grown(r)),   0 once it is gone
    """
    size = stock.capacity + 1
    s = np.arange(size)
    grown = [stock.grown(r) for r in range(size)]
    alive = np.array([g is not None for g in grown])
    after = np.array([g or 0 for g in grown])
    later = np.zeros(size, dtype=np.int64)
    lefts: list[list[int]] = []
    for most in reversed(uses):
        use = min(most, stock.capacity)
        # gain[r] = V_t+1(grown(r)) - r; of equal ones, the one that leaves more.
        gain = np.where(alive, later[after], 0) - s
        padded = np.concatenate([np.full(use, -LARGEST * MOST_ROUNDS * 2), gain])
        windows = sliding_window_view(padded, use + 1)[:, ::-1]
        least = windows.argmax(axis=1)
        lefts.append((s - least).tolist())
        later = s + windows.max(axis=1)
    takes: list[int] = []
    now: int | None = first
    for left in reversed(lefts):
        takes.append(0 if now is None else now - left[now])
        now = None if now is None else stock.grown(left[now])
    return takes


def greedy(stock: Stock, first: int, uses: Sequence[Sequence[int]]) -> tuple[list[int], int]:
    """Totals of each seat, and the rounds that the resource lasts, when everybody always asks for all
    that it can use: in a rationed round taken by itself, nobody can do better."""
    totals = [0] * len(uses)
    now = first
    for number, asked in enumerate(zip(*uses, strict=True), start=1):
        got = stock.taken(now, asked)
        totals = [t + g for t, g in zip(totals, got, strict=True)]
        grown = stock.grown(now - sum(got))
        if grown is None:
            return totals, number
        now = grown
    return totals, len(uses[0])


@lru_cache(maxsize=4096)
def solve(stock: Stock, first: int, uses: tuple[tuple[int, ...], ...]) -> Solution:
    """Units pass from one to another by who takes them, so an outcome is efficient when its sum is the
    largest. The largest product of n shares of W whole units is that of the most even ones, if all can
    use the same; else nobody knows."""
    takes = optimum(stock, first, [sum(u) for u in zip(*uses, strict=True)])
    total, agents = sum(takes), len(uses)
    low, rest = divmod(total, agents)
    even = float(low ** (agents - rest) * (low + 1) ** rest)
    totals, lasted = greedy(stock, first, uses)
    return Solution(
        disagreement=(0.0,) * agents,
        frontier=(),
        transfer=True,
        max_joint=total,
        max_nash=even if len(set(uses)) == 1 else float("inf"),
        best={"taken in all, round by round": takes},
        reference={"myopic": {"utilities": totals, "sum": sum(totals), "rounds": lasted}},
    )


class CommonsGenerator(BaseModel):
    """Fisheries and the like; with `demand`, needs that nobody else knows, now and then doubled."""

    model_config = STRICT

    resource: str = Field(default="fish", min_length=1, description="What it is, in words.")
    agents: tuple[int, int] = Field(default=(2, 4), description="Fewest and most agents.")
    rounds: tuple[int, int] = Field(default=(3, 5), description="Fewest and most rounds.")
    capacity: tuple[int, int] = Field(default=(40, 120), description="The largest stock.")
    growth: tuple[float, float] = Field(default=(0.3, 1.0), description="Logistic growth rate.")
    inflow: tuple[int, int] = Field(default=(0, 0), description="Units that come in each round.")
    collapse: float = Field(
        default=0.1, ge=0, le=1, description="Share of the capacity below which it is gone."
    )
    greed: float = Field(
        default=1.5,
        gt=0,
        description="The most that one may take, in equal shares of half the capacity.",
    )
    demand: tuple[float, float] | None = Field(
        default=None,
        description="What one can use in a round, in equal shares of the first stock; unset: all.",
    )
    shock: float = Field(
        default=0.0, ge=0, le=1, description="Probability that a demand is doubled in a round."
    )
    shortage: Literal["ration", "blackout"] = Field(
        default="ration", description="What happens when more is asked for than there is."
    )
    talk: int = Field(default=1, ge=0, description="Rounds of talk before each round.")
    people: tuple[str, ...] = Field(default=NAMES, description="Names that agents may have.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, least, most in (
            ("agents", 2, len(set(self.people))),
            ("rounds", 1, MOST_ROUNDS),
            ("capacity", 1, LARGEST),
            ("growth", 0, 4),
            ("inflow", 0, LARGEST),
        ):
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(
                    f"{name}: got {low} to {high}, want {least} <= low <= high <= {most}"
                )
        if self.demand is not None and not 0 <= self.demand[0] <= self.demand[1]:
            raise ValueError(
                f"demand: got {self.demand[0]:g} to {self.demand[1]:g}, want 0 <= low <= high"
            )
        return self

    def draw(self, rng: random.Random) -> CommonsScenario:
        """All uniform within the bounds; the stock starts full."""
        count, rounds = rng.randint(*self.agents), rng.randint(*self.rounds)
        capacity = rng.randint(*self.capacity)
        most = min(max(1, round(self.greed * capacity / 2 / count)), LARGEST)
        people = rng.sample(sorted(set(self.people)), count)
        roles: dict[str, Any] = {}
        for name in people:
            demands = None if self.demand is None else [
                min(LARGEST, round(rng.uniform(*self.demand) * capacity / count)
                * (2 if rng.random() < self.shock else 1))
                for _ in range(rounds)
            ]  # fmt: skip
            roles[name] = {"demands": demands}
        return CommonsScenario(
            name="commons",
            protocol=joint_action(self.talk),
            resource=self.resource,
            rounds=rounds,
            capacity=capacity,
            growth=round(rng.uniform(*self.growth), 2),
            inflow=rng.randint(*self.inflow),
            collapse=round(self.collapse * capacity),
            most=most,
            shortage=self.shortage,
            roles=roles,
        )
