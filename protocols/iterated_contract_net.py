"""The iterated contract net: the manager may call for better bids before it awards anything.

FIPA SC00030H (2002). As in the contract net each bidder bids or refuses; then the manager awards, or
rejects some bids and sends a revised call to those who are left, `iterations` calls at most. It ends when
all bids are rejected, everybody has refused, or the winners have reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from .contract_net import BIDDER, CONTRACTOR, DONE, FAILED, MANAGER, OUT, PROPOSER
from .message import Act, Award, Done, Ended, Offer, Task
from .protocol import SAME, TURN, Move, One, Protocol, State


@lru_cache
def iterated_contract_net(iterations: int = 3) -> Protocol:
    """One manager, one or more bidders; at most `iterations` calls, the first included."""
    states = [
        State("call", floor=MANAGER),
        State("awarding", floor=MANAGER, while_any=PROPOSER, then="performing"),
        State("performing", floor=CONTRACTOR, while_any=CONTRACTOR,
              then=((FAILED, Ended.FAILED), (DONE, Ended.AGREED), (None, Ended.REFUSED))),
    ]  # fmt: skip
    for i in range(1, iterations + 1):
        after = f"choosing {i}" if i < iterations else "awarding"
        states.append(
            State(f"bidding {i}", floor=BIDDER, while_any=BIDDER, then=after, silence=Act.REFUSE)
        )
        if i < iterations:
            states.append(State(after, floor=MANAGER, while_any=PROPOSER, then="performing"))
    return Protocol(
        name="iterated_contract_net",
        source="FIPA SC00030H Iterated Contract Net Interaction Protocol",
        summary="a contract net whose manager may call for better bids before it awards",
        states=tuple(states),
        moves=tuple(_moves(iterations)),
        roles={MANAGER: 1, BIDDER: None},
    )


def _moves(iterations: int) -> Iterator[Move]:
    # state         who   act                  content  leads to
    yield Move("call", TURN, Act.CFP, Task, "bidding 1", "call for proposals", to=BIDDER)
    for i in range(1, iterations + 1):
        yield Move(f"bidding {i}", TURN, Act.PROPOSE, Offer, SAME, "make a bid",
                   to=MANAGER, sender_becomes=PROPOSER)  # fmt: skip
        yield Move(f"bidding {i}", TURN, Act.REFUSE, None, SAME, "make no bid",
                   to=MANAGER, sender_becomes=OUT)  # fmt: skip
        if i < iterations:
            yield Move(f"choosing {i}", TURN, Act.CFP, Task, f"bidding {i + 1}",
                       "call all proposers who are left for better bids",
                       to=PROPOSER, receiver_becomes=BIDDER)  # fmt: skip
        choosing = f"choosing {i}" if i < iterations else "awarding"
        yield Move(choosing, TURN, Act.ACCEPT_PROPOSAL, Award, "awarding",
                   "award tasks to one proposer",
                   to=One(PROPOSER), receiver_becomes=CONTRACTOR)  # fmt: skip
        yield Move(choosing, TURN, Act.REJECT_PROPOSAL, None, SAME, "turn one proposer down",
                   to=One(PROPOSER), receiver_becomes=OUT)  # fmt: skip
    yield Move("performing", TURN, Act.INFORM, Done, SAME, "report your tasks as done",
               to=MANAGER, sender_becomes=DONE)  # fmt: skip
    yield Move("performing", TURN, Act.FAILURE, None, SAME, "report that you failed",
               to=MANAGER, sender_becomes=FAILED)  # fmt: skip
