"""The decoding engine against plain `generate`: rows that come and go, chunks, forced tokens, failures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from test_language import answers, observations
from transformers import T5Config

from moot.agents.attend import NAME
from moot.agents.cache import Kept
from moot.agents.decode import Batch
from moot.agents.language import language_pool
from moot.agents.load import Loaded, load
from moot.agents.prompt import chat
from moot.agents.row import Row
from moot.agents.sampling import Sampling, draw
from moot.protocols import MootError

GREEDY = Sampling(temperature=0)
TOKENS = 9
"""Of every reply."""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Loaded]:
    """Architecture -> its tiny model."""

    @cache
    def model(architecture: str) -> Loaded:
        folder = tiny.save(tmp_path_factory.mktemp(architecture), architecture)
        return load(folder, device="cpu", dtype="float32")

    return model


@pytest.fixture
def llama(opened: Callable[[str], Loaded]) -> Loaded:
    return opened("llama")


def row(
    loaded: Loaded,
    number: int,
    prompt: list[int],
    talk: int = 0,
    how: Sampling = GREEDY,
    **more: Any,
) -> Row:
    """A reply of `TOKENS` tokens without a mask, unless `more` says otherwise."""
    matcher, _ = loaded.grammars.start({"type": "string"})
    rng = np.random.Generator(np.random.Philox(key=number))
    given: dict[str, Any] = {"limit": TOKENS, "free": True, **more}
    return Row(number, talk, prompt, given.pop("matcher", matcher), rng=rng, sampling=how, **given)


def generated(loaded: Loaded, prompt: list[int]) -> list[int]:
    """What the library says, greedily."""
    ids = torch.tensor([prompt])
    out = loaded.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=TOKENS,
        eos_token_id=list(loaded.ends), pad_token_id=0,
    )  # fmt: skip
    return out[0, len(prompt) :].tolist()


def judged(loaded: Loaded, reply: Row) -> list[float]:
    """Log-probabilities of the reply's tokens, from one forward of the whole text."""
    with torch.no_grad():
        ids = torch.tensor([reply.prompt + reply.token_ids])
        logits = loaded.model(ids, use_cache=False).logits[0].log_softmax(-1)
    at = range(len(reply.prompt) - 1, ids.shape[1] - 1)
    return [float(logits[i, t]) for i, t in zip(at, reply.token_ids, strict=True)]


def text(rng: np.random.Generator, length: int) -> list[int]:
    return rng.integers(10, 400, length).tolist()


def finish(batch: Batch) -> list[Row]:
    done: list[Row] = []
    while batch.rows:
        done += batch.step()
    return done


def counted(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(entries, tokens each) of every forward to come."""
    seen: list[tuple[int, int]] = []
    forward = batch._forward

    def spied(slab: Any, rows: Any, ids: Sequence[Sequence[int]], feed: Any) -> torch.Tensor:
        seen.append((len(ids), len(ids[0])))
        return forward(slab, rows, ids, feed)

    monkeypatch.setattr(batch, "_forward", spied)
    return seen


TURNS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 30), st.integers(0, 4)), min_size=3, max_size=9
)
"""Whose talk goes on, with how many tokens, and how many steps are taken before."""


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
@settings(max_examples=3, deadline=None)
@given(
    turns=TURNS, width=st.integers(1, 5), chunk=st.sampled_from([4, 37, 1024]),
    kept=st.sampled_from([0, 20_000, 1 << 20]), seed=st.integers(0, 2**20),
)  # fmt: skip
def test_replies_are_those_of_generate_whoever_comes_and_goes(
    opened: Callable[[str], Loaded], architecture: str, turns: list[tuple[int, int, int]], width: int,
    chunk: int, kept: int, seed: int,
) -> None:  # fmt: skip
    loaded, rng = opened(architecture), np.random.default_rng(seed)
    batch = Batch(loaded, Kept(kept) if kept else None, chunk=chunk)
    rules = text(rng, 12)
    talks = {talk: [*rules, talk + 5] for talk in range(4)}
    waiting: list[Row] = []
    done: list[Row] = []

    def step() -> None:
        busy = {r.talk for r in batch.rows}
        for new in list(waiting):
            if len(batch.rows) < width and new.talk not in busy:
                batch.join([new])
                waiting.remove(new)
                busy.add(new.talk)
        for finished in batch.step():
            done.append(finished)

    for number, (talk, more, steps) in enumerate(turns):
        talks[talk] = [*talks[talk], *text(rng, more)]
        waiting.append(row(loaded, number, talks[talk], talk))
        for _ in range(steps):
            step()
    while waiting or batch.rows:
        step()
    assert sorted(r.ticket for r in done) == list(range(len(turns)))
    for reply in done:
        assert reply.error is None
        assert reply.token_ids == generated(loaded, reply.prompt)
        np.testing.assert_allclose(reply.plain, judged(loaded, reply), atol=2e-3)
    if batch.kept is not None:
        assert batch.kept.bytes <= kept
        assert batch.kept.bytes == sum(p.bytes for p in batch.kept._pasts.values())


def test_a_draw_is_the_same_alone_and_among_64(opened: Callable[[str], Loaded]) -> None:
    how = Sampling(0.9, top_k=60, top_p=0.95, min_p=0.001)
    for architecture in ("llama", "gemma3"):
        loaded, rng = opened(architecture), np.random.default_rng(4)
        prompts = [text(rng, int(n)) for n in rng.integers(3, 40, 64)]
        rows = [row(loaded, i, p, i, how) for i, p in enumerate(prompts)]
        batch = Batch(loaded, None)
        batch.join(rows)
        together = {r.ticket: r for r in finish(batch)}
        for i in range(0, 64, 7):
            alone = Batch(loaded, None)
            alone.join([row(loaded, i, prompts[i], i, how)])
            one = finish(alone)[0]
            assert one.token_ids == together[i].token_ids
            np.testing.assert_allclose(one.logprobs, together[i].logprobs, atol=1e-4)
        assert len({tuple(r.token_ids) for r in together.values()}) >= 60


def test_what_the_engine_draws_follows_the_masked_softmax(llama: Loaded) -> None:
    schema = {"enum": ["no", "yes", True, False, None, *range(1, 80, 9)]}
    first, _ = llama.grammars.start(schema)
    prompt = text(np.random.default_rng(1), 15)
    legal = llama.grammars.spread(llama.grammars.fill([first]), torch.device("cpu"))[0]
    with torch.no_grad():
        logits = llama.model(torch.tensor([prompt])).logits[0, -1].double()
    expected = (logits / 3).masked_fill(~legal, -torch.inf).softmax(-1)
    plain = logits.log_softmax(-1)
    counts = torch.zeros_like(expected)
    draws, kept = 1024, Kept(1 << 20)
    for start in range(0, draws, 256):
        batch = Batch(llama, kept)
        numbers = range(start, start + 256)
        batch.join(
            [
                row(llama, i, prompt, how=Sampling(temperature=3), free=False,
                    matcher=first.deep_copy(), limit=40)
                for i in numbers
            ]
        )  # fmt: skip
        for reply in finish(batch):
            token = reply.token_ids[0]
            counts[token] += 1
            assert reply.logprobs[0] == pytest.approx(float(expected[token].log()), abs=1e-4)
            assert reply.plain[0] == pytest.approx(float(plain[token]), abs=1e-4)
    possible = expected > 0
    assert counts[~possible].sum() == 0
    assert int(possible.sum()) > 8
    often = possible & (expected * draws >= 5)
    rest = expected[possible & ~often].sum()
    seen, wanted = counts[often].tolist(), (expected[often] * draws).tolist()
    if rest > 0:
        seen, wanted = [*seen, draws - sum(seen)], [*wanted, float(rest) * draws]
    assert chisquare(seen, wanted).pvalue > 1e-3


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2"])
def test_forced_tokens_come_together_and_are_the_same(
    opened: Callable[[str], Loaded], architecture: str
) -> None:
    loaded, asked = opened(architecture), observations(10, max_text=12)
    found: dict[bool, Any] = {}
    forwards: dict[bool, int] = {}
    for jump in (True, False):
        options = {"temperature": 1, "top_p": 0.9, "fast_forward": jump, "rows": 4}
        pool = language_pool(loaded, options)
        forwards[jump] = 0

        def count(*given: Any, jump: bool = jump, step: Any = loaded.next_logits) -> Any:
            forwards[jump] += 1
            return step(*given)

        loaded.next_logits = count  # type: ignore[method-assign]
        try:
            found[jump] = answers(pool, asked)
        finally:
            del loaded.next_logits
    saved = 0
    for one, other in zip(found[True], found[False], strict=True):
        assert one.error is None
        assert one.token_ids == other.token_ids
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)
        np.testing.assert_allclose(one.model_logprobs, other.model_logprobs, atol=2e-3)
        assert one.legal_mass == pytest.approx(other.legal_mass, rel=5e-3)
        saved += sum(lp == 0.0 for lp in one.logprobs)
    assert saved > 10
    assert forwards[True] < 0.8 * forwards[False]


def test_a_long_prompt_stalls_nobody(llama: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    batch = Batch(llama, None, chunk=16)
    prompts = [text(rng, 10), text(rng, 5), text(rng, 150)]
    batch.join([row(llama, i, p, i) for i, p in enumerate(prompts[:2])])
    batch.step()
    seen = counted(batch, monkeypatch)
    batch.join([row(llama, 2, prompts[2], 2)])
    quick = batch.live[0]
    for _ in range(3):
        before = len(quick.token_ids)
        batch.step()
        assert len(quick.token_ids) == before + 1, "it goes on while the long prompt is computed"
    done = finish(batch)
    assert max(entries * each for entries, each in seen) <= 16
    assert sum(each for entries, each in seen if each > 1) >= 144
    for reply in done:
        assert reply.token_ids == generated(llama, prompts[reply.ticket])


def test_short_prompts_do_not_pay_for_a_long_one(
    llama: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(6)
    prompts = [text(rng, n) for n in (9, 90, 7, 8)]
    batch = Batch(llama, None)
    seen = counted(batch, monkeypatch)
    batch.join([row(llama, i, p, i) for i, p in enumerate(prompts)])
    for reply in finish(batch):
        assert reply.token_ids == generated(llama, prompts[reply.ticket])
    assert [shape for shape in seen if shape[1] > 1] == [(3, 9), (1, 90)]


def test_a_reply_that_failed_leaves_its_talk_behind(
    llama: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = {"type": "object", "properties": {"a": {"const": "much too long"}}, "required": ["a"]}
    prompt = text(np.random.default_rng(8), 60)
    batch = Batch(llama, Kept(1 << 20))
    matcher, _ = llama.grammars.start(schema)
    batch.join([row(llama, 0, prompt, free=False, limit=3, matcher=matcher)])
    assert "not complete after 3 tokens" in (finish(batch)[0].error or "")
    seen = counted(batch, monkeypatch)
    batch.join([row(llama, 1, [*prompt, 20, 21])])
    assert finish(batch)[0].token_ids == generated(llama, [*prompt, 20, 21])
    assert seen[0] == (1, 2), "only what is new"


def test_what_is_no_number_among_forced_tokens_ends_its_own_turn(llama: Loaded) -> None:
    asked = observations(8, max_text=12)
    options = {"temperature": 1, "reuse": 0}
    expected = answers(language_pool(llama, options), asked)
    spoiled = 0

    class Spoiling(Loaded):
        def __init__(self) -> None:
            self.__dict__.update(llama.__dict__)

        def next_logits(self, ids: Any, feed: Any, slab: Any) -> torch.Tensor:
            nonlocal spoiled
            logits = llama.next_logits(ids, feed, slab)
            if len(feed.groups) > 1 and ids.shape[1] == 1 and not spoiled:
                spoiled += 1
                logits[feed.groups[1].entries.start, 3] = torch.nan
            return logits

    replies = answers(language_pool(Spoiling(), options), asked)
    bad = [i for i, r in enumerate(replies) if r.error is not None]
    assert len(bad) == spoiled == 1
    assert "not finite" in (replies[bad[0]].error or "")
    assert replies[bad[0]].model_logprobs == ()
    good = [i for i in range(8) if i not in bad]
    assert [replies[i].raw for i in good] == [expected[i].raw for i in good]


def test_rows_draw_each_in_its_own_way() -> None:
    torch.manual_seed(5)
    hows = [Sampling(), GREEDY, Sampling(0.5, top_k=3), Sampling(), Sampling(2.0, top_p=0.5)]
    logits, legal = torch.randn(5, 40) * 3, torch.rand(5, 40) > 0.3
    uniforms = torch.rand(5, dtype=torch.float64)
    mixed = draw(logits, legal, uniforms, hows)
    for i, how in enumerate(hows):
        own = draw(logits[i : i + 1], legal[i : i + 1], uniforms[i : i + 1], how)
        assert mixed.ids[i] == own.ids[0]
        assert mixed.logprobs[i] == own.logprobs[0]
        assert mixed.plain[i] == pytest.approx(
            float(logits[i].log_softmax(-1)[own.ids[0]]), abs=1e-5
        )


def test_a_free_reply_ends_at_a_stop_text(llama: Loaded) -> None:
    asked = observations(3)
    options = {"temperature": 0, "mask": False, "max_tokens": 30}
    whole = answers(language_pool(llama, options), asked)
    for observation, reply in zip(asked, whole, strict=True):
        raw = reply.raw or ""
        stop = raw[6:8]
        cut = answers(language_pool(llama, {**options, "stop": stop}), [observation])[0]
        assert cut.raw == raw[: raw.index(stop)]
        assert len(cut.token_ids) < len(reply.token_ids)
        assert reply.token_ids[: len(cut.token_ids)] == cut.token_ids


def test_the_model_is_left_as_it_was(llama: Loaded) -> None:
    before = llama.model.config._attn_implementation
    answers(language_pool(llama, {"temperature": 0}), observations(2))
    assert llama.model.config._attn_implementation == before != NAME


@pytest.mark.parametrize("architecture", tiny.OTHERS)
def test_other_models_are_generated_one_at_a_time(
    architecture: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "moot.agents.load"):
        loaded = load(tiny.save(tmp_path, architecture), device="cpu", dtype="float32")
        pool = language_pool(loaded, {"temperature": 0, "mask": False, "max_tokens": TOKENS - 1})
        asked = observations(2)
        replies = answers(pool, asked)
    assert sum("one at a time" in r.getMessage() for r in caplog.records) == 1
    for observation, reply in zip(asked, replies, strict=True):
        assert list(reply.token_ids) == generated(loaded, loaded.form.ids(chat(observation)))
    assert loaded.context == (None if architecture in ("mamba", "bloom") else 2048)
    masked = answers(language_pool(loaded, {"temperature": 1}), asked)
    assert [r.error for r in masked] == [None, None]
    assert all(0 <= (r.legal_mass or -1) < 1 for r in masked)


def test_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    tiny.save(tmp_path)
    T5Config().save_pretrained(tmp_path)
    with pytest.raises(MootError, match="encoder-decoder model; agents are causal"):
        load(tmp_path)
