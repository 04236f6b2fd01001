"""An interaction protocol is an automaton, declared once as a table of states and moves.

From that one declaration come the validator (`Conversation.judge`), the legal moves that become a JSON
Schema (`wire.py`), the rules as prompt text (`Protocol.rules`), the replay of transcripts and the
fuzzer (`check.py`). Five ideas are enough for bilateral, many-party and simultaneous protocols:

*floor*      who may speak in a state: everyone in turn (`TURN`), or those of one standing
*standing*   what an agent is in this conversation; at first its role, changed by moves
             ("bidder" becomes "proposer" becomes "contractor")
*while_any*  a state lasts while anyone has that standing, then leads on
*rounds*     or it lasts until everyone on its floor has spoken that many times, then leads on
*NOBODY*     a move that no other agent hears: with `rounds=1`, all choose at once. What came of it
             is told by the world

Left out: clocks (deadlines count messages), several floors at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

from .message import Act, Content, Ended, Message, ProtocolError

TURN = "TURN"
"""As a floor: seats speak one after the other. As a mover: whoever has the floor."""
OTHER = "OTHER"
"""As a mover: whoever has the floor, unless the standing offer is their own."""
EVERYONE = "EVERYONE"
"""As receivers: all other agents."""
NOBODY = "NOBODY"
"""As receivers: no agent; a sealed move, which only its sender and the world know of."""
ANY = "ANY"
"""As a state: the move is possible in every state."""
SAME = "SAME"
"""As a target: the state stays (a `while_any` state leads on when its group is empty)."""
OFFERING = frozenset({Act.PROPOSE, Act.CFP})
"""Acts that put an offer or a call on the table."""


@dataclass(frozen=True, slots=True)
class One:
    """As receivers: one agent of this standing, which the sender names."""

    standing: str


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
    then: str | Ended | tuple[tuple[str | None, Ended], ...] = ()
    """Next state, ending, or endings in order: the first whose standing anyone has (None: always)."""
    rounds: int | None = None
    """The state lasts until each on its floor has spoken this often, in seat order."""

    def ends(self) -> tuple[str | Ended, ...]:
        """Every state and ending that it may lead on to by itself."""
        return tuple(e for _, e in self.then) if isinstance(self.then, tuple) else (self.then,)


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

    def seats(self, agents: Sequence[str], roles: Mapping[str, str]) -> str | None:
        """None when these agents can hold this conversation, else why not."""
        if self.roles is None:
            low, high = self.size
            if low <= len(agents) and (high is None or len(agents) <= high):
                return None
            want = low if low == high else f"{low} or more" if high is None else f"{low} to {high}"
            return f"{self.name} seats {want} agents, got {len(agents)}"
        for role, count in self.roles.items():
            have = sum(roles.get(a) == role for a in agents)
            if have != count and not (count is None and have > 0):
                want = "one or more" if count is None else str(count)
                return f"{self.name} needs {want} {role}, got {have}"
        strange = sorted({roles[a] for a in agents} - set(self.roles))
        return f"{self.name} has no role {strange[0]!r}" if strange else None

    def mine(self, role: str) -> tuple[Move, ...]:
        """The moves that an agent of this role can ever make, each (act, content) once."""
        standings = self.reach(role)
        seen: dict[tuple[Act, object], Move] = {}
        for move in self.moves:
            floors = [s.floor for s in self.states if move.state in (s.name, ANY)]
            if any(f == TURN or f in standings for f in floors):
                seen.setdefault((move.act, move.content), move)
        return tuple(seen.values())

    def reach(self, role: str) -> set[str]:
        """Every standing that an agent who starts as `role` can come to have."""
        standings = {role}
        while True:
            more = set(standings)
            for m in self.moves:
                floors = {s.floor for s in self.states if m.state in (s.name, ANY)}
                if m.sender_becomes and (TURN in floors or floors & standings):
                    more.add(m.sender_becomes)
                to = m.to.standing if isinstance(m.to, One) else m.to
                if m.receiver_becomes and (to == EVERYONE or to in standings):
                    more.add(m.receiver_becomes)
            if more == standings:
                return standings
            standings = more


@lru_cache(maxsize=256)
def _others(agents: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    return {a: tuple([b for b in agents if b != a]) for a in agents}


@dataclass(slots=True)
class Conversation:
    """One run of a protocol between named agents. Changed only by `say`."""

    protocol: Protocol
    agents: tuple[str, ...]
    roles: Mapping[str, str]
    id: str = ""
    state: str = field(init=False)
    standing: dict[str, str] = field(init=False)
    offer: Message | None = field(init=False)
    """The standing proposal or call, until it is rejected."""
    offers: dict[str, Message] = field(init=False)
    """Last proposal of each agent."""
    messages: list[Message] = field(init=False)
    ended: Ended | None = field(init=False)
    spoken: int = field(init=False)
    """Messages since the state was entered; counted where the state has `rounds`."""
    speaker: str | None = field(init=False)
    """Who has the floor; None when the conversation is over."""
    own: bool = field(init=False)
    """Whether the standing offer is the speaker's own."""
    others: Mapping[str, tuple[str, ...]] = field(init=False)
    """Agent -> all the others, in seat order."""

    def __post_init__(self) -> None:
        self.state = self.protocol.states[0].name
        self.standing = {a: self.roles.get(a, "") for a in self.agents}
        self.others = _others(self.agents)
        self.offer, self.offers, self.messages, self.ended = None, {}, [], None
        self.own, self.spoken = False, 0
        self.speaker = self._floor()

    @property
    def left(self) -> int | None:
        """Messages that may still be said; None without a deadline."""
        deadline = self.protocol.deadline
        return None if deadline is None else deadline - len(self.messages)

    def end(self, reason: Ended) -> None:
        """Close the conversation from outside: an agent broke or forfeited."""
        self.ended, self.speaker, self.own = reason, None, False

    def _floor(self) -> str:
        state = self.protocol.state[self.state]
        if state.rounds is not None:
            group = self._group(state)
            return group[self.spoken % len(group)]
        if state.floor == TURN:
            return self.agents[len(self.messages) % len(self.agents)]
        return next(a for a in self.agents if self.standing[a] == state.floor)

    def _group(self, state: State) -> Sequence[str]:
        """Everyone on the floor of a state, in seat order."""
        if state.floor == TURN:
            return self.agents
        return [a for a in self.agents if self.standing[a] == state.floor]

    def moves(self) -> tuple[Move, ...]:
        """The rows of the table that are the speaker's now."""
        table = self.protocol.without_own if self.own else self.protocol.table
        return table[self.state] if self.ended is None else ()

    def options(self) -> tuple[Option, ...]:
        """What the speaker may do now; rows whose only receivers are gone are left out."""
        if self.speaker is None:
            return ()
        many = len(self.agents) > 2
        if self.protocol.roles is None and not many:
            return self.protocol.unnamed[self.state, self.own]
        reached = [(m, self.receivers(self.speaker, m)) for m in self.moves()]
        return tuple(
            Option(m, to if many and (isinstance(m.to, One) or len(to) == 1) else ())
            for m, to in reached
            if to or m.to == NOBODY
        )

    def receivers(self, agent: str, move: Move) -> tuple[str, ...]:
        """Whom this move reaches; for `One`, those of whom the sender must name one."""
        if move.to == EVERYONE:
            return self.others.get(agent, self.agents)
        if move.to == NOBODY:
            return ()
        standing = move.to.standing if isinstance(move.to, One) else move.to
        return tuple(a for a in self.agents if self.standing[a] == standing and a != agent)

    def judge(
        self, agent: str, act: str, to: str | None, has_content: bool
    ) -> tuple[Move, tuple[str, ...]] | ProtocolError:
        """The move that this is, with its receivers, or the record of why it is none."""
        if agent != self.speaker:
            floor = self.speaker
            legal = f"{floor} has the floor" if floor else f"nothing, it ended: {self.ended}"
            return ProtocolError(kind="not-your-turn", agent=agent, arrived=act, legal=legal)
        move = self.protocol.fitting[self.state, self.own].get((act, has_content))
        if move is None:
            return self._misfit(agent, act, has_content)
        receivers = self.others[agent] if move.to == EVERYONE else self.receivers(agent, move)
        if to is None:
            if len(receivers) == 1 or (receivers and not isinstance(move.to, One)):
                return move, receivers
            if move.to == NOBODY:
                return move, ()
        elif to in receivers:
            return move, (to,) if isinstance(move.to, One) else receivers
        nobody = (
            "no `to`: nobody hears it"
            if move.to == NOBODY
            else f"not {act}: nobody is left to hear it"
        )
        legal = ", ".join(receivers) or nobody
        return ProtocolError(kind="bad-receiver", agent=agent, arrived=repr(to), legal=legal)

    def _misfit(self, agent: str, act: str, has_content: bool) -> ProtocolError:
        moves = self.moves()
        fits = [m for m in moves if m.act == act]
        if not fits:
            acts = ", ".join(dict.fromkeys(str(m.act) for m in moves))
            return ProtocolError(
                kind="illegal-act", agent=agent, arrived=repr(act)[:200], legal=acts
            )
        legal = " or ".join(
            f"{m.act} without content"
            if m.content is None
            else f"{m.act} with {m.content.__name__}"
            for m in fits
        )
        got = f"{act} {'with' if has_content else 'without'} content"
        return ProtocolError(kind="bad-content", agent=agent, arrived=got, legal=legal)

    def answers(self, move: Move, agent: str, receivers: tuple[str, ...]) -> int | None:
        """Number of the proposal or call that this move answers (FIPA `in-reply-to`)."""
        if isinstance(move.to, One) and receivers[0] in self.offers:
            return self.offers[receivers[0]].id
        if self.offer is not None and self.offer.sender != agent:
            return self.offer.id
        return None

    def say(self, message: Message, move: Move) -> None:
        """Advance by one judged message."""
        self.messages.append(message)
        act, protocol = move.act, self.protocol
        state = protocol.state[self.state]
        if act in OFFERING and message.receivers:
            self.offers[message.sender] = message
            if state.floor == TURN or act is Act.CFP:
                self.offer = message
        elif act is Act.REJECT_PROPOSAL and not isinstance(move.to, One):
            self.offer = None
        if move.sender_becomes:
            self.standing[message.sender] = move.sender_becomes
        if move.receiver_becomes:
            for agent in message.receivers:
                self.standing[agent] = move.receiver_becomes
        then = move.then
        if type(then) is Ended:  # `isinstance` asks an enum's class, which is slow
            self.end(then)
            return
        self.spoken += 1
        if then != SAME and then != self.state:
            self.state, self.spoken = then, 0
            state = protocol.state[then]
        if state.while_any is not None or state.rounds is not None:
            self._lead_on()
            if self.ended is not None:
                return
        if protocol.deadline is not None and len(self.messages) >= protocol.deadline:
            self.end(Ended.LIMIT)
        else:
            self.speaker = self._floor()
            self.own = self.offer is not None and self.offer.sender == self.speaker

    def _lead_on(self) -> None:
        """Leave states that have lasted as long as they may, several at once if need be."""
        passed: set[str] = set()
        while True:
            state = self.protocol.state[self.state]
            if state.while_any is not None:
                over = state.while_any not in self.standing.values()
            else:
                # A floor on which nobody stands has had all its rounds.
                rounds = state.rounds
                over = rounds is not None and self.spoken >= rounds * len(self._group(state))
            if not over:
                return
            if state.name in passed:  # round and round, and nobody is left to speak
                self.end(Ended.DONE)
                return
            passed.add(state.name)
            if isinstance(state.then, Ended):
                self.end(state.then)
                return
            if isinstance(state.then, tuple):
                have = set(self.standing.values())
                self.end(next(end for name, end in state.then if name is None or name in have))
                return
            self.state, self.spoken = state.then, 0
