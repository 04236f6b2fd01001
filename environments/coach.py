"""A coach: a seat that whispers advice to one agent before each of its moves, and does nothing else.

It sees what its agent sees, and a goal of its own in words. A whisper reaches that agent alone, has a turn in
the record, and is no message of the protocol: it costs nothing of a deadline. Empty advice is allowed.
"""

from __future__ import annotations

from dataclasses import replace

from ..protocols import Act, Briefing, Ended, Message, Move, Option, ProtocolError, Reply, read
from .scenario import COACH, Coach

WHISPER = (Option(Move("coaching", "TURN", Act.INFORM, None, Ended.DONE, "whisper"), ()),)
LEGAL = 'one JSON object {"act": "inform", "text": your advice}'


def briefed(coach: Coach, about: Briefing) -> Briefing:
    """The briefing of the coach, from that of its agent."""
    lines = (
        'Reply with one JSON object: {"act": "inform", "text": your advice}. Empty text is no advice.',
        f"You are the coach of {coach.of}: before each of its moves you may whisper to it alone.",
        coach.brief,
        f"What {coach.of} was told:",
    )
    card = "\n".join(line for line in lines if line)
    return replace(
        about,
        agent=COACH,
        role=COACH,
        agents=(*about.agents, COACH),
        write_card=lambda: f"{card}\n{about.card}",
        schema_of=_no_content,
    )


def _no_content(move: Move, to: str | None) -> None:
    """A whisper is words alone."""


def judged(
    coach: Coach, reply: Reply, max_text: int, number: int, where: str
) -> Message | ProtocolError:
    """The whisper that this reply is, with the number of the last message before it, or why it is none."""

    def wrong(kind: str, arrived: str, legal: str = LEGAL) -> ProtocolError:
        return ProtocolError(kind=kind, agent=COACH, arrived=arrived[:200], legal=legal)

    if reply.raw is not None:
        parsed = read(reply.raw, COACH, LEGAL)
        if isinstance(parsed, ProtocolError):
            return parsed
        reply = parsed
    if reply.act != Act.INFORM:
        return wrong("illegal-act", repr(str(reply.act)), "inform")
    if reply.content is not None:
        return wrong("bad-content", "inform with content", "inform without content")
    if reply.to not in (None, coach.of):
        return wrong("bad-receiver", repr(reply.to), coach.of)
    if len(reply.text) > max_text:
        return wrong("too-long", f"{len(reply.text)} characters of text", f"at most {max_text}")
    return Message(
        id=number,
        conversation=f"{where}/coach",
        sender=COACH,
        receivers=(coach.of,),
        act=Act.INFORM,
        text=reply.text,
    )
