"""Words to go with a decision: natural, varied, short, and true of the content.

`words` picks templates (`phrases.py`) by a hashed number and fills them with phrases made from the
typed content; the words repeat what that says and never add to it. What does not fit into `max_text` is
said more briefly or not at all. Worlds that are not known here get words for the bare acts only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from ...protocols import Act, Observation
from . import phrases
from .bargaining import field, offered

Wording = Callable[[Observation, Act, object, int], Sequence[str]]
"""Texts for an act and its content, the best first, then shorter ones."""

MASS = frozenset({"food", "water", "firewood", "wood", "gold", "money", "time", "rice", "bread"})
"""Nouns that are not put in the plural."""
SHORT = 90
"""No opener is put before a text that would become longer than this."""
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def words(observation: Observation, act: Act, content: object, chance: int) -> str:
    """Text of at most `observation.max_text` characters for this act and content; maybe empty."""
    about = observation.about
    for text in WORLDS.get(about.world, _bare)(observation, act, content, chance):
        if len(text) <= about.max_text:
            return text
    return ""


def fill(templates: Sequence[str], chance: int, **parts: object) -> str:
    """One template with its braces filled, starting with a capital."""
    text = templates[chance % len(templates)]
    if parts:
        text = text.format_map(parts)
    return text[0].upper() + text[1:]


def listed(parts: Sequence[str]) -> str:
    """a, b and c"""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


@lru_cache(maxsize=4096)
def plural(kind: str) -> str:
    """Of an English noun, for the common endings."""
    if kind in MASS or kind.endswith("s") or not kind.isascii():
        return kind
    if kind.endswith(("x", "ch", "sh")):
        return kind + "es"
    if kind.endswith("y") and kind[-2:-1] not in "aeiou":
        return kind[:-1] + "ies"
    return kind + "s"


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


Counts = tuple[tuple[str, int], ...]
"""The pairs of a dict (kind -> how many), which a cache can keep."""


@lru_cache(maxsize=65536)
def piles(items: Counts, take: Counts, style: int) -> tuple[str, str]:
    """What is taken and what is left, e.g. "the book and 2 hats"; "nothing" for an empty pile."""
    taken = dict(take)
    left = {k: n - taken[k] for k, n in items}
    mine, rest = (
        [some(k, side[k], n, style) for k, n in items if side[k]] for side in (taken, left)
    )
    return listed(mine) if mine else "nothing", listed(rest) if rest else "nothing"


@lru_cache(maxsize=4096)
def splits(items: Counts, take: Counts, style: int) -> tuple[Sequence[str], str]:
    """Every way to word an offer, and a short one. Offers come again and again, words seldom do."""
    mine, rest = piles(items, take, style)
    templates = phrases.SPLIT
    if rest == "nothing":
        templates = phrases.SPLIT_ALL
    elif mine == "nothing":
        templates = phrases.SPLIT_NONE
    texts = [fill(templates, at, mine=mine, rest=rest) for at in range(len(templates))]
    return texts, f"{mine} for me."


def amount(value: float) -> str:
    """Money or points, as short as exact: 120, 12.5."""
    return f"{value:.12g}" if value % 1 else str(int(value))


def _bare(observation: Observation, act: Act, content: object, chance: int) -> Sequence[str]:
    """Words for acts alone; none where they would have to tell of a content."""
    templates = BARE.get(act)
    return () if templates is None or content is not None else (fill(templates, chance),)


BARE = {
    Act.ACCEPT_PROPOSAL: phrases.ACCEPT,
    Act.REJECT_PROPOSAL: phrases.REJECT,
    Act.CANCEL: phrases.LEAVE,
    Act.INFORM: phrases.TALK,
}


def _led(observation: Observation, chance: int, text: str, short: str) -> Sequence[str]:
    """An offer after an opener, if that stays short, and without; then the short form."""
    openers = phrases.OPENERS if offered(observation) is None else phrases.COUNTERS
    led = openers[chance % len(openers)] + text
    return led if len(led) <= SHORT else text, text, short


def _told(observation: Observation, chance: int, text: str) -> Sequence[str]:
    """Values, after an answer's opener if they were just asked for, and without."""
    heard = observation.heard
    if heard and heard[-1].act is Act.QUERY_REF:
        opener = phrases.ANSWERS[chance % len(phrases.ANSWERS)]
        if len(opener) + len(text) <= SHORT:
            return opener + text, text
    return (text,)


def _items(observation: Observation, act: Act, content: object, chance: int) -> Sequence[str]:
    """Item division."""
    items: Mapping[str, int] = observation.about.public["items"]
    chance, lead = divmod(chance, 8)
    chance, style = divmod(chance, 3)
    if act is Act.PROPOSE:
        take: Mapping[str, int] = field(content, "take")
        texts, short = splits(tuple(items.items()), tuple(take.items()), style)
        return _led(observation, lead, texts[chance % len(texts)], short)
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
        short = fill(phrases.TELL_SHORT, chance, best=best)
        return *_told(observation, lead, text), short
    if act is Act.QUERY_REF:
        kinds = listed([plural(k) for k in items])
        return fill(phrases.ASK_ITEMS, chance, kinds=kinds), fill(phrases.ASK_SHORT, chance)
    bare, standing = _bare(observation, act, content, chance), observation.standing
    if act is Act.ACCEPT_PROPOSAL and standing is not None and lead < 4:
        theirs: Mapping[str, int] = field(standing.content, "take")
        rest, mine = piles(tuple(items.items()), tuple(theirs.items()), style)
        return fill(phrases.ACCEPT_SPLIT, chance, mine=mine, rest=rest), *bare
    return bare


def _price(observation: Observation, act: Act, content: object, chance: int) -> Sequence[str]:
    """Price bargaining."""
    sells = observation.role == "seller"
    chance, lead = divmod(chance, 8)
    if act is Act.PROPOSE:
        price = amount(field(content, "price"))
        templates = phrases.SELL_AT if sells else phrases.BUY_AT
        return _led(observation, lead, fill(templates, chance, price=price), f"{price}?")
    if act is Act.INFORM and content is not None:
        limit = amount(field(content, "limit"))
        templates = phrases.TELL_SELLER if sells else phrases.TELL_BUYER
        return _told(observation, lead, fill(templates, chance, limit=limit))
    if act is Act.QUERY_REF:
        return (fill(phrases.ASK_BUYER if sells else phrases.ASK_SELLER, chance),)
    bare, standing = _bare(observation, act, content, chance), observation.standing
    if act is Act.ACCEPT_PROPOSAL and standing is not None and lead < 4:
        price = amount(field(standing.content, "price"))
        return fill(phrases.ACCEPT_PRICE, chance, price=price), *bare
    return bare


def _tasks(observation: Observation, act: Act, content: object, chance: int) -> Sequence[str]:
    """Task allocation."""
    if act is Act.PROPOSE:
        most: int = field(content, "most")
        room = NUMBERS[most] if most < len(NUMBERS) else most
        prices = ", ".join([f"{t} {p}" for t, p in field(content, "prices").items()])
        full = fill(phrases.BID, chance, prices=prices, most=room)
        return full, fill(phrases.BID_SHORT, chance, most=room)
    if content is not None and act in CONTRACT:
        full, brief = CONTRACT[act]
        return fill(full, chance, tasks=listed(field(content, "tasks"))), fill(brief, chance)
    if act in CONTRACT:
        return (fill(CONTRACT[act][0], chance),)
    return _bare(observation, act, content, chance)


def _deals(observation: Observation, act: Act, content: object, chance: int) -> Sequence[str]:
    """Multi-issue negotiation."""
    if act is Act.PROPOSE:
        deal: Mapping[str, str] = field(content, "deal")
        parts = [f"{issue} {option}" for issue, option in deal.items()]
        text = fill(phrases.DEAL, chance, deal=listed(parts))
        short = fill(phrases.DEAL_SHORT, chance)
        return (text, short) if len(text) <= SHORT else (short,)
    if act is Act.INFORM and content is not None:
        values: Mapping[str, Mapping[str, int]] = field(content, "values")
        issue = max(values, key=lambda name: max(values[name].values()))
        option = max(values[issue], key=values[issue].__getitem__)
        text = fill(phrases.TELL_ISSUES, chance, issue=issue, option=option)
        short = fill(phrases.TELL_ISSUES_SHORT, chance)
        return (text, short) if len(text) <= SHORT else (short,)
    if act is Act.QUERY_REF:
        return (fill(phrases.ASK_ISSUES, chance),)
    if act is Act.REFUSE:
        return (fill(phrases.DECLINE, chance),)
    return _bare(observation, act, content, chance)


CONTRACT = {
    Act.CFP: (phrases.CALL, phrases.CALL_SHORT),
    Act.ACCEPT_PROPOSAL: (phrases.GRANT, phrases.GRANT_SHORT),
    Act.INFORM: (phrases.REPORT, phrases.REPORT_SHORT),
    Act.REFUSE: (phrases.NO_BID, ()),
    Act.REJECT_PROPOSAL: (phrases.NO_GRANT, ()),
    Act.FAILURE: (phrases.FAIL, ()),
}
WORLDS: dict[str, Wording] = {
    "item_division": _items,
    "multi_issue": _deals,
    "price_bargaining": _price,
    "task_allocation": _tasks,
}
