"""What a JSON Schema allows, in short words: `{"take": {"book": 0 to 3, "hat": 0 to 1}}`.

For people who fill in a content and for models that are told what would have been legal. Keywords that
worlds do not use (patterns, references, conditions) are left out; such a part is worded as "any value".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

Schema = Mapping[str, Any]


def shape(schema: Schema) -> str:
    """The legal values in words, on one line."""
    if "const" in schema:
        return _literal(schema["const"])
    if "enum" in schema:
        return _one_of(schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(shape(s) for s in schema[key])
    kind = schema.get("type")
    if kind == "object":
        fields = cast(Mapping[str, Schema], schema.get("properties", {}))
        return "{" + ", ".join(f"{json.dumps(k)}: {shape(s)}" for k, s in fields.items()) + "}"
    if kind == "array":
        return f"a list of {shape(schema.get('items', {}))}"
    if kind in ("integer", "number"):
        return _number(schema)
    if kind == "string":
        most = schema.get("maxLength")
        return "text" if most is None else f"text of at most {most} characters"
    return "yes or no" if kind == "boolean" else "any value"


def subsets(values: Sequence[object]) -> tuple[list[object], int, int] | None:
    """Members, fewest and most of them, when `values` are lists of members; else None."""
    if not values or not all(isinstance(v, list) for v in values):
        return None
    lists = cast(Sequence[list[object]], values)
    members: list[object] = []
    for member in (m for v in sorted(lists, key=len, reverse=True) for m in v):
        if member not in members:
            members.append(member)
    return members, min(map(len, lists)), max(map(len, lists))


def _literal(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _one_of(values: Sequence[object]) -> str:
    lists = subsets(values)
    if lists is None:
        return ("one of " if len(values) > 1 else "") + ", ".join(map(_literal, values))
    members, low, high = lists
    count = str(high) if low == high else f"{low} to {high}"
    return f"{count} of {', '.join(map(_literal, members))}"


def _number(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    whole = "a whole number" if schema["type"] == "integer" else "a number"
    if low is not None and high is not None:
        words = f"{low} to {high}"
    elif low is not None:
        words = f"{whole} from {low}"
    elif high is not None:
        words = f"{whole} up to {high}"
    else:
        words = whole
    step = schema.get("multipleOf")
    return words if step in (None, 1) else f"{words} in steps of {step}"
