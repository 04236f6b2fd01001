"""Query: one agent asks another for what it knows (FIPA SC00027H, 2002).

`query-if` asks whether something is true, `query-ref` which things are so and so. The participant
refuses, or answers with an `inform` at once or after an `agree`; the initiator may cancel in between.
"""

from __future__ import annotations

from functools import lru_cache

from .message import Act, Answer, Ended, Question
from .meta import cancelling, not_understood, waiting
from .protocol import TURN, Move, Protocol, State

INITIATOR, PARTICIPANT = "initiator", "participant"


@lru_cache
def query(cancel: bool = True, typed: bool = True) -> Protocol:
    """Two agents, one question, at most six messages.

    `typed=False`: question and answer are free words, as in worlds that know no questions of their own.
    """
    question, answer = (Question, Answer) if typed else (None, None)
    answers = tuple(
        move
        for state in ("deciding", "answering")
        for move in (
            Move(state, TURN, Act.INFORM, answer, Ended.AGREED, "answer the question"),
            Move(
                state, TURN, Act.FAILURE, None, Ended.FAILED, "tell that you cannot find the answer"
            ),
        )
    )
    meta = cancelling("agreed", "answering", initiator=INITIATOR, participant=PARTICIPANT)
    return Protocol(
        name="query",
        source="FIPA SC00027H Query Interaction Protocol",
        summary="one agent asks another a question, which refuses or answers",
        states=(
            State("asking", floor=INITIATOR),
            State("deciding", floor=PARTICIPANT),
            *((State("agreed", floor=INITIATOR), waiting(PARTICIPANT)) if cancel else ()),
            State("answering", floor=PARTICIPANT),
        ),
        # state       who   act           content   leads to
        moves=(
            Move("asking", TURN, Act.QUERY_IF, question, "deciding", "ask whether something is so"),
            Move("asking", TURN, Act.QUERY_REF, question, "deciding", "ask what something is"),
            Move("deciding", TURN, Act.REFUSE, None, Ended.REFUSED, "refuse to answer"),
            Move("deciding", TURN, Act.AGREE, None, "agreed" if cancel else "answering",
                 "agree to find out"),
            *answers,
            *not_understood("deciding", to=INITIATOR),
            *(meta if cancel else ()),
        ),
        roles={INITIATOR: 1, PARTICIPANT: 1},
    )  # fmt: skip
