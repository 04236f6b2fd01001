"""Tactics for bargaining worlds: what to offer and what to accept, from one's own utilities.

A tactic maps an observation and its `OfferSpace` to a `Say`. It keeps no state (everything that it needs
was heard), so one tactic serves thousands of open episodes. `chance` is a hashed number of the turn, the
only randomness. Words are chosen elsewhere (`wording.py`). Left out: models of the opponent.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable
from functools import lru_cache
from operator import neg
from typing import Any, NamedTuple, cast

from ...protocols import Act, Content, Observation, OfferSpace

HORIZON = 20
"""Messages until time-dependent tactics have conceded all, where the protocol sets no deadline."""
EPS = 1e-9
"""Utilities closer than this are equal."""


class Say(NamedTuple):
    """A decision, before it is put into words."""

    act: Act
    content: Content | dict[str, Any] | None = None
    to: str | None = None


Tactic = Callable[[Observation, OfferSpace, int], Say]
ACCEPT = Say(Act.ACCEPT_PROPOSAL)
LEAVE = Say(Act.CANCEL)


def field(content: object, name: str) -> Any:
    """A field of a typed content or of one that is still a dict."""
    if isinstance(content, dict):
        return cast(dict[str, Any], content)[name]
    return getattr(content, name)


def floor(observation: Observation) -> float:
    """Utility of no deal: `no_deal` where the world has it, else 0."""
    return observation.about.private.get("no_deal", 0.0)


def ceiling(observation: Observation, space: OfferSpace) -> float:
    """The most it hopes for: its target price (utility 1) where it has one, else its best offer."""
    best = space.utilities[0]
    return min(best, 1.0) if "target" in observation.about.private else best


def offered(observation: Observation) -> Content | None:
    """The other's standing offer: what an acceptance would close."""
    standing = observation.standing
    if standing is None or standing.sender == observation.about.agent:
        return None
    return standing.content


def lapse(observation: Observation) -> float:
    """Share t / T of the own turns that has passed: 0 at the first one, 1 at the last."""
    about, left = observation.about, observation.left
    if about.deadline is None or left is None:
        return _lapse(len(observation.heard), HORIZON, len(about.agents))
    return _lapse(about.deadline - left, about.deadline, len(about.agents))


@lru_cache(maxsize=4096)
def _lapse(said: int, deadline: int, agents: int) -> float:
    last = (deadline - 1 - said % agents) // agents
    return min(said // agents / last, 1.0) if last else 1.0


@lru_cache(maxsize=4096)
def at_least(space: OfferSpace, target: float) -> int:
    """Index of the first of the offers worth least among those worth `target` or more."""
    utilities = space.utilities
    end = bisect_right(utilities, EPS - target, key=neg) or 1
    return bisect_left(utilities, -utilities[end - 1], key=neg)


@lru_cache(maxsize=4096)
def proposal(space: OfferSpace, index: int) -> Say:
    """To offer this one of the space's offers; who concedes offers the same few again and again."""
    return Say(Act.PROPOSE, space.offers[index])


def conceding(beta: float, k: float = 0.0) -> Tactic:
    """A time-dependent tactic (Faratin, Sierra & Jennings 1998, RAS 24:159-182, section 4.1).

    target(t) = ceiling - alpha(t) (ceiling - floor),  alpha(t) = k + (1 - k) (t / T)^(1 / beta)

    with t in own turns, so that alpha is 1 at the last one. `beta` < 1 gives way late (boulware), 1
    evenly (linear), > 1 early (conceder). It offers the least that reaches the target, and accepts
    what is worth no less than this next offer of its own (AC_next: Baarslag, Hindriks & Jonker 2013).
    """
    power = 1 / beta

    def tactic(observation: Observation, space: OfferSpace, chance: int) -> Say:
        low, high = floor(observation), ceiling(observation, space)
        alpha = k + (1 - k) * lapse(observation) ** power
        index = at_least(space, high - alpha * (high - low))
        offer = offered(observation)
        if offer is not None:
            worth = space.utility(offer, mine=False)
            if worth >= space.utilities[index] - EPS:
                return ACCEPT
        return proposal(space, index)

    return tactic


boulware, linear, conceder = conceding(0.2), conceding(1.0), conceding(5.0)


def hardliner(observation: Observation, space: OfferSpace, chance: int) -> Say:
    """Offer the best for itself every time; accept nothing less."""
    index = at_least(space, ceiling(observation, space))
    offer = offered(observation)
    if offer is not None and space.utility(offer, mine=False) >= space.utilities[index] - EPS:
        return ACCEPT
    return Say(Act.PROPOSE, space.offers[index])


def haphazard(observation: Observation, space: OfferSpace, chance: int) -> Say:
    """Accept or counter with even odds; every offer is as likely as any other.

    It neither talks nor leaves: those would only shorten the game that it is a yardstick for.
    """
    chance, coin = divmod(chance, 2)
    if coin and offered(observation) is not None:
        return ACCEPT
    return Say(Act.PROPOSE, space.offers[chance % len(space.offers)])


def micro(observation: Observation, space: OfferSpace, chance: int) -> Say:
    """MiCRO: minimal concession in reply to new offers (de Jonge 2022, IJCAI, pp. 223-229).

    With its offers in descending utility, n different ones made so far and m different ones heard: if
    n <= m and the next one beats no deal, it is ready to make that one; else it repeats one of its
    own at random. It accepts whatever is worth no less than the least that it is ready to offer.
    It pays no heed to deadlines.
    """
    made, heard = set[Hashable](), set[Hashable]()
    for message in observation.heard:
        if message.act is Act.PROPOSE:
            (made if message.sender == observation.agent else heard).add(_same(message.content))
    utilities, new = space.utilities, len(made)
    ready = new == 0 or (
        new <= len(heard) and new < len(utilities) and utilities[new] > floor(observation) + EPS
    )
    least = utilities[new if ready else new - 1]
    offer = offered(observation)
    if offer is not None and space.utility(offer, mine=False) >= least - EPS:
        return ACCEPT
    return Say(Act.PROPOSE, space.offers[new if ready else chance % new])


def _same(offer: Content | None) -> Hashable:
    """Equal for equal offers, in whatever order their parts were named."""
    parts = vars(offer).values() if offer is not None else ()
    return tuple(
        frozenset(cast(dict[str, Any], part).items()) if isinstance(part, dict) else part
        for part in parts
    )
