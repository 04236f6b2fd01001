"""An agent's own check of a written reply, before the environment judges it.

It knows no more than the observation's JSON Schema says, and is as lenient as the environment where
the written form leaves room: words may be missing, and so may the only possible receiver.
"""

from __future__ import annotations

import json
from typing import Any, cast

from ..protocols import Content, MootError, Observation, ProtocolError, read
from .shape import Schema, shape

try:
    from jsonschema import Draft202012Validator, exceptions
except ImportError as e:
    raise MootError("openai: agents need jsonschema; type: pip install 'moot[remote]'") from e


def illegal(raw: str, observation: Observation, schema: Schema) -> ProtocolError | None:
    """Why `raw` is no legal reply to `observation`, whose `schema()` is passed in; None when it is."""
    agent = observation.agent

    def error(kind: str, arrived: str, legal: str) -> ProtocolError:
        return ProtocolError(kind=kind, agent=agent, arrived=arrived[:200], legal=legal)

    moves = [cast(Schema, m["properties"]) for m in schema["anyOf"]]
    acts = ", ".join(dict.fromkeys(m["act"]["const"] for m in moves))
    reply = read(raw, agent, f'one JSON object with "act" one of {acts}')
    if isinstance(reply, ProtocolError):
        return reply
    moves = [m for m in moves if m["act"]["const"] == reply.act]
    if not moves:
        return error("illegal-act", repr(reply.act), acts)

    named = list(dict.fromkeys(m["to"]["const"] for m in moves if "to" in m))
    receivers = named or [a for a in observation.agents if a != agent]
    if reply.to is None and len(named) > 1:
        return error("bad-receiver", "no receiver", f'"to" one of {", ".join(named)}')
    if reply.to is not None and reply.to not in receivers:
        return error("bad-receiver", repr(reply.to), ", ".join(receivers))
    moves = [m for m in moves if "to" not in m or reply.to in (None, m["to"]["const"])]

    content = reply.content.model_dump() if isinstance(reply.content, Content) else reply.content
    contents = [cast(Schema, m["content"]) for m in moves if "content" in m]
    words = " or ".join(dict.fromkeys(map(shape, contents)))
    if content is None:
        if len(contents) == len(moves):
            return error("bad-content", f"{reply.act} without content", f'"content": {words}')
    elif not contents:
        return error("bad-content", f"{reply.act} with content", f"{reply.act} without content")
    else:
        faults = [_fault(content, c) for c in contents]
        if all(faults):
            arrived = json.dumps(content, ensure_ascii=False)
            return error("bad-content", arrived, f'"content": {words} ({faults[0]})')
    if len(reply.text) > observation.max_text:
        arrived = f"{len(reply.text)} characters of text"
        return error("too-long", arrived, f"at most {observation.max_text}")
    return None


def _fault(content: object, schema: Schema) -> str | None:
    """The first thing wrong with a content, as `take.hat: -1 is less than the minimum of 0`."""
    validator: Any = Draft202012Validator(schema)
    found: Any = cast(Any, exceptions).best_match(validator.iter_errors(content))
    if found is None:
        return None
    where = ".".join(str(part) for part in found.absolute_path)
    return f"{where}: {found.message}"[:200] if where else found.message[:200]
