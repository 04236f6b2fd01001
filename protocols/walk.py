"""Walks through a protocol: recorded ones replayed, random ones drawn with illegal messages thrown in.

`check_transcript` says what is illegal in a recorded conversation. `walk` is the fuzzer behind
`check_protocol`: at each step of a random legal path it compares judge, options and JSON Schema over
every possible message, and has illegal ones refused. Left out: contents, which are a world's business.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .conversation import Conversation
from .errors import ContractError
from .message import Act, Content, Ended, Message, ProtocolError
from .protocol import TURN, Move, Protocol
from .wire import reply_schema

LONGEST = 2_000
"""Messages after which a path without a deadline counts as endless."""

Legal = dict[tuple[str, bool, tuple[str, ...]], Move]
"""(Act, with content?, receivers) -> the move that it is."""
Unanswered = dict[tuple[str, str], set[str]]
"""(Conversation, author) -> who may still answer the proposal."""


@dataclass
class Notes:
    """What many walks of one protocol have tried."""

    seen: dict[str, set[tuple[str, bool]]] = field(default_factory=dict[str, set[tuple[str, bool]]])
    """Role -> (act, with content?) that was possible for it."""
    compared: set[tuple[object, ...]] = field(default_factory=set[tuple[object, ...]])
    """Situations in which every possible message was judged."""
    messages: int = 0
    """Legal ones."""
    refused: int = 0
    """Illegal ones, each judged to be so."""


def check_transcript(
    protocol: Protocol, agents: Sequence[str], roles: Mapping[str, str], messages: Iterable[Message]
) -> list[ProtocolError]:
    """What is illegal in a recorded conversation; an illegal message changes nothing.

    Beside the judge's errors there are `bad-receiver` where the receivers are not those of the act,
    and `out-of-order` where a number or an `in_reply_to` is not what it must be.
    """
    return replay_messages(protocol, agents, roles, messages)[2]


def replay_messages(
    protocol: Protocol, agents: Sequence[str], roles: Mapping[str, str], messages: Iterable[Message]
) -> tuple[Conversation, list[str], list[ProtocolError]]:
    """The conversation that these messages make, the state before each legal one, what was illegal."""
    talk = Conversation(protocol, tuple(agents), roles)
    states: list[str] = []
    errors: list[ProtocolError] = []
    for message in messages:
        to = message.receivers[0] if message.receivers else None
        fits = talk.judge(message.sender, message.act, to, message.content is not None)
        if isinstance(fits, ProtocolError):
            errors.append(fits)
            continue
        move, receivers = fits
        wrong = _misplaced(talk, message, move, receivers)
        if wrong is not None:
            errors.append(wrong)
        if wrong is None or wrong.kind != "bad-receiver":
            states.append(talk.state)
            talk.say(message, move)
    return talk, states, errors


def _misplaced(
    talk: Conversation, message: Message, move: Move, receivers: tuple[str, ...]
) -> ProtocolError | None:
    answers = talk.answers(move, message.sender, receivers)
    for kind, what, got, want in (
        ("bad-receiver", "receivers", message.receivers, receivers),
        ("out-of-order", "id", message.id, len(talk.messages)),
        ("out-of-order", "in_reply_to", message.in_reply_to, answers),
    ):
        if got != want:
            return ProtocolError(
                kind=kind, agent=message.sender, arrived=f"{what} {got}", legal=f"{what} {want}"
            )
    return None


def walk(
    protocol: Protocol,
    rng: random.Random,
    agents: Sequence[str],
    roles: Mapping[str, str],
    *,
    notes: Notes | None = None,
    stubborn: bool = False,
) -> Conversation:
    """One random legal path to its end, with illegal messages thrown in and refused on the way.

    A `stubborn` path ends only when nothing else is possible. Raises `ContractError`.
    """
    notes = notes or Notes()
    talk = Conversation(protocol, tuple(agents), roles, id="walk")
    unanswered: Unanswered = {}
    states: list[str] = []
    while talk.ended is None:
        legal = _agree(talk, notes.compared)
        notes.refused += _inject(talk, legal, rng)
        mine = notes.seen.setdefault(roles.get(talk.speaker or "", ""), set())
        mine.update((act, has_content) for act, has_content, _ in legal)
        choices = sorted(legal)
        if stubborn:
            choices = [c for c in choices if not isinstance(legal[c].then, Ended)] or choices
        choice = rng.choice(choices)
        states.append(talk.state)
        _say(talk, legal[choice], choice[2], unanswered)
    if talk.speaker is not None or talk.options() or talk.moves():
        raise broken(protocol, f"somebody may still speak after the end ({talk.ended})")
    notes.refused += _inject(talk, {}, rng)
    notes.messages += len(talk.messages)
    again, same, errors = replay_messages(protocol, agents, roles, talk.messages)
    if errors:
        raise broken(protocol, f"a legal path is illegal when it is replayed: {errors[0]}")
    if (same, *_state(again)) != (states, *_state(talk)):
        raise broken(protocol, f"a replayed path ends elsewhere: {again.ended}, first {talk.ended}")
    return talk


def broken(protocol: Protocol, what: str) -> ContractError:
    """The error that this protocol breaks its contract."""
    return ContractError(f"protocol {protocol.name}: {what}")


def _agree(talk: Conversation, compared: set[tuple[object, ...]]) -> Legal:
    """Every legal message: what the schema of the options allows is what the judge allows.

    All possible messages are judged only once for each situation in `compared`: there are many.
    """
    protocol, speaker, state = talk.protocol, talk.speaker, f"state {talk.state!r}"
    if speaker is None:
        raise broken(protocol, f"{state}: nobody has the floor, yet it is not over")
    offered: Legal = {}
    for option in reply_schema(talk.options(), lambda move, to: {"type": "object"}, 0)["anyOf"]:
        fields: dict[str, Any] = option["properties"]
        act, to = fields["act"]["const"], fields.get("to", {}).get("const")
        fits = talk.judge(speaker, act, to, "content" in fields)
        if isinstance(fits, ProtocolError):
            raise broken(protocol, f"{state}: the schema allows what the judge refuses: {fits}")
        offered[act, "content" in fields, fits[1]] = fits[0]
    if not offered:
        raise broken(protocol, f"{state}: {speaker} has the floor and nothing to say")
    situation = (talk.state, speaker, talk.own, *talk.standing.items())
    if situation not in compared:
        compared.add(situation)
        for act, has, to in itertools.product(Act, (False, True), (None, *talk.agents)):
            fits = talk.judge(speaker, act, to, has)
            if not isinstance(fits, ProtocolError) and (str(act), has, fits[1]) not in offered:
                what = f"{act} {'with' if has else 'without'} content to {', '.join(fits[1])}"
                raise broken(protocol, f"{state}: the judge allows {what}, the schema does not")
    return offered


def _inject(talk: Conversation, legal: Legal, rng: random.Random) -> int:
    """Have illegal messages judged: each must be refused and change nothing. Returns how many."""
    before = _state(talk)
    acts = sorted({(act, has_content) for act, has_content, _ in legal})
    strangers = [a for a in talk.agents if a != talk.speaker]
    tries: list[tuple[str, str, str | None, bool]] = []
    tries += [(s, act, None, has) for s in strangers for act, has in acts]
    for act in rng.sample([str(a) for a in Act], 4):
        tries.append((rng.choice(strangers), act, None, rng.random() < 0.5))
        if talk.speaker is not None:
            tries += [(talk.speaker, act, None, h) for h in (False, True) if (act, h) not in acts]
    for act, has in acts:
        me = talk.speaker or ""
        if (act, not has) not in acts:
            tries.append((me, act, None, not has))
        reached = {r for a, h, to in legal if (a, h) == (act, has) for r in to}
        deaf = [a for a in (*talk.agents, "nobody") if a not in reached]
        tries.append((me, act, rng.choice(deaf), has))
    for agent, act, to, has in tries:
        if not isinstance(talk.judge(agent, act, to, has), ProtocolError):
            raise broken(
                talk.protocol,
                f"state {talk.state!r}: {agent} may say {act} {'with' if has else 'without'} content"
                f" to {to or 'whom it likes'}, which no option of {talk.speaker or 'anybody'} allows",
            )
    if _state(talk) != before:
        raise broken(talk.protocol, f"state {talk.state!r}: to judge changes the conversation")
    return len(tries)


def _state(talk: Conversation) -> tuple[object, ...]:
    return (
        talk.state, dict(talk.standing), talk.offer, dict(talk.offers), tuple(talk.messages),
        talk.ended, talk.speaker,
    )  # fmt: skip


def _say(
    talk: Conversation, move: Move, receivers: tuple[str, ...], unanswered: Unanswered
) -> None:
    """Say it. `unanswered`, author -> proposal, is kept by hand, apart from the conversation's own
    book-keeping, so that each checks the other."""
    protocol, speaker, state = talk.protocol, talk.speaker or "", f"state {talk.state!r}"
    thread = talk.thread(move)
    answered = [r for r in receivers if speaker in unanswered.get((thread, r), ())]
    if move.act == Act.ACCEPT_PROPOSAL and not answered:
        raise broken(
            protocol,
            f"{state}: {speaker} may accept what is not on the table: its own offer, one that was"
            " answered, or none",
        )
    message = Message(
        id=len(talk.messages),
        conversation=thread,
        sender=speaker,
        receivers=receivers,
        act=move.act,
        content=None if move.content is None else Content(),
        in_reply_to=talk.answers(move, speaker, receivers),
    )
    if move.act == Act.REJECT_PROPOSAL:
        for author in answered:  # whoever hears that it was rejected cannot accept it any more
            unanswered[thread, author] -= {speaker, *receivers}
    elif move.act == Act.ACCEPT_PROPOSAL and len(receivers) == 1:
        # Where one of many accepts before all, it may say so again: the proposal awaits the others.
        unanswered[thread, answered[0]].remove(speaker)
    elif move.act == Act.PROPOSE:
        if protocol.state[talk.state].floor == TURN:
            _forget(thread, unanswered)  # a counter-proposal takes the place of the proposal
        unanswered[thread, speaker] = set(receivers)
    part = talk.opens(move) or talk.part
    talk.say(message, move)
    if talk.part != part:
        _forget(thread, unanswered)  # a part that follows, or is opened again, has an empty table
    left, count = talk.left, len(talk.messages)
    if left is None and count >= LONGEST:
        raise broken(protocol, f"no deadline and no end after {count} messages; give it a deadline")
    if left is not None and talk.ended is None and left <= 0:
        raise broken(protocol, f"still open after {count} messages, its deadline is {talk.limit}")
    if talk.ended is Ended.LIMIT and move.then is not Ended.LIMIT and left != 0:
        raise broken(protocol, f"cut off after {count} messages, its deadline is {talk.limit}")


def _forget(thread: str, unanswered: Unanswered) -> None:
    for key in [k for k in unanswered if k[0] == thread]:
        del unanswered[key]
