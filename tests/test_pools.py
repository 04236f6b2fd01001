"""An agent that raises, hangs or answers garbage spoils its own reply and no other."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from moot.agents.pools import ScriptedPool, ThreadPool
from moot.agents.scripted.strategies import STRATEGIES
from moot.environments import WORLDS, Environment, play
from moot.protocols import Ended, MootError, Observation, Pool, Reply

ITEMS = {
    "world": "item_division",
    "protocol": "alternating_offers",
    "items": {"book": 2, "hat": 1},
    "roles": {"ann": {"values": {"book": 1, "hat": 3}}, "bob": {"values": {"book": 2, "hat": 1}}},
}


def table(episode: int = 0) -> Environment:
    return Environment(WORLDS["item_division"].Scenario.model_validate(ITEMS), episode=episode)


class Agent:
    """An agent made of a function."""

    def __init__(self, answer: Callable[[Observation], Any]) -> None:
        self.answer = answer

    def reply(self, observation: Observation) -> Reply:
        return self.answer(observation)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raising(error: BaseException) -> Agent:
    def answer(observation: Observation) -> Reply:
        raise error

    return Agent(answer)


BAD = {
    "raises": (raising(ValueError("out of ideas")), "ValueError: out of ideas"),
    "exits": (raising(SystemExit(3)), "SystemExit: 3"),
    "cannot even say why": (raising(Mute()), "Mute"),
    "returns words": (Agent(lambda o: "hello"), "TypeError: returned str, expected Reply"),
    "returns nothing": (Agent(lambda o: None), "TypeError: returned NoneType, expected Reply"),
}
POOLS: dict[str, Callable[[Any], Pool]] = {"inline": ScriptedPool, "threads": ThreadPool}


def collect(pool: Pool, count: int, patience: float = 10.0) -> dict[int, Reply]:
    got: dict[int, Reply] = {}
    until = time.monotonic() + patience
    while len(got) < count and time.monotonic() < until:
        for ticket, reply in pool.poll(0.05):
            assert ticket not in got, "one reply per ticket"
            got[ticket] = reply
    return got


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("case", BAD)
def test_whatever_goes_wrong_is_a_record(kind: str, case: str) -> None:
    agent, why = BAD[case]
    pool = POOLS[kind](agent)
    pool.ask(7, table().observe())
    assert collect(pool, 1) == {7: Reply(error=why)}
    assert pool.poll(0.0) == []


@pytest.mark.parametrize("kind", POOLS)
def test_replies_carry_their_own_ticket(kind: str) -> None:
    pool = POOLS[kind](Agent(lambda o: Reply(act="inform", text=str(o.key.episode))))
    for ticket in range(40):
        pool.ask(ticket, table(episode=1000 + ticket).observe())
    got = collect(pool, 40)
    assert {t: r.text for t, r in got.items()} == {t: str(1000 + t) for t in range(40)}


def test_threads_give_the_same_episodes_as_inline() -> None:
    def episodes(make: Callable[[Any], Pool]) -> list[str]:
        seats = {"*": make(STRATEGIES["open"]())}
        played = play((table(i) for i in range(30)), seats, concurrent=8)
        return [e.line() for e in sorted(played, key=lambda e: e.id)]

    assert episodes(ThreadPool) == episodes(ScriptedPool)


class Stuck:
    """Hangs in the episodes named, until it is let go."""

    def __init__(self, *episodes: int) -> None:
        self.episodes = episodes
        self.free = threading.Event()
        self.back = threading.Semaphore(0)

    def reply(self, observation: Observation) -> Reply:
        if observation.key.episode in self.episodes:
            self.free.wait(20)
            self.back.release()
        return Reply(act="cancel")


def test_threads_that_hang_are_replaced_and_their_late_replies_dropped() -> None:
    agent = Stuck(*range(4))
    pool = ThreadPool(agent, timeout=0.5, workers=2)
    for ticket in range(12):
        pool.ask(ticket, table(ticket).observe())
    got = collect(pool, 12)
    assert {t for t, r in got.items() if r.error} == set(range(4))
    assert got[0].error == "TimeoutError: no reply within 0.5 s"
    assert all(got[t].act == "cancel" for t in range(4, 12))
    agent.free.set()
    assert all(agent.back.acquire(timeout=10) for _ in range(4))
    pool.ask(99, table(99).observe())
    assert collect(pool, 1) == {99: Reply(act="cancel")}
    assert pool.poll(0.05) == []


def test_the_clock_starts_when_a_thread_takes_the_question_up() -> None:
    def slow(observation: Observation) -> Reply:
        time.sleep(0.05)
        return Reply(act="cancel")

    pool = ThreadPool(Agent(slow), timeout=0.75, workers=1)
    for ticket in range(20):  # the last one waits longer than a timeout for its turn
        pool.ask(ticket, table().observe())
    assert all(r.error is None for r in collect(pool, 20).values())


def test_no_more_threads_than_workers_and_none_left_idle() -> None:
    free, seen = threading.Event(), list[int]()

    def answer(observation: Observation) -> Reply:
        seen.append(sum(t.name == "moot-agent" for t in threading.enumerate()))
        free.wait(20)
        return Reply(act="cancel")

    others = sum(t.name == "moot-agent" for t in threading.enumerate())
    pool = ThreadPool(Agent(answer), workers=3)
    for ticket in range(10):
        pool.ask(ticket, table().observe())
    assert pool.poll(0.05) == []
    free.set()
    assert len(collect(pool, 10)) == 10
    assert max(seen) <= others + 3
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if sum(t.name == "moot-agent" for t in threading.enumerate()) <= others:
            break
        time.sleep(0.01)
    else:
        pytest.fail("threads stay although nothing is left to do")


def test_one_hanging_agent_breaks_its_own_episode_only() -> None:
    agent = Stuck(3)
    seats: dict[str, Pool] = {
        "ann": ThreadPool(agent, timeout=0.5),
        "bob": ScriptedPool(STRATEGIES["linear"]()),
    }
    episodes = list(play((table(i) for i in range(8)), seats))
    agent.free.set()
    ended = {e.id: e.ended for e in episodes}
    assert ended.pop(3) is Ended.BROKEN
    assert set(ended.values()) == {Ended.WALKED_AWAY}
    assert next(e.why for e in episodes if e.id == 3) == "ann: TimeoutError: no reply within 0.5 s"


def test_a_hanging_agent_does_not_keep_the_process_alive() -> None:
    program = """
import threading
from moot.agents.pools import ThreadPool
class Hang:
    def reply(self, observation):
        threading.Event().wait()
pool = ThreadPool(Hang(), timeout=0.1, workers=1)
pool.ask(1, None)
pool.ask(2, None)
got = []
while len(got) < 2:
    got += pool.poll(0.1)
print([t for t, r in got if r.error])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[1, 2]"), done.stderr


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": -1.0}, {"workers": 0}])
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(MootError, match="positive"):
        ThreadPool(cast(Any, None), **options)
