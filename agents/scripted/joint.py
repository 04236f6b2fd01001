"""Negotiators that look for the best deal for both: the open one, who asks and tells, and the oracle.

The open negotiator believes what it is told and tells the truth, so talk is worth something: two of
them reach the largest sum of utilities in four to six messages. It does not guard against lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as member
from functools import lru_cache
from math import ceil
from typing import NamedTuple

from ...protocols import Act, Content, Observation, OfferSpace, Preferences
from .bargaining import ACCEPT, EPS, LEAVE, Say, field, floor, linear, offered

UNLIMITED = 1 << 30
"""Messages left where there is no deadline."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an agent said of its values; equal when its written form is."""

    written: str
    content: Content = member(compare=False)


class Best(NamedTuple):
    """The deal to propose."""

    at: int
    """Index of the offer in the space."""
    enough: float
    """Least own utility among the deals that are as good as this one."""


@lru_cache(maxsize=4096)
def best_sum(space: OfferSpace, told: Told, low: float) -> Best:
    """The deal with the largest sum of utilities; ties by their product, then by the own order.

    Only deals that leave each more than `low` count, if there are any: the other's utility of no deal
    is its secret, and taken to be the own one.
    """
    mine, theirs = space.utilities, space.partner(told.content)
    least = low + EPS
    worthy = [i for i, u in enumerate(theirs) if u > least and mine[i] > least]
    sums = [a + b for a, b in zip(mine, theirs, strict=True)]
    products = [a * b for a, b in zip(mine, theirs, strict=True)]
    return _best(sums, products, mine, worthy or range(len(mine)))


@lru_cache(maxsize=4096)
def best_product(space: OfferSpace, told: Told, low: float, other_low: float) -> Best | None:
    """The deal with the largest product of gains over no deal (Nash 1950); ties by their sum.

    None when every deal is worse than none for someone.
    """
    mine, theirs = space.utilities, space.partner(told.content)
    gains = [(a - low, b - other_low) for a, b in zip(mine, theirs, strict=True)]
    good = [i for i, (a, b) in enumerate(gains) if a >= -EPS and b >= -EPS]
    if not good:
        return None
    return _best([a * b for a, b in gains], [a + b for a, b in gains], mine, good)


def _best(
    first: Sequence[float], second: Sequence[float], mine: Sequence[float], among: Sequence[int]
) -> Best:
    """The offer with the largest `first`, then the largest `second`, then the best for itself."""
    for ranks in (first, second):
        most = max([ranks[i] for i in among]) - EPS
        among = [i for i in among if ranks[i] >= most]
    return Best(among[0], mine[among[-1]])


def best_price(
    observation: Observation, space: OfferSpace, mine: float, theirs: float, low: float
) -> Best | None:
    """The price halfway between two limits, to the nearest tick: it splits the bargaining zone.

    Every price in the zone has the same sum of money gained, so this one is the fair pick. None when
    there is no zone.
    """
    sells = observation.role == "seller"
    least, most = (mine, theirs) if sells else (theirs, mine)
    if least > most + EPS:
        return None
    public = observation.public
    step = round((public["high"] - public["low"]) / public["tick"])
    up = ceil(((least + most) / 2 - public["low"]) / public["tick"] - 0.5 - EPS)
    at = step - up if sells else up
    if not 0 <= at <= step or space.utilities[at] < low - EPS:
        return None
    return Best(at, space.utilities[at])


def open_(observation: Observation, space: OfferSpace, chance: int) -> Say:
    """Ask and tell what things are worth, then propose what is best for both together.

    Told the other's values, it accepts an offer that gives it no less than a best joint deal would (so
    every best joint deal) and leaves if no deal suits both. Not told, it asks once, then concedes
    linearly. It tells once: when asked, or of itself. On its last turn it accepts what beats no deal.
    """
    me, asked, was_asked, has_told = observation.agent, False, False, False
    values: Content | None = None
    for message in observation.heard:
        mine = message.sender == me
        if message.act is Act.INFORM:
            if message.content is not None:
                has_told, values = (True, values) if mine else (has_told, message.content)
        elif message.act is Act.QUERY_REF:
            asked, was_asked = asked or mine, was_asked or not mine
    left = UNLIMITED if observation.left is None else observation.left
    offer, low = offered(observation), floor(observation)
    worth = low if offer is None else space.utility(offer, mine=False)
    if left <= 2 and worth > low + EPS:
        return ACCEPT
    # Talk needs time for its fruit: telling, then their offer, then the answer; asking, one more.
    polite = observation.error is None  # else its last reply, maybe talk, was not legal
    may_tell = polite and left >= 3 and not has_told and observation.may(Act.INFORM, True)
    if values is None:
        if offer is not None and worth >= space.utilities[0] - EPS:
            return ACCEPT
        if may_tell and (was_asked or (offer is None and not asked and chance % 3 == 0)):
            return Say(Act.INFORM, space.told())
        if polite and left >= 4 and not asked and observation.may(Act.QUERY_REF):
            return Say(Act.QUERY_REF)
        return linear(observation, space, chance)
    if "tick" in observation.public:
        limits = field(space.told(), "limit"), field(values, "limit")
        best = best_price(observation, space, *limits, low)
    else:
        best = best_sum(space, Told(values.model_dump_json(), values), low)
    if offer is not None and worth >= (low + 2 * EPS if best is None else best.enough - EPS):
        return ACCEPT
    # Telling lets the other see that the proposal is good; now and then the proposal comes first.
    if may_tell and (was_asked or best is None or chance % 4):
        return Say(Act.INFORM, space.told())
    return LEAVE if best is None else Say(Act.PROPOSE, space.offers[best.at])


def nash(observation: Observation, space: OfferSpace, chance: int) -> Say:
    """Propose the deal with the largest product of gains, from everybody's secrets.

    It accepts what is worth no less to it, on its last turn whatever beats no deal, and leaves when
    no deal suits both. Raises `ValueError` where it was not shown the secrets.
    """
    if observation.secrets is None:
        raise ValueError("the nash strategy needs sees_all: it must be shown everybody's secrets")
    other = next(a for a in observation.agents if a != observation.agent)
    secret, low = observation.secrets[other], floor(observation)
    if "tick" in observation.public:
        limits = observation.private["reserve"], secret["reserve"]
        best = best_price(observation, space, *limits, low)
    else:
        told = Told(
            repr(secret["values"]), Preferences.model_validate({"values": secret["values"]})
        )
        best = best_product(space, told, low, secret.get("no_deal", 0.0))
    offer, left = offered(observation), observation.left
    if offer is not None:
        worth = space.utility(offer, mine=False)
        if best is not None and worth >= best.enough - EPS:
            return ACCEPT
        if worth > low + EPS and left is not None and left <= 2:
            return ACCEPT
    return LEAVE if best is None else Say(Act.PROPOSE, space.offers[best.at])
