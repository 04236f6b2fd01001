"""What talk tells of a secret: one who listens has a probability for everything that may be so, and hears.

A world that has secrets with finitely many possible values may say how its messages bear on them
(`World.listeners`, see `world.py`). Its listeners are ideal, not the agents that play: they go by typed
contents alone and by Bayes' rule,

    log p(h | heard)  =  log p(h)  +  sum over messages of log p(message | h)  -  log of the sum over h

and by a model of the speaker that stands beside each likelihood. What these models share stands here:

- A rational speaker chooses among its offers by logit choice (Luce 1959; McKelvey and Palfrey 1995, Games
  and Economic Behavior 10:6-38), as is usual in models of the opponent (Hindriks and Tykhonov 2008,
  AAMAS:331-338) and of action in general (Baker, Saxe and Tenenbaum 2009, Cognition 113:329-349).
- `SLIP` of all that is said is careless or untrue: then any other thing could as well have been said.
- To say the same again tells nothing more.

Left out: free words, what is told by accepting, refusing and by silence, and speakers who know that they
are listened to.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ..protocols import Message

Array = NDArray[np.float64]
SLIP = 0.1
"""Share of what is said that listeners expect to be careless or untrue, as in the hidden role."""
MOST = 5000
"""Hypotheses about one secret; where there are more, nobody listens."""
LN2 = float(np.log(2))
NEVER = -1e4
"""Stands for the logarithm of 0 in sums that it must not spoil."""


class Evidence(NamedTuple):
    """What a message is to a listener."""

    key: Hashable
    """Equal for messages that say the same."""
    logs: Array
    """log p(message | h) for each hypothesis, up to a constant, (H,)."""


class Bayes:
    """A listener to whom messages are independent given the secret, so that their order is nothing to it.

    `evidence` says what a message is to it, None where that is nothing.
    """

    def __init__(
        self, seat: str, prior: Array, truth: int, evidence: Callable[[Message], Evidence | None]
    ) -> None:
        self.seat, self.truth = seat, truth
        self.logs = np.log(prior)
        self._evidence, self._heard = evidence, set[Hashable]()

    def hear(self, message: Message) -> bool:
        """Take note; whether the message bears on the secret."""
        found = self._evidence(message)
        if found is None:
            return False
        if found.key not in self._heard:
            self._heard.add(found.key)
            self.logs = normal(self.logs + found.logs)
        return True


def held(message: Message, field: str) -> Any:
    """What a message's content holds under this name, None where nothing: records do not keep types."""
    return getattr(message.content, field, None)


def table_of(message: Message, field: str) -> Mapping[str, Any] | None:
    """The same, where it is a table of names."""
    found = held(message, field)
    return cast(Mapping[str, Any], found) if isinstance(found, Mapping) else None


def normal(logs: Array) -> Array:
    """Log-probabilities that sum to 1, (H,)."""
    shifted = logs - logs.max()
    return shifted - np.log(np.exp(shifted).sum())


def bits(logs: Array) -> float:
    """Entropy of a belief in bits, from its natural log-probabilities (H,)."""
    return float(-(np.exp(logs) @ np.maximum(logs, NEVER))) / LN2


def uniform(count: int) -> Array:
    """Every hypothesis as likely."""
    return np.full(count, 1 / count)


def careless(sensible: Array, ways: int) -> Array:
    """log p of what a sensible speaker says with these probabilities (H,), and a careless one, who has
    so many things to say, with one in `ways`."""
    return np.log((1 - SLIP) * sensible + SLIP / ways)


def others(seats: Sequence[str]) -> list[tuple[str, str]]:
    """(listener, speaker) of two."""
    one, two = seats
    return [(two, one), (one, two)]
