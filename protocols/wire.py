"""The written form of a reply: one JSON object, its schema, its reader, and the rules in words.

    {"act": "propose", "content": {"take": {"book": 1, "hat": 0}}, "text": "The book for me?"}

The typed part stands first and the words last, so that words explain a decision already made and a
length limit can only ever cut words. `to` stands after `act` where more than two agents talk and the
message reaches only one of them; `content` is absent where the move has none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from .counted import counted
from .message import Message, ProtocolError, Reply
from .protocol import EVERYONE, NOBODY, Move, One, Option, Protocol

SchemaOf = Callable[[Move, str | None], dict[str, Any] | None]


def reply_schema(options: Sequence[Option], schema: SchemaOf, max_text: int) -> dict[str, Any]:
    """JSON Schema of the legal replies: one alternative per move and, for `One`, per receiver.

    A move whose content schema is None has no legal content now and is left out.
    """
    return {"anyOf": list(_alternatives(options, schema, max_text))}


def _alternatives(
    options: Sequence[Option], schema: SchemaOf, max_text: int
) -> Iterable[dict[str, Any]]:
    for option in options:
        for to in option.to or (None,):
            fields: dict[str, Any] = {"act": {"const": str(option.move.act)}}
            if to is not None:
                fields["to"] = {"const": to}
            if option.move.content is not None:
                content = schema(option.move, to)
                if content is None:
                    continue
                fields["content"] = content
            fields["text"] = {"type": "string", "maxLength": max_text}
            yield {
                "type": "object",
                "properties": fields,
                "required": list(fields),
                "additionalProperties": False,
            }


def named(receivers: Sequence[str], agents: Sequence[str]) -> bool:
    """Whether a message to `receivers` names its receiver in the written form."""
    return len(receivers) == 1 and len(agents) > 2


def written(message: Message, agents: Sequence[str]) -> str:
    """A message in the written form, among these agents."""
    fields: dict[str, Any] = {"act": str(message.act)}
    if message.named or named(message.receivers, agents):
        fields["to"] = message.receivers[0]
    if message.content is not None:
        fields["content"] = message.content.model_dump()
    fields["text"] = message.text
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def read(raw: str, agent: str, legal: str) -> Reply | ProtocolError:
    """The structured reply in `raw`: one JSON object, alone or within other words or a code fence."""
    found: object = None
    at = raw.find("{")
    if at >= 0:
        try:
            found = json.JSONDecoder(strict=False).raw_decode(raw[at:])[0]
            # Half a surrogate pair or a number of thousands of digits could not be recorded.
            json.dumps(found, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            found = None
    if not isinstance(found, dict) or not isinstance(found.get("act"), str):  # pyright: ignore
        return ProtocolError(kind="unreadable", agent=agent, arrived=raw[:200], legal=legal)
    fields = cast(dict[str, Any], found)
    text, to, content = fields.get("text", ""), fields.get("to"), fields.get("content")
    strange = sorted(set(fields) - {"act", "to", "content", "text"})
    if strange:
        what = f"unknown field {strange[0]!r}"
    elif not isinstance(text, str):
        what = f"text {text!r}"
    elif not (to is None or isinstance(to, str)):
        what = f"to {to!r}"
    elif not (content is None or isinstance(content, dict)):
        what = f"content {content!r}"
    else:
        return Reply(act=fields["act"], to=to, content=cast(Any, content), text=text)
    return ProtocolError(kind="unreadable", agent=agent, arrived=what[:200], legal=legal)


def _at_most(deadline: int) -> str:
    return f"At most {counted(deadline, 'message')} {'is' if deadline == 1 else 'are'}"


def rules(protocol: Protocol, role: str, explain: Callable[[Move], str], many: bool) -> str:
    """The protocol as prompt text for one role; `explain` words the world's content of a move,
    `many` tells that more than two agents talk, so that receivers are named."""
    lines = ['Reply with one JSON object: {"act", "content" if shown, "text": your words}.']
    if protocol.deadline is not None:
        lines.append(f"{_at_most(protocol.deadline)} said in all.")
    order = [name for name, part in protocol.parts.items() if not part.nested and "/" not in name]
    if order:
        lines.append(f"In this order: {', '.join(order)}.")
    for name, part in protocol.parts.items():
        if part.protocol.deadline is not None:
            lines.append(f"{_at_most(part.protocol.deadline)} said in {name}.")
    for move in protocol.mine(role):
        to = ""
        if many and isinstance(move.to, One):
            whom = "other" if move.to.standing == EVERYONE else move.to.standing
            to = f' "to": one {whom};'
        elif many and (protocol.roles or {}).get(str(move.to)) == 1:
            to = f' "to": the {move.to};'
        elif move.to == NOBODY:
            to = " sealed;"
        content = f" content {explain(move)};" if move.content is not None else ""
        lines.append(f'- "{move.act}":{to}{content} {move.says}.')
    return "\n".join(lines)
