"""Tutoring: a tutor asks, hints, explains and corrects; a student answers, listens and asks back.

The acts are those of FIPA's query and inform (SC00027H, SC00037J), one for each thing that a tutor does:
`query-ref` poses an exercise, `query-if` poses one again with a hint, `inform` explains, and `disconfirm`,
whose meaning is that the receiver believes what is false, corrects a misconception. After the labels of
tutors' turns in CIMA (Stasaski et al. 2020). Left out: a student who takes the lead.
"""

from __future__ import annotations

from functools import lru_cache

from .message import Act, Answer, Choice, Ended, Question
from .protocol import TURN, Move, Protocol, State

TUTOR, STUDENT = "tutor", "student"


@lru_cache
def tutoring(deadline: int | None = 40) -> Protocol:
    """The protocol with at most `deadline` messages, the student's among them."""
    return Protocol(
        name="tutoring",
        source="FIPA SC00027H Query Interaction Protocol; Stasaski et al. 2020, CIMA",
        summary="a tutor asks, hints, explains and corrects; a student answers",
        states=(
            State("teaching", floor=TUTOR),
            State("answering", floor=STUDENT),
            State("listening", floor=STUDENT),
        ),
        # state        who   act             content   leads to
        moves=(
            Move("teaching", TURN, Act.QUERY_REF, Question, "answering", "pose an exercise"),
            Move("teaching", TURN, Act.QUERY_IF, Question, "answering",
                 "pose an exercise again, with a hint in your words"),
            Move("teaching", TURN, Act.INFORM, Choice, "listening", "explain a skill"),
            Move("teaching", TURN, Act.DISCONFIRM, Choice, "listening",
                 "correct a wrong idea about a skill"),
            Move("teaching", TURN, Act.INFORM, None, "listening", "only talk"),
            Move("teaching", TURN, Act.CONFIRM, None, Ended.DONE, "end the lesson"),
            Move("answering", TURN, Act.INFORM, Answer, "teaching", "give your answer"),
            Move("listening", TURN, Act.INFORM, None, "teaching", "say that you have heard"),
            Move("listening", TURN, Act.QUERY_REF, None, "teaching", "ask about it in words"),
        ),
        roles={TUTOR: 1, STUDENT: 1},
        deadline=deadline,
    )  # fmt: skip
