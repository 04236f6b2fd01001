"""One batch of replies in flight: prefill once, then one token per row and step.

    batch = Batch(loaded, rows, kept, sampling)
    while batch.rows:
        finished = batch.step()

A row thinks (if asked to), then speaks under the mask of its legal replies. What it draws turns on its own
logits and its own random numbers, so a reply is the same in any company, up to floating point. Rows
that are done leave the batch at once. New rows do not join a running batch; they could: all rows end at
the same slot, so joining is a prefill and a `Slab` with both.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import torch
from llguidance import LLMatcher
from torch import Tensor

from .cache import Kept, Past, Slab, common
from .load import Loaded
from .render import CLOSE
from .sampling import Sampling, draw, judged_on

PREFILL = {"cpu": 1024}
PREFILL_ELSEWHERE = 16384
"""Tokens per forward of the prefill: enough to be busy, few enough for memory (and a CPU's cache)."""
ROOM = 64
"""Slots added to the slab when it is full."""
SHARED = 8
"""Fewest first tokens, common to prompts that are new, that are worth a forward of their own."""
RULES = "rules"
"""Where they are kept, beside the talks."""
LOOK_BACK = 8
"""Tokens of a thought in which its end mark is looked for; it may be spelled with several."""
CUT = 4
"""Tokens kept back for closing the words: what is left of one character, in bytes, is at most 3."""


class Phase(Enum):
    """What a row is doing."""

    THINKING = "draws its thought, without a mask"
    ENDING = "is fed the end of the thought"
    SPEAKING = "draws its reply, under the mask"
    CLOSING = "is fed the end of its reply, because its limit is near"


@dataclass(slots=True, eq=False)
class Row:
    """One reply being written."""

    ticket: int
    talk: Hashable
    """Whose talk this is; its earlier prompts start like this one."""
    prompt: list[int]
    matcher: LLMatcher
    limit: int
    """Most tokens of the reply, the thought not counted."""
    rng: np.random.Generator
    think: int = 0
    """Most tokens of the thought; 0: no thought."""
    dropped: int = 0
    phase: Phase = Phase.SPEAKING
    pending: deque[int] = field(default_factory=deque[int])
    """Tokens that come next whatever the model says."""
    fed: list[int] = field(default_factory=list[int])
    """Everything after the prompt: thought, its end, reply."""
    thought: list[int] = field(default_factory=list[int])
    token_ids: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    log_mass: float = 0.0
    """Sum over positions of the log-probability of all legal tokens."""
    done: bool = False
    error: str | None = None

    def __post_init__(self) -> None:
        if self.think:
            self.phase = Phase.THINKING

    @property
    def public(self) -> bool:
        return self.phase in (Phase.SPEAKING, Phase.CLOSING)

    def fail(self, why: str) -> None:
        self.error, self.done = why, True


class Batch:
    """Rows that decode together, from prefill to the last end mark.

    Raises what the model raises; `torch.OutOfMemoryError` among it. The rows can then be asked again
    from their prompts: nothing but their own random numbers was used up.
    """

    @torch.inference_mode()
    def __init__(
        self, loaded: Loaded, rows: Sequence[Row], kept: Kept | None, sampling: Sampling
    ) -> None:
        self.loaded, self.kept, self.sampling = loaded, kept, sampling
        self.close = loaded.grammars.tokens.greedy_tokenize('"}')
        self._prefill(rows)

    def _prefill(self, rows: Sequence[Row]) -> None:
        """Logits after every prompt; what an earlier turn has left in `kept` is not computed again.

        The last `block` tokens of a chunk's prompts are computed, the same number for each row, so
        that padding stays on the left. A row that knows more of its prompt computes some of it twice.
        """
        self._share(rows)
        known = {id(r): self._known(r) for r in rows}
        need = {id(r): len(r.prompt) - known[id(r)][0] for r in rows}
        self.rows = sorted(rows, key=lambda r: (need[id(r)], len(r.prompt)))
        longest = max(len(r.prompt) for r in rows)
        self.filled: int = longest
        self.slab = self.loaded.slab(len(rows), longest + ROOM)
        self.starts = [longest - len(r.prompt) for r in self.rows]
        budget = PREFILL.get(self.loaded.device.type, PREFILL_ELSEWHERE)
        logits: list[Tensor] = []
        first = 0
        while first < len(self.rows):
            last = first + 1
            while last < len(rows) and (last + 1 - first) * need[id(self.rows[last])] <= budget:
                last += 1
            block = max(need[id(r)] for r in self.rows[first:last])
            ids: list[list[int]] = []
            for i in range(first, last):
                row = self.rows[i]
                past = known[id(row)][1]
                ready = len(row.prompt) - block
                if past is not None and ready > 0:
                    self.slab.put(i, longest - block, past, ready)
                ids.append([0] * max(-ready, 0) + row.prompt[max(ready, 0) :])
            logits.append(
                self._forward(self.slab, self.starts[first:last], ids, longest - block, first)
            )
            first = last
        self.logits = torch.cat(logits)

    def _known(self, row: Row) -> tuple[int, Past | None]:
        return (0, None) if self.kept is None else self.kept.longest((row.talk, RULES), row.prompt)

    def _share(self, rows: Sequence[Row]) -> None:
        """Compute once what all new prompts start with: the rules of the protocol, mostly."""
        if self.kept is None:
            return
        new = [r.prompt for r in rows if self._known(r)[0] < SHARED]
        shared = common(new) if len(new) > 1 else 0
        if shared >= SHARED:
            tokens = new[0][:shared]
            slab = self.loaded.slab(1, shared)
            self._forward(slab, [0], [tokens], 0)
            self.kept.add(RULES, slab.take(0, 0, tokens))

    def _forward(
        self,
        slab: Slab,
        starts: Sequence[int],
        ids: Sequence[Sequence[int]],
        filled: int,
        first: int = 0,
    ) -> Tensor:
        """Feed `ids` (B, T) to the slab's rows from `first` on, into slots from `filled` on; `starts`
        (B,) are the rows' first slots. Logits (B, V) after the last of each."""
        device = self.loaded.device
        tokens = torch.tensor(ids, device=device)
        begin = torch.tensor(starts, device=device)[:, None]
        slots = torch.arange(filled + tokens.shape[1], device=device)[None]
        cache = slab.window(first, first + len(ids), filled)
        positions = (slots[:, filled:] - begin).clamp_min(0)
        logits = self.loaded.next_logits(tokens, slots >= begin, positions, cache)
        return logits.to(judged_on(logits.device))

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """One token for every row; returns those that are now done."""
        rows = self.rows
        masked = [r.matcher if r.public else None for r in rows]
        legal = self.loaded.grammars.legal(masked, self.logits.device)
        uniforms = [0.0 if r.pending else r.rng.random() for r in rows]
        drawn = draw(self.logits, legal, torch.tensor(uniforms, dtype=torch.float64), self.sampling)
        for i, row in enumerate(rows):
            self._advance(row, drawn.ids[i], drawn.logprobs[i], drawn.log_masses[i])
        done = [i for i, row in enumerate(rows) if row.done]
        finished = [rows[i] for i in done]
        for i in done:
            self._keep(i)
        self._drop(done)
        if self.rows:
            self._feed()
        return finished

    def _advance(self, row: Row, token: int, logprob: float, log_mass: float) -> None:
        """One token more: the pending one, else the one drawn."""
        if math.isnan(log_mass):
            return row.fail("the model's logits are not finite")
        if log_mass == -math.inf:
            return row.fail(f"no token is legal here: {row.matcher.get_error() or 'a dead end'}")
        if row.pending:
            token, logprob = row.pending.popleft(), 0.0
        row.fed.append(token)
        if not row.public:
            return self._think(row, token)
        row.token_ids.append(token)
        row.logprobs.append(logprob)
        row.log_mass += log_mass
        if not row.matcher.consume_token(token):
            return row.fail(f"the grammar refused a token: {row.matcher.get_error()}")
        row.done = token in self.loaded.ends
        return None if row.done else self._hurry(row)

    def _think(self, row: Row, token: int) -> None:
        """The thought ends with its mark, with an end of the turn, or by force when it is too long."""
        if row.phase is Phase.THINKING:
            ended = token in self.loaded.ends
            if not ended:
                row.thought.append(token)
            closed = CLOSE in self.text(row.thought[-LOOK_BACK:])
            if not closed and not ended and len(row.thought) < row.think:
                return
            row.pending.extend(self.loaded.form.thought_end(cut=not closed))
            row.phase = Phase.ENDING
        if not row.pending:
            row.phase = Phase.SPEAKING

    def _hurry(self, row: Row) -> None:
        """Close the words while there is room to: at its limit a reply is whole, or it is an error."""
        left = row.limit - len(row.token_ids)
        if left <= 0:
            return row.fail(f"the reply was not complete after {row.limit} tokens")
        close = self.close
        near = row.phase is Phase.SPEAKING and left <= len(close) + 1 + CUT
        if near and row.matcher.validate_tokens(close) == len(close):
            row.phase = Phase.CLOSING
            row.pending.extend(close)
        return None

    def text(self, ids: Sequence[int]) -> str:
        """Tokens as text, special ones spelled out."""
        return str(self.loaded.tokenizer.decode(list(ids), skip_special_tokens=False))

    def _keep(self, i: int) -> None:
        """Leave a finished row's keys and values for its talk's next turn; its last token has none."""
        row = self.rows[i]
        if self.kept is not None and row.error is None:
            tokens = (row.prompt + row.fed)[: self.filled - self.starts[i]]
            self.kept.add(row.talk, self.slab.take(i, self.starts[i], tokens))

    def _drop(self, done: Sequence[int]) -> None:
        """Close up the rows (the last one takes a finished one's place), and make room when all slots are
        taken, leaving out those before the longest prompt's start."""
        for i in reversed(done):
            last = self.rows.pop()
            start = self.starts.pop()
            if i < len(self.rows):
                self.slab.move(len(self.rows), i, self.filled)
                self.rows[i], self.starts[i] = last, start
        if self.rows and self.filled == self.slab.slots:
            first = min(self.starts)
            slots = self.filled - first + ROOM
            self.slab = self.slab.grown(len(self.rows), first, self.filled, slots)
            self.filled -= first
            self.starts = [start - first for start in self.starts]

    def _feed(self) -> None:
        """The tokens just taken go through the model."""
        ids = [[row.fed[-1]] for row in self.rows]
        self.logits = self._forward(self.slab, self.starts, ids, self.filled)
        self.filled += 1
