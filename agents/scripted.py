"""Scripted agents by name: a tactic for what to do, words to match, and nothing remembered.

A strategy is a function of the observation; randomness comes from its key alone.
"""

from __future__ import annotations

from collections.abc import Callable

from ..protocols import MootError, Observation, Reply
from .bargaining import Tactic, linear as linear_tactic
from .joint import open_
from .wording import words


class Scripted:
    """An agent that follows a tactic. `words=False` leaves the free text empty."""

    def __init__(self, bargain: Tactic, words: bool = True, sees_all: bool = False) -> None:
        self.bargain, self.words, self.sees_all = bargain, words, sees_all

    def reply(self, observation: Observation) -> Reply:
        """The tactic's move for this observation. Raises `MootError` in a world that it cannot play."""
        chance = observation.key.number("scripted")
        space = observation.space
        if space is None:
            raise MootError(f"scripted agents do not know the world {observation.world!r}")
        say = self.bargain(observation, space, chance & 0xFFFFFFFF)
        text = words(observation, say.act, say.content, chance >> 32) if self.words else ""
        return Reply(act=say.act, to=say.to, content=say.content, text=text)


def open(words: bool = True) -> Scripted:
    """Asks what things are worth, tells its own, proposes the best deal for both together."""
    return Scripted(open_, words)


def linear(words: bool = True) -> Scripted:
    """Concedes evenly over time (Faratin et al. 1998, beta 1)."""
    return Scripted(linear_tactic, words)


STRATEGIES: dict[str, Callable[..., Scripted]] = {"linear": linear, "open": open}
