"""The engines of one model, a device each: who waits, who is being answered, what when memory runs out.

    pool --ask--> Engines --the least busy, or the one that knows the talk--> Engine --> Batch
         <-ready-                                                               (or Alone)

Several pools may ask the same engines, each for a seat with an adapter and a sampling of its own; rows of all
of them decode in one batch. A single engine works while its pool is polled. Several work in threads of
their own, since torch holds no lock of the interpreter while it computes; what a reply says does not
turn on the engine that wrote it. Left out: one model over several engines (`device_map` spreads one).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import torch

from ..protocols import Reply
from ..protocols.interrupt import heed
from .adapters import Bank
from .alone import Alone
from .cache import Kept
from .decode import Batch
from .load import Loaded
from .options import LanguageOptions
from .question import Question, prompt_of, reply_of, row_of
from .row import Row

JOIN = 0.25
"""New rows join when they are at least this many for each row that is decoding."""
MIB = 1 << 20
MEMORY = 4096 * MIB
"""Bytes of keys and values where no GPU tells how much is free."""

Answer = tuple[Question, Reply]


class Engine:
    """Asks one model on one device. `rows` starts as the option says and is halved when memory runs out."""

    def __init__(self, loaded: Loaded, options: LanguageOptions, bank: Bank | None = None) -> None:
        self.loaded, self.bank = loaded, bank
        self._version = 0 if bank is None else bank.version
        self.rows = 1 if loaded.alone else options.rows
        self.memory = _room(loaded.device) if options.memory is None else options.memory * MIB
        keep = options.reuse and not loaded.alone
        self.kept = Kept(options.reuse * MIB) if keep else None
        self._chunk = options.chunk
        self._asked = 0
        self._waiting: deque[tuple[int, Question]] = deque()
        self._running: dict[int, Question] = {}
        """Number -> what was asked, of questions taken up, so that they can be asked again."""
        self._held: list[Row] = []
        """Rows for which the batch had no memory yet."""
        self._batch = self._new_batch()

    def _new_batch(self) -> Batch | Alone:
        if self.loaded.alone:
            return Alone(self.loaded, self.bank)
        return Batch(self.loaded, self.kept, self.bank, self._chunk, self.memory)

    @property
    def load(self) -> int:
        """Questions that are open."""
        return len(self._waiting) + len(self._running)

    def knows(self, question: Question) -> bool:
        """Whether it keeps what was said in this talk before."""
        return self.kept is not None and question.talk in self.kept

    def ask(self, question: Question) -> None:
        """Queue a question; safe while the engine works in another thread."""
        self._asked += 1
        self._waiting.append((self._asked, question))

    def run(self) -> list[Answer]:
        """Work until a reply is ready, or several; none if nothing is open."""
        if self.bank is not None and self.bank.version != self._version:
            self._version = self.bank.version
            self.forget()
        ready: list[tuple[int, Reply]] = []
        while not ready and self.load:
            heed()
            with self.loaded.lock:
                ready = self._step()
        return [(self._running.pop(number), reply) for number, reply in ready]

    def forget(self) -> None:
        """Keep no keys and values, and begin open replies anew."""
        asked = self._stopped()
        self._waiting.extendleft(reversed(asked.items()))

    def _step(self) -> list[tuple[int, Reply]]:
        ready: list[tuple[int, Reply]] = []
        try:
            if self._due():
                ready = self._join()
            if self._batch.rows:
                ready += [(r.ticket, reply_of(self.loaded, r)) for r in self._batch.step()]
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as e:
            ready += self._recover(e, {number for number, _ in ready})
        return ready

    def _stopped(self) -> dict[int, Question]:
        """Stop everything, and return what was being answered."""
        asked, self._running, self._held = self._running, {}, []
        if self.kept is not None:
            self.kept.clear()
        self._batch = self._new_batch()
        return asked

    def _due(self) -> bool:
        """Whether waiting questions should join now: a prefill costs a step, so not one by one."""
        live = len(self._batch.rows)
        more = min(self.rows - live, len(self._held) + len(self._waiting))
        return more > 0 and more >= live * JOIN

    def _join(self) -> list[tuple[int, Reply]]:
        """The questions that wait longest join the batch; returns those that have no prompt."""
        failed: list[tuple[int, Reply]] = []
        if not self._held:
            failed = self._prepare(min(self.rows - len(self._batch.rows), len(self._waiting)))
        if self._held:
            self._held = self._batch.join(self._held)
        return failed

    def _prepare(self, more: int) -> list[tuple[int, Reply]]:
        asked = [self._waiting.popleft() for _ in range(more)]
        self._running.update(asked)
        texts = [prompt_of(self.loaded, question) for _, question in asked]
        prompts = iter(self.loaded.form.encode([t for t in texts if isinstance(t, str)]))
        virtual = 0 if self.bank is None else self.bank.virtual
        failed: list[tuple[int, Reply]] = []
        for (number, question), text in zip(asked, texts, strict=True):
            row = text
            if isinstance(text, str):
                row = row_of(self.loaded, question, number, next(prompts), virtual)
            if isinstance(row, Row):
                self._held.append(row)
            elif isinstance(row, Reply):
                failed.append((number, row))
        return failed

    def _recover(self, e: Exception, done: set[int]) -> list[tuple[int, Reply]]:
        """After a failed forward: the same questions in smaller batches, or, where that cannot help,
        their error records."""
        asked = self._stopped()
        self._running = {number: asked.pop(number) for number in done}
        if _out_of_memory(e) and len(asked) > 1:
            self.rows = max(len(asked) // 2, 1)
            logger.warning(
                "%s: out of memory with %d rows; going on with %d (set rows=%d to start so)",
                self.loaded.name, len(asked), self.rows, self.rows,
            )  # fmt: skip
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._waiting.extendleft(reversed(asked.items()))
            return []
        self._running |= asked
        why = str(e).splitlines()[0] if str(e) else ""
        return [(n, Reply(error=f"the model failed: {type(e).__name__}: {why}")) for n in asked]


class Engines:
    """One engine a device, for the pools of all seats that share the model."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self.all = tuple(engines)
        several = len(self.all) > 1
        self._threads = ThreadPoolExecutor(len(self.all), "moot-engine") if several else None
        self._working: dict[Future[list[Answer]], Engine] = {}

    @property
    def loaded(self) -> Loaded:
        """The model; of several copies, the first."""
        return self.all[0].loaded

    def ask(self, question: Question) -> None:
        """Queue it where the earlier turns of its talk are kept, else where the fewest are open."""
        know = [engine for engine in self.all if engine.knows(question)]
        min(know or self.all, key=lambda engine: engine.load).ask(question)

    def run(self) -> None:
        """Go on until some pool has a reply, if any question is open."""
        if self._threads is None:
            return _deliver(self.all[0].run())
        for engine in self.all:
            if engine.load and engine not in self._working.values():
                self._working[self._threads.submit(engine.run)] = engine
        if self._working:
            for future in wait(self._working, return_when=FIRST_COMPLETED).done:
                del self._working[future]
                _deliver(future.result())
        return None

    def forget(self) -> None:
        """Keep no keys and values, and begin open replies anew: the weights have changed."""
        for future in wait(self._working).done:
            del self._working[future]
            _deliver(future.result())
        for engine in self.all:
            engine.forget()


def _deliver(answers: Sequence[Answer]) -> None:
    for question, reply in answers:
        question.ready.append((question.ticket, reply))


def _room(device: torch.device) -> int:
    """Bytes of keys and values, unless `memory` says how many."""
    if device.type != "cuda":
        return MEMORY
    free: int = torch.cuda.mem_get_info(device)[0]
    return free // 2


def _out_of_memory(e: Exception) -> bool:
    """Also a CPU's allocator and MPS, which raise a plain RuntimeError."""
    kinds = (torch.OutOfMemoryError, MemoryError)
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(e, kinds) or any(w in str(e).lower() for w in words)


logger = logging.getLogger(__name__)
