"""Human dialogues as episodes, so that people and agents are scored by the same code.

What an outcome is worth is computed by the world's own code; where the data file (`datafile.py`) tells
scores too, they must agree. Human talk keeps to no protocol: a turn's `state` is "", nothing is judged,
people may speak twice in a row. Left out: strategy labels, and the words on buttons ("Submit-Deal").
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import isclose
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from ..protocols import Act, Content, Ended, Message, MootError, did_you_mean
from .datafile import (
    HumanTurn,
    Record,
    Told,
    TurnData,
    data_lines,
    load_scenarios,
    records,
    scenario_from,
    whole,
    wrong,
)
from .episode import Episode, Turn
from .records import Run, read_episodes
from .scenario import Scenario
from .world import Outcome
from .worlds.item_division import ItemDivision, ItemScenario, Split
from .worlds.price_bargaining import Price, PriceBargaining, PriceScenario

__all__ = ["episodes_of", "is_transcripts", "load_scenarios", "load_transcripts"]

SELECTION = "select"
WANTED = "want the folder of a run, or a .jsonl file of dialogues"
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


def episodes_of(path: str | Path, notices: list[str] | None = None) -> Iterator[Episode]:
    """The episodes of a run folder, of an `episodes.jsonl`, or of a file of human dialogues.

    What was left out of a run (a torn last line) goes to `notices`. Raises `MootError` when it is
    none of these, and for damage.
    """
    path = Path(path)
    if path.suffix in (".yaml", ".yml"):
        raise MootError(f"{path} is a YAML file and holds no dialogues; {WANTED}")
    if path.is_dir():
        yield from Run.open(path).episodes(notices)
    elif "ended" in _first(path):
        yield from read_episodes(path, notices)
    else:
        yield from load_transcripts(path)


def is_transcripts(path: str | Path) -> bool:
    """Whether this is a file whose first line looks like a dialogue (not like a recorded episode)."""
    first = {} if Path(path).is_dir() else _first(Path(path))
    return "turns" in first and "ended" not in first


def _first(path: Path) -> dict[str, Any]:
    """The first line's JSON object; empty where there is none, for whoever reads on to complain."""
    try:
        first: object = json.loads(next(data_lines(path))[1])
    except (MootError, ValueError, RecursionError):
        return {}
    return cast(dict[str, Any], first) if isinstance(first, dict) else {}


def load_transcripts(path: str | Path) -> Iterator[Episode]:
    """The human dialogues of a data file as episodes, one after the other as they are read.

    Raises `MootError` naming the line for anything that is not one.
    """
    path = Path(path)
    for index, (number, record) in enumerate(records(path)):
        scenario = scenario_from(path, number, record, None)
        if record.outcome.status is None:
            raise MootError(
                f"{path}: line {number} holds a scenario without a dialogue; let agents play it: "
                f"data={str(path)!r} (moot simulate SCENARIO --data {path})"
            )
        try:
            yield _episode(index, scenario, record)
        except ValidationError as e:
            raise wrong(path, number, e) from None
        except ValueError as e:
            raise wrong(path, number, str(e)) from None


def _episode(index: int, scenario: Scenario, record: Record) -> Episode:
    status = record.outcome.status or ""
    if status not in STATUS:
        raise ValueError(f"outcome.status {status!r}: {did_you_mean(status, STATUS)}")
    ended = STATUS[status]
    messages: list[Message] = []
    for turn in record.turns:
        if turn.act != SELECTION:
            messages.append(_message(record, turn, messages))
    outcome = _outcome(scenario, record) if ended is Ended.AGREED else _close(scenario, None)
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
        content = _offer(turn.data) if act is Act.PROPOSE and turn.data else None
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


def _offer(data: TurnData) -> Content | None:
    """None where an offer was made whose price is not on record."""
    if data.own is not None:
        return Split(take=data.own)
    return None if data.price is None else Price(price=whole(data.price))


def _outcome(scenario: Scenario, record: Record) -> Outcome:
    """What the agreement is worth, checked against the scores on record."""
    told = record.outcome
    field = "price" if isinstance(scenario, PriceScenario) else "allocation"
    if field not in told.model_fields_set:
        raise ValueError(f"outcome: they agreed, but there is no {field}")
    if getattr(told, field) is None:
        # People agreed, but on what is not on record: completed, its worth unknown (not zero).
        return Outcome(completed=True, utilities={})
    outcome = _close(scenario, told)
    trade = {"seller": told.seller_utility, "buyer": told.buyer_utility}
    for agent, score in (*told.scores.items(), *trade.items()):
        found = outcome.utilities.get(agent)
        if score is None or found is None or isclose(found, score, abs_tol=2e-3, rel_tol=1e-3):
            continue
        raise ValueError(f"outcome: {agent} is said to have {score:g}, the deal gives {found:g}")
    return outcome


def _close(scenario: Scenario, told: Told | None) -> Outcome:
    """The outcome of the deal that is told, or of none."""
    if isinstance(scenario, PriceScenario):
        price = None if told is None or told.price is None else whole(told.price)
        return PriceBargaining.close(scenario, price)
    if not isinstance(scenario, ItemScenario):
        raise ValueError(f"dialogues of {scenario.world} are not read, only its scenarios")
    if told is None or told.allocation is None:
        return ItemDivision.close(scenario, None)
    deal = {a: told.allocation.get(a, {}) for a in scenario.roles}
    for kind, count in scenario.items.items():
        shares = [share.get(kind, -1) for share in deal.values()]
        if min(shares) < 0 or sum(shares) > count:
            raise ValueError(f"outcome.allocation: want each agent's share of the {count} {kind}")
    return ItemDivision.close(scenario, deal)
