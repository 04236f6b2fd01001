"""Players of the commons: one who takes all it can, one who keeps the stock alive, and the optimum.

*sensible* keeps the stock where it grows most, tells what it needs, and takes its even part of what may be
taken by what all have told. The oracle knows everybody's needs and solves the game by dynamic programming.
Left out: punishing those who take more, which the rules of the game give no means for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ...protocols import WORLD, Act, Observation, Reply
from .bargaining import field


class State(NamedTuple):
    """The commons as one player sees it."""

    number: int
    """Of this round, from 0."""
    stock: int
    totals: Mapping[str, int]
    """Agent -> units taken so far."""
    claims: Mapping[str, int]
    """Agent -> what it has announced for this round."""


Player = Callable[[Observation, random.Random], Reply]
Rule = tuple[int, float, int, int]
"""Capacity, growth, inflow and collapse."""


def read(observation: Observation) -> State:
    """The state of the game from what was heard."""
    number, stock = 0, observation.public["start"]
    totals = dict.fromkeys(observation.agents, 0)
    claims: dict[str, int] = {}
    for message in observation.heard:
        if message.sender == WORLD:
            number, stock = field(message.content, "round"), field(message.content, "stock")
            for agent, taken in field(message.content, "taken").items():
                totals[agent] += taken
            claims = {}
        elif message.act is Act.INFORM and message.content is not None:
            claims[message.sender] = field(message.content, "take")
    return State(number, stock, totals, claims)


def _rule(public: Mapping[str, Any]) -> Rule:
    return public["capacity"], public["growth"], public["inflow"], public["collapse"]


@lru_cache(maxsize=1024)
def growing(rule: Rule) -> tuple[int | None, ...]:
    """What is left -> the stock of the next round; None where it is gone."""
    capacity, growth, inflow, collapse = rule
    return tuple(
        None
        if left < collapse
        else min(capacity, left + int(growth * left * (capacity - left) / capacity + 1e-9) + inflow)
        for left in range(capacity + 1)
    )


def use(public: Mapping[str, Any], private: Mapping[str, Any], number: int) -> int:
    """The most that an agent can use in a round."""
    demands = private.get("demands")
    return public["most"] if demands is None else min(public["most"], demands[number])


@lru_cache(maxsize=4096)
def sustainable(rule: Rule, stock: int, last: bool) -> int:
    """What all may take now so that the stock comes to where it grows most, or halfway there."""
    if last:
        return stock
    grown = growing(rule)
    # Of equal growth where less is left: what is kept back for nothing is lost.
    gains = [(0 if new is None else new - left, -left) for left, new in enumerate(grown)]
    best = grown[-max(gains)[1]] or 0
    goal = best if stock >= best else (stock + best + 1) // 2
    for take in range(stock, 0, -1):
        if (grown[stock - take] or 0) >= goal:
            return take
    return 0


@lru_cache(maxsize=256)
def optimal(rule: Rule, uses: tuple[int, ...]) -> list[list[int]]:
    """(Round, stock) -> what all take for the largest sum of the rounds to come; T C U steps."""
    grown = growing(rule)
    later = [0] * len(grown)
    table: list[list[int]] = []
    for most in reversed(uses):
        takes: list[int] = []
        values: list[int] = []
        for stock in range(len(grown)):
            best = (-1, 0)
            for take in range(min(stock, most) + 1):
                new = grown[stock - take]
                best = max(best, (take + (0 if new is None else later[new]), -take))
            values.append(best[0])
            takes.append(-best[1])
        later = values
        table.append(takes)
    return table[::-1]


def shares(total: int, wanted: Sequence[int], had: Sequence[int]) -> list[int]:
    """Whole units handed out one by one to whoever has the least so far and wants more."""
    given = [0] * len(wanted)
    for _ in range(min(total, sum(wanted))):
        open_ = [i for i, w in enumerate(wanted) if given[i] < w]
        at = min(open_, key=lambda i: (had[i] + given[i], i))
        given[at] += 1
    return given


def _said(observation: Observation, take: int, words: str) -> Reply:
    act = Act.REQUEST if observation.may(Act.REQUEST) else Act.INFORM
    text = words if act is Act.INFORM and len(words) <= observation.max_text else ""
    return Reply.said(act, {"take": take}, None, text)


def greedy(observation: Observation, rng: random.Random) -> Reply:
    """Takes all that it can use, every time."""
    state, public = read(observation), observation.public
    take = min(use(public, observation.private, state.number), state.stock)
    words = rng.choice(
        ("I need {n}.", "I will take {n}, as always.", "{n} for me, whatever you do.")
    )
    return _said(observation, take, words.format(n=take))


def sensible(observation: Observation, rng: random.Random) -> Reply:
    """Takes an even part of what keeps the stock where it grows most, by what all say they need."""
    state, public, agents = read(observation), observation.public, observation.agents
    last = state.number == public["rounds"] - 1
    total = sustainable(_rule(public), state.stock, last)
    most = use(public, observation.private, state.number)
    me = agents.index(observation.agent)
    if not observation.may(Act.REQUEST):
        # Who can use everything claims an even part; a need is told as it is.
        part = shares(total, [public["most"]] * len(agents), list(state.totals.values()))[me]
        claim = most if "demands" in observation.private else min(part, most)
        words = rng.choice(
            ("Together we can take {all} and it recovers. I need {n}.",
             "{all} in all is what it bears. {n} for me.",
             "Let us stay at {all} together, so that there is enough next time. I take {n}.")
        )  # fmt: skip
        if last:
            words = rng.choice(("It is the last time, there are {all}. I need {n}.", "{n} for me."))
        return _said(observation, claim, words.format(all=total, n=claim))
    wanted = [state.claims.get(a, public["most"]) for a in agents]
    wanted[me] = most
    return _said(observation, shares(total, wanted, list(state.totals.values()))[me], "")


def oracle(observation: Observation, rng: random.Random) -> Reply:
    """Its even part of the social optimum, by dynamic programming over everybody's needs."""
    state, public, agents = read(observation), observation.public, observation.agents
    if observation.secrets is None:
        raise ValueError("the oracle needs sees_all: it must be shown all secrets")
    secrets = observation.secrets
    uses = [[use(public, secrets[a], number) for a in agents] for number in range(public["rounds"])]
    total = optimal(_rule(public), tuple(map(sum, uses)))[state.number][state.stock]
    part = shares(total, uses[state.number], list(state.totals.values()))[
        agents.index(observation.agent)
    ]
    words = rng.choice(("The best for all of us is {all} together, so {n} for me.", "{n} for me."))
    return _said(observation, part, words.format(all=total, n=part))


COMMONS: dict[str, Player] = {player.__name__: player for player in (greedy, sensible, oracle)}
"""Name -> player of `commons`."""
