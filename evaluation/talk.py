"""What the talk was like and what it cost: messages, words, tokens, repetition, who spoke."""

from __future__ import annotations

import zlib
from math import log

from .seen import Seen
from .statistics import Part

GRAM = 3
"""Words of an n-gram."""


def messages(seen: Seen) -> Part:
    """Legal messages said, to the end of the episode."""
    return len(seen.messages), 1


def messages_per_task(seen: Seen) -> Part:
    """Legal messages of all episodes, over completed episodes."""
    return len(seen.messages), seen.completed


def words(seen: Seen) -> Part | None:
    """Words of free text, split at white space; a message that is only an act has none."""
    if not seen.messages:
        return None
    return sum(map(len, seen.words)), len(seen.messages)


def tokens(seen: Seen) -> Part | None:
    """Completion tokens (thought included) of the replies that became messages, over those messages."""
    if not seen.tokens:
        return None
    counts = [
        t.reply.completion_tokens
        for t in seen.episode.turns
        if t.message is not None and t.reply is not None and t.reply.completion_tokens is not None
    ]
    return (sum(counts), len(counts)) if counts else None


def tokens_per_task(seen: Seen) -> Part | None:
    """Completion tokens of all replies, illegal ones and those of failed episodes too, over completed
    episodes. Prompt tokens are left out: what they cost depends on the server's cache."""
    return (sum(seen.tokens), seen.completed) if seen.tokens else None


def tokens_per_gain(seen: Seen) -> Part | None:
    """Completion tokens of all replies over the agents' points above the disagreement point."""
    return (sum(seen.tokens), sum(seen.gains)) if seen.tokens and seen.utilities else None


def balance(seen: Seen) -> Part | None:
    """Evenness of the agents' shares of the words, -sum_a p_a log p_a / log n (Pielou 1966): 1 where all
    say as much, 0 where one says all. Unscored without words."""
    said = dict.fromkeys(seen.episode.scenario.roles, 0)
    for message, there in zip(seen.messages, seen.words, strict=True):
        if message.sender in said:
            said[message.sender] += len(there)
    total = sum(said.values())
    if not total or len(said) < 2:
        return None
    shares = [n / total for n in said.values() if n]
    return max(-sum([p * log(p) for p in shares]), 0.0) / log(len(said)), 1


def repeated(seen: Seen) -> Part | None:
    """Word trigrams that were said before in the episode, over all of them; none reaches from one
    message to the next. Unscored where no message has three words."""
    grams = [
        tuple(there[i : i + GRAM]) for there in seen.words for i in range(len(there) - GRAM + 1)
    ]
    return (len(grams) - len(set(grams)), len(grams)) if grams else None


def compression(seen: Seen) -> Part | None:
    """Bytes that DEFLATE (RFC 1951) saves on the words of an episode, a line a message, over those bytes.
    Below 0 where there is too little text to save anything. Unscored without words."""
    text = "\n".join([m.text for m in seen.messages if m.text]).encode(errors="replace")
    if not text:
        return None
    squeezed = zlib.compress(text, 1, -15)
    return len(text) - len(squeezed), len(text)
