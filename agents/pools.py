"""Pools of agents written in Python: `ask` a question, `poll` for the replies that are ready.

Two of them. `ScriptedPool` answers inline and is for agents that are quick and cannot hang;
`ThreadPool` asks each question in a daemon thread, for agents that wait on people or networks or that
nobody has vetted. In both, whatever goes wrong in an agent (it raises, hangs, returns garbage) becomes
a reply with `error` for that one ticket. Processes are left out: an agent that crashes the interpreter
crashes the run.
"""

from __future__ import annotations

from typing import Protocol

from ..protocols import Observation, Reply


class Agent(Protocol):
    """Anything that answers. An agent may also declare `sees_all: bool` to be shown all secrets."""

    def reply(self, observation: Observation) -> Reply:
        """What to say now; all history is in `observation.heard`."""
        ...


def _answer(agent: Agent, observation: Observation) -> Reply:
    """The agent's reply, or the record of why there is none."""
    try:
        reply: object = agent.reply(observation)
    except Exception as e:
        return Reply(error=f"{type(e).__name__}: {e}")
    if isinstance(reply, Reply):
        return reply
    return Reply(error=f"returned {type(reply).__name__}, expected Reply: {reply!r:.100}")


class ScriptedPool:
    """Answers every question at once, in the caller's thread."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self._ready: list[tuple[int, Reply]] = []

    def ask(self, ticket: int, observation: Observation) -> None:
        """Answer; the reply waits for `poll`."""
        self._ready.append((ticket, _answer(self.agent, observation)))

    def poll(self, wait: float) -> list[tuple[int, Reply]]:
        """All replies so far. Never waits."""
        ready, self._ready = self._ready, []
        return ready
