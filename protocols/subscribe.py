"""Subscribe: one agent has another keep it informed until it cancels (FIPA SC00035H, 2002).

After each piece of news the initiator has a turn: it goes on listening, or cancels, which is how a
subscription runs its course.
"""

from __future__ import annotations

from functools import lru_cache

from .message import Act, Answer, Ended, Question
from .meta import cancelling, not_understood, waiting
from .protocol import TURN, Move, Protocol, State

INITIATOR, PARTICIPANT = "initiator", "participant"


@lru_cache
def subscribe(deadline: int | None = 30) -> Protocol:
    """Two agents, at most `deadline` messages, silent ones too."""
    meta = cancelling(
        "listening", "informing", initiator=INITIATOR, participant=PARTICIPANT, ended=Ended.DONE
    )
    return Protocol(
        name="subscribe",
        source="FIPA SC00035H Subscribe Interaction Protocol",
        summary="one agent keeps another informed until that one cancels",
        states=(
            State("subscribing", floor=INITIATOR),
            State("deciding", floor=PARTICIPANT),
            State("informing", floor=PARTICIPANT),
            State("listening", floor=INITIATOR),
            waiting(PARTICIPANT),
        ),
        # state            who   act            content   leads to
        moves=(
            Move("subscribing", TURN, Act.SUBSCRIBE, Question, "deciding",
                 "ask to be kept informed about something"),
            Move("deciding", TURN, Act.REFUSE, None, Ended.REFUSED, "refuse, and say why"),
            Move("deciding", TURN, Act.AGREE, None, "informing", "agree to keep the other informed"),
            Move("informing", TURN, Act.INFORM, Answer, "listening", "tell how things are now"),
            Move("informing", TURN, Act.FAILURE, None, Ended.FAILED,
                 "tell that you cannot go on informing"),
            *not_understood("deciding", to=INITIATOR),
            *meta,
        ),
        roles={INITIATOR: 1, PARTICIPANT: 1},
        deadline=deadline,
    )  # fmt: skip
