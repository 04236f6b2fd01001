"""Which tokens are legal next, for a whole batch, from the JSON Schema of each row's legal replies.

llguidance compiles the schema once (about a millisecond) and then gives one bit per token and step. The
grammar is the written form of `protocols.wire` to the byte: no white space, and only the escapes that
`json.dumps` writes, so that what a model says is read back and written out the same (but for zeros
after a decimal point, and -0 where a number may be negative).
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import torch
from llguidance import LLExecutor, LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from torch import Tensor

COMPACT: Any = {"whitespace_flexible": False, "json_allowed_escapes": '"\\bfnrt'}
KEPT = 512
"""Compiled grammars kept; an episode needs a handful."""


class Grammars:
    """Compiled grammars over one vocabulary.

    `vocab` is the width of the model's logits, which may exceed the tokenizer's; `ends` are the tokens
    that end a reply, legal as soon as the JSON is complete and never before.
    """

    def __init__(self, tokenizer: Any, vocab: int, ends: Sequence[int]) -> None:
        self.vocab, self.words = vocab, (vocab + 31) // 32
        self.anything = torch.full((self.words,), -1, dtype=torch.int32)
        """The bits of a row without a grammar."""
        self.tokens: LLTokenizer = from_tokenizer(tokenizer, n_vocab=vocab, eos_token=list(ends))
        self._kept: OrderedDict[str, tuple[LLMatcher, int | None]] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, "moot-masks")
        self._executor = LLExecutor(num_threads=min(8, os.cpu_count() or 1))

    def start(self, schema: dict[str, Any]) -> tuple[LLMatcher, int | None]:
        """A fresh matcher at the start of a reply, and `longest(schema)`. Raises `ValueError` where the
        schema has no grammar."""
        text = json.dumps(schema, separators=(",", ":"))
        found = self._kept.pop(text, None)
        if found is None:
            grammar = LLMatcher.grammar_from_json_schema(text, overrides=COMPACT)
            matcher = LLMatcher(self.tokens, grammar)
            if matcher.is_error():
                raise ValueError(matcher.get_error().splitlines()[0])
            if len(self._kept) >= KEPT:
                self._kept.popitem(last=False)
            found = matcher, longest(schema)
        self._kept[text] = found
        return found[0].deep_copy(), found[1]

    def fill(self, matchers: Sequence[LLMatcher]) -> Tensor:
        """One bit per token (B, words) int32, set where it is legal next. Takes no lock of the
        interpreter while it works, so that another thread can run the model meanwhile."""
        packed = torch.empty((len(matchers), self.words), dtype=torch.int32)
        if matchers:
            work = [(m, i) for i, m in enumerate(matchers)]
            self._executor.unsafe_compute_mask_ptr(
                work, packed.data_ptr(), self.words * 4, len(matchers)
            )
        return packed

    def filling(self, matchers: Sequence[LLMatcher]) -> Future[Tensor]:
        """`fill`, by another thread; the matchers are its own until it is through."""
        return self._thread.submit(self.fill, matchers)

    def spread(self, packed: Tensor, device: torch.device) -> Tensor:
        """Bits (B, words) as legal tokens (B, V), bool on `device`."""
        if device.type == "cpu":
            octets = np.unpackbits(packed.numpy().view(np.uint8), axis=-1, bitorder="little")
            return torch.as_tensor(octets).view(torch.bool)[:, : self.vocab]
        there = packed.to(device).view(torch.uint8)
        bits = torch.arange(8, dtype=torch.uint8, device=device)
        return ((there[:, :, None] >> bits) & 1).bool().flatten(1)[:, : self.vocab]

    def only(self, matcher: LLMatcher) -> int | None:
        """The token that the grammar forces here: the one that its mask leaves. None where it leaves
        several."""
        forced = matcher.compute_ff_tokens()
        if forced:
            return forced[0]  # what follows may be cut into other tokens once this one is said
        if not matcher.is_accepting():
            return None
        left = self.spread(self.fill([matcher]), torch.device("cpu"))[0].nonzero()
        return int(left[0, 0]) if len(left) == 1 else None

    def text(self, ids: Sequence[int]) -> str:
        """The bytes that the matcher saw, as text."""
        return self.tokens.decode_bytes(list(ids)).decode("utf-8", errors="replace")


def longest(schema: object) -> int | None:
    """Most characters of a value of the schema in compact JSON; None where nothing bounds it.

    A token of a reply holds a character or more. (Where a rare character takes several tokens, the text
    may be closed before it is full: see `decode`.)
    """
    if not isinstance(schema, dict):
        return None
    fields = cast("dict[str, Any]", schema)
    if "anyOf" in fields or "oneOf" in fields:
        return _most([longest(s) for s in fields.get("anyOf") or fields["oneOf"]])
    if "const" in fields:
        return _written(fields["const"])
    if "enum" in fields:
        return max(map(_written, fields["enum"]))
    kind = fields.get("type")
    if kind == "string" and "maxLength" in fields:
        return 2 + fields["maxLength"]
    if kind == "integer" and "minimum" in fields and "maximum" in fields:
        return max(len(str(fields["minimum"])), len(str(fields["maximum"])))
    if kind == "number" and "minimum" in fields and "maximum" in fields:
        return 24  # the longest that Python writes; zeros may follow, and count as a longer text
    if kind == "boolean":
        return 5
    if kind == "null":
        return 4
    if kind == "array":
        first = fields.get("prefixItems", [])
        if fields.get("items") is False:
            parts = [longest(s) for s in first]
        elif "maxItems" in fields:
            rest = fields["maxItems"] - len(first)
            parts = [longest(s) for s in first] + [longest(fields.get("items"))] * rest
        else:
            return None
        return _sum(parts)
    if kind == "object" and fields.get("additionalProperties") is False:
        values = {k: longest(s) for k, s in fields.get("properties", {}).items()}
        return _sum([None if n is None else _written(k) + 1 + n for k, n in values.items()])
    return None


def _sum(parts: Sequence[int | None]) -> int | None:
    """Length of a list of these in brackets, with commas."""
    known = [p for p in parts if p is not None]
    return None if len(known) < len(parts) else sum(known) + max(len(known) - 1, 0) + 2


def _most(parts: Sequence[int | None]) -> int | None:
    known = [p for p in parts if p is not None]
    return None if len(known) < len(parts) or not known else max(known)


def _written(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
