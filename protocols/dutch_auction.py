"""The Dutch auction: the auctioneer calls falling prices, the first who takes one has the good.

FIPA XC00032 (2001). Bidders answer a call one after the other; the first who proposes is accepted and the
auction ends. When all let a price pass, the auctioneer calls a lower one, or ends the auction without a
sale (its reserve price is its own secret). Prices, and by how much they fall, are the world's. Left out of
the document: several goods at once. Beyond it: a bidder who waits for a lower price says so (`refuse`).
"""

from __future__ import annotations

from functools import lru_cache

from .message import Act, Ended, Offer
from .protocol import SAME, TURN, Move, One, Protocol, State

AUCTIONEER, BIDDER = "auctioneer", "bidder"
PASSED, PROPOSER, OUT = "passed", "proposer", "out"


@lru_cache
def dutch_auction(deadline: int | None = 120) -> Protocol:
    """One auctioneer, one or more bidders, at most `deadline` messages."""
    return Protocol(
        name="dutch_auction",
        source="FIPA XC00032 Dutch Auction Interaction Protocol",
        summary="an auctioneer calls falling prices until a bidder takes one",
        states=(
            State("opening", floor=AUCTIONEER),
            State("calling", floor=AUCTIONEER),
            State("bidding", floor=BIDDER, while_any=BIDDER, then="calling", silence=Act.REFUSE),
            State("accepting", floor=AUCTIONEER),
        ),
        # state        who   act                  content  leads to
        moves=(
            Move("opening", TURN, Act.INFORM, None, "calling", "open the auction"),
            Move("calling", TURN, Act.CFP, Offer, "bidding", "call a price",
                 shifts=((PASSED, BIDDER),)),
            Move("calling", TURN, Act.INFORM, None, Ended.REFUSED, "end the auction without a sale"),
            Move("bidding", TURN, Act.PROPOSE, Offer, "accepting", "take the good at this price",
                 to=AUCTIONEER, sender_becomes=PROPOSER),
            Move("bidding", TURN, Act.REFUSE, None, SAME, "wait for a lower price",
                 to=AUCTIONEER, sender_becomes=PASSED),
            Move("bidding", TURN, Act.NOT_UNDERSTOOD, None, SAME,
                 "say that you did not understand the call, which takes you out of the auction",
                 to=AUCTIONEER, sender_becomes=OUT),
            Move("accepting", TURN, Act.ACCEPT_PROPOSAL, None, Ended.AGREED,
                 "accept: the good is sold", to=One(PROPOSER)),
        ),
        roles={AUCTIONEER: 1, BIDDER: None},
        deadline=deadline,
    )  # fmt: skip
