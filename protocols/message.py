"""What is said: acts, typed contents, messages, replies, and the record of a reply that was not legal.

Acts carry the names of the FIPA Communicative Act Library (SC00037J), since JADE and thirty years of
literature use them. Nothing here knows an automaton or a world.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Annotated, Any, TypeVar, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    SerializeAsAny,
)
from pydantic_core.core_schema import CoreSchema, simple_ser_schema


class Act(StrEnum):
    """FIPA-ACL performatives (SC00037J)."""

    ACCEPT_PROPOSAL = "accept-proposal"
    AGREE = "agree"
    CANCEL = "cancel"
    CFP = "cfp"
    CONFIRM = "confirm"
    DISCONFIRM = "disconfirm"
    FAILURE = "failure"
    INFORM = "inform"
    INFORM_IF = "inform-if"
    INFORM_REF = "inform-ref"
    NOT_UNDERSTOOD = "not-understood"
    PROPAGATE = "propagate"
    PROPOSE = "propose"
    PROXY = "proxy"
    QUERY_IF = "query-if"
    QUERY_REF = "query-ref"
    REFUSE = "refuse"
    REJECT_PROPOSAL = "reject-proposal"
    REQUEST = "request"
    REQUEST_WHEN = "request-when"
    REQUEST_WHENEVER = "request-whenever"
    SUBSCRIBE = "subscribe"


class Ended(StrEnum):
    """Why an episode is over. Never a bool: done, cut off and broken are three different things."""

    DONE = "done"
    """The talk ran its course, or its world came to its end; the outcome tells what was achieved."""
    AGREED = "agreed"
    """The task of the talk was completed: a proposal was accepted, a contract was carried out."""
    WALKED_AWAY = "walked-away"
    """Someone left the table, as the protocol allows."""
    REFUSED = "refused"
    """Nobody took part: every call was refused or every proposal rejected."""
    FAILED = "failed"
    """A contractor reported failure: the task was taken on and not done."""
    LIMIT = "limit"
    """The protocol's deadline passed without an agreement."""
    NO_DEAL = "no-deal"
    """Human transcripts only: the talk closed without a common agreement."""
    FORFEITED = "forfeited"
    """An agent made more illegal replies in a row than patience allows."""
    BROKEN = "broken"
    """An agent's program raised, timed out or lost its server. Not the agent's choice."""


Model = TypeVar("Model", bound=BaseModel)


def trusted(kind: type[Model], fields: dict[str, Any]) -> Model:
    """A frozen record of `kind` from *all* its fields, made by our own code just now: not validated.

    The environment writes two records per message; validating what it has itself just judged would
    be a quarter of the cost of a message (`model_construct` costs as much as validation). Such records
    share the set of their fields' names, which is larger than the fields are.
    """
    record = new(kind)
    set_dict(record, fields)
    set_names(record, names_of(kind))
    set_extra(record, None)
    set_private(record, None)
    return record


def changed(record: Model, fields: dict[str, Any]) -> Model:
    """`record.model_copy(update=fields)` at a third of its cost, for our own records and values."""
    copy = new(type(record))
    set_dict(copy, {**vars(record), **fields})
    set_names(copy, record.model_fields_set | fields.keys())
    set_extra(copy, None)
    set_private(copy, None)
    return copy


@cache
def names_of(kind: type[BaseModel]) -> set[str]:
    """What pydantic keeps as the fields that were set: all of them."""
    return set(kind.model_fields)


new = object.__new__
# What `model_construct` sets too, through the slots themselves: records are frozen.
set_dict, set_names, set_extra, set_private = (
    vars(BaseModel)[slot].__set__
    for slot in (
        "__dict__",
        "__pydantic_fields_set__",
        "__pydantic_extra__",
        "__pydantic_private__",
    )
)


class Content(BaseModel):
    """Typed content of a message. Subclasses name their fields and refuse others.

    The base itself keeps whatever fields a recorded message had, so that a run can be read and
    written back byte for byte without its world.
    """

    model_config = ConfigDict(frozen=True, extra="allow")


class Offer(Content):
    """Slot in a protocol table: what a proposal holds. Each world binds its own subclass."""


class Preferences(Content):
    """Slot in a protocol table: what an agent says it values. A claim; nothing makes it true."""


class Choice(Content):
    """Slot in a protocol table: what an agent chooses for itself (an action, a ballot, a verdict)."""


class Question(Content):
    """Slot in a protocol table: what is asked."""


class Answer(Content):
    """Slot in a protocol table: what is told, asked for or not. A claim; nothing makes it true."""


class Task(Content):
    """Slot in a protocol table: what is asked to be done, by a request or a call for proposals."""


class Award(Content):
    """Slot in a protocol table: which part of a proposal is accepted."""


class Done(Content):
    """Slot in a protocol table: what a contractor reports as done."""


def _as_str(kind: type[Act], make: GetCoreSchemaHandler) -> CoreSchema:
    """Written as the string that an act is: to ask each for its `value` is a call into Python."""
    return cast(CoreSchema, {**make(kind), "serialization": simple_ser_schema("str")})


WORLD = "world"
"""Sender of what no agent said but the world tells; no seat is called so."""


class Message(BaseModel):
    """One legal thing said. Frozen; written only by the environment, after validation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int
    """Number of this message in its conversation, from 0; of a notice by the world, the number of
    the message that it follows."""
    conversation: str
    """Conversation identifier (FIPA `conversation-id`)."""
    sender: str
    receivers: tuple[str, ...]
    """Only these agents (and the sender) ever see the message."""
    named: str | None = None
    """The first of the receivers, where all of several hear what is addressed to this one."""
    act: Annotated[Act, GetPydanticSchema(_as_str)]
    content: SerializeAsAny[Content] | None = None
    text: str = ""
    """Free words beside the typed content; may be empty."""
    in_reply_to: int | None = None
    """Number of the proposal or call that this message answers; None when it answers none."""


class Reply(BaseModel):
    """What an agent returned when asked. Not yet legal: the environment judges it.

    Either structured (`act`, `to`, `content`, `text`: scripted agents, humans) or `raw` text that
    holds one JSON object (language models); then the structured fields stay empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    act: str | None = None
    to: str | None = None
    """Receiver, where the act addresses one of several agents; None where only one is possible."""
    content: SerializeAsAny[Content] | dict[str, Any] | None = None
    text: str = ""
    raw: str | None = None
    """The reply as generated, private thought already cut off."""
    thought: str | None = None
    """What a model that thinks first wrote between its think marks. Recorded, never sent."""
    token_ids: tuple[int, ...] = ()
    """Completion tokens of the public part, end mark included; empty when the agent counts none."""
    logprobs: tuple[float, ...] = ()
    """Natural log-probability of each of `token_ids` under the distribution it was drawn from:
    masked, at the sampling temperature, after top-k/top-p."""
    model_logprobs: tuple[float, ...] = ()
    """Natural log-probability of each of `token_ids` under the model itself: at temperature 1, before
    any mask. Empty when the agent does not know it."""
    prompt_tokens: int | None = None
    """Tokens in the prompt; None when the agent has no tokens."""
    completion_tokens: int | None = None
    """Tokens generated, thought included; None when the agent has no tokens."""
    legal_mass: float | None = None
    """Probability, at temperature 1 and before any mask, that the model stays legal along this
    reply: the product over positions of the probability of all legal tokens. Its mean over
    sampled replies (at temperature 1) estimates the probability of an unmasked legal reply.
    None when not decoded under a mask."""
    dropped: int = 0
    """Oldest messages left out of the prompt because the context was full."""
    attempts: int = 1
    """Calls it took: 1 + retries and repairs."""
    error: str | None = None
    """Why there is no usable reply (raised, timed out, refused by a server). None when there is."""

    @classmethod
    def said(
        cls, act: Act, content: Content | dict[str, Any] | None, to: str | None, text: str
    ) -> Reply:
        """A structured reply of our own agents: `trusted`, so half the cost of `Reply(...)`."""
        fields = {**_BLANK, "act": act, "to": to, "content": content, "text": text}
        return trusted(cls, fields)


_BLANK: dict[str, Any] = {name: field.default for name, field in Reply.model_fields.items()}


class ProtocolError(BaseModel):
    """The record of an illegal reply: who, what arrived, what was legal. Never raised."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    """`unreadable`, `not-your-turn`, `illegal-act`, `bad-receiver`, `bad-content` or `too-long`;
    in transcripts also `out-of-order`."""
    agent: str
    arrived: str
    """What the agent sent, cut to 200 characters."""
    legal: str
    """What would have been legal."""

    def __str__(self) -> str:
        return f"{self.agent}: {self.kind}: got {self.arrived}; legal: {self.legal}"
