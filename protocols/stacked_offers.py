"""Alternating offers for any number of agents, in turns (Stacked Alternating Offers, Aydogan et al. 2017).

The last offer lies on the table for everyone else to answer, one after the other; another offer takes
its place and all must answer anew. It becomes a deal when all have accepted. Fewer may be enough, or some
may have a veto: that is for the world to say, which then ends the talk itself. Left out of the paper's
protocol: the timer (deadlines count messages). Added: talk, which leaves the offer where it is, and
`decline`, to answer no without an offer of one's own. What an agent said last counts.
"""

from __future__ import annotations

from functools import lru_cache

from .message import Act, Ended, Offer, Preferences
from .protocol import ANY, OTHER, SAME, TURN, Move, Protocol, State

ASKED, FOR, AGAINST = "asked", "for", "against"


@lru_cache
def stacked_offers(
    deadline: int | None = 30, talk: bool = True, decline: bool = False, leave: bool = True
) -> Protocol:
    """The protocol with at most `deadline` messages; `leave=False`: nobody can break off the talk.

    With `decline` agents may refuse an offer and leave it on the table; when all have answered and
    not enough accepted, it is off the table.
    """
    talking = (
        Move(ANY, TURN, Act.QUERY_REF, None, SAME, "ask what the others value"),
        Move(ANY, TURN, Act.INFORM, Preferences, SAME, "say what you value"),
        Move(ANY, TURN, Act.INFORM, None, SAME, "only talk"),
    )
    declining = Move("offered", OTHER, Act.REFUSE, None, SAME,
                     "answer no; the offer stays on the table for the others",
                     sender_becomes=AGAINST)  # fmt: skip
    leaving = Move(ANY, TURN, Act.CANCEL, None, Ended.WALKED_AWAY,
                   "leave: the talk ends for everyone without a deal")  # fmt: skip
    return Protocol(
        name="stacked_offers",
        source="Aydogan, Festen, Hindriks & Jonker 2017, Alternating Offers Protocols for"
        " Multilateral Negotiation",
        summary="two or more agents in turns accept the standing offer, make another or walk away",
        states=(
            State("open"),
            State("offered", while_any=ASKED, then=((AGAINST, "open"), (None, Ended.AGREED))),
        ),
        # state     who    act               content  leads to
        moves=(
            Move("open", TURN, Act.PROPOSE, Offer, "offered", "make an offer",
                 sender_becomes=FOR, receiver_becomes=ASKED),
            Move("offered", TURN, Act.PROPOSE, Offer, "offered", "make an offer",
                 sender_becomes=FOR, receiver_becomes=ASKED),
            Move("offered", OTHER, Act.ACCEPT_PROPOSAL, None, SAME,
                 "accept the last offer: a deal once enough of you have", sender_becomes=FOR),
            *((declining,) if decline else ()),
            *(talking if talk else ()),
            *((leaving,) if leave else ()),
        ),
        size=(2, None),
        deadline=deadline,
    )  # fmt: skip
