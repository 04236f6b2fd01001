"""The language-model agent: observations in, replies decoded under the mask of the legal moves out.

`LanguagePool` has the two verbs of every pool. `ask` queues; `poll` decodes the waiting questions
together, up to `rows` of them, until at least one reply is ready, and goes on with the others at the next
`poll`. Questions that come meanwhile join the batch as rows fall free. With a bank of adapters, every
question has an owner (see `adapters`), and replies of different owners, and of the base model, are
decoded in one batch. Left out: adapters of different banks in one batch.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..protocols import MootError, Observation, Reply, did_you_mean
from .adapters import Bank, Owners, owner_by
from .alone import Alone
from .cache import Kept
from .decode import Batch
from .load import Loaded, load
from .prompt import chat
from .render import CLOSE
from .row import Row
from .sampling import Sampling

JOIN = 0.25
"""New rows join when they are at least this many for each row that is decoding."""
UNBOUNDED = 512
"""Tokens of a reply whose schema sets no bound, unless `max_tokens` does."""


def _texts(given: object) -> object:
    """One text, as a spec gives it, or several."""
    return (given,) if isinstance(given, str) else given


class LanguageOptions(BaseModel):
    """What may follow `hf:PATH?` as `key=value`. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    adapter: str | None = None
    """Folder of a trained adapter, as `bank.export` or peft writes it; None: the model as it is. Seats with
    the same model and otherwise the same options share one model and, where their adapters are of one kind,
    one batch."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.7
    """Logits are divided by it before drawing; 0: always the most probable legal token."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Draw from this many most probable legal tokens; 0: all."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Draw from the smallest set of most probable legal tokens that holds this probability."""
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Draw from tokens at least this fraction as probable as the best one."""
    stop: Annotated[tuple[str, ...], BeforeValidator(_texts)] = ()
    """Where a reply that is written without the mask ends: before the first of these texts."""
    mask: bool = True
    """Decode under the grammar of the legal replies. Without it the model writes what it likes, and what is
    not legal is an error in the record, told to the agent, which may try again."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Most tokens of one reply, thought not counted; its words are closed before that. None: as many
    as the longest legal reply has characters."""
    think: Annotated[int, Field(ge=0)] = 0
    """Most tokens of private thought before a reply; 0: none, also for models that would."""
    context: Annotated[int, Field(ge=1)] | None = None
    """Most tokens of prompt and reply; None: what the model's configuration says."""
    fast_forward: bool = True
    """Tokens that the grammar forces, such as the names of fields, go through the model together. The
    replies are the same without."""
    rows: Annotated[int, Field(ge=1)] = 64
    """Most replies decoded together."""
    reuse: Annotated[int, Field(ge=0)] = 1024
    """MiB of keys and values kept from earlier turns, so that only new talk is computed; 0: none."""
    chunk: Annotated[int, Field(ge=1)] | None = None
    """Most prompt tokens computed between two steps of the replies that are being written. None: 1024
    on a CPU, else 8192."""
    dtype: str | None = None
    """float32, bfloat16 or float16. None: float32 on a CPU, else bfloat16."""
    device: str | None = None
    """cuda, cuda:N, mps or cpu. None: the first of these that is there."""
    device_map: str | None = None
    """`auto` spreads the model over all devices (accelerate)."""
    attention: str | None = None
    """`attn_implementation` of transformers (sdpa, eager, flash_attention_2 ...), for training and for
    models that are asked one reply at a time; a batch of replies attends by itself."""
    load_in_4bit: bool = False
    """Weights in 4 bits; needs bitsandbytes."""
    trust_remote_code: bool = False
    """Run code that comes with the model."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Self:
        """Options from strings or values. Raises `MootError` for an unknown key or a bad value."""
        for key in options:
            if key not in cls.model_fields:
                hint = did_you_mean(key, cls.model_fields)
                raise MootError(f"a language model has no option {key!r}; {hint}")
        try:
            return cls.model_validate(dict(options))
        except ValidationError as e:
            first = e.errors(include_url=False)[0]
            key = first["loc"][0]
            raise MootError(
                f"option {key}={first['input']}: {first['msg'][0].lower()}{first['msg'][1:]}"
            ) from None

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_k, self.top_p, self.min_p)


def language_pool(
    model: str | Loaded,
    options: LanguageOptions | Mapping[str, Any] | None = None,
    *,
    bank: Bank | None = None,
    owners: Owners | None = None,
    sampling: Mapping[str, Sampling] | None = None,
) -> LanguagePool:
    """A pool for the model at a local folder or hub id, or one that is loaded.

    `sampling` tells how seats draw that do not draw as the options say: seat name, else role, else `*`.
    `bank` holds adapters on that very model, and `owners` tells whose adapter replies: seat name, else
    role, else `*` -> agent of the bank or None for the base model; or a function of the observation.
    Training the bank between two polls is safe. Raises `MootError` where the model cannot be loaded or
    the bank does not belong to it.
    """
    if not isinstance(options, LanguageOptions):
        options = LanguageOptions.parse(options or {})
    if options.adapter is not None:
        raise MootError(
            "a pool takes its adapters as a bank; seat the spec instead: adapter=FOLDER works with "
            "moot.simulate and --agents"
        )
    loaded = model if isinstance(model, Loaded) else load_with(model, options)
    return LanguagePool(loaded, options, bank=bank, owners=owners, sampling=sampling)


def load_with(path: str, options: LanguageOptions) -> Loaded:
    """The model as the options want it. Raises `MootError` if it cannot be loaded."""
    return load(
        path,
        dtype=options.dtype,
        device=options.device,
        device_map=options.device_map,
        attention=options.attention,
        load_in_4bit=options.load_in_4bit,
        trust_remote_code=options.trust_remote_code,
        revision=options.revision,
    )


class Question(NamedTuple):
    """What is asked, and whose adapter replies."""

    observation: Observation
    owner: str | None


class LanguagePool:
    """Asks one model. `rows` starts as the option says and is halved when memory runs out."""

    def __init__(
        self,
        loaded: Loaded,
        options: LanguageOptions | None = None,
        *,
        bank: Bank | None = None,
        owners: Owners | None = None,
        sampling: Mapping[str, Sampling] | None = None,
    ) -> None:
        if (bank is None) != (owners is None):
            raise MootError("a pool takes a bank and owners together; owners={'*': NAME} seats one")
        if bank is not None and bank.model is not loaded.model:
            raise MootError(
                f"the bank's model is not the one that {loaded.name} was loaded as; make the bank on "
                "loaded.model and give the pool that `loaded`"
            )
        self.loaded, self.bank = loaded, bank
        self._owner = None if bank is None else owner_by(owners or {}, bank.agents)
        self._version = 0 if bank is None else bank.version
        self.options = options or LanguageOptions()
        self._sampling = sampling or {}
        self.rows = 1 if loaded.alone else self.options.rows
        keep = self.options.reuse and not loaded.alone
        self.kept = Kept(self.options.reuse << 20) if keep else None
        limits = [n for n in (loaded.context, self.options.context) if n is not None]
        self.context = min(limits, default=None)
        self._waiting: deque[tuple[int, Question]] = deque()
        self._running: dict[int, Question] = {}
        """Ticket -> what was asked, of questions taken up, so that they can be asked again."""
        self._batch = self._new_batch()

    def _new_batch(self) -> Batch | Alone:
        if self.loaded.alone:
            return Alone(self.loaded, self.bank)
        return Batch(self.loaded, self.kept, self.bank, self.options.chunk)

    def ask(self, ticket: int, observation: Observation) -> None:
        """Queue a question. Raises `MootError` where nobody owns its seat."""
        owner = None if self._owner is None else self._owner(observation)
        self._waiting.append((ticket, Question(observation, owner)))

    def poll(self, wait: float = 0.0) -> list[tuple[int, Reply]]:
        """At least one reply, if any question is open: working is no waiting, so `wait` has no part."""
        if self.bank is not None and self.bank.version != self._version:
            self._version = self.bank.version
            self.forget()
        ready: list[tuple[int, Reply]] = []
        while not ready and (self._running or self._waiting):
            try:
                if self._due():
                    ready += self._join()
                if self._batch.rows:
                    ready += [(r.ticket, self._reply(r)) for r in self._batch.step()]
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as e:
                ready += self._recover(e)
            for ticket, _ in ready:
                self._running.pop(ticket, None)
        return ready

    def forget(self) -> None:
        """Keep no keys and values, and begin open replies anew: the weights have changed.

        A change of the bank is noticed; one of the base model's own weights is the caller's to tell.
        """
        self._waiting.extendleft(reversed(self._stopped().items()))

    def _stopped(self) -> dict[int, Question]:
        """Stop everything, and return what was being answered."""
        asked, self._running, self._batch = self._running, {}, self._new_batch()
        if self.kept is not None:
            self.kept.clear()
        return asked

    def _due(self) -> bool:
        """Whether waiting questions should join now: a prefill costs a step, so not one by one."""
        live = len(self._batch.rows)
        more = min(self.rows - live, len(self._waiting))
        return more > 0 and more >= live * JOIN

    def _join(self) -> list[tuple[int, Reply]]:
        """The questions that wait longest join the batch; returns those that have no prompt."""
        more = min(self.rows - len(self._batch.rows), len(self._waiting))
        asked = [self._waiting.popleft() for _ in range(more)]
        self._running.update(asked)
        texts = [self._text(question.observation) for _, question in asked]
        prompts = iter(self.loaded.form.encode([t for t in texts if isinstance(t, str)]))
        failed: list[tuple[int, Reply]] = []
        rows: list[Row] = []
        for (ticket, question), text in zip(asked, texts, strict=True):
            row = text
            if isinstance(text, str):
                row = self._row(ticket, question, next(prompts))
            if isinstance(row, Row):
                rows.append(row)
            elif isinstance(row, Reply):
                failed.append((ticket, row))
        if rows:
            self._batch.join(rows)
        return failed

    def _text(self, observation: Observation, dropped: int = 0) -> str | Reply:
        try:
            return self.loaded.form.text(chat(observation, dropped), self.options.think > 0)
        except Exception as e:  # a chat template raises whatever its author chose
            return Reply(error=f"the chat template failed: {e}")

    def _row(self, ticket: int, question: Question, prompt: list[int]) -> Row | Reply:
        """The grammar of the legal replies, and the prompt with as much of the talk as fits."""
        observation, owner = question
        think = self.options.think
        try:
            matcher, bound = self.loaded.grammars.start(observation.schema())
        except ValueError as e:
            return Reply(error=f"the legal replies have no grammar: {e}")
        # One more for the end mark.
        limit = min(n + 1 for n in (bound or UNBOUNDED, self.options.max_tokens) if n is not None)
        after = limit + (think + len(self.loaded.form.thought_end(cut=True)) if think else 0)
        if self.bank is not None and owner is not None:
            after += self.bank.virtual
        dropped = 0
        while self.context is not None and len(prompt) + after > self.context:
            if dropped == len(observation.heard):
                return Reply(
                    prompt_tokens=len(prompt),
                    dropped=dropped,
                    error=f"the context is too small: rules and private values take {len(prompt)} "
                    f"tokens and the reply up to {after}, but {self.loaded.name} has {self.context}",
                )
            dropped += 1
            text = self._text(observation, dropped)
            if isinstance(text, Reply):
                return text
            prompt = self.loaded.form.encode([text])[0]
        key, options = observation.key, self.options
        return Row(
            ticket, (key.seed, key.episode, key.agent), prompt, matcher, limit,
            rng=np.random.Generator(np.random.Philox(key=key.number("tokens"))),
            sampling=self._how(observation), think=think, dropped=dropped, owner=owner,
            free=not options.mask, stop=options.stop, jump=options.fast_forward,
        )  # fmt: skip

    def _how(self, observation: Observation) -> Sampling:
        for name in (observation.agent, observation.role, "*"):
            if name in self._sampling:
                return self._sampling[name]
        return self.options.sampling

    def _reply(self, row: Row) -> Reply:
        thought: str | None = None
        if row.think:
            thought = self.loaded.form.spelled(row.thought).partition(CLOSE)[0].strip()
        ended = row.error is None and row.token_ids[-1] in self.loaded.ends
        spoken = row.token_ids[:-1] if ended else row.token_ids
        raw = self.loaded.grammars.text(spoken)
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

    def _recover(self, e: Exception) -> list[tuple[int, Reply]]:
        """After a failed forward: the same questions in smaller batches, or, where that cannot help,
        their error records."""
        asked = self._stopped()
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
        why = str(e).splitlines()[0] if str(e) else ""
        return [(t, Reply(error=f"the model failed: {type(e).__name__}: {why}")) for t in asked]


def _out_of_memory(e: Exception) -> bool:
    """Also a CPU's allocator and MPS, which raise a plain RuntimeError."""
    kinds = (torch.OutOfMemoryError, MemoryError)
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(e, kinds) or any(w in str(e).lower() for w in words)


logger = logging.getLogger(__name__)
