"""Joint action: rounds of talk, then everybody moves at once, unseen; again and again.

Simultaneous moves with cheap talk before each (Crawford 1998, J. Economic Theory 78:286-298). A move
is sealed: what came of all of them is told by the world, which also ends the game. What somebody
announces in the talk binds nobody. With a `team`, its agents alone talk, in a side channel that their
rivals do not hear, and may report what they have seen. Left out: leaving the table; moves by some agents
only; rivals that talk too.
"""

from __future__ import annotations

from functools import lru_cache

from pydantic import NonNegativeInt

from .message import Act, Answer, Choice
from .meta import silence
from .protocol import EVERYONE, NOBODY, SAME, TURN, Move, Protocol, State


@lru_cache
def joint_action(
    talk: NonNegativeInt = 1,
    deadline: int | None = 60,
    team: str = "",
    rival: str = "rival",
) -> Protocol:
    """Two or more agents; each speaks `talk` times (0: nobody talks) before each joint move.

    `deadline` counts messages, sealed moves too; None where the world is sure to end the game. `team`:
    the role whose agents talk, and hear one another alone; `rival`: the role of all others.
    """
    to = team or EVERYONE
    talking = (
        Move("talk", TURN, Act.INFORM, None, SAME, "only talk", to=to),
        Move("talk", TURN, Act.INFORM, Choice, SAME,
             f"announce to {'your team' if team else 'all'} what you mean to do; it binds you to nothing",
             to=to),
    )  # fmt: skip
    if team:
        talking += (
            Move("talk", TURN, Act.INFORM_REF, Answer, SAME, "tell your team what you have seen", to=to),
            silence("talk", act=Act.REFUSE),
        )  # fmt: skip
    return Protocol(
        name="joint_action",
        source="Crawford 1998, A Survey of Experiments on Communication via Cheap Talk",
        summary="all talk, then all act at once and unseen, round after round",
        states=(
            *((State("talk", floor=team or TURN, rounds=talk, then="move"),) if talk else ()),
            State("move", rounds=1, then="talk" if talk else "move"),
        ),
        # state    who   act          content  leads to
        moves=(
            *(talking if talk else ()),
            Move("move", TURN, Act.REQUEST, Choice, SAME,
                 "act, at the same time as all the others", to=NOBODY),
        ),
        roles={team: None, rival: None} if team else None,
        size=(2, None),
        deadline=deadline,
    )  # fmt: skip
