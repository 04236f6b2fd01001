"""Voting: rounds of talk, then everybody casts one sealed ballot.

What a ballot holds (one option, a set, a ranking) and how ballots are counted (plurality, approval,
Borda, instant run-off) is the world's; see Brandt et al. 2016, Handbook of Computational Social Choice,
chapter 2. The world announces the result, if anybody is to know. Left out: abstaining, run-off ballots
(a sequence of two votings is one).
"""

from __future__ import annotations

from functools import lru_cache

from pydantic import NonNegativeInt

from .message import Act, Choice, Ended
from .protocol import NOBODY, SAME, TURN, Move, Protocol, State


@lru_cache
def voting(rounds: NonNegativeInt = 2) -> Protocol:
    """Two or more agents, each of whom speaks `rounds` times (0: nobody talks) and then votes."""
    talk = (State("deliberating", rounds=rounds, then="voting"),) if rounds else ()
    return Protocol(
        name="voting",
        source="Brandt et al. 2016, Handbook of Computational Social Choice",
        summary="all deliberate, then each casts one sealed ballot",
        states=(*talk, State("voting", rounds=1, then=Ended.DONE)),
        # state            who   act         content  leads to
        moves=(
            *((Move("deliberating", TURN, Act.INFORM, None, SAME, "argue, or only talk"),)
              if rounds else ()),
            Move("voting", TURN, Act.INFORM, Choice, SAME, "cast your ballot", to=NOBODY),
        ),
        size=(2, None),
    )  # fmt: skip
