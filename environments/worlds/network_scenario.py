"""Scenarios of network defence: a graph of hosts, who watches which, what is exactly known, a generator."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from ...protocols import TURN
from ..scenario import STRICT, Role, Scenario
from ..world import Solution
from .network_game import Network, stage, undefended
from .rounds import joint_action, misfit

ATTACKER, DEFENDER = "attacker", "defender"
HOSTS = ("gate", "web", "mail", "files", "shop", "build", "db", "backup")
NAMES = ("ann", "bob", "cleo", "dan", "eve", "finn", "gus", "hana", "ivo", "jun", "kim", "leo")
MOST_HOSTS, MOST_ROUNDS, MOST_DEFENDERS, MOST_PRICE = 8, 12, 3, 100
Price = Annotated[int, Field(ge=0, le=MOST_PRICE)]
Links = Sequence[tuple[str, str]]
Share = Annotated[float, Field(ge=0, le=1)]


class NetworkScenario(Scenario):
    """An attacker on a graph of hosts, and a team of whom each watches a part of it."""

    world: str = "network_defence"
    links: tuple[tuple[str, str], ...] = Field(
        min_length=1, description="Pairs of hosts that are connected, both ways; at most 8 hosts."
    )
    entry: str = Field(description="The host where the attacker comes in, and is thrown back to.")
    values: dict[str, Annotated[int, Field(ge=1, le=MOST_PRICE)]] = Field(
        min_length=1, max_length=3, description="Host -> what its data is worth, 1 to 3 hosts."
    )
    parts: dict[str, tuple[str, ...]] = Field(
        description="Defender -> the hosts that it watches and may act on; none is in two parts."
    )
    rounds: int = Field(default=6, ge=1, le=MOST_ROUNDS, description="How often all act.")
    inspect_cost: Price = Field(default=1, description="What the team pays to look into a host.")
    isolate_cost: Price = Field(
        default=2, description="What it pays to cut a host off for a round."
    )
    restore_cost: Price = Field(default=3, description="What it pays to set a host up anew.")
    missed: Share = Field(
        default=0.2, description="Probability that what the attacker does gives no alert."
    )
    false_alarms: Share = Field(
        default=0.1,
        description="Probability of an alert, for each host and round, without a cause.",
    )
    seed: int = Field(default=0, ge=0, description="Number that all alerts are drawn from.")
    roles: dict[str, Role] = Field(
        description="Seats: one of the role attacker (or called so), one to three defenders."
    )  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for one, two in self.links:
            if one == two:
                raise ValueError(f"links: {one!r} is linked to itself")
        if len(self.hosts) > MOST_HOSTS:
            raise ValueError(f"links: {len(self.hosts)} hosts, want at most {MOST_HOSTS}")
        if not all(host and host == host.strip() for host in self.hosts):
            raise ValueError("links: a host without a name, or with blanks around it")
        if self.entry not in self.hosts:
            raise ValueError(f"entry: {self.entry!r} is in no link")
        if far := next((h for h in self.hosts if h not in self.reach()), None):
            raise ValueError(f"links: no way leads from {self.entry} to {far}")
        for host in self.values:
            if host not in self.hosts or host == self.entry:
                raise ValueError(f"values: {host!r} is not a host behind the entry")
        sides = self.sides()
        if strange := sorted(set(sides.values()) - {ATTACKER, DEFENDER}):
            raise ValueError(f"roles: {strange[0]!r} is neither attacker nor defender")
        team = self.team()
        if len(sides) != len(team) + 1 or not 1 <= len(team) <= MOST_DEFENDERS:
            raise ValueError(
                f"roles: want one attacker and 1 to {MOST_DEFENDERS} defenders, got"
                f" {len(sides) - len(team)} and {len(team)}"
            )
        if set(self.parts) != set(team) or not all(self.parts.values()):
            raise ValueError(f"parts: want hosts for each of {', '.join(team)}")
        watched = [host for part in self.parts.values() for host in part]
        for host in watched:
            if host not in self.hosts:
                raise ValueError(f"parts: {host!r} is in no link")
            if watched.count(host) > 1:
                raise ValueError(f"parts: {host!r} is in them more than once")
        if wrong := misfit(self.protocol, len(sides), self.rounds, len(team)):
            raise ValueError(wrong)
        protocol = self.protocol.build()
        if set(protocol.roles or ()) != {ATTACKER, DEFENDER}:
            raise ValueError(
                "protocol: write `{name: joint_action, team: defender, rival: attacker, deadline: null}`:"
                " the attacker does not hear the team's talk"
            )
        return self

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """In the order in which the links name them."""
        return tuple(dict.fromkeys(host for link in self.links for host in link))

    def neighbours(self, host: str) -> tuple[str, ...]:
        beside = _beside(self.links, host)
        return tuple(h for h in self.hosts if h in beside)

    def reach(self) -> dict[str, int]:
        """Host -> links from the entry, for those that can be reached; nearest first."""
        return _reach(self.links, self.entry)

    def sides(self) -> dict[str, str]:
        """Seat -> attacker or defender."""
        return {
            seat: role.role or (ATTACKER if seat == ATTACKER else DEFENDER)
            for seat, role in self.roles.items()
        }

    def team(self) -> tuple[str, ...]:
        """The defenders, in seat order."""
        return tuple(seat for seat, side in self.sides().items() if side == DEFENDER)

    def order(self) -> tuple[str, ...]:
        """Who says each message of a round."""
        sides, said = self.sides(), list[str]()
        for state in self.protocol.build().states:
            said += [a for a in sides if state.floor in (TURN, sides[a])] * (state.rounds or 0)
        return tuple(said)

    @property
    def total(self) -> int:
        """What all data is worth: the unit of the scores."""
        return sum(self.values.values())

    @cached_property
    def network(self) -> Network:
        """The same in numbers, for the solver."""
        number = {host: i for i, host in enumerate(self.hosts)}
        return Network(
            links=tuple(tuple(number[h] for h in self.neighbours(host)) for host in self.hosts),
            entry=number[self.entry],
            values=tuple(self.values.get(host, 0) for host in self.hosts),
            parts=tuple(tuple(number[h] for h in self.parts[a]) for a in self.team()),
            inspect=self.inspect_cost,
            isolate=self.isolate_cost,
            restore=self.restore_cost,
        )

    def utilities(self, damage: float) -> dict[str, float]:
        """The attacker scores the damage as a share of what all data is worth; the defenders lose as
        much, in equal parts."""
        share, team = damage / self.total, self.team()
        return {a: share if a not in team else -share / len(team) for a in self.roles}


def _beside(links: Links, host: str) -> list[str]:
    """The hosts that a host is linked to, without repetition."""
    return list(dict.fromkeys(b if a == host else a for a, b in links if host in (a, b)))


def _reach(links: Links, entry: str) -> dict[str, int]:
    found, waiting = {entry: 0}, [entry]
    for host in waiting:
        for other in _beside(links, host):
            if other not in found:
                found[other] = found[host] + 1
                waiting.append(other)
    return found


def solve(scenario: NetworkScenario) -> Solution:
    """Bounds on the damage. `minimax`: of the game in which the team sees all. The attacker does see all,
    so its optimal mixture there makes sure of as much against any team: the least that the best team can
    lose. `undefended`: what a team loses that only watches, so the most that the best team can lose."""
    first = scenario.order()[0]
    lost = scenario.total if first in scenario.team() else 0
    value, free = _bounds(scenario.network, scenario.rounds)
    return Solution(
        disagreement=tuple(scenario.utilities(lost).values()),
        frontier=(),
        transfer=True,
        zero_sum=True,
        max_joint=0.0,
        max_nash=0.0,
        reference={"minimax": value / scenario.total, "undefended": free / scenario.total},
    )


@lru_cache(maxsize=4096)
def _bounds(network: Network, rounds: int) -> tuple[float, int]:
    """In units of value."""
    return stage(network, rounds, network.start()).value, undefended(network, rounds)


class NetworkGenerator(BaseModel):
    """Random connected graphs: a tree from the entry, and some more links."""

    model_config = STRICT

    hosts: tuple[int, int] = Field(default=(4, 6), description="Fewest and most hosts.")
    more_links: tuple[int, int] = Field(
        default=(0, 2), description="Links beside those of a tree; where there is no room, fewer."
    )
    defenders: tuple[int, int] = Field(default=(2, 3), description="Fewest and most defenders.")
    rounds: tuple[int, int] = Field(default=(4, 6), description="Fewest and most rounds.")
    targets: tuple[int, int] = Field(default=(1, 2), description="Hosts that hold a value.")
    values: tuple[int, int] = Field(default=(6, 12), description="Lowest and highest value.")
    conflict: tuple[float, float] = Field(
        default=(0.15, 0.35),
        description="What it costs to isolate a host, as a share of the mean value; half as much more to"
        " restore one, half as much to inspect one. The dearer, the more there is to gain from guessing.",
    )
    missed: tuple[float, float] = Field(
        default=(0.1, 0.4), description="Probability that an alert is missed."
    )
    false_alarms: tuple[float, float] = Field(
        default=(0.0, 0.2), description="Probability of a false alarm, for each host and round."
    )
    unwatched: Share = Field(
        default=0.0, description="Probability of a host behind the entry to be in nobody's part."
    )
    talk: int = Field(default=1, ge=0, description="Rounds of team talk before each round.")
    people: tuple[str, ...] = Field(default=NAMES, description="Names that defenders may have.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, least, most in (
            ("hosts", 2, MOST_HOSTS),
            ("more_links", 0, MOST_HOSTS**2),
            ("defenders", 1, min(MOST_DEFENDERS, len(set(self.people) - {ATTACKER}))),
            ("rounds", 1, MOST_ROUNDS),
            ("targets", 1, 3),
            ("values", 1, MOST_PRICE),
            ("conflict", 0, 1),
            ("missed", 0, 1),
            ("false_alarms", 0, 1),
        ):
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(
                    f"{name}: got {low} to {high}, want {least} <= low <= high <= {most}"
                )
        if self.hosts[0] <= max(self.defenders[1], self.targets[1]):
            raise ValueError(
                f"hosts: got {self.hosts[0]}, want more than {self.defenders[1]} defenders and"
                f" {self.targets[1]} targets"
            )
        return self

    def draw(self, rng: random.Random) -> NetworkScenario:
        """All uniform within the bounds. Targets are the hosts farthest from the entry; each defender has a
        host, and every other one goes to anybody."""
        count = rng.randint(*self.hosts)
        hosts = [HOSTS[0], *rng.sample(HOSTS[1:], count - 1)]
        tree = [(hosts[rng.randrange(i)], hosts[i]) for i in range(1, count)]
        others = [(a, b) for i, b in enumerate(hosts) for a in hosts[:i] if (a, b) not in tree]
        more = rng.sample(others, min(rng.randint(*self.more_links), len(others)))
        team = rng.sample(sorted({*self.people} - {ATTACKER}), rng.randint(*self.defenders))
        behind = rng.sample(hosts[1:], count - 1)
        parts: dict[str, list[str]] = {a: [behind.pop()] for a in team}
        for host in behind:
            if rng.random() >= self.unwatched:
                parts[rng.choice(team)].append(host)
        values = [rng.randint(*self.values) for _ in range(rng.randint(*self.targets))]
        price = rng.uniform(*self.conflict) * sum(values) / len(values)
        farthest = reversed(_reach([*tree, *more], hosts[0]))
        return NetworkScenario.model_validate(
            {
                "name": "network_defence",
                "protocol": joint_action(self.talk, team=DEFENDER, rival=ATTACKER),
                "links": [*tree, *more],
                "entry": hosts[0],
                "values": dict(zip(farthest, values, strict=False)),
                "parts": parts,
                "rounds": rng.randint(*self.rounds),
                "inspect_cost": round(price / 2),
                "isolate_cost": round(price),
                "restore_cost": round(1.5 * price),
                "missed": round(rng.uniform(*self.missed), 2),
                "false_alarms": round(rng.uniform(*self.false_alarms), 2),
                "seed": rng.randrange(2**31),
                "roles": {seat: {} for seat in (*team, ATTACKER)},
            }
        )
