"""A protocol to look at: as a Mermaid state diagram, and as a table in words.

Boxes are states, with who has the floor and how long they last; arrows are moves, or what follows by itself
when a state has lasted as long as it may. Rounded ends are the reasons for which a conversation ends. Moves
that lead the same way share an arrow. Diagram: https://mermaid.js.org/syntax/stateDiagram.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from .counted import counted
from .message import Ended
from .protocol import (
    BACK,
    EVERYONE,
    NOBODY,
    OTHER,
    SAME,
    Move,
    One,
    Protocol,
    State,
)


def mermaid(protocol: Protocol) -> str:
    """The automaton as a `stateDiagram-v2`, without a code fence; ends with a line break."""
    lines = ["stateDiagram-v2"]
    for state in protocol.states:
        lines.append(f'    state "{state.name}<br/>{floor(state)}" as {_id(state.name)}')
    lines.append(f"    [*] --> {_id(protocol.states[0].name)}")
    arrows: dict[tuple[str, str], list[str]] = {}
    for source, target, label in _arrows(protocol):
        labels = arrows.setdefault((source, target), [])
        if label not in labels:
            labels.append(label)
    for (source, target), labels in arrows.items():
        lines.append(f"    {source} --> {target} : {'<br/>'.join(labels)}")
    ends = {t: None for _, t in arrows if t.startswith("end_")}
    lines += [f'    state "{e[4:].replace("_", "-")}" as {e}' for e in ends]
    lines += [f"    {e} --> [*]" for e in ends]
    return "\n".join(lines) + "\n"


def floor(state: State) -> str:
    """Who may speak in a state, and for how long, in words."""
    match state.floor:
        case "TURN":
            who = "all in turn"
        case "NAMED":
            who = "whoever was named"
        case standing:
            who = f"each {standing}" if standing == state.while_any or state.rounds else standing
    if state.while_any is not None and state.while_any != state.floor:
        return f"{who}, while anyone is {state.while_any}"
    if state.rounds is not None and state.floor == "NAMED":
        return f"{who}, {counted(state.rounds, 'message')} for each agent"
    if state.rounds is not None:
        return f"{who}, {counted(state.rounds, 'time')} each"
    return who


class Row(NamedTuple):
    """A move, or what follows by itself when a state has lasted as long as it may (no `says`)."""

    said: str
    """The act with its content and receivers, or the condition in brackets."""
    then: str
    says: str


def table(protocol: Protocol) -> dict[str, list[Row]]:
    """State -> its moves and what follows by itself, in words."""
    rows: dict[str, list[Row]] = {}
    for state in protocol.states:
        here = rows.setdefault(state.name, [])
        for move in protocol.table[state.name]:
            words = move.says + ("; not for the author of the offer" if move.who == OTHER else "")
            here.append(Row(_label(protocol, move), _target(move.then, state.name), words))
        for standing, then in _follows(state):
            here.append(Row(f"[{_when(state, standing)}]", _target(then, state.name), ""))
    return rows


def _arrows(protocol: Protocol) -> Iterator[tuple[str, str, str]]:
    for state in protocol.states:
        here = _id(state.name)
        for move in protocol.table[state.name]:
            for target in _targets(protocol, state, move.then):
                yield here, target, _label(protocol, move)
        for standing, then in _follows(state):
            for target in _targets(protocol, state, then):
                yield here, target, f"[{_when(state, standing)}]"


def _follows(state: State) -> tuple[tuple[str | None, str | Ended], ...]:
    if isinstance(state.then, tuple):
        return state.then
    return ((None, state.then),)


def _when(state: State, standing: str | None) -> str:
    after = "all have spoken" if state.rounds is not None else f"nobody is {state.while_any} now"
    ways = state.then if isinstance(state.then, tuple) else ()
    if standing is not None:
        return f"{after}, one is {standing}"
    return f"{after}, otherwise" if len(ways) > 1 else after


def _targets(protocol: Protocol, state: State, then: str | Ended) -> list[str]:
    if isinstance(then, Ended):
        return [f"end_{then.value.replace('-', '_')}"]
    if then == SAME:
        return [_id(state.name)]
    if then != BACK:
        return [_id(then)]
    part = protocol.part_of[state.name]
    opened = {m.state: None for m in protocol.moves if protocol.part_of.get(m.then) == part}
    return [_id(s) for s in opened if protocol.part_of.get(s) != part]


def _target(then: str | Ended, here: str) -> str:
    if isinstance(then, Ended):
        return f"the end: {then.value}"
    return {SAME: here, BACK: "back to where it was opened"}.get(then, then)


def _label(protocol: Protocol, move: Move) -> str:
    """The act, what it holds, and who hears it where that is not plain."""
    said = str(move.act) + (f" ({move.content.__name__})" if move.content else "")
    if isinstance(move.to, One):
        whom = "other" if move.to.standing == EVERYONE else move.to.standing
        return f"{said} to one {whom}" + (" before all" if move.to.aloud else "")
    if move.to == NOBODY:
        return f"{said}, sealed"
    if move.to == EVERYONE or (
        protocol.roles is not None and list(protocol.roles.values()) == [1, 1]
    ):
        return said
    return f"{said} to {move.to}"


def _id(name: str) -> str:
    """A name as an identifier; no two states of a protocol come to the same one."""
    return "s_" + re.sub(r"[^a-z0-9]", lambda m: {"/": "__"}.get(m[0], "_"), name.lower())
