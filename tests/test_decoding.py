"""The parts of decoding by themselves: drawing, masks, chat forms, kept keys and values."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from moot.agents.cache import Kept, LayerShape, Past, Slab, common
from moot.agents.masks import Grammars, longest
from moot.agents.render import ChatForm
from moot.agents.sampling import Sampling, draw
from moot.protocols import MootError

CPU = torch.device("cpu")
DRAWS = 40_000


@pytest.fixture(scope="module")
def grammars() -> Grammars:
    words = tiny.tokenizer(tiny.CHATML)
    return Grammars(words, len(words) + 9, [words.eos_token_id])


def reference(logits: torch.Tensor, legal: torch.Tensor, how: Sampling) -> np.ndarray:
    """Probabilities by the definitions, one token at a time, in plain Python."""
    weights = [
        float(np.exp(z / how.temperature)) if ok else 0.0
        for z, ok in zip(logits.tolist(), legal.tolist(), strict=True)
    ]
    order = sorted(range(len(weights)), key=lambda i: -weights[i])
    if how.top_k:
        for i in order[how.top_k :]:
            weights[i] = 0.0
    total, held = sum(weights), 0.0
    for i in order:
        if held >= how.top_p * total:
            weights[i] = 0.0
        held += weights[i]
    best = max(weights)
    weights = [w if w >= how.min_p * best else 0.0 for w in weights]
    return np.array(weights) / sum(weights)


@pytest.mark.parametrize(
    "how",
    [
        Sampling(), Sampling(temperature=0.7), Sampling(temperature=1.8, top_k=5),
        Sampling(top_p=0.8), Sampling(min_p=0.2), Sampling(0.9, top_k=12, top_p=0.9, min_p=0.05),
    ],
)  # fmt: skip
def test_draws_follow_the_masked_softmax(how: Sampling) -> None:
    seeded = torch.Generator().manual_seed(3)
    logits = torch.randn(30, generator=seeded) * 2
    legal = torch.rand(30, generator=seeded) > 0.4
    expected = reference(logits, legal, how)
    uniforms = torch.from_numpy(np.random.Generator(np.random.Philox(key=9)).random(DRAWS))
    drawn = draw(logits.expand(DRAWS, -1), legal.expand(DRAWS, -1), uniforms, how)
    counts = np.bincount(drawn.ids, minlength=30)
    possible = expected > 0
    assert (counts[~possible] == 0).all()
    assert (possible <= legal.numpy()).all()
    assert chisquare(counts[possible], expected[possible] * DRAWS).pvalue > 1e-3
    logprobs = np.full(30, -np.inf)
    logprobs[drawn.ids] = drawn.logprobs
    np.testing.assert_allclose(np.exp(logprobs[possible]), expected[possible], rtol=1e-6)
    mass = float(logits.double().softmax(-1)[legal].sum())
    np.testing.assert_allclose(np.exp(drawn.log_masses), mass, rtol=1e-6)


def test_a_uniform_next_to_one_draws_the_last_possible_token() -> None:
    logits, legal = torch.zeros(1, 50), torch.zeros(1, 50, dtype=torch.bool)
    legal[0, [3, 17, 31]] = True
    ends = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    drawn = draw(logits.expand(2, -1), legal.expand(2, -1), ends, Sampling())
    assert drawn.ids == [3, 31]


def test_rows_that_cannot_be_drawn_from_say_why() -> None:
    logits = torch.zeros(4, 5)
    logits[1, 2] = torch.nan
    legal = torch.ones(4, 5, dtype=torch.bool)
    legal[2] = False
    logits[3, 1:] = -torch.inf
    legal[3, 0] = False
    for how in (Sampling(), Sampling(temperature=0)):
        masses = draw(logits, legal, torch.full((4,), 0.5, dtype=torch.float64), how).log_masses
        assert masses[0] == pytest.approx(0, abs=1e-6)
        assert np.isnan(masses[1])
        assert masses[2:] == [-np.inf, -np.inf]


def test_a_faint_legal_token_is_still_drawn() -> None:
    logits = torch.tensor([[900.0, 0.0, -5.0]])
    legal = torch.tensor([[False, True, False]])
    drawn = draw(logits, legal, torch.tensor([0.9], dtype=torch.float64), Sampling())
    assert (drawn.ids, drawn.logprobs) == ([1], [0.0])
    assert drawn.log_masses[0] == pytest.approx(-900)


SCHEMAS = st.recursive(
    st.one_of(
        st.builds(lambda n: {"type": "string", "maxLength": n}, st.integers(0, 6)),
        st.builds(
            lambda a, b: {"type": "integer", "minimum": min(a, b), "maximum": max(a, b)},
            st.integers(0, 120), st.integers(0, 120),
        ),
        st.sampled_from([{"const": ["pave", "roof"]}, {"enum": ["a", [1, 2]]}, {"const": "ü\"x"}]),
    ),
    lambda inner: st.one_of(
        st.builds(
            lambda fields: {
                "type": "object", "properties": fields, "required": list(fields),
                "additionalProperties": False,
            },
            st.dictionaries(st.sampled_from(["act", "to", "take", "é"]), inner, min_size=1),
        ),
        st.builds(lambda a, b: {"anyOf": [a, b]}, inner, inner),
    ),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(schema=SCHEMAS, seed=st.integers(0, 2**32))
def test_random_replies_are_legal_canonical_and_no_longer_than_the_bound(
    grammars: Grammars, schema: dict[str, Any], seed: int
) -> None:
    rng = random.Random(seed)
    matcher, bound = grammars.start(schema)
    ids: list[int] = []
    while not ids or ids[-1] != 3:
        packed = torch.stack([grammars.anything, grammars.fill([matcher])[0]])
        legal = grammars.spread(packed, CPU)
        assert legal[0].all()
        left = legal[1].nonzero().flatten().tolist()
        assert grammars.only(matcher) == (left[0] if len(left) == 1 else None)
        ids.append(rng.choice(left))
        assert matcher.consume_token(ids[-1])
    text = grammars.text(ids[:-1])
    value = json.loads(text)
    assert json.dumps(value, ensure_ascii=False, separators=(",", ":")) == text
    assert bound == longest(schema)
    assert bound is not None
    assert len(text) - text.count("\\") <= bound


def test_what_has_no_bound_or_no_grammar(grammars: Grammars) -> None:
    assert longest({"type": "string"}) is None
    assert longest({"type": "number", "minimum": 0, "maximum": 9.5}) == 24
    assert longest({"anyOf": [{"const": 1}, {"type": "array", "items": {"const": 1}}]}) is None
    assert longest({"type": "array", "items": {"const": 10}, "maxItems": 3}) == len("[10,10,10]")
    assert longest({"type": "array", "prefixItems": [{"type": "null"}], "items": False}) == 6
    with pytest.raises(ValueError, match="unicorn"):
        grammars.start({"type": "unicorn"})


def turns(system: str = "rules", user: str = "hello") -> list[Any]:
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": user},
        {"role": "assistant", "content": '{"act":"inform"}'},
        {"role": "user", "content": "(1 left)"},
    ]


def test_clean_talk_is_tokenised_as_the_template_has_it() -> None:
    words = tiny.tokenizer(tiny.CHATML)
    form = ChatForm.of(words)
    expected = words.apply_chat_template(turns(), add_generation_prompt=True, return_dict=False)
    assert form.style == "template"
    assert form.ids(turns()) == expected


def test_a_template_without_a_system_turn_gets_it_in_the_first_user_turn() -> None:
    form = ChatForm.of(tiny.tokenizer(tiny.GEMMA))
    assert form.style == "merged"
    assert form.text(turns()).startswith("<bos><start_of_turn>user\nrules\n\nhello<end_of_turn>\n")


def test_a_model_without_a_template_gets_labels() -> None:
    form = ChatForm.of(tiny.tokenizer(None))
    assert form.text(turns()) == (
        'System:\nrules\n\nUser:\nhello\n\nAssistant:\n{"act":"inform"}\n\nUser:\n(1 left)\n\n'
        "Assistant:\n"
    )


def test_a_template_that_refuses_is_the_users_to_mend() -> None:
    words = tiny.tokenizer("{{ raise_exception('only tools') }}")
    with pytest.raises(MootError, match=r"camp: its chat template .*\(only tools\); remove"):
        ChatForm.of(words, "camp")
    words = tiny.tokenizer("{{ messages[0]['content'] }}")
    with pytest.raises(MootError, match="leaves turns out"):
        ChatForm.of(words, "camp")


def test_the_prompt_does_not_know_what_day_it_is() -> None:
    dated = "{{ strftime_now('%d %b %Y') }}{{ date_string }}" + tiny.CHATML
    assert ChatForm.of(tiny.tokenizer(dated)).text(turns()).startswith("01 Jan 202601 Jan 2026<|im")


def test_a_thought_that_the_template_opens_is_closed_when_not_wanted() -> None:
    opened = tiny.CHATML.replace(
        "assistant\n' }}{% endif %}", "assistant\n<think>\n' }}{% endif %}"
    )
    form = ChatForm.of(tiny.tokenizer(opened))
    assert form.text(turns()).endswith("assistant\n<think>\n\n</think>\n\n")
    assert form.text(turns(), think=True).endswith("assistant\n<think>\n")


SPELLINGS = st.sampled_from(
    [*tiny.SPECIAL, "<|", "|>", "im_end", "<think>", "</", "<", " ", "a", "\n"]
)


@settings(max_examples=100, deadline=None)
@given(content=st.lists(SPELLINGS, max_size=8).map("".join))
def test_no_content_spells_a_special_token(content: str) -> None:
    form = ChatForm.of(tiny.tokenizer(tiny.CHATML))
    special = set(form.tokenizer.all_special_ids) | set(range(len(tiny.SPECIAL)))
    ids = form.ids(turns(user=content))
    assert sum(i in special for i in ids) == sum(i in special for i in form.ids(turns()))
    assert form.harmless(content).replace(" ", "") == content.replace(" ", "")
    assert form.harmless("plain words <b>|im_end|") == "plain words <b>|im_end|"


def test_half_a_character_from_another_agent_does_no_harm() -> None:
    form = ChatForm.of(tiny.tokenizer(tiny.CHATML))
    assert form.ids(turns(user=json.loads('"so \\ud800?"'))) == form.ids(turns(user="so ??"))


def past(tokens: list[int]) -> Past:
    values = torch.tensor(tokens, dtype=torch.float32).reshape(1, -1, 1)
    return Past(tokens, [values], [-values])


def test_kept_pasts_are_found_by_their_longest_common_start() -> None:
    kept = Kept(1000)
    kept.add("ann", past([1, 2, 3, 4]))
    kept.add("rules", past([1, 2]))
    assert kept.longest(["ann", "rules"], [1, 2, 3, 9])[0] == 3
    assert kept.longest(["bob", "rules"], [1, 2, 3, 9])[0] == 2
    assert kept.longest(["ann"], [1, 2, 3])[0] == 2  # the last token's logits are still needed
    assert kept.longest(["ann"], [5]) == (0, None)
    assert kept.longest(["cleo"], [1, 2]) == (0, None)


def test_the_least_recently_used_past_goes_first() -> None:
    kept = Kept(3 * 16)
    for name in ("ann", "bob", "cleo"):
        kept.add(name, past([1, 2]))  # 16 bytes each
    kept.longest(["ann"], [1, 2, 3])
    kept.add("dora", past([1, 2]))
    assert [n for n in ("ann", "bob", "cleo", "dora") if kept.longest([n], [1, 2, 3])[0]] == [
        "ann", "cleo", "dora",
    ]  # fmt: skip
    kept.add("ann", past([1, 2, 3, 4]))  # replaces, so only one other has to go
    assert [n for n in ("ann", "cleo", "dora") if kept.longest([n], [1, 2, 3])[0]] == [
        "ann",
        "dora",
    ]
    kept.clear()
    assert kept.longest(["ann"], [1, 2, 3]) == (0, None)


def test_a_slab_moves_rows_and_grows() -> None:
    slab = Slab([LayerShape(1, 1, 1, torch.float32, CPU)], rows=3, slots=4)
    slab.put(0, past([5, 6]), 2)
    slab.put(1, past([7, 8, 9]), 3)
    slab.put(2, past([3, 4]), 1)
    assert slab.keys[0][:, 0, :4, 0].tolist() == [[5, 6, 0, 0], [7, 8, 9, 0], [3, 0, 0, 0]]
    slab.swap(1, 2, 3)
    slab.move(2, 0, 3)
    assert slab.values[0][:, 0, :4, 0].tolist() == [[-7, -8, -9, 0], [-3, 0, 0, 0], [-7, -8, -9, 0]]
    slab.resize(rows=4, slots=6, live=2, filled=2)
    assert slab.keys[0][:, 0, :6, 0].tolist() == [
        [7, 8, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0], [0] * 6, [0] * 6,
    ]  # fmt: skip
    assert slab.take(0, [7, 8]).values[0].flatten().tolist() == [-7, -8]
    slab.clear(0)
    assert slab.keys[0][0].count_nonzero() == 0


@given(st.lists(st.lists(st.integers(0, 1), max_size=6), min_size=1, max_size=5))
def test_common_start(lists: list[list[int]]) -> None:
    n = common(lists)
    assert len({tuple(x[:n]) for x in lists}) == 1
    assert len({tuple(x[: n + 1]) for x in lists}) > 1 or min(map(len, lists)) == n
