"""Group chat: talk among any number of agents, in one of three orders.

`round_robin`: everybody in turn. `free`: whoever speaks addresses one of the others, who speaks next
(the rule "current speaker selects next" of Sacks, Schegloff and Jefferson 1974, Language 50:696-735).
`moderated`: a moderator gives the floor, and takes it back after each speech. Side channels are messages
that one agent alone hears, said in place of a speech. Left out: interrupting, editing what was said.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Literal

from .message import Act, Ended
from .meta import silence as silent
from .protocol import EVERYONE, NAMED, SAME, TURN, Move, One, Protocol, State

MODERATOR, MEMBER, SPEAKER = "moderator", "member", "speaker"
SACKS = "Sacks, Schegloff and Jefferson 1974, A Simplest Systematics for Turn-Taking"


@lru_cache
def group_chat(
    order: Literal["round_robin", "free", "moderated"] = "round_robin",
    rounds: int = 3,
    side_channels: bool = False,
    silence: bool = False,
    deadline: int | None = 60,
) -> Protocol:
    """Two or more agents talk until the end of the last round (`Ended.DONE`).

    In a round as many messages are said as there are agents; a moderated chat has none and is closed by
    its moderator, or cut off after `deadline` messages. `side_channels`: one may also speak to one other
    alone; `silence`: one may also say nothing. Where the order is free, who says nothing addresses nobody
    and keeps the floor.
    """
    if order == "moderated":
        return _moderated(side_channels, silence, deadline)
    aloud = One(EVERYONE, aloud=True) if order == "free" else EVERYONE
    mute = Act.REFUSE if silence else None
    says = "say something to all" + ("; whom you name speaks next" if order == "free" else "")
    return Protocol(
        name="group_chat",
        source=SACKS,
        summary="any number of agents talk, in turns, freely or moderated",
        states=(
            State("talking", floor=NAMED if order == "free" else TURN, rounds=rounds,
                  then=Ended.DONE, silence=mute),
        ),
        moves=(
            Move("talking", TURN, Act.INFORM, None, SAME, says, to=aloud),
            *_beside("talking", SAME, side_channels, silence, order == "free"),
        ),
        size=(2, None),
        deadline=deadline,
    )  # fmt: skip


def _beside(
    state: str, then: str, side_channels: bool, silence: bool, free: bool = False
) -> tuple[Move, ...]:
    says = "say something to one alone" + (", who speaks next" if free else "")
    whisper = Move(state, TURN, Act.INFORM_REF, None, then, says, to=One(EVERYONE))
    nothing = silent(state, then, act=Act.REFUSE)
    return (*((whisper,) if side_channels else ()), *((nothing,) if silence else ()))


def _moderated(side_channels: bool, silence: bool, deadline: int | None) -> Protocol:
    return Protocol(
        name="group_chat",
        source=SACKS,
        summary="a moderator gives the floor to one agent after the other",
        states=(
            State("moderating", floor=MODERATOR),
            State("speaking", floor=SPEAKER, silence=Act.REFUSE if silence else None),
        ),
        # state           who   act           content  leads to
        moves=(
            Move("moderating", TURN, Act.REQUEST, None, "speaking", "give the floor to one member",
                 to=One(MEMBER, aloud=True), receiver_becomes=SPEAKER),
            Move("moderating", TURN, Act.CANCEL, None, Ended.DONE, "close the talk"),
            Move("speaking", TURN, Act.INFORM, None, "moderating", "say something to all",
                 sender_becomes=MEMBER),
            *(
                replace(m, sender_becomes=MEMBER)
                for m in _beside("speaking", "moderating", side_channels, silence)
            ),
        ),
        roles={MODERATOR: 1, MEMBER: None},
        deadline=deadline,
    )  # fmt: skip
