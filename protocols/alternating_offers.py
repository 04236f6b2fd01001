"""Alternating offers for two agents, with free talk (Rubinstein 1982, Econometrica 50:97-109).

An offer stays on the table until it is answered by another or taken off by a rejection; talk leaves it
there. So nobody can accept their own offer (`OTHER`) nor one that was rejected (state `open` again).
"""

from __future__ import annotations

from functools import lru_cache

from .message import Act, Ended, Offer, Preferences
from .protocol import ANY, OTHER, SAME, TURN, Move, Protocol, State


@lru_cache
def alternating_offers(deadline: int | None = 12, talk: bool = True) -> Protocol:
    """The protocol with at most `deadline` messages; `talk=False` leaves only offers and answers."""
    talking = (
        Move(ANY, TURN, Act.QUERY_REF, None, SAME, "ask what the other values"),
        Move(ANY, TURN, Act.INFORM, Preferences, SAME, "say what you value"),
        Move(ANY, TURN, Act.INFORM, None, SAME, "only talk"),
    )
    return Protocol(
        name="alternating_offers",
        source="Rubinstein 1982, Perfect Equilibrium in a Bargaining Model",
        summary="two agents propose, counter, talk, accept or walk away, in turns",
        states=(State("open"), State("offered")),
        # state     who    act               content  leads to
        moves=(
            Move("open", TURN, Act.PROPOSE, Offer, "offered", "make an offer"),
            Move("offered", TURN, Act.PROPOSE, Offer, "offered", "make an offer"),
            Move("offered", OTHER, Act.ACCEPT_PROPOSAL, None, Ended.AGREED,
                 "accept the other's last offer: the deal is closed"),
            Move("offered", OTHER, Act.REJECT_PROPOSAL, None, "open",
                 "turn the other's offer down"),
            *(talking if talk else ()),
            Move(ANY, TURN, Act.CANCEL, None, Ended.WALKED_AWAY, "leave without a deal"),
        ),
        deadline=deadline,
    )  # fmt: skip
