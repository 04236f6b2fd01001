"""Agents behind an OpenAI-compatible server (vLLM, SGLang, TGI, Ollama, `transformers serve`, OpenAI).

    openai:Qwen/Qwen3-8B@http://localhost:8000/v1?temperature=0.7&concurrency=32

All questions of a pool are tasks of one event loop in a background thread, so that a server that hangs
costs one episode its time and no other. A reply is asked for under the JSON Schema of the legal moves
where the server can constrain; everywhere it is read and checked here, and one that is not legal is
sent back once with what was wrong. The environment stays the judge.

Left out: streaming, log-probabilities (servers give no token ids with them), tools, images, and the
order of requests: with a busy server two runs of one seed may differ.
"""

from __future__ import annotations

import asyncio
import os
import queue
import random
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..protocols import MootError, Observation, ProtocolError, Reply, Ticket, did_you_mean
from ..protocols.counted import counted
from .completions import (
    FAILURES,
    FORMS,
    Refused,
    Said,
    Usage,
    connect,
    folded,
    hopeless,
    pause,
    refusal,
    repaired,
    response_format,
    said,
    unwrap,
)
from .legal import illegal
from .prompt import chat
from .shape import Schema

if TYPE_CHECKING:
    from openai import AsyncOpenAI

SECRET = 8
"""Shorter keys are no secrets but placeholders (`none`, `EMPTY`) that servers without a key want."""


class RemoteOptions(BaseModel):
    """What may follow `?` in `openai:MODEL@URL`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    adapter: str | None = Field(
        None, min_length=1,
        description="Name under which the server serves a LoRA of MODEL, asked for in its place; "
        "{agent} and {role} stand for the seat's. Unset: MODEL itself.",
    )  # fmt: skip
    temperature: float | None = Field(None, ge=0, le=2, description="Unset: the server's default.")
    max_tokens: int | None = Field(
        None, ge=1, description="Most tokens of one reply, thought included. Unset: the server's."
    )
    timeout: float = Field(
        120, gt=0, le=86_400,
        description="Most seconds for one reply, retries and repair included, queueing not.",
    )  # fmt: skip
    retries: int = Field(
        4, ge=0, le=100, description="Further calls after 429, 5xx or a lost connection."
    )
    concurrency: int = Field(16, ge=1, le=4096, description="Most calls under way at once.")
    api_key_env: str = Field(
        "OPENAI_API_KEY", pattern="^[A-Z_][A-Z0-9_]*$",
        description="Environment variable that holds the key; a server without keys needs none.",
    )  # fmt: skip
    structured: Literal["auto", "json_schema", "off"] = Field(
        "auto", description="Constrain decoding: if the server can, always, or never."
    )
    seed: bool = Field(True, description="Send each request a seed drawn from the run's seed.")

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Self:
        """From the words of a spec. Raises `MootError` for an unknown key or an impossible value."""
        for key in sorted(given.keys() - cls.model_fields.keys()):
            hint = did_you_mean(key, cls.model_fields)
            raise MootError(f"openai: agents have no option {key!r}; {hint}")
        try:
            return cls.model_validate(dict(given))
        except ValidationError as e:
            key = str(e.errors()[0]["loc"][0])
            if key == "api_key_env":  # whoever put the key itself here must not see it printed
                raise MootError(
                    "openai: api_key_env is the name of an environment variable, in capitals, "
                    "not the key itself; type: export OPENAI_API_KEY=..."
                ) from None
            why = e.errors()[0]["msg"].removeprefix("Input should be ")
            raise MootError(f"openai: {key} should be {why}, got {given[key]!r}") from None


def remote_pool(
    model: str, url: str, options: RemoteOptions | Mapping[str, Any] | None = None
) -> RemotePool:
    """A pool for `model` at the server whose API begins at `url` (`/v1` if it names no path).

    Nothing is sent yet. Raises `MootError` for a URL that is none, an option that does not exist, or
    a key variable that was named and is not set.
    """
    chosen = options if isinstance(options, RemoteOptions) else RemoteOptions.parse(options or {})
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # an impossible port
        raise MootError(f"openai: {url!r} is no URL; write http://HOST:PORT/v1") from None
    if parts.password is not None or parts.username is not None:
        raise MootError("openai: no user or password in the URL; keys come from the environment")
    if not good or not model:
        raise MootError(f"openai: write openai:MODEL@http://HOST:PORT/v1, got {model}@{url}")
    base = url.rstrip("/") if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}/v1"
    key = os.environ.get(chosen.api_key_env, "").strip()
    if not key and "api_key_env" in chosen.model_fields_set:
        raise MootError("openai: the environment variable that api_key_env names is not set")
    return RemotePool(model, base.removesuffix("/chat/completions"), chosen, key)


class RemotePool:
    """Asks one model on one server. Made by `remote_pool`."""

    def __init__(self, model: str, url: str, options: RemoteOptions, key: str = "") -> None:
        self.model, self.url, self.options = model, url, options
        self._hide = _hider(key)
        self._has_key = bool(key)
        self._client = connect(url, key)
        self._forms = FORMS[options.structured]
        self._form = 0
        self._limit = "max_tokens"
        self._fold = False
        self._slots = asyncio.Semaphore(options.concurrency)
        self._ready: queue.SimpleQueue[tuple[Ticket, Reply]] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(
            target=_run, args=(self._loop, self._client), name="moot-remote", daemon=True
        )
        thread.start()
        # Also runs when the interpreter exits, before daemon threads are cut off.
        self.close = weakref.finalize(self, _stop, self._loop, thread)

    def __repr__(self) -> str:
        return f"RemotePool({self.model!r}, {self.url!r})"

    def ask(self, ticket: Ticket, observation: Observation) -> None:
        """Queue a question."""
        # The world is read here, in the thread that plays it; the card is kept once made.
        schema, _ = observation.schema(), observation.card
        task = self._serve(ticket, observation, schema)
        asyncio.run_coroutine_threadsafe(task, self._loop)

    def poll(self, wait: float) -> list[tuple[Ticket, Reply]]:
        """Replies that have arrived, waiting up to `wait` seconds for the first."""
        ready: list[tuple[Ticket, Reply]] = []
        try:
            ready.append(self._ready.get(timeout=wait) if wait > 0 else self._ready.get_nowait())
            while True:
                ready.append(self._ready.get_nowait())
        except queue.Empty:
            return ready

    def check(self, seconds: float = 5.0) -> None:
        """Raises `MootError` when the server cannot be reached or refuses the key, so that a run can
        stop before it starts. Which models there are is not asked: many servers load them on demand.
        """
        listing: Any = self._client.models.with_raw_response.list(timeout=seconds)
        try:
            asyncio.run_coroutine_threadsafe(listing, self._loop).result(2 * seconds)
        except TimeoutError:
            raise MootError(f"no answer from {self.url}", usage=False) from None
        except FAILURES as e:
            if hopeless(e):
                raise MootError(
                    self._hide(str(self._refusal(e, self.model))), usage=False
                ) from None

    async def _serve(self, ticket: Ticket, observation: Observation, schema: Schema) -> None:
        bill = _Bill(observation.rng("retry"))
        answer, error = None, None
        async with self._slots:
            bill.until = self._loop.time() + self.options.timeout
            try:
                async with asyncio.timeout(self.options.timeout):
                    answer = await self._reply(observation, schema, bill)
            except TimeoutError:
                error = f"no answer from {self.url} within {self.options.timeout:g} s"
            except Refused as e:
                error = str(e)
            except Exception as e:  # the server's or ours: it costs this episode and no other
                error = f"{type(e).__name__}: {e}"
        reply = Reply(
            raw=self._hide(answer.raw) if answer else None,
            thought=self._hide(answer.thought) if answer and answer.thought else None,
            prompt_tokens=bill.prompt,
            completion_tokens=bill.completion,
            dropped=bill.dropped,
            attempts=max(bill.calls, 1),
            error=self._hide(error) if error else None,
        )
        self._ready.put((ticket, reply))

    async def _reply(self, observation: Observation, schema: Schema, bill: _Bill) -> Said:
        """What is said, after one repair turn if it is not legal."""
        answer = await self._say(observation, schema, None, bill)
        wrong = illegal(answer.raw, observation, schema)
        if wrong is not None:
            first = answer
            answer = await self._say(observation, schema, (first.raw, wrong), bill)
            answer.thought = "\n\n".join(t for t in (first.thought, answer.thought) if t) or None
        if answer.cut and not answer.raw:
            raise Refused("the reply was cut off in mid-thought; set or raise ?max_tokens=NUMBER")
        return answer

    async def _say(
        self,
        observation: Observation,
        schema: Schema,
        repair: tuple[str, ProtocolError] | None,
        bill: _Bill,
    ) -> Said:
        """One completion, in the most constrained form that the server takes and of as much of the
        talk as its context holds."""
        options = self.options
        body: dict[str, Any] = {"model": self._asked(observation)}
        if options.temperature is not None:
            body["temperature"] = options.temperature
        if options.seed:
            body["seed"] = observation.key.number("repair" if repair else "remote") & 0x7FFF_FFFF
        at = self._form
        while True:
            turns = chat(observation, bill.dropped)
            turns = repaired(turns, *repair) if repair else turns
            body["messages"] = folded(turns) if self._fold else turns
            try:
                answer = await self._call(body | response_format(self._forms[at], schema), bill)
            except Refused as e:
                kept = len(observation.heard) - bill.dropped
                if e.over == "context" and kept:
                    bill.dropped += (kept + 1) // 2
                elif e.over == "system" and body["messages"][0]["role"] == "system":
                    self._fold = True
                elif e.over == "request" and at + 1 < len(self._forms):
                    at += 1
                else:
                    raise
                continue
            # Only now is it known that the form was at fault and not the request.
            self._form = max(self._form, at)
            if self._forms[at] == "wrapped":
                answer.raw = unwrap(answer.raw)
            return answer

    async def _call(self, body: dict[str, Any], bill: _Bill) -> Said:
        """One answer, asked for again while that may help. Raises `Refused`."""
        create: Any = self._client.chat.completions.with_raw_response.create
        failures = 0
        while True:
            limit = self._limit
            limited = {} if self.options.max_tokens is None else {limit: self.options.max_tokens}
            bill.calls += 1
            try:
                answer = said((await create(**body, **limited)).content)
                bill.add(answer.usage)
                return answer
            except FAILURES as e:
                refused = self._refusal(e, body["model"])
                if refused.over == "limit" and limit == "max_tokens" and limited:
                    self._limit = "max_completion_tokens"
                    continue
                failures += 1
                seconds = pause(e, failures, bill.rng)
            if seconds is None:
                raise refused
            if failures > self.options.retries:
                raise Refused(f"{refused} ({counted(failures, 'call')})")
            if self._loop.time() + seconds > bill.until:
                wait, most = f"{seconds:.0f} s", f"timeout={self.options.timeout:g}"
                raise Refused(f"{refused}; to wait {wait} before the next call would pass {most}")
            await asyncio.sleep(seconds)

    def _asked(self, observation: Observation) -> str:
        """The model's name in a request: its adapter's, where there is one."""
        if self.options.adapter is None:
            return self.model
        named = self.options.adapter.replace("{agent}", observation.agent)
        return named.replace("{role}", observation.role)

    def _refusal(self, error: Exception, model: str) -> Refused:
        return refusal(
            error,
            url=self.url,
            model=model,
            key_env=self.options.api_key_env,
            has_key=self._has_key,
        )


@dataclass(slots=True)
class _Bill:
    """What one reply has cost so far, all its calls together."""

    rng: random.Random
    """For the jitter of retries."""
    until: float = 0.0
    """Time of the loop's clock at which the reply is given up, in seconds."""
    calls: int = 0
    prompt: int | None = None
    completion: int | None = None
    dropped: int = 0

    def add(self, usage: Usage | None) -> None:
        if usage is not None:
            self.prompt = _sum(self.prompt, usage.prompt_tokens)
            self.completion = _sum(self.completion, usage.completion_tokens)


def _sum(a: int | None, b: int | None) -> int | None:
    return None if a is None and b is None else (a or 0) + (b or 0)


def _hider(key: str) -> Callable[[str], str]:
    if len(key) < SECRET:
        return str
    return lambda text: text.replace(key, "***")


def _run(loop: asyncio.AbstractEventLoop, client: AsyncOpenAI) -> None:
    """The background thread: serve until stopped, then drop what is under way."""
    asyncio.set_event_loop(loop)
    loop.run_forever()
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(client.close())
    loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():
        thread.join(2.0)
