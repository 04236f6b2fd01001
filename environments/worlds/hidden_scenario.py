"""Scenarios of the hidden role: things and their features, a perfect listener, and a generator."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Self

from pydantic import BaseModel, Field, model_validator

from ...protocols import MootError
from ..scenario import STRICT, ProtocolChoice, Role, Scenario
from ..world import Solution

DEBATER, JUDGE = "debater", "judge"
NAMES = ("ann", "bob", "cleo", "dan", "eve", "finn", "gus", "hana", "ivo", "jun", "kim", "leo")
FEATURES = (
    "flies", "swims", "has fur", "lays eggs", "eats meat", "is awake at night",
    "is larger than a person", "lives with people",
)  # fmt: skip
ANIMALS: dict[str, tuple[int, ...]] = {
    # Numbers of the features above that it has.
    "bat": (0, 2, 4, 5), "bear": (1, 2, 4, 6), "cat": (2, 4, 5, 7), "cow": (2, 6, 7),
    "dog": (1, 2, 4, 7), "duck": (0, 1, 3, 7), "eagle": (0, 3, 4), "frog": (1, 3, 4, 5),
    "goose": (0, 1, 3), "hen": (3, 7), "mouse": (2, 5), "otter": (1, 2, 4),
    "owl": (0, 3, 4, 5), "penguin": (1, 3, 4), "rabbit": (2, 7), "whale": (1, 4, 6),
}  # fmt: skip
Claims = Sequence[tuple[str, bool]]
"""Features and whether they were said to hold."""


class HiddenScenario(Scenario):
    """Everybody has one thing in mind; all but one have the same."""

    world: str = "hidden_role"
    features: tuple[str, ...] = Field(
        default=FEATURES,
        min_length=1,
        description="What a thing may be or do, in words that fit after `it`.",
    )
    things: dict[str, tuple[str, ...]] = Field(
        description="Thing -> the features that it has; everybody knows them all."
    )
    common: str = Field(description="The thing that all but the liar have.")
    different: str = Field(description="The liar's thing.")
    liar: str = Field(description="The seat of the one who has another thing.")
    aware: bool = Field(
        default=True, description="Whether everybody knows if it is the liar; else nobody does."
    )
    slip: float = Field(
        default=0.1,
        gt=0,
        lt=0.5,
        description="Share of claims that the perfect listener expects to be wrong.",
    )
    roles: dict[str, Role] = Field(
        description="Three or more debaters, and the seat `judge` if the protocol has one."
    )  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.protocol.name != "debate":
            raise ValueError(f"protocol: got {self.protocol.name!r}, want debate")
        known = set(self.features)
        for name, has in self.things.items():
            if strange := sorted(set(has) - known):
                raise ValueError(f"things.{name}: {strange[0]!r} is not one of the features")
        sets = [frozenset(has) for has in self.things.values()]
        if len(set(sets)) < len(sets):
            raise ValueError("things: two have the same features, so nobody could tell them apart")
        for field in ("common", "different"):
            if (thing := getattr(self, field)) not in self.things:
                raise ValueError(f"{field}: {thing!r} is not one of the things")
        if self.common == self.different:
            raise ValueError(f"different: got {self.different!r}, which is what all have")
        debaters = self.debaters()
        if self.liar not in debaters:
            raise ValueError(f"liar: got {self.liar!r}, want one of {', '.join(debaters)}")
        if len(debaters) < 3:
            raise ValueError(f"roles: got {len(debaters)} debaters, want 3 or more")
        judges = len(self.roles) - len(debaters)
        wanted = int(self.protocol.build().roles is not None)
        if judges != wanted:
            raise ValueError(f"roles: got {judges} judges, this protocol wants {wanted}")
        return self

    def side(self, agent: str) -> str:
        """`debater` or `judge`."""
        return self.roles[agent].role or (JUDGE if agent == JUDGE else DEBATER)

    def debaters(self) -> tuple[str, ...]:
        return tuple(a for a in self.roles if self.side(a) != JUDGE)

    def thing(self, agent: str) -> str:
        """What a debater has."""
        return self.different if agent == self.liar else self.common


def posterior(
    things: Mapping[str, Sequence[str]], claims: Mapping[str, Claims], slip: float
) -> dict[str, float]:
    """Probability of each debater to be the liar, for one who heard all claims and has no thing.

    Prior: liar i, common thing c and different thing d != c uniform. A claim is right with probability
    1 - slip, whoever makes it, and which feature it is about tells nothing. With L_j(t) the likelihood
    of j's claims if j has t:

        P(i | claims)  ~  sum over c of  prod over j != i of L_j(c)  *  sum over d != c of L_i(d)
    """
    likely: dict[str, dict[str, float]] = {}
    for agent, said in claims.items():
        likely[agent] = {}
        for thing, has in things.items():
            product = 1.0
            for feature, holds in said:
                product *= 1 - slip if (feature in has) == holds else slip
            likely[agent][thing] = product
    weights: dict[str, float] = {}
    for agent, own in likely.items():
        total = sum(own.values())
        weight = 0.0
        for common in things:
            product = total - own[common]
            for other, theirs in likely.items():
                if other != agent:
                    product *= theirs[common]
            weight += product
        weights[agent] = weight
    whole = sum(weights.values())
    return {agent: weight / whole for agent, weight in weights.items()}


Key = tuple[tuple[str, ...], tuple[str, ...], str, tuple[str, ...]]
"""All seats, the debaters, the liar, the features that tell its thing from the common one."""


@lru_cache(maxsize=4096)
def solve(key: Key) -> Solution:
    """The liar is found, one point for each other debater, or it is not, one point for it; a judge's point
    is its own either way. Nobody can gain with everybody else, so the Nash product is 0."""
    seats, debaters, liar, apart = key
    judge = 1.0 if len(seats) > len(debaters) else 0.0
    found, lost = (
        tuple(judge if a not in debaters else float((a != liar) is caught) for a in seats)
        for caught in (True, False)
    )
    return Solution(
        disagreement=(0.0,) * len(seats),
        frontier=tuple(sorted((found, lost))),
        max_joint=sum(found),
        max_nash=0.0,
        best={"accused": liar},
        reference={"features that tell": list(apart)},
    )


class HiddenGenerator(BaseModel):
    """Animals and their features; who is the liar, and what both things are, is drawn."""

    model_config = STRICT

    agents: tuple[int, int] = Field(default=(3, 5), description="Fewest and most debaters.")
    things: tuple[int, int] = Field(default=(6, 10), description="Fewest and most animals.")
    apart: tuple[int, int] = Field(
        default=(1, 4), description="Fewest and most features that tell the two things apart."
    )
    rounds: tuple[int, int] = Field(
        default=(2, 3), description="Fewest and most statements of each."
    )
    aware: float = Field(
        default=0.5, ge=0, le=1, description="Share of episodes in which the liar knows that it is."
    )
    judge: float = Field(default=0.25, ge=0, le=1, description="Share of episodes with a judge.")
    slip: float = Field(
        default=0.1, gt=0, lt=0.5, description="Share of wrong claims that a listener expects."
    )
    people: tuple[str, ...] = Field(default=NAMES, description="Names that debaters may have.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, least, most in (
            ("agents", 3, len(set(self.people) - {JUDGE})),
            ("things", 2, len(ANIMALS)),
            ("apart", 1, len(FEATURES)),
            ("rounds", 1, len(FEATURES)),
        ):
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(
                    f"{name}: got {low} to {high}, want {least} <= low <= high <= {most}"
                )
        return self

    def draw(self, rng: random.Random) -> HiddenScenario:
        """All uniform; a set of animals is drawn again until two in it are as far apart as asked. Raises
        `MootError` when 1,000 sets have no such two."""
        count = rng.randint(*self.things)
        low, high = self.apart
        for _ in range(1000):
            animals = rng.sample(sorted(ANIMALS), count)
            pairs = [
                (a, b)
                for a in animals
                for b in animals
                if low <= len(set(ANIMALS[a]) ^ set(ANIMALS[b])) <= high and a != b
            ]
            if pairs:
                break
        else:
            raise MootError(
                f"generate: no two animals differ in {low} to {high} features; widen apart"
            )
        common, different = rng.choice(pairs)
        people = rng.sample(sorted(set(self.people) - {JUDGE}), rng.randint(*self.agents))
        judged = rng.random() < self.judge
        protocol: dict[str, Any] = {"name": "debate", "rounds": rng.randint(*self.rounds)}
        return HiddenScenario(
            name="hidden_role",
            protocol=ProtocolChoice.model_validate(protocol | ({"judge": True} if judged else {})),
            things={a: tuple(FEATURES[i] for i in ANIMALS[a]) for a in animals},
            common=common,
            different=different,
            liar=rng.choice(people),
            aware=rng.random() < self.aware,
            slip=self.slip,
            roles={name: Role() for name in (*([JUDGE] if judged else []), *people)},
        )
