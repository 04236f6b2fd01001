"""One run of a protocol between named agents: whose turn it is, what may be said, what follows.

`judge` says whether a message is a legal move, `say` makes it. Where the protocol is made of others, a
part that follows another begins afresh (roles, turns, deadline, an empty table), and a nested part is a
talk between those who opened it, under an id of its own; the part around it waits and then goes on where
it was. Left out: contents (a world's business).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from .message import Act, Ended, Message, ProtocolError
from .protocol import (
    BACK,
    EVERYONE,
    NAMED,
    NOBODY,
    OFFERING,
    SAME,
    TURN,
    Move,
    One,
    Option,
    Protocol,
    State,
)

AWAY = "AWAY"
"""Standing of those who are not in the nested part that is being talked."""
ANSWERING = frozenset({Act.ACCEPT_PROPOSAL, Act.REJECT_PROPOSAL})


@lru_cache(maxsize=256)
def _others(agents: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    return {a: tuple([b for b in agents if b != a]) for a in agents}


class Paused(NamedTuple):
    """What a part was at when a nested one was opened."""

    state: str
    standing: dict[str, str]
    offer: Message | None
    offers: dict[str, Message]
    spoken: int
    named: str | None
    seated: tuple[str, ...]
    part: str
    began: int
    limit: int | None


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
    named: str | None = field(init=False)
    """Whom the last move to `One` named."""
    seated: tuple[str, ...] = field(init=False)
    """Who is in the part that is being talked: everyone, unless it is nested."""
    others: Mapping[str, tuple[str, ...]] = field(init=False)
    """Agent -> all the others of those, in seat order."""
    part: str = field(init=False)
    """The part of the protocol that is being talked, "" where it has none."""
    began: int = field(init=False)
    """Messages said before that part began."""
    limit: int | None = field(init=False)
    """Messages, counted from the very first, with which that part is cut off."""
    paused: list[Paused] = field(init=False)
    """The parts around it, outermost first, that wait until it is over."""

    def __post_init__(self) -> None:
        self.state, self.spoken = self.protocol.states[0].name, 0
        self.messages, self.paused = [], []
        self.own, self.ended = False, None
        self._begin(self.protocol.part_of[self.state])
        self.speaker = self._floor()

    def _begin(self, part: str) -> None:
        """All standings are roles, nothing is on the table, no time is spent yet."""
        self.part, self.began = part, len(self.messages)
        self.standing = {a: self.roles.get(a, "") for a in self.agents}
        self.offer, self.offers, self.named = None, {}, None
        self.seated, self.others = self.agents, _others(self.agents)
        self.limit = self.protocol.deadline
        if part:
            self._cut(part)

    def _cut(self, part: str) -> None:
        """The part has its own deadline too, if that comes first."""
        own = self.protocol.parts[part].protocol.deadline
        if own is not None:
            end = self.began + own
            self.limit = end if self.limit is None else min(self.limit, end)

    @property
    def left(self) -> int | None:
        """Messages that may still be said in this part; None without a deadline."""
        return None if self.limit is None else self.limit - len(self.messages)

    def end(self, reason: Ended) -> None:
        """Close the conversation from outside: an agent broke or forfeited."""
        self.ended, self.speaker, self.own = reason, None, False

    def _floor(self) -> str:
        state = self.protocol.state[self.state]
        if state.floor == NAMED:
            return self.named or self.seated[0]
        if state.rounds is not None:
            group = self._group(state)
            return group[self.spoken % len(group)]
        if state.floor == TURN:
            return self.seated[(len(self.messages) - self.began) % len(self.seated)]
        return next(a for a in self.agents if self.standing[a] == state.floor)

    def _group(self, state: State) -> Sequence[str]:
        """Everyone on the floor of a state, in seat order."""
        if state.floor == TURN or state.floor == NAMED:
            return self.seated
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
        if standing == EVERYONE:
            return self.others.get(agent, self.agents)
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
            if receivers and not isinstance(move.to, One):
                return move, receivers
            if move.to == NOBODY:
                return move, ()
            to = receivers[0] if len(receivers) == 1 else None
        if to is not None and to in receivers:
            if not isinstance(move.to, One):
                return move, receivers
            if not move.to.aloud:
                return move, (to,)
            return move, (to, *(a for a in self.others[agent] if a != to))
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
                kind="illegal-act", agent=agent, arrived=repr(str(act))[:200], legal=acts
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
        if move.act in ANSWERING and self.offer is None and len(receivers) == 1:
            answered = self.offers.get(receivers[0])
            return None if answered is None else answered.id
        return None

    def opens(self, move: Move) -> str | None:
        """The nested part that this move opens, if it opens one."""
        part = self.protocol.part_of.get(move.then, "")
        return part if part != self.part and part and self.protocol.parts[part].nested else None

    def thread(self, move: Move) -> str:
        """The id of the conversation that this move is part of: ID, or ID/PART in a nested part."""
        part = self.opens(move) or (self.part if self.paused else "")
        return f"{self.id}/{part}" if part else self.id

    def say(self, message: Message, move: Move) -> None:
        """Advance by one judged message."""
        act, protocol = move.act, self.protocol
        state = protocol.state[self.state]
        if protocol.parts and (part := self.opens(move)):
            state = protocol.state[move.then]
            self._open(part, (message.sender, *message.receivers))
        self.messages.append(message)
        if act in OFFERING and message.receivers:
            self.offers[message.sender] = message
            if state.floor == TURN or act is Act.CFP:
                self.offer = message
        elif act is Act.REJECT_PROPOSAL and not isinstance(move.to, One):
            self.offer = None
        if move.shifts:
            shifted = dict(move.shifts)
            self.standing = {a: shifted.get(s, s) for a, s in self.standing.items()}
        if move.sender_becomes:
            self.standing[message.sender] = move.sender_becomes
        if type(move.to) is One:
            self.named = message.receivers[0]
            if move.receiver_becomes:
                self.standing[self.named] = move.receiver_becomes
        elif move.receiver_becomes:
            for agent in message.receivers:
                self.standing[agent] = move.receiver_becomes
        then = move.then
        if type(then) is Ended:  # `isinstance` asks an enum's class, which is slow
            self.end(then)
            return
        self.spoken += 1
        if then != SAME and then != self.state:
            self._go(then)
            state = protocol.state[self.state]
        if state.while_any is not None or state.rounds is not None:
            self._lead_on()
            if self.ended is not None:
                return
        while self.limit is not None and len(self.messages) >= self.limit:
            if not self.paused:
                self.end(Ended.LIMIT)
                return
            self._back()
        self.speaker = self._floor()
        self.own = self.offer is not None and self.offer.sender == self.speaker

    def _go(self, then: str) -> None:
        """On to another state, perhaps of another part."""
        if then == BACK:
            self._back()
            return
        self.state, self.spoken = then, 0
        if self.protocol.parts and self.protocol.part_of[then] != self.part:
            self._begin(self.protocol.part_of[then])

    def _open(self, part: str, between: tuple[str, ...]) -> None:
        """A nested part begins, between the one who opens it and those who are addressed."""
        around = Paused(
            self.state, self.standing, self.offer, self.offers, self.spoken, self.named,
            self.seated, self.part, self.began, self.limit,
        )  # fmt: skip
        self.paused.append(around)
        self.standing = dict.fromkeys(self.agents, AWAY)
        self.offer, self.offers, self.spoken, self.named = None, {}, 0, None
        self.seated, self.others = between, _others(between)
        self.part, self.began = part, len(self.messages)
        self._cut(part)

    def _back(self) -> None:
        """The part around the nested one goes on: what was said in between took nobody's turn."""
        said = len(self.messages) - self.began
        (
            self.state, self.standing, self.offer, self.offers, self.spoken, self.named,
            self.seated, self.part, began, self.limit,
        ) = self.paused.pop()  # fmt: skip
        self.others, self.began = _others(self.seated), began + said

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
            then = state.then
            if isinstance(then, tuple):
                have = set(self.standing.values())
                then = next(to for name, to in then if name is None or name in have)
                self.offer = self.offer if isinstance(then, Ended) else None
            if isinstance(then, Ended):
                self.end(then)
                return
            self._go(then)
