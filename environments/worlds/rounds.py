"""What worlds of joint action share: a game of so many rounds must fit into its protocol's deadline."""

from __future__ import annotations

from ...protocols import TURN
from ..scenario import ProtocolChoice

PROTOCOL = "joint_action"


def misfit(choice: ProtocolChoice, agents: int, rounds: int, team: int = 0) -> str | None:
    """None when this many agents, `team` of whom are the protocol's team, can play all rounds in this
    protocol, else why they cannot."""
    if choice.name != PROTOCOL:
        return f"protocol: got {choice.name!r}, want {PROTOCOL}"
    protocol = choice.build()
    said = ((s.rounds or 0) * (agents if s.floor == TURN else team) for s in protocol.states)
    needed = rounds * sum(said)
    if protocol.deadline is not None and protocol.deadline < needed:
        return (
            f"protocol.deadline: {protocol.deadline} messages, but {rounds} rounds of {agents} agents"
            f" take {needed}; raise it, or write `deadline: null`: the world ends the game"
        )
    return None


def joint_action(talk: int, **sides: str) -> ProtocolChoice:
    """The choice of a generator: no deadline, since the world ends the game after its last round."""
    fields = {"name": PROTOCOL, "talk": talk, "deadline": None, **sides}
    return ProtocolChoice.model_validate(fields)
