"""One call of a chat-completions endpoint: what is sent, what comes back, what a failure means.

Everything here is a plain function of a request, an answer or an error; the pool that makes the calls
is `remote.py`. Servers differ most in how they fail, so that is where most of the lines are.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, cast

from pydantic import BaseModel, Field

from ..protocols import MootError, ProtocolError
from .prompt import ChatTurn
from .shape import Schema

try:
    import openai
except ImportError as e:
    raise MootError("openai: agents need the client; type: pip install 'moot[remote]'") from e

FORMS = {
    "auto": ("json_schema", "wrapped", "off"),
    "json_schema": ("json_schema", "wrapped"),
    "off": ("off",),
}
"""How decoding is constrained, the best form first. OpenAI itself takes no alternatives at the root of
a schema and no lengths of strings; for it the reply is `wrapped` in an object."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0
"""Seconds before the first and before any further call, unless the server names its own."""

FAILURES = (openai.OpenAIError, ValueError)
"""What a call raises: the client's own errors, and bodies that cannot be read."""


def connect(url: str, key: str) -> openai.AsyncOpenAI:
    """A client that neither retries nor times out by itself, so that every call is counted.

    Servers without a key get a placeholder, because the client insists on one.
    """
    return openai.AsyncOpenAI(base_url=url, api_key=key or "none", timeout=None, max_retries=0)


def response_format(form: str, schema: Schema) -> dict[str, Any]:
    """The part of a request that constrains decoding to `schema`; nothing for the form `off`."""
    if form == "off":
        return {}
    if form == "wrapped":
        schema = {
            "type": "object",
            "properties": {"reply": _plain(schema)},
            "required": ["reply"],
            "additionalProperties": False,
        }
    named = {"name": "reply", "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _plain(schema: object) -> Any:
    """The schema without lengths of strings, and with enumerations of one for constants."""
    if isinstance(schema, list):
        return [_plain(s) for s in cast(list[object], schema)]
    if not isinstance(schema, Mapping):
        return schema
    plain: dict[str, Any] = {}
    for key, value in cast(Mapping[str, Any], schema).items():
        if key == "properties":  # its keys are names of fields, not keywords
            plain[key] = {name: _plain(s) for name, s in value.items()}
        elif key == "const" and isinstance(value, str):
            plain |= {"type": "string", "enum": [value]}
        elif key in ("const", "enum"):
            plain[key] = value
        elif key not in ("minLength", "maxLength"):
            plain[key] = _plain(value)
    return plain


def unwrap(raw: str) -> str:
    """The reply inside the object of the form `wrapped`; `raw` itself when it is not one."""
    try:
        inner = json.loads(raw)["reply"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return raw
    return json.dumps(inner, ensure_ascii=False)


def repaired(turns: list[ChatTurn], raw: str, wrong: ProtocolError) -> list[ChatTurn]:
    """The chat, with a reply that was not legal and why, in the words of `prompt.chat`."""
    note = f"Your last reply was not legal ({wrong}). Reply again."
    if raw:
        return [*turns, {"role": "assistant", "content": raw}, {"role": "user", "content": note}]
    # Chat templates want users and assistants to alternate, and some servers no empty turn.
    return [*turns[:-1], {"role": "user", "content": f"{turns[-1]['content']}\n{note}"}]


def folded(turns: list[ChatTurn]) -> list[ChatTurn]:
    """The chat with its system turn put before the words of the first user turn."""
    system, user, *rest = turns
    return [{"role": "user", "content": f"{system['content']}\n\n{user['content']}"}, *rest]


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class Usage(BaseModel):
    """Tokens as the server counted them."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(BaseModel):
    """The part of a chat completion that is used; servers differ in the rest."""

    choices: list[_Choice] = Field(min_length=1)
    usage: Usage | None = None


@dataclass(slots=True)
class Said:
    """What one completion says."""

    raw: str
    """The public part."""
    thought: str | None
    cut: bool
    """Whether the length limit ended it."""
    usage: Usage | None


def said(answer: bytes) -> Said:
    """Reads the body of an answer. Raises `ValueError` when it is no chat completion."""
    completion = _Completion.model_validate(json.loads(answer))
    choice = completion.choices[0]
    message = choice.message
    raw, thought = cut_thought(_sound(message.content or message.refusal or ""))
    private = (_sound(message.reasoning_content or message.reasoning or ""), thought)
    return Said(
        raw=raw,
        thought="\n\n".join(t for t in private if t) or None,
        cut=choice.finish_reason == "length",
        usage=completion.usage,
    )


def _sound(text: str) -> str:
    """Half of a surrogate pair, as a cut-off reply may end in, could not be recorded."""
    return text.encode("utf-8", "replace").decode()


def cut_thought(text: str) -> tuple[str, str | None]:
    """What is said, and what was thought before it between `<think>` and `</think>`.

    The opening mark may be missing (some chat templates put it into the prompt), and the closing one
    when the thought was cut off; then nothing is said.
    """
    thought, mark, public = text.partition("</think>")
    if mark or text.lstrip().startswith("<think>"):
        return public.strip(), thought.strip().removeprefix("<think>").strip() or None
    return text, None


class Refused(Exception):
    """There is no answer to this request, in one clear line."""

    def __init__(self, why: str, over: str = "") -> None:
        super().__init__(why)
        self.over = over
        """What another request could mend: `context` (too long), `limit` (of tokens, has another name
        here), `system` (this model takes no system turn), `request` (something in it, perhaps the way
        in which decoding was to be constrained); empty when nothing can."""


def refusal(error: Exception, *, url: str, model: str, key_env: str, has_key: bool) -> Refused:
    """What the failure of a call means, for whoever reads the record, and what could mend it."""
    if isinstance(error, openai.APIStatusError):
        status, words = error.status_code, _words(error)
        if status in (401, 403):
            mend = f"is {key_env} right?" if has_key else f"type: export {key_env}=..."
            return Refused(f"{url} refused the key ({status}: {words}); {mend}")
        if status == 404:
            return Refused(
                f"{url} has no model {model!r} ({status}: {words}); "
                "if it has, the URL may lack its /v1"
            )
        over = ""
        if status in (400, 413, 415, 422, 501):
            told = f"{error.code} {words}"
            over = next((o for o, found in _OVER.items() if found.search(told)), "request")
        return Refused(f"{url} answered {status}: {words}", over)
    if isinstance(error, openai.APIConnectionError):
        return Refused(f"cannot reach {url} ({error.__cause__ or error})")
    if isinstance(error, ValueError):
        return Refused(f"{url} answered something that is no chat completion")
    return Refused(f"{type(error).__name__}: {error}")


def hopeless(error: Exception) -> bool:
    """Whether any other question would fare the same: nobody is there, or the key is refused."""
    refused = isinstance(error, openai.APIStatusError) and error.status_code in (401, 403)
    return refused or isinstance(error, openai.APIConnectionError)


_OVER = {
    "limit": re.compile(r"use '?max_completion_tokens", re.I),
    "context": re.compile(r"context.{0,20}(length|size|window)|prompt is too long", re.I),
    "system": re.compile(r"system role", re.I),
}


def _words(error: openai.APIStatusError) -> str:
    """What the server says itself, on one line."""
    body = error.body
    if isinstance(body, Mapping):
        fields = cast(Mapping[str, object], body)
        body = next((fields[k] for k in ("message", "detail", "error") if fields.get(k)), fields)
    return " ".join(str(body or error.response.reason_phrase).split())[:200]


def pause(error: Exception, failures: int, rng: random.Random) -> float | None:
    """Seconds to wait before the next call; None when no further call can help.

    Exponential backoff with jitter, on top of what the server asks for in `Retry-After`.
    """
    after = 0.0
    if isinstance(error, openai.APIStatusError):
        busy = error.status_code in (408, 409, 425, 429) or error.status_code >= 500
        if not busy or error.status_code == 501 or error.code == "insufficient_quota":
            return None
        after = _retry_after(error.response.headers.get("retry-after", ""))
    elif not isinstance(error, (openai.APIConnectionError, ValueError)):
        return None
    backoff = min(FIRST_PAUSE * 2.0 ** min(failures - 1, 30), LONGEST_PAUSE)
    return after + backoff * rng.uniform(0.5, 1.0)


def _retry_after(header: str) -> float:
    """Seconds or an HTTP date (RFC 9110, 10.2.3)."""
    if re.fullmatch(r"\d+(\.\d+)?", header.strip()):
        return float(header)
    try:
        return max(parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    except ValueError:
        return 0.0
