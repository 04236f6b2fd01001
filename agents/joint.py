"""Negotiators that look for the best deal for both: the open one, who asks and tells, and the oracle.

The open negotiator trusts what it is told and tells the truth, so talk is worth something: two of them
reach the largest sum of utilities in four to six messages. It does not guard against lies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from ..protocols import Act, Content, Observation, OfferSpace
from .bargaining import ACCEPT, EPS, Say, floor, heard_offer, linear

LONG = 1 << 30


@dataclass(frozen=True, slots=True)
class Told:
    """What an agent said of its values; equal when its written form is."""

    written: str
    content: Content = field(compare=False)


@lru_cache(maxsize=16384)
def best_joint(space: OfferSpace, told: Told, low: float) -> tuple[int, float]:
    """Index of the offer with the largest sum of utilities, and the least own utility among its equals.

    Only offers worth more than `low` to the agent count, if there are any. Ties go to the larger product
    of utilities, then to the agent's own order.
    """
    mine, theirs = space.utilities, space.partner(told.content)
    ranks = [(round(a + b, 6), round(a * b, 6)) for a, b in zip(mine, theirs, strict=True)]
    worthy = [i for i, u in enumerate(mine) if u > low + EPS] or list(range(len(mine)))
    best = max(worthy, key=ranks.__getitem__)
    return best, min(mine[i] for i in worthy if ranks[i] == ranks[best])


def open_(observation: Observation, space: OfferSpace, chance: int) -> Say:
    """Ask and tell what things are worth, then propose what is best for both together.

    Knowing the other's values, it accepts an offer that gives it at least as much as a best joint deal
    would (so every best joint deal). Not told, it asks once, then concedes linearly. It tells once: when
    asked, or of itself. On its last turn it accepts whatever beats no deal.
    """
    me, asked, was_asked, has_told = observation.agent, False, False, False
    values: Content | None = None
    for message in observation.heard:
        mine = message.sender == me
        if message.act is Act.INFORM:
            if message.content is not None:
                if mine:
                    has_told = True
                else:
                    values = message.content
        elif message.act is Act.QUERY_REF:
            asked, was_asked = asked or mine, was_asked or not mine
    left = LONG if observation.left is None else observation.left
    offer, low = heard_offer(observation), floor(observation)
    worth = low if offer is None else space.utility(offer, mine=False)
    if left <= 2 and worth > low + EPS:
        return ACCEPT
    if values is None:
        if worth >= space.utilities[0] - EPS > low:
            return ACCEPT
        if left >= 3 and not has_told and _talks(observation):
            if was_asked or (offer is None and not asked and chance % 3 == 0):
                return Say(Act.INFORM, space.told())
        if left >= 4 and not asked and _talks(observation):
            return Say(Act.QUERY_REF)
        return linear(observation, space, chance)
    proposal, enough = best_joint(space, Told(values.model_dump_json(), values), low)
    if offer is not None and worth >= enough - EPS:
        return ACCEPT
    # Telling lets the other see that the proposal is good; now and then the proposal comes first.
    if left >= 3 and not has_told and (was_asked or chance % 4) and _talks(observation):
        return Say(Act.INFORM, space.told())
    return Say(Act.PROPOSE, space.offers[proposal])


def _talks(observation: Observation) -> bool:
    return observation.error is None and observation.may(Act.QUERY_REF)
