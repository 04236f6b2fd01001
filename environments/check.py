"""What an environment promises, as a check to call on your own: `check_environment`.

Random legal play, drawn from the JSON Schema of each turn, with illegal replies thrown in. On every
episode: what the schema allows is legal and what it forbids is not, the same seed gives the same bytes
alone and among others, no agent sees another's secret, replay and fork come to the same end, records
read back byte for byte, no outcome beats the exact solution (`bounds.py`), and the global random
generators stay untouched.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from ..protocols import Act, ContractError, Ended, Reply
from ..protocols.schemas import Mood, fits, forbidden, legal_reply, sample
from .bounds import check_outcome
from .environment import Environment
from .episode import Episode
from .load import Source, draw, load_scenario
from .play import fork, replay, said
from .scenario import Scenario, Template
from .variants import varied
from .worlds import WORLDS

LONGEST = 10_000
"""Replies after which an episode counts as endless."""
MOODS: tuple[Mood, ...] = ("deal", "any", "long")
"""Of the random play, episode after episode."""
GARBAGE = (
    "", "I would rather not.", "{", "null", '{"act": 1}', '{"act": "inform", "text": "\\ud800"}',
    '{"act": "propose", "content": {"a": NaN}}', '{"act": "propose", "content": ' + "[" * 5000,
    '{"act": "propose", "content": {"price": ' + "9" * 5000 + "}}",
)  # fmt: skip


class Tried(NamedTuple):
    """How much a check has tried."""

    episodes: int
    messages: int
    """Legal ones."""
    refused: int
    """Illegal ones, each judged to be so."""
    varied: int
    """Views compared while another agent's secret was different."""
    secrets: tuple[str, ...]
    """Fields of the scenarios that were such secrets: `roles.values`, `map`."""


def check_environment(
    source: Source | Sequence[Scenario], *, episodes: int = 50, seed: int = 0
) -> Tried:
    """Try every promise of a world, named or by a scenario, on `episodes` random episodes.

    `source` is a world's name (its generator's defaults are played) or whatever `load_scenario` and
    `draw` take. Raises `ContractError`, an `AssertionError`, with the first promise that is broken.
    """
    if isinstance(source, str) and source in WORLDS:
        source = Template(name=source, world=source, generate={})
    if isinstance(source, str | Path | Mapping):
        source = load_scenario(source)
    chance = _chance()
    scenarios = [draw(source, seed, i) for i in range(episodes)]
    if scenarios != [draw(source, seed, i) for i in range(episodes)]:
        raise ContractError("draw: the same seed drew two different scenarios")
    records = [_alone(s, seed, i) for i, s in enumerate(scenarios)]
    _among_others(scenarios, records, seed)
    messages = refused = compared = 0
    secrets = set[str]()
    for i, (scenario, record) in enumerate(zip(scenarios, records, strict=True)):
        refused += _fuzz(scenario, seed, i)
        views, fields = _secrets(scenario, record)
        compared, secrets = compared + views, secrets | fields
        _again(record)
        _endings(scenario, seed, i)
        check_outcome(record)
        messages += len(record.messages)
    if _chance() != chance:
        raise ContractError(f"{_name(scenarios[0])}: a global random generator was used or seeded")
    return Tried(episodes, messages, refused, compared, tuple(sorted(secrets)))


def _name(scenario: Scenario) -> str:
    return f"environment {scenario.world}"


def _broken(table: Environment, what: str) -> ContractError:
    where = f"episode {table.episode_id}, turn {len(table.turns)}"
    return ContractError(f"{_name(table.scenario)}: {where}: {what}")


def _chance() -> tuple[object, ...]:
    """State of the global random generators."""
    numpy = sys.modules.get("numpy")
    return random.getstate(), None if numpy is None else str(numpy.random.get_state())


def _open(scenario: Scenario, seed: int, number: int) -> Environment:
    return Environment(scenario, seed=seed, episode=number, seats={"*": "random"})


def _turn(table: Environment) -> None:
    """One random legal reply, which must be judged legal."""
    agent = table.speaker
    if agent is None:
        raise _broken(table, "it is not over, yet nobody is asked")
    observation = table.observe(agent)
    if not observation.schema()["anyOf"]:
        raise _broken(table, f"{agent} has the floor and no legal reply")
    turn = table.step(legal_reply(observation, MOODS[table.episode_id % 3]))
    if turn.message is None:
        raise _broken(table, f"the schema allows what is judged illegal: {turn.error}")
    if len(table.turns) > LONGEST:
        raise _broken(table, f"no end after {LONGEST} messages")


def _alone(scenario: Scenario, seed: int, number: int) -> Episode:
    table = _open(scenario, seed, number)
    while table.ended is None:
        _turn(table)
    if table.speaker is not None:
        raise _broken(table, f"it is over ({table.ended}), yet {table.speaker} is asked")
    return table.episode()


def _among_others(scenarios: Sequence[Scenario], records: Sequence[Episode], seed: int) -> None:
    """All episodes at once, a turn of each in turns: the same bytes as alone."""
    tables = [_open(s, seed, i) for i, s in enumerate(scenarios)]
    while running := [t for t in tables if t.ended is None]:
        for table in running:
            _turn(table)
    for table, record in zip(tables, records, strict=True):
        if table.episode().line() != record.line():
            raise _broken(table, "it went otherwise among other episodes than alone with one seed")


def _fuzz(scenario: Scenario, seed: int, number: int) -> int:
    """Illegal replies at every turn; each must become an error and change nothing but the count."""
    rng = random.Random(f"{seed}|{number}|fuzz")
    table = _open(scenario.model_copy(update={"patience": 10**9}), seed, number)
    refused = 0
    while table.ended is None:
        for reply in _illegal(table, rng):
            before = _shape(table)
            turn = table.step(reply)
            if turn.error is None:
                what = (turn.message or reply).model_dump_json(exclude_none=True)[:300]
                raise _broken(table, f"judged legal, though the schema forbids it: {what}")
            if _shape(table) != before:
                raise _broken(table, f"an illegal reply changed the conversation: {turn.error}")
            refused += 1
        _turn(table)
    line = table.episode().line()
    if Episode.model_validate_json(line).line() != line:
        raise _broken(table, "a record with errors reads back otherwise")
    return refused


def _illegal(table: Environment, rng: random.Random) -> Iterator[Reply]:
    """Replies that no alternative of the turn's schema allows."""
    observation = table.observe()
    schema = observation.schema()
    acts = {choice["properties"]["act"]["const"] for choice in schema["anyOf"]}
    choice = rng.choice(schema["anyOf"])
    good = cast(dict[str, Any], sample(choice, rng))
    tries: list[dict[str, Any]] = [
        {**good, "act": rng.choice([str(a) for a in Act if a not in acts])},
        {**good, "text": "x" * (observation.max_text + 1)},
        {**good, "to": "nobody"},
        {k: v for k, v in good.items() if k != "content"},
    ]
    contents: list[dict[str, Any]] = [{}]
    if "content" in good:
        # What is no object at all is garbage already.
        near = forbidden(choice["properties"]["content"], rng)
        contents = [cast(dict[str, Any], c) for c in near if isinstance(c, dict)]
    tries += [{**good, "content": c} for c in rng.sample(contents, min(len(contents), 4))]
    yield Reply(raw=rng.choice(GARBAGE))
    for fields in tries:
        if not fits(schema, fields):
            yield Reply.model_validate(fields)
            yield Reply(raw=json.dumps(fields))


def _shape(table: Environment) -> tuple[object, ...]:
    talk = table.conversation
    return talk.state, talk.speaker, talk.offer, talk.ended, len(talk.messages), dict(talk.standing)


def _secrets(scenario: Scenario, record: Episode) -> tuple[int, set[str]]:
    """Vary one agent's secret: until it speaks otherwise, nobody else's view changes by a byte.

    Varied are all that the seat's role holds, one field of it, and one field of the world's own; which
    one comes round with the episodes.
    """
    compared, fields = 0, set[str]()
    for secretive, field, other in varied(scenario, record.id):
        compared += _compared(scenario, other, record, secretive, own=field.startswith("roles"))
        fields.add(field)
    return compared, fields


def _compared(
    scenario: Scenario, other: Scenario, record: Episode, secretive: frozenset[str], own: bool
) -> int:
    """How many views were compared; `own`: not even the world may tell others of the difference."""
    compared = 0
    here, there = (Environment(s, seed=record.seed, episode=record.id) for s in (scenario, other))
    for turn in (*record.turns, None):
        for agent in here.agents:
            if agent in secretive:
                continue
            one, two = here.observe(agent).dump(), there.observe(agent).dump()
            compared += 1
            if one != two:
                field = _differs(one, two)
                raise _broken(here, f"{agent} sees {_whose(secretive)} in its {field}")
        if turn is None or turn.message is None:
            break
        was = here.step(said(turn.message))
        now = there.step(said(turn.message))
        if now.message is None:
            if turn.agent not in secretive:
                raise _broken(here, f"{_whose(secretive)} decides what {turn.agent} may say")
            break
        if not own and (was.told != now.told or here.ended != there.ended):
            break  # what there is in the world shows when somebody walks into it
    return compared


def _whose(secretive: frozenset[str]) -> str:
    names = " and ".join(sorted(secretive))
    return f"the secret of {names}" if names else "what nobody is shown"


def _differs(one: str, two: str) -> str:
    a, b = json.loads(one), json.loads(two)
    return next((key for key in a if a[key] != b[key]), "dump")


def _again(record: Episode) -> None:
    """Records read back; a replay has the same turns; a fork that changes nothing ends the same."""
    line = record.line()
    back = Episode.model_validate_json(line)
    if back.line() != line or back.scenario != record.scenario:
        raise ContractError(f"{_name(record.scenario)}: episode {record.id} reads back otherwise")
    table = replay(back)
    if tuple(table.turns) != record.turns or table.episode().line() != line:
        raise _broken(table, "a replay of the record goes otherwise")
    rng = random.Random(record.id)
    at = rng.randrange(len(record.turns))
    first = record.turns[at]
    kept = said(first.message) if first.reply is None and first.message else first.reply
    table = fork(back, at, kept)
    while table.ended is None:
        _turn(table)
    if table.episode().line() != line:
        raise _broken(table, f"a fork at turn {at} that changes nothing ends otherwise")


def _endings(scenario: Scenario, seed: int, number: int) -> None:
    """An agent that fails or answers garbage ends its own episode, with the score of no deal."""
    nothing = WORLDS[scenario.world].solve(scenario).disagreement
    for reply, count, ended in (
        (Reply(error="raised ValueError"), 1, Ended.BROKEN),
        (Reply(raw="?"), scenario.patience + 1, Ended.FORFEITED),
    ):
        table = _open(scenario, seed, number)
        if ended is Ended.FORFEITED and table.protocol.states[0].silence is not None:
            continue  # garbage is taken for silence there
        for _ in range(count):
            if table.ended is not None:
                raise _broken(table, f"ended by {table.ended} before its patience was at an end")
            table.step(reply)
        if table.ended is not ended:
            raise _broken(table, f"is {table.ended} after {count} bad replies, want {ended}")
        outcome = table.episode().outcome
        if outcome.completed or tuple(outcome.utilities.values()) != nothing:
            raise _broken(table, f"{ended}, yet it scores {outcome.utilities}, not {nothing}")
