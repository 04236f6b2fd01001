"""Data files as scenarios: real negotiations whose private values agents can be given.

One JSON object a line, plain or gzipped: `{"id", "scenario": {"domain", ..., "private": {agent: {...}}},
"agents", "turns": [{"speaker", "text", "act"?, "data"?}], "outcome": {...}}`; and the bare `selfplay.txt`
of Deal or No Deal, two lines a scenario. The dialogues in them are read by `transcripts.py`. Left out:
the descriptions in advertisements (other people's words), pictures, who the crowd workers were.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from ..protocols import MootError, did_you_mean
from ..protocols.counted import counted
from .italian import Target, italian_lesson
from .journal import lines
from .records import first_error
from .retail import is_retail, retail_scenarios
from .scenario import ProtocolChoice, Scenario
from .worlds.friends_scenario import FriendsRole, FriendsScenario
from .worlds.item_division import ItemRole, ItemScenario
from .worlds.kitchen_scenario import load_layout
from .worlds.multi_scenario import MultiScenario, PartyRole, Points
from .worlds.price_bargaining import PriceRole, PriceScenario

DEADLINE = 10
MOST_PRICES = 200
KINDS = ("book", "hat", "ball")


class TurnData(BaseModel):
    """What was offered: counts for either side, or a price (null where it is not on record)."""

    own: dict[str, int] | None = Field(default=None, alias="self")
    price: float | None = None


class HumanTurn(BaseModel):
    """One turn of a dialogue; `act` is a list where it holds labels by annotators."""

    speaker: str
    text: str
    act: str | list[str] | None = None
    data: TurnData | None = None


class Told(BaseModel):
    """`outcome`: how it ended and, to be checked against, what it was worth."""

    status: str | None = None
    allocation: dict[str, dict[str, int]] | None = None
    price: float | None = None
    scores: dict[str, float] = {}
    seller_utility: float | None = None
    buyer_utility: float | None = None


class Record(BaseModel):
    """One line of a data file. Fields that are not read here are let through."""

    id: str
    scenario: dict[str, Any]
    agents: tuple[str, ...]
    turns: tuple[HumanTurn, ...]
    outcome: Told


class ItemSide(BaseModel):
    values: dict[str, float]
    reasons: dict[str, str] = {}
    priority: dict[str, str] = {}


class ItemData(BaseModel):
    """`scenario` of the domains item_division and campsite_negotiation."""

    domain: str
    counts: dict[str, int]
    private: dict[str, ItemSide]
    walk_away_points: float = 0.0


class PriceSide(BaseModel):
    target: float


class PriceItem(BaseModel):
    title: str
    list_price: float


class PriceData(BaseModel):
    """`scenario` of the domain price_bargaining."""

    domain: str
    item: PriceItem
    private: dict[str, PriceSide]


class FriendsSide(BaseModel):
    friends: tuple[dict[str, str], ...]


class FriendsData(BaseModel):
    """`scenario` of the domain mutual_friend."""

    domain: str
    attributes: tuple[str, ...]
    private: dict[str, FriendsSide]


class PartySide(BaseModel):
    """`role` is p1 (proposes first) or p2, both with a veto, else player."""

    role: str
    scores: dict[str, dict[str, Points]]
    min_threshold: Points
    instructions_template: str = ""


class PartyData(BaseModel):
    """`scenario` of the domain multi_party_multi_issue."""

    game: str
    global_instructions: str = ""
    private: dict[str, PartySide]


class LessonSide(BaseModel):
    """What the tutor knows."""

    target: Target


class LessonPrivate(BaseModel):
    """The student's side is empty: what it knows is read from what it said."""

    tutor: LessonSide


class LessonData(BaseModel):
    """`scenario` of the domain tutoring_italian."""

    domain: str
    private: LessonPrivate


def load_scenarios(path: str | Path, deadline: int | None = DEADLINE) -> list[Scenario]:
    """The scenarios of a data file, in its order, played by alternating offers; those of a folder or file
    of retail tasks (`retail.py`) by `service`, with a deadline of their own.

    `source` is the id in the file. Raises `MootError` naming the line for anything that is not one.
    """
    path = Path(path)
    if is_retail(path):
        return retail_scenarios(path)
    if path.suffix == ".layout":
        return [load_layout(path)]
    if path.suffix == ".txt":
        return list(_selfplay(path, deadline))
    return [scenario_from(path, n, record, deadline) for n, record in records(path)]


def scenario_from(path: Path, number: int, record: Record, deadline: int | None) -> Scenario:
    """The scenario of one record. Raises `MootError` when its domain has no world here."""
    domain = record.scenario.get("domain")
    make = DOMAINS.get(str(domain))
    if make is None:
        hint = did_you_mean(str(domain), DOMAINS)
        raise MootError(f"{path}: line {number}: no world here plays domain {domain!r}; {hint}")
    try:
        return make(record, _protocol(deadline))
    except ValidationError as e:
        raise wrong(path, number, f"scenario: {first_error(e)}") from None
    except KeyError as e:
        raise wrong(path, number, f"scenario.private: {e} is missing") from None


def _protocol(deadline: int | None) -> ProtocolChoice:
    return ProtocolChoice.model_validate({"name": "alternating_offers", "deadline": deadline})


def _items(record: Record, protocol: ProtocolChoice) -> Scenario:
    data = ItemData.model_validate(record.scenario)
    return ItemScenario(
        name=data.domain,
        protocol=protocol,
        items=data.counts,
        roles={
            agent: ItemRole(
                values=_ordered(data.counts, data.private[agent].values),
                no_deal=data.walk_away_points,
                brief=_reasons(data.private[agent]),
            )
            for agent in record.agents
        },
        source=record.id,
    )


def _ordered(counts: dict[str, int], values: dict[str, float]) -> dict[str, float]:
    """Values in the order of the items where they fit them; else as they are, for the world to refuse."""
    return {k: values[k] for k in counts} if counts.keys() == values.keys() else values


def _reasons(side: ItemSide) -> str:
    lines = [
        f"{side.priority[level]} ({level.lower()} priority): {reason}"
        for level, reason in side.reasons.items()
        if level in side.priority
    ]
    return "\n".join(lines)


def _prices(record: Record, protocol: ProtocolChoice) -> Scenario:
    """Both reserves lie midway between the list price and the buyer's target, as in the corpus, where
    the utility is 0. Agents bargain on a grid from 0 to the list price of at most `MOST_PRICES` round
    steps; where the midpoint is none of them, no price suits both (the game is zero-sum anyway)."""
    data = PriceData.model_validate(record.scenario)
    listed, hoped = data.item.list_price, data.private["buyer"].target
    tick = next(t for t in _round_steps() if listed / t <= MOST_PRICES)
    middle = whole((listed + hoped) / 2)
    return PriceScenario(
        name=data.domain,
        protocol=protocol,
        item=data.item.title,
        low=0,
        high=-int(-listed // tick) * tick,
        tick=tick,
        list_price=whole(listed),
        no_zone=True,
        roles={
            agent: PriceRole(reserve=middle, target=whole(data.private[agent].target))
            for agent in record.agents
        },
        source=record.id,
    )


def _parties(record: Record, protocol: ProtocolChoice) -> Scenario:
    """A scorable game: p1 speaks first; p1, p2 and all others but one must agree. As many turns for
    each as in a talk between two, in which an offer may be declined and nobody can break off."""
    data = PartyData.model_validate(record.scenario)
    seats = sorted(record.agents, key=lambda agent: data.private[agent].role != "p1")
    deadline: int | None = (protocol.model_extra or {})["deadline"]
    if deadline is not None:
        deadline = (deadline * len(seats) + 1) // 2
    rules = {"name": "stacked_offers", "deadline": deadline, "decline": True, "leave": False}
    first = data.private[seats[0]].scores
    return MultiScenario(
        name=data.game,
        protocol=ProtocolChoice.model_validate(rules),
        brief=data.global_instructions,
        issues={issue: tuple(options) for issue, options in first.items()},
        need=len(seats) - 1,
        veto=tuple(seat for seat in seats if data.private[seat].role in ("p1", "p2")),
        roles={
            seat: PartyRole(
                values=data.private[seat].scores,
                no_deal=data.private[seat].min_threshold,
                brief=_filled(data.private[seat]),
            )
            for seat in seats
        },
        source=record.id,
    )


def _friends(record: Record, protocol: ProtocolChoice) -> Scenario:
    """Twice the deadline of a negotiation: a question takes an answer."""
    data = FriendsData.model_validate(record.scenario)
    deadline: int | None = (protocol.model_extra or {})["deadline"]
    rules = {"name": "exchange", "deadline": None if deadline is None else 2 * deadline}
    return FriendsScenario(
        name=data.domain,
        protocol=ProtocolChoice.model_validate(rules),
        attributes=data.attributes,
        roles={agent: FriendsRole(rows=data.private[agent].friends) for agent in record.agents},
        source=record.id,
    )


def _lesson(record: Record, protocol: ProtocolChoice) -> Scenario:
    """A state of CIMA; its protocol and deadline are those of lessons."""
    data = LessonData.model_validate(record.scenario)
    said = [turn.text for turn in record.turns if turn.speaker == "student"]
    return italian_lesson(data.domain, record.id, data.private.tutor.target, said)


def _filled(side: PartySide) -> str:
    """The private words with their slots filled: #A1_NUM by the points of A1, #A_MAX_NUM by the most."""
    slots = {f"#{o}_NUM": p for options in side.scores.values() for o, p in options.items()}
    slots |= {f"#{issue}_MAX_NUM": max(o.values()) for issue, o in side.scores.items()}
    return re.sub(r"#\w+_NUM", lambda slot: f"{slots[slot[0]]:g}", side.instructions_template)


DOMAINS = {
    "item_division": _items,
    "campsite_negotiation": _items,
    "price_bargaining": _prices,
    "multi_party_multi_issue": _parties,
    "mutual_friend": _friends,
    "tutoring_italian": _lesson,
}


def _round_steps() -> Iterator[int]:
    """1, 2, 5, 10, 20, 50, ..."""
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10


def whole(price: float) -> int | float:
    return price if price % 1 else int(price)


def _selfplay(path: Path, deadline: int | None) -> Iterator[Scenario]:
    """Two lines a scenario, one per agent: `count value` for book, hat and ball."""
    sides: list[list[int]] = []
    for number, line in data_lines(path):
        words = line.decode("utf-8", "replace").split()
        if len(words) != 2 * len(KINDS) or not all(re.fullmatch(r"\d+", w) for w in words):
            raise wrong(path, number, f"want six counts and values, got {' '.join(words)[:60]!r}")
        sides.append([int(w) for w in words])
        if len(sides) % 2:
            continue
        one, two = sides[-2:]
        counts: dict[str, int] = dict(zip(KINDS, two[::2], strict=True))
        if one[::2] != two[::2]:
            raise wrong(path, number, f"counts {two[::2]} differ from the line before: {one[::2]}")
        try:
            yield ItemScenario(
                name="item_division",
                protocol=_protocol(deadline),
                items=counts,
                roles={
                    agent: ItemRole(values=dict(zip(KINDS, map(float, side[1::2]), strict=True)))
                    for agent, side in (("A", one), ("B", two))
                },
                source=f"{path.stem}-{len(sides) // 2 - 1}",
            )
        except ValidationError as e:
            raise wrong(path, number, e) from None
    if len(sides) % 2:
        raise MootError(f"{path}: {counted(len(sides), 'line')}; the last one has no partner")


def records(path: Path) -> Iterator[tuple[int, Record]]:
    for number, line in data_lines(path):
        try:
            yield number, Record.model_validate_json(line)
        except ValidationError as e:
            raise wrong(path, number, e) from None


def data_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line) without the blank ones. Raises `MootError` when there is none at all."""
    empty = True
    for number, line, _ in lines(path):
        if line.strip():
            empty = False
            yield number, line
    if empty:
        raise MootError(f"{path} is empty: want one JSON object a line")


def wrong(path: Path, number: int, why: str | ValidationError) -> MootError:
    """The error for a line that does not hold what it should."""
    return MootError(f"{path}: line {number}: {why if isinstance(why, str) else first_error(why)}")
