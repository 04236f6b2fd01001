"""Models that the batch cannot serve: one reply at a time, by the library's own `generate`.

Recurrent and hybrid models (Mamba, LFM2), and those whose attention is their own (ALiBi), keep what they
keep in a cache of their own kind, which `generate` knows how to fill. The mask and the draw come in as
the last logits processor, which leaves only the token that was drawn. Nothing is kept between turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, StoppingCriteria

from .adapters import Bank
from .load import Loaded
from .row import SPARE, Row
from .sampling import draw, given, judged_on


class Alone:
    """In place of a `Batch`; `step` answers one row."""

    def __init__(self, loaded: Loaded, bank: Bank | None = None) -> None:
        self.loaded, self.bank = loaded, bank
        self.rows: list[Row] = []

    def join(self, rows: Sequence[Row]) -> list[Row]:
        """Take rows in; none is left out."""
        self.rows += rows
        return []

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """The first row's whole reply. Raises what the model raises."""
        row = self.rows.pop(0)
        row.jump = False  # `generate` feeds one token after the other
        ids = torch.tensor([row.prompt], device=self.loaded.device)
        routed = nullcontext() if self.bank is None else self.bank.decoding([row.owner])
        # No token of the model ends it: a row that thinks goes on after an end of its turn.
        plainly: Any = GenerationConfig(
            max_new_tokens=row.limit + row.think + SPARE, do_sample=False, num_beams=1,
            repetition_penalty=1.0, no_repeat_ngram_size=0, min_length=0, min_new_tokens=0,
            pad_token_id=self.loaded.ends[0], eos_token_id=self.loaded.vocab, bos_token_id=None,
        )  # fmt: skip
        with routed:
            self.loaded.model.generate(
                ids, attention_mask=torch.ones_like(ids), generation_config=plainly,
                logits_processor=[_Draw(row, self.loaded)], stopping_criteria=[_Done(row)],
            )  # fmt: skip
        if not row.done:
            row.fail("the model stopped by itself")
        return [row]


class _Draw(LogitsProcessor):
    """Draws the row's next token, and leaves no other."""

    def __init__(self, row: Row, loaded: Loaded) -> None:
        self.row, self.loaded = row, loaded

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        row, grammars = self.row, self.loaded.grammars
        logits = scores.to(judged_on(scores.device))
        bits = grammars.fill([row.mask])[0] if row.mask is not None else grammars.anything
        legal = grammars.spread(bits[None], logits.device)
        uniform = torch.tensor([row.uniform()], dtype=torch.float64)
        drawn = draw(logits, legal, uniform, row.sampling)
        token, logprob, plain = drawn.ids[0], drawn.logprobs[0], drawn.plain[0]
        if row.pending:
            token, logprob = row.pending[0], 0.0
            plain = given(logits, [token])[0]
        row.take(token, logprob, plain, drawn.log_masses[0], self.loaded)
        return torch.full_like(scores, -torch.inf).index_fill_(
            1, torch.tensor([token], device=scores.device), 0.0
        )


class _Done(StoppingCriteria):
    def __init__(self, row: Row) -> None:
        self.row = row

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Any:
        return torch.tensor([self.row.done], device=input_ids.device)
