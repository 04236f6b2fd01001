"""The contract net: a manager calls for proposals, bidders propose or refuse, winners report back.

FIPA SC00029H (2002), after Smith 1980. Each bidder's side is the automaton of that document, kept here as
the bidder's *standing*: bidder -> proposer | out, proposer -> contractor | out, contractor -> done |
failed. The manager answers when every bidder has (the document's `reply-by` has passed).
"""

from __future__ import annotations

from functools import lru_cache

from .message import Act, Award, Done, Ended, Offer, Task
from .protocol import SAME, TURN, Move, One, Protocol, State

MANAGER, BIDDER = "manager", "bidder"
PROPOSER, CONTRACTOR, DONE, FAILED, OUT = "proposer", "contractor", "done", "failed", "out"


@lru_cache
def contract_net() -> Protocol:
    """One manager, one or more bidders; it ends by itself after at most 1 + 3 * bidders messages."""
    return Protocol(
        name="contract_net",
        source="FIPA SC00029H Contract Net Interaction Protocol; Smith 1980",
        summary="a manager calls for proposals, bidders propose or refuse, winners report back",
        states=(
            State("call", floor=MANAGER),
            State("bidding", floor=BIDDER, while_any=BIDDER, then="awarding"),
            State("awarding", floor=MANAGER, while_any=PROPOSER, then="performing"),
            State("performing", floor=CONTRACTOR, while_any=CONTRACTOR,
                  then=((FAILED, Ended.FAILED), (DONE, Ended.AGREED), (None, Ended.REFUSED))),
        ),
        # state         who   act                  content  leads to
        moves=(
            Move("call", TURN, Act.CFP, Task, "bidding", "call for proposals", to=BIDDER),
            Move("bidding", TURN, Act.PROPOSE, Offer, SAME, "make a bid",
                 to=MANAGER, sender_becomes=PROPOSER),
            Move("bidding", TURN, Act.REFUSE, None, SAME, "make no bid",
                 to=MANAGER, sender_becomes=OUT),
            Move("awarding", TURN, Act.ACCEPT_PROPOSAL, Award, SAME, "award tasks to one proposer",
                 to=One(PROPOSER), receiver_becomes=CONTRACTOR),
            Move("awarding", TURN, Act.REJECT_PROPOSAL, None, SAME, "turn one proposer down",
                 to=One(PROPOSER), receiver_becomes=OUT),
            Move("performing", TURN, Act.INFORM, Done, SAME, "report your tasks as done",
                 to=MANAGER, sender_becomes=DONE),
            Move("performing", TURN, Act.FAILURE, None, SAME, "report that you failed",
                 to=MANAGER, sender_becomes=FAILED),
        ),
        roles={MANAGER: 1, BIDDER: None},
    )  # fmt: skip
