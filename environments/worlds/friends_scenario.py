"""Scenarios of mutual friends: two tables with one row in common, and their generator."""

from __future__ import annotations

import random
from typing import Self

from pydantic import BaseModel, Field, model_validator

from ...protocols import MootError
from ..scenario import STRICT, ProtocolChoice, Role, Scenario

ANY_VALUE = "any"
"""In the place of a value: it does not matter."""
BETWEEN = " / "
Row = dict[str, str]
"""Attribute -> value."""


class FriendsRole(Role):
    """One agent's table."""

    rows: tuple[Row, ...] = Field(description="Its rows, each attribute -> value.")


class FriendsScenario(Scenario):
    """Attributes, and a table for each of two agents; exactly one row is in both."""

    world: str = "mutual_friends"
    attributes: tuple[str, ...] = Field(description="What every row has a value for.")
    roles: dict[str, FriendsRole] = Field(description="Two seats -> their tables.")  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.attributes or len(set(self.attributes)) < len(self.attributes):
            raise ValueError(f"attributes: got {list(self.attributes)}, want different names")
        if len(self.roles) != 2:
            raise ValueError(f"roles: got {len(self.roles)}, want two")
        if self.protocol.name != "exchange":
            raise ValueError(f"protocol: got {self.protocol.name!r}, want exchange")
        for name, role in self.roles.items():
            for at, row in enumerate(role.rows):
                where = f"roles.{name}.rows.{at}"
                if row.keys() != set(self.attributes):
                    raise ValueError(
                        f"{where}: got {list(row)}, attributes are {list(self.attributes)}"
                    )
                bad = next(
                    (v for v in row.values() if v == ANY_VALUE or BETWEEN in v or not v), None
                )
                if bad is not None:
                    raise ValueError(
                        f"{where}: no value may be empty, {ANY_VALUE!r} or hold {BETWEEN!r}: {bad!r}"
                    )
            if len({self.label(row) for row in role.rows}) < len(role.rows):
                raise ValueError(f"roles.{name}.rows: a row stands there twice")
        common = self.common
        if len(common) != 1:
            what = "; ".join(self.label(row) for row in common) or "none"
            raise ValueError(f"roles: want exactly one row in both tables, got {what}")
        return self

    @property
    def common(self) -> list[Row]:
        """Rows of the first table that the second has as well."""
        one, two = self.roles.values()
        return [row for row in one.rows if row in two.rows]

    @property
    def shared(self) -> Row:
        """The row to be found."""
        return self.common[0]

    def label(self, row: Row) -> str:
        """A row as agents are told it and pick it: its values in the order of the attributes."""
        return BETWEEN.join([row[a] for a in self.attributes])


POOLS: dict[str, tuple[str, ...]] = {
    "school": ("Aalto", "Bergen", "Coimbra", "Delft", "Exeter", "Fribourg", "Ghent", "Heidelberg"),
    "job": ("baker", "nurse", "pilot", "welder", "painter", "teacher", "florist", "clerk"),
    "hobby": ("chess", "climbing", "choir", "fishing", "judo", "knitting", "sailing", "yoga"),
    "town": ("Bath", "Como", "Essen", "Lund", "Nice", "Porto", "Turku", "Zadar"),
    "pet": ("cat", "dog", "hen", "horse", "parrot", "rabbit", "snake", "turtle"),
    "free": ("mornings", "noons", "afternoons", "evenings", "nights", "weekends", "Mondays",
             "Fridays"),
}  # fmt: skip


class FriendsGenerator(BaseModel):
    """Tables after He et al.: the values of each attribute are drawn from a distribution of each
    agent's own, so that what is common at one is rare at the other."""

    model_config = STRICT

    rows: tuple[int, int] = Field(
        default=(5, 12), description="Fewest and most rows; both have as many."
    )
    attributes: tuple[int, int] = Field(
        default=(3, 3), description="Fewest and most attributes, 2 to 6."
    )
    values: tuple[int, int] = Field(
        default=(4, 8), description="Fewest and most values of an attribute, 2 to 8."
    )
    alpha: tuple[float, float] = Field(
        default=(0.3, 3.0),
        description="Lowest and highest concentration (Dirichlet): near 0 few values are common.",
    )
    seats: tuple[str, str] = Field(
        default=("ann", "bob"), description="Names; the first speaks first."
    )
    deadline: int = Field(default=24, ge=1, description="Most messages.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, least, most in (
            ("rows", 1, 50), ("attributes", 2, len(POOLS)), ("values", 2, 8), ("alpha", 0.05, 100),
        ):  # fmt: skip
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(
                    f"{name}: got {low} to {high}, want {least} <= fewest <= most <= {most}"
                )
        if self.seats[0] == self.seats[1]:
            raise ValueError(f"seats: got {self.seats[0]!r} twice, want two names")
        return self

    def draw(self, rng: random.Random) -> FriendsScenario:
        """Raises `MootError` when 100 draws give no tables of different rows: there are too few values."""
        for _ in range(100):
            count = rng.randint(*self.rows)
            names = rng.sample(sorted(POOLS), rng.randint(*self.attributes))
            values = {n: rng.sample(POOLS[n], rng.randint(*self.values)) for n in names}
            shared = {n: rng.choice(v) for n, v in values.items()}
            one = self._table(rng, values, count, [shared])
            two = None if one is None else self._table(rng, values, count, [shared], one)
            if one is not None and two is not None:
                rules = {"name": "exchange", "deadline": self.deadline}
                return FriendsScenario(
                    name="mutual_friends",
                    protocol=ProtocolChoice.model_validate(rules),
                    attributes=tuple(names),
                    roles={
                        seat: FriendsRole(rows=tuple(table))
                        for seat, table in zip(self.seats, (one, two), strict=True)
                    },
                )
        raise MootError(
            f"generate: 100 draws gave no two tables of {self.rows[0]} to {self.rows[1]} different rows; "
            "lower rows, raise values, attributes or alpha"
        )

    def _table(
        self,
        rng: random.Random,
        values: dict[str, list[str]],
        count: int,
        table: list[Row],
        other: list[Row] | None = None,
    ) -> list[Row] | None:
        """`count` different rows, shuffled, none of them in the `other` but those given; None when chance
        does not come up with them."""
        given, table = len(table), list(table)
        alpha = rng.uniform(*self.alpha)
        weights = {n: [rng.gammavariate(alpha, 1.0) + 1e-9 for _ in v] for n, v in values.items()}
        for _ in range(40 * count):
            if len(table) == count:
                rng.shuffle(table)
                return table
            row = {n: rng.choices(v, weights[n])[0] for n, v in values.items()}
            if row not in table and row not in (other or table[:given]):
                table.append(row)
        return None
