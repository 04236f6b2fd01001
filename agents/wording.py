"""Words to go with a decision: natural, varied, short, and true of the content.

`words` picks a template (`phrases.py`) by a hashed number, fills it with phrases made from the content,
and leaves the text empty when nothing fits into `max_text`. The words repeat what the typed content
says; they never hold information of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ..protocols import Act, Content, Observation
from . import phrases

MASS = frozenset({"food", "water", "firewood", "wood", "gold", "money", "time", "rice", "bread"})
"""Nouns that are not put in the plural."""
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def words(
    observation: Observation, act: Act, content: Content | Mapping[str, Any] | None, chance: int
) -> str:
    """Text of at most `observation.max_text` characters for this act and content; maybe empty."""
    text = _items(observation, act, content, chance)
    if len(text) <= observation.max_text:
        return text
    return ""


def pick(templates: Sequence[str], chance: int) -> str:
    return templates[chance % len(templates)]


def fill(templates: Sequence[str], chance: int, **parts: str) -> str:
    """One template with its braces filled; starts with a capital."""
    text = templates[chance % len(templates)].format_map(parts)
    return text[0].upper() + text[1:]


def field(content: Content | Mapping[str, Any] | None, name: str) -> Any:
    """A field of a content by name, be it a model or a dict."""
    return content[name] if isinstance(content, Mapping) else getattr(content, name)


def listed(parts: Sequence[str]) -> str:
    """a, b and c"""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


@lru_cache(maxsize=4096)
def plural(kind: str) -> str:
    if kind in MASS or kind.endswith("s") or " " in kind:
        return kind
    if kind.endswith(("x", "ch", "sh")):
        return kind + "es"
    if kind.endswith("y") and kind[-2:-1] not in "aeiou":
        return kind[:-1] + "ies"
    return kind + "s"


@lru_cache(maxsize=65536)
def some(kind: str, count: int, total: int, style: int) -> str:
    """`count` of `total` things: "2 hats", "two hats" or, when it is all of them, "both hats"."""
    noun = kind if count == 1 else plural(kind)
    if style == 0 and count == total:
        if kind in MASS:
            return f"all the {kind}"
        return f"the {kind}" if count == 1 else f"{'both' if count == 2 else f'all {count}'} {noun}"
    if style == 1 and count < len(NUMBERS):
        return f"{NUMBERS[count]} {noun}"
    return f"{count} {noun}"


def pile(counts: Mapping[str, int], items: Mapping[str, int], style: int) -> str:
    """What lies in a pile, e.g. "the book and 2 hats"; "nothing" when it is empty."""
    parts = [some(k, n, items[k], style) for k, n in counts.items() if n]
    return listed(parts) if parts else "nothing"


def _items(
    observation: Observation, act: Act, content: Content | Mapping[str, Any] | None, chance: int
) -> str:
    items: Mapping[str, int] = observation.public["items"]
    chance, style = divmod(chance, 3)
    chance, opener = divmod(chance, 8)
    if act is Act.PROPOSE:
        return _split(observation, items, field(content, "take"), chance, style, opener)
    if act is Act.INFORM:
        if content is None:
            return pick(phrases.TALK, chance)
        heard = observation.heard
        asked = heard and heard[-1].act is Act.QUERY_REF
        lead = phrases.ANSWERS[opener] if asked else ""
        text = lead + _values(field(content, "values"), chance)
        if len(text) <= observation.max_text:
            return text
        return fill(phrases.TELL_ITEMS_SHORT, chance, best=_best(field(content, "values")))
    if act is Act.QUERY_REF:
        return fill(phrases.ASK_ITEMS, chance, kinds=listed([plural(k) for k in items]))
    if act is Act.ACCEPT_PROPOSAL:
        standing = observation.standing
        if opener < 5 or standing is None or standing.content is None:
            return pick(phrases.ACCEPT, chance)
        rest: Mapping[str, int] = field(standing.content, "take")
        mine = {k: n - rest[k] for k, n in items.items()}
        return fill(
            phrases.ACCEPT_SPLIT, chance,
            mine=pile(mine, items, style), rest=pile(rest, items, style),
        )  # fmt: skip
    return pick(phrases.REJECT if act is Act.REJECT_PROPOSAL else phrases.LEAVE, chance)


def _split(
    observation: Observation,
    items: Mapping[str, int],
    take: Mapping[str, int],
    chance: int,
    style: int,
    opener: int,
) -> str:
    mine = pile(take, items, style)
    rest = pile({k: n - take[k] for k, n in items.items()}, items, style)
    templates = phrases.SPLIT
    if rest == "nothing":
        templates = phrases.SPLIT_ALL
    elif mine == "nothing":
        templates = phrases.SPLIT_NONE
    text = fill(templates, chance, mine=mine, rest=rest)
    standing = observation.standing
    counter = standing is not None and standing.sender != observation.agent
    whole = (phrases.COUNTERS if counter else phrases.OPENERS)[opener] + text
    if len(whole) <= observation.max_text:
        return whole
    return text if len(text) <= observation.max_text else f"{mine} for me."


def _values(values: Mapping[str, int], chance: int) -> str:
    return fill(
        phrases.TELL_ITEMS, chance,
        pairs=", ".join([f"{k} {v}" for k, v in values.items()]),
        rates=listed([f"{v} per {k}" for k, v in values.items()]),
        best=_best(values),
    )  # fmt: skip


def _best(values: Mapping[str, int]) -> str:
    most = max(values.values())
    return listed([plural(k) for k, v in values.items() if v == most])
