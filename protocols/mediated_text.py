"""A single negotiating text: a mediator drafts, the parties only accept or reject, unheard by each other.

Fisher and Ury 1981, Getting to Yes, chapter 6; as an automaton Klein et al. 2003, Group Decision and
Negotiation 12:111-125. A draft that every party accepts stands until they all accept a better one; the
mediator ends the talk with the text that stands, or gives up while there is none. Left out: draft versions
signed one clause at a time.
"""

from __future__ import annotations

from functools import lru_cache

from .message import Act, Ended, Offer, Preferences
from .protocol import SAME, TURN, Move, Protocol, State

MEDIATOR, PARTY = "mediator", "party"
CONTENT, OPPOSED = "content", "opposed"
AFRESH = ((CONTENT, PARTY), (OPPOSED, PARTY))


@lru_cache
def mediated_text(deadline: int | None = 60, hearing: bool = True) -> Protocol:
    """One mediator, one or more parties, at most `deadline` messages.

    `hearing`: first each party tells the mediator alone what it values, in words or as data.
    """
    heard = (
        Move("hearing", TURN, Act.INFORM, Preferences, SAME, "say what you value", to=MEDIATOR),
        Move("hearing", TURN, Act.INFORM, None, SAME, "only talk", to=MEDIATOR),
    )
    answers = tuple(
        move
        for state in ("reviewing", "comparing")
        for move in (
            Move(state, TURN, Act.ACCEPT_PROPOSAL, None, SAME, "accept the draft",
                 to=MEDIATOR, sender_becomes=CONTENT),
            Move(state, TURN, Act.REJECT_PROPOSAL, None, SAME, "reject the draft",
                 to=MEDIATOR, sender_becomes=OPPOSED),
        )
    )  # fmt: skip
    return Protocol(
        name="mediated_text",
        source="Fisher and Ury 1981, Getting to Yes; Klein et al. 2003, Negotiating Complex Contracts",
        summary="a mediator drafts one text, parties accept or reject it unheard by each other",
        states=(
            *((State("hearing", floor=PARTY, rounds=1, then="drafting"),) if hearing else ()),
            State("drafting", floor=MEDIATOR),
            State("reviewing", floor=PARTY, while_any=PARTY,
                  then=((OPPOSED, "drafting"), (None, "improving"))),
            State("improving", floor=MEDIATOR),
            State("comparing", floor=PARTY, while_any=PARTY, then="improving"),
        ),
        # state          who   act          content  leads to
        moves=(
            *(heard if hearing else ()),
            Move("drafting", TURN, Act.PROPOSE, Offer, "reviewing", "put a draft before all",
                 shifts=AFRESH),
            Move("drafting", TURN, Act.CANCEL, None, Ended.REFUSED, "give up: no text stands"),
            *answers,
            Move("improving", TURN, Act.PROPOSE, Offer, "comparing",
                 "put a better draft before all; the old one stands until all accept the new one",
                 shifts=AFRESH),
            Move("improving", TURN, Act.INFORM, None, Ended.AGREED, "close: the text that stands is agreed"),
        ),
        roles={MEDIATOR: 1, PARTY: None},
        deadline=deadline,
    )  # fmt: skip
