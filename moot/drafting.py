"""A scenario from words: an agent drafts it under the world's own JSON Schema, checks send it back.

    words -> observation -> any agent -> draft -> checked, solved, played -> YAML
                 ^                                        |
                 +------------- what is wrong ------------+

The author is asked like any agent, so every spec can be one: a local model under the grammar of the
schema, a model behind a server, a person. A draft that is unsound is an illegal reply, and the author
hears why. The protocol is the world's usual one. Left out: a judgement whether the draft fits the words.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import yaml

from .agents.seats import Spec, seat
from .checks import gains
from .environments import WORLDS, Scenario, Template
from .environments.check import check_environment
from .environments.load import draw, load_scenario
from .protocols import (
    Act,
    Briefing,
    Content,
    ContractError,
    Ended,
    MootError,
    Move,
    Observation,
    Option,
    ProtocolError,
    Reply,
    Task,
    did_you_mean,
    read,
)
from .protocols.counted import counted
from .protocols.interrupt import heed

OURS = ("world", "protocol", "agents", "max_text", "patience", "source", "coach")
"""Fields of a scenario that the author does not write."""
LONGEST = 1200
"""Most characters of one text in a draft."""
PATIENCE = 600.0
"""Seconds to wait for one draft."""
WRITE = Option(Move("drafting", "TURN", Act.PROPOSE, Task, Ended.DONE, "hand in the scenario"), ())


class Draft(NamedTuple):
    """A scenario that passed every check."""

    scenario: Scenario
    data: dict[str, Any]
    """The same as plain data, in the order of the fields."""
    refused: list[str]
    """What was wrong with the drafts before it."""
    summary: str
    """What there is to gain, in words."""

    def yaml(self, words: str, author: str) -> str:
        """A file to edit; its first line is the summary that `moot list` shows."""
        body = yaml.safe_dump(self.data, sort_keys=False, allow_unicode=True, width=100)
        first = " ".join(words.split())
        return f"# {first}\n# drafted by {author}; {self.summary}\n{body}"


def generate(words: str, world: str, author: Spec, *, tries: int = 5, seed: int = 0) -> Draft:
    """Have `author` draft a scenario of `world` from words, until one passes every check.

    Raises `MootError` for an unknown world, an empty description, an author that fails, and when
    `tries` drafts were refused; it names the last reason.
    """
    if world not in WORLDS:
        raise MootError(f"unknown world {world!r}; {did_you_mean(world, WORLDS)}")
    if not words.strip():
        raise MootError("say in words what the scenario is about")
    if tries < 1:
        raise MootError(f"tries: got {tries}, want a number >= 1")
    pool = seat(author).pool
    example = _example(world)
    about = _briefing(words, world, example, seed)
    refused: list[str] = []
    error: ProtocolError | None = None
    for turn in range(tries):
        observation = Observation(about, turn, (), (WRITE,), None, None, error)
        pool.ask(turn, observation)
        reply = _answer(pool)
        if reply.error is not None:
            refused.append(reply.error)
            continue
        drafted = _content(reply)
        if isinstance(drafted, ProtocolError):
            error = drafted
        else:
            data = _whole(drafted, world, example)
            wrong = unsound(data)
            if wrong is None:
                scenario = cast(Scenario, load_scenario(data))
                return Draft(scenario, data, refused, f"sound: {gains(scenario)}")
            arrived = json.dumps(drafted, ensure_ascii=False)[:200]
            error = ProtocolError(kind="bad-content", agent="author", arrived=arrived, legal=wrong)
        refused.append(error.legal)
    raise MootError(
        f"no sound scenario in {counted(tries, 'draft')}; the last one: {refused[-1]}. Try a larger author "
        "(--author hf:MODEL or openai:MODEL@URL), more tries (--tries), or other words",
        usage=False,
    )


def drawn(world: str, parameters: Mapping[str, Any], seed: int = 0) -> Draft:
    """A scenario by the world's own generator. Raises `MootError` for an unknown world or parameter."""
    if world not in WORLDS:
        raise MootError(f"unknown world {world!r}; {did_you_mean(world, WORLDS)}")
    scenario = draw(Template(name=world, world=world, generate=dict(parameters)), seed)
    return Draft(scenario, _written(scenario), [], f"sound: {gains(scenario)}")


def unsound(data: Mapping[str, Any]) -> str | None:
    """None when this scenario can be played, won, and lost; else what is wrong with it.

    Its fields are valid and its private values agree with them; some outcome is better for everyone than
    none; where offers are ranked, no single one is the best for all; and the contract checks of its
    world pass on random play.
    """
    try:
        scenario = cast(Scenario, load_scenario(data))
        world = WORLDS[scenario.world]
        solution = world.solve(scenario)
    except MootError as mistake:
        return str(mistake)
    none = sum(solution.disagreement)
    if solution.max_joint <= none + 1e-9 and not solution.zero_sum:
        return "nothing can be gained: every outcome is worth no more than no deal"
    spaces = [world.build(scenario).space(agent) for agent in scenario.roles]
    if all(space is not None for space in spaces):
        if solution.max_nash <= 1e-9:
            return "no deal is better for everyone than no deal: make the values differ more"
        if len(solution.frontier) == 1 and not solution.transfer:
            return "trivial: one deal is the best for everyone; make them want the same things"
    try:
        check_environment(scenario, episodes=3)
    except ContractError as broken:
        return str(broken)
    return None


def draft_schema(world: str) -> dict[str, Any]:
    """JSON Schema of what an author writes: the world's own scenario without references."""
    whole = WORLDS[world].Scenario.model_json_schema()
    plain = cast(dict[str, Any], _plain(whole, whole.get("$defs", {})))
    fields = {k: v for k, v in plain["properties"].items() if k not in OURS}
    required = [k for k in fields if k in plain.get("required", ())]
    required += [k for k in ("name", "brief") if k not in required]
    order = [*("name", "brief"), *(k for k in fields if k not in ("name", "brief"))]
    return {
        "type": "object",
        "properties": {k: fields[k] for k in order},
        "required": required,
        "additionalProperties": False,
    }


def _plain(schema: object, known: Mapping[str, Any]) -> object:
    """References written out, titles and defaults dropped, texts bounded."""
    if isinstance(schema, list):
        return [_plain(s, known) for s in cast(list[object], schema)]
    if not isinstance(schema, dict):
        return schema
    fields = cast(dict[str, Any], schema)
    if "$ref" in fields:
        inner = known[fields["$ref"].rpartition("/")[2]]
        return _plain({**inner, **{k: v for k, v in fields.items() if k != "$ref"}}, known)
    if "properties" in fields:
        properties = cast(dict[str, Any], fields["properties"])
        inside = {k: _plain(v, known) for k, v in properties.items() if k != "role"}
        kept = {k: _plain(v, known) for k, v in fields.items() if k != "properties"}
        fields = {**kept, "properties": inside}
        fields["required"] = [k for k in cast(list[str], kept.get("required", [])) if k in inside]
    else:
        fields = {k: _plain(v, known) for k, v in fields.items()}
    bound = {"maxLength": LONGEST} if fields.get("type") == "string" else {}
    return {**bound, **{k: v for k, v in fields.items() if k not in ("title", "default", "$defs")}}


def _example(world: str) -> Scenario:
    """A scenario of the world's generator, to show the form and to take the protocol from."""
    generator = cast(Any, WORLDS[world].Generator())
    return cast(Scenario, generator.draw(random.Random(0)))


def _written(scenario: Scenario) -> dict[str, Any]:
    return scenario.model_dump(mode="json", exclude_unset=True, exclude_none=True)


def _briefing(words: str, world: str, example: Scenario, seed: int) -> Briefing:
    schema = draft_schema(world)
    shown = {k: v for k, v in _written(example).items() if k not in OURS}
    shown = {"name": "example", "brief": "What everyone is told.", **shown}
    told = [
        f"- {name}: {field['description']}"
        for name, field in schema["properties"].items()
        if "description" in field
    ]
    card = "\n".join(
        (
            'Reply with one JSON object: {"act": "propose", "content": the scenario, "text": ""}.',
            f"You write a scenario for the game {world}: {WORLDS[world].summary}.",
            "Its fields:",
            *told,
            f"An example of the form, not of the content: {json.dumps(shown, ensure_ascii=False)}",
            f"Write the scenario for this: {' '.join(words.split())}",
        )
    )
    return Briefing(
        seed=seed,
        episode=0,
        agent="author",
        role="author",
        agents=("author",),
        world="drafting",
        public={"words": words, "world": world},
        private={},
        deadline=None,
        max_text=0,
        secrets=None,
        write_card=lambda: card,
        schema_of=lambda move, to: schema,
        make_space=lambda: None,
    )


def _answer(pool: Any) -> Reply:
    waited = 0.0
    while waited < PATIENCE:
        heed()
        ready = pool.poll(1.0)
        if ready:
            return ready[0][1]
        waited += 1.0
    raise MootError(f"the author wrote nothing in {PATIENCE:g} seconds", usage=False)


def _content(reply: Reply) -> dict[str, Any] | ProtocolError:
    legal = 'one JSON object with "act": "propose" and the scenario as "content"'
    parsed = read(reply.raw, "author", legal) if reply.raw is not None else reply
    if isinstance(parsed, ProtocolError):
        return parsed
    content = parsed.content
    if isinstance(content, Content):
        content = content.model_dump()
    if not isinstance(content, dict):
        arrived = str(reply.raw or parsed.act)[:200]
        return ProtocolError(kind="bad-content", agent="author", arrived=arrived, legal=legal)
    return content


def _whole(drafted: Mapping[str, Any], world: str, example: Scenario) -> dict[str, Any]:
    """The draft with what is ours: world, and the protocol that the world is usually played by."""
    ours = {"world": world, "protocol": example.protocol.model_dump()}
    rest = {k: v for k, v in drafted.items() if k not in OURS}
    return {"name": rest.pop("name", "scenario"), **ours, **rest}
