"""Values drawn from a JSON Schema, and values near them that it forbids: the random agent and the fuzzer.

Covers what worlds write: const, enum, anyOf, objects with closed fields, arrays, integers, numbers,
strings and booleans with their bounds. Anything else is refused aloud rather than ignored.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast

from .message import Act, Ended, Reply
from .observation import Observation

Schema = Mapping[str, Any]
KNOWN = {
    "anyOf", "const", "enum", "type", "properties", "required", "additionalProperties", "items",
    "minItems", "maxItems", "uniqueItems", "minimum", "maximum", "multipleOf", "minLength",
    "maxLength", "description", "title",
}  # fmt: skip
LETTERS = 'abc xyz "\\{}\n\té€字😀'


Mood = Literal["any", "long", "deal"]
"""How to choose among legal moves: any of them; such as do not end the talk; such as lead to a deal."""
UNFRIENDLY = {Act.CANCEL, Act.FAILURE, Act.REFUSE, Act.REJECT_PROPOSAL}


def legal_reply(observation: Observation, mood: Mood = "any") -> Reply:
    """A random legal reply, drawn from the schema of the turn by the turn's own randomness.

    Half of them come as raw text, as a language model's, half as fields.
    """
    rng = observation.rng("legal reply")
    choices = cast(list[Schema], observation.schema()["anyOf"])
    by_act: dict[str, list[Schema]] = {}
    for choice in choices:
        by_act.setdefault(choice["properties"]["act"]["const"], []).append(choice)
    avoided: set[str] = set()
    if mood == "long":
        avoided = {o.move.act for o in observation.options if isinstance(o.move.then, Ended)}
    elif mood == "deal":
        avoided = set(UNFRIENDLY)
        if Act.ACCEPT_PROPOSAL in by_act and rng.random() < 0.5:
            avoided = by_act.keys() - {Act.ACCEPT_PROPOSAL}
    choices = [c for act, cs in by_act.items() if act not in avoided for c in cs] or choices
    fields = cast(dict[str, Any], sample(rng.choice(choices), rng))
    if rng.random() < 0.5:
        return Reply(raw=json.dumps(fields, ensure_ascii=rng.random() < 0.5))
    return Reply(**fields)


def closed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an object with exactly these fields: name -> schema."""
    return {
        "type": "object",
        "properties": dict(fields),
        "required": list(fields),
        "additionalProperties": False,
    }


def sample(schema: Schema, rng: random.Random) -> object:
    """A random value that the schema allows. Raises `ValueError` for a keyword not covered here."""
    strange = sorted(set(schema) - KNOWN)
    if strange:
        raise ValueError(f"JSON Schema keyword {strange[0]!r} is not covered by the sampler")
    if "anyOf" in schema:
        return sample(rng.choice(schema["anyOf"]), rng)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(schema["enum"])
    match schema.get("type"):
        case "object":
            required = set(schema.get("required", ()))
            return {
                name: sample(inner, rng)
                for name, inner in schema.get("properties", {}).items()
                if name in required or rng.random() < 0.5
            }
        case "array":
            low, high = schema.get("minItems", 0), schema.get("maxItems", 4)
            return _items(schema, rng, rng.randint(low, max(low, high)))
        case "integer" | "number":
            return _number(schema, rng)
        case "string":
            low, high = schema.get("minLength", 0), schema.get("maxLength", 12)
            count = rng.randint(low, max(low, min(high, 12)))
            return "".join(rng.choice(LETTERS) for _ in range(count))
        case "boolean":
            return rng.random() < 0.5
        case kind:
            raise ValueError(f"JSON Schema type {kind!r} is not covered by the sampler")


def _items(schema: Schema, rng: random.Random, count: int) -> list[object]:
    found: list[object] = []
    for _ in range(20 * count):
        if len(found) == count:
            break
        item = sample(schema["items"], rng)
        if item not in found or not schema.get("uniqueItems"):
            found.append(item)
    return found


def _number(schema: Schema, rng: random.Random) -> int | float:
    low, high = schema.get("minimum", -1000), schema.get("maximum", 1000)
    step = schema.get("multipleOf", 1 if schema["type"] == "integer" else None)
    if step is None:
        return rng.uniform(low, high)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # The ends now and then: that is where mistakes live.
    at = rng.choice((first, last)) if rng.random() < 0.2 else rng.randint(first, last)
    return at * step if isinstance(step, int) else round(at * step, 9)


def fits(schema: Schema, value: object) -> bool:
    """Whether the schema allows this value."""
    if "anyOf" in schema:
        return any(fits(s, value) for s in schema["anyOf"])
    if "const" in schema:
        return _same(value, schema["const"])
    if "enum" in schema:
        return any(_same(value, v) for v in schema["enum"])
    match schema.get("type"):
        case "object":
            if not isinstance(value, dict):
                return False
            given, known = cast(dict[str, object], value), schema.get("properties", {})
            return (
                all(name in given for name in schema.get("required", ()))
                and (schema.get("additionalProperties", True) or given.keys() <= known.keys())
                and all(fits(known[name], v) for name, v in given.items() if name in known)
            )
        case "array":
            if not isinstance(value, list):
                return False
            items = cast(list[object], value)
            return (
                schema.get("minItems", 0) <= len(items) <= schema.get("maxItems", math.inf)
                and not (schema.get("uniqueItems") and any(items.count(i) > 1 for i in items))
                and all(fits(schema.get("items", {}), i) for i in items)
            )
        case "integer" | "number" as kind:
            if not isinstance(value, int | float) or isinstance(value, bool):
                return False
            if not math.isfinite(value):
                return False
            step = schema.get("multipleOf", 1 if kind == "integer" else None)
            near = step is None or abs(value / step - round(value / step)) < 1e-6
            return near and schema.get("minimum", -math.inf) <= value <= schema.get(
                "maximum", math.inf
            )
        case "string":
            low, high = schema.get("minLength", 0), schema.get("maxLength", math.inf)
            return isinstance(value, str) and low <= len(value) <= high
        case "boolean":
            return isinstance(value, bool)
        case _:
            return True


def _same(value: object, other: object) -> bool:
    """As JSON: true is not 1."""
    return json.dumps(value) == json.dumps(other)


def forbidden(schema: Schema, rng: random.Random) -> Iterator[object]:
    """Values close to legal ones that the schema forbids, one for each way to go wrong."""
    for value in _bent(schema, rng):
        if not fits(schema, value):
            yield value


def _bent(schema: Schema, rng: random.Random) -> Iterator[object]:
    if "anyOf" in schema:
        for inner in schema["anyOf"]:
            yield from _bent(inner, rng)
        return
    good = sample(schema, rng)
    yield from (None, "", "no such value", -1, 10**30, 0.5, True, [], {}, [good])
    if isinstance(good, dict):
        fields = cast(dict[str, object], good)
        yield {**fields, "no such field": 1}
        for name in fields:
            yield {k: v for k, v in fields.items() if k != name}
            for bad in _bent(schema["properties"][name], rng):
                yield {**fields, name: bad}
    elif isinstance(good, list):
        items = cast(list[object], good)
        yield from (items[::-1], items[1:], items + items, [*items, "no such item"])
    elif isinstance(good, str):
        yield from (good + "x" * (schema.get("maxLength", 0) + 1), good.upper() + "?")
    elif isinstance(good, int | float):
        low, high = schema.get("minimum"), schema.get("maximum")
        yield from (str(good), good + 0.5, float("nan"), float("inf"))
        yield from (bound + way for bound, way in ((low, -1), (high, 1)) if bound is not None)
        if "multipleOf" in schema:
            yield good + schema["multipleOf"] / 2
