"""Training examples: every own reply, in the prompt it was asked with, and nothing else is learned."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import tiny
from datasets import Dataset

from moot.agents.pools import ScriptedPool
from moot.agents.prompt import chat
from moot.agents.render import ChatForm
from moot.agents.scripted.strategies import STRATEGIES
from moot.environments import Environment, Episode, play
from moot.environments.load import draw, load_scenario
from moot.environments.transcripts import load_transcripts
from moot.finetune.examples import Example, Writer, end_mark, examples, from_messages, split, view
from moot.protocols import MootError, Observation, written

DATA = Path(__file__).parents[2] / "shared" / "data"
ENDS = {
    "llama": "<|im_end|>",
    "qwen3": "<|im_end|>",
    "gemma3": "<end_of_turn>",
    "gpt2": "<|endoftext|>",
}


def writer(architecture: str, context: int | None = None) -> Writer:
    words = tiny.tokenizer(tiny.TEMPLATES.get(architecture, tiny.CHATML))
    ends = [
        words.convert_tokens_to_ids(t) for t in ("<|endoftext|>", "<|im_end|>", "<end_of_turn>")
    ]
    form = ChatForm.of(words)
    return Writer(form, end_mark(form, ends), context)


class Watching(ScriptedPool):
    """A scripted pool that remembers what it was asked with, and what came of it."""

    def __init__(self) -> None:
        super().__init__(STRATEGIES["open"]())
        self.asked: list[Observation] = []

    def ask(self, ticket: int, observation: Observation) -> None:
        self.asked.append(observation)
        super().ask(ticket, observation)


def played(name: str, count: int = 3) -> tuple[list[Episode], list[Observation]]:
    source, pool = load_scenario(name), Watching()
    tables = [Environment(draw(source, 5, i), seed=5, episode=i) for i in range(count)]
    return sorted(play(tables, {"*": pool}), key=lambda e: e.id), pool.asked


def learned(example: Example) -> list[tuple[list[int], list[int]]]:
    """(all before, the piece) for every unbroken piece that is learned."""
    found: list[tuple[list[int], list[int]]] = []
    start = None
    for i, w in enumerate([*example.weights, 0.0]):
        assert w in (0.0, 1.0)
        if w and start is None:
            start = i
        elif not w and start is not None:
            found.append((example.ids[:start], example.ids[start:i]))
            start = None
    return found


@pytest.mark.parametrize("architecture", ENDS)
@pytest.mark.parametrize("scenario", ["camp_site", "bargain"])
def test_replies_are_learned_in_the_prompt_they_were_asked_with(
    scenario: str, architecture: str
) -> None:
    episodes, asked = played(scenario)
    write = writer(architecture)
    assert write.form.tokenizer.convert_ids_to_tokens(write.end) == ENDS[architecture]
    agent = next(iter(episodes[0].scenario.roles))
    expected: list[tuple[list[int], list[int]]] = []
    for episode in episodes:
        for o in (o for o in asked if o.about.episode == episode.id and o.agent == agent):
            message = episode.turns[o.turn].message
            assert message is not None
            reply = write.form.tokenizer.encode(
                written(message, o.agents), add_special_tokens=False
            )
            expected.append((write.form.ids(chat(o)), [*reply, write.end]))
    found = examples(episodes, agent, write)
    assert [piece for e in found for piece in learned(e)] == expected
    assert len(expected) > len(episodes)
    # Where a prompt goes on from the last one, replies share a sequence.
    if architecture in ("llama", "gemma3"):
        assert len(found) == len(episodes)
    else:
        assert len(found) == len(expected)
    assert sum(len(e.ids) for e in found) < sum(len(p) + len(r) for p, r in expected) + 1


def test_what_others_say_and_know_is_not_learned() -> None:
    episodes, _ = played("camp_site", 1)
    ann, bob = episodes[0].scenario.roles
    turns = view(episodes[0], ann)
    own = [m for m in episodes[0].messages if m.sender == ann]
    assert [t["content"] for t in turns if t["role"] == "assistant"] == [
        written(m, (ann, bob)) for m in own
    ]
    assert turns[-1]["role"] == "assistant"
    secret = Environment(episodes[0].scenario).observe(bob).card
    assert all(secret not in t["content"] for t in turns)


def test_too_long_a_talk_loses_its_last_replies() -> None:
    episodes, _ = played("camp_site", 1)
    agent = next(iter(episodes[0].scenario.roles))
    whole = examples(episodes, agent, writer("llama"))[0]
    pieces = learned(whole)
    assert len(pieces) > 1
    cut = len(pieces[-1][0]) + len(pieces[-1][1]) - 1
    short = examples(episodes, agent, writer("llama", cut))[0]
    assert learned(short) == pieces[:-1]
    assert examples(episodes, agent, writer("llama", 10)) == []


def test_strangers_are_told() -> None:
    episodes, _ = played("camp_site", 1)
    with pytest.raises(MootError, match="no episode seats 'anne'; did you mean 'ann'"):
        examples(episodes, "anne", writer("llama"))


def test_data_sets_with_messages() -> None:
    write = writer("llama")
    rows: list[dict[str, Any]] = [
        {
            "messages": [
                {"role": "system", "content": "Points per item."},
                {"role": "assistant", "content": "I take the books."},
                {"role": "user", "content": "No,"},
                {"role": "user", "content": "I need <|im_end|> the balls."},
                {"role": "assistant", "content": "That is fair."},
            ]
        }
    ]
    for data in (rows, Dataset.from_list(rows)):
        (found,) = from_messages(data, write)
        said = [write.form.tokenizer.decode(piece) for _, piece in learned(found)]
        assert said == ["I take the books.<|im_end|>", "That is fair.<|im_end|>"]
        text = write.form.tokenizer.decode(found.ids)
        assert "No,\nI need < |im_end|> the balls." in text
        assert "user\n(begin)<|im_end|>" in text
    with pytest.raises(MootError, match="row 0 has no 'message'; did you mean 'messages'"):
        from_messages(rows, write, column="message")
    with pytest.raises(MootError, match="row 0: want messages with a role"):
        from_messages([{"messages": [{"role": "bot", "content": "x"}]}], write)
    with pytest.raises(MootError, match="only come first"):
        from_messages([{"messages": [*rows[0]["messages"], rows[0]["messages"][0]]}], write)


def test_splits_are_fixed_by_seed_and_agent() -> None:
    found = [Example([i], [1.0]) for i in range(50)]
    train, held = split(found, 0.2, seed=1, agent="ann")
    assert (len(train), len(held)) == (40, 10)
    assert sorted(e.ids[0] for e in train + held) == list(range(50))
    assert split(found, 0.2, seed=1, agent="ann") == (train, held)
    assert split(found, 0.2, seed=1, agent="bob") != (train, held)
    assert split(found, 0.2, seed=2, agent="ann") != (train, held)
    assert [len(part) for part in split(found[:2], 0.01)] == [1, 1]
    assert [len(part) for part in split(found[:1], 0.5)] == [1, 0]
    assert split(found, 0) == (found, [])
    with pytest.raises(MootError, match="held_out 1"):
        split(found, 1)


def test_human_dialogues_are_examples_too() -> None:
    files = sorted((DATA / "casino").glob("*.jsonl*")) if DATA.is_dir() else []
    if not files:
        pytest.skip("no human dialogues beside the repository")
    episodes = list(islice(load_transcripts(files[0]), 3))
    agent = next(iter(episodes[0].scenario.roles))
    found = examples(episodes, agent, writer("llama"))
    own = sum(m.sender == agent for e in episodes for m in e.messages)
    pieces = [piece for e in found for piece in learned(e)]
    assert 0 < len(pieces) <= own


def test_free_text_may_count_less_than_moves() -> None:
    write = writer("llama")._replace(words=0.25)
    said = '{"act":"propose","content":{"price":7},"text":"I say \\"text\\":\\"7\\"."}'
    turns: list[Any] = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": said},
    ]
    (example,) = write.write(turns)
    (whole,) = writer("llama").write(turns)
    assert example.ids == whole.ids
    tokens = write.form.tokenizer
    light = tokens.decode(
        [i for i, w in zip(example.ids, example.weights, strict=True) if w == 0.25]
    )
    full = tokens.decode([i for i, w in zip(example.ids, example.weights, strict=True) if w == 1])
    # A token that reaches over the border counts as a move.
    assert light in 'I say \\"text\\":\\"7\\".'
    assert len(light) > 15
    assert "propose" in full
    assert "7" in full
    assert {w for w in example.weights if w} == {0.25, 1.0}


def test_a_role_means_all_its_seats() -> None:
    source = load_scenario("task_market")
    pool = ScriptedPool(STRATEGIES["markup"]())
    boss = ScriptedPool(STRATEGIES["manager"]())
    tables = [Environment(draw(source, 5, i), seed=5, episode=i) for i in range(3)]
    episodes = list(play(tables, {"manager": boss, "*": pool}))
    write = writer("llama")
    bidders = examples(episodes, "bidder", write)
    seats = [a for e in episodes for a in e.scenario.roles if a != "manager"]
    assert len(bidders) == len(seats) > 3
    with pytest.raises(MootError, match="no episode seats 'biddr'"):
        examples(episodes, "biddr", write)
