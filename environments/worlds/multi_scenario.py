"""Scenarios of multi-issue negotiation: what they hold, all their deals solved, and their generator.

Every deal is looked at: `MAX_DEALS` keeps that quick. Utilities of all deals are one array of shape
(D, P), deals in the order of `itertools.product` over the issues' options, parties in seat order.
"""

from __future__ import annotations

import itertools
import math
import random
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, Field, FiniteFloat, model_validator

from ...protocols import MootError, did_you_mean
from ..scenario import STRICT, ProtocolChoice, Role, Scenario
from ..world import Solution

MAX_DEALS = 10_000
BLOCK = 256
"""Deals that are looked at together."""
Issues = tuple[tuple[str, tuple[str, ...]], ...]
"""Issue -> its options."""
Side = tuple[tuple[tuple[float, ...], ...], float]
"""A party's points for each option of each issue, and for no deal at all."""
Array = NDArray[np.float64]
Truths = NDArray[np.bool_]


def _whole(value: int | float) -> int | float:
    return value if value % 1 else int(value)


Points = Annotated[int | FiniteFloat, Field(ge=0), AfterValidator(_whole)]
"""Whole points stay whole, so that a record reads 40 and not 40.0."""


class PartyRole(Role):
    """What one party wants."""

    values: dict[str, dict[str, Points]] = Field(description="Issue -> option -> points.")
    no_deal: Points = Field(
        default=0, description="Its threshold: points without a deal; a deal worth less is worse."
    )


class MultiScenario(Scenario):
    """Issues with options, and what each option is worth to each of two or more parties."""

    world: str = "multi_issue"
    issues: dict[str, tuple[str, ...]] = Field(
        description="Issue -> its options, one to be agreed."
    )
    need: int | None = Field(
        default=None, ge=2, description="How many parties must agree; unset: all of them."
    )
    veto: tuple[str, ...] = Field(default=(), description="Parties without whom there is no deal.")
    roles: dict[str, PartyRole] = Field(description="Two or more seats -> what each wants.")  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.issues:
            raise ValueError("issues: nothing to agree on; name at least one issue")
        for issue, options in self.issues.items():
            if not options or len(set(options)) < len(options):
                raise ValueError(f"issues.{issue}: got {list(options)}, want different options")
        deals = math.prod(map(len, self.issues.values()))
        if deals > MAX_DEALS:
            raise ValueError(f"issues: {deals} possible deals, at most {MAX_DEALS}")
        for name, role in self.roles.items():
            _valued(name, role, self.issues)
        if self.need is not None and self.need > len(self.roles):
            raise ValueError(f"need: got {self.need}, there are {len(self.roles)} parties")
        stray = next((v for v in self.veto if v not in self.roles), None)
        if stray is not None:
            raise ValueError(
                f"veto: there is no party {stray!r}; {did_you_mean(stray, self.roles)}"
            )
        if self.protocol.name not in ("alternating_offers", "stacked_offers"):
            raise ValueError(
                f"protocol: got {self.protocol.name!r}, want stacked_offers or alternating_offers"
            )
        return self

    @property
    def enough(self) -> int:
        """How many parties must agree."""
        return len(self.roles) if self.need is None else self.need

    def key(self) -> tuple[Issues, tuple[Side, ...]]:
        """What utilities depend on."""
        return tuple(self.issues.items()), tuple(
            (
                tuple(tuple(role.values[i][o] for o in options) for i, options in self.issues.items()),
                role.no_deal,
            )
            for role in self.roles.values()
        )  # fmt: skip


def _valued(name: str, role: PartyRole, issues: dict[str, tuple[str, ...]]) -> None:
    """Raise `ValueError` unless the party values every option, and likes some deal."""
    if role.values.keys() != issues.keys():
        raise ValueError(f"roles.{name}.values: got {list(role.values)}, issues are {list(issues)}")
    for issue, options in issues.items():
        if role.values[issue].keys() != set(options):
            raise ValueError(
                f"roles.{name}.values.{issue}: got {list(role.values[issue])}, options are "
                f"{list(options)}"
            )
    most = sum(max(values.values()) for values in role.values.values())
    if most <= role.no_deal:
        raise ValueError(
            f"roles.{name}: the best deal is worth {most:g} to {name}, no more than no_deal "
            f"{role.no_deal:g}: no deal could satisfy it; raise a value or lower no_deal"
        )


class Survey(NamedTuple):
    """All deals of a scenario, judged."""

    points: Array
    """Utilities, (D, P)."""
    content: Truths
    """(D, P): whether the deal is worth no less than no deal to the party."""
    feasible: Truths
    """(D,): whether as many are content as must agree, those with a veto among them."""


@lru_cache(maxsize=256)
def survey(key: tuple[Issues, tuple[Side, ...]], enough: int, veto: tuple[int, ...]) -> Survey:
    """All deals, with what `enough` parties, those at the places `veto` among them, would sign."""
    _, sides = key
    points = np.stack([_points(values) for values, _ in sides], axis=1)
    content = points >= np.array([no_deal for _, no_deal in sides]) - 1e-9
    feasible = (content.sum(axis=1) >= enough) & content[:, list(veto)].all(axis=1)
    return Survey(points, content, feasible)


def _points(values: tuple[tuple[float, ...], ...]) -> Array:
    """One party's points for every deal, (D,)."""
    total = np.zeros(1)
    for options in values:
        total = np.add.outer(total, np.array(options, dtype=float)).ravel()
    return total


@lru_cache(maxsize=4096)
def solve(key: tuple[Issues, tuple[Side, ...]]) -> Solution:
    """The reference over all deals, whether or not enough parties would sign them."""
    issues, sides = key
    points = np.stack([_points(values) for values, _ in sides], axis=1)
    none = np.array([no_deal for _, no_deal in sides])
    joint = points.sum(axis=1)
    at = int(joint.argmax())
    picks = np.unravel_index(at, [len(options) for _, options in issues])
    nash = np.maximum(points - none, 0.0).prod(axis=1).max()
    return Solution(
        disagreement=tuple(map(float, none)),
        frontier=frontier(points),
        max_joint=float(joint[at]),
        max_nash=float(nash),
        best={i: o[int(p)] for (i, o), p in zip(issues, picks, strict=True)},
    )


def frontier(points: Array) -> tuple[tuple[float, ...], ...]:
    """The undominated rows of (D, P), each once, ascending.

    With rows by falling sum, only one before it can dominate a row; and one that does is itself
    dominated by none or by another on the frontier, so those found and the block at hand will do.
    Points are compared by their ranks, small numbers, a column at a time.
    """
    left = np.unique(points, axis=0)
    left = left[np.argsort(-left.sum(axis=1), kind="stable")]
    ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in left.T])
    ranks = ranks.astype(np.int16)
    found = np.zeros(0, dtype=np.intp)
    for start in range(0, len(left), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(left)))
        others = np.concatenate([found, block])
        beats = np.ones((len(others), len(block)), dtype=bool)
        for column in ranks:
            beats &= column[others, None] >= column[block]
        found = np.concatenate([found, block[beats.sum(axis=0) == 1]])  # only itself
    return tuple(
        sorted(cast(list[tuple[float, ...]], [tuple(row) for row in left[found].tolist()]))
    )


SCALES: dict[str, tuple[str, ...]] = {
    "budget": ("10k", "20k", "30k", "40k", "50k"),
    "start": ("March", "April", "May", "June", "July"),
    "place": ("north", "centre", "east", "south", "west"),
    "size": ("tiny", "small", "medium", "large", "huge"),
    "hours": ("4 a day", "6 a day", "8 a day", "10 a day", "12 a day"),
    "term": ("1 year", "2 years", "3 years", "5 years", "10 years"),
    "noise": ("none", "low", "some", "high", "any"),
    "lead": ("first", "second", "third", "fourth", "fifth"),
}
NAMES = ("ann", "bob", "cleo", "dan", "eve", "finn", "gus")


class MultiGenerator(BaseModel):
    """Scenarios in which each party has 100 points for its best deal, split over the issues at random.

    Over a contested issue the parties fall into two camps that want opposite ends of its options; over
    any other all want the same end, and only how much differs. Everything is drawn uniformly.
    """

    model_config = STRICT

    parties: tuple[int, int] = Field(default=(2, 3), description="Fewest and most parties, 2 to 7.")
    issues: tuple[int, int] = Field(default=(2, 4), description="Fewest and most issues, 1 to 8.")
    options: tuple[int, int] = Field(
        default=(2, 3), description="Fewest and most options of an issue, 2 to 5."
    )
    conflict: float = Field(
        default=0.8, ge=0, le=1, description="Share of issues that are contested."
    )
    threshold: tuple[int, int] = Field(
        default=(20, 45), description="Lowest and highest points without a deal, of 100."
    )
    spare: int = Field(
        default=0, ge=0, description="How many of more than two parties may be left out of a deal."
    )
    vetoes: int = Field(
        default=0, ge=0, description="How many parties, the first ones, have a veto."
    )
    feasible: bool = Field(
        default=True, description="Only scenarios with a deal that enough parties would sign."
    )
    rounds: int = Field(default=8, ge=1, description="Most messages for each party.")
    talk: bool = Field(default=True, description="Whether there is talk beside the offers.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, least, most in (
            ("parties", 2, len(NAMES)), ("issues", 1, len(SCALES)), ("options", 2, 5),
            ("threshold", 0, 99),
        ):  # fmt: skip
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(
                    f"{name}: got {low} to {high}, want {least} <= fewest <= most <= {most}"
                )
        if self.options[1] ** self.issues[1] > MAX_DEALS:
            raise ValueError(f"options: more than {MAX_DEALS} deals with {self.issues[1]} issues")
        return self

    def draw(self, rng: random.Random) -> MultiScenario:
        """Raises `MootError` when 1,000 draws give nothing that fits: the thresholds leave no room."""
        for _ in range(1000):
            seats = NAMES[: rng.randint(*self.parties)]
            names = rng.sample(sorted(SCALES), rng.randint(*self.issues))
            issues = {n: SCALES[n][: rng.randint(*self.options)] for n in names}
            values = self._values(rng, seats, issues)
            data = {s: (values[s], rng.randint(*self.threshold)) for s in seats}
            many = len(seats) > 2
            enough = max(len(seats) - self.spare, 2) if many else 2
            veto = seats[: self.vetoes] if enough < len(seats) else ()
            key = (
                tuple(issues.items()),
                tuple((tuple(tuple(p.values()) for p in v.values()), d) for v, d in data.values()),
            )
            if self.feasible:
                places = tuple(range(len(veto)))
                if not survey.__wrapped__(key, enough, places).feasible.any():
                    continue
            rules: dict[str, Any] = {"deadline": self.rounds * len(seats), "talk": self.talk}
            return MultiScenario(
                name="multi_issue",
                protocol=ProtocolChoice(
                    name="stacked_offers" if many else "alternating_offers",
                    **rules,
                    **({"decline": True} if enough < len(seats) else {}),
                ),
                issues=issues,
                need=enough if enough < len(seats) else None,
                veto=veto,
                roles={s: PartyRole(values=v, no_deal=d) for s, (v, d) in data.items()},
            )
        raise MootError(
            "generate: 1,000 draws gave no scenario with a deal that enough parties would sign; "
            "lower threshold or conflict, raise issues or spare, or set feasible: false"
        )

    def _values(
        self, rng: random.Random, seats: tuple[str, ...], issues: dict[str, tuple[str, ...]]
    ) -> dict[str, dict[str, dict[str, int | float]]]:
        """Party -> issue -> option -> points: 0 for the worst option, the issue's weight for the best."""
        contested = {i: rng.random() < self.conflict for i in issues}
        ends = {i: rng.random() < 0.5 for i in issues}
        camps = {i: _camps(rng, len(seats)) for i in issues}
        found: dict[str, dict[str, dict[str, int | float]]] = {}
        for at, seat in enumerate(seats):
            cuts = sorted(rng.sample(range(1, 100), len(issues) - 1))
            weights = [b - a for a, b in itertools.pairwise((0, *cuts, 100))]
            found[seat] = {}
            for (issue, options), weight in zip(issues.items(), weights, strict=True):
                between = sorted(rng.randint(0, weight) for _ in options[2:])
                falls = ends[issue] != (contested[issue] and camps[issue][at])
                points = [0, *between, weight]
                found[seat][issue] = dict(
                    zip(options, reversed(points) if falls else points, strict=True)
                )
        return found


def _camps(rng: random.Random, parties: int) -> list[bool]:
    """Two camps, neither of them empty."""
    while len(set(camps := [rng.random() < 0.5 for _ in range(parties)])) < 2:
        pass
    return camps
