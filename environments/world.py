"""The contract of a world: the rules beside the talk. One file each in `worlds/`, no inheritance.

A world is built from a scenario, hears each message once, gives one outcome, and is thrown away. It is
told who speaks by the protocol and never decides that itself.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ..protocols import Content, Ended, Message, Move, OfferSpace
from .scenario import Scenario


class Outcome(BaseModel):
    """What the talk achieved."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    completed: bool
    """Whether the task of the scenario was done (a deal closed, every task carried out)."""
    deal: dict[str, Any] | None = None
    """The agreement in the world's own terms; None when there is none."""
    utilities: dict[str, float]
    """Agent -> points of the world's score, the disagreement point when there is no deal."""
    results: dict[str, float] | None = None
    """The world's own measures by name (revenue, collisions), scored as `result.NAME`; None: it has none."""


class Solution(BaseModel):
    """Exact reference of one scenario. Utility vectors are in seat order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    disagreement: tuple[float, ...]
    """Utilities when there is no deal."""
    frontier: tuple[tuple[float, ...], ...]
    """Undominated utility vectors of deals, ascending; empty where it is a hyperplane (`transfer`)."""
    transfer: bool = False
    """Utility moves freely between agents by payments: a deal is efficient when its sum is maximal."""
    zero_sum: bool = False
    """What one side gains the other loses: no outcome is better for all than another."""
    max_joint: float
    """Largest sum of utilities over all deals, or a bound above it (kitchen); infinite where nobody knows."""
    max_nash: float
    """Largest product of gains over the disagreement point, over deals where everyone gains; infinite
    where nobody knows."""
    zone: tuple[float, float] | None = None
    """Price bargaining: lowest and highest price that both accept; None when there is none."""
    best: dict[str, Any] | None = None
    """A deal of the largest sum, in the world's own terms."""
    reference: dict[str, Any] = {}
    """What else is known exactly, by name (equilibria, security levels, play without foresight)."""

    def efficient(self, utilities: tuple[float, ...]) -> bool:
        """Whether no deal, nor no deal, is better for someone and worse for nobody (Pareto)."""
        if self.transfer:
            return sum(utilities) >= self.max_joint - 1e-9
        return not any(
            all(o >= u - 1e-9 for o, u in zip(other, utilities, strict=True))
            and any(o > u + 1e-9 for o, u in zip(other, utilities, strict=True))
            for other in (*self.frontier, self.disagreement)
        )

    def nash(self, utilities: tuple[float, ...]) -> float:
        """Product of gains over the disagreement point, 0 as soon as one agent gains nothing."""
        product = 1.0
        for u, d in zip(utilities, self.disagreement, strict=True):
            product *= max(u - d, 0.0)
        return product


class Generator(Protocol):
    """Documented parameters of a world's unlimited scenarios (a pydantic model)."""

    def draw(self, rng: random.Random) -> Scenario:
        """A new scenario; the same `rng` state gives the same one."""
        ...


class Notice(NamedTuple):
    """What a world tells some of its agents: a change that no agent has told them."""

    to: tuple[str, ...]
    text: str
    """In words, for people and language models; holds everything that `data` does."""
    data: Mapping[str, Any] | None = None
    """The same for programs."""


class Telling(Protocol):
    """A world that speaks: what it tells is heard like a message from `world`, and costs no turn."""

    def tell(self) -> Sequence[Notice]:
        """What is to be told since the last message; asked once after each."""
        ...


class Ending(Protocol):
    """A world that knows when its game is over."""

    def over(self) -> Ended | None:
        """Why the episode ends with the message just heard; None while it goes on."""
        ...


class Drawing(Protocol):
    """A world that can be looked at."""

    def picture(self) -> str:
        """The state now as an SVG document of its own."""
        ...


class Revealing(Protocol):
    """A world with a hidden state that changes."""

    def reveal(self) -> Mapping[str, Any]:
        """That state now, and what is best in it, for agents that are shown everybody's secrets."""
        ...


class Listener(Protocol):
    """One who hears the talk and guesses at one secret, of which finitely many things may be true."""

    seat: str
    """Who listens; empty for an outsider, who hears what all hear."""
    truth: int
    """Number of the hypothesis that is true."""
    logs: NDArray[np.float64]
    """Natural logarithm of the probability of each hypothesis by what was heard so far, (H,)."""

    def hear(self, message: Message) -> bool:
        """Take note of what the seat hears or says; whether the message bears on the secret."""
        ...


class Listening(Protocol):
    """A world that knows what its typed messages tell of its secrets (`listening.py`)."""

    def listeners(self) -> Sequence[Listener]:
        """Those of a talk that begins; empty where there are too many hypotheses."""
        ...


class Gaps(NamedTuple):
    """What each agent could have had more, if nobody else had done otherwise. Never below 0."""

    regret: Mapping[str, float]
    """Agent -> points that the best reply to what all others did would have brought more."""
    mixed: Mapping[str, float] | None = None
    """The same, where the game was played several times, of the best reply to how often the others did
    what, against doing it as often as one did. None where each chose once: it is the same."""
    reactive: Mapping[str, float] | None = None
    """The same of the best reply to how the others were seen to react to the round before."""


class Replying(Protocol):
    """A world whose best replies are found exactly."""

    def gaps(self, messages: Sequence[Message]) -> Gaps | None:
        """Of a game with these messages; None unless it was played to its end."""
        ...


class World(Protocol):
    """What `Environment` asks of every world. It may be `Telling`, `Ending`, `Drawing`, `Revealing`,
    `Listening` or `Replying` besides."""

    name: ClassVar[str]
    summary: ClassVar[str]
    Scenario: ClassVar[type[Scenario]]
    Generator: ClassVar[type[BaseModel]]
    contents: ClassVar[Mapping[type[Content], type[Content]]]
    """Slot of a protocol table -> this world's content type."""

    @classmethod
    def build(cls, scenario: Scenario) -> Self:
        """A fresh game of a scenario of this world's own type."""
        ...

    @classmethod
    def solve(cls, scenario: Scenario) -> Solution:
        """The exact reference of a scenario of this world's own type."""
        ...

    def roles(self) -> Mapping[str, str]:
        """Agent -> role in the protocol."""
        ...

    def public(self) -> Mapping[str, Any]:
        """What everyone knows, as data."""
        ...

    def private(self, agent: str) -> Mapping[str, Any]:
        """What only this agent knows, as data."""
        ...

    def describe(self, agent: str) -> tuple[str, str]:
        """What everyone is told, and what only this agent is told, as prompt text."""
        ...

    def explain(self, move: Move) -> str:
        """The content of a move, as a phrase of the rules."""
        ...

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        """JSON Schema of the legal contents of a move now; None when there is none."""
        ...

    def check(self, agent: str, content: Content, move: Move, to: tuple[str, ...]) -> str | None:
        """None when the (well-typed) content is legal now, else what would be."""
        ...

    def hear(self, message: Message) -> None:
        """Take note of a legal message."""
        ...

    def outcome(self, ended: Ended) -> Outcome:
        """What was achieved, once the conversation is over."""
        ...

    def space(self, agent: str) -> OfferSpace | None:
        """The offers as this agent judges them; None in worlds without offers to rank."""
        ...
