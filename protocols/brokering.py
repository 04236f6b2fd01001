"""Brokering: one agent has a broker find others who can do or answer something (FIPA SC00033H, 2002).

The initiator sends a `proxy`; the broker refuses, or agrees, looks for suitable participants, passes the
embedded act on to each of them (none suits: `failure`, the document's failure-no-match), tells the
initiator that it has (inform-done-proxy), and forwards what they answer. Initiator and participants never
hear one another. Left out: nested brokers; `recruiting` (SC00034), where participants answer directly.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from .message import Act, Answer, Done, Ended, Question, Task
from .meta import cancelling, not_understood, waiting
from .protocol import SAME, TURN, Move, One, Protocol, State

INITIATOR, BROKER, PARTICIPANT = "initiator", "broker", "participant"
ASKED, ANSWERED, OUT = "asked", "answered", "out"


@lru_cache
def brokering(embedded: Literal["request", "query"] = "request", cancel: bool = True) -> Protocol:
    """One initiator, one broker, one or more participants.

    `embedded` is the act within the proxy: a `request` with a task, or a `query-ref` with a question.
    """
    act, asked, told = (
        (Act.REQUEST, Task, Done) if embedded == "request" else (Act.QUERY_REF, Question, Answer)
    )
    meta = cancelling("waiting", "answering", initiator=INITIATOR, participant=BROKER)
    passing = [
        Move(state, TURN, act, asked, "forwarding", "pass it on to one who may suit",
             to=One(PARTICIPANT), receiver_becomes=ASKED)
        for state in ("matching", "forwarding")
    ]  # fmt: skip
    return Protocol(
        name="brokering",
        source="FIPA SC00033H Brokering Interaction Protocol",
        summary="a broker passes a request or question on to those who suit, and their answers back",
        states=(
            State("proxying", floor=INITIATOR),
            State("deciding", floor=BROKER),
            State("matching", floor=BROKER),
            State("forwarding", floor=BROKER),
            *((State("waiting", floor=INITIATOR), waiting(BROKER)) if cancel else ()),
            State("answering", floor=ASKED, while_any=ASKED, then="replying"),
            State("replying", floor=BROKER),
        ),
        # state          who   act              content  leads to
        moves=(
            Move("proxying", TURN, Act.PROXY, asked, "deciding",
                 "have the broker find others for it", to=BROKER),
            Move("deciding", TURN, Act.REFUSE, None, Ended.REFUSED, "refuse, and say why",
                 to=INITIATOR),
            Move("deciding", TURN, Act.AGREE, None, "matching", "agree to look for others",
                 to=INITIATOR),
            Move("matching", TURN, Act.FAILURE, None, Ended.FAILED, "tell that nobody suits",
                 to=INITIATOR),
            *passing,
            Move("forwarding", TURN, Act.INFORM, None, "waiting" if cancel else "answering",
                 "tell that it has been passed on", to=INITIATOR),
            Move("answering", TURN, Act.INFORM, told, SAME, "report back",
                 to=BROKER, sender_becomes=ANSWERED),
            Move("answering", TURN, Act.REFUSE, None, SAME, "refuse, and say why",
                 to=BROKER, sender_becomes=OUT),
            Move("answering", TURN, Act.FAILURE, None, SAME, "tell that it failed",
                 to=BROKER, sender_becomes=OUT),
            Move("replying", TURN, Act.INFORM, told, Ended.AGREED, "forward what came back",
                 to=INITIATOR),
            Move("replying", TURN, Act.FAILURE, None, Ended.FAILED, "tell that nothing came of it",
                 to=INITIATOR),
            *not_understood("deciding", to=INITIATOR),
            *(meta if cancel else ()),
        ),
        roles={INITIATOR: 1, BROKER: 1, PARTICIPANT: None},
    )  # fmt: skip
