"""Training examples: one agent's own replies in their talks, as token ids and a weight per token.

    recorded episodes, or a data set with `messages` -> chats -> `Example`s -> train and held-out parts

A reply is learned in the very prompt that decoding gives: `prompt ids + reply ids + end mark`, joined, not
tokenised as one text, so the mask is exact at every border. When the next prompt starts with just
those tokens, both replies share one sequence; templates that rewrite earlier turns (Qwen 3 drops thoughts)
get one sequence per reply. What others say is read, never learned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from datasets import Dataset  # pyright: ignore[reportMissingTypeStubs]

from ..agents.load import Loaded
from ..agents.prompt import ChatTurn, chat
from ..agents.render import ChatForm
from ..environments import Environment, Episode
from ..environments.load import seats
from ..environments.records import Run
from ..environments.transcripts import episodes_of
from ..protocols import MootError, did_you_mean
from .keyed import number

TEXT, CLOSING = '"text":"', '"}'
"""Around the free text of a reply."""


class Example(NamedTuple):
    """One sequence."""

    ids: list[int]
    weights: list[float]
    """Per token, how much its prediction counts; 0: read, not learned."""


class Writer(NamedTuple):
    """How one model's chats become tokens."""

    form: ChatForm
    end: int
    """The token that ends a reply."""
    context: int | None = None
    """Longest sequence in tokens; None: no limit."""
    words: float = 1.0
    """Weight of the free text of a reply; below 1, acts and their content count for more."""

    @classmethod
    def of(cls, loaded: Loaded, context: int | None = None, words: float = 1.0) -> Writer:
        """For a loaded model; `context` may shorten the model's own."""
        limits = [n for n in (loaded.context, context) if n is not None]
        end = end_mark(loaded.form, loaded.ends)
        return cls(loaded.form, end, min(limits, default=None), words)

    def write(self, turns: Sequence[ChatTurn]) -> list[Example]:
        """The sequences of one chat, whose assistant turns are learned.

        A chat may open with a system turn and must alternate between user and assistant. Replies
        that do not fit into the context are left out.
        """
        found: list[Example] = []
        ids: list[int] = []
        weights: list[float] = []
        for at, turn in enumerate(turns):
            if turn["role"] != "assistant":
                continue
            prompt = self.form.ids(turns[:at])
            said, counts = self._reply(turn["content"])
            reply, counts = [*said, self.end], [*counts, 1.0]
            if self.context is not None and len(prompt) + len(reply) > self.context:
                break
            if prompt[: len(ids)] != ids or not ids:
                if ids:
                    found.append(Example(ids, weights))
                ids, weights = [], []
            weights = [*weights, *[0.0] * (len(prompt) - len(ids)), *counts]
            ids = prompt + reply
        if ids:
            found.append(Example(ids, weights))
        return found

    def _reply(self, content: str) -> tuple[list[int], list[float]]:
        """A reply as tokens, the spellings of special tokens broken as in prompts, and their weights."""
        text = self.form.harmless(content)
        found = self.form.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
        ids = cast("list[int]", found.ids)
        # The text is the last field; a quote within it is escaped, so this is where it begins.
        start = text.rfind(TEXT)
        if self.words == 1 or start < 0:
            return ids, [1.0] * len(ids)
        spans = cast("list[tuple[int, int]]", found.offsets)
        inside = (start + len(TEXT), len(text) - len(CLOSING))
        return ids, [
            self.words if inside[0] <= low and high <= inside[1] else 1.0 for low, high in spans
        ]


def end_mark(form: ChatForm, ends: Sequence[int]) -> int:
    """The end mark that the template itself puts after a reply; the first of `ends` if it puts none."""
    said: list[ChatTurn] = [
        {"role": "user", "content": "asked"},
        {"role": "assistant", "content": "answered"},
        {"role": "user", "content": "asked"},
    ]
    after = form.text(said).rpartition("answered")[2]
    backend = form.tokenizer.backend_tokenizer
    for token in cast("list[int]", backend.encode(after, add_special_tokens=False).ids):
        if token in ends:
            return token
    return ends[0]


def examples(
    source: Run | str | Path | Iterable[Episode], agent: str, writer: Writer
) -> list[Example]:
    """What `agent` (a seat of the scenarios, or a role) said in recorded episodes.

    `source` is a run, the path of a run or of a file of human dialogues, or episodes. Raises
    `MootError` when the agent sat in none of them.
    """
    if isinstance(source, str | Path):
        source = episodes_of(source)
    elif isinstance(source, Run):
        source = source.episodes()
    found: list[Example] = []
    known: set[str] = set()
    sat = False
    for episode in source:
        known |= set(episode.scenario.roles)
        for seat in seats(episode.scenario, agent):
            sat = True
            found += writer.write(view(episode, seat))
    if not sat:
        raise MootError(f"no episode seats {agent!r}; {did_you_mean(agent, known)}")
    return found


def view(episode: Episode, agent: str) -> list[ChatTurn]:
    """An episode as `agent` saw it: a system turn, then user and assistant turns, its last reply last.

    The same chat that it was asked with. Replies that were not legal are not in it.
    """
    table = Environment(episode.scenario, seed=episode.seed, episode=episode.id)
    heard = tuple(m for m in episode.messages if agent == m.sender or agent in m.receivers)
    return chat(table.observe(agent)._replace(heard=heard, error=None))[:-1]


def from_messages(
    data: Dataset | Iterable[Mapping[str, Any]], writer: Writer, *, column: str = "messages"
) -> list[Example]:
    """Examples from rows whose `column` is a list of {"role", "content"}, the common form of chat data.

    All assistant turns are learned. Turns of the same role in a row are joined; a chat that opens
    with the assistant gets a user turn "(begin)" before. Raises `MootError` naming the row.
    """
    found: list[Example] = []
    for at, row in enumerate(cast("Iterable[Mapping[str, Any]]", data)):
        if column not in row:
            raise MootError(f"row {at} has no {column!r}; {did_you_mean(column, map(str, row))}")
        found += writer.write(list(_alternating(at, row[column])))
    return found


def _alternating(row: int, messages: Any) -> Iterator[ChatTurn]:
    turns: list[ChatTurn] = []
    for message in cast("Iterable[Any]", messages):
        role, content = message.get("role"), message.get("content")
        if role not in ("system", "user", "assistant") or not isinstance(content, str):
            raise MootError(
                f"row {row}: want messages with a role (system, user, assistant) and a content, "
                f"not {str(message)[:80]}"
            )
        if role == "system" and turns:
            raise MootError(f"row {row}: a system message may only come first")
        if role == "assistant" and (not turns or turns[-1]["role"] == "system"):
            turns.append({"role": "user", "content": "(begin)"})
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += "\n" + content
        else:
            turns.append({"role": role, "content": content})
    return iter(turns)


def split(
    found: Sequence[Example], held_out: float = 0.1, *, seed: int = 0, agent: str = ""
) -> tuple[list[Example], list[Example]]:
    """One agent's (train, held-out) examples, a fixed choice by seed and agent.

    At least one example is held out and one kept, where there are two. Raises `MootError` for a
    share outside [0, 1).
    """
    if not 0 <= held_out < 1:
        raise MootError(f"held_out {held_out}: want a share of at least 0 and less than 1")
    count = round(held_out * len(found))
    if held_out and len(found) > 1:
        count = min(max(count, 1), len(found) - 1)
    order = sorted(range(len(found)), key=lambda i: number("held out", seed, agent, i))
    out = set(order[:count])
    train = [e for i, e in enumerate(found) if i not in out]
    return train, [e for i, e in enumerate(found) if i in out]
