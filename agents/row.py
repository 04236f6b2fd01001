"""One reply being written: thought (if asked for), then words under the mask of the legal replies.

    THINKING  ->  ENDING  ->  SPEAKING  ->  CLOSING (only when its limit is near)

Which tokens come is the batch's business (`decode`); what each of them means is this file's.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from llguidance import LLMatcher

from .load import Loaded
from .options import Sampling
from .render import CLOSE

LOOK_BACK = 8
"""Tokens of a thought in which its end mark is looked for; it may be spelled with several."""
NOT_FINITE = "the model's logits are not finite"
SPARE = 64
"""Slots for the end of a thought."""
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
    sampling: Sampling = field(default_factory=Sampling)
    think: int = 0
    """Most tokens of the thought; 0: no thought."""
    dropped: int = 0
    owner: str | None = None
    """Whose adapter speaks; None: the base model."""
    free: bool = False
    """Whether it writes without the mask; then nobody watches what it writes before it is done."""
    stop: tuple[str, ...] = ()
    """What ends a reply that is written without the mask."""
    jump: bool = True
    """Whether tokens that the grammar forces are taken at once."""
    phase: Phase = Phase.SPEAKING
    pending: deque[int] = field(default_factory=deque[int])
    """Tokens that come next whatever the model says."""
    fed: list[int] = field(default_factory=list[int])
    """Everything after the prompt: thought, its end, reply."""
    held: int = 0
    """Of prompt and `fed`, tokens whose keys and values the slab holds."""
    forced: int = 0
    """Last tokens of `fed` that the grammar forced, and that the model's own view of is still to come."""
    thought: list[int] = field(default_factory=list[int])
    token_ids: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    plain: list[float] = field(default_factory=list[float])
    """Log-probabilities of `token_ids` before the mask, at temperature 1."""
    log_mass: float = 0.0
    """Sum over positions of the log-probability of all legal tokens."""
    done: bool = False
    error: str | None = None

    def __post_init__(self) -> None:
        if self.think:
            self.phase = Phase.THINKING

    @property
    def most(self) -> int:
        """Most tokens of prompt, thought and reply."""
        return len(self.prompt) + self.limit + (self.think + SPARE if self.think else 0)

    @property
    def public(self) -> bool:
        return self.phase in (Phase.SPEAKING, Phase.CLOSING)

    @property
    def sound(self) -> bool:
        """Whether its keys and values are numbers, and good for the talk's next turn."""
        return self.error != NOT_FINITE

    @property
    def mask(self) -> LLMatcher | None:
        """What the next token is drawn under; None: any token."""
        return self.matcher if self.public and not self.free else None

    @property
    def unfed(self) -> list[int]:
        """Tokens that go through the model next. The last token of a finished reply never does."""
        tokens = self.fed[self.held - len(self.prompt) :]
        return tokens[:-1] if self.done else tokens

    def uniform(self) -> float:
        """The random number of the next token, in [0, 1)."""
        return 0.0 if self.pending else self.rng.random()

    def take(
        self, token: int, logprob: float, plain: float, log_mass: float, loaded: Loaded
    ) -> None:
        """One token more, the first pending one or the one drawn, and all that are forced after it.
        `plain` and `log_mass` as in `sampling.Drawn`."""
        if math.isnan(log_mass):
            return self.fail(NOT_FINITE)
        if log_mass == -math.inf:
            return self.fail(f"no token is legal here: {self.matcher.get_error() or 'a dead end'}")
        if self.pending:
            self.pending.popleft()
        if not self.public:
            self.fed.append(token)
            self._think(token, loaded)
            return self._jump(loaded)
        self.log_mass += log_mass
        self._say(token, logprob, plain, loaded)
        return self._jump(loaded)

    def judge(self, plain: Sequence[float]) -> None:
        """The model's own log-probabilities of the forced tokens, of which each was the only legal one."""
        if any(map(math.isnan, plain)):
            return self.fail(NOT_FINITE)
        self.plain[len(self.plain) - len(plain) :] = plain
        self.log_mass += sum(plain)
        self.forced = 0
        return None

    def fail(self, why: str) -> None:
        """End here, without a usable reply."""
        self.error, self.done, self.forced = why, True, 0

    def _say(self, token: int, logprob: float, plain: float, loaded: Loaded) -> None:
        self.fed.append(token)
        self.token_ids.append(token)
        self.logprobs.append(logprob)
        self.plain.append(plain)
        if self.free:
            self.done = token in loaded.ends or len(self.token_ids) >= self.limit
            self.done = self.done or self._stopped(loaded)
            return None
        if not self.matcher.consume_token(token):
            return self.fail(f"the grammar refused a token: {self.matcher.get_error()}")
        self.done = token in loaded.ends
        return None if self.done else self._hurry(loaded.close)

    def _jump(self, loaded: Loaded) -> None:
        """Take what the grammar forces, as drawing would: each token uses up its random number."""
        while self.jump and not self.done and not self.pending and self.mask is not None:
            token = loaded.grammars.only(self.matcher)
            if token is None:
                return
            self.uniform()
            self.forced += 1
            self._say(token, 0.0, 0.0, loaded)

    def _stopped(self, loaded: Loaded) -> bool:
        """Whether the last token brought a stop text."""
        if not self.stop:
            return False
        # A character has at most four bytes, and a token at least one.
        tail = self.token_ids[-4 * max(map(len, self.stop)) :]
        said = loaded.grammars.text(tail)
        return any(text in said for text in self.stop)

    def _think(self, token: int, loaded: Loaded) -> None:
        """The thought ends with its mark, with an end of the turn, or by force when it is too long."""
        if self.phase is Phase.THINKING:
            ended = token in loaded.ends
            if not ended:
                self.thought.append(token)
            closed = CLOSE in loaded.form.spelled(self.thought[-LOOK_BACK:])
            if not closed and not ended and len(self.thought) < self.think:
                return
            self.pending.extend(loaded.form.thought_end(cut=not closed))
            self.phase = Phase.ENDING
        if not self.pending:
            self.phase = Phase.SPEAKING

    def _hurry(self, close: list[int]) -> None:
        """Close the words while there is room to: at its limit a reply is whole, or it is an error."""
        left = self.limit - len(self.token_ids)
        if left <= 0:
            return self.fail(f"the reply was not complete after {self.limit} tokens")
        near = self.phase is Phase.SPEAKING and left <= len(close) + 1 + CUT
        if near and self.matcher.validate_tokens(close) == len(close):
            self.phase = Phase.CLOSING
            self.pending.extend(close)
        return None
