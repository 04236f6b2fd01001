"""Remote agents against a real HTTP server on this machine that plays an endpoint by script."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import moot.agents.completions as completions
from moot.agents.completions import cut_thought
from moot.agents.legal import illegal
from moot.agents.pools import ScriptedPool
from moot.agents.remote import RemoteOptions, RemotePool, remote_pool
from moot.agents.shape import shape
from moot.environments import WORLDS, Environment, Scenario, play
from moot.protocols import Act, Ended, MootError, Observation, Reply

KEY = "sk-test-0123456789abcdef"
OFFER = {"act": "propose", "content": {"take": {"book": 1, "hat": 0}}, "text": "The book?"}


def scenario(**more: Any) -> Scenario:
    return WORLDS["item_division"].Scenario.model_validate(
        {
            "name": "table",
            "world": "item_division",
            "protocol": {"name": "alternating_offers", "deadline": 8},
            "items": {"book": 1, "hat": 2},
            "roles": {"ann": {"values": {"book": 4, "hat": 3}},
                      "bob": {"values": {"book": 2, "hat": 4}}},
            **more,
        }
    )  # fmt: skip


def table(episode: int = 0, **more: Any) -> Environment:
    return Environment(scenario(**more), seed=7, episode=episode)


class Agreeable:
    """Accepts whatever is offered, else talks."""

    def reply(self, observation: Observation) -> Reply:
        if observation.may(Act.ACCEPT_PROPOSAL):
            return Reply(act=Act.ACCEPT_PROPOSAL)
        return Reply(act=Act.INFORM, text="Go on.")


Answer = tuple[int, dict[str, str], Any]
"""Status, headers and body (a string is sent as it is, anything else as JSON)."""


def says(reply: Any, **message: Any) -> Answer:
    """A chat completion; `reply` is written as JSON unless it is text."""
    content = reply if isinstance(reply, str) or reply is None else json.dumps(reply)
    choice = {"index": 0, "finish_reason": message.pop("finish", "stop"),
              "message": {"role": "assistant", "content": content, **message}}  # fmt: skip
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return 200, {}, {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}


def fails(status: int, words: str = "no", headers: dict[str, str] | None = None) -> Answer:
    return status, headers or {}, {"error": {"message": words, "type": "x", "code": None}}


@dataclass
class Server:
    """An endpoint that answers the n-th request (from 0) with `script(n, body)`."""

    url: str
    script: Callable[[int, dict[str, Any]], Answer]
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    times: list[float] = field(default_factory=list[float])
    open: int = 0
    most: int = 0
    """Most requests that were open at once."""
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hang(self) -> Answer:
        self.over.wait(20)
        return fails(503)


DRIP = "drip"


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send(*state.script(-1, {"path": self.path}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                number = len(state.bodies)
                state.bodies.append(body)
                state.headers.append({k.lower(): v for k, v in self.headers.items()})
                state.times.append(time.monotonic())
                state.open += 1
                state.most = max(state.most, state.open)
            try:
                answer = state.script(number, body)
            finally:
                with state.lock:
                    state.open -= 1
            self.send(*answer)

        def send(self, status: int, headers: dict[str, str], body: Any) -> None:
            if body == DRIP:
                self.drip()
                return
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def drip(self) -> None:
            """A byte now and then: no single read ever takes long."""
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            while not state.over.wait(0.05):
                self.wfile.write(b" ")

        def handle(self) -> None:
            with suppress(OSError):  # the client hung up, as it should on a server this slow
                super().handle()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    state = Server(f"http://127.0.0.1:{httpd.server_port}/v1", lambda n, body: says(OFFER))
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield state
    state.over.set()
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completions, "FIRST_PAUSE", 0.02)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def pool(server: Server) -> Iterator[Callable[..., RemotePool]]:
    made: list[RemotePool] = []

    def make(**options: Any) -> RemotePool:
        made.append(remote_pool("tiny", server.url, {"timeout": 10, **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()


def gather(pool: RemotePool, observations: list[Observation]) -> list[Reply]:
    """Ask all at once; the replies in the order of the questions."""
    for ticket, observation in enumerate(observations):
        pool.ask(ticket, observation)
    found: dict[int, Reply] = {}
    end = time.monotonic() + 15
    while len(found) < len(observations):
        assert time.monotonic() < end, "replies are missing"
        found.update(pool.poll(0.5))
    assert pool.poll(0) == []
    return [found[t] for t in range(len(observations))]


def ask(pool: RemotePool, at: Environment | None = None) -> Reply:
    return gather(pool, [(at or table()).observe()])[0]


# ---- what is sent and what comes back ----


def test_an_episode_from_end_to_end(server: Server, pool: Callable[..., RemotePool]) -> None:
    seats = {"ann": pool(temperature=0.5, max_tokens=64), "bob": ScriptedPool(Agreeable())}
    (episode,) = play([table()], seats)
    assert episode.ended is Ended.AGREED
    reply = episode.turns[0].reply
    assert reply is not None
    assert (reply.prompt_tokens, reply.completion_tokens, reply.attempts) == (100, 10, 1)
    (sent,) = server.bodies
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("tiny", 0.5, 64)
    assert [t["role"] for t in sent["messages"]] == ["system", "user"]
    form = sent["response_format"]["json_schema"]
    assert form["strict"] is True
    assert form["schema"] == table().observe().schema()


def test_seeds_are_keyed_and_fit_31_bits(server: Server, pool: Callable[..., RemotePool]) -> None:
    one, other = table(0).observe(), table(1).observe()
    talker = pool(concurrency=1)
    gather(talker, [one, other, one])
    seeds = [b["seed"] for b in server.bodies]
    assert seeds[0] == seeds[2] != seeds[1]
    assert seeds[0] == one.key.number("remote") % 2**31
    ask(pool(seed="off"))
    assert "seed" not in server.bodies[-1]


def test_every_seat_may_have_an_adapter_of_its_own(
    server: Server, pool: Callable[..., RemotePool]
) -> None:
    seats = pool(adapter="camp-{agent}")
    (episode,) = play([table()], {"*": seats})
    speakers = [t.agent for t in episode.turns]
    assert len(set(speakers)) == 2
    # A turn that was sent back asks the same adapter again.
    asked = [b["model"] for b in server.bodies]
    assert list(dict.fromkeys(asked)) == [f"camp-{a}" for a in dict.fromkeys(speakers)]
    server.script = lambda n, body: fails(404, "The model does not exist.")
    assert "has no model 'camp-ann'" in (ask(seats).error or "")


def test_thought_is_kept_apart(server: Server, pool: Callable[..., RemotePool]) -> None:
    words = f"<think>I want the book.</think>\n{json.dumps(OFFER)}"
    server.script = lambda n, body: says(words, reasoning_content="Hm.")
    reply = ask(pool())
    assert json.loads(reply.raw or "") == OFFER
    assert reply.thought == "Hm.\n\nI want the book."


@pytest.mark.parametrize(
    ("text", "said", "thought"),
    [
        ("{}", "{}", None),
        ("<think>\n\n</think>\n\n{}", "{}", None),
        ("so be it</think>{}", "{}", "so be it"),
        ("<think>never ends", "", "never ends"),
    ],
)
def test_cut_thought(text: str, said: str, thought: str | None) -> None:
    assert cut_thought(text) == (said, thought)


def test_thought_that_fills_the_limit(server: Server, pool: Callable[..., RemotePool]) -> None:
    server.script = lambda n, body: says("<think>and so on", finish="length")
    reply = ask(pool(max_tokens=5))
    assert reply.error is not None
    assert "max_tokens" in reply.error
    assert (reply.attempts, reply.completion_tokens) == (2, 20)


def test_half_a_surrogate_is_recordable(server: Server, pool: Callable[..., RemotePool]) -> None:
    answer = json.dumps(says(json.dumps(OFFER) + "X")[2]).replace("X", "\\ud83d")
    server.script = lambda n, body: (200, {}, answer)
    reply = ask(pool())
    assert reply.error is None
    assert Reply.model_validate_json(reply.model_dump_json()) == reply


# ---- failures that pass, and failures that stay ----


def test_retry_after_is_honoured(server: Server, pool: Callable[..., RemotePool]) -> None:
    server.script = lambda n, body: (
        fails(429, "slow", {"Retry-After": "1"}) if not n else says(OFFER)
    )
    reply = ask(pool())
    assert (reply.error, reply.attempts) == (None, 2)
    assert server.times[1] - server.times[0] >= 1.0


def test_retry_after_as_a_date() -> None:
    soon = completions._retry_after(formatdate(time.time() + 30, usegmt=True))
    assert 28 <= soon <= 30
    past = formatdate(time.time() - 30, usegmt=True)
    assert [completions._retry_after(h) for h in (past, "", "soon", "-1", "nan")] == [0.0] * 5


def test_a_wait_beyond_the_timeout_is_not_begun(
    server: Server, pool: Callable[..., RemotePool]
) -> None:
    server.script = lambda n, body: fails(429, "slow", {"Retry-After": "600"})
    begun = time.monotonic()
    reply = ask(pool())
    assert time.monotonic() - begun < 5
    assert "timeout=10" in str(reply.error)


def test_5xx_pass(server: Server, pool: Callable[..., RemotePool]) -> None:
    server.script = lambda n, body: fails(500 + n) if n < 2 else says(OFFER)
    reply = ask(pool())
    assert (reply.error, reply.attempts) == (None, 3)
    gaps = [b - a for a, b in zip(server.times, server.times[1:], strict=False)]
    assert gaps[0] >= 0.01
    assert gaps[1] >= 0.02


def test_5xx_that_stay(server: Server, pool: Callable[..., RemotePool]) -> None:
    server.script = lambda n, body: fails(500, "out of\nmemory")
    reply = ask(pool(retries=2))
    assert reply.error == f"{server.url} answered 500: out of memory (3 calls)"
    assert (reply.attempts, len(server.bodies)) == (3, 3)


@pytest.mark.parametrize("body", ["<html>", "{}", '{"choices": []}', '{"choices": [7]}', "null"])
def test_garbage(server: Server, pool: Callable[..., RemotePool], body: str) -> None:
    server.script = lambda n, _: (
        (200, {"Content-Type": "text/html"}, body) if not n else says(OFFER)
    )
    assert ask(pool()).attempts == 2
    server.script = lambda n, _: (200, {}, body)
    assert "no chat completion (2 calls)" in str(ask(pool(retries=1)).error)


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (fails(401, f"bad key {KEY}"), "refused the key (401: bad key ***); is MY_KEY right?"),
        (fails(404, "the model does not exist"), "has no model 'tiny' (404: the model does not"),
        ((400, {}, {"detail": "bad request"}), "answered 400: bad request"),
        ((429, {}, {"error": {"message": "pay first", "code": "insufficient_quota"}}), "pay first"),
    ],
)
def test_permanent_errors_are_not_retried(
    server: Server,
    pool: Callable[..., RemotePool],
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
    line: str,
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server.script = lambda n, body: answer
    reply = ask(pool(structured="off", api_key_env="MY_KEY"))
    assert line in str(reply.error)
    assert "\n" not in str(reply.error)
    assert (reply.attempts, len(server.bodies)) == (1, 1)
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_the_key_is_never_shown(
    server: Server, pool: Callable[..., RemotePool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    echo = json.dumps({**OFFER, "text": f"Your key is {KEY}."})
    server.script = lambda n, body: says(f"<think>{KEY}</think>{echo}")
    spy = pool()
    (episode,) = play([table()], {"ann": spy, "bob": ScriptedPool(Agreeable())})
    assert KEY not in episode.line()
    assert "***" in episode.messages[0].text
    assert KEY not in repr(spy) + repr(spy.options) + repr(vars(spy))


def test_nobody_there() -> None:
    pool = remote_pool("tiny", "http://127.0.0.1:9/v1", {"retries": 1})
    try:
        assert "cannot reach http://127.0.0.1:9/v1" in str(ask(pool).error)
        with pytest.raises(MootError, match="cannot reach") as caught:
            pool.check()
        assert not caught.value.usage
    finally:
        pool.close()


def test_check(server: Server, pool: Callable[..., RemotePool]) -> None:
    server.script = lambda n, body: (200, {}, {"object": "list", "data": []})
    pool().check()
    server.script = lambda n, body: fails(404)
    pool().check()  # some servers keep no list
    server.script = lambda n, body: fails(401)
    with pytest.raises(MootError, match="export OPENAI_API_KEY"):
        pool().check()


# ---- time and crowds ----


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_slow_answer_ends_its_own_episode_only(
    server: Server, pool: Callable[..., RemotePool], how: str
) -> None:
    slow = table(3).observe().key.number("remote") & 0x7FFF_FFFF

    def script(n: int, body: dict[str, Any]) -> Answer:
        if body["seed"] != slow:
            return says(OFFER)
        return server.hang() if how == "hang" else (200, {}, DRIP)

    server.script = script
    begun = time.monotonic()
    seats = {"ann": pool(timeout=2), "bob": ScriptedPool(Agreeable())}
    episodes = {e.id: e for e in play([table(i) for i in range(6)], seats)}
    assert 1.9 < time.monotonic() - begun < 9
    assert {i for i, e in episodes.items() if e.ended is Ended.AGREED} == {0, 1, 2, 4, 5}
    assert episodes[3].ended is Ended.BROKEN
    assert episodes[3].why == f"ann: no answer from {server.url} within 2 s"


def test_waiting_for_a_slot_costs_no_time(server: Server, pool: Callable[..., RemotePool]) -> None:
    def script(n: int, body: dict[str, Any]) -> Answer:
        time.sleep(0.4)
        return says(OFFER)

    server.script = script
    begun = time.monotonic()
    replies = gather(pool(concurrency=1, timeout=2), [table(i).observe() for i in range(6)])
    assert time.monotonic() - begun > 2
    assert [r.error for r in replies] == [None] * 6


def test_concurrency_is_limited(server: Server, pool: Callable[..., RemotePool]) -> None:
    def script(n: int, body: dict[str, Any]) -> Answer:
        time.sleep(0.05)
        return says(OFFER)

    server.script = script
    gather(pool(concurrency=3), [table(i).observe() for i in range(12)])
    assert len(server.bodies) == 12
    assert server.most == 3


def test_no_hang_at_exit(server: Server) -> None:
    server.script = lambda n, body: server.hang()
    code = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_remote import table
from moot.agents.remote import remote_pool
pool = remote_pool("tiny", {server.url!r})
pool.ask(1, table().observe())
print(pool.poll(2.0))
"""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")
    assert len(server.bodies) == 1
    assert time.monotonic() - begun < 18  # the server itself would hang for 20 s


# ---- constrained decoding, and repair where there is none ----


def test_a_server_that_rejects_response_format(
    server: Server, pool: Callable[..., RemotePool]
) -> None:
    server.script = lambda n, body: (
        fails(400, "response_format is not supported") if "response_format" in body else says(OFFER)
    )
    talker = pool()
    first, second = ask(talker), ask(talker)
    assert (first.error, first.attempts) == (None, 3)
    assert (second.error, second.attempts) == (None, 1)  # remembered
    refused = ask(pool(structured="json_schema"))
    assert "response_format is not supported" in str(refused.error)
    n = len(server.bodies)
    assert ask(pool(structured="off")).attempts == 1
    assert "response_format" not in server.bodies[n]


def test_a_server_that_wants_an_object_at_the_root(
    server: Server, pool: Callable[..., RemotePool]
) -> None:
    def script(n: int, body: dict[str, Any]) -> Answer:
        schema = body["response_format"]["json_schema"]["schema"]
        if "anyOf" in schema:
            return fails(
                400, "schema must have type 'object' and not have 'anyOf' at the top level"
            )
        assert "maxLength" not in json.dumps(schema)
        assert "const" not in json.dumps(schema)
        return says({"reply": OFFER})

    server.script = script
    talker = pool()
    assert ask(talker).attempts == 2
    reply = ask(talker)
    assert reply.attempts == 1
    assert json.loads(reply.raw or "") == OFFER


def test_a_bad_request_is_not_taken_for_a_rejected_form(
    server: Server, pool: Callable[..., RemotePool]
) -> None:
    server.script = lambda n, body: fails(400, "boom")
    talker = pool()
    assert ask(talker).attempts == 3
    server.script = lambda n, body: says(OFFER)
    assert ask(talker).attempts == 1
    assert "response_format" in server.bodies[-1]


def test_items_may_be_named_like_keywords() -> None:
    items = {"const": 1, "maxLength": 2, "enum": 1}
    odd = {s: {"values": dict.fromkeys(items, 2)} for s in ("ann", "bob")}
    schema = table(items=items, roles=odd).observe().schema()
    plain = completions.response_format("wrapped", schema)["response_format"]["json_schema"]
    move = plain["schema"]["properties"]["reply"]["anyOf"][0]["properties"]
    assert list(move["content"]["properties"]["take"]["properties"]) == list(items)
    assert move["act"] == {"type": "string", "enum": ["propose"]}


def test_repair_names_what_was_wrong(server: Server, pool: Callable[..., RemotePool]) -> None:
    bad = {**OFFER, "content": {"take": {"book": 5, "hat": 0}}}
    server.script = lambda n, body: says(bad if not n else OFFER)
    reply = ask(pool())
    assert json.loads(reply.raw or "") == OFFER
    assert (reply.attempts, reply.prompt_tokens, reply.completion_tokens) == (2, 200, 20)
    first, again = server.bodies
    assert again["messages"][:-2] == first["messages"]
    assert again["messages"][-2] == {"role": "assistant", "content": json.dumps(bad)}
    note = again["messages"][-1]["content"]
    assert "take.book: 5 is greater than the maximum of 1" in note
    assert '{"take": {"book": 0 to 1, "hat": 0 to 2}}' in note
    assert first["seed"] != again["seed"]


def test_repair_is_tried_once(server: Server, pool: Callable[..., RemotePool]) -> None:
    server.script = lambda n, body: says("I would rather not." if n % 2 else "")
    seats = {"ann": pool(), "bob": ScriptedPool(Agreeable())}
    (episode,) = play([table(patience=1)], seats)
    assert episode.ended is Ended.FORFEITED
    assert [t.reply.attempts for t in episode.turns if t.reply] == [2, 2]
    assert all(t.error and t.error.kind == "unreadable" for t in episode.turns)
    # An empty reply is not put into the chat: turns alternate.
    for body in server.bodies:
        assert [m["role"] for m in body["messages"]] == ["system", "user"]


def test_another_name_for_the_limit(server: Server, pool: Callable[..., RemotePool]) -> None:
    server.script = lambda n, body: (
        fails(400, "'max_tokens' is not supported. Use 'max_completion_tokens' instead.")
        if "max_tokens" in body
        else says(OFFER)
    )
    talker = pool(max_tokens=50)
    assert [ask(talker).attempts, ask(talker).attempts] == [2, 1]
    assert server.bodies[-1]["max_completion_tokens"] == 50


def test_a_full_context_drops_the_oldest_talk(
    server: Server, pool: Callable[..., RemotePool]
) -> None:
    at = table()
    for _ in range(5):
        at.step(Reply(act=Act.INFORM, text="Lovely weather."))
    server.script = lambda n, body: (
        fails(400, "This model's maximum context length is 200 tokens.")
        if sum(m["content"].count("Lovely") for m in body["messages"]) > 1
        else says(OFFER)
    )
    reply = ask(pool(), at)
    assert (reply.error, reply.dropped, reply.attempts) == (None, 4, 3)
    assert server.bodies[-1]["messages"][0]["content"] == at.observe().card
    server.script = lambda n, body: fails(400, "maximum context length is 2 tokens")
    assert "context length" in str(ask(pool(), at).error)


def test_a_model_that_takes_no_system_turn(server: Server, pool: Callable[..., RemotePool]) -> None:
    server.script = lambda n, body: (
        fails(400, "System role not supported")
        if body["messages"][0]["role"] == "system"
        else says(OFFER)
    )
    talker, at = pool(), table()
    assert [ask(talker, at).attempts, ask(talker, at).attempts] == [2, 1]
    (only,) = server.bodies[-1]["messages"]
    assert (only["role"], only["content"]) == ("user", f"{at.observe().card}\n\n(8 left)")


# ---- the agent's own check agrees with the environment ----


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (json.dumps(OFFER), None),
        ('Well: {"act": "cancel"}', None),
        ('{"act": "propose", "to": "bob", "content": {"take": {"book": 0, "hat": 2}}}', None),
        ("no", "unreadable"),
        ('{"act": "inform", "text": "\\ud83d"}', "unreadable"),
        ('{"act": "inform", "text": ' + "9" * 5000 + "}", "unreadable"),
        ('{"act": ' + "[" * 100_000, "unreadable"),
        ('{"act": "accept-proposal", "text": ""}', "illegal-act"),
        ('{"act": "cancel", "to": "carl"}', "bad-receiver"),
        ('{"act": "propose"}', "bad-content"),
        ('{"act": "cancel", "content": {"take": {"book": 0, "hat": 2}}}', "bad-content"),
        ('{"act": "propose", "content": {"take": {"book": 0}}}', "bad-content"),
        ('{"act": "propose", "content": {"take": {"book": 0, "hat": 2.5}}}', "bad-content"),
        ('{"act": "inform", "content": {"values": {"book": 4, "hat": 101}}}', "bad-content"),
        ('{"act": "inform", "content": {"values": {"book": 4, "hat": 3}}}', None),
        ('{"act": "inform"}', None),
        (json.dumps({"act": "inform", "text": "x" * 161}), "too-long"),
    ],
)
def test_own_check(raw: str, kind: str | None) -> None:
    at = table()
    observation = at.observe()
    found = illegal(raw, observation, observation.schema())
    judged = at.step(Reply(raw=raw)).error
    assert (found and found.kind) == (judged and judged.kind) == kind


def test_own_check_of_receivers() -> None:
    at = Environment(
        WORLDS["task_allocation"].Scenario.model_validate(
            {
                "world": "task_allocation",
                "protocol": "contract_net",
                "tasks": ["cook", "clean"],
                "roles": {
                    "mia": {"role": "manager", "values": {"cook": 9, "clean": 8}},
                    **{
                        b: {"role": "bidder", "costs": {"cook": 2, "clean": 3}, "capacity": 1}
                        for b in ("ben", "bea")
                    },
                },
            }
        )
    )
    at.step(Reply(act=Act.CFP, content={"tasks": ["cook", "clean"]}))
    for _ in range(2):
        at.step(Reply(act=Act.PROPOSE, content={"prices": {"cook": 3, "clean": 4}, "most": 1}))
    observation = at.observe()
    assert observation.agent == "mia"
    grant: dict[str, Any] = {"act": "accept-proposal", "content": {"tasks": ["cook"]}}
    found = [
        illegal(json.dumps({**grant, **more}), observation, observation.schema())
        for more in ({"to": "bea"}, {}, {"to": "mia"}, {"to": "ben", "content": {"tasks": []}})
    ]
    kinds = [f and f.kind for f in found]
    assert kinds == [None, "bad-receiver", "bad-receiver", "bad-content"]
    assert "1 of cook, clean" in str(found[-1])


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"const": ["a", "b"]}, '["a", "b"]'),
        ({"enum": ["a", "b"]}, "one of a, b"),
        ({"enum": [["a"], ["b"], ["a", "b"]]}, "1 to 2 of a, b"),
        (
            {"type": "number", "minimum": 0, "maximum": 9, "multipleOf": 0.5},
            "0 to 9 in steps of 0.5",
        ),
        ({"type": "integer", "minimum": 3}, "a whole number from 3"),
        ({"type": "number", "maximum": 3}, "a number up to 3"),
        ({"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, "a whole number or yes or no"),
        ({"type": "array", "items": {"type": "string"}}, "a list of text"),
        ({"type": "string", "maxLength": 9}, "text of at most 9 characters"),
        ({}, "any value"),
    ],
)
def test_shape(schema: dict[str, Any], words: str) -> None:
    assert shape(schema) == words


# ---- a real server ----


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Model and URL of `transformers serve`, with the shipped model, or random weights without it."""
    pytest.importorskip("fastapi", reason="transformers serve needs fastapi and uvicorn")
    pytest.importorskip("uvicorn", reason="transformers serve needs fastapi and uvicorn")
    folder = Path(__file__).parents[1] / "models" / "nano"
    if not (folder / "model.safetensors").exists():
        from tiny import save

        folder = save(tmp_path / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = Path(sys.executable).with_name("transformers")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [command, "serve", folder, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
            stdout=log, stderr=log, env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        try:
            end = time.monotonic() + 120
            while process.poll() is None and time.monotonic() < end:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.1)
            else:
                pytest.fail((tmp_path / "log").read_text())
            yield str(folder), f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.mark.slow
def test_an_episode_with_transformers_serve(served: tuple[str, str]) -> None:
    model, url = served
    pool = remote_pool(model, url, {"timeout": 60, "max_tokens": 120, "concurrency": 2})
    try:
        pool.check()
        (episode,) = play([table(patience=1)], {"ann": pool, "bob": ScriptedPool(Agreeable())})
        assert episode.ended in (Ended.AGREED, Ended.LIMIT, Ended.WALKED_AWAY, Ended.FORFEITED)
        replies = [t.reply for t in episode.turns if t.agent == "ann"]
        assert replies
        for reply in replies:
            assert reply is not None
            assert reply.raw is not None
            assert (reply.prompt_tokens or 0) > 20 * reply.attempts
            assert 0 < (reply.completion_tokens or 0) <= 120 * reply.attempts
    finally:
        pool.close()
    pool = remote_pool("no/such-model", url, {"retries": 1})
    try:
        assert "no/such-model" in str(ask(pool).error)
    finally:
        pool.close()


# ---- what people type ----


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"temprature": "1"}, "no option 'temprature'; did you mean 'temperature'?"),
        ({"temperature": "hot"}, "temperature should be a valid number"),
        ({"timeout": "0"}, "timeout should be greater than 0, got '0'"),
        ({"structured": "json"}, "'auto', 'json_schema' or 'off', got 'json'"),
        ({"retries": "-1"}, "retries should be"),
        ({"timeout": "inf"}, "timeout should be"),
    ],
)
def test_options_that_do_not_exist(given: dict[str, str], line: str) -> None:
    with pytest.raises(MootError, match="openai: ") as caught:
        RemoteOptions.parse(given)
    assert line in str(caught.value)


def test_a_key_in_place_of_its_variable_is_not_echoed() -> None:
    for key in (KEY, "gsk_0123456789abcdef"):
        with pytest.raises(MootError, match="environment variable") as caught:
            RemoteOptions.parse({"api_key_env": key})
        assert key not in str(caught.value)
    with pytest.raises(MootError, match="not set"):
        remote_pool("tiny", "http://127.0.0.1:9", {"api_key_env": "NO_SUCH_KEY_HERE"})


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://host/v1", "http://", "http://h:0/v1", "http://h:99999/v1"]
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(MootError, match="http://HOST:PORT/v1"):
        remote_pool("tiny", url)


def test_urls() -> None:
    with pytest.raises(MootError, match="no user or password") as caught:
        remote_pool("tiny", "http://me:hunter22@host/v1")
    assert "hunter22" not in str(caught.value)
    for given, base in (("http://h:1", "http://h:1/v1"), ("http://h/api/", "http://h/api")):
        pool = remote_pool("tiny", given)
        pool.close()
        assert pool.url == base


@pytest.mark.parametrize(
    ("missing", "module"), [("openai", "completions"), ("jsonschema", "legal")]
)
def test_without_the_extra(missing: str, module: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from moot.protocols import MootError\n"
        "try:\n    import moot.agents.remote\n"
        "except MootError as e: print(e)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert "pip install 'moot[remote]'" in done.stdout, done.stderr
