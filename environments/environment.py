"""One episode being played: a scenario's world and its protocol, put together. Built, played, thrown away.

`observe` says what the next speaker may see, `step` judges what it replied. Nothing an agent does can
raise here; only our own bugs do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from ..protocols import (
    WORLD,
    Act,
    Briefing,
    Content,
    Conversation,
    Ended,
    Message,
    MootError,
    Move,
    Observation,
    One,
    Protocol,
    ProtocolError,
    Reply,
    did_you_mean,
    read,
    rules,
    trusted,
)
from .coach import WHISPER, briefed, judged
from .episode import Episode, Turn
from .scenario import COACH, ProtocolChoice, Scenario
from .world import Ending, Revealing, Telling, World
from .worlds import WORLDS

MADE = (dict, list, tuple)
"""Types of a protocol's parameters that hold other protocols."""


class Environment:
    """One episode of one scenario.

    `seed` and `episode` key all randomness; `seats` (agent -> spec) only goes into the record.
    `sees_all` names agents that are shown everyone's secrets (oracles). Raises `MootError` when the
    scenario's seats do not fit its protocol.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int = 0,
        episode: int = 0,
        seats: Mapping[str, str] | None = None,
        sees_all: frozenset[str] = frozenset(),
    ) -> None:
        if scenario.world not in WORLDS:
            hint = did_you_mean(scenario.world, WORLDS)
            raise MootError(f"unknown world {scenario.world!r}; {hint}")
        self.scenario, self.seed, self.episode_id = scenario, seed, episode
        self.seats = dict(seats or {})
        self.world: World = WORLDS[scenario.world].build(scenario)
        self.protocol = _protocol(scenario.protocol.name, _parameters(scenario.protocol))
        self.agents = tuple(scenario.roles)
        self.roles = self.world.roles()
        unfit = self.protocol.seats(self.agents, self.roles)
        if unfit:
            raise MootError(f"scenario {scenario.name!r}: {unfit}")
        foreign = self.protocol.slots - self.world.contents.keys()
        if foreign:
            names = " and ".join(sorted(f.__name__ for f in foreign))
            raise MootError(
                f"scenario {scenario.name!r}: {self.protocol.name} has messages that hold {names},"
                f" which {scenario.world} has no form for; choose another protocol"
            )
        self.turns: list[Turn] = []
        self.why = ""
        self.conversation = Conversation(
            self.protocol, self.agents, self.roles, id=f"{scenario.name}/{episode}"
        )
        self._tell = cast(Telling, self.world).tell if hasattr(self.world, "tell") else None
        self._over = cast(Ending, self.world).over if hasattr(self.world, "over") else None
        reveals = sees_all and hasattr(self.world, "reveal")
        self._reveal = cast(Revealing, self.world).reveal if reveals else None
        self._coach, self._advised = scenario.coach, False
        if self._coach is not None:
            if self._coach.of not in self.agents:
                hint = did_you_mean(self._coach.of, self.agents)
                raise MootError(f"coach.of: there is no seat {self._coach.of!r}; {hint}")
            self.roles = {**self.roles, COACH: COACH}
        alone = self._tell is None and self._coach is None
        self._all_hear = len(self.agents) == 2 and alone and not self.protocol.sealed
        self._heard: dict[str, list[Message]] = {agent: [] for agent in self.agents}
        """Agent -> what it sent or received; of a table where all hear all, only the first one's."""
        self._sees_all, self._max_text = sees_all, scenario.max_text
        self._briefing: dict[str, Briefing] = {}
        self._errors: list[ProtocolError] = []

    @property
    def ended(self) -> Ended | None:
        return self.conversation.ended

    @property
    def speaker(self) -> str | None:
        """Who is asked next; None when the episode is over."""
        speaker = self.conversation.speaker
        if self._coach is not None and speaker == self._coach.of and not self._advised:
            return COACH
        return speaker

    def observe(self, agent: str | None = None) -> Observation:
        """What `agent` (the next speaker, if None) sees now."""
        talk, speaker = self.conversation, self.speaker
        agent = agent or speaker or self.agents[0]
        if agent == COACH and self._coach is not None:
            seen = self.observe(self._coach.of)
            about = self._briefing.get(COACH) or briefed(self._coach, seen.about)
            self._briefing[COACH] = about
            options = WHISPER if speaker == COACH else ()
            return seen._replace(
                about=about, options=options, error=self._error(agent), hidden=None
            )
        standing = talk.offer
        if self._all_hear:
            heard = self._heard[self.agents[0]]
        else:
            heard = self._heard.get(agent, ())
            if standing is not None and agent not in (standing.sender, *standing.receivers):
                standing = None
        return Observation(
            self._briefing.get(agent) or self._brief(agent),
            len(self.turns),
            tuple(heard),
            talk.options() if agent == speaker else (),
            standing,
            talk.left,
            self._error(agent),
            self._reveal() if self._reveal is not None and agent in self._sees_all else None,
        )

    def _error(self, agent: str) -> ProtocolError | None:
        return self._errors[-1] if self._errors and agent == self.speaker else None

    def step(self, reply: Reply, agent: str | None = None) -> Turn:
        """Judge a reply of the next speaker (or of whoever claims to be), record it, move on."""
        talk = self.conversation
        state, who = talk.state, agent or self.speaker or self.agents[0]
        found = self._judge(reply, who) if reply.error is None else None
        if isinstance(found, Message):
            kept = None if reply.raw is None else reply
            said, error = found, None
        else:
            kept = _recordable(reply) if reply.raw is None else reply
            said, error = self._blame(who, found, reply), found
        if said is not None:
            self._errors.clear()
            self._advised = who == COACH
        told = None
        if said is not None and self._tell is not None and who != COACH:
            told = self._told(said) or None
        turn = trusted(
            Turn,
            {
                "agent": who,
                "state": state,
                "message": said,
                "error": error,
                "reply": kept,
                "told": told,
            },
        )
        self.turns.append(turn)
        return turn

    def _told(self, after: Message) -> tuple[Message, ...]:
        """What the world has to tell after a message, as messages with that one's number."""
        assert self._tell is not None
        told = tuple(
            Message(
                id=after.id,
                conversation=after.conversation,
                sender=WORLD,
                receivers=notice.to,
                act=Act.INFORM,
                content=Content.model_validate(notice.data) if notice.data else None,
                text=notice.text,
            )
            for notice in self._tell()
        )
        for message in told:
            self._hear(message)
        return told

    def _hear(self, message: Message) -> None:
        if self._all_hear:
            self._heard[self.agents[0]].append(message)
            return
        for agent in {message.sender, *message.receivers} & self._heard.keys():
            self._heard[agent].append(message)

    def _blame(self, who: str, error: ProtocolError | None, reply: Reply) -> Message | None:
        """Take note of an illegal reply, or (without an error) of none: it may end the episode, or be
        taken for the silence that the protocol has a message for."""
        talk = self.conversation
        if error is None:
            talk.end(Ended.BROKEN)
            self.why = f"{who}: {reply.error}"
        elif who == self.speaker:
            self._errors.append(error)
            if len(self._errors) <= self.scenario.patience:
                return None
            silence = None if who == COACH else talk.protocol.state[talk.state].silence
            if silence is not None and isinstance(
                said := self._judge(Reply(act=silence), who), Message
            ):
                return said
            talk.end(Ended.FORFEITED)
            self.why = str(error)
        return None

    def episode(self) -> Episode:
        """The record. Raises `ValueError` while the episode is still being played."""
        if self.ended is None:
            raise ValueError(f"episode {self.episode_id} is not over: {self.speaker} is to speak")
        return trusted(
            Episode,
            {
                "id": self.episode_id,
                "seed": self.seed,
                "scenario": self.scenario,
                "seats": self.seats,
                "turns": tuple(self.turns),
                "ended": self.ended,
                "why": self.why,
                "outcome": self.world.outcome(self.ended),
            },
        )

    def _judge(self, reply: Reply, who: str) -> Message | ProtocolError:
        talk = self.conversation
        if self._coach is not None and COACH in (who, self.speaker):
            return self._whisper(reply, who)
        if reply.raw is not None:
            parsed = read(reply.raw, who, self._legal())
            if isinstance(parsed, ProtocolError):
                return parsed
            reply = parsed
        act, said, text = reply.act or "", reply.content, reply.text
        fits = talk.judge(who, act, reply.to, said is not None)
        if not isinstance(fits, tuple):
            return fits
        move, receivers = fits
        content = None
        if move.content is not None:
            kind = self.world.contents.get(move.content, move.content)
            content = said if isinstance(said, kind) else self._typed(who, move, kind, said)
            if isinstance(content, ProtocolError):
                return content
            wrong = self.world.check(who, content, move, receivers)
            if wrong is not None:
                arrived = content.model_dump_json()[:200]
                return ProtocolError(kind="bad-content", agent=who, arrived=arrived, legal=wrong)
        if len(text) > self._max_text:
            return ProtocolError(
                kind="too-long",
                agent=who,
                arrived=f"{len(text)} characters of text",
                legal=f"at most {self._max_text}",
            )
        message = trusted(
            Message,
            {
                "id": len(talk.messages),
                "conversation": talk.thread(move) if talk.protocol.parts else talk.id,
                "sender": who,
                "receivers": receivers,
                "named": _named(move, receivers),
                "act": move.act,
                "content": content,
                "text": text,
                "in_reply_to": talk.answers(move, who, receivers),
            },
        )
        self._hear(message)
        self.world.hear(message)
        talk.say(message, move)
        if self._over is not None and talk.ended in (None, Ended.LIMIT):
            over = self._over()
            if over is not None:
                talk.end(over)
        return message

    def _whisper(self, reply: Reply, who: str) -> Message | ProtocolError:
        """The coach's turn: whoever else speaks, or a coach out of turn, is in error."""
        talk, coach = self.conversation, self._coach
        assert coach is not None
        if who != self.speaker:
            legal = f"{self.speaker} has the floor"
            arrived = str(reply.act or reply.raw)[:200]
            return ProtocolError(kind="not-your-turn", agent=who, arrived=arrived, legal=legal)
        said = judged(coach, reply, self._max_text, len(talk.messages) - 1, talk.id)
        if isinstance(said, Message):
            self._hear(said)
        return said

    def _typed(
        self, who: str, move: Move, kind: type[Content], content: object
    ) -> Content | ProtocolError:
        data: object = content.model_dump() if isinstance(content, BaseModel) else content
        try:
            return kind.model_validate(data, strict=True)
        except ValidationError as e:
            first = e.errors(include_url=False)[0]
            where = ".".join(str(p) for p in first["loc"])
            legal = f"{self.world.explain(move)} ({where}: {first['msg']})"
            return ProtocolError(
                kind="bad-content", agent=who, arrived=str(data)[:200], legal=legal
            )

    def _legal(self) -> str:
        acts = dict.fromkeys(str(m.act) for m in self.conversation.moves())
        return f'one JSON object with "act" one of {", ".join(acts)}'

    def _brief(self, agent: str) -> Briefing:
        world = self.world
        secrets = {a: world.private(a) for a in self.agents} if agent in self._sees_all else None
        self._briefing[agent] = Briefing(
            seed=self.seed,
            episode=self.episode_id,
            agent=agent,
            role=self.roles[agent],
            agents=self.agents,
            world=world.name,
            public=world.public(),
            private=world.private(agent),
            deadline=None if self.protocol.parts else self.protocol.deadline,
            max_text=self._max_text,
            secrets=secrets,
            write_card=partial(_card, self.scenario, self.protocol, world, agent),
            schema_of=partial(world.schema, agent),
            make_space=partial(world.space, agent),
        )
        return self._briefing[agent]


def _named(move: Move, receivers: tuple[str, ...]) -> str | None:
    """Whom a message addresses that others hear too."""
    to = move.to
    return receivers[0] if type(to) is One and to.aloud and len(receivers) > 1 else None


def _card(scenario: Scenario, protocol: Protocol, world: World, agent: str) -> str:
    """Everything that an agent is told at the start: rules, then public, then private words."""
    public, private = world.describe(agent)
    agents = tuple(scenario.roles)
    parts = (
        rules(protocol, world.roles()[agent], world.explain, len(agents) > 2),
        scenario.brief,
        public,
        f"You are {agent}, with {' and '.join(a for a in agents if a != agent)}.",
        scenario.roles[agent].brief,
        private,
    )
    return "\n".join(p for p in parts if p)


def _recordable(reply: Reply) -> Reply:
    """The reply as a record can hold it; an agent's program may put anything into a content."""
    try:
        return Reply.model_validate_json(reply.model_dump_json(exclude_unset=True))
    except ValueError:
        return reply.model_copy(update={"content": None})


def _parameters(choice: ProtocolChoice) -> tuple[tuple[str, Any, type], ...]:
    """With their types, since 1 and True are one key of a cache and not one parameter; parameters that
    are protocols themselves as JSON."""
    given: dict[str, object] = choice.model_extra or {}
    return tuple(
        [
            (key, json.dumps(value) if type(value) in MADE else value, type(value))
            for key, value in given.items()
        ]
    )


@lru_cache(maxsize=256)
def _protocol(name: str, parameters: tuple[tuple[str, Any, type], ...]) -> Protocol:
    given = {k: json.loads(value) if kind in MADE else value for k, value, kind in parameters}
    return ProtocolChoice(name=name, **given).build()
