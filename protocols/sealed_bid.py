"""Sealed bids: everybody bids once, unseen by the others, and the world says who has the good at what price.

One protocol for all sealed-bid auctions (Vickrey 1961, J. Finance 16:8-37): by which rule the price is made
is the world's. The seller has no seat: its reserve price is the lowest bid that the world allows.
Left out: several goods, bids that are opened one by one.
"""

from __future__ import annotations

from functools import lru_cache

from .message import Act, Ended, Offer
from .protocol import NOBODY, SAME, TURN, Move, Protocol, State


@lru_cache
def sealed_bid() -> Protocol:
    """Two or more bidders; it ends by itself after one message of each."""
    return Protocol(
        name="sealed_bid",
        source="Vickrey 1961, Counterspeculation, Auctions, and Competitive Sealed Tenders",
        summary="everybody bids once, unseen by the others",
        states=(State("bidding", rounds=1, then=Ended.DONE),),
        # state       who   act          content  leads to
        moves=(
            Move("bidding", TURN, Act.PROPOSE, Offer, SAME, "make your bid", to=NOBODY),
            Move("bidding", TURN, Act.REFUSE, None, SAME, "make no bid", to=NOBODY),
        ),
        size=(2, None),
    )  # fmt: skip
