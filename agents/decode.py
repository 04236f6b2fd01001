"""The batch of replies in flight: prompts by the chunk, then a step of all rows, again and again.

    batch = Batch(loaded, kept)
    batch.join(rows)
    while batch.rows:
        finished = batch.step()

What a row draws turns on its own logits and its own random numbers, so a reply is the same in any
company, up to floating point. With a bank, rows of different owners share every forward, and kept keys
and values serve their own owner only. A step sends one token per row, and with it those that its
grammar forces next; rows that are done leave at once, and new ones join between any two steps. Of a long
prompt, one chunk is computed between two steps, so that nobody waits for the rest. The masks of the next
step are filled by another thread while the model runs.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from .adapters import Bank
from .attend import Feed
from .cache import Kept, Past, Slab, common
from .load import Loaded
from .row import Row
from .sampling import draw, given, judged_on

CHUNK = {"cpu": 1024}
CHUNK_ELSEWHERE = 8192
"""Prompt tokens per forward: enough to be busy, few enough for memory (and a CPU's cache)."""
WASTE = 2
"""A chunk computes at most so many times the tokens that its rows need."""
ROOM = 0.5
"""Slots to spare in a new slab, as a share of those taken."""
SHARED = 8
"""Fewest first tokens, common to prompts that are new, that are worth a forward of their own."""
RULES = "rules"
"""Where they are kept, beside the talks of the same owner."""


class Batch:
    """Rows that decode together, in the first rows of the slab; those whose prompts are not through yet
    stand behind them.

    `memory` bounds the bytes of the slab and of `kept` together; one row is always taken. Raises what
    the model raises; `torch.OutOfMemoryError` among it. The rows can then be asked again from their
    prompts: nothing but their own random numbers was used up.
    """

    def __init__(
        self, loaded: Loaded, kept: Kept | None, bank: Bank | None = None, chunk: int | None = None,
        memory: int | None = None,
    ) -> None:  # fmt: skip
        self.loaded, self.kept, self.bank = loaded, kept, bank
        self.memory = sys.maxsize if memory is None else memory
        self.chunk = chunk or CHUNK.get(loaded.device.type, CHUNK_ELSEWHERE)
        self.live: list[Row] = []
        self.joining: list[Row] = []
        self.slab = Slab(loaded.layers, 0, 0)
        self.logits = torch.empty(0)
        """(live rows, V), for the next token."""
        self._masks: dict[Row, Tensor] = {}
        """Bits of the legal next tokens of live rows that have a grammar."""
        self._order: list[Row] = []
        """Rows that are joining, those first whose turn is first."""

    @property
    def rows(self) -> list[Row]:
        return self.live + self.joining

    @torch.inference_mode()
    def join(self, rows: Sequence[Row]) -> list[Row]:
        """Take rows in, the first ones first, and return those for which there is no memory. What an
        earlier turn has left in `kept` of their prompts is not computed again."""
        fit = self._fitting(rows)
        rows, left = rows[:fit], list(rows[fit:])
        if not rows:
            return left
        self._make_room(len(self.rows) + len(rows), max(len(r.prompt) for r in rows))
        self._share(rows)
        known = {id(r): self._known(r) for r in rows}
        for row in sorted(rows, key=lambda r: (len(r.prompt) - known[id(r)][0], len(r.prompt))):
            row.held, past = known[id(row)]
            if past is not None:
                self.slab.put(len(self.rows), past, row.held)
            self.joining.append(row)
            self._order.append(row)
        return left

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """A chunk of the prompts that are not through, and one step of the rows that are; returns those
        that are now done."""
        if self._order:
            self._prefill()
        if not self.live:
            return []
        self._draw()
        finished = self._leave()
        if self.live:
            self._feed()
            finished += self._leave()
        return finished

    def _prefill(self) -> None:
        """The next `length` tokens of the first rows in turn, as many rows as the chunk holds. A row that
        needs less computes some of its prompt twice, so that all of them end together; one that would
        make the others do that for long comes with the next chunk."""
        length, needed, rows = 0, 0, list[Row]()
        for row in self._order:
            need = min(len(row.prompt) - row.held, self.chunk)
            computed = max(length, need) * (len(rows) + 1)
            if rows and computed > min(self.chunk, WASTE * (needed + need)):
                break
            length, needed = max(length, need), needed + need
            rows.append(row)
        places = {row: len(self.live) + i for i, row in enumerate(self.joining)}
        rows.sort(key=places.__getitem__)
        ends = [min(r.held + length, len(r.prompt)) for r in rows]
        ids = [
            [0] * max(length - end, 0) + row.prompt[max(end - length, 0) : end]
            for row, end in zip(rows, ends, strict=True)
        ]
        through = [end == len(r.prompt) for r, end in zip(rows, ends, strict=True)]
        new = [r for r, all_ in zip(rows, through, strict=True) if all_]
        filling = self._fill(new)
        feed = Feed.block([places[r] for r in rows], ends, length, self.loaded.device)
        logits = self._forward(self.slab, rows, ids, feed)
        for row, end in zip(rows, ends, strict=True):
            row.held = end
        self._order = [r for r in self._order if r not in new]
        self._masks |= dict(zip(_masked(new), filling.result(), strict=True))
        for row in new:
            self._promote(row)
        picked = logits[torch.tensor(through, device=logits.device)]
        self.logits = torch.cat([self.logits, picked]) if self.logits.numel() else picked

    def _promote(self, row: Row) -> None:
        """From the rows that are joining to the live ones, in the slab too."""
        i = self.joining.index(row)
        if i:
            first = self.joining[0]
            self.slab.swap(len(self.live), len(self.live) + i, max(first.held, row.held))
            self.joining[i] = first
        self.joining.pop(0)
        self.live.append(row)

    def _draw(self) -> None:
        """One token for every live row, and those that its grammar forces after it."""
        rows = self.live
        packed = torch.stack([self._masks.get(r, self.loaded.grammars.anything) for r in rows])
        legal = self.loaded.grammars.spread(packed, self.logits.device)
        uniforms = torch.tensor([r.uniform() for r in rows], dtype=torch.float64)
        drawn = draw(self.logits, legal, uniforms, [r.sampling for r in rows])
        fixed = [i for i, r in enumerate(rows) if r.pending]
        if fixed:
            tokens = [rows[i].pending[0] for i in fixed]
            plain = given(self.logits[fixed], tokens)
            for i, token, own in zip(fixed, tokens, plain, strict=True):
                drawn.ids[i], drawn.logprobs[i], drawn.plain[i] = token, 0.0, own
        for i, row in enumerate(rows):
            row.take(
                drawn.ids[i], drawn.logprobs[i], drawn.plain[i], drawn.log_masses[i], self.loaded
            )

    def _feed(self) -> None:
        """What the live rows have taken goes through the model."""
        rows = self.live
        unfed = [r.unfed for r in rows]
        self._make_room(
            len(self.rows), max(r.held + len(u) for r, u in zip(rows, unfed, strict=True))
        )
        going = [r for r in rows if not r.done]
        filling = self._fill(going)
        feed = Feed.steps([len(u) for u in unfed], [r.held for r in rows], self.loaded.device)
        ids = [u[-1] for u in unfed] + [token for u in unfed for token in u[:-1]]
        sent = rows + [r for r, u in zip(rows, unfed, strict=True) for _ in u[:-1]]
        logits = self._forward(self.slab, sent, [[i] for i in ids], feed)
        for row, tokens in zip(rows, unfed, strict=True):
            row.held += len(tokens)
        self._judge(logits, unfed)
        self.logits = logits[: len(rows)]
        self._masks = dict(zip(_masked(going), filling.result(), strict=True))

    def _judge(self, logits: Tensor, unfed: Sequence[list[int]]) -> None:
        """What the model itself thought of the forced tokens: each stands after one that was sent."""
        at: list[int] = []
        tokens: list[int] = []
        before = len(unfed)
        for i, (row, sent) in enumerate(zip(self.live, unfed, strict=True)):
            own = [*range(before, before + len(sent) - 1), i]
            before += len(sent) - 1
            if row.forced:
                own = own if row.done else own[:-1]
                at += own[len(own) - row.forced :]
                tokens += row.fed[len(row.fed) - row.forced :]
        if not at:
            return
        plain = given(logits[torch.tensor(at, device=logits.device)], tokens)
        for row in self.live:
            if row.forced:
                own, plain = plain[: row.forced], plain[row.forced :]
                row.judge(own)

    def _leave(self) -> list[Row]:
        """Rows that are done and judged leave; others take their places."""
        done = [i for i, row in enumerate(self.live) if row.done and not row.forced]
        finished = [self.live[i] for i in done]
        order = list(range(len(self.live)))
        for i in reversed(done):
            row = self.live[i]
            if not row.sound:
                self.slab.clear(i)
            else:
                tokens = (row.prompt + row.fed)[: row.held]
                self._keep((row.owner, row.talk), self.slab, i, tokens)
            last, self.live[i], order[i] = len(self.live) - 1, self.live[-1], order[-1]
            if i != last:
                self.slab.move(last, i, self.live[i].held)
            self.live.pop()
            order.pop()
            if self.joining:
                self.slab.move(last + len(self.joining), last, self.joining[-1].held)
                self.joining.insert(0, self.joining.pop())
        if done:
            self.logits = self.logits[
                torch.tensor(order, device=self.logits.device, dtype=torch.long)
            ]
        return finished

    def _make_room(self, rows: int, slots: int) -> None:
        if rows <= self.slab.rows and slots <= self.slab.slots:
            return
        filled = max((r.held for r in self.rows), default=0)
        wide = max(rows, self.slab.rows)
        long = slots + int(slots * ROOM) if slots > self.slab.slots else self.slab.slots
        if self.slab.size(wide, long) > self.memory:
            wide = rows  # no more than is needed
            long = max(min(long, self.memory // self.slab.size(wide, 0) - 1), slots)
        self._shrink(self.slab.size(wide, long))
        self.slab.resize(wide, long, len(self.rows), filled)

    def _fitting(self, rows: Sequence[Row]) -> int:
        """For how many of the first of `rows` there is memory, should all replies be as long as they may."""
        most = max((r.most for r in self.rows), default=0)
        for n, row in enumerate(rows):
            most, there = max(most, row.most), len(self.rows) + n
            if there and self.slab.size(there + 1, most) > self.memory:
                return n
        return len(rows)

    def _keep(self, key: Hashable, slab: Slab, row: int, tokens: list[int]) -> None:
        """What the row of the slab has in its first slots, if that is not too much."""
        spare = self.memory - self.slab.bytes
        if slab is not self.slab:
            spare -= slab.bytes
        if self.kept is not None and self.kept.clear_for(key, slab.each * len(tokens), spare):
            self.kept.add(key, slab.take(row, tokens))

    def _shrink(self, size: int) -> None:
        """Keep no more than leaves room for so many bytes."""
        if self.kept is not None:
            self.kept.shrink(self.memory - size)

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
                if self.slab.bytes + 2 * self.slab.size(1, shared) > self.memory:
                    continue
                self._shrink(self.slab.bytes + 2 * self.slab.size(1, shared))
                slab = Slab(self.loaded.layers, 1, shared)
                for first in range(0, shared, self.chunk):
                    part = tokens[first : first + self.chunk]
                    feed = Feed.block([0], [first + len(part)], len(part), self.loaded.device)
                    self._forward(slab, own[:1], [part], feed)
                self._keep((owner, RULES), slab, 0, tokens)

    def _fill(self, rows: Sequence[Row]) -> Future[Tensor]:
        """Start to fill the masks of those that have one."""
        return self.loaded.grammars.filling([r.mask for r in rows if r.mask is not None])

    def _forward(
        self, slab: Slab, rows: Sequence[Row], ids: Sequence[Sequence[int]], feed: Feed
    ) -> Tensor:
        """Logits (B, V) after the last of each entry's `ids` (B, T); entry b is of `rows[b]`."""
        tokens = torch.tensor(ids, device=self.loaded.device)
        with self._routed(rows):
            logits = self.loaded.next_logits(tokens, feed, slab)
        return logits.to(judged_on(logits.device))

    def _routed(self, rows: Sequence[Row]) -> AbstractContextManager[object]:
        return nullcontext() if self.bank is None else self.bank.decoding([r.owner for r in rows])


def _masked(rows: Sequence[Row]) -> list[Row]:
    return [r for r in rows if r.mask is not None]
