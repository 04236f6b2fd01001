"""The loop that plays episodes, written once.

A pool of agents has two verbs: `ask` queues a ticket, `poll` returns the replies that are ready. So
episodes never wait for one another: when a reply is ready, its episode steps and the next speaker is
asked. Thousands of episodes may be open at once.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager

from ..protocols import Message, MootError, Pool, Reply, Ticket
from ..protocols.interrupt import heed
from .environment import Environment
from .episode import Episode


def play(
    tables: Iterable[Environment], seats: Mapping[str, Pool], *, concurrent: int = 256
) -> Iterator[Episode]:
    """Play every environment to its end; yields episodes as they finish.

    `seats` maps an agent's name, else its role, else `*`, to its pool. At most `concurrent` episodes
    are open at once; `tables` is read only as far as needed. An environment may be half played (see
    `fork`). Which episodes run together never changes what is said in any of them.
    """
    waiting = iter(tables)
    # One entry a pool, with the episodes that wait for it; seats may share one.
    open_: dict[int, tuple[Pool, dict[Ticket, Environment]]]
    open_ = {id(pool): (pool, {}) for pool in seats.values()}
    sits: dict[tuple[str, str], tuple[Pool, dict[Ticket, Environment]]] = {}
    ticket = 0

    def ask(table: Environment) -> bool:
        nonlocal ticket
        speaker = table.speaker
        if speaker is None:
            return False
        who = speaker, table.roles[speaker]
        sitting = sits.get(who)
        if sitting is None:
            name = next((name for name in (*who, "*") if name in seats), None)
            if name is None:
                raise MootError(f"nobody plays {speaker!r}; seat an agent there or at '*'")
            sitting = sits[who] = open_[id(seats[name])]
        pool, asked = sitting
        ticket += 1
        asked[ticket] = table
        pool.ask(ticket, table.observe(speaker))
        return True

    with _calm_collector():
        while True:
            heed()
            room = concurrent - sum(len(asked) for _, asked in open_.values())
            while room > 0 and (table := next(waiting, None)) is not None:
                if ask(table):
                    room -= 1
                else:
                    yield table.episode()
            idle = True
            busy = [(pool, asked) for pool, asked in open_.values() if asked]
            if not busy:
                return
            for pool, asked in busy:
                # Nobody waits for a slow pool while another has work; else a short nap.
                ready = pool.poll(0.05 if idle and pool is busy[-1][0] else 0.0)
                idle = idle and not ready
                for done, reply in ready:
                    table = asked.pop(done)
                    table.step(reply)
                    if not ask(table):
                        heed()
                        yield table.episode()


@contextmanager
def _calm_collector() -> Generator[None]:
    """Fewer garbage collections while thousands of episodes are open.

    Python's defaults walk all their live records again and again: with 10,000 open episodes that
    doubled the cost of a message. Nothing here makes cycles by the message, so little is kept.
    """
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def replay(
    episode: Episode,
    upto: int | None = None,
    *,
    seed: int | None = None,
    sees_all: frozenset[str] = frozenset(),
) -> Environment:
    """The environment after the first `upto` turns (all, if None) of a recorded episode.

    Every recorded reply is judged again; `environment.turns` then equals the record if it is sound.
    `seed` (default: the episode's own) keys what is drawn from there on; `sees_all` as for
    `Environment`.
    """
    table = Environment(
        episode.scenario,
        seed=episode.seed if seed is None else seed,
        episode=episode.id,
        seats=episode.seats,
        sees_all=sees_all,
    )
    for turn in episode.turns[:upto]:
        reply = turn.reply
        if reply is None:
            reply = said(turn.message) if turn.message is not None else Reply()
        table.step(reply, turn.agent)
    return table


def said(message: Message) -> Reply:
    """The reply that leads to this message."""
    to = message.receivers[0] if len(message.receivers) == 1 else message.named
    return Reply(act=message.act, to=to, content=message.content, text=message.text)


def fork(
    episode: Episode,
    turn: int,
    change: Message | Reply | Callable[[Environment], Reply] | None = None,
    *,
    seed: int | None = None,
    sees_all: frozenset[str] = frozenset(),
) -> Environment:
    """The episode as it stood before `turn`, with one reply changed: pass it to `play` to go on.

    `change` replaces what was said at `turn` (None: the speaker is asked again). With the run's own
    seed the later draws are those of the original, so only the change makes a difference.
    """
    table = replay(episode, turn, seed=seed, sees_all=sees_all)
    if isinstance(change, Message):
        change = said(change)
    if change is not None:
        table.step(change if isinstance(change, Reply) else change(table))
    return table
