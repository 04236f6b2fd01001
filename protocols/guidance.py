"""Guidance: a guide who sees leads a walker who acts, one message and one action in turns.

The instruction giver and the instruction follower of the map task (Anderson et al. 1991, Language and
Speech 34:351-366). The walker may ask instead of acting. The world tells what came of an action and ends the
talk. Left out: several walkers, talk while the walker moves.
"""

from __future__ import annotations

from functools import lru_cache

from .message import Act, Answer, Choice
from .protocol import TURN, Move, Protocol, State

GUIDE, WALKER = "guide", "walker"


@lru_cache
def guidance(deadline: int | None = 60) -> Protocol:
    """One guide and one walker; the guide speaks first. `deadline` counts messages, actions too."""
    return Protocol(
        name="guidance",
        source="Anderson et al. 1991, The HCRC Map Task Corpus",
        summary="a guide tells a walker the way, the walker acts or asks, in turns",
        states=(State("guide", floor=GUIDE), State("act", floor=WALKER)),
        # state    who   act            content leads to
        moves=(
            Move("guide", TURN, Act.INFORM, Answer, "act", "tell the way", to=WALKER),
            Move("guide", TURN, Act.INFORM, None, "act", "only talk", to=WALKER),
            Move("act", TURN, Act.REQUEST, Choice, "guide", "act", to=GUIDE),
            Move("act", TURN, Act.QUERY_REF, None, "guide", "ask instead of acting", to=GUIDE),
        ),
        roles={GUIDE: 1, WALKER: 1},
        deadline=deadline,
    )  # fmt: skip
