"""Scripted agents by name: a tactic for each kind of world, and words to match.

A strategy is a function of the observation alone (all history is in it); its randomness comes from the
observation's key. Every strategy plays every world that ships: with offers to rank it bargains
(`bargaining.py`, `joint.py`), on the contract net it manages or bids (`contractors.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ...protocols import MootError, Observation, Reply
from . import bargaining, contractors, joint, parties
from .bargaining import Say, Tactic
from .contractors import Prices, margin
from .wording import words as worded

OPEN = parties.at_any_table(joint.open_, parties.open_)
BOULWARE = parties.conceding(bargaining.boulware, 0.2)
LINEAR = parties.conceding(bargaining.linear, 1.0)
CONCEDER = parties.conceding(bargaining.conceder, 5.0)
NASH = parties.at_any_table(joint.nash, parties.nash)
HALF = (1 << 64) - 1
"""The lower half of the bits of a hashed number."""
Award = Callable[[Observation, int], Say]


class Scripted:
    """An agent that follows tactics. `words=False` leaves the free text empty.

    `prices` None bids at random. `sees_all` declares that the tactics need everybody's secrets.
    """

    def __init__(
        self,
        bargain: Tactic,
        prices: Prices | None,
        award: Award = contractors.award,
        *,
        words: bool = True,
        sees_all: bool = False,
    ) -> None:
        self.bargain, self.prices, self.award = bargain, prices, award
        self.words, self.sees_all = words, sees_all

    def reply(self, observation: Observation) -> Reply:
        """The move for this observation. Raises `MootError` in a world that scripts cannot play."""
        number = observation.number("scripted")
        about = observation.about
        chance, space = number & HALF, about.space
        if space is not None:
            say = self.bargain(observation, space, chance)
        elif about.role == "manager":
            say = self.award(observation, chance)
        elif about.role == "bidder":
            say = contractors.bid(observation, chance, self.prices)
        else:
            raise MootError(f"scripted agents do not know the world {about.world!r}")
        text = worded(observation, say.act, say.content, number >> 64) if self.words else ""
        return Reply.said(say.act, say.content, say.to, text)


def boulware(words: bool = True) -> Scripted:
    """Concedes late (Faratin et al. 1998, beta 0.2); bids cost plus half of the room above it."""
    return Scripted(BOULWARE, margin(0.5), words=words)


def conceder(words: bool = True) -> Scripted:
    """Concedes early (Faratin et al. 1998, beta 5); bids cost plus a tenth of the room above it."""
    return Scripted(CONCEDER, margin(0.1), words=words)


def hardliner(words: bool = True) -> Scripted:
    """Never concedes: asks for its best and accepts nothing less; bids the highest price."""
    return Scripted(bargaining.hardliner, margin(1.0), words=words)


def honest(words: bool = True) -> Scripted:
    """Bids its true costs; bargains like open."""
    return Scripted(OPEN, margin(0.0), words=words)


def linear(words: bool = True) -> Scripted:
    """Concedes evenly (Faratin et al. 1998, beta 1); bids cost plus a quarter of the room above it."""
    return Scripted(LINEAR, margin(0.25), words=words)


def manager(words: bool = True) -> Scripted:
    """Awards tasks so that value minus price is largest; bids true costs and bargains like open."""
    return Scripted(OPEN, margin(0.0), words=words)


def markup(words: bool = True) -> Scripted:
    """Bids cost times 1.1 to 1.5, the factor its own for the whole run; bargains like boulware."""
    return Scripted(BOULWARE, contractors.markup, words=words)


def micro(words: bool = True) -> Scripted:
    """MiCRO: concedes one step for each new offer it hears (de Jonge 2022); bids like boulware."""
    return Scripted(bargaining.micro, margin(0.5), words=words)


def nash(words: bool = True) -> Scripted:
    """Oracle from all secrets: the largest product of gains; in contracting, the largest sum."""
    award = partial(contractors.award, full_information=True)
    return Scripted(NASH, margin(0.0), award, words=words, sees_all=True)


def open_(words: bool = True) -> Scripted:
    """Asks what things are worth, tells its own, proposes the best for both; bids cost plus 5 %."""
    return Scripted(OPEN, margin(0.05), words=words)


def random_(words: bool = True) -> Scripted:
    """Accepts or offers at random, any offer as likely as any other."""
    return Scripted(bargaining.haphazard, None, contractors.award_haphazardly, words=words)


STRATEGIES: dict[str, Callable[..., Scripted]] = {
    make.__name__.rstrip("_"): make
    for make in (
        boulware, conceder, hardliner, honest, linear, manager, markup, micro, nash, open_, random_,
    )
}  # fmt: skip
"""Name -> maker of the agent, `maker(words=True)`; the first line of its docstring sums it up."""
