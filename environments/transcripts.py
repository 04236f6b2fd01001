"""Data files: scenarios that agents can play, and human dialogues as episodes to be scored alike.

One JSON object a line, plain or gzipped: `{"id", "scenario": {"domain", ..., "private": {agent: {...}}},
"agents", "turns": [{"speaker", "text", "act"?, "data"?}], "outcome": {"status", ...}}`; and the bare
`selfplay.txt` of Deal or No Deal, two lines a scenario. What an outcome is worth is computed here by
the world's own code; where the file tells scores too, they must agree.

Human talk keeps to no protocol: a turn's `state` is "", nothing is judged, people may speak twice in a
row. Left out: strategy labels, words on buttons ("Submit-Deal"), advertisements' descriptions.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from math import isclose
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..protocols import Act, Content, Ended, Message, MootError, did_you_mean
from .episode import Episode, Turn
from .journal import failed
from .records import first_error
from .scenario import ProtocolChoice, Scenario
from .world import Outcome
from .worlds.item_division import ItemDivision, ItemRole, ItemScenario, Split
from .worlds.price_bargaining import Price, PriceBargaining, PriceRole, PriceScenario

DEADLINE = 10
MOST_PRICES = 200
KINDS = ("book", "hat", "ball")
SELECTION = "select"
ACTS = {
    "offer": Act.PROPOSE,
    "submit_deal": Act.PROPOSE,
    "accept": Act.ACCEPT_PROPOSAL,
    "accept_deal": Act.ACCEPT_PROPOSAL,
    "reject": Act.REJECT_PROPOSAL,
    "reject_deal": Act.REJECT_PROPOSAL,
    "walk_away": Act.CANCEL,
    "quit": Act.CANCEL,
}
STATUS = {
    "agree": Ended.AGREED,
    "walk_away": Ended.WALKED_AWAY,
    "quit": Ended.WALKED_AWAY,
    "disagree": Ended.NO_DEAL,
    "no_agreement": Ended.NO_DEAL,
    "no_deal": Ended.NO_DEAL,
    "disconnect": Ended.NO_DEAL,
    "reject": Ended.NO_DEAL,
}


class HumanTurn(BaseModel):
    """One turn of a dialogue; `act` is a list where it holds labels by annotators."""

    speaker: str
    text: str
    act: str | list[str] | None = None
    data: dict[str, Any] | None = None


class Record(BaseModel):
    """One line of a data file."""

    id: str
    scenario: dict[str, Any]
    agents: tuple[str, ...]
    turns: tuple[HumanTurn, ...]
    outcome: dict[str, Any]


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


def is_transcripts(path: Path) -> bool:
    """Whether the file's first line looks like a dialogue of this schema (not a recorded episode)."""
    try:
        first = json.loads(next(_lines(path))[1])
    except (MootError, StopIteration, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and "turns" in first and "ended" not in first


def load_scenarios(path: str | Path, deadline: int | None = DEADLINE) -> list[Scenario]:
    """The scenarios of a data file, in its order, played by alternating offers.

    `source` is the id in the file. Raises `MootError` naming the line for anything that is not one.
    """
    path = Path(path)
    if path.suffix == ".txt":
        return list(_selfplay(path, deadline))
    return [_scenario(path, n, record, deadline) for n, record in _records(path)]


def load_transcripts(path: str | Path) -> Iterator[Episode]:
    """The human dialogues of a data file as episodes, one after the other as they are read.

    Raises `MootError` naming the line for anything that is not one.
    """
    path = Path(path)
    for index, (number, record) in enumerate(_records(path)):
        scenario = _scenario(path, number, record, None)
        if "status" not in record.outcome:
            raise MootError(
                f"{path}: line {number} holds a scenario without a dialogue; let agents play it: "
                f"moot simulate --data {path}"
            )
        yield _episode(path, number, index, scenario, record)


def _episode(path: Path, number: int, index: int, scenario: Scenario, record: Record) -> Episode:
    status = str(record.outcome["status"])
    if status not in STATUS:
        raise _wrong(path, number, f"outcome.status {status!r}: {did_you_mean(status, STATUS)}")
    ended = STATUS[status]
    messages: list[Message] = []
    try:
        for turn in record.turns:
            if turn.act != SELECTION:
                messages.append(_message(record, turn, messages))
        outcome = _outcome(scenario, record) if ended is Ended.AGREED else _close(scenario, None)
    except (ValueError, KeyError) as e:
        why = f"{e} is missing" if isinstance(e, KeyError) else str(e)
        raise _wrong(path, number, why) from None
    return Episode(
        id=index,
        seed=0,
        scenario=scenario,
        turns=tuple(Turn(agent=m.sender, state="", message=m) for m in messages),
        ended=ended,
        why="" if ended is Ended.AGREED else status,
        outcome=outcome,
    )


def _message(record: Record, turn: HumanTurn, before: list[Message]) -> Message:
    if turn.speaker not in record.agents:
        raise ValueError(f"turns: speaker {turn.speaker!r} is none of {', '.join(record.agents)}")
    act, content, text, answers = Act.INFORM, None, turn.text, None
    if isinstance(turn.act, str):
        if turn.act not in ACTS:
            known = [*ACTS, SELECTION]
            raise ValueError(f"turns: act {turn.act!r}: {did_you_mean(turn.act, known)}")
        act, text = ACTS[turn.act], ""
        content = _offer(turn.data or {}) if act is Act.PROPOSE else None
        offers = [m.id for m in before if m.act is Act.PROPOSE and m.sender != turn.speaker]
        answers = offers[-1] if offers else None
    return Message(
        id=len(before),
        conversation=record.id,
        sender=turn.speaker,
        receivers=tuple(a for a in record.agents if a != turn.speaker),
        act=act,
        content=content,
        text=text,
        in_reply_to=answers,
    )


def _offer(data: dict[str, Any]) -> Content | None:
    """None where an offer was made whose price is not on record."""
    if "self" in data:
        return Split(take=data["self"])
    return None if data["price"] is None else Price(price=_whole(data["price"]))


def _outcome(scenario: Scenario, record: Record) -> Outcome:
    """What the agreement is worth, checked against the scores on record."""
    told = record.outcome
    deal = told["price"] if isinstance(scenario, PriceScenario) else told["allocation"]
    if deal is None:
        # People agreed, but on what is not on record: completed, its worth unknown (not zero).
        return Outcome(completed=True, utilities={})
    outcome = _close(scenario, deal)
    scores = told.get("scores") or {
        a: told[f"{a}_utility"] for a in record.agents if f"{a}_utility" in told
    }
    for agent, score in scores.items():
        found = outcome.utilities[agent]
        if not isclose(found, score, abs_tol=2e-3, rel_tol=1e-3):
            raise ValueError(
                f"outcome: {agent} is said to have {score:g}, the deal gives {found:g}"
            )
    return outcome


def _close(scenario: Scenario, deal: Any) -> Outcome:
    if isinstance(scenario, PriceScenario):
        return PriceBargaining.close(scenario, None if deal is None else _whole(deal))
    assert isinstance(scenario, ItemScenario)
    return ItemDivision.close(scenario, deal)


def _scenario(path: Path, number: int, record: Record, deadline: int | None) -> Scenario:
    domain = record.scenario.get("domain")
    make = DOMAINS.get(str(domain))
    if make is None:
        hint = did_you_mean(str(domain), DOMAINS)
        raise MootError(f"{path}: line {number}: no world here plays domain {domain!r}; {hint}")
    try:
        return make(record, _protocol(deadline))
    except ValidationError as e:
        raise _wrong(path, number, f"scenario: {first_error(e)}") from None
    except KeyError as e:
        raise _wrong(path, number, f"scenario.private: {e} is missing") from None


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
    middle = _whole((listed + hoped) / 2)
    return PriceScenario(
        name=data.domain,
        protocol=protocol,
        item=data.item.title,
        low=0,
        high=-int(-listed // tick) * tick,
        tick=tick,
        list_price=_whole(listed),
        no_zone=True,
        roles={
            agent: PriceRole(reserve=middle, target=_whole(data.private[agent].target))
            for agent in record.agents
        },
        source=record.id,
    )


DOMAINS = {"item_division": _items, "campsite_negotiation": _items, "price_bargaining": _prices}


def _round_steps() -> Iterator[int]:
    """1, 2, 5, 10, 20, 50, ..."""
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10


def _whole(price: float) -> int | float:
    return price if price % 1 else int(price)


def _selfplay(path: Path, deadline: int | None) -> Iterator[Scenario]:
    """Two lines a scenario, one per agent: `count value` for book, hat and ball."""
    sides: list[list[int]] = []
    for number, line in _lines(path):
        words = line.decode("utf-8", "replace").split()
        if len(words) != 2 * len(KINDS) or not all(re.fullmatch(r"\d+", w) for w in words):
            raise _wrong(path, number, f"want six counts and values, got {' '.join(words)[:60]!r}")
        sides.append([int(w) for w in words])
        if len(sides) % 2:
            continue
        one, two = sides[-2:]
        counts: dict[str, int] = dict(zip(KINDS, two[::2], strict=True))
        if one[::2] != two[::2]:
            raise _wrong(path, number, f"counts {two[::2]} differ from the line before: {one[::2]}")
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
            raise _wrong(path, number, first_error(e)) from None
    if len(sides) % 2:
        raise MootError(f"{path}: {len(sides)} lines; the last one has no partner")


def _records(path: Path) -> Iterator[tuple[int, Record]]:
    for number, line in _lines(path):
        try:
            yield number, Record.model_validate_json(line)
        except ValidationError as e:
            raise _wrong(path, number, first_error(e)) from None


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line) without the blank ones. Raises `MootError` when there is none at all."""
    empty = True
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    empty = False
                    yield number, line
    except FileNotFoundError:
        raise MootError(f"{path} does not exist") from None
    except (gzip.BadGzipFile, zlib.error, EOFError) as e:
        raise MootError(f"{path} is damaged or no gzip file: {e}", usage=False) from None
    except OSError as e:
        raise failed(e, f"cannot read {path}") from None
    if empty:
        raise MootError(f"{path} is empty: want one JSON object a line")


def _wrong(path: Path, number: int, why: str) -> MootError:
    return MootError(f"{path}: line {number}: {why}")
