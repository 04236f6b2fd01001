"""The game of network defence as everybody would play it who sees all: states, steps, and its exact value.

A state is where the attacker stands and which hosts still hold their value. In each round both sides choose
at once: a stochastic game with certain steps and a last round, so its value follows backwards (Shapley
1953, Stochastic Games, PNAS 39:1095-1100):

    V_0 = 0,    V_n(s) = value of the matrix    loot(s, a, d) + cost(d) + V_n-1(next(s, a, d))

over what the attacker (rows a) and the whole team (columns d, one action for each defender) may do. What a
defender does to a host that the attacker neither stands on nor can reach in a round only costs, as does an
inspection, for those who see all; such columns are left out. Units: value of hosts.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from .zero_sum import zero_sum

MOVE, TAKE, HIDE = "move", "take", "hide"
WATCH, INSPECT, ISOLATE, RESTORE = "watch", "inspect", "isolate", "restore"


class Action(NamedTuple):
    """What one agent does, and to which host; `take`, `hide` and `watch` are done where one is."""

    do: str
    host: int


class State(NamedTuple):
    """All that matters for the rest of the game."""

    at: int
    """The attacker's host."""
    left: int
    """Bit h is set while host h holds its value."""


class Network(NamedTuple):
    """What is fixed. Hosts and defenders are numbers."""

    links: tuple[tuple[int, ...], ...]
    """Host -> its neighbours."""
    entry: int
    values: tuple[int, ...]
    parts: tuple[tuple[int, ...], ...]
    """Defender -> the hosts that it watches and may act on; no host is in two."""
    inspect: int
    isolate: int
    restore: int

    def start(self) -> State:
        return State(self.entry, sum(1 << h for h, v in enumerate(self.values) if v))

    def cost(self, action: Action) -> int:
        """What an action of a defender costs the team."""
        return {INSPECT: self.inspect, ISOLATE: self.isolate, RESTORE: self.restore}.get(
            action.do, 0
        )

    def attacks(self, state: State) -> list[Action]:
        """What the attacker may do."""
        own = [Action(TAKE, state.at)] if state.left >> state.at & 1 else []
        return [*own, *(Action(MOVE, h) for h in self.links[state.at]), Action(HIDE, state.at)]

    def duties(self, defender: int) -> list[Action]:
        """What a defender may do: there is nothing to restore where the attacker comes in."""
        each = [
            Action(do, h)
            for h in self.parts[defender]
            for do in (INSPECT, ISOLATE, RESTORE)
            if do != RESTORE or h != self.entry
        ]
        return [Action(WATCH, -1), *each]


class Step(NamedTuple):
    """What becomes of one round."""

    state: State
    loot: int
    done: bool
    """Whether nothing stopped the attacker."""
    evicted: bool


def step(network: Network, state: State, attack: Action, isolated: int, restored: int) -> Step:
    """One round; `isolated` and `restored` have a bit for each such host.

    Isolated hosts are cut off while the round lasts: nobody comes in, goes out or takes anything. Then
    whoever is on a restored host is thrown back to the entry.
    """
    at, left = state
    loot = 0
    there = attack.host
    cut = (isolated >> at | isolated >> there) & 1
    done = attack.do == HIDE or not cut
    if attack.do == MOVE and done:
        at = there
    elif attack.do == TAKE and done:
        loot, left = network.values[at], left & ~(1 << at)
    evicted = bool(restored >> at & 1)
    return Step(State(network.entry if evicted else at, left), loot, done, evicted)


class Defence(NamedTuple):
    """What the whole team does."""

    actions: tuple[Action, ...]
    """One for each defender."""
    isolated: int
    restored: int
    cost: int


def defence(network: Network, actions: tuple[Action, ...]) -> Defence:
    """These actions, together."""
    isolated = sum(1 << a.host for a in actions if a.do == ISOLATE)
    restored = sum(1 << a.host for a in actions if a.do == RESTORE)
    return Defence(actions, isolated, restored, sum(map(network.cost, actions)))


@lru_cache(maxsize=1024)
def defences(network: Network, at: int) -> list[Defence]:
    """What a team does that knows where the attacker is."""
    near = {at, *network.links[at]}

    def useful() -> Iterator[list[Action]]:
        for defender in range(len(network.parts)):
            yield [
                action
                for action in network.duties(defender)
                if action.do == WATCH or (action.do != INSPECT and action.host in near)
            ]

    return [defence(network, actions) for actions in itertools.product(*useful())]


class Stage(NamedTuple):
    """The exact solution from one state on."""

    value: float
    """Expected loot and costs from here to the end when both sides play their best."""
    attacks: tuple[tuple[Action, float], ...]
    """The attacker's optimal mixture; actions of probability 0 are left out."""
    defences: tuple[tuple[Defence, float], ...]
    """The team's, who have to draw together."""


OVER = Stage(0.0, (), ())


@lru_cache(maxsize=1024)
def stages(network: Network) -> dict[tuple[int, State], Stage]:
    """What of a network has been solved so far."""
    return {}


def stage(network: Network, rounds: int, state: State) -> Stage:
    """The solution of a state with so many rounds to go."""
    if not rounds or not state.left:
        return OVER
    known = stages(network)
    if (found := known.get((rounds, state))) is not None:
        return found
    attacks, team = network.attacks(state), defences(network, state.at)
    later: dict[State, float] = {}
    gains = np.empty((len(attacks), len(team)))
    for i, attack in enumerate(attacks):
        for j, (_, isolated, restored, cost) in enumerate(team):
            after = step(network, state, attack, isolated, restored)
            if after.state not in later:
                later[after.state] = stage(network, rounds - 1, after.state).value
            gains[i, j] = after.loot + cost + later[after.state]
    value, row, column = zero_sum(gains)
    solved = Stage(
        value,
        tuple((a, p) for a, p in zip(attacks, row, strict=True) if p > 0),
        tuple((d, p) for d, p in zip(team, column, strict=True) if p > 0),
    )
    known[rounds, state] = solved
    return solved


def undefended(network: Network, rounds: int) -> int:
    """The most that can be taken when nobody defends."""

    @cache
    def most(left: int, state: State) -> int:
        if not left or not state.left:
            return 0
        found = 0
        for attack in network.attacks(state):
            after = step(network, state, attack, 0, 0)
            found = max(found, after.loot + most(left - 1, after.state))
        return found

    return most(rounds, network.start())
