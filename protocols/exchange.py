"""Exchange: two agents ask and tell each other what they have, until both pick the same thing.

The collaborative talk of MutualFriends (He et al. 2017, arXiv 1704.07130) with typed questions. A question
waits for an answer, a pick for a yes or no; whoever has something better to say may pick (anew) instead.
Left out: asking two things at once; ending the talk without a common pick.
"""

from __future__ import annotations

from functools import lru_cache

from .message import Act, Answer, Choice, Ended, Question
from .protocol import ANY, OTHER, SAME, TURN, Move, Protocol, State


@lru_cache
def exchange(deadline: int | None = 24, talk: bool = True) -> Protocol:
    """The protocol with at most `deadline` messages; `talk=False` leaves out free talk."""
    talking = (Move("open", TURN, Act.INFORM, None, SAME, "only talk"),)
    return Protocol(
        name="exchange",
        source="He, Balakrishnan, Eric & Liang 2017, Learning Symmetric Collaborative Dialogue Agents",
        summary="two agents ask, tell and pick, in turns, until both pick the same",
        states=(State("open"), State("asked"), State("picked")),
        # state    who    act                  content   leads to
        moves=(
            Move("open", TURN, Act.QUERY_REF, Question, "asked", "ask the other"),
            Move("open", TURN, Act.INFORM, Answer, SAME, "tell of your own accord"),
            *(talking if talk else ()),
            Move("asked", TURN, Act.INFORM, Answer, "open", "answer the question"),
            Move("asked", TURN, Act.REFUSE, None, "open", "do not answer"),
            Move(ANY, TURN, Act.PROPOSE, Choice, "picked", "pick"),
            Move("picked", OTHER, Act.ACCEPT_PROPOSAL, None, Ended.AGREED,
                 "pick the same: this ends the talk"),
            Move("picked", OTHER, Act.REJECT_PROPOSAL, None, "open", "say that it is not that"),
        ),
        deadline=deadline,
    )  # fmt: skip
