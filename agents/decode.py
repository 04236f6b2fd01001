"""The batch of replies in flight: a prefill for rows that join, then one token per row and step.

    batch = Batch(loaded, kept, sampling)
    batch.join(rows)
    while batch.rows:
        finished = batch.step()

What a row draws turns on its own logits and its own random numbers, so a reply is the same in any
company, up to floating point. With a bank, rows of different owners share every forward, and kept keys
and values serve their own owner only. All rows end at the same slot (`filled`): rows that are done leave at
once, and new ones join between any two steps, their prompts written so that they end there too.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from .adapters import Bank
from .cache import Kept, Past, Slab, common
from .load import Loaded
from .row import Row
from .sampling import Sampling, draw, judged_on

PREFILL = {"cpu": 1024}
PREFILL_ELSEWHERE = 16384
"""Tokens per forward of the prefill: enough to be busy, few enough for memory (and a CPU's cache)."""
ROOM = 0.5
"""Slots to spare in a new slab, as a share of those taken."""
SHARED = 8
"""Fewest first tokens, common to prompts that are new, that are worth a forward of their own."""
RULES = "rules"
"""Where they are kept, beside the talks of the same owner."""


class Batch:
    """Rows that decode together.

    Raises what the model raises; `torch.OutOfMemoryError` among it. The rows can then be asked again
    from their prompts: nothing but their own random numbers was used up.
    """

    def __init__(
        self, loaded: Loaded, kept: Kept | None, sampling: Sampling, bank: Bank | None = None
    ) -> None:
        self.loaded, self.kept, self.sampling, self.bank = loaded, kept, sampling, bank
        self.rows: list[Row] = []
        self.starts: list[int] = []
        """First slot of each row."""
        self.filled = 0
        """Slots taken, the same for all rows."""
        self.slab = Slab([], 0, 0)
        self.logits = torch.empty(0)
        """(rows, V), for the next token."""

    @torch.inference_mode()
    def join(self, rows: Sequence[Row]) -> None:
        """Compute what the prompts of new rows have that no earlier turn has left in `kept`.

        The last `block` tokens of a chunk's prompts are computed, the same number for each row, so
        that padding stays on the left. A row that knows more of its prompt computes some of it twice.
        """
        self._share(rows)
        known = {id(r): self._known(r) for r in rows}
        need = {id(r): len(r.prompt) - known[id(r)][0] for r in rows}
        rows = sorted(rows, key=lambda r: (need[id(r)], len(r.prompt)))
        self._make_room(len(rows), max(len(r.prompt) for r in rows))
        starts = [self.filled - len(r.prompt) for r in rows]
        budget = PREFILL.get(self.loaded.device.type, PREFILL_ELSEWHERE)
        logits = [self.logits] if self.rows else []
        here, first = len(self.rows), 0
        while first < len(rows):
            last = first + 1
            while last < len(rows) and (last + 1 - first) * need[id(rows[last])] <= budget:
                last += 1
            block = max(need[id(r)] for r in rows[first:last])
            ids: list[list[int]] = []
            for i, row in enumerate(rows[first:last], here + first):
                past = known[id(row)][1]
                ready = len(row.prompt) - block
                if past is not None and ready > 0:
                    self.slab.put(i, self.filled - block, past, ready)
                ids.append([0] * max(-ready, 0) + row.prompt[max(ready, 0) :])
            at = self.filled - block
            logits.append(
                self._forward(
                    self.slab, rows[first:last], starts[first:last], ids, at, here + first
                )
            )
            first = last
        self.rows += rows
        self.starts += starts
        self.logits = torch.cat(logits)

    def _make_room(self, more: int, longest: int) -> None:
        """Free rows, and slots for the longest prompt, in a slab that nothing is left over in."""
        live = len(self.rows)
        if not live:
            self.filled = longest
            self.slab = self.loaded.slab(more, _roomy(longest))
            return
        if live + more > self.slab.rows or longest > self.filled:
            self._repack(live + more, longest)
        self.slab.clear(live, live + more, self.filled)

    def _repack(self, rows: int, longest: int = 0) -> None:
        """Leave out the slots that no row uses any more; into a larger slab, if that is not enough."""
        first, live = min(self.starts), len(self.rows)
        end = max(self.filled - first, longest)
        slots = _roomy(end)
        target = self.slab
        if rows > self.slab.rows or (end + slots) // 2 >= self.slab.slots:
            target = self.loaded.slab(max(rows, self.slab.rows), slots)
        self.slab.copy(target, live, first, self.filled, end)
        self.slab = target
        self.starts = [start + end - self.filled for start in self.starts]
        self.filled = end

    def _known(self, row: Row) -> tuple[int, Past | None]:
        if self.kept is None:
            return 0, None
        talks = (row.owner, row.talk), (row.owner, RULES)
        return self.kept.longest(talks, row.prompt)

    def _share(self, rows: Sequence[Row]) -> None:
        """Compute once what all new prompts of an owner start with: the rules of the protocol, mostly."""
        if self.kept is None:
            return
        new: dict[str | None, list[Row]] = {}
        for row in rows:
            if self._known(row)[0] < SHARED:
                new.setdefault(row.owner, []).append(row)
        for owner, own in new.items():
            shared = common([r.prompt for r in own]) if len(own) > 1 else 0
            if shared >= SHARED:
                tokens = own[0].prompt[:shared]
                slab = self.loaded.slab(1, shared)
                self._forward(slab, own[:1], [0], [tokens], 0)
                self.kept.add((owner, RULES), slab.take(0, 0, tokens))

    def _forward(
        self,
        slab: Slab,
        rows: Sequence[Row],
        starts: Sequence[int],
        ids: Sequence[Sequence[int]],
        filled: int,
        first: int = 0,
    ) -> Tensor:
        """Feed `ids` (B, T) of `rows` to the slab's rows from `first` on, into slots from `filled` on;
        `starts` (B,) are the rows' first slots. Logits (B, V) after the last of each."""
        device = self.loaded.device
        tokens = torch.tensor(ids, device=device)
        begin = torch.tensor(starts, device=device)[:, None]
        low = min(starts)
        slots = torch.arange(low, filled + tokens.shape[1], device=device)[None]
        cache = slab.window(first, first + len(ids), low, filled)
        positions = (slots[:, filled - low :] - begin).clamp_min(0)
        with self._routed(rows):
            logits = self.loaded.next_logits(tokens, slots >= begin, positions, cache)
        return logits.to(judged_on(logits.device))

    def _routed(self, rows: Sequence[Row]) -> AbstractContextManager[object]:
        return nullcontext() if self.bank is None else self.bank.decoding([r.owner for r in rows])

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """One token for every row; returns those that are now done."""
        rows = self.rows
        legal = self.loaded.grammars.legal([r.mask for r in rows], self.logits.device)
        uniforms = [0.0 if r.pending else r.rng.random() for r in rows]
        drawn = draw(self.logits, legal, torch.tensor(uniforms, dtype=torch.float64), self.sampling)
        for i, row in enumerate(rows):
            row.take(drawn.ids[i], drawn.logprobs[i], drawn.log_masses[i], self.loaded)
        done = [i for i, row in enumerate(rows) if row.done]
        finished = [rows[i] for i in done]
        for i in done:
            self._keep(i)
        self._drop(done)
        if self.rows:
            self._feed()
        return finished

    def _keep(self, i: int) -> None:
        """Leave a finished row's keys and values for its talk's next turn; its last token has none."""
        row = self.rows[i]
        if self.kept is not None and row.error is None:
            tokens = (row.prompt + row.fed)[: self.filled - self.starts[i]]
            self.kept.add((row.owner, row.talk), self.slab.take(i, self.starts[i], tokens))

    def _drop(self, done: Sequence[int]) -> None:
        """Close up the rows (the last one takes a finished one's place), and make room when all slots are
        taken."""
        for i in reversed(done):
            last = self.rows.pop()
            start = self.starts.pop()
            if i < len(self.rows):
                self.slab.move(len(self.rows), i, self.filled)
                self.rows[i], self.starts[i] = last, start
        if self.rows and self.filled == self.slab.slots:
            self._repack(len(self.rows))

    def _feed(self) -> None:
        """The tokens just taken go through the model."""
        ids = [[row.fed[-1]] for row in self.rows]
        self.logits = self._forward(self.slab, self.rows, self.starts, ids, self.filled)
        self.filled += 1


def _roomy(slots: int) -> int:
    return slots + int(slots * ROOM) + 1
