"""From an observation to a chat: rules and private values as the system turn, then the talk.

Own messages are the assistant's turns, word for word as they were written; everything heard since the
last one is one user turn. Earlier turns never change as the talk goes on, so that a cached prefix of
the prompt stays valid.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

from ..protocols import WORLD, Message, Observation, written


class ChatTurn(TypedDict):
    """One turn in the form that chat templates take."""

    role: str
    content: str


def chat(observation: Observation, dropped: int = 0) -> list[ChatTurn]:
    """System, then user and assistant turns alternating, a user turn last.

    `dropped` leaves out that many of the oldest messages; the rules and the private values stay.
    """
    turns: list[ChatTurn] = [{"role": "system", "content": observation.card}]
    heard: list[str] = []
    if dropped:
        heard.append(f"({dropped} earlier messages are left out.)")
    left = observation.deadline
    if left is not None and dropped:
        left = left - observation.heard[dropped - 1].id - 1
    for message in observation.heard[dropped:]:
        if message.sender == observation.agent:
            turns.append({"role": "user", "content": _heard(heard, left)})
            turns.append({"role": "assistant", "content": written(message, observation.agents)})
            heard = []
        elif message.sender == WORLD:
            heard.append(f"{WORLD}: {message.text}")
        else:
            heard.append(f"{message.sender}: {written(message, observation.agents)}")
        if observation.deadline is not None:
            left = observation.deadline - message.id - 1
    if observation.error is not None:
        heard.append(f"Your last reply was not legal ({observation.error}). Reply again.")
    # Where each part of a protocol has its own deadline, earlier turns would have to change.
    left = None if observation.deadline is None else observation.left
    turns.append({"role": "user", "content": _heard(heard, left)})
    return turns


def _heard(lines: list[str], left: int | None) -> str:
    tail = [] if left is None else [f"({left} left)"]
    return "\n".join([*lines, *tail]) or "(begin)"


def own_messages(observation: Observation) -> Iterator[Message]:
    """What this agent has said so far."""
    return (m for m in observation.heard if m.sender == observation.agent)
