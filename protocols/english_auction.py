"""The English auction: the auctioneer calls rising prices, whoever takes the last one has the good.

FIPA XC00031 (2001). Bidders answer a call one after the other; the first who proposes is accepted and
holds the good until another proposes at a higher call. When everybody else lets a call pass, the bidding
is over; the auctioneer then asks the holder to pay, or keeps the good (its reserve price is its own
secret). Prices, and by how much they rise, are the world's. Beyond the document: a bidder who does not
want a price says so (`refuse`), since here nobody is asked by a clock.
"""

from __future__ import annotations

from functools import lru_cache

from .message import Act, Ended, Offer
from .protocol import SAME, TURN, Move, One, Protocol, State

AUCTIONEER, BIDDER = "auctioneer", "bidder"
PASSED, PROPOSER, HOLDER, OUT = "passed", "proposer", "holder", "out"


@lru_cache
def english_auction(deadline: int | None = 120, reentry: bool = True) -> Protocol:
    """One auctioneer, one or more bidders, at most `deadline` messages.

    `reentry=False`: who lets a price pass is out of the auction, as in Japanese auctions.
    """
    return Protocol(
        name="english_auction",
        source="FIPA XC00031 English Auction Interaction Protocol",
        summary="an auctioneer calls rising prices until only one bidder is left",
        states=(
            State("opening", floor=AUCTIONEER),
            State("calling", floor=AUCTIONEER),
            State("bidding", floor=BIDDER, while_any=BIDDER, then="closing", silence=Act.REFUSE),
            State("accepting", floor=AUCTIONEER),
            State("closing", floor=AUCTIONEER),
            State("settling", floor=AUCTIONEER, while_any=HOLDER, then=Ended.REFUSED),
        ),
        # state        who   act                  content  leads to
        moves=(
            Move("opening", TURN, Act.INFORM, None, "calling", "open the auction"),
            Move("calling", TURN, Act.CFP, Offer, "bidding", "call a price",
                 shifts=((PASSED, BIDDER),) if reentry else ()),
            Move("bidding", TURN, Act.PROPOSE, Offer, "accepting", "bid the price that was called",
                 to=AUCTIONEER, sender_becomes=PROPOSER),
            Move("bidding", TURN, Act.REFUSE, None, SAME,
                 "let this price pass" if reentry else "leave the bidding",
                 to=AUCTIONEER, sender_becomes=PASSED),
            Move("bidding", TURN, Act.NOT_UNDERSTOOD, None, SAME,
                 "say that you did not understand the call, which takes you out of the auction",
                 to=AUCTIONEER, sender_becomes=OUT),
            Move("accepting", TURN, Act.ACCEPT_PROPOSAL, None, "calling",
                 "accept the bid: this bidder leads",
                 to=One(PROPOSER), receiver_becomes=HOLDER, shifts=((HOLDER, BIDDER),)),
            Move("calling", TURN, Act.INFORM, None, "settling", "declare the bidding over"),
            Move("closing", TURN, Act.INFORM, None, "settling", "declare the bidding over"),
            Move("settling", TURN, Act.REQUEST, None, Ended.AGREED,
                 "sell: ask the leading bidder to pay", to=HOLDER),
            Move("settling", TURN, Act.REJECT_PROPOSAL, None, SAME,
                 "keep the good: your reserve price was not reached",
                 to=HOLDER, receiver_becomes=OUT),
        ),
        roles={AUCTIONEER: 1, BIDDER: None},
        deadline=deadline,
    )  # fmt: skip
