"""What one agent is allowed to see when it is asked to speak.

An observation holds nothing of another agent's secrets: permute them and every byte of `dump()` stays
(`check_environment` does). Texts and schemas are made when first asked for, because scripted agents
need neither.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from .message import Content, Message, ProtocolError
from .protocol import Move, Option
from .wire import reply_schema, written


class Key(NamedTuple):
    """Where in a run an observation stands: the counter of all randomness.

    Draws depend on nothing else, so an episode is the same whatever else is in the batch.
    """

    seed: int
    episode: int
    agent: str
    turn: int
    """Number of replies (legal or not) given in the episode before this one."""

    def number(self, purpose: str = "") -> int:
        """128-bit hash of the key (BLAKE2b), distinct for each `purpose`."""
        return hashed(self.seed, self.episode, self.agent, self.turn, purpose)

    def rng(self, purpose: str = "") -> random.Random:
        """A generator of its own for this turn."""
        return random.Random(self.number(purpose))


def hashed(seed: int, episode: int, agent: str, turn: int, purpose: str) -> int:
    text = f"{seed}|{episode}|{agent}|{turn}|{purpose}"
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "little")


class OfferSpace(Protocol):
    """All offers of a bargaining world as one agent can judge them: from its own values alone."""

    offers: Sequence[Content]
    """Every legal offer, this agent's best first."""
    utilities: Sequence[float]
    """This agent's utility of each of `offers`, so descending; points of the world's score."""

    def utility(self, offer: Content, *, mine: bool) -> float:
        """This agent's utility of an offer that it made (`mine`) or heard."""
        ...

    def partner(self, told: Content) -> Sequence[float]:
        """The other's utility of each of `offers`, if what it `told` of its values is true."""
        ...

    def told(self) -> Content:
        """This agent's true values, in the form in which agents tell them."""
        ...


@dataclass(frozen=True, kw_only=True)
class Briefing:
    """The part of an agent's observations that stays the same all episode."""

    seed: int
    episode: int
    agent: str
    role: str
    agents: tuple[str, ...]
    """All agents in seat order, this one included."""
    world: str
    """Name of the world, so that a scripted agent knows which tactics apply."""
    public: Mapping[str, Any]
    """What everyone knows of the scenario."""
    private: Mapping[str, Any]
    """What only this agent knows."""
    deadline: int | None
    """Most messages in the whole conversation; None without a deadline, or where the parts of the
    protocol have their own."""
    max_text: int
    """Most characters of free text in one message."""
    secrets: Mapping[str, Mapping[str, Any]] | None
    """Everybody's private knowledge; only for agents that declare `sees_all` (oracles)."""
    write_card: Callable[[], str]
    schema_of: Callable[[Move, str | None], dict[str, Any] | None]
    make_space: Callable[[], OfferSpace | None]

    @cached_property
    def card(self) -> str:
        return self.write_card()

    @cached_property
    def space(self) -> OfferSpace | None:
        return self.make_space()


class Observation(NamedTuple):
    """One agent's view at one turn."""

    about: Briefing
    turn: int
    """Number of replies (legal or not) given in the episode before this one."""
    heard: tuple[Message, ...]
    """Messages that it sent or received, oldest first."""
    options: tuple[Option, ...]
    """The legal moves."""
    standing: Message | None
    """The offer or call on the table, if this agent knows of it."""
    left: int | None
    """Messages that may still be said (in this part of the protocol), this one included; None without
    a deadline."""
    error: ProtocolError | None
    """Why this agent's previous reply was illegal, when it is asked again."""
    hidden: Mapping[str, Any] | None = None
    """The state behind all views, now; for oracles only, in worlds where nobody sees all of it."""

    @property
    def key(self) -> Key:
        """The counter of this turn's randomness."""
        about = self.about
        return Key(about.seed, about.episode, about.agent, self.turn)

    def number(self, purpose: str = "") -> int:
        """`key.number(purpose)`, without a key in between."""
        about = self.about
        return hashed(about.seed, about.episode, about.agent, self.turn, purpose)

    @property
    def agent(self) -> str:
        return self.about.agent

    @property
    def role(self) -> str:
        return self.about.role

    @property
    def agents(self) -> tuple[str, ...]:
        """All agents in seat order, this one included."""
        return self.about.agents

    @property
    def world(self) -> str:
        """Name of the world."""
        return self.about.world

    @property
    def public(self) -> Mapping[str, Any]:
        """What everyone knows of the scenario."""
        return self.about.public

    @property
    def private(self) -> Mapping[str, Any]:
        """What only this agent knows."""
        return self.about.private

    @property
    def deadline(self) -> int | None:
        """Most messages in the whole conversation; None without a deadline."""
        return self.about.deadline

    @property
    def max_text(self) -> int:
        """Most characters of free text in one message."""
        return self.about.max_text

    @property
    def secrets(self) -> Mapping[str, Mapping[str, Any]] | None:
        """Everybody's private knowledge, for oracles only."""
        return self.about.secrets

    @property
    def card(self) -> str:
        """Rules, brief and private values as prompt text; the same at every turn of the episode."""
        return self.about.card

    @property
    def space(self) -> OfferSpace | None:
        """The offers as this agent judges them; None in worlds without offers to rank."""
        return self.about.space

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the legal replies of this turn, narrowed by the world's state."""
        return reply_schema(self.options, self.about.schema_of, self.max_text)

    def rng(self, purpose: str = "") -> random.Random:
        """Randomness of this turn alone."""
        return self.key.rng(purpose)

    def may(self, act: str, content: bool | None = None) -> bool:
        """Whether `act` is legal now (with content, without, or either)."""
        for move, _ in self.options:  # a plain loop: scripted agents ask this at every turn
            if move.act == act and (content is None or content == (move.content is not None)):
                return True
        return False

    def dump(self) -> str:
        """Everything the agent can see, as canonical JSON."""
        space = self.space
        return json.dumps(
            {
                "agent": self.agent,
                "role": self.role,
                "agents": self.agents,
                "public": self.public,
                "private": self.private,
                "heard": [written(m, self.agents) for m in self.heard],
                "standing": self.standing.id if self.standing else None,
                "left": self.left,
                "card": self.card,
                "schema": self.schema(),
                "offers": None if space is None else [o.model_dump() for o in space.offers],
                "utilities": None if space is None else list(space.utilities),
                "error": str(self.error) if self.error else None,
            },
            sort_keys=True,
        )
