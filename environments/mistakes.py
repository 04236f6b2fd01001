"""What is wrong with a scenario that a person wrote, on one line: where, what it holds, what it wants.

`checked` is pydantic's strict validation with its errors put into the words of this library. An unknown
key gets a did-you-mean over the fields of the very model that it stands in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..protocols import MootError, did_you_mean

M = TypeVar("M", bound=BaseModel)

MOST = 20_000
"""Values in one document, aliases counted each time that they are used."""
DEEPEST = 20
"""Levels of nesting in one document."""

KINDS = {
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "bool": "true or false",
    "dict": "a mapping (lines of `key: value`)",
    "model": "a mapping (lines of `key: value`)",
    "tuple": "a list",
    "list": "a list",
}
LIMITS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def checked(model: type[M], data: Mapping[str, Any], where: str) -> M:
    """The data as this model, types taken strictly (no text for numbers, no numbers for true).

    `where` opens the message, e.g. the file's name. Raises `MootError`.
    """
    plain(data, where)
    try:
        # As JSON, since only then strict means: lists for tuples yes, text for numbers no.
        return model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise MootError(f"{where}: {explained(error, model, data)}") from None
    except MootError as error:
        raise MootError(f"{where}: {error}") from None


def plain(data: object, where: str) -> None:
    """Refuse what JSON cannot say: dates, keys that are no text, numbers that are not finite, and
    documents that are huge once their aliases are written out. Raises `MootError`."""
    waiting: list[tuple[object, tuple[str, ...]]] = [(data, ())]
    count = 0
    while waiting:
        value, path = waiting.pop()
        count += 1
        here = ".".join((*path[:6], "...") if len(path) > 6 else path)
        if count > MOST:
            raise MootError(f"{where}: more than {MOST} values; is an alias (&, *) repeated?")
        if len(path) > DEEPEST:
            raise MootError(f"{where}: {here}: nested more than {DEEPEST} levels deep")
        if isinstance(value, dict):
            for key, inner in cast(dict[object, object], value).items():
                if not isinstance(key, str):
                    at = f"{here}: " if here else ""
                    raise MootError(f"{where}: {at}key {key!r} is not text; put it in quotes")
                waiting.append((inner, (*path, key)))
        elif isinstance(value, list | tuple):
            items = cast(Sequence[object], value)
            waiting += [(inner, (*path, str(i))) for i, inner in enumerate(items)]
        elif isinstance(value, float) and not math.isfinite(value):
            raise MootError(f"{where}: {here}: got {value}, want a finite number")
        elif not isinstance(value, str | int | float | bool | None):
            raise MootError(
                f"{where}: {here}: got {value}, a {type(value).__name__}; put text in quotes"
            )


def explained(error: ValidationError, model: type[BaseModel], data: object) -> str:
    """The first error in words: `roles.ann.values.food: got -3, want a number >= 0`."""
    found = error.errors(include_url=False)
    # A misspelt key also leaves another one missing: name the one that was typed.
    first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
    path = _path(first, data)
    where = ".".join(path)
    if first["type"] == "value_error":
        said = first["msg"].removeprefix("Value error, ")
        return said if not where else f"{where}: {said}"
    if first["type"] == "extra_forbidden":
        inside = ".".join(path[:-1])
        hint = did_you_mean(path[-1], _fields(model, path[:-1]))
        return f"{f'{inside}: ' if inside else ''}unknown key {path[-1]!r}; {hint}"
    if first["type"] == "missing":
        what = _description(model, path)
        return f"{where}: missing{f' ({what})' if what else ''}"
    # The branches of a union err together; a number of either kind is `a number`.
    same = [e["type"] for e in found if _path(e, data) == path]
    kind = next((t for t in same if t.startswith("float")), first["type"])
    return f"{where}: got {_shown(first['input'])}, want {_wanted(kind, first)}"


def _path(error: ErrorDetails, data: object) -> list[str]:
    """The place in the document; pydantic adds names of union branches, which the document lacks."""
    path: list[str] = []
    for part in error["loc"]:
        if isinstance(data, dict) and part in data:
            data = cast(dict[object, object], data)[part]
        elif isinstance(data, list | tuple) and isinstance(part, int):
            items = cast(Sequence[object], data)
            data = items[part] if part < len(items) else None
        elif error["type"] != "missing":
            break
        path.append(str(part))
    return path


def _wanted(kind: str, error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if kind == "literal_error":
        return str(context["expected"])
    for name, sign in LIMITS.items():
        if name in context:
            return f"a number {sign} {context[name]:g}"
    if kind == "string_too_short":
        return "some text"
    if kind in ("too_short", "too_long"):
        bound = context.get("min_length", context.get("max_length"))
        return f"{'at least' if kind == 'too_short' else 'at most'} {bound} of them"
    return KINDS.get(kind.split("_")[0], error["msg"])


def _shown(value: object) -> str:
    """As it might stand in YAML, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _models(annotation: object) -> list[type[BaseModel]]:
    """Models named anywhere in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for inner in get_args(annotation) for m in _models(inner)]


def _inside(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel] | None:
    """The model that the mapping at this path is; None where it is a free mapping."""
    while path:
        field = model.model_fields.get(path[0])
        inner = _models(field.annotation) if field is not None else []
        if field is None or not inner:
            return None
        # In `roles: dict[str, Role]` the next part is a key of the user's own.
        free = get_origin(field.annotation) in (dict, list, tuple)
        model, path = inner[0], path[2 if free else 1 :]
    return model


def _fields(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    inside = _inside(model, path)
    return [] if inside is None else list(inside.model_fields)


def _description(model: type[BaseModel], path: Sequence[str]) -> str:
    inside = _inside(model, path[:-1])
    field = inside.model_fields.get(path[-1]) if inside is not None else None
    return ((field.description if field is not None else None) or "").rstrip(".")
