"""The bank: rows of different agents in one batch, an untouched base, slices that never meet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from moot.agents.attend import Feed
from moot.agents.cache import Slab
from moot.agents.load import load
from moot.finetune.bank import AdapterBank
from moot.finetune.keyed import generator, keep, number
from moot.finetune.methods.bottleneck import Bottleneck
from moot.finetune.methods.ia3 import IA3
from moot.finetune.methods.lora import LoRA
from moot.finetune.methods.lora_xs import LoRAXS
from moot.finetune.methods.prefix import Prefix, Prompt
from moot.protocols import MootError

AGENTS = ("ann", "bob", "cleo")
VOCABULARY = 60
SPECS: dict[str, Any] = {
    "lora": LoRA(rank={"ann": 2, "bob": 4, "cleo": 3}, targets="all-linear"),
    "rslora": LoRA(rank=4, rslora=True, dropout=0.1),
    "houlsby": Bottleneck(size={"ann": 2, "bob": 4, "cleo": 3}),
    "pfeiffer": Bottleneck(size=4, variant="pfeiffer", activation="gelu"),
    "prefix": Prefix(tokens=3),
    "mlp-prefix": Prefix(tokens=3, hidden=5),
    "prompt": Prompt(tokens=3),
    "ia3": IA3(),
    "lora_xs": LoRAXS(rank=4, targets="all-linear", dropout=0.1),
}


def made(architecture: str, spec: Any, agents: Any = AGENTS, dtype: Any = torch.float64) -> Any:
    return AdapterBank(tiny.model(architecture, VOCABULARY).to(dtype), spec, agents)


def shaken(bank: AdapterBank, size: float = 0.1) -> AdapterBank:
    """Every agent's tensors moved, by its name alone; the padding of mixed ranks stays zero."""
    ranks = getattr(bank.fitted, "ranks", None)
    for k, agent in enumerate(bank.agents):
        for name, t in bank.tensors.items():
            with torch.no_grad():
                noise = torch.randn(t.shape[1:], generator=generator(agent, name), dtype=t.dtype)
                if ranks is not None and name.endswith(("lora_A", "down.weight", "down.bias")):
                    noise[ranks[k] :] = 0
                if ranks is not None and name.endswith(("lora_B", "up.weight")):
                    noise[:, ranks[k] :] = 0
                t[k] += size * noise
    return bank


def words(rows: int, length: int = 40) -> Tensor:
    return torch.randint(VOCABULARY, (rows, length), generator=generator("ids"))


@pytest.mark.parametrize(
    ("spec", "architecture"),
    [(s, a) for s in SPECS for a in ("gemma3", "gpt2")]
    + [(s, a) for s in ("lora", "prefix") for a in ("llama", "qwen3", "mistral")],
)
def test_rows_of_all_agents_and_of_none_share_a_batch(spec: str, architecture: str) -> None:
    base = tiny.model(architecture, VOCABULARY).double().eval()
    ids = words(5)
    with torch.no_grad():
        plain = base(input_ids=ids).logits
        bank = shaken(AdapterBank(base, SPECS[spec], AGENTS))
        assert torch.allclose(base(input_ids=ids).logits, plain, atol=1e-11), "outside route"
        rows = ["bob", None, "ann", "cleo", "bob"]
        with bank.route(rows):
            mixed = base(input_ids=ids).logits
        for b, agent in enumerate(rows):
            with bank.route([agent]):
                alone = base(input_ids=ids[b : b + 1]).logits[0]
            assert torch.allclose(mixed[b], alone, atol=1e-11), agent
            moved = (mixed[b] - plain[b]).abs().max()
            assert moved < 1e-11 if agent is None else moved > 1e-3
        with bank.route(["ann", "ann", "bob", "bob", "cleo"][:4]):
            grouped = base(input_ids=ids[[2, 2, 0, 0]]).logits
        assert torch.allclose(grouped[0], mixed[2], atol=1e-11)
        assert torch.allclose(grouped[3], mixed[0], atol=1e-11)
        bank.close()
        assert torch.equal(base(input_ids=ids).logits, plain), "after close"


@pytest.mark.parametrize("spec", SPECS)
def test_wrapping_thaws_nothing_and_starts_from_the_base(spec: str) -> None:
    bank = made("qwen3", SPECS[spec])
    assert not any(p.requires_grad for p in bank.model.parameters())
    assert not bank.model.training
    ids = words(3, 12)
    before = {n: p.clone() for n, p in bank.model.named_parameters()}
    with bank.route(AGENTS):
        loss = bank.model(input_ids=ids, use_cache=False).logits.square().mean()
        loss.backward()
        with torch.no_grad():
            if spec not in ("prefix", "mlp-prefix", "prompt"):
                with bank.plain():
                    base = bank.model(input_ids=ids).logits
                assert torch.equal(bank.model(input_ids=ids).logits, base)
    for name, p in bank.model.named_parameters():
        assert p.grad is None, name
        assert torch.equal(p, before[name]), name


@pytest.mark.parametrize("spec", SPECS)
def test_gradients_of_other_agents_are_exactly_zero(spec: str) -> None:
    bank = shaken(made("llama", SPECS[spec]))
    ids = words(6, 9)
    for rows in (
        ["ann", "ann", "bob", "bob", "cleo", "cleo"],
        ["cleo", None, "bob", "ann", "bob", None],
    ):
        for k, agent in enumerate(AGENTS):
            with bank.route(rows):
                logits = bank.model(input_ids=ids, use_cache=False).logits
                own = torch.tensor([a == agent for a in rows])
                logits[own].square().sum().backward()
            for name, t in bank.tensors.items():
                assert t.grad is not None
                for other in range(3):
                    size = t.grad[other].abs().max()
                    assert (size > 0) == (other == k), (name, agent, other)
                t.grad = None


def test_padding_beyond_an_agents_rank_has_no_gradient() -> None:
    for spec, inner, outer in (
        ("lora", ("lora_A",), "lora_B"),
        ("houlsby", ("down.weight", "down.bias"), "up.weight"),
    ):
        bank = shaken(made("llama", SPECS[spec]))
        with bank.route(AGENTS):
            bank.model(input_ids=words(3), use_cache=False).logits.square().sum().backward()
        assert bank.fitted.ranks == [2, 4, 3]
        for name, t in bank.tensors.items():
            assert t.grad is not None
            for k, rank in enumerate(bank.fitted.ranks):
                if name.endswith(inner):
                    assert not t[k, rank:].any()
                    assert not t.grad[k, rank:].any()
                    assert t.grad[k, :rank].any()
                elif name.endswith(outer):
                    assert not t[k, :, rank:].any()
                    assert not t.grad[k, :, rank:].any()
                    assert t.grad[k, :, :rank].any()


def test_an_agent_that_went_nan_spoils_nobody() -> None:
    for spec in SPECS.values():
        bank = shaken(made("gemma3", spec))
        ids = words(3, 10)
        with torch.no_grad():
            with bank.route(AGENTS):
                clean = bank.model(input_ids=ids).logits
            for t in bank.tensors.values():
                t[0] = torch.nan
        with bank.route(["ann", "bob", None]):
            spoilt = bank.model(input_ids=ids, use_cache=False).logits
            spoilt.square().mean((1, 2)).sum().backward()
        assert spoilt[0].isnan().any()
        assert torch.allclose(spoilt[1], clean[1], atol=1e-11)
        assert spoilt[2].isfinite().all()
        for t in bank.tensors.values():
            assert t.grad is not None
            assert t.grad[1].isfinite().all()
            assert not t.grad[2].any()


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2"])
@pytest.mark.parametrize("spec", ["lora", "houlsby", "mlp-prefix", "prompt", "ia3"])
def test_checkpointing_changes_no_gradient(architecture: str, spec: str) -> None:
    chosen = SPECS[spec]
    if spec in ("lora", "houlsby"):
        chosen = chosen.model_copy(update={"dropout": 0.2})
    bank = shaken(made(architecture, chosen))
    ids, keys = words(4), torch.tensor([1, 2, 3, 4])

    def gradients() -> dict[str, Tensor]:
        with bank.route(["ann", "bob", "bob", None], dropout=keys):
            bank.model(input_ids=ids, use_cache=False).logits.square().mean().backward()
        found = {n: t.grad.clone() for n, t in bank.tensors.items() if t.grad is not None}
        for t in bank.tensors.values():
            t.grad = None
        return found

    kept = gradients()
    state = torch.random.get_rng_state()
    bank.checkpointing()
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    handle = bank.model.base_model.get_submodule(
        "h.0.ln_1" if architecture == "gpt2" else "layers.0.input_layernorm"
    ).register_forward_hook(count)
    again = gradients()
    handle.remove()
    assert calls >= 2, "nothing was recomputed"
    assert torch.equal(torch.random.get_rng_state(), state)
    bank.checkpointing(False)
    assert not any(m.training for m in bank.model.modules())
    for name, g in kept.items():
        assert torch.equal(g, again[name]), name


@pytest.mark.parametrize("spec", SPECS)
def test_bf16_autocast_and_a_bf16_base(spec: str) -> None:
    ids = words(3, 16)
    bank = shaken(made("llama", SPECS[spec], dtype=torch.float32), 0.02)
    assert {t.dtype for t in bank.tensors.values()} == {torch.float32}
    with bank.route(AGENTS):
        exact = bank.model(input_ids=ids, use_cache=False).logits
        with torch.autocast("cpu", torch.bfloat16):
            near = bank.model(input_ids=ids, use_cache=False).logits
            near.float().square().mean().backward()
        assert (near - exact).abs().max() < 0.5
        assert all(
            t.grad is not None and t.grad.dtype == torch.float32 for t in bank.tensors.values()
        )
    half = shaken(made("llama", SPECS[spec], dtype=torch.bfloat16), 0.02)
    assert {t.dtype for t in half.tensors.values()} == {torch.float32}
    with half.route(AGENTS):
        low = half.model(input_ids=ids, use_cache=False).logits
        low.float().square().mean().backward()
    assert low.dtype == torch.bfloat16
    assert (low - exact).abs().max() < 1.0


@pytest.mark.parametrize("architecture", ["mistral", "gpt2"])
@pytest.mark.parametrize("spec", ["lora", "houlsby", "prefix", "prompt", "ia3"])
def test_decoding_mixes_agents(architecture: str, spec: str, tmp_path: Path) -> None:
    """Prompts of unlike lengths, then one or two tokens a row into the decoder's cache, beyond the sliding
    window: the logits of every row are those of a full forward of its agent alone."""
    loaded = load(tiny.save(tmp_path, architecture), dtype="float32")
    bank = shaken(AdapterBank(loaded.model, SPECS[spec], AGENTS))
    owners, lengths, more = ["bob", None, "ann", "cleo"], [30, 9, 26, 17], [3, 2, 3, 1]
    texts = [words(1, n + 6)[0].roll(b) for b, n in enumerate(lengths)]
    longest = max(lengths)
    slab = Slab(loaded.layers, len(owners), longest + 6)
    padded = [
        torch.cat([t.new_zeros(longest - n), t[:n]]) for t, n in zip(texts, lengths, strict=True)
    ]

    def check(logits: Tensor, held: list[int]) -> None:
        for b, (owner, n) in enumerate(zip(owners, held, strict=True)):
            with bank.route([owner]):
                alone = loaded.model(input_ids=texts[b][None, :n]).logits[0, -1]
            assert torch.allclose(logits[b], alone, atol=1e-3), (n, owner)

    with torch.inference_mode():
        with bank.route(owners):
            feed = Feed.block([0, 1, 2, 3], lengths, longest, loaded.device)
            logits = loaded.next_logits(torch.stack(padded), feed, slab)
        check(logits, lengths)
        held = lengths
        for _ in range(2):
            sent = [t[h : h + m] for t, h, m in zip(texts, held, more, strict=True)]
            ids = torch.cat([torch.stack([s[-1] for s in sent]), *(s[:-1] for s in sent)])
            rows = owners + [o for o, m in zip(owners, more, strict=True) for _ in range(m - 1)]
            with bank.route(rows):
                feed = Feed.steps(more, held, loaded.device)
                logits = loaded.next_logits(ids[:, None], feed, slab)
            held = [h + m for h, m in zip(held, more, strict=True)]
            check(logits, held)
    bank.close()


@pytest.mark.parametrize("spec", ["prefix", "prompt"])
def test_routes_nest_and_virtual_tokens_need_room(spec: str) -> None:
    bank = shaken(made("gpt2", SPECS[spec]))
    ids = words(2, 12)
    bank.checkpointing()
    found: list[dict[str, Tensor]] = []
    for inner in (False, True):
        with bank.route(["ann", "bob"]):
            loss = bank.model(input_ids=ids, use_cache=False).logits.square().mean()
            if inner:
                with torch.no_grad(), bank.route(["cleo"]):
                    bank.model(input_ids=ids[:1])
            loss.backward()
        found.append({n: t.grad.clone() for n, t in bank.tensors.items() if t.grad is not None})
        for t in bank.tensors.values():
            t.grad = None
    assert found[0]
    assert all(torch.equal(g, found[1][n]) for n, g in found[0].items())
    short = AdapterBank(tiny.model("gpt2", VOCABULARY, context=14), SPECS[spec], AGENTS)
    with (
        pytest.raises(MootError, match="shorten the examples by 1 tokens"),
        short.route(["ann"] * 2),
    ):
        short.model(input_ids=ids)


def test_masks_depend_on_their_key_and_place_alone() -> None:
    keys = torch.tensor([number("ann", 0), number("bob", 0)])
    one = keep(keys, number("layer"), 50, 64, 0.25)
    assert abs(one.double().mean() - 0.75) < 0.01
    assert torch.equal(keep(keys[1:], number("layer"), 30, 64, 0.25)[0], one[1, :30])
    assert not torch.equal(one[0], one[1])
    assert not torch.equal(keep(keys, number("other"), 50, 64, 0.25), one)
    # Neither rows nor columns are copies of each other.
    flat = one[0].double() - 0.75
    for other in (flat.roll(1, 0), flat.roll(1, 1), flat.roll(7, 0)):
        assert abs((flat * other).mean() / flat.var()) < 0.06


def test_start_is_the_same_or_each_agents_own() -> None:
    same = AdapterBank(tiny.model("llama", VOCABULARY), LoRA(), AGENTS, seed=3)
    a = same.tensors["model.layers.0.self_attn.q_proj.lora_A"]
    assert torch.equal(a[0], a[2])
    assert a.abs().max() <= 32**-0.5
    same.close()
    own = AdapterBank(tiny.model("llama", VOCABULARY), LoRA(), AGENTS, seed=3, start="own")
    b = own.tensors["model.layers.0.self_attn.q_proj.lora_A"]
    assert not torch.equal(b[0], b[2])
    own.close()
    fewer = AdapterBank(tiny.model("llama", VOCABULARY), LoRA(), ["cleo"], seed=3, start="own")
    assert torch.equal(fewer.tensors["model.layers.0.self_attn.q_proj.lora_A"][0], b[2])


def test_slices_and_states_come_and_go_whole() -> None:
    bank = shaken(made("llama", SPECS["lora"]))
    state, bob = bank.state(), bank.slice("bob")
    shaken(bank)
    bank.set_slice("bob", bob)
    for name, t in bank.tensors.items():
        assert torch.equal(t[1], state[name][1])
        assert not torch.equal(t[2], state[name][2])
    with pytest.raises(MootError, match="shape"):
        bank.set_slice("bob", {n: t[..., :1] for n, t in bob.items()})
    with pytest.raises(MootError, match="lacks"):
        bank.load_state(dict(list(state.items())[1:]))
    with pytest.raises(MootError, match="unknown"):
        bank.load_state({**state, "x": torch.zeros(3)})
    bank.load_state(state)
    assert all(torch.equal(t, state[n]) for n, t in bank.tensors.items())


@pytest.mark.parametrize(
    ("spec", "agents", "says"),
    [
        (LoRA(targets=("q_prj",)), AGENTS, "no linear layer is called 'q_prj'; this model has"),
        (LoRA(targets="("), AGENTS, "no regular expression"),
        (LoRA(rank={"ann": 2}), AGENTS, "nothing for agent 'bob'"),
        (LoRA(rank={"ann": 2, "bob": 2, "cloe": 2, "cleo": 1}), AGENTS, "did you mean 'cleo'"),
        (LoRA(), ("ann", "ann"), "each once"),
        (LoRA(), (), "one or more names"),
        (IA3(targets=("k_proj",), feedforward=("down_proj",)), AGENTS, "none of the targets"),
    ],
)
def test_mistakes_are_told(spec: Any, agents: Any, says: str) -> None:
    with pytest.raises(MootError, match=says.replace("(", r"\(")):
        made("llama", spec, agents)


def test_strangers_and_wrong_batches_are_told() -> None:
    bank = made("llama", LoRA())
    with pytest.raises(MootError, match="did you mean 'cleo'"), bank.route(["clo"]):
        pass
    with pytest.raises(MootError, match="-1"), bank.route([3]):
        pass
    assert bank.active is None
    with pytest.raises(MootError, match="one agent per row"), bank.route(["ann"]):
        bank.model(input_ids=words(2))


def test_patterns_and_names_choose_the_same_layers() -> None:
    one = made("llama", LoRA(targets=r".*layers\.1\..*(q|v)_proj"))
    assert list(one.fitted.layers) == [f"model.layers.1.self_attn.{x}_proj" for x in "qv"]
    two = made("gpt2", LoRA(targets=("mlp.c_proj",)))
    assert list(two.fitted.layers) == [f"transformer.h.{i}.mlp.c_proj" for i in (0, 1)]
    assert "lm_head" not in made("llama", LoRA(targets="all-linear")).fitted.layers
