"""Players of mutual friends: who asks what tells most, and who picks when it is likely enough.

What is heard turns into a probability for each own row to be the shared one, as if the other's rows were
drawn at random with one row known to be in both tables. Words repeat the typed part. Left out: what the
other's questions tell of its table, and lies: counts are told and taken as true.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from math import comb, inf, log
from typing import Any

from ...protocols import Act, Observation, Reply
from .bargaining import field

ANY, BETWEEN = "any", " / "
Values = tuple[str, ...]
"""Of a row in the order of the attributes; of a question, with `any` where it does not matter."""
Fact = tuple[Values, int]
"""The other has so many rows with these values."""
SURE = 0.5
"""Probability from which a pick is better than another question: it too takes two messages."""


def sensible(observation: Observation, rng: random.Random) -> Reply:
    """Asks for the count that is expected to tell most, answers truly, picks when it is sure enough."""
    rows = _rows(observation)
    if observation.may(Act.ACCEPT_PROPOSAL):
        return _agree(observation, lambda row: row in rows)
    if observation.may(Act.REFUSE):
        return _answer(observation, rows)
    facts, no = _known(observation)
    weights = beliefs(rows, facts, no)
    best = max(range(len(rows)), key=weights.__getitem__)
    left = observation.left
    if weights[best] < SURE and (left is None or left > 3):
        where, gain = question(rows, facts, no)
        if ANY not in where:  # to pick it tells as much, and may end the talk
            return _pick(observation, where)
        if gain > 1e-6:
            named = " and ".join(v for v in where if v != ANY)
            fields = dict(zip(observation.public["attributes"], where, strict=True))
            text = _cut(observation, f"How many of yours are {named}?")
            return Reply.said(Act.QUERY_REF, {"where": fields}, None, text)
    return _pick(observation, rows[best])


def oracle(observation: Observation, rng: random.Random) -> Reply:
    """Picks the shared row at once, from both tables, and agrees to no other."""
    if observation.secrets is None:
        raise ValueError("the oracle must be shown everybody's secrets")
    names = observation.public["attributes"]
    one, two = ([_values(row, names) for row in known["rows"]]
                for known in observation.secrets.values())  # fmt: skip
    shared = next(row for row in one if row in two)
    if observation.may(Act.ACCEPT_PROPOSAL):
        return _agree(observation, lambda row: row == shared)
    return _pick(observation, shared)


def _pick(observation: Observation, row: Values) -> Reply:
    label = BETWEEN.join(row)
    return Reply.said(
        Act.PROPOSE, {"row": label}, None, _cut(observation, f"Is it {', '.join(row)}?")
    )


def _agree(observation: Observation, shared: Callable[[Values], bool]) -> Reply:
    """Yes or no to the other's pick."""
    assert observation.standing is not None
    label: str = field(observation.standing.content, "row")
    if shared(tuple(label.split(BETWEEN))):
        text = _cut(observation, "Yes, that one is on my list too.")
        return Reply.said(Act.ACCEPT_PROPOSAL, None, None, text)
    return Reply.said(Act.REJECT_PROPOSAL, None, None, _cut(observation, "No, not on my list."))


def _answer(observation: Observation, rows: Sequence[Values]) -> Reply:
    """The true count that was asked for."""
    where: Mapping[str, str] = field(observation.heard[-1].content, "where")
    asked = _values(where, observation.public["attributes"])
    count = sum(fits(asked, row) for row in rows)
    text = _cut(observation, f"{count} of mine." if count else "None of mine.")
    return Reply.said(Act.INFORM, {"where": dict(where), "count": count}, None, text)


def _cut(observation: Observation, text: str) -> str:
    return text if len(text) <= observation.max_text else ""


def _values(row: Mapping[str, str], names: Sequence[str]) -> Values:
    return tuple([row[name] for name in names])


def _rows(observation: Observation) -> tuple[Values, ...]:
    names = observation.public["attributes"]
    return tuple(_values(row, names) for row in observation.private["rows"])


def _known(observation: Observation) -> tuple[tuple[Fact, ...], frozenset[Values]]:
    """What the other told, and which rows it was not: picks that were turned down."""
    me, names = observation.agent, observation.public["attributes"]
    facts: list[Fact] = []
    no: set[Values] = set()
    mine: Any = None
    for message in observation.heard:
        if message.act is Act.PROPOSE:
            mine = message.content if message.sender == me else None
        elif message.act is Act.REJECT_PROPOSAL and mine is not None:
            no.add(tuple(field(mine, "row").split(BETWEEN)))
        elif message.act is Act.INFORM and message.sender != me and message.content is not None:
            where = _values(field(message.content, "where"), names)
            facts.append((where, field(message.content, "count")))
    return tuple(facts), frozenset(no)


def fits(where: Values, row: Values) -> bool:
    """Whether the row has these values."""
    return all(want in (ANY, value) for want, value in zip(where, row, strict=True))


@lru_cache(maxsize=4096)
def beliefs(
    rows: tuple[Values, ...], facts: tuple[Fact, ...], no: frozenset[Values]
) -> tuple[float, ...]:
    """Probability of each own row to be the shared one, by Bayes' rule from equal odds.

    With m rows at the other, each of the m - 1 others of which fits with probability p, the odds of a
    row that fits against one that does not change by P(c - 1) / P(c), P binomial (m - 1, p).
    """
    weights = [0.0 if row in no else 1.0 for row in rows]
    for where, count in facts:
        with_it, without = _likely(rows, where)
        told = [
            w * (with_it if fits(where, row) else without)[min(count, len(rows))]
            for w, row in zip(weights, rows, strict=True)
        ]
        # What cannot be, was not true: then it is not taken into account.
        weights = told if sum(told) > 0 else weights
    total = sum(weights)
    return tuple(w / total for w in weights) if total else (1 / len(rows),) * len(rows)


@lru_cache(maxsize=4096)
def _likely(rows: tuple[Values, ...], where: Values) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Probability of each count 0..m where the shared row fits, and where it does not. A value is as
    likely among the other's rows as among the own ones, smoothed; no other row is in both tables."""
    many, p = len(rows), 0.0
    if ANY in where:
        p = 1.0
        for at, want in enumerate(where):
            column = [row[at] for row in rows]
            if want != ANY:
                p *= (column.count(want) + 1) / (many + len(set(column)) + 1)
    each = [comb(many - 1, c) * p**c * (1 - p) ** (many - 1 - c) for c in range(many)]
    return (0.0, *each), (*each, 0.0)


@lru_cache(maxsize=4096)
def question(
    rows: tuple[Values, ...], facts: tuple[Fact, ...], no: frozenset[Values]
) -> tuple[Values, float]:
    """What to ask for: the values whose count leaves the least entropy to be expected about which row
    it is; and how many nats it gains."""
    weights = beliefs(rows, facts, no)
    before = -sum(w * log(w) for w in weights if w > 0)
    best, gain, tried = rows[0], -inf, set[Values]()
    width = len(rows[0])
    for row, weight in zip(rows, weights, strict=True):
        if weight <= 0:
            continue
        for size in range(1, width + 1):
            for kept in combinations(range(width), size):
                where = tuple(row[at] if at in kept else ANY for at in range(width))
                if where not in tried:
                    tried.add(where)
                    less = before - _left(rows, weights, where)
                    if less > gain + 1e-12:
                        best, gain = where, less
    return best, gain


def _left(rows: tuple[Values, ...], weights: Sequence[float], where: Values) -> float:
    """Expected entropy after the answer: E_c[H] with weights w, where those that fit sum to q:
    Z_c = q a_c + (1 - q) b_c,  H_c = log Z_c - (sum of w' log w') / Z_c,  w' = w a_c or w b_c."""
    fitting = [w for w, row in zip(weights, rows, strict=True) if w > 0 and fits(where, row)]
    other = [w for w, row in zip(weights, rows, strict=True) if w > 0 and not fits(where, row)]
    (q, logs), (r, other_logs) = (
        (sum(group), sum(w * log(w) for w in group)) for group in (fitting, other)
    )
    expected = 0.0
    for a, b in zip(*_likely(rows, where), strict=True):
        z = q * a + r * b
        if z > 0:
            expected += z * log(z)
            expected -= a * (logs + q * log(a)) if a > 0 else 0.0
            expected -= b * (other_logs + r * log(b)) if b > 0 else 0.0
    return expected


PLAYERS: dict[str, Callable[[Observation, random.Random], Reply]] = {
    "sensible": sensible,
    "oracle": oracle,
}
