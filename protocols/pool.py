"""The two verbs with which the loop speaks to agents of every kind."""

from __future__ import annotations

from typing import Protocol

from .message import Reply
from .observation import Observation

Ticket = int
"""Names one question; a pool gives it back with the reply."""


class Agent(Protocol):
    """One speaker, as users write their own: a function of what it sees.

    Keep no state between calls: many episodes are open at once. All that was said is in
    `observation.heard`, all randomness in `observation.rng()`. An agent whose class sets
    `sees_all = True` is shown everybody's secrets (an oracle for reference rows).
    """

    def reply(self, observation: Observation) -> Reply:
        """Say something legal: one of `observation.options`."""
        ...


class Pool(Protocol):
    """Where agents of one kind are asked, in batches of their own choice.

    An agent's failure is a `Reply` with `error`, never an exception.
    """

    def ask(self, ticket: Ticket, observation: Observation) -> None:
        """Queue a question."""
        ...

    def poll(self, wait: float) -> list[tuple[Ticket, Reply]]:
        """Replies that are ready; waits up to about `wait` seconds for the first, maybe in vain."""
        ...
