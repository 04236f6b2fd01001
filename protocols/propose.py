"""Propose: one agent proposes something, another accepts or rejects it (FIPA SC00036H, 2002).

A single take-it-or-leave-it offer. The document's cancel has no place here: the initiator has no second
turn.
"""

from __future__ import annotations

from functools import lru_cache

from .message import Act, Ended, Offer
from .meta import not_understood
from .protocol import TURN, Move, Protocol, State

INITIATOR, PARTICIPANT = "initiator", "participant"


@lru_cache
def propose() -> Protocol:
    """Two agents, two messages."""
    return Protocol(
        name="propose",
        source="FIPA SC00036H Propose Interaction Protocol",
        summary="one agent makes an offer, another takes it or leaves it",
        states=(State("proposing", floor=INITIATOR), State("answering", floor=PARTICIPANT)),
        # state          who   act                  content  leads to
        moves=(
            Move("proposing", TURN, Act.PROPOSE, Offer, "answering", "make the one offer"),
            Move("answering", TURN, Act.ACCEPT_PROPOSAL, None, Ended.AGREED, "accept the offer"),
            Move("answering", TURN, Act.REJECT_PROPOSAL, None, Ended.REFUSED, "reject the offer"),
            *not_understood("answering", to=INITIATOR),
        ),
        roles={INITIATOR: 1, PARTICIPANT: 1},
    )  # fmt: skip
