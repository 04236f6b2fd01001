"""What worlds of joint action share: a game of so many rounds must fit into its protocol's deadline."""

from __future__ import annotations

from ..scenario import ProtocolChoice

PROTOCOL = "joint_action"


def misfit(choice: ProtocolChoice, agents: int, rounds: int) -> str | None:
    """None when this many agents can play all rounds in this protocol, else why they cannot."""
    if choice.name != PROTOCOL:
        return f"protocol: got {choice.name!r}, want {PROTOCOL}"
    protocol = choice.build()
    needed = agents * rounds * sum(state.rounds or 0 for state in protocol.states)
    if protocol.deadline is not None and protocol.deadline < needed:
        return (
            f"protocol.deadline: {protocol.deadline} messages, but {rounds} rounds of {agents} agents"
            f" take {needed}; raise it, or write `deadline: null`: the world ends the game"
        )
    return None


def joint_action(talk: int) -> ProtocolChoice:
    """The choice of a generator: no deadline, since the world ends the game after its last round."""
    fields = {"name": PROTOCOL, "talk": talk, "deadline": None}
    return ProtocolChoice.model_validate(fields)
