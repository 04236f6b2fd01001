"""Request: one agent asks another to do something (FIPA SC00026H, 2002).

The participant refuses, or agrees and later reports what came of it; where no explicit agreement is
needed it reports at once. After `agree` the initiator has a turn in which it may cancel.
"""

from __future__ import annotations

from functools import lru_cache

from .message import Act, Done, Ended, Task
from .meta import cancelling, not_understood, waiting
from .protocol import TURN, Move, Protocol, State

INITIATOR, PARTICIPANT = "initiator", "participant"


@lru_cache
def request(cancel: bool = True) -> Protocol:
    """Two agents, at most six messages; `cancel=False`: what is agreed to is carried out."""
    reports = tuple(
        move
        for state in ("deciding", "performing")
        for move in (
            Move(state, TURN, Act.INFORM, None, Ended.AGREED, "tell that it is done"),
            Move(
                state, TURN, Act.INFORM, Done, Ended.AGREED, "tell that it is done, and the result"
            ),
            Move(state, TURN, Act.FAILURE, None, Ended.FAILED, "tell that it failed"),
        )
    )
    meta = cancelling("agreed", "performing", initiator=INITIATOR, participant=PARTICIPANT)
    return Protocol(
        name="request",
        source="FIPA SC00026H Request Interaction Protocol",
        summary="one agent asks another to do something, which refuses or does it and reports",
        states=(
            State("requesting", floor=INITIATOR),
            State("deciding", floor=PARTICIPANT),
            *((State("agreed", floor=INITIATOR), waiting(PARTICIPANT)) if cancel else ()),
            State("performing", floor=PARTICIPANT),
        ),
        # state           who   act          content  leads to
        moves=(
            Move("requesting", TURN, Act.REQUEST, Task, "deciding", "ask the other to do something"),
            Move("deciding", TURN, Act.REFUSE, None, Ended.REFUSED, "refuse, and say why"),
            Move("deciding", TURN, Act.AGREE, None, "agreed" if cancel else "performing",
                 "agree to do it"),
            *reports,
            *not_understood("deciding", to=INITIATOR),
            *(meta if cancel else ()),
        ),
        roles={INITIATOR: 1, PARTICIPANT: 1},
    )  # fmt: skip
