"""Debate: everybody makes statements in turn, a judge may say what it thinks, then all vote unseen.

Structured debate before a judge (Irving, Christiano and Amodei 2018, arXiv 1805.00899) and the talk of
social deduction games. What the votes come to is the world's to count and to tell. Left out: questions by
the judge, interruptions, abstaining.
"""

from __future__ import annotations

from functools import lru_cache

from .message import Act, Answer, Choice, Ended
from .protocol import NOBODY, SAME, TURN, Move, Protocol, State

DEBATER, JUDGE = "debater", "judge"


@lru_cache
def debate(rounds: int = 2, judge: bool = False) -> Protocol:
    """Three or more agents, or with `judge` one judge and its debaters; it ends by itself.

    Each debater makes `rounds` statements. The judge gives its verdict aloud before the vote, and does not
    vote.
    """
    floor = DEBATER if judge else TURN
    verdict = (State("verdict", floor=JUDGE, rounds=1, then="vote"),)
    return Protocol(
        name="debate",
        source="Irving, Christiano and Amodei 2018, AI Safety via Debate",
        summary="statements in turn, a judge's verdict if there is one, then a sealed vote",
        states=(
            State("statements", floor=floor, rounds=rounds, then="verdict" if judge else "vote"),
            *(verdict if judge else ()),
            State("vote", floor=floor, rounds=1, then=Ended.DONE),
        ),
        # state          who   act         content  leads to
        moves=(
            Move("statements", TURN, Act.INFORM, Answer, SAME, "claim something"),
            Move("statements", TURN, Act.INFORM, None, SAME, "only talk"),
            *((Move("verdict", TURN, Act.CONFIRM, Choice, SAME, "give your verdict to all"),)
              if judge else ()),
            Move("vote", TURN, Act.REQUEST, Choice, SAME, "vote", to=NOBODY),
        ),
        roles={JUDGE: 1, DEBATER: None} if judge else None,
        size=(3, None),
    )  # fmt: skip
