"""Protocols made of others: one after another (`then`), or one inside another (`inside`).

The parts stay as they are declared; their states are called PART/STATE, so a composite is again one
automaton: the same judge, schemas, rules, checks and diagrams hold for it. What it means to enter and to
leave a part is in `conversation.py`. Left out: parts of different roles (who would be who?), and nested
parts that are composites themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .contract_net import contract_net
from .errors import MootError, did_you_mean
from .group_chat import group_chat
from .message import Ended
from .protocol import (
    ANY,
    BACK,
    EVERYONE,
    NAMED,
    NOBODY,
    SAME,
    TURN,
    Move,
    One,
    Part,
    Protocol,
    State,
)
from .query import query
from .voting import voting

ONWARD = (Ended.DONE, Ended.AGREED)
"""Endings of a part that lead into the next one; any other ends the whole."""


def then(first: Protocol, *others: Protocol) -> Protocol:
    """`first`, and when it has run its course or come to an agreement, the next one.

    Every part begins afresh: standings are roles, nothing is on the table, the first seat has the first
    turn, its own deadline counts. Parts have the same roles, or none. Raises `MootError` if not.
    """
    parts = dict(zip(_names((first, *others)), (first, *others), strict=True))
    roles = next((p.roles for p in parts.values() if p.roles is not None), None)
    for name, part in parts.items():
        if part.roles is not None and part.roles != roles:
            raise MootError(
                f"protocols follow one another only with the same roles: {name} has"
                f" {', '.join(part.roles)}, not {', '.join(roles or ())}"
            )
    sizes = [p.size for p in parts.values() if p.roles is None]
    low, high = max((s[0] for s in sizes), default=2), _least([s[1] for s in sizes])
    if high is not None and low > high:
        raise MootError(f"protocols follow one another only with as many seats: {low} or {high}?")
    states: list[State] = []
    moves: list[Move] = []
    for i, (name, part) in enumerate(parts.items()):
        follows = list(parts)[i + 1 : i + 2]
        onward = f"{follows[0]}/{parts[follows[0]].states[0].name}" if follows else None
        new_states, new_moves = _within(name, part, roles or {}, ONWARD if onward else (), onward)
        states += new_states
        moves += new_moves
    deadlines = [p.deadline for p in parts.values()]
    return Protocol(
        name="sequence",
        source="; ".join(dict.fromkeys(p.source for p in parts.values())),
        summary=", then ".join(p.summary for p in parts.values()),
        states=tuple(states),
        moves=tuple(moves),
        roles=roles,
        size=(low, high),
        deadline=None if None in deadlines else sum(d or 0 for d in deadlines),
        parts={k: v for name, part in parts.items() for k, v in _parts(name, part).items()},
    )


def inside(outer: Protocol, state: str, inner: Protocol, to: str | One = EVERYONE) -> Protocol:
    """`outer`, in whose `state` whoever has the floor may open `inner` with `to`, again and again.

    Every first move of `inner` (but one that ends it) becomes a move of `state`. Only the one who makes
    it and those whom it reaches are in the nested talk; however that ends, the one who opened it has the
    floor of `state` again, and `outer` is as it was. Nested messages count for the deadline of `outer`
    as well as for their own. `to` is a standing, `One(standing)` to name one, or everyone else. Raises
    `MootError` where that does not fit the seats of `inner`, or where a first move means something else
    in `state`.
    """
    if state not in outer.state:
        raise MootError(f"{outer.name} has no state {state!r}; {did_you_mean(state, outer.state)}")
    if inner.parts:
        raise MootError(
            f"{inner.name} is made of others; only a plain protocol goes inside another"
        )
    name, first = _names((*(p.protocol for p in outer.parts.values()), inner))[-1], inner.states[0]
    opener, other = _sides(inner, name, outer, to)
    states, moves = _within(name, inner, {}, tuple(Ended), BACK)
    entry = f"{name}/{first.name}"
    openings = [
        replace(
            m,
            state=state,
            then=entry if m.then == SAME else m.then,
            to=to,
            sender_becomes=m.sender_becomes or opener,
            receiver_becomes=m.receiver_becomes or other,
        )
        for m in moves
        if m.state == entry and m.then != BACK
    ]
    have = {(m.act, m.content is not None) for m in outer.table[state]}
    twice = next((m for m in openings if (m.act, m.content is not None) in have), None)
    if twice is not None:
        raise MootError(
            f"{name} cannot be opened in {state!r}: {twice.act} means something else there"
        )
    targets = {m.then for m in (*openings, *moves)} | {t for s in states for t in s.ends()}
    if entry not in targets:
        states, moves = states[1:], [m for m in moves if m.state != entry]
    return replace(
        outer,
        name="nested",
        source=f"{outer.source}; {inner.source}",
        summary=f"{outer.summary}; in {state}, talk apart: {inner.summary}",
        states=(*outer.states, *states),
        moves=(*outer.moves, *openings, *moves),
        parts={**outer.parts, name: Part(inner, nested=True)},
    )


def _names(protocols: tuple[Protocol, ...]) -> list[str]:
    """The protocols' names, numbered where one comes again."""
    names: list[str] = []
    for p in protocols:
        again = sum(n.partition(" ")[0] == p.name for n in names)
        names.append(f"{p.name} {again + 1}" if again else p.name)
    return names


def _least(bounds: list[int | None]) -> int | None:
    return min((b for b in bounds if b is not None), default=None)


def _parts(name: str, part: Protocol) -> dict[str, Part]:
    inner = {f"{name}/{k}": v for k, v in part.parts.items()}
    return {name: Part(part, nested=False), **inner}


def _sides(inner: Protocol, name: str, outer: Protocol, to: str | One) -> tuple[str, str]:
    """Standings, in the nested part, of who opens it and of whom it is opened with."""
    opener, rest = (
        inner.states[0].floor,
        [r for r in inner.roles or () if r != inner.states[0].floor],
    )
    if inner.roles is not None and (inner.roles.get(opener) != 1 or len(rest) != 1):
        raise MootError(f"{inner.name} does not go inside another: it wants more than two sides")
    pair = inner.size[1] == 2 if inner.roles is None else inner.roles[rest[0]] == 1
    alone = isinstance(to, One) or (outer.roles or {}).get(to) == 1
    if pair and not alone and not (outer.roles is None and outer.size[1] == 2):
        raise MootError(
            f"{inner.name} is between two: open it with One({to!r}), not with all of them"
        )
    return (name, name) if inner.roles is None else (f"{name}/{opener}", f"{name}/{rest[0]}")


def _within(
    name: str,
    part: Protocol,
    roles: Mapping[str, int | None],
    endings: tuple[Ended, ...],
    onward: str | None,
) -> tuple[list[State], list[Move]]:
    """States and moves of a part under its name; these `endings` lead `onward` instead.

    `roles` are standings that keep their names. Who has none in the part on its own is, within the
    whole, anyone (or, in a nested part, in it).
    """

    def state(s: str) -> str:
        return s if s in (SAME, BACK) else f"{name}/{s}"

    def standing(s: str) -> str:
        if s in (TURN, NAMED, EVERYONE, NOBODY) or s in roles:
            return s
        if not s:
            return EVERYONE if onward != BACK else name
        return f"{name}/{s}"

    def target(t: str | Ended) -> str | Ended:
        if isinstance(t, Ended):
            return onward if onward is not None and t in endings else t
        return state(t)

    def maybe(s: str | None) -> str | None:
        return None if s is None else standing(s)

    states = [
        replace(
            s,
            name=state(s.name),
            floor=standing(s.floor),
            while_any=maybe(s.while_any),
            then=tuple((maybe(w), target(t)) for w, t in s.then)
            if isinstance(s.then, tuple)
            else target(s.then),
        )
        for s in part.states
    ]
    moves = [
        replace(
            m,
            state=state(s),
            then=target(m.then),
            to=replace(m.to, standing=standing(m.to.standing))
            if isinstance(m.to, One)
            else standing(m.to),
            sender_becomes=maybe(m.sender_becomes),
            receiver_becomes=maybe(m.receiver_becomes),
            shifts=tuple((standing(a), standing(b)) for a, b in m.shifts),
        )
        for s in part.state
        for m in part.moves
        if m.state in (s, ANY)
    ]
    return states, moves


def sequence(of: tuple[Protocol, ...] = ()) -> Protocol:
    """`then`, as scenario files call it; without parts a group chat followed by a vote."""
    made = then(*(of or (group_chat(), voting())))
    return (
        made if of else replace(made, summary="protocols one after another: say, talk, then a vote")
    )


def nested(
    outer: Protocol | None = None,
    state: str = "bidding",
    inner: Protocol | None = None,
    to: str = "manager",
) -> Protocol:
    """`inside`, as scenario files call it; by default a query of a bidder within a contract net.

    `to` is a standing: one of those who have it is named where `inner` is between two.
    """
    plain = outer is None and inner is None
    outer, inner = outer or contract_net(), inner or query(cancel=False, typed=False)
    seats = inner.roles or {"": inner.size[1] and inner.size[1] - 1}
    pair = 1 in [n for role, n in seats.items() if role != inner.states[0].floor]
    alone = (outer.roles or {}).get(to) == 1 or (outer.roles is None and outer.size[1] == 2)
    made = inside(outer, state, inner, One(to) if pair and not alone else to)
    if not plain:
        return made
    return replace(made, summary="a protocol inside another: say, questions before a bid")
