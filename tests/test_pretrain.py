"""The recipe of the nano model in miniature, and the folder that ships."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from moot.finetune.nano.dialogues import lessons
from moot.finetune.nano.muon import orthogonal
from moot.finetune.nano.pretrain import Recipe, example, pretrain
from moot.finetune.nano.scenarios import HELD_OUT, PARAMETERS, draw
from moot.finetune.nano.tokenizer import render, train_tokenizer
from moot.protocols import Key, MootError

NANO = Path(__file__).parents[1] / "models" / "nano"
WORLDS = {"item_division": 0.6, "price_bargaining": 0.2, "task_allocation": 0.2}
TINY = Recipe(
    steps=12, batch=1024, games=40, drill=1, vocabulary=400, width=32, layers=2, heads=2, inner=48,
    warmup=2, save=4, lr=0.05, lr_rest=0.02, worlds=WORLDS,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    found = lessons(5, 0, 60, WORLDS)
    return train_tokenizer((t["content"] for one in found for t in one.chat), 600)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    out = tmp_path_factory.mktemp("whole")
    torch.set_num_threads(1)
    return out, [u.loss for u in pretrain(out, TINY)]


def test_a_miniature_recipe_learns(whole: tuple[Path, list[float]]) -> None:
    out, losses = whole
    assert len(losses) == TINY.steps
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])
    assert [p.name for p in (out / "checkpoints").iterdir()] == ["step-0000012"]
    model = AutoModelForCausalLM.from_pretrained(out)
    assert model.dtype == torch.float32


def test_an_interrupted_run_gives_the_same_weights(
    whole: tuple[Path, list[float]], tmp_path: Path
) -> None:
    first = list(
        itertools.islice(pretrain(tmp_path, TINY), 6)
    )  # stopped 2 steps after a checkpoint
    rest = list(pretrain(tmp_path, TINY, resume=True))
    assert [u.step for u in rest] == list(range(5, 13))
    assert [u.loss for u in first[:4]] + [u.loss for u in rest] == whole[1]
    assert same(weights(tmp_path), weights(whole[0]))


def test_nothing_global_is_reseeded(tmp_path: Path) -> None:
    torch.manual_seed(3)
    next(pretrain(tmp_path, TINY))
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))


def test_a_killed_run_leaves_a_sound_checkpoint(
    whole: tuple[Path, list[float]], tmp_path: Path
) -> None:
    code = (
        "import sys, torch; from pathlib import Path; torch.set_num_threads(1)\n"
        "from moot.finetune.nano.pretrain import Recipe, pretrain\n"
        "recipe = Recipe.model_validate_json(sys.argv[2])\n"
        "for u in pretrain(Path(sys.argv[1]), recipe): print(u.step, flush=True)\n"
    )
    eager = TINY.model_copy(update={"save": 1})  # nearly always writing when it is killed
    run = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), eager.model_dump_json()],
        stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(NANO.parents[1])},
    )  # fmt: skip
    assert run.stdout is not None
    while int(run.stdout.readline()) < 3:
        pass
    time.sleep(0.03)
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdout.close()
    rest = list(pretrain(tmp_path, TINY, resume=True))
    assert rest[0].step >= 4
    assert same(weights(tmp_path), weights(whole[0]))


def test_a_finished_run_can_be_prolonged_but_not_changed(
    whole: tuple[Path, list[float]], tmp_path: Path
) -> None:
    list(pretrain(tmp_path, TINY.model_copy(update={"steps": 4})))
    longer = TINY.model_copy(update={"steps": 6, "save": 3})
    assert [u.step for u in pretrain(tmp_path, longer, resume=True)] == [5, 6]
    with pytest.raises(MootError, match="begun with seed 1, not 2"):
        next(pretrain(tmp_path, TINY.model_copy(update={"seed": 2}), resume=True))
    with pytest.raises(MootError, match="holds a training run"):
        next(pretrain(tmp_path, TINY))
    with pytest.raises(MootError, match="no checkpoint to resume"):
        next(pretrain(tmp_path / "none", TINY, resume=True))


def test_games_are_those_of_their_seed() -> None:
    assert lessons(1, 2, 20, WORLDS) == lessons(1, 2, 20, WORLDS)
    assert lessons(1, 2, 20, WORLDS) != lessons(1, 3, 20, WORLDS)


def test_the_scenarios_of_the_evaluation_are_never_drawn() -> None:
    for i in range(300):
        s = draw("item_division", Key(1, i, "", 0).rng("test"))
        worth = [sum(r.values[k] * n for k, n in s.items.items()) for r in s.roles.values()]  # type: ignore[attr-defined]
        assert worth != [HELD_OUT, HELD_OUT]


def test_every_world_of_the_recipe_gives_lessons(tokenizer: PreTrainedTokenizerFast) -> None:
    worlds = Recipe().worlds
    assert set(worlds) == {"item_division", *PARAMETERS}
    for world in worlds:
        found = lessons(4, 0, 8, {world: 1.0})
        assert found
        assert {one.world for one in found} == {world}
        for one in found:
            assert [t["role"] for t in one.chat[1:]] == ["user", "assistant"] * (len(one.chat) // 2)


def test_only_own_messages_are_learned(tokenizer: PreTrainedTokenizerFast) -> None:
    """The text under the mask is exactly what was said, end mark included; the template agrees."""
    found = lessons(6, 0, 40, WORLDS)
    assert {one.world for one in found} == set(WORLDS)
    for one in found:
        made = example(tokenizer, one, words=0.5)
        chat = [dict(t) for t in one.chat]
        assert made.ids == tokenizer.apply_chat_template(chat)["input_ids"]
        assert tokenizer.apply_chat_template(chat, tokenize=False) == render(one.chat)
        learned = [i for i, w in zip(made.ids, made.weights, strict=True) if w]
        said = [t["content"] for t in one.chat if t["role"] == "assistant"]
        assert tokenizer.decode(learned) == "".join(f"{s}<|end|>" for s in said)
        # What it is asked with is the same prefix, up to where it speaks.
        asked = tokenizer.apply_chat_template(chat[:-1], add_generation_prompt=True)["input_ids"]
        assert made.ids[: len(asked)] == asked
        decided = [i for i, w in zip(made.ids, made.weights, strict=True) if w == 1.0]
        assert tokenizer.decode(decided) == "".join(s[: s.index('"text":"') + 8] for s in said)


@settings(max_examples=80, deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_encodes_and_digits_stand_alone(
    tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text
    ids = tokenizer.encode(f"{text} 1207,35", add_special_tokens=False)
    pieces = [tokenizer.decode([i]) for i in ids]
    assert [p for p in pieces if any(c in "0123456789" for c in p)][-6:] == list("120735")


def test_orthogonal_keeps_directions() -> None:
    torch.manual_seed(0)
    for shape in ((3, 8, 20), (2, 20, 8)):
        x = torch.randn(shape)
        y = orthogonal(x)
        sizes = torch.linalg.svdvals(y)
        assert sizes.min() > 0.6
        assert sizes.max() < 1.3
        u, _, vt = torch.linalg.svd(x, full_matrices=False)
        assert torch.nn.functional.cosine_similarity(y.flatten(1), (u @ vt).flatten(1)).min() > 0.9


def test_the_shipped_model() -> None:
    size = sum(p.stat().st_size for p in NANO.glob("*.safetensors"))
    assert 0 < size <= 12_000_000
    model = AutoModelForCausalLM.from_pretrained(NANO)
    tokenizer = AutoTokenizer.from_pretrained(NANO)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.config.vocab_size == len(tokenizer)
    assert tokenizer.decode(tokenizer.encode("né 10 \U0001f600\n")) == "né 10 \U0001f600\n"
    recipe = Recipe.model_validate_json((NANO / "recipe.json").read_text())
    found = lessons(99, 0, 30, recipe.worlds)
    nll, count = 0.0, 0.0
    for one in found[:24]:
        made = example(tokenizer, one, words=0.0)
        with torch.inference_mode():
            logits = model(torch.tensor([made.ids])).logits[0, :-1]
        weights_T = torch.tensor(made.weights[1:])
        losses = torch.nn.functional.cross_entropy(
            logits, torch.tensor(made.ids[1:]), reduction="none"
        )
        nll, count = nll + float((losses * weights_T).sum()), count + float(weights_T.sum())
    assert nll / count < 0.6  # nats per decided token
    assert (
        json.loads((NANO / "generation_config.json").read_text())["eos_token_id"]
        == tokenizer.eos_token_id
    )
