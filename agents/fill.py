"""From a line that a person typed to a value that a JSON Schema allows."""

from __future__ import annotations

import json
from typing import Any, cast

from .shape import Schema, subsets


def parse(line: str, schema: Schema) -> Any:
    """The value. Raises `ValueError` when the line is none of the legal ones.

    Lists are typed with commas; capitals do not matter where the values are known. A kind of schema
    that worlds do not use is typed as JSON, and only the environment judges it.
    """
    if "const" in schema:
        return parse(line, {"enum": [schema["const"]]})
    if "enum" in schema:
        return _one_of(line, schema["enum"])
    for alternative in schema.get("anyOf", ()):
        try:
            return parse(line, alternative)
        except ValueError:
            continue
    kind = schema.get("type")
    if kind == "integer":
        return _within(int(line), schema)
    if kind == "number":
        return _within(_number(line), schema)
    if kind == "boolean":
        return _one_of({"y": "yes", "n": "no"}.get(line.lower(), line), ["yes", "no"]) == "yes"
    if kind == "string":
        if not schema.get("minLength", 0) <= len(line) <= schema.get("maxLength", len(line)):
            raise ValueError(line)
        return line
    if kind == "array":
        values = [parse(part, schema.get("items", {})) for part in _parts(line)]
        if not schema.get("minItems", 0) <= len(values) <= schema.get("maxItems", len(values)):
            raise ValueError(line)
        return values
    if "anyOf" in schema:
        raise ValueError(line)
    return json.loads(line)


def _parts(line: str) -> list[str]:
    return [part.strip() for part in line.split(",") if part.strip()]


def _one_of(line: str, values: list[Any]) -> Any:
    if subsets(values) is not None:
        # Several members in any order: the list is the one that the world wrote.
        typed = sorted(part.lower() for part in _parts(line))
        for value in cast(list[list[object]], values):
            if sorted(str(member).lower() for member in value) == typed:
                return value
        raise ValueError(line)
    for value in values:
        if line.lower() == (value if isinstance(value, str) else json.dumps(value)).lower():
            return value
    raise ValueError(line)


def _number(line: str) -> int | float:
    try:
        return int(line)
    except ValueError:
        return float(line)


def _within(value: int | float, schema: Schema) -> int | float:
    low, high = schema.get("minimum", float("-inf")), schema.get("maximum", float("inf"))
    if not (low <= value <= high and abs(value) < float("inf")):  # refuses nan too
        raise ValueError(value)
    step = schema.get("multipleOf")
    if step is not None and abs(value / step - round(value / step)) > 1e-9:
        raise ValueError(value)
    return value
