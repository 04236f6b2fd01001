"""Scenarios that differ in one agent's secret, for the check that nobody else sees it.

A secret is what stands in a seat's role, and whatever of the world's own fields is not shown to all in
`public` and `private`: the map of a guide, the menu that one cook knows, the worth of an auctioned good.
To vary is to permute (the values of a table, rows, cells of a column or a map) or to change numbers and
words; what is then no valid scenario is thrown away and another way tried.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, cast

from pydantic import ValidationError

from ..protocols import MootError
from .scenario import Scenario
from .worlds import WORLDS

TRIES = 40
"""Ways that are tried until one gives a valid scenario."""


def varied(scenario: Scenario, number: int) -> Iterator[tuple[frozenset[str], str, Scenario]]:
    """(Whose secret, which field, the scenario with another one); `number` chooses among the fields."""
    data = scenario.model_dump()
    own = sorted(type(scenario).model_fields.keys() - Scenario.model_fields.keys())
    own = [field for field in own if not isinstance(data[field], bool)]  # a switch is a rule
    words = [*data["roles"], *dict.fromkeys(w for field in own for w in _words(data[field]))]
    for agent, role in data["roles"].items():
        fields = sorted(role.keys() - {"role"})
        chosen = fields[number // 2 % len(fields)]
        ways = [("roles", fields), (f"roles.{chosen}", [chosen])]
        # All at once is quick to find a leak, but tables with rules of their own change one by one.
        for field, names in ways if number % 2 == 0 else ways[1:]:
            rng = random.Random(f"{number}|{agent}|{field}")
            other = _tried(scenario, data, ("roles", agent), names, words, rng)
            if other is not None:
                yield frozenset((agent,)), field, other
                break
    if own:
        field = own[number % len(own)]
        other = _tried(scenario, data, (), [field], words, random.Random(f"{number}|{field}"))
        shown = None if other is None else _shown(scenario, other)
        if shown is not None and other is not None:
            yield shown, field, other


def _shown(scenario: Scenario, other: Scenario) -> frozenset[str] | None:
    """The agents that are shown the difference; None where it is no secret."""
    try:
        here, there = (WORLDS[s.world].build(s) for s in (scenario, other))
    except MootError:
        return None
    if here.public() != there.public() or here.roles() != there.roles():
        return None
    shown = frozenset(a for a in scenario.roles if here.private(a) != there.private(a))
    if not shown and any(here.describe(a) != there.describe(a) for a in scenario.roles):
        return None  # how things are put, not what they are
    return shown if len(shown) < len(scenario.roles) else None


def _tried(
    scenario: Scenario,
    data: dict[str, Any],
    at: tuple[str, ...],
    fields: list[str],
    words: list[str],
    rng: random.Random,
) -> Scenario | None:
    """The scenario with other values in these fields; None when no valid one was found."""
    for _ in range(TRIES):
        changed = dict(data)
        inner = changed
        for key in at:
            inner[key] = dict(inner[key])
            inner = inner[key]
        few = rng.random() < 0.5
        for field in fields:
            inner[field] = _other(inner[field], words, rng, few)
        if changed == data:
            continue
        try:
            return type(scenario).model_validate(changed)
        except (ValidationError, MootError):
            continue
    return None


def _other(value: Any, words: list[str], rng: random.Random, few: bool) -> Any:
    """The same structure with other contents: all of them, or (`few`) those of one place."""
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value)
        if len(fields) > 1 and rng.random() < 0.3:
            order = rng.sample(list(fields.values()), len(fields))
            return dict(zip(fields, order, strict=True))
        at = rng.choice(list(fields)) if few and fields else None
        return {k: _other(v, words, rng, few) if at in (None, k) else v for k, v in fields.items()}
    if isinstance(value, list | tuple):
        items = list(cast(Sequence[Any], value))
        if len(items) > 1 and rng.random() < 0.7:
            items = _moved(items, rng)
        else:
            at = rng.randrange(len(items)) if few and items else None
            items = [
                _other(v, words, rng, few) if at in (None, i) else v for i, v in enumerate(items)
            ]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        if len(value) > 1 and rng.random() < 0.3:
            return "".join(_moved(list(value), rng))
        return rng.choice(words) if rng.random() < 0.5 else value + " Secretly."
    if isinstance(value, float) and rng.random() < 0.5:
        return value * rng.random()
    if isinstance(value, int | float):
        return max(type(value)(value + rng.choice((-3, -2, -1, 1, 2, 3))), 0)
    return value


def _words(value: Any) -> Iterator[str]:
    """Every word in nested data, names of fields too."""
    if isinstance(value, dict):
        for key, inner in cast(dict[str, Any], value).items():
            yield key
            yield from _words(inner)
    elif isinstance(value, list | tuple):
        for inner in cast(list[Any], value):
            yield from _words(inner)
    elif isinstance(value, str):
        yield value


def _moved(items: list[Any], rng: random.Random) -> list[Any]:
    """In another order: the items, two cells of two rows, or one column of a table."""
    one, two = rng.sample(range(len(items)), 2)
    rows = all(isinstance(items[i], dict) and items[i] for i in (one, two))
    cells = all(isinstance(items[i], str) and items[i] for i in (one, two))
    kind = rng.random()
    if rows and kind < 0.6:
        key = rng.choice(list(items[one]))
        if key in items[two]:
            a, b = items[one][key], items[two][key]
            items[one] = {**items[one], key: b}
            items[two] = {**items[two], key: a if kind < 0.3 else b}
            return items
    if cells and kind < 0.6:
        a, b = rng.randrange(len(items[one])), rng.randrange(len(items[two]))
        first, second = list(items[one]), list(items[two])
        first[a], second[b] = second[b], first[a]
        items[one], items[two] = "".join(first), "".join(second)
        return items
    items[one], items[two] = items[two], items[one]
    return items
