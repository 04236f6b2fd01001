"""Agents of one bank in one pool: every reply is the one that its own adapter gives alone."""

from __future__ import annotations

import gc
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from peft import (
    IA3Config,
    LoraConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptTuningConfig,
    get_peft_model,
)  # fmt: skip
from safetensors.torch import load_file, save_file
from test_bank import shaken, words
from test_language import answers, masked_steps, observations, tables

import moot
from moot.agents.adapters import Owners
from moot.agents.language import LanguagePool, language_pool
from moot.agents.load import Loaded, load
from moot.agents.seats import NANO, seat, seat_all
from moot.environments import play
from moot.finetune.bank import AdapterBank
from moot.finetune.methods.bottleneck import Bottleneck
from moot.finetune.methods.ia3 import IA3
from moot.finetune.methods.lora import LoRA
from moot.finetune.methods.prefix import Prefix, Prompt
from moot.finetune.opened import open_bank, open_banks
from moot.protocols import MootError, Observation, Reply

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*gradient_checkpointing.*:FutureWarning"  # peft asks transformers by the old name
)
AGENTS = ("ann", "bob", "cleo")
OWNERS = ("bob", None, "ann", "cleo")
SPECS: dict[str, Any] = {
    "lora": LoRA(rank={"ann": 2, "bob": 4, "cleo": 3}, targets="all-linear"),
    "bottleneck": Bottleneck(size={"ann": 2, "bob": 4, "cleo": 3}),
    "ia3": IA3(),
    "prefix": Prefix(tokens=3),
    "prompt": Prompt(tokens=24),
}
FAR = {"lora": 0.3, "bottleneck": 0.3, "ia3": 1.0, "prefix": 3.0, "prompt": 2.0}
"""How far the adapters are from where they start, so that they say other things than the base."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Architecture -> folder of its tiny model, made when first asked for."""
    made: dict[str, Path] = {}

    def folder(architecture: str) -> Path:
        if architecture not in made:
            made[architecture] = tiny.save(tmp_path_factory.mktemp(architecture), architecture)
        return made[architecture]

    return folder


@pytest.fixture
def banked(folders: Callable[[str], Path]) -> Iterator[Callable[..., tuple[Loaded, AdapterBank]]]:
    """Architecture, method -> a model and a bank of three unlike agents on it."""
    made: list[AdapterBank] = []

    def bank(architecture: str, method: str) -> tuple[Loaded, AdapterBank]:
        loaded = load(folders(architecture), device="cpu", dtype="float32")
        made.append(shaken(AdapterBank(loaded.model, SPECS[method], AGENTS), FAR[method]))
        return loaded, made[-1]

    yield bank
    for one in made:
        one.close()


def said(replies: Sequence[Reply]) -> list[tuple[int, ...]]:
    assert [r.error for r in replies] == [None] * len(replies)
    return [r.token_ids for r in replies]


def in_turn(owners: Sequence[str | None]) -> Owners:
    """The first question is the first owner's, and so on, round and round."""
    turn = cycle(owners)
    return lambda observation: next(turn)


def pool(loaded: Loaded, bank: AdapterBank, owners: Owners, **options: Any) -> LanguagePool:
    return language_pool(
        loaded, {"temperature": 0, "max_tokens": 40, **options}, bank=bank, owners=owners
    )


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3"])
@pytest.mark.parametrize("method", SPECS)
def test_a_mixed_batch_says_what_each_agent_says_alone(
    method: str, architecture: str, banked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference has no cache, no padding and no company: the whole text for every token."""
    monkeypatch.setattr("moot.agents.decode.ROOM", 0.02)  # so that the slab has to grow
    loaded, bank = banked(architecture, method)
    asked = [o for o in observations(2, max_text=12) for _ in OWNERS]
    mixed = pool(loaded, bank, in_turn(OWNERS))
    replies = answers(mixed, asked)
    found = said(replies)
    masses: list[float] = []
    for observation, owner, reply in list(zip(asked, cycle(OWNERS), replies, strict=False))[4:]:
        with bank.route([owner]) if owner else bank.plain():
            expected, plain, masks = masked_steps(
                mixed, observation, lambda logits, _: int(logits.argmax())
            )
        assert list(reply.token_ids) == expected, owner
        # What was probable, not only what was most probable.
        masses.append(sum(float(p[m].logsumexp(-1)) for p, m in zip(plain, masks, strict=True)))
        assert math.log(reply.legal_mass or 0) == pytest.approx(masses[-1], abs=2e-3)
    masses.sort()
    apart = min(b - a for a, b in pairwise(masses))
    assert apart > 0.02, "the adapters make no difference"
    assert mixed.engines.all[0].kept is not None
    assert found == said(answers(mixed, asked)), "from what was kept"
    assert found[1::4] == said(answers(language_pool(loaded, mixed.options), asked[1::4]))


def test_merged_models_say_the_same(
    banked: Any, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    loaded, bank = banked("llama", "lora")
    asked = observations(6, max_text=12)
    found = said(answers(pool(loaded, bank, in_turn(AGENTS)), asked))
    for k, agent in enumerate(AGENTS):
        folder = bank.merge(agent, tmp_path / agent, loaded.tokenizer)
        alone = language_pool(str(folder), {"temperature": 0, "max_tokens": 40, "device": "cpu"})
        assert said(answers(alone, asked[k::3])) == found[k::3]


@pytest.mark.parametrize("method", ["lora", "prompt"])
def test_games_do_not_turn_on_what_is_kept_or_who_else_plays(method: str, banked: Any) -> None:
    loaded, bank = banked("gemma3", method)

    def owner(observation: Observation) -> str | None:
        return OWNERS[(observation.key.episode + observation.agents.index(observation.agent)) % 4]

    def games(count: int, **options: Any) -> dict[int, str]:
        speakers = pool(loaded, bank, owner, temperature=1, max_tokens=None, **options)
        done = play(tables(count, max_text=12), {"*": speakers}, concurrent=count)
        return {e.id: " ".join(m.model_dump_json() for m in e.messages) for e in done}

    assert games(2, reuse=0, rows=1) == {k: v for k, v in games(6).items() if k < 2}


@pytest.mark.parametrize("method", SPECS)
def test_what_was_kept_goes_when_the_bank_learns(method: str, banked: Any) -> None:
    loaded, bank = banked("llama", method)
    asked = [o for o in observations(3, max_text=12) for _ in OWNERS]
    live = pool(loaded, bank, in_turn(OWNERS))
    before = said(answers(live, asked))
    for ticket, observation in enumerate(asked):
        live.ask(ticket, observation)
    done = dict(live.poll())
    assert len(done) < len(asked), "some are still being decoded when the bank changes"

    # A step of training, right after decoding, with activations recomputed.
    bank.checkpointing()
    ids = words(3)
    with bank.route(AGENTS):
        loss = bank.model(input_ids=ids, use_cache=False).logits.log_softmax(-1)[..., 0].mean()
        loss.backward()
    with torch.no_grad():
        for t in bank.tensors.values():
            assert t.grad is not None
            t.add_(100 * t.grad)
            t.grad = None

    while len(done) < len(asked):
        done |= dict(live.poll())
    fresh = said(answers(pool(loaded, bank, in_turn(OWNERS)), asked))
    late = [t for t in range(len(asked)) if done[t].token_ids != before[t]]
    assert late, "learning changed nothing"
    assert all(done[t].token_ids == fresh[t] for t in late)
    assert said(answers(live, asked)) == fresh
    assert fresh[1::4] == before[1::4], "the base model"


def test_the_base_may_change_too_when_the_pool_is_told(banked: Any) -> None:
    loaded, bank = banked("llama", "lora")
    asked = observations(4, max_text=12)
    live = pool(loaded, bank, {"*": "ann"})
    before = said(answers(live, asked))
    weight = loaded.model.get_submodule("model.layers.0.self_attn.v_proj").weight
    kept = weight.clone()
    weight.neg_()
    try:
        live.forget()
        after = said(answers(live, asked))
        assert after == said(answers(pool(loaded, bank, {"*": "ann"}), asked)) != before
    finally:
        weight.copy_(kept)


@pytest.mark.parametrize("method", ["prefix", "prompt"])
def test_virtual_tokens_take_room_in_the_context(method: str, banked: Any) -> None:
    loaded, bank = banked("gpt2", method)
    view = observations(1)[0]
    prompt = answers(pool(loaded, bank, {"*": None}), [view])[0].prompt_tokens or 0
    for room, fits in ((40 + bank.virtual, {None}), (41 + bank.virtual, {None, "ann"})):
        for owner in (None, "ann"):
            narrow = pool(loaded, bank, {"*": owner}, context=prompt + room)
            error = answers(narrow, [view])[0].error
            assert (error is None) == (owner in fits), (room, owner)
            assert error is None or "the context is too small" in error


def test_owners_are_found_by_seat_role_and_star(banked: Any) -> None:
    loaded, bank = banked("llama", "ia3")
    asked = [at_seat(o, "mia") for o in observations(2)[1:]]
    alone = {a: said(answers(pool(loaded, bank, {"*": a}), asked)) for a in (None, *AGENTS)}
    assert asked[0].role == "seller"
    for owners, owner in (
        ({"*": None, "seller": "cleo", "mia": "ann"}, "ann"),
        ({"*": None, "seller": "cleo", "bob": "ann"}, "cleo"),
        ({"*": "bob", "buyer": "cleo"}, "bob"),
        ({"*": "bob", "mia": None}, None),
    ):
        assert said(answers(pool(loaded, bank, owners), asked)) == alone[owner]
    assert len({tuple(tokens) for tokens in alone.values()}) == 4


def at_seat(observation: Observation, name: str) -> Observation:
    """The same view, of somebody called so."""
    return observation._replace(about=replace(observation.about, agent=name))


def test_mistakes_with_a_bank_are_told(banked: Any, folders: Callable[[str], Path]) -> None:
    loaded, bank = banked("llama", "lora")
    with pytest.raises(MootError, match="no agent 'clo' in the bank; did you mean 'cleo'"):
        pool(loaded, bank, {"*": "clo"})
    with pytest.raises(MootError, match="no agent 'dora' in the bank; known: ann, bob, cleo"):
        pool(loaded, bank, lambda o: "dora").ask(0, observations(1)[0])
    with pytest.raises(MootError, match=r"nobody owns seat .*; name an agent"):
        pool(loaded, bank, {"mia": "ann"}).ask(0, observations(1)[0])
    with pytest.raises(MootError, match="a bank and owners together"):
        language_pool(loaded, bank=bank)
    other = load(folders("llama"), device="cpu", dtype="bf16")
    with pytest.raises(MootError, match=r"make the bank on loaded\.model"):
        language_pool(other, bank=bank, owners={"*": "ann"})
    with pytest.raises(MootError, match="seat the spec instead"):
        language_pool(str(folders("llama")), {"adapter": "somewhere"})


def exported(bank: AdapterBank, folder: Path) -> dict[str, Path]:
    return {agent: bank.export(agent, folder / agent) for agent in bank.agents}


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("method", SPECS)
def test_folders_open_as_the_bank_they_came_from(
    method: str, architecture: str, tmp_path: Path
) -> None:
    model = tiny.model(architecture, 60).eval()
    bank = shaken(AdapterBank(model, SPECS[method], AGENTS))
    ids = words(4)
    with torch.no_grad(), bank.route(OWNERS):
        expected = model(input_ids=ids).logits
    first = exported(bank, tmp_path / "first")
    bank.close()
    again = open_bank(model, first)
    assert again.agents == AGENTS
    with torch.no_grad(), again.route(OWNERS):
        assert torch.equal(model(input_ids=ids).logits, expected)
    for agent, folder in exported(again, tmp_path / "second").items():
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            assert (folder / name).read_bytes() == (first[agent] / name).read_bytes(), name


PEFT: dict[str, Any] = {
    "lora": LoraConfig(r=3, lora_alpha=7, target_modules=["q_proj", "v_proj"]),
    "rslora": LoraConfig(r=2, use_rslora=True, target_modules="all-linear"),
    "pattern": LoraConfig(r=2, target_modules=r".*\.(q|down)_proj"),
    "one-layer": LoraConfig(r=2, target_modules=["q_proj"], layers_to_transform=[1]),
    "ia3": IA3Config(),
    "ia3-one": IA3Config(target_modules=r".*0.*\.(k|down)_proj", feedforward_modules=r".*down_proj"),
    "prefix": PrefixTuningConfig(num_virtual_tokens=4),
    "prompt": PromptTuningConfig(num_virtual_tokens=4),
}  # fmt: skip


@pytest.mark.parametrize("name", PEFT)
def test_what_peft_itself_wrote_opens(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)  # peft draws its starts from the global generator
    PEFT[name].task_type = "CAUSAL_LM"
    trained: Any = get_peft_model(tiny.model("llama", 60).eval(), PEFT[name])
    with torch.no_grad():
        for i, p in enumerate(p for p in trained.parameters() if p.requires_grad):
            p.add_(0.2 * torch.randn(p.shape, generator=torch.Generator().manual_seed(i)))
    trained.save_pretrained(str(tmp_path))
    theirs: Any = PeftModel.from_pretrained(tiny.model("llama", 60), str(tmp_path)).eval()
    ids = words(2)
    bank = open_bank(tiny.model("llama", 60).eval(), {"ann": tmp_path})
    with torch.no_grad():
        expected = theirs(input_ids=ids).logits[:, -ids.shape[1] :]
        with bank.route(["ann", None]):
            found = bank.model(input_ids=ids).logits
        assert (found[0] - expected[0]).abs().max() < 1e-5 * expected.abs().max()
        assert (found[1] - expected[1]).abs().max() > 1e-2
    written = load_file(bank.export("ann", tmp_path / "again") / "adapter_model.safetensors")
    for key, t in load_file(tmp_path / "adapter_model.safetensors").items():
        assert torch.equal(t, written[key])


def test_ranks_and_scales_of_folders_may_differ(tmp_path: Path) -> None:
    model = tiny.model("llama", 60).eval()
    expected: dict[str, torch.Tensor] = {}
    folders: dict[str, Path] = {}
    ids = words(1)
    for name, spec in (("a", LoRA(rank=2, alpha=3)), ("b", LoRA(rank=5, alpha=9, rslora=True))):
        one = shaken(AdapterBank(model, spec, [name]))
        with torch.no_grad(), one.route([name]):
            expected[name] = model(input_ids=ids).logits
        folders[name] = one.export(name, tmp_path / name)
        one.close()
    bank = open_bank(model, folders)
    assert bank.fitted.ranks == [2, 5]
    for name, logits in expected.items():
        with torch.no_grad(), bank.route([name]):
            assert torch.allclose(model(input_ids=ids).logits, logits, atol=1e-4)


def edited(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    fields = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in fields.items() if v != "gone"}))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda f: f.rename(f.parent / "anna"), "no adapter folder .*/ann; did you mean 'anna'"),
    "no config": (
        lambda f: (f / "adapter_config.json").unlink(),
        "has no adapter_config.json, not an adapter; give a folder written by bank.export",
    ),
    "model": (lambda f: (f / "adapter_config.json").rename(f / "config.json"), "is a model, not an"),
    "no weights": (
        lambda f: (f / "adapter_model.safetensors").unlink(),
        "has no adapter_model.safetensors; save the adapter again",
    ),
    "pickle": (
        lambda f: (f / "adapter_model.safetensors").rename(f / "adapter_model.bin"),
        "only pickled weights, which are never opened; save the adapter again as safetensors",
    ),
    "torn": (lambda f: (f / "adapter_model.safetensors").write_bytes(b"x"), "cannot be read as an"),
    "torn config": (lambda f: (f / "adapter_config.json").write_text("{"), "cannot be read as an"),
    "list": (lambda f: (f / "adapter_config.json").write_text("[]"), "is no JSON object"),
    "kind": (lambda f: edited(f, peft_type="LOHA"), "of kind 'LOHA'; (did you mean|known)"),
    "no kind": (lambda f: edited(f, peft_type="gone"), "of kind 'None'; known: IA3, LORA, PREFIX"),
    "no rank": (lambda f: edited(f, r="gone"), "adapter_config.json: no 'r'; save the adapter again"),
    "bad rank": (lambda f: edited(f, r=-2), "adapter_config.json: rank.*: Input should be"),
    "wrong rank": (lambda f: edited(f, r=3), "has shape .*; was it trained on this model"),
    "dora": (lambda f: edited(f, use_dora=True), "uses use_dora, which a bank does not have"),
    "other model": (
        lambda f: shaken(AdapterBank(tiny.model("gpt2", 60), LoRA(), ["ann"])).export("ann", f),
        "is an adapter for another model: no linear layer is called 'c_attn'; this model has",
    ),
    "other size": (lambda f: wider(f), "has shape .*, the bank wants .*; was it trained on this"),
}  # fmt: skip


def wider(folder: Path) -> None:
    """An adapter for a model with twice as many features."""
    path = folder / "adapter_model.safetensors"
    save_file(
        {
            n: torch.cat([t, t], 1 if "lora_A" in n else 0).contiguous()
            for n, t in load_file(path).items()
        },
        path,
    )


@pytest.mark.parametrize("case", BAD)
def test_a_bad_adapter_is_named_with_its_remedy(
    case: str, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = AdapterBank(tiny.model("llama", 60), LoRA(), ["ann"]).export("ann", tmp_path / "ann")
    spoil, message = BAD[case]
    spoil(folder)
    with pytest.raises(MootError, match=message) as e:
        seat(f"hf:{folders('llama')}?adapter={folder}", open_banks)
    assert "\n" not in str(e.value)
    assert str(tmp_path) in str(e.value)
    hooks = load(folders("llama")).model.model.layers[0].self_attn.q_proj._forward_hooks
    assert not hooks, "the model is given back"


def test_one_bank_holds_one_kind(tmp_path: Path) -> None:
    model = tiny.model("llama", 60)
    folders = {
        name: AdapterBank(model, spec, [name]).export(name, tmp_path / name)
        for name, spec in (("a", LoRA()), ("b", LoRA(targets=("q_proj",))), ("c", LoRA(rank=2)))
    }
    with pytest.raises(MootError, match=r"/b and .*/a are unlike kinds of adapter"):
        open_bank(model, folders)
    assert [bank.agents for bank in open_banks(model, folders)] == [("a", "c"), ("b",)]
    with pytest.raises(MootError, match="no adapters to open"):
        open_bank(model, {})


def test_seats_that_differ_in_their_adapter_share_a_pool(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    base = f"hf:{folders('llama')}?device=cpu&temperature=0&max_tokens=40"
    loaded = load(folders("llama"), device="cpu")
    banks = {m: shaken(AdapterBank(loaded.model, s, AGENTS), FAR[m]) for m, s in SPECS.items()}
    asked = [o for o in observations(5) if not o.heard]
    expected: dict[str, Any] = {"base": said(answers(seat(base).pool, asked))}  # type: ignore[arg-type]
    specs = {"base": base}
    for method, bank in banks.items():
        for agent, folder in exported(bank, tmp_path / method).items():
            seats = pool(loaded, bank, {"*": agent})
            expected[f"{method} {agent}"] = said(answers(seats, asked))
            specs[f"{method} {agent}"] = f"{base}&adapter={folder}"
        bank.close()
    seats = seat_all(specs, open_banks)
    assert list(seats) == list(specs)
    assert {name: seats[name].spec for name in seats} == specs
    pools: dict[str, Any] = {name: s.pool for name, s in seats.items()}
    assert len({p.engines for p in pools.values()}) == len(SPECS)
    assert pools["base"].engines is pools["lora ann"].engines is pools["lora cleo"].engines
    assert {p.loaded for p in pools.values()} == {loaded}
    for name in seats:
        assert said(answers(pools[name], asked)) == expected[name], name
    del seats, pools
    gc.collect()
    assert loaded.model.config._attn_implementation == "sdpa"
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in loaded.model.modules())


def test_nano_plays_with_adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(NANO)
    bank = shaken(AdapterBank(loaded.model, LoRA(rank=4), ["ann", "bob"]), 0.05)
    folders = exported(bank, tmp_path)
    bank.close()
    with_adapters = {name: f"nano?adapter={folder}" for name, folder in folders.items()}

    def talk(agents: dict[str, Any], name: str) -> list[str]:
        run = moot.simulate("camp_site", agents=agents, episodes=3, seed=1, out=tmp_path / name)
        return [m.model_dump_json() for e in run.episodes() for m in e.messages]

    plain = talk({"*": "nano"}, "plain")
    both = talk(with_adapters, "both")
    assert both != plain
    assert both != talk({"*": with_adapters["ann"]}, "same")
    simulation = moot.Simulation("camp_site", agents=with_adapters, out=tmp_path / "pool")
    pools: list[Any] = [simulation.seats[name].pool for name in ("ann", "bob")]
    assert pools[0].engines is pools[1].engines
    assert simulation.seats["ann"].spec != simulation.seats["bob"].spec
    simulation.run.close()


def test_without_an_opener_adapters_are_refused(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = AdapterBank(tiny.model("llama", 60), LoRA(), ["ann"]).export("ann", tmp_path / "ann")
    with pytest.raises(MootError, match=r"adapters=moot\.finetune\.opened\.open_banks"):
        seat(f"hf:{folders('llama')}?adapter={folder}")


def test_scripted_seats_load_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, moot; "
        "moot.simulate('camp_site', agents={'*': 'scripted:linear'}, episodes=1, out=sys.argv[1]); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], check=False)
    assert done.returncode == 0
