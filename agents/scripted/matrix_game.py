"""Players of matrix games: Axelrod's tournament rules, and one that talks, listens and takes turns.

The rules speak of two actions, in any table (`Table`): *cooperate* is the own part in the outcome of the
largest sum; *defect* is the best reply to the other's cooperation or, where that is to cooperate,
the action whose worst case is the best. In the prisoner's dilemma these are what they are called. In
the talk a rule announces what it is about to do, truly. Left out: lies, and rules that learn.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ...protocols import WORLD, Act, Observation, Reply
from .bargaining import field

Round = tuple[str, str, float]
"""Own action, the other's, own points."""


class Table(NamedTuple):
    """A table of points as one player reads it."""

    points: Mapping[str, Mapping[str, float]]
    """Own action -> the other's -> own points."""
    best: tuple[tuple[str, str], ...]
    """(Own, other's) actions of the largest sum, in the table's order."""

    @property
    def cooperate(self) -> str:
        return self.best[0][0]

    @property
    def theirs(self) -> str:
        """What the other does when it cooperates."""
        return self.best[0][1]

    @property
    def defect(self) -> str:
        reply = self.reply(self.theirs)
        return reply if reply != self.cooperate else self.safe()

    def reply(self, other: str) -> str:
        """The best reply to an action of the other; of equal ones, cooperation."""
        return max(self.points, key=lambda a: (self.points[a][other], a == self.cooperate))

    def safe(self) -> str:
        """The action whose worst case is the best; of equal ones, not cooperation."""
        return max(self.points, key=lambda a: (min(self.points[a].values()), a != self.cooperate))


def read(observation: Observation) -> tuple[Table, list[Round]]:
    """The table, and the rounds that were played."""
    me = observation.agent
    other = next(a for a in observation.agents if a != me)
    points: Mapping[str, Any] = observation.public["points"]
    rounds: list[Round] = []
    for message in observation.heard:
        if message.sender == WORLD:
            did, paid = field(message.content, "actions"), field(message.content, "points")
            rounds.append((did[me], did[other], paid[me]))
    first = observation.agents[0]
    rows = points[first]
    sums = {(a, b): rows[a][b] + points[observation.agents[1]][b][a] for a in rows for b in rows[a]}
    most = max(sums.values())
    best = tuple(c if me == first else c[::-1] for c, total in sums.items() if total == most)
    return Table(points[me], best), rounds


_PLAIN = ("I am going to choose {mine}.", "It will be {mine} from me.", "My choice is {mine}.")
_TOGETHER = (
    "Shall we? {mine} from me, {theirs} from you.",
    "I choose {mine}; with {theirs} from you we both do well.",
    "Let us do well together: I choose {mine}, you {theirs}.",
)
_APART = (
    "Then I choose {mine}.",
    "As things are I choose {mine}. I would rather have had {theirs} from you.",
)
Rule = Callable[[Table, list[Round]], str]
Player = Callable[[Observation, random.Random], Reply]


def _played(observation: Observation, action: str, words: str) -> Reply:
    """Announce the action in a talk, or do it."""
    act = Act.REQUEST if observation.may(Act.REQUEST) else Act.INFORM
    text = words if act is Act.INFORM and len(words) <= observation.max_text else ""
    return Reply.said(act, {"action": action}, None, text)


def _by(rule: Rule, observation: Observation, rng: random.Random) -> Reply:
    action = rule(*read(observation))
    return _played(observation, action, rng.choice(_PLAIN).format(mine=action))


def tit_for_tat(observation: Observation, rng: random.Random) -> Reply:
    """Cooperates first, then does to the other what it did last (Rapoport; Axelrod 1980)."""

    def rule(table: Table, rounds: list[Round]) -> str:
        return table.cooperate if not rounds or rounds[-1][1] == table.theirs else table.defect

    return _by(rule, observation, rng)


def always_cooperate(observation: Observation, rng: random.Random) -> Reply:
    """Cooperates in every round."""
    return _by(lambda table, rounds: table.cooperate, observation, rng)


def always_defect(observation: Observation, rng: random.Random) -> Reply:
    """Defects in every round."""
    return _by(lambda table, rounds: table.defect, observation, rng)


def grim(observation: Observation, rng: random.Random) -> Reply:
    """Cooperates until the other once does not, then never again (Friedman 1971)."""

    def rule(table: Table, rounds: list[Round]) -> str:
        true = all(theirs == table.theirs for _, theirs, _ in rounds)
        return table.cooperate if true else table.defect

    return _by(rule, observation, rng)


def win_stay_lose_shift(observation: Observation, rng: random.Random) -> Reply:
    """Stays when it got what joint cooperation pays or more, else shifts (Nowak & Sigmund 1993)."""

    def rule(table: Table, rounds: list[Round]) -> str:
        if not rounds:
            return table.cooperate
        mine, _, points = rounds[-1]
        if points >= table.points[table.cooperate][table.theirs]:
            return mine
        return table.defect if mine == table.cooperate else table.cooperate

    return _by(rule, observation, rng)


def oracle(observation: Observation, rng: random.Random) -> Reply:
    """Does its part in an outcome of the largest sum, come what may; equal ones take turns."""

    def rule(table: Table, rounds: list[Round]) -> str:
        return table.best[len(rounds) % len(table.best)][0]

    return _by(rule, observation, rng)


def sensible(observation: Observation, rng: random.Random) -> Reply:
    """Plays for the largest sum while the other does too, else answers what it says or did.

    Equal outcomes take turns. What the other has announced counts, unless it broke its last word.
    """
    table, rounds = read(observation)
    planned, theirs = table.best[len(rounds) % len(table.best)]
    mine, said = planned, _word(observation)
    if said is not None:
        mine = planned if said == theirs else table.reply(said)
    elif rounds and rounds[-1][1] != table.best[(len(rounds) - 1) % len(table.best)][1]:
        mine = table.reply(rounds[-1][1])
    words = rng.choice(_TOGETHER if mine == planned else _APART).format(mine=mine, theirs=theirs)
    return _played(observation, mine, words)


def _word(observation: Observation) -> str | None:
    """What the other has announced for this round; None when it did not, or ever broke its word."""
    said: str | None = None
    for message in observation.heard:
        if message.sender == WORLD:
            did = field(message.content, "actions")
            if said is not None and any(
                said != did[a] for a in observation.agents if a != observation.agent
            ):
                return None
            said = None
        elif (
            message.act is Act.INFORM
            and message.content is not None
            and message.sender != observation.agent
        ):
            said = field(message.content, "action")
    return said


MATRIX_GAME: dict[str, Player] = {
    player.__name__: player
    for player in (
        tit_for_tat, always_cooperate, always_defect, grim, win_stay_lose_shift, sensible, oracle,
    )
}  # fmt: skip
"""Name -> player of `matrix_game`."""
