"""Spaces in words: what an agent sees as text, what it may do as a JSON Schema.

Works on the spaces of Gymnasium by their attributes alone, so nothing is imported. Numbers are rounded
to three decimals, in text and data alike: what is told in data stands in the text. A `Describer` words
one environment better than its spaces can (`describers.py` holds those that ship). Actions of several
numbers (MultiDiscrete, MultiBinary, Box) are an object with a name for each. Left out: images and
anything above `MOST` numbers; give such an environment a describer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ..protocols import MootError
from ..protocols.schemas import closed

MOST = 600
"""Numbers in one view that are still written out."""
DIGITS = 3
PLAIN = frozenset({str, int, bool, type(None)})
"""Types of what is JSON as it is."""


@dataclass(frozen=True, kw_only=True)
class Describer:
    """The words for one environment; whatever is left out is worded from its spaces."""

    about: str = ""
    """What it is about, for everyone."""
    look: Callable[[Any], str] | None = None
    """A view, made `plain`, in words: all that it holds."""
    state: Callable[[Any], Any] | None = None
    """All that the unwrapped environment holds, for advisers; may be anything that `plain` takes."""
    whole: Callable[[Any], str] | None = None
    """That state, made `plain`, in words; without it, as `worded` has it."""
    acts: Sequence[str] = ()
    """Names of discrete actions, by number."""
    parts: Sequence[str] = ()
    """Names of the numbers of an action that has several."""
    names: Sequence[str] = ()
    """Names of the numbers of a flat view."""


def plain(view: Any) -> Any:
    """A view as JSON: arrays as lists, numbers rounded, keys as text."""
    if type(view) in PLAIN:  # by far the most; to ask whether it is a mapping takes long
        return view
    if isinstance(view, tuple | list):
        return [plain(v) for v in cast(Sequence[Any], view)]
    if isinstance(view, Mapping):
        items = cast(Mapping[Any, Any], view).items()
        return {str(k): plain(v) for k, v in items if k != "action_mask"}
    kind = getattr(getattr(view, "dtype", None), "kind", "")
    if kind == "f":  # an array is rounded as a whole: one number at a time takes longer than a game
        rounded = (view.astype(float).round(DIGITS) + 0.0).tolist()
        return rounded if (view == view).all() else _rounded(rounded)
    if kind in ("i", "u", "b"):
        return view.tolist()
    return _rounded(view.tolist() if hasattr(view, "tolist") else view)


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(v) for v in cast(list[Any], value)]
    if isinstance(value, float):
        return round(value, DIGITS) + 0.0 if value == value else None  # no minus zero, no NaN
    return value if isinstance(value, int | str | bool | None) else str(value)


def worded(view: Any, names: Sequence[str] = ()) -> str:
    """A view from `plain` in words; grids row by row, numbers by their names."""
    if isinstance(view, dict):
        fields = cast(dict[str, Any], view)
        parts = [f"{k}{':' if _flat(v) else ''} {worded(v)}" for k, v in fields.items()]
        return "; ".join(p for p in parts if p)
    if not isinstance(view, list):
        return short(view) if isinstance(view, float) else str(view)
    items = cast(list[Any], view)
    if not any(isinstance(i, list) for i in items):
        if len(names) == len(items):
            return ", ".join(f"{n} {worded(v)}" for n, v in zip(names, items, strict=True))
        return " ".join(map(worded, items))
    if all(_flat(i) for i in items):
        return " / ".join(map(worded, items))
    return "; ".join(f"[{i}] {worded(v)}" for i, v in enumerate(items))


def short(number: float) -> str:
    """A number with three decimals at most, and no more zeros than it needs."""
    if -1000 < number < 1000:
        return f"{round(number, DIGITS) + 0.0:g}"
    return f"{number:.{DIGITS}f}".rstrip("0").rstrip(".")


def _flat(view: Any) -> bool:
    """Whether a view is one value or one row."""
    if isinstance(view, list):
        return not any(isinstance(v, list | dict) for v in cast(list[Any], view))
    return not isinstance(view, dict)


def size(view: Any) -> int:
    """How many values a view from `plain` holds."""
    if isinstance(view, dict):
        return sum(map(size, cast(dict[str, Any], view).values()))
    if isinstance(view, list):
        return sum(map(size, cast(list[Any], view)))
    return 1


class Actions:
    """The actions of one space, as schema and as the values that the space wants.

    Raises `MootError` for a space that is none of Discrete, MultiDiscrete, MultiBinary and Box.
    """

    def __init__(self, space: Any, describer: Describer) -> None:
        self._space = space
        self._kind = type(space).__name__
        self._single = self._kind == "Discrete"
        parts: list[Any]
        if self._kind == "Discrete":
            parts = [range(int(space.start), int(space.start) + int(space.n))]
        elif self._kind == "MultiDiscrete":
            starts = plain(getattr(space, "start", [0] * len(space.nvec)))
            sizes = cast(list[int], plain(space.nvec))
            if any(isinstance(n, list) for n in sizes):
                raise MootError(f"action space {space}: more than one row of choices")
            parts = [range(s, s + n) for s, n in zip(cast(list[int], starts), sizes, strict=True)]
        elif self._kind == "MultiBinary":
            parts = [range(2)] * int(space.n)
        elif self._kind == "Box":
            bounds = zip(space.low.ravel().tolist(), space.high.ravel().tolist(), strict=True)
            parts = [_range(low, high, space.dtype.kind in "iu") for low, high in bounds]
        else:
            raise MootError(
                f"action space {space}: want Discrete, MultiDiscrete, MultiBinary or Box; wrap it"
            )
        if not self._single and len(parts) > 64:
            raise MootError(f"action space {space}: {len(parts)} numbers in one action, at most 64")
        if self._single:
            acts = list(describer.acts)
            self.values: list[Any] = acts if len(acts) == len(parts[0]) else list(parts[0])
            self._number = dict(zip(self.values, parts[0], strict=True))
            return
        named = len(describer.parts) == len(parts)
        names = list(describer.parts) if named else [str(i) for i in range(len(parts))]
        fields = {
            name: {"enum": list(part)} if isinstance(part, range) else part
            for name, part in zip(names, parts, strict=True)
        }
        self._schema: dict[str, Any] = closed(fields)

    def schema(self, mask: Sequence[bool] | None = None) -> dict[str, Any]:
        """JSON Schema of the actions that the mask (of discrete ones) leaves."""
        if not self._single:
            return self._schema
        if mask is None or len(mask) != len(self.values):
            return {"enum": self.values}
        return {"enum": [v for v, legal in zip(self.values, mask, strict=True) if legal]}

    def value(self, action: Any) -> Any:
        """What the space calls an action that the schema allows."""
        if self._single:
            return self._number[action]
        import numpy as np

        chosen = [action[name] for name in self._schema["properties"]]
        array = np.asarray(chosen, dtype=self._space.dtype).reshape(self._space.shape)
        if self._kind == "Box":  # a bound that float32 cannot hold is rounded to beside it
            array = np.clip(array, self._space.low, self._space.high)
        return array

    def phrase(self) -> str:
        """The actions in words, for a prompt."""
        if self._single:
            shown = self.values
            if len(shown) > 12 and isinstance(shown[0], int):
                return f"{shown[0]} to {shown[-1]}"
            return ", ".join(map(str, shown))
        return "; ".join(f"{n}: {_bounds(s)}" for n, s in self._schema["properties"].items())


def _range(low: float, high: float, whole: bool) -> dict[str, Any]:
    """A number between bounds; an infinite one is no bound."""
    schema: dict[str, Any] = {"type": "integer" if whole else "number"}
    if abs(low) != float("inf"):
        schema["minimum"] = low
    if abs(high) != float("inf"):
        schema["maximum"] = high
    return schema


def _bounds(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None or high is None:
        return "any number"
    return f"{low:g} to {high:g}"
