"""Legal replies by number, and views as numbers: what a world looks like to a learner with fixed spaces.

`Slots` gives every kind of message of a protocol (act, content, receiver) `width` numbers, and within a
kind the contents of the turn's JSON Schema theirs, in the schema's order. So a number keeps its meaning
as long as the schema does not narrow. Where there are more contents than `width`, evenly spread ones
stand for all: of numbers, levels with both ends; of objects, fewer levels of each field. Words are
always empty. `encoded` writes what an agent knows as `SIZE` numbers between -1 and 1.

Left out: what anybody says in words, and whatever does not fit: facts after the first `FACTS`, messages
before the last `HEARD`, values of a content after the first `VALUES`.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, cast

from ..protocols import EVERYONE, NOBODY, Act, Observation, Protocol, Reply

FACTS, HEARD, VALUES = 96, 8, 12
SIZE = 4 + FACTS + HEARD * (4 + VALUES)
LONGEST_LIST = 1024
"""Lists without repetition that are looked at before some are chosen."""
ACTS = list(Act)


class Slots:
    """Numbers for the replies of these protocols among `seats` agents at most."""

    def __init__(self, protocols: Iterable[Protocol], seats: int, width: int = 64) -> None:
        self._width, self._first = width, dict[tuple[str, str, int | None], int]()
        self.count = 0
        """How many numbers there are."""
        for move in (move for protocol in protocols for move in protocol.moves):
            named = seats > 2 and move.to not in (EVERYONE, NOBODY)
            for to in (None, *range(seats)) if named else (None,):
                content = "" if move.content is None else move.content.__name__
                if (str(move.act), content, to) not in self._first:
                    self._first[str(move.act), content, to] = self.count
                    self.count += width if content else 1

    def legal(self, observation: Observation) -> dict[int, Reply]:
        """Number -> reply, for every reply that has one and is legal in this turn."""
        found: dict[int, Reply] = {}
        for move, receivers in observation.options:
            name = "" if move.content is None else move.content.__name__
            for to in receivers or (None,):
                seat = None if to is None else observation.agents.index(to)
                first = self._first[str(move.act), name, seat]
                if move.content is None:
                    found[first] = Reply.said(move.act, None, to, "")
                    continue
                schema = observation.about.schema_of(move, to)
                if schema is not None:
                    known = _replies(move.act, to, json.dumps(schema), self._width)
                    found.update(enumerate(known, first))
        return found


@lru_cache(maxsize=4096)
def _replies(act: Act, to: str | None, schema: str, most: int) -> tuple[Reply, ...]:
    """Most turns have the schema of an earlier one."""
    return tuple(Reply.said(act, content, to, "") for content in few(json.loads(schema), most))


def shown(reply: Reply) -> dict[str, Any]:
    """A reply of `Slots` as it would be written, without words."""
    fields: dict[str, Any] = {"act": reply.act}
    if reply.to is not None:
        fields["to"] = reply.to
    if reply.content is not None:
        fields["content"] = dict(cast(dict[str, Any], reply.content))
    return fields


def few(schema: Mapping[str, Any], most: int) -> list[Any]:
    """At most `most` values of a JSON Schema, in its order, evenly spread where it has more."""
    if "anyOf" in schema:
        inner = cast(list[Mapping[str, Any]], schema["anyOf"])
        values = [v for s in inner for v in few(s, max(most // len(inner), 1))]
        return _spread(list(_distinct(values)), most)
    if "const" in schema:
        return [schema["const"]]
    if "enum" in schema:
        return _spread(list(schema["enum"]), most)
    match schema["type"]:
        case "object":
            return _objects(schema, most)
        case "array":
            return _lists(schema, most)
        case "boolean":
            return [False, True][:most]
        case "string":
            return ["x" * schema.get("minLength", 0)]
        case _:
            return _numbers(schema, most)


def _objects(schema: Mapping[str, Any], most: int) -> list[Any]:
    """Every combination of a few values of each required field; small fields keep all of theirs."""
    fields = {name: schema["properties"][name] for name in schema.get("required", ())}
    sizes = {name: len(few(inner, most)) for name, inner in fields.items()}
    room, kept = most, dict[str, list[Any]]()
    for i, name in enumerate(sorted(fields, key=sizes.__getitem__)):
        share = int(room ** (1 / (len(fields) - i)) + 1e-9)
        kept[name] = few(fields[name], max(min(sizes[name], share), 1))
        room //= max(len(kept[name]), 1)
    columns = (kept[name] for name in fields)
    return [dict(zip(fields, values, strict=True)) for values in itertools.product(*columns)]


def _lists(schema: Mapping[str, Any], most: int) -> list[Any]:
    """Short lists first; within a length in the order of the items, the last one changing fastest."""
    items = few(schema["items"], most)
    low = schema.get("minItems", 0)
    lengths = range(low, schema.get("maxItems", low + 2) + 1)
    if schema.get("uniqueItems"):
        every = (p for n in lengths for p in itertools.permutations(items, n))
        return [list(p) for p in _spread(list(itertools.islice(every, LONGEST_LIST)), most)]
    # Of lists too long to be counted the shorter ones stand for all.
    counts = [n for n in (len(items) ** length for length in lengths) if n < 2**53]
    chosen: list[Any] = []
    for at in _spread(range(sum(counts)), most):
        length, rest = low, at
        while rest >= counts[length - low]:
            rest -= counts[length - low]
            length += 1
        # The number within the length, written in the items as digits.
        digits = [rest // len(items) ** k % len(items) for k in range(length - 1, -1, -1)]
        chosen.append([items[d] for d in digits])
    return chosen


def _numbers(schema: Mapping[str, Any], most: int) -> list[Any]:
    low, high = schema.get("minimum", -1000), schema.get("maximum", 1000)
    step = schema.get("multipleOf", 1 if schema["type"] == "integer" else None)
    if step is None:
        gaps = max(most - 1, 1)
        return list(_distinct([low + (high - low) * i / gaps for i in range(most)]))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    chosen = _spread(range(first, last + 1), most)
    return [i * step if isinstance(step, int) else round(i * step, 9) for i in chosen]


def _spread(values: Sequence[Any], most: int) -> list[Any]:
    """All, or `most` of them at even distances, both ends among them."""
    if len(values) <= most:
        return list(values)
    if most == 1:
        return [values[len(values) // 2]]
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def _distinct(values: Sequence[Any]) -> Iterator[Any]:
    return (v for i, v in enumerate(values) if v not in values[:i])


def encoded(observation: Observation) -> list[float]:
    """What an agent knows: the turn, the facts (its own first), the last messages (newest first)."""
    agents, own = observation.agents, observation.agent
    standing = observation.standing
    numbers = [
        _number(observation.turn),
        0.0 if observation.left is None else observation.left / max(observation.deadline or 1, 1),
        float(bool(observation.options)),
        0.0 if standing is None else 1.0 if standing.sender == own else -1.0,
    ]
    numbers += _padded(_leaves([observation.private, observation.public]), FACTS)
    for message in observation.heard[: -HEARD - 1 : -1]:
        by = agents.index(message.sender) / len(agents) if message.sender in agents else 1.0
        content = () if message.content is None else _leaves(message.content.model_dump())
        numbers += [1.0, by, ACTS.index(message.act) / len(ACTS), float(message.sender == own)]
        numbers += _padded(content, VALUES)
    return numbers + [0.0] * (SIZE - len(numbers))


def _leaves(data: Any) -> Iterator[float]:
    """Every value of nested data as a number, in its order."""
    if isinstance(data, Mapping):
        for value in cast(Mapping[Any, Any], data).values():
            yield from _leaves(value)
    elif isinstance(data, list | tuple):
        for value in cast(Sequence[Any], data):
            yield from _leaves(value)
    else:
        yield _number(data)


def _padded(values: Iterator[float] | tuple[()], count: int) -> list[float]:
    found = list(itertools.islice(values, count))
    return found + [0.0] * (count - len(found))


def _number(value: object) -> float:
    """A value between -1 and 1: numbers by their logarithm (1 from 10,000 on), words by a hash."""
    if value is None or isinstance(value, bool):
        return float(bool(value))
    if isinstance(value, int | float):
        size = math.log1p(abs(value)) / math.log1p(10_000) if math.isfinite(value) else 1.0
        return math.copysign(min(size, 1.0), value)
    digest = blake2b(str(value).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") / 2**32
