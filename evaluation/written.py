"""JSON that every reader takes: a number that is not known (an infinity, a nan) is written as null.

Python's own writer says `Infinity` and `NaN`, which no browser and few other languages read. What reads the
file must then say what null means there. Left out: keys that are such numbers, which are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any, cast


def written(value: object, **how: Any) -> str:
    """`json.dumps` with its options, but null for what is not known."""
    try:
        return json.dumps(value, allow_nan=False, **how)
    except ValueError:  # rare, so only then is the value walked
        return json.dumps(known(value), allow_nan=False, **how)


def known(value: object) -> Any:
    """The value with None for every number that is not finite."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {k: known(v) for k, v in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [known(v) for v in cast("list[Any]", value)]
    return value
