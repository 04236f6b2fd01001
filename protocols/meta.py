"""What the FIPA documents share: to cancel, not to understand, and to say nothing.

Every interaction protocol of FIPA (SC00026 to SC00036, section "Exceptions to Interaction Protocol
Flow") has the same two: whoever receives a message may answer `not-understood`, which ends the talk, and
the initiator may `cancel`, which the participant confirms (`inform`) or cannot do any more (`failure`).
Here one agent at a time has the floor, so a protocol gives the initiator a turn where it may cancel; when
it has nothing to say it says nothing, which nobody hears.
"""

from __future__ import annotations

from .message import Act, Ended
from .protocol import NOBODY, SAME, TURN, Move, State

CANCELLING = "cancelling"


def not_understood(*states: str, to: str) -> tuple[Move, ...]:
    """In each of these states, the end of a talk that `to` has not made itself clear in."""
    return tuple(
        Move(state, TURN, Act.NOT_UNDERSTOOD, None, Ended.FAILED,
             "say that you did not understand: the talk ends", to=to)
        for state in states
    )  # fmt: skip


def silence(state: str, then: str = SAME, says: str = "say nothing", act: Act = Act.INFORM) -> Move:
    """To let a turn pass: a message that nobody hears. Another `act` where `inform` has a meaning."""
    return Move(state, TURN, act, None, then, says, to=NOBODY)


def cancelling(
    state: str, goes_on: str, *, initiator: str, participant: str, ended: Ended = Ended.WALKED_AWAY
) -> tuple[Move, ...]:
    """The initiator's turn in `state`: to cancel, or to say nothing, which leads to `goes_on`."""
    return (
        silence(state, goes_on, "say nothing and wait"),
        Move(state, TURN, Act.CANCEL, None, CANCELLING, "cancel it", to=participant),
        Move(CANCELLING, TURN, Act.INFORM, None, ended, "tell that it is cancelled", to=initiator),
        Move(CANCELLING, TURN, Act.FAILURE, None, Ended.FAILED,
             "tell that it cannot be cancelled any more", to=initiator),
    )  # fmt: skip


def waiting(participant: str) -> State:
    """Where the participant answers a `cancel`."""
    return State(CANCELLING, floor=participant)
