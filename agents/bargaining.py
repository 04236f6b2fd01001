"""Tactics for bargaining worlds: what to offer and what to accept, from utilities alone.

A tactic maps an observation and its `OfferSpace` to a `Say`. It keeps no state (everything that it needs
was heard), so it may serve thousands of episodes at once. `chance` is a hashed number of the turn, the
only randomness; the words are chosen elsewhere (`wording.py`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from operator import neg
from typing import Any, NamedTuple

from ..protocols import Act, Content, Observation, OfferSpace

HORIZON = 20
"""Messages after which tactics have conceded all, where the protocol sets no deadline."""
EPS = 1e-9


class Say(NamedTuple):
    """A decision, before it is put into words."""

    act: Act
    content: Content | dict[str, Any] | None = None
    to: str | None = None


Tactic = Callable[[Observation, OfferSpace, int], Say]
ACCEPT = Say(Act.ACCEPT_PROPOSAL)
LEAVE = Say(Act.CANCEL)


def floor(observation: Observation) -> float:
    """Utility of no deal: `no_deal` where the world has it, else 0."""
    return observation.private.get("no_deal", 0.0)


def ceiling(observation: Observation, space: OfferSpace) -> float:
    """Most that it hopes for: its target price (utility 1) if it has one, else its best offer."""
    best = space.utilities[0]
    return min(best, 1.0) if "target" in observation.private else best


def heard_offer(observation: Observation) -> Content | None:
    """The other's standing offer: what accepting would accept."""
    standing = observation.standing
    if standing is None or standing.sender == observation.agent:
        return None
    return standing.content


def lapse(observation: Observation) -> float:
    """Share of the own turns that has passed: 0 at the first one, 1 at the last."""
    deadline = observation.deadline or HORIZON
    left = observation.left
    said = deadline - left if left is not None else len(observation.heard)
    agents = len(observation.agents)
    last = (deadline - 1 - said % agents) // agents
    return min(said // agents / last, 1.0) if last else 1.0


def offer_at(space: OfferSpace, target: float, chance: int) -> int:
    """Index of the offer worth least of those worth at least `target`; ties by `chance`."""
    utilities = space.utilities
    end = bisect_right(utilities, EPS - target, key=neg) or 1
    start = bisect_left(utilities, -utilities[end - 1], key=neg)
    return start + chance % (end - start)


def conceding(beta: float, k: float = 0.0) -> Tactic:
    """The time-dependent tactic of Faratin, Sierra & Jennings 1998 (RAS 24:159-182), section 4.1.

    target(t) = ceiling - alpha(t) (ceiling - floor),  alpha(t) = k + (1 - k) (t / T)^(1 / beta)

    with t counted in own turns, so that alpha is 1 at the last one. `beta` < 1 gives way late
    (boulware), 1 evenly (linear), > 1 early (conceder). It accepts what is at least as good as its own
    next offer (AC_next, Baarslag, Hindriks & Jonker 2013).
    """
    power = 1 / beta

    def tactic(observation: Observation, space: OfferSpace, chance: int) -> Say:
        low, high = floor(observation), ceiling(observation, space)
        alpha = k + (1 - k) * lapse(observation) ** power
        index = offer_at(space, high - alpha * (high - low), chance)
        offer = heard_offer(observation)
        if offer is not None:
            if space.utility(offer, mine=False) >= space.utilities[index] - EPS:
                return ACCEPT
        return Say(Act.PROPOSE, space.offers[index])

    return tactic


linear = conceding(1.0)
