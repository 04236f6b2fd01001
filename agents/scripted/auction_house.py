"""Players of the auction house: bidders who tell the truth, shade, or know the theory; an auctioneer.

A bidder is its *limit*: the price that it bids where bids are sealed, or up to which it takes what is
called. With n bidders and values drawn uniformly from the prices (Vickrey 1961; Milgrom and Weber 1982):

    truthful   v                                          dominant at the second price and English
    shaded     v - (v - low) / n                          the equilibrium at the first price and Dutch
    common     signal - noise (n - 2) / n                 second price: as if tied for the best signal
               signal - noise                             first price: nearly the equilibrium

Left out: learning what others think from the prices at which they leave.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from math import ceil, floor

from ...protocols import Act, Observation, Reply
from .bargaining import field

Player = Callable[[Observation, random.Random], Reply]
Limit = Callable[[Observation], float]


def estimate(observation: Observation) -> float:
    """The own value, or the signal of a common worth as it is."""
    private = observation.private
    return private["value"] if "value" in private else private["signal"]


def shaded(observation: Observation) -> float:
    """The estimate less an n-th of what it is above the lowest price."""
    public, value = observation.public, estimate(observation)
    return value - max(value - public["low"], 0) / len(public["bidders"])


def reasoned(observation: Observation) -> float:
    """The limit that suits the auction and the kind of worth."""
    public = observation.public
    pays_own = public["auction"] in ("first_price", "dutch_auction")
    if not public["common"]:
        return shaded(observation) if pays_own else estimate(observation)
    n = len(public["bidders"])
    return estimate(observation) - public["noise"] * (1 if pays_own else (n - 2) / n)


def _grid(observation: Observation, price: float) -> int | None:
    """The highest price not above this one; None when the lowest is."""
    low, high, tick = (observation.public[k] for k in ("low", "high", "tick"))
    at = min(floor(price / tick + 1e-9) * tick, high)
    return at if at >= low else None


def _bidding(observation: Observation, rng: random.Random, limit: float) -> Reply:
    """Bid the limit where bids are sealed; else take the call if it is within it."""
    price = _grid(observation, limit)
    call = _called(observation)
    if call is not None:
        price = call if price is not None and call <= price else None
    if price is None:
        return _say(
            observation,
            rng,
            Act.REFUSE,
            None,
            ("Not at this price.", "Too much for me.", "I pass."),
        )
    words = ("{p} from me.", "I bid {p}.", "I offer {p}.") if call is None else (
        "I take it at {p}.", "{p}, yes.", "Mine at {p}."
    )  # fmt: skip
    return _say(observation, rng, Act.PROPOSE, price, words)


def _called(observation: Observation) -> int | None:
    """The last price called; None where bids are sealed, or before the first call."""
    for message in reversed(observation.heard):
        if message.act is Act.CFP:
            return field(message.content, "price")
    return None


def _say(
    observation: Observation,
    rng: random.Random,
    act: Act,
    price: int | None,
    words: tuple[str, ...],
) -> Reply:
    text = rng.choice(words).format(p=price, item=observation.public["item"])
    text = text if len(text) <= observation.max_text else ""
    content = {"price": price} if act in (Act.CFP, Act.PROPOSE) else None
    to = next((o.to for o in observation.options if o.move.act is act), ())
    return Reply.said(act, content, to[0] if to else None, text)


def auctioneer(observation: Observation, rng: random.Random) -> Reply:
    """Calls price after price, the English way up from its reserve or the Dutch way down to it."""
    reserve = observation.private["reserve"]
    if observation.may(Act.ACCEPT_PROPOSAL):
        return _say(
            observation,
            rng,
            Act.ACCEPT_PROPOSAL,
            None,
            ("Yours for now.", "Accepted.", "I hear you."),
        )
    if observation.may(Act.REQUEST):
        worth = (_taken(observation) or 0) >= reserve
        act = Act.REQUEST if worth else Act.REJECT_PROPOSAL
        words = ("Sold. Please pay.",) if worth else ("My reserve was not reached.",)
        return _say(observation, rng, act, None, words)
    if observation.may(Act.CFP):
        price = _next_call(observation, reserve)
        if price is not None:
            words = ("Who takes the {item} at {p}?", "{p} for the {item}!", "I call {p}.")
            return _say(observation, rng, Act.CFP, price, words)
        return _say(
            observation, rng, Act.INFORM, None, ("That was the last call.", "The bidding is over.")
        )
    opening = _called(observation) is None
    words = (
        ("For sale: one {item}.", "Let us begin: the {item}.")
        if opening
        else ("The bidding is over.",)
    )
    return _say(observation, rng, Act.INFORM, None, words)


def _next_call(observation: Observation, reserve: int) -> int | None:
    """A step on from the last call, the first at the reserve or the highest price; None at the end."""
    low, high, tick = (observation.public[k] for k in ("low", "high", "tick"))
    call, least = _called(observation), max(-(-reserve // tick) * tick, low)
    if observation.public["auction"] == "english_auction":
        price = least if call is None else call + _step(observation, high - call)
        return price if price <= high else None
    price = high if call is None else call - _step(observation, call - least)
    return price if price >= least else None


def _step(observation: Observation, room: int) -> int:
    """A tick, or as many as bring the calls to an end before the deadline does."""
    tick: int = observation.public["tick"]
    if observation.left is None:
        return tick
    # A call, an answer of each bidder, an acceptance; and three messages to close with.
    calls = max((observation.left - 3) // (len(observation.public["bidders"]) + 2), 1)
    return max(ceil(room / tick / calls), 1) * tick


def _taken(observation: Observation) -> int | None:
    """The price of the last bid that this auctioneer accepted."""
    bids = [m for m in observation.heard if m.act is Act.PROPOSE]
    return field(bids[-1].content, "price") if bids else None


def bidding_by(limit: Limit) -> Player:
    """A player that bids up to a limit; in the auctioneer's seat it calls like `auctioneer`."""

    def player(observation: Observation, rng: random.Random) -> Reply:
        if "reserve" in observation.private:
            return auctioneer(observation, rng)
        return _bidding(observation, rng, limit(observation))

    return player


def truthful(observation: Observation, rng: random.Random) -> Reply:
    """Bids what the good is worth to it, whatever the auction."""
    return bidding_by(estimate)(observation, rng)


def shade(observation: Observation, rng: random.Random) -> Reply:
    """Bids (n - 1) / n of its value: the first-price equilibrium of n uniform values (Vickrey 1961)."""
    return bidding_by(shaded)(observation, rng)


def sensible(observation: Observation, rng: random.Random) -> Reply:
    """Bids the truth at the second price, shades at the first, and minds the winner's curse."""
    return bidding_by(reasoned)(observation, rng)


def oracle(observation: Observation, rng: random.Random) -> Reply:
    """Gives the good to whom it is worth most: nobody else bids, and it pays the least it must."""
    if observation.secrets is None:
        raise ValueError("the oracle needs sees_all: it must be shown all secrets")
    secrets, public = observation.secrets, observation.public
    worth = {a: secrets[a].get("value", secrets[a].get("signal", 0)) for a in public["bidders"]}
    best = max(worth, key=worth.__getitem__)
    if "reserve" in observation.private:
        return auctioneer(observation, rng)
    wants = observation.agent == best
    if _called(observation) is None:
        return _bidding(
            observation, rng, public["low"] if wants else public["low"] - public["tick"]
        )
    return _bidding(observation, rng, worth[best] if wants else public["low"] - public["tick"])


AUCTION_HOUSE: dict[str, Player] = {
    player.__name__: player for player in (truthful, shade, sensible, oracle, auctioneer)
}
"""Name -> player of `auction_house`."""
