"""Negotiators at a table of many, who look for the deal that suits all: the open one, and the oracle.

As with two (`joint.py`), the open negotiator tells the truth and believes what it is told. When all have
told, the same deal is the best one for everyone who counts, so the first to speak proposes it and the
others accept. Who concedes over time makes, of the offers that are good enough for itself, the one
closest to what the others want. Left out: coalitions against somebody who is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as member
from functools import lru_cache
from typing import NamedTuple

from ...protocols import Act, Content, Observation, OfferSpace, Preferences
from .bargaining import (
    ACCEPT,
    EPS,
    LEAVE,
    Say,
    Tactic,
    ceiling,
    field,
    floor,
    lapse,
    offered,
    proposal,
)
from .joint import Told


@dataclass(frozen=True, slots=True)
class Party:
    """What one party says or is known to want; equal when its written form is."""

    written: str
    values: Content = member(compare=False)
    no_deal: float = member(compare=False)
    vetoes: bool


def at_any_table(two: Tactic, many: Tactic) -> Tactic:
    """One tactic between two who may leave, another at any other table."""

    def tactic(observation: Observation, space: OfferSpace, chance: int) -> Say:
        pair = len(observation.agents) == 2 and observation.may(Act.CANCEL)
        return (two if pair else many)(observation, space, chance)

    return tactic


def conceding(two: Tactic, beta: float) -> Tactic:
    """Concession over time (Faratin, Sierra & Jennings 1998) where several issues are open.

    The target falls as in `bargaining.conceding`; among the many deals that reach it, it makes a trade-off
    towards the others' last offers (their later paper: 2002, Artif. Intell. 142:205-237, with equal
    issues for similar ones). `two` plays where deals have no issues.
    """
    power = 1 / beta

    def tactic(observation: Observation, space: OfferSpace, chance: int) -> Say:
        if "issues" not in observation.public:
            return two(observation, space, chance)
        return _conceded(observation, space, lapse(observation) ** power)

    return tactic


def _conceded(observation: Observation, space: OfferSpace, alpha: float) -> Say:
    """Accept what reaches the target; else, of what does, offer what the others like best."""
    low, high = floor(observation), ceiling(observation, space)
    target, offer = high - alpha * (high - low), offered(observation)
    if offer is not None and space.utility(offer, mine=False) >= target - EPS:
        return ACCEPT
    told, wishes = _heard(observation)
    return proposal(space, closest(space, target, told, wishes))


def _heard(observation: Observation) -> tuple[tuple[Told, ...], tuple[Told, ...]]:
    """What the others told of their values and, of those who did not, what they last offered."""
    told: dict[str, Told] = {}
    wishes: dict[str, Told] = {}
    for message in observation.heard:
        if message.content is not None and message.sender != observation.agent:
            kept = told if message.act is Act.INFORM else wishes
            kept[message.sender] = Told(message.content.model_dump_json(), message.content)
    silent = tuple(wish for sender, wish in wishes.items() if sender not in told)
    return tuple(told.values()), silent


class Ranked(NamedTuple):
    """How good each offer of a space is for the table as a whole, in the space's order."""

    merits: Sequence[tuple[float, ...]]
    at: int
    """Index of the best one."""


@lru_cache(maxsize=1024)
def best_for_all(space: OfferSpace, parties: tuple[Party, ...], need: int) -> Ranked:
    """Ranks deals: first those that enough parties would sign, then by how many are content, by the
    product of their gains over no deal (Nash 1950), by the sum of all gains."""
    gains = [[u - p.no_deal for u in space.partner(p.values)] for p in parties]
    vetoes = [p.vetoes for p in parties]
    merits: list[tuple[float, ...]] = []
    for each in zip(*gains, strict=True):
        content, product, barred = 0, 1.0, False
        for gain, veto in zip(each, vetoes, strict=True):
            if gain >= -EPS:
                content += 1
                product *= max(gain, 0.0)
            elif veto:
                barred = True
        merits.append((content >= need and not barred, content, product, sum(each)))
    return Ranked(merits, max(range(len(merits)), key=merits.__getitem__))


def open_(observation: Observation, space: OfferSpace, chance: int) -> Say:
    """Tell what things are worth, then propose and accept what is best for all who told.

    Where somebody stays silent it concedes linearly. On its last turn it accepts what beats no deal.
    """
    me, many = observation.agent, len(observation.agents)
    told = {
        m.sender: m.content
        for m in observation.heard
        if m.act is Act.INFORM and m.content is not None
    }
    low, left, offer = floor(observation), observation.left, offered(observation)
    worth = low if offer is None else space.utility(offer, mine=False)
    if offer is not None and left is not None and left <= many and worth > low + EPS:
        return ACCEPT
    # Others must have the time to tell as well, then to propose and to accept.
    polite = observation.error is None and (left is None or left >= 2 * many)
    if polite and me not in told and observation.may(Act.INFORM, True):
        return Say(Act.INFORM, space.told())
    if len(told) < many:
        return _conceded(observation, space, lapse(observation))
    public = observation.public
    parties = tuple(
        Party(told[a].model_dump_json(), told[a], field(told[a], "no_deal"), a in public["veto"])
        for a in observation.agents
    )
    return _towards(observation, space, best_for_all(space, parties, public["need"]), offer)


def _towards(
    observation: Observation, space: OfferSpace, ranked: Ranked, offer: Content | None
) -> Say:
    """Propose the best deal for all, accept one as good; who is left out of it does not help."""
    low, (merits, at) = floor(observation), ranked
    if offer is not None:
        index = space.offers.index(offer)
        if merits[index] >= merits[at] and space.utilities[index] >= low - EPS:
            return ACCEPT
        if merits[index] >= merits[at] and observation.may(Act.REFUSE):
            return Say(Act.REFUSE)
    standing = observation.standing
    tabled = standing is not None and standing.content == space.offers[at]
    left_out = space.utilities[at] < low - EPS
    if (left_out or tabled) and observation.may(Act.INFORM, False):
        return Say(Act.INFORM)  # nothing better to say: talk leaves the offer where it is
    return Say(Act.PROPOSE, space.offers[0 if left_out else at])


@lru_cache(maxsize=4096)
def closest(
    space: OfferSpace, target: float, values: tuple[Told, ...], asked: tuple[Told, ...]
) -> int:
    """Of the offers worth `target` or more: the one with the most support among the others, of equal
    ones the one worth least to itself.

    A party's support is the share of its best deal that it gets, if it told its `values`, else the
    share of issues that are as in its last proposal, `asked`.
    """
    enough = [i for i, u in enumerate(space.utilities) if u >= target - EPS] or [0]
    support = [0.0] * len(enough)
    for told in values:
        theirs = space.partner(told.content)
        most = max(*theirs, EPS)
        support = [s + theirs[i] / most for s, i in zip(support, enough, strict=True)]
    for told in asked:
        wish: dict[str, str] = field(told.content, "deal")
        deals: list[dict[str, str]] = [field(space.offers[i], "deal") for i in enough]
        shares = [sum(d[k] == v for k, v in wish.items()) / len(wish) for d in deals]
        support = [s + share for s, share in zip(support, shares, strict=True)]
    return enough[max(range(len(enough)), key=lambda i: (round(support[i], 9), i))]


def nash(observation: Observation, space: OfferSpace, chance: int) -> Say:
    """The oracle of many: from everybody's secrets, the best deal for all who count.

    It accepts what is worth no less to it, on its last turn whatever beats no deal. Raises `ValueError`
    where it was not shown the secrets.
    """
    secrets, public = observation.secrets, observation.public
    if secrets is None:
        raise ValueError("the nash strategy needs sees_all: it must be shown everybody's secrets")
    parties = tuple(
        Party(
            repr(secrets[a]),
            Preferences.model_validate({"values": secrets[a]["values"]}),
            secrets[a]["no_deal"],
            a in public["veto"],
        )
        for a in observation.agents
    )
    ranked = best_for_all(space, parties, public["need"])
    offer, low, left = offered(observation), floor(observation), observation.left
    if offer is not None:
        worth = space.utility(offer, mine=False)
        last = left is not None and left <= len(observation.agents)
        if worth >= low - EPS and worth >= space.utilities[ranked.at] - EPS:
            return ACCEPT
        if last and worth > low + EPS:
            return ACCEPT
    if not any(merit[0] for merit in ranked.merits) and observation.may(Act.CANCEL):
        return LEAVE
    return _towards(observation, space, ranked, offer)
