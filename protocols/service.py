"""Service at a desk: a customer requests in words, the desk talks with it and works with tools.

FIPA SC00026H Request (2002), as it is lived at a counter: the participant may first ask, do several
things and refuse, and the initiator says when it is served. A tool call is a request that nobody but
the world hears; the world tells the desk alone what came of it, and the desk keeps the floor. So the
customer never sees what the desk looks up. Left out: `agree` (talk says it), several customers at once.
"""

from __future__ import annotations

from functools import lru_cache

from .message import Act, Answer, Ended, Question, Task
from .protocol import NOBODY, SAME, TURN, Move, Protocol, State

CUSTOMER, DESK = "customer", "desk"


@lru_cache
def service(deadline: int | None = 30) -> Protocol:
    """The protocol with at most `deadline` messages, tool calls among them."""
    return Protocol(
        name="service",
        source="FIPA SC00026H Request Interaction Protocol",
        summary="a customer requests in words; a desk asks, calls tools and answers",
        states=(
            State("calling", floor=CUSTOMER),
            State("serving", floor=DESK),
            State("waiting", floor=CUSTOMER),
        ),
        # state      who   act             content   leads to
        moves=(
            Move("calling", TURN, Act.REQUEST, None, "serving", "say what you need"),
            Move("serving", TURN, Act.REQUEST, Task, SAME,
                 "call a tool; you alone are told the result, and you speak again", to=NOBODY),
            Move("serving", TURN, Act.QUERY_REF, Question, "waiting", "ask the customer"),
            Move("serving", TURN, Act.INFORM, None, "waiting", "tell the customer something"),
            Move("serving", TURN, Act.REFUSE, None, "waiting",
                 "turn down what the customer wants"),
            Move("waiting", TURN, Act.INFORM, Answer, "serving", "answer the desk"),
            Move("waiting", TURN, Act.INFORM, None, "serving", "only talk"),
            Move("waiting", TURN, Act.REQUEST, None, "serving", "say what else you need"),
            Move("waiting", TURN, Act.CONFIRM, None, Ended.AGREED,
                 "say that nothing is left to do: the case is closed"),
            Move("waiting", TURN, Act.CANCEL, None, Ended.WALKED_AWAY, "hang up"),
        ),
        roles={CUSTOMER: 1, DESK: 1},
        deadline=deadline,
    )  # fmt: skip
