"""What a protocol promises, as a check to call on your own: `check_protocol`.

First the table alone: targets exist, every state is reached and left, no row hides another. Then random
walks (`walk.py`) with seats of several numbers: judge, options and schema agree about every possible
message, illegal ones are refused, nobody accepts what is not on the table, the deadline is exact, a
replay goes through the same states. Last the rules in words: they name what was possible, no more.

Left out: contents (a world's business, see `check_environment`), and proofs: paths are drawn at random.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from .counted import counted
from .message import Ended
from .protocol import (
    ANY,
    BACK,
    EVERYONE,
    NAMED,
    NOBODY,
    OTHER,
    SAME,
    TURN,
    One,
    Protocol,
    State,
)
from .walk import Notes, broken, walk
from .wire import rules

ROOM = 20
"""Messages in which every move of a protocol should have its chance."""


def check_protocol(protocol: Protocol, *, paths: int = 1000, seed: int = 0) -> Notes:
    """Try every promise of a protocol on its table and on `paths` random walks.

    Raises `ContractError`, an `AssertionError`, with the first promise that is broken; returns what
    was tried. The same seed walks the same paths.
    """
    _check_table(protocol)
    _check_ways(protocol)
    casts = list(_casts(protocol))
    _check_seats(protocol, *casts[0])
    notes = Notes()
    for path in range(paths):
        rng = random.Random(f"{seed}|{protocol.name}|{path}")
        # Every other path avoids to end, so that the deadline is met and late states are seen.
        stubborn = path % 2 == 1
        walk(protocol, rng, *casts[path % len(casts)], notes=notes, stubborn=stubborn)
    if protocol.deadline is not None and protocol.deadline < ROOM:
        # A short deadline hides late moves, which the rules in words rightly name.
        for path in range(paths // 4):
            rng = random.Random(f"{seed}|{protocol.name}|roomy|{path}")
            walk(replace(protocol, deadline=ROOM), rng, *casts[path % len(casts)], notes=notes)
    _check_rules(protocol, notes.seen)
    return notes


def _casts(protocol: Protocol) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    """Seats to try, agents and their roles: two, or one to three of every role that may have many."""
    if protocol.roles is None:
        low, high = protocol.size
        for n in sorted({low, min(low + 1, high or low + 1), min(low + 3, high or low + 3)}):
            yield (agents := tuple(f"agent-{i}" for i in range(n))), dict.fromkeys(agents, "")
        return
    for several in (1, 2, 3):
        roles = [role for role, n in protocol.roles.items() for _ in range(n or several)]
        agents = tuple(f"{role}-{i}" for i, role in enumerate(roles))
        yield agents, dict(zip(agents, roles, strict=True))


def _check_table(protocol: Protocol) -> None:
    names = [s.name for s in protocol.states]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise broken(protocol, f"state {twice!r} is declared twice")
    standings = set(protocol.roles or ("",))
    for move in protocol.moves:
        standings |= {s for s in (move.sender_becomes, move.receiver_becomes) if s}
        standings |= {new for _, new in move.shifts}
    for move in protocol.moves:
        row = f"move {move.state!r} {move.act}"
        if move.state not in (*names, ANY):
            raise broken(protocol, f"{row}: there is no state {move.state!r}")
        if not isinstance(move.then, Ended) and move.then not in (*names, SAME, BACK):
            raise broken(protocol, f"{row}: leads to {move.then!r}, which is no state")
        if move.then == BACK and not _nested(protocol, move.state):
            raise broken(protocol, f"{row}: there is nowhere to go back to")
        if move.who not in (TURN, OTHER):
            raise broken(protocol, f"{row}: who is {move.who!r}, want TURN or OTHER")
        to = move.to.standing if isinstance(move.to, One) else move.to
        if to not in (EVERYONE, NOBODY) and to not in standings:
            raise broken(protocol, f"{row}: goes to {to!r}, which nobody ever is")
        lost = next((old for old, _ in move.shifts if old not in standings), None)
        if lost is not None:
            raise broken(protocol, f"{row}: shifts {lost!r}, which nobody ever is")
    for state in protocol.states:
        _check_state(protocol, state, names, standings)


def _nested(protocol: Protocol, state: str) -> bool:
    part = protocol.part_of.get(state)
    return bool(part) and protocol.parts[part].nested


def _check_state(protocol: Protocol, state: State, names: list[str], standings: set[str]) -> None:
    here = f"state {state.name!r}"
    if state.floor not in (TURN, NAMED) and state.floor not in standings:
        raise broken(protocol, f"{here}: the floor is {state.floor!r}'s, which nobody ever is")
    if state.while_any is not None and state.rounds is not None:
        raise broken(protocol, f"{here}: lasts by while_any or by rounds, not by both")
    if state.rounds is not None and state.rounds < 1:
        raise broken(protocol, f"{here}: lasts {counted(state.rounds, 'round')}; want 1 or more")
    if state.while_any is not None and not state.then:
        raise broken(protocol, f"{here}: nothing follows when no {state.while_any} is left")
    if state.rounds is not None and not state.then:
        raise broken(protocol, f"{here}: nothing follows after {counted(state.rounds, 'round')}")
    if isinstance(state.then, tuple) and state.then and state.then[-1][0] is not None:
        raise broken(protocol, f"{here}: its last ending must be for None, which always holds")
    known = (*names, BACK) if _nested(protocol, state.name) else names
    lost = next((t for t in state.ends() if not isinstance(t, Ended) and t not in known), None)
    if state.then and lost is not None:
        raise broken(protocol, f"{here}: leads to {lost!r}, which is no state")
    rows = [(str(m.act), m.content is not None) for m in protocol.table[state.name]]
    if state.silence is not None:
        silent = [
            m for m in protocol.table[state.name] if (m.act, m.content) == (state.silence, None)
        ]
        if not silent or isinstance(silent[0].to, One):
            raise broken(protocol, f"{here}: silence is {state.silence}, which needs a content, names"
                                   " one, or is no move there")  # fmt: skip
    hidden = next((row for row in rows if rows.count(row) > 1), None)
    if hidden is not None:
        what = f"{hidden[0]} {'with' if hidden[1] else 'without'} content"
        raise broken(protocol, f"{here}: two moves are {what}; which one is meant?")


def _check_ways(protocol: Protocol) -> None:
    """Every state is reached from the first, and an ending from every state (the deadline is one)."""
    leads: dict[str, set[str | Ended]] = {}
    for state in protocol.states:
        moves = protocol.table[state.name]
        if not moves:
            raise broken(protocol, f"state {state.name!r}: nobody can say anything there")
        ways: set[str | Ended] = {state.name if m.then == SAME else m.then for m in moves}
        if state.then:
            ways |= set(state.ends())
        leads[state.name] = ways
    for state, ways in leads.items():
        if BACK in ways:  # that is, to wherever the part was opened
            ways.remove(BACK)
            part = protocol.part_of[state]
            ways |= {
                s for s in leads if protocol.part_of[s] != part and part in _opened(protocol, s)
            }
    reached: set[str] = set()
    new = {protocol.states[0].name}
    while new:
        reached |= new
        new = {t for s in new for t in leads[s] if not isinstance(t, Ended)} - reached
    lost = next((s for s in leads if s not in reached), None)
    if lost is not None:
        raise broken(protocol, f"state {lost!r} is never reached")
    out = {s for s, ways in leads.items() if any(isinstance(t, Ended) for t in ways)}
    while more := {s for s, ways in leads.items() if ways & out} - out:
        out |= more
    # Where no move ends it, the deadline does.
    stuck = next((s for s in leads if s not in out and protocol.deadline is None), None)
    if stuck is not None:
        raise broken(protocol, f"state {stuck!r} has no way out")


def _opened(protocol: Protocol, state: str) -> set[str]:
    """The parts that moves from this state lead into."""
    return {protocol.part_of[m.then] for m in protocol.table[state] if m.then in protocol.part_of}


def _check_seats(protocol: Protocol, agents: tuple[str, ...], roles: dict[str, str]) -> None:
    if wrong := protocol.seats(agents, roles):
        raise broken(protocol, f"refuses {', '.join(agents)}: {wrong}")
    if not protocol.seats((), {}):
        raise broken(protocol, "seats nobody at all")
    if protocol.roles is None and protocol.size[1] is None:
        return
    # Among those of no role, as many strangers as make them too many.
    more = 1 if protocol.roles is not None else (protocol.size[1] or 0) - len(agents) + 1
    strays = dict.fromkeys((f"stray-{i}" for i in range(more)), "stray")
    if not protocol.seats((*agents, *strays), {**roles, **strays}):
        raise broken(protocol, "seats an agent too many, of a role that it does not know")


def _check_rules(protocol: Protocol, seen: Mapping[str, set[tuple[str, bool]]]) -> None:
    """The rules of each role name what its agents could do, and nothing that they could not."""
    for role, possible in seen.items():
        text = rules(protocol, role, lambda move: "{}", many=True)
        told = {
            (act, " content " in line)
            for line in text.splitlines()
            for act in re.findall(r'^- "([a-z-]+)":', line)
        }
        for (act, has), fault in (
            *((key, "are silent about") for key in sorted(possible - told)),
            *((key, "name what no path allows:") for key in sorted(told - possible)),
        ):
            content = "with" if has else "without"
            whose = f"the rules of a {role}" if role else "the rules"
            raise broken(protocol, f"{whose} {fault} {act} {content} content")
        if protocol.deadline is not None and str(protocol.deadline) not in text:
            raise broken(protocol, f"the rules do not tell the deadline, {protocol.deadline}")
