"""Words to go with a decision: natural, varied, short, and true of the content.

`words` picks templates (`phrases.py`) by a hashed number and fills them with phrases made from the
typed content; the words repeat what that says and never add to it. What does not fit into `max_text` is
said more briefly or not at all. Worlds that are not known here get words for the bare acts only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from ..protocols import Act, Observation
from . import phrases
from .bargaining import field

Wording = Callable[[Observation, Act, object, int], Sequence[str]]
"""Texts for an act and its content, the best first, each shorter than the one before."""

MASS = frozenset({"food", "water", "firewood", "wood", "gold", "money", "time", "rice", "bread"})
"""Nouns that are not put in the plural."""
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def words(observation: Observation, act: Act, content: object, chance: int) -> str:
    """Text of at most `observation.max_text` characters for this act and content; maybe empty."""
    most = observation.max_text
    for text in WORLDS.get(observation.world, _bare)(observation, act, content, chance):
        if len(text) <= most:
            return text
    return ""


def fill(templates: Sequence[str], chance: int, **parts: object) -> str:
    """One template with its braces filled, starting with a capital."""
    text = templates[chance % len(templates)].format_map(parts)
    return text[0].upper() + text[1:]


def listed(parts: Sequence[str]) -> str:
    """a, b and c"""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


@lru_cache(maxsize=4096)
def plural(kind: str) -> str:
    """Of an English noun, for the common endings."""
    if kind in MASS or kind.endswith("s"):
        return kind
    if kind.endswith(("x", "ch", "sh")):
        return kind + "es"
    if kind.endswith("y") and kind[-2:-1] not in "aeiou":
        return kind[:-1] + "ies"
    return kind + "s"


@lru_cache(maxsize=65536)
def some(kind: str, count: int, total: int, style: int) -> str:
    """`count` of `total` things: "2 hats", "two hats" or, where it is all of them, "both hats"."""
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


def amount(value: float) -> str:
    """Money or points, as short as exact: 120, 12.5."""
    return f"{value:.12g}"


def _bare(observation: Observation, act: Act, content: object, chance: int) -> Sequence[str]:
    """Words for acts alone; none where they would have to tell of a content."""
    templates = {
        Act.ACCEPT_PROPOSAL: phrases.ACCEPT,
        Act.REJECT_PROPOSAL: phrases.REJECT,
        Act.CANCEL: phrases.LEAVE,
        Act.INFORM: phrases.TALK,
    }.get(act)
    return () if templates is None or content is not None else (fill(templates, chance),)


def _led(observation: Observation, act: Act, chance: int, text: str) -> Sequence[str]:
    """The text after an opener, and without."""
    if act is Act.INFORM:
        asked = observation.heard and observation.heard[-1].act is Act.QUERY_REF
        openers = phrases.ANSWERS if asked else phrases.NO_LEAD
    else:
        standing = observation.standing
        counter = standing is not None and standing.sender != observation.agent
        openers = phrases.COUNTERS if counter else phrases.OPENERS
    return openers[chance % len(openers)] + text, text


def _items(observation: Observation, act: Act, content: object, chance: int) -> Sequence[str]:
    """Item division."""
    items: Mapping[str, int] = observation.public["items"]
    chance, lead = divmod(chance, 8)
    chance, style = divmod(chance, 3)
    standing = observation.standing
    if act is Act.PROPOSE:
        take: Mapping[str, int] = field(content, "take")
        mine = pile(take, items, style)
        rest = pile({k: n - take[k] for k, n in items.items()}, items, style)
        kinds = phrases.SPLIT
        if rest == "nothing":
            kinds = phrases.SPLIT_ALL
        elif mine == "nothing":
            kinds = phrases.SPLIT_NONE
        text = fill(kinds, chance, mine=mine, rest=rest)
        return (*_led(observation, act, lead, text), f"{mine} for me.")
    if act is Act.INFORM and content is not None:
        values: Mapping[str, int] = field(content, "values")
        most = max(values.values())
        best = listed([plural(k) for k, v in values.items() if v == most])
        if style:
            pairs = ", ".join([f"{k} {v}" for k, v in values.items()])
            text = fill(phrases.TELL_PAIRS, chance, pairs=pairs, best=best)
        else:
            rates = listed([f"{v} per {k}" for k, v in values.items()])
            text = fill(phrases.TELL_RATES, chance, rates=rates, best=best)
        return (*_led(observation, act, lead, text), fill(phrases.TELL_SHORT, chance, best=best))
    if act is Act.QUERY_REF:
        ask = fill(phrases.ASK_ITEMS, chance, kinds=listed([plural(k) for k in items]))
        return ask, fill(phrases.ASK_SHORT, chance)
    if act is Act.ACCEPT_PROPOSAL and standing is not None and lead < 4:
        theirs: Mapping[str, int] = field(standing.content, "take")
        mine = pile({k: n - theirs[k] for k, n in items.items()}, items, style)
        text = fill(phrases.ACCEPT_SPLIT, chance, mine=mine, rest=pile(theirs, items, style))
        return text, fill(phrases.ACCEPT, chance)
    return _bare(observation, act, content, chance)


def _price(observation: Observation, act: Act, content: object, chance: int) -> Sequence[str]:
    """Price bargaining."""
    sells = observation.role == "seller"
    chance, lead = divmod(chance, 8)
    standing = observation.standing
    if act is Act.PROPOSE:
        price = amount(field(content, "price"))
        text = fill(phrases.SELL_AT if sells else phrases.BUY_AT, chance, price=price)
        return (*_led(observation, act, lead, text), f"{price}?")
    if act is Act.INFORM and content is not None:
        limit = amount(field(content, "limit"))
        text = fill(phrases.TELL_SELLER if sells else phrases.TELL_BUYER, chance, limit=limit)
        return _led(observation, act, lead, text)
    if act is Act.QUERY_REF:
        return (fill(phrases.ASK_BUYER if sells else phrases.ASK_SELLER, chance),)
    if act is Act.ACCEPT_PROPOSAL and standing is not None and lead < 4:
        price = amount(field(standing.content, "price"))
        return fill(phrases.ACCEPT_PRICE, chance, price=price), fill(phrases.ACCEPT, chance)
    return _bare(observation, act, content, chance)


def _tasks(observation: Observation, act: Act, content: object, chance: int) -> Sequence[str]:
    """Task allocation."""
    if act is Act.PROPOSE:
        most = NUMBERS[most] if (most := field(content, "most")) < len(NUMBERS) else most
        prices = ", ".join([f"{t} {p}" for t, p in field(content, "prices").items()])
        long = fill(phrases.BID, chance, prices=prices, most=most)
        return long, fill(phrases.BID_SHORT, chance, most=most)
    if content is not None:
        long, short = {
            Act.CFP: (phrases.CALL, phrases.CALL_SHORT),
            Act.ACCEPT_PROPOSAL: (phrases.GRANT, phrases.GRANT_SHORT),
            Act.INFORM: (phrases.REPORT, phrases.REPORT_SHORT),
        }[act]
        tasks = listed(field(content, "tasks"))
        return fill(long, chance, tasks=tasks), fill(short, chance)
    templates = {
        Act.REFUSE: phrases.NO_BID,
        Act.REJECT_PROPOSAL: phrases.NO_GRANT,
        Act.FAILURE: phrases.FAIL,
    }[act]
    return (fill(templates, chance),)


WORLDS: dict[str, Wording] = {
    "item_division": _items,
    "price_bargaining": _price,
    "task_allocation": _tasks,
}
