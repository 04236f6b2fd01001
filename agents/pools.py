"""Pools of agents written in Python: `ask` a question, `poll` for the replies that are ready.

Two of them. `ScriptedPool` answers inline and is for agents that are quick and cannot hang;
`ThreadPool` asks each question in a daemon thread, for agents that wait on people or networks or that
nobody has vetted. In both, whatever goes wrong in an agent (it raises, hangs, returns garbage) becomes
a reply with `error` for that one ticket. Processes are left out: an agent that crashes the interpreter
crashes the run, and one that computes without ever releasing the interpreter's lock slows all others.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from time import monotonic

from ..protocols import Agent, MootError, Observation, Reply


def _answer(agent: Agent, observation: Observation) -> Reply:
    """The agent's reply, or the record of why there is none."""
    try:
        reply: object = agent.reply(observation)
    except KeyboardInterrupt:
        raise
    except BaseException as e:  # also SystemExit and cancellations: they end one reply, not the run
        return Reply(error=_named(e))
    if isinstance(reply, Reply):  # pyright: ignore[reportUnnecessaryIsInstance]
        return reply
    return Reply(error=f"TypeError: returned {type(reply).__name__}, expected Reply")


def _named(e: BaseException) -> str:
    try:
        return f"{type(e).__name__}: {e}"
    except Exception:  # its own __str__ raised
        return type(e).__name__


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


@dataclass(slots=True, eq=False)
class _Job:
    ticket: int
    observation: Observation
    started: float = 0.0


class ThreadPool:
    """Answers in up to `workers` daemon threads at once; a reply may take `timeout` seconds.

    The clock of a question starts when a thread takes it up. A thread that is too late is given up
    and replaced: what it returns later is dropped, and it never delays other questions or the end of
    the process. Raises `MootError` for a timeout or a number of workers that is not positive.
    """

    def __init__(self, agent: Agent, *, timeout: float = 60.0, workers: int = 8) -> None:
        if not timeout > 0 or workers < 1:
            raise MootError(
                f"ThreadPool: got timeout={timeout!r}, workers={workers!r}; want both positive"
            )
        self.agent, self.timeout, self.workers = agent, timeout, workers
        self._changed = threading.Condition()
        self._todo: deque[_Job] = deque()
        self._running: set[_Job] = set()
        self._ready: list[tuple[int, Reply]] = []
        self._threads = 0
        """Threads that work for this pool; those given up are not counted."""

    def ask(self, ticket: int, observation: Observation) -> None:
        """Queue a question."""
        with self._changed:
            self._todo.append(_Job(ticket, observation))
            self._staff()

    def poll(self, wait: float) -> list[tuple[int, Reply]]:
        """Replies that are ready, waiting up to `wait` seconds for the first; maybe none."""
        until = monotonic() + wait
        with self._changed:
            while True:
                now = monotonic()
                self._give_up(now)
                if self._ready or now >= until:
                    ready, self._ready = self._ready, []
                    return ready
                first = min((j.started + self.timeout for j in self._running), default=until)
                self._changed.wait(max(min(until, first) - now, 0.0))

    def _staff(self) -> None:
        """One more thread, if there is work for it. A thread ends when nothing is left to do."""
        if self._todo and self._threads < self.workers:
            self._threads += 1
            threading.Thread(target=self._work, name="moot-agent", daemon=True).start()

    def _give_up(self, now: float) -> None:
        for job in [j for j in self._running if now - j.started >= self.timeout]:
            self._running.remove(job)
            self._ready.append(
                (job.ticket, Reply(error=f"TimeoutError: no reply within {self.timeout:g} s"))
            )
            self._threads -= 1
            self._staff()

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._todo:
                    self._threads -= 1
                    return
                job = self._todo.popleft()
                job.started = monotonic()
                self._running.add(job)
            reply = _answer(self.agent, job.observation)
            with self._changed:
                if job not in self._running:
                    return  # given up meanwhile; another thread has taken this one's place
                self._running.remove(job)
                self._ready.append((job.ticket, reply))
                self._changed.notify()
