"""The record of one episode: every reply that was given, and what came of it.

A record holds everything that the seed, the scenario and the agents determine, and nothing else (no
clock times), so that a rerun gives the same bytes.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, SerializeAsAny
from pydantic_core import PydanticSerializationError

from ..protocols import Ended, Message, MootError, ProtocolError, Reply, did_you_mean
from .scenario import Scenario
from .world import Outcome
from .worlds import WORLDS

FROZEN = ConfigDict(frozen=True, extra="forbid")


def scenario_of(value: object) -> object:
    """A scenario of its world's own type from recorded or written data."""
    if not isinstance(value, dict):
        return value
    world = cast(dict[str, Any], value).get("world")
    if world not in WORLDS:
        raise MootError(f"unknown world {world!r}; {did_you_mean(str(world), WORLDS)}")
    return WORLDS[world].Scenario.model_validate(value)


AnyScenario = Annotated[SerializeAsAny[Scenario], BeforeValidator(scenario_of)]


class Turn(BaseModel):
    """One reply and what became of it: a message, or an error; both where the last of several illegal
    replies was taken for silence, which is then the message."""

    model_config = FROZEN

    agent: str
    state: str
    """State of the protocol when the agent was asked."""
    message: Message | None = None
    error: ProtocolError | None = None
    reply: Reply | None = None
    """Provenance (raw text, tokens, log-probabilities); None when the message holds it all."""
    told: tuple[Message, ...] | None = None
    """What the world told its agents after this turn (sender `world`); None where it told nothing."""


class Episode(BaseModel):
    """One finished episode."""

    model_config = FROZEN

    id: int
    """Number in its run; a key of all its randomness."""
    seed: int
    scenario: AnyScenario
    seats: dict[str, str] = {}
    """Agent -> spec of who played it; empty for human transcripts."""
    turns: tuple[Turn, ...]
    ended: Ended
    why: str = ""
    """In words, where `ended` alone does not tell: the error of a broken or forfeiting agent."""
    outcome: Outcome

    def line(self) -> str:
        """The record as one line of JSON; `Episode.model_validate_json` reads it back.

        Half a surrogate pair, which no file can hold, is written as `?`.
        """
        try:
            return self.model_dump_json(exclude_unset=True, exclude_none=True)
        except PydanticSerializationError:
            plain = self.model_dump(mode="json", exclude_unset=True, exclude_none=True)
            text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
            return text.encode(errors="replace").decode()

    @property
    def messages(self) -> tuple[Message, ...]:
        return tuple(t.message for t in self.turns if t.message is not None)
