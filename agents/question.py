"""A question and its reply: from an observation to a row of the batch, and from a row to what is recorded."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Hashable
from typing import NamedTuple

import numpy as np

from ..protocols import Observation, Reply
from .load import Loaded
from .options import LanguageOptions
from .prompt import chat
from .render import CLOSE
from .row import Row

UNBOUNDED = 512
"""Tokens of a reply whose schema sets no bound, unless `max_tokens` does."""
EIGHT = 8
"""Messages that are left out together."""


class Question(NamedTuple):
    """What is asked, who replies how, and where the reply goes."""

    ticket: int
    """Of the pool that asks."""
    observation: Observation
    owner: str | None
    """Whose adapter replies; None: the base model."""
    options: LanguageOptions
    """Of the seat."""
    ready: list[tuple[int, Reply]]
    """The asking pool's replies."""

    @property
    def talk(self) -> tuple[str | None, Hashable]:
        """Whose talk this is, by owner: what was kept of its last turn begins like this one."""
        key = self.observation.key
        return self.owner, (key.seed, key.episode, key.agent)


def prompt_of(loaded: Loaded, question: Question, dropped: int = 0) -> str | Reply:
    """The chat as the model's template has it, without the first `dropped` messages."""
    messages = chat(question.observation, dropped)
    try:
        return loaded.form.text(messages, question.options.think > 0)
    except Exception as e:  # a chat template raises whatever its author chose
        return Reply(error=f"the chat template failed: {e}")


def row_of(
    loaded: Loaded, question: Question, number: int, prompt: list[int], virtual: int
) -> Row | Reply:
    """The row that writes the reply: the grammar of the legal ones, and the prompt with as much of the
    talk as fits. `number` is the row's own, `virtual` the places that an adapter takes. A reply, with
    its error, where there can be no row."""
    observation, options = question.observation, question.options
    think = options.think
    try:
        matcher, bound = loaded.grammars.start(observation.schema())
    except ValueError as e:
        return Reply(error=f"the legal replies have no grammar: {e}")
    # One more for the end mark.
    limit = min(n + 1 for n in (bound or UNBOUNDED, options.max_tokens) if n is not None)
    after = limit + (think + len(loaded.form.thought_end(cut=True)) if think else 0)
    if question.owner is not None:
        after += virtual
    context = min((n for n in (loaded.context, options.context) if n is not None), default=None)
    dropped = 0
    if context is not None and len(prompt) + after > context:
        dropped = _cut(loaded, question, context - after)
        text = prompt_of(loaded, question, dropped)
        if isinstance(text, Reply):
            return text
        prompt = loaded.form.encode([text])[0]
        if len(prompt) + after > context:
            return Reply(
                prompt_tokens=len(prompt),
                dropped=dropped,
                error=f"the context is too small: rules and private values take {len(prompt)} "
                f"tokens and the reply up to {after}, but {loaded.name} has {context}",
            )
    owner, talk = question.talk
    rng = np.random.Generator(np.random.Philox(key=observation.key.number("tokens")))
    return Row(
        number, talk, prompt, matcher, limit, rng=rng, sampling=options.sampling, think=think,
        dropped=dropped, owner=owner, free=not options.mask, stop=options.stop,
        jump=options.fast_forward,
    )  # fmt: skip


def _cut(loaded: Loaded, question: Question, room: int) -> int:
    """How many of the oldest messages to leave out, that the prompt may fit into `room` tokens.

    Rounded up to eights where that leaves half of what would fit: the next prompts then begin alike, and
    what was computed of this one serves them.
    """

    def fits(dropped: int) -> bool:
        text = prompt_of(loaded, question, dropped)
        return isinstance(text, Reply) or len(loaded.form.encode([text])[0]) <= room

    heard = len(question.observation.heard)
    least = min(bisect_left(range(heard + 1), True, key=fits), heard)
    even = min(-(-least // EIGHT) * EIGHT, heard)
    return even if 2 * (heard - even) >= heard - least else least


def reply_of(loaded: Loaded, row: Row) -> Reply:
    """What the record has of a row that is done."""
    thought: str | None = None
    if row.think:
        thought = loaded.form.spelled(row.thought).partition(CLOSE)[0].strip()
    ended = row.error is None and row.token_ids[-1] in loaded.ends
    spoken = row.token_ids[:-1] if ended else row.token_ids
    raw = loaded.grammars.text(spoken)
    for text in row.stop:
        raw = raw.partition(text)[0]
    return Reply(
        raw=raw,
        thought=thought,
        token_ids=tuple(row.token_ids),
        logprobs=tuple(row.logprobs),
        model_logprobs=() if row.error is not None else tuple(row.plain),
        prompt_tokens=len(row.prompt),
        completion_tokens=len(row.fed),
        legal_mass=None if row.free else math.exp(row.log_mass),
        dropped=row.dropped,
        error=row.error,
    )
