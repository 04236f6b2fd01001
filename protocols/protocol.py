"""An interaction protocol is an automaton, declared once as a table of states and moves.

From that one declaration come the validator (`Conversation.judge`), the legal moves that become a JSON
Schema (`wire.py`), the rules as prompt text (`Protocol.rules`), the replay of transcripts and the
fuzzer (`check.py`). Five ideas are enough for bilateral, many-party and simultaneous protocols:

*floor*      who may speak in a state: everyone in turn (`TURN`), those of one standing, or whoever
             was named last (`NAMED`)
*standing*   what an agent is in this conversation; at first its role, changed by moves
             ("bidder" becomes "proposer" becomes "contractor")
*while_any*  a state lasts while anyone has that standing, then leads on
*rounds*     or it lasts until everyone on its floor has spoken that many times, then leads on
*NOBODY*     a move that no other agent hears: with `rounds=1`, all choose at once. What came of it
             is told by the world

A protocol may be made of others (`compose.py`); its states then belong to parts, PART/STATE.
Left out: clocks (deadlines count messages), several floors at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from .counted import counted
from .message import Act, Content, Ended

TURN = "TURN"
"""As a floor: seats speak one after the other. As a mover: whoever has the floor."""
OTHER = "OTHER"
"""As a mover: whoever has the floor, unless the standing offer is their own."""
NAMED = "NAMED"
"""As a floor: whom the last move to `One` named; at first the first seat."""
EVERYONE = "EVERYONE"
"""As receivers: all other agents."""
NOBODY = "NOBODY"
"""As receivers: no agent; a sealed move, which only its sender and the world know of."""
ANY = "ANY"
"""As a state: the move is possible in every state."""
SAME = "SAME"
"""As a target: the state stays (a `while_any` state leads on when its group is empty)."""
BACK = "BACK"
"""As a target in a nested part: it is over, and goes on where it was opened."""
OFFERING = frozenset({Act.PROPOSE, Act.CFP})
"""Acts that put an offer or a call on the table."""


@dataclass(frozen=True, slots=True)
class One:
    """As receivers: one agent of this standing (`EVERYONE`: any other), which the sender names."""

    standing: str
    aloud: bool = False
    """Everyone hears it; the one who is named is only addressed."""


@dataclass(frozen=True, slots=True)
class Move:
    """One row of the table: in `state`, `who` may say `act` with `content`, which leads to `then`."""

    state: str
    who: str
    act: Act
    content: type[Content] | None
    then: str | Ended
    says: str
    """What the move does, in the words of the rules that agents read."""
    to: str | One = EVERYONE
    sender_becomes: str | None = None
    receiver_becomes: str | None = None
    shifts: tuple[tuple[str, str], ...] = ()
    """Whoever had the first standing now has the second: a new round opens, a leader is outbid."""


class Option(NamedTuple):
    """One legal move, with the agents of whom one must be named as `to` (empty: none is named)."""

    move: Move
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class State:
    """Who has the floor here, and what follows when the state has lasted as long as it may."""

    name: str
    floor: str = TURN
    while_any: str | None = None
    """The state lasts while an agent has this standing."""
    then: str | Ended | tuple[tuple[str | None, str | Ended], ...] = ()
    """Next state, ending, or several in order: the first whose standing anyone has (None: always).
    To go on to a state in such a way takes the offer off the table."""
    rounds: int | None = None
    """The state lasts until each on its floor has spoken this often, in seat order."""
    silence: Act | None = None
    """What an agent that makes no legal reply here is taken to have said, without content; None: it
    forfeits, and the whole talk is over."""

    def ends(self) -> tuple[str | Ended, ...]:
        """Every state and ending that it may lead on to by itself."""
        return tuple(e for _, e in self.then) if isinstance(self.then, tuple) else (self.then,)


class Part(NamedTuple):
    """A protocol within another."""

    protocol: Protocol
    """As it is on its own."""
    nested: bool
    """Whether it is opened from a state of another part, and leads back there."""


@dataclass(frozen=True)
class Protocol:
    """States, moves and seats of one protocol; immutable and shared by all its conversations."""

    name: str
    source: str
    """The document or paper that defines it."""
    states: tuple[State, ...]
    """The first one is where every conversation starts."""
    moves: tuple[Move, ...]
    roles: Mapping[str, int | None] | None = None
    """Role -> how many seats (None: one or more). None: no roles, as many agents as `size` says."""
    size: tuple[int, int | None] = (2, 2)
    """Fewest and most agents (None: no bound) of a protocol without roles."""
    deadline: int | None = None
    """Most messages in one conversation; exactly this many may be said."""
    summary: str = ""
    parts: Mapping[str, Part] = field(default_factory=dict[str, Part])
    """Name -> part, where the protocol is made of others; the states of a part are called NAME/..."""

    @cached_property
    def part_of(self) -> dict[str, str]:
        """State -> the part that it belongs to, "" for none."""
        longest = sorted(self.parts, key=len, reverse=True)
        return {
            s.name: next((p for p in longest if s.name.startswith(f"{p}/")), "")
            for s in self.states
        }

    @cached_property
    def state(self) -> dict[str, State]:
        return {s.name: s for s in self.states}

    @cached_property
    def table(self) -> dict[str, tuple[Move, ...]]:
        """State -> its moves, `ANY` rows included, in the order of the declaration."""
        return {
            s.name: tuple(m for m in self.moves if m.state in (s.name, ANY)) for s in self.states
        }

    @cached_property
    def without_own(self) -> dict[str, tuple[Move, ...]]:
        """State -> moves open to the author of the standing offer."""
        return {s: tuple(m for m in ms if m.who != OTHER) for s, ms in self.table.items()}

    @cached_property
    def fitting(self) -> dict[tuple[str, bool], dict[tuple[str, bool], Move]]:
        """(State, author of the standing offer?) -> (act, with content?) -> the move."""
        return {
            (state, own): {(m.act, m.content is not None): m for m in reversed(moves)}
            for own, table in ((False, self.table), (True, self.without_own))
            for state, moves in table.items()
        }

    @cached_property
    def unnamed(self) -> dict[tuple[str, bool], tuple[Option, ...]]:
        """(State, author of the standing offer?) -> options that name no receiver, as in any
        talk between two without roles."""
        return {
            (state, own): tuple(Option(m, ()) for m in moves)
            for own, table in ((False, self.table), (True, self.without_own))
            for state, moves in table.items()
        }

    @cached_property
    def sealed(self) -> bool:
        """Whether anything is ever said that not everyone hears, even among two."""
        return any(m.to == NOBODY for m in self.moves)

    @cached_property
    def slots(self) -> frozenset[type[Content]]:
        """What contents its moves have; the world says what they hold."""
        return frozenset(m.content for m in self.moves if m.content is not None)

    def mermaid(self) -> str:
        """The automaton as a Mermaid state diagram (`diagram.py`)."""
        from .diagram import mermaid

        return mermaid(self)

    def seats(self, agents: Sequence[str], roles: Mapping[str, str]) -> str | None:
        """None when these agents can hold this conversation, else why not."""
        for part in self.parts.values():
            if not part.nested and (wrong := part.protocol.seats(agents, roles)):
                return wrong
        if self.roles is None:
            low, high = self.size
            if low <= len(agents) and (high is None or len(agents) <= high):
                return None
            more = "or more" if high is None else f"to {high}"
            want = counted(low, "agent") if low == high else f"{low} {more} agents"
            return f"{self.name} seats {want}, got {len(agents)}"
        for role, count in self.roles.items():
            have = sum(roles.get(a) == role for a in agents)
            if have != count and not (count is None and have > 0):
                want = "one or more" if count is None else str(count)
                return f"{self.name} needs {want} {role}, got {have}"
        strange = sorted({roles[a] for a in agents} - set(self.roles))
        return f"{self.name} has no role {strange[0]!r}" if strange else None

    def mine(self, role: str) -> tuple[Move, ...]:
        """The moves that an agent of this role can ever make, each meaning once."""
        standings = self.reach(role)
        seen: dict[tuple[object, ...], Move] = {}
        for move in self.moves:
            if self._speaks(move, standings):
                seen.setdefault((move.act, move.content, move.says), move)
        return tuple(seen.values())

    def reach(self, role: str) -> set[str]:
        """Every standing that an agent who starts as `role` can come to have."""
        standings = {role}
        while True:
            more = set(standings)
            for m in self.moves:
                if m.sender_becomes and self._speaks(m, standings):
                    more.add(m.sender_becomes)
                to = m.to.standing if isinstance(m.to, One) else m.to
                if m.receiver_becomes and (to == EVERYONE or to in standings):
                    more.add(m.receiver_becomes)
                more |= {new for old, new in m.shifts if old in standings}
            if more == standings:
                return standings
            standings = more

    def _speaks(self, move: Move, standings: set[str]) -> bool:
        """Whether an agent that may come to have these standings may come to make this move."""
        for state in self.states:
            if move.state not in (state.name, ANY):
                continue
            # In a nested part only those it is between take turns; they have its name as a standing.
            part = self.part_of[state.name]
            open_to = part if part and self.parts[part].nested else None
            if state.floor in standings or (
                state.floor in (TURN, NAMED) and (open_to is None or open_to in standings)
            ):
                return True
        return False
