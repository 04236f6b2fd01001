"""Out of the bank and back: plain peft opens what is written, and gives the same numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from test_bank import VOCABULARY, shaken, words
from torch import Tensor
from transformers import AutoModelForCausalLM

from moot.finetune.bank import AdapterBank
from moot.finetune.methods.bottleneck import Bottleneck
from moot.finetune.methods.ia3 import IA3
from moot.finetune.methods.lora import LoRA
from moot.finetune.methods.lora_xs import LoRAXS
from moot.finetune.methods.prefix import Prefix, Prompt
from moot.protocols import MootError

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*gradient_checkpointing.*:FutureWarning"  # peft asks transformers by the old name
)
MIXED = LoRA(rank={"ann": 2, "bob": 5}, targets="all-linear", alpha=8)
SPECS: dict[str, Any] = {
    "lora": MIXED,
    "rslora": LoRA(rank=3, rslora=True),
    "ia3": IA3(),
    "lora_xs": LoRAXS(rank=4, alpha=8, targets="all-linear"),
    "prefix": Prefix(tokens=3),
    "mlp-prefix": Prefix(tokens=3, hidden=5),
    "prompt": Prompt(tokens=3),
}


def base(architecture: str = "llama") -> Any:
    return tiny.model(architecture, VOCABULARY).eval()


def bank_of(spec: Any, architecture: str = "llama", agents: Any = ("ann", "bob")) -> AdapterBank:
    return AdapterBank(base(architecture), spec, agents)


def near(a: Tensor, b: Tensor) -> bool:
    """To 1e-5 of the largest logit."""
    return bool((a - b).abs().max() < 1e-5 * max(1.0, float(b.abs().max())))


@torch.no_grad()
def says(bank: AdapterBank, agent: str | None, ids: Tensor) -> Tensor:
    with bank.route([agent] * len(ids)):
        return bank.model(input_ids=ids).logits


@pytest.mark.parametrize(
    ("spec", "architecture"),
    [(s, a) for s in ("lora", "lora_xs", "prefix") for a in tiny.ARCHITECTURES]
    + [(s, a) for s in ("ia3", "prompt") for a in ("gemma3", "gpt2")]
    + [("rslora", "qwen3"), ("mlp-prefix", "mistral"), ("ia3", "qwen3"), ("prompt", "mistral")],
)
def test_peft_opens_a_slice_and_agrees(spec: str, architecture: str, tmp_path: Path) -> None:
    bank, ids = shaken(bank_of(SPECS[spec], architecture)), words(2)
    for agent in bank.agents:
        ours = says(bank, agent, ids)
        folder = bank.export(agent, tmp_path / agent)
        theirs: Any = PeftModel.from_pretrained(base(architecture), str(folder)).eval()
        with torch.no_grad():
            assert near(theirs(input_ids=ids).logits[:, -ids.shape[1] :], ours), agent
    assert not near(ours, says(bank, "ann", ids))


@pytest.mark.parametrize(
    "spec", ["lora", "rslora", "lora_xs", "ia3", "prefix", "prompt", "bottleneck"]
)
def test_a_folder_comes_back_into_another_bank(spec: str, tmp_path: Path) -> None:
    chosen = SPECS.get(spec, Bottleneck(size={"ann": 2, "bob": 5}))
    bank, ids = shaken(bank_of(chosen, "gpt2")), words(2)
    other = shaken(bank_of(chosen, "gpt2"), 0.3)
    before = says(other, "bob", ids)
    # ann's rank is the smaller one: it lands in bob's place, whose padding it must leave at zero, and back.
    other.load("bob", bank.export("ann", tmp_path / "ann"))
    assert not torch.equal(before, says(other, "bob", ids))
    assert near(says(other, "bob", ids), says(bank, "ann", ids))
    other.load("bob", bank.export("bob", tmp_path / "bob"))
    assert near(says(other, "bob", ids), says(bank, "bob", ids))


def test_what_peft_has_trained_comes_in(tmp_path: Path) -> None:
    model: Any = get_peft_model(
        base("qwen3"),
        LoraConfig(
            r=3, lora_alpha=7, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM"
        ),
    )
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.add_(
                    0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(len(name)))
                )
    model.save_pretrained(str(tmp_path))
    bank, ids = bank_of(LoRA(rank=4, targets=("q_proj", "down_proj")), "qwen3"), words(2)
    bank.load("bob", tmp_path)
    with torch.no_grad():
        assert near(says(bank, "bob", ids), model.eval()(input_ids=ids).logits)
        assert near(says(bank, "ann", ids), base("qwen3")(input_ids=ids).logits)
    written = bank.export("bob", tmp_path / "again")
    config = json.loads((written / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (3, 7)
    for name, t in load_file(tmp_path / "adapter_model.safetensors").items():
        assert torch.equal(t, load_file(written / "adapter_model.safetensors")[name])


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("spec", ["lora", "lora_xs", "ia3"])
def test_merged_models_need_nothing_else(architecture: str, spec: str, tmp_path: Path) -> None:
    """GPT-2's attention output layer is square and stored transposed: turned wrongly it still fits."""
    bank, ids = shaken(bank_of(SPECS[spec], architecture)), words(2)
    before = {n: p.clone() for n, p in bank.model.named_parameters()}
    tokenizer = tiny.tokenizer(None)
    folder = bank.merge("bob", tmp_path / "merged", tokenizer)
    merged: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        assert near(merged(input_ids=ids).logits, says(bank, "bob", ids))
    assert (folder / "tokenizer.json").is_file()
    assert not (folder / "adapter_config.json").exists()
    assert all(torch.equal(p, before[n]) for n, p in bank.model.named_parameters())


def test_the_layout_of_bottleneck_folders(tmp_path: Path) -> None:
    bank = shaken(
        bank_of(Bottleneck(size={"ann": 2, "bob": 5}, variant="pfeiffer", activation="silu"))
    )
    folder = bank.export("ann", tmp_path / "ann", base="some/model")
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config == {
        "base_model_name_or_path": "some/model",
        "method": "bottleneck", "size": 2, "variant": "pfeiffer", "activation": "silu",
    }  # fmt: skip
    shapes = {n: tuple(t.shape) for n, t in load_file(folder / "adapter_model.safetensors").items()}
    assert shapes == {
        f"model.layers.{i}.mlp.{name}": shape
        for i in (0, 1)
        for name, shape in (
            ("down.weight", (2, 32)), ("down.bias", (2,)), ("up.weight", (32, 2)), ("up.bias", (32,)),
        )
    }  # fmt: skip


def test_exports_name_their_base(tmp_path: Path) -> None:
    bank = bank_of(LoRA())
    bank.model.config.name_or_path = "somewhere/nano"
    config = json.loads((bank.export("ann", tmp_path) / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "somewhere/nano"
    assert config["target_modules"] == ["q_proj", "v_proj"]
    assert not list(tmp_path.glob("*.new"))


def edited(folder: Path, **changes: Any) -> Path:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def test_what_does_not_fit_is_refused_and_moves_nothing(tmp_path: Path) -> None:
    bank = shaken(bank_of(LoRA(rank=4)))
    state = bank.state()
    whole = bank.export("ann", tmp_path / "whole")
    cases: list[tuple[Path, str]] = [
        (tmp_path / "nothing", "is no adapter"),
        (bank_of(IA3()).export("ann", tmp_path / "ia3"), "peft_type IA3, the bank's is LORA"),
        (
            bank_of(LoRA(rank=5)).export("ann", tmp_path / "wide"),
            "rank 5, the bank has room for 1 to 4",
        ),
        (
            bank_of(LoRA(rank=4, targets="all-linear")).export("ann", tmp_path / "more"),
            "has, beyond",
        ),
        (bank_of(LoRA(rank=4, targets=("q_proj",))).export("ann", tmp_path / "few"), "lacks"),
        (bank_of(LoRA(), "gpt2").export("ann", tmp_path / "gpt2"), "rank 8"),
        (edited(bank.export("ann", tmp_path / "dora"), use_dora=True), "uses use_dora"),
        (edited(bank.export("ann", tmp_path / "bias"), bias="all"), "uses bias"),
        (
            edited(bank.export("ann", tmp_path / "ranks"), rank_pattern={"q_proj": 2}),
            "rank_pattern",
        ),
        (edited(bank.export("ann", tmp_path / "r"), r=3), "has shape"),
    ]
    for folder, why in cases:
        with pytest.raises(MootError, match=why):
            bank.load("bob", folder)
    assert all(torch.equal(t, state[n]) for n, t in bank.tensors.items())
    bank.load("bob", whole)
    with pytest.raises(MootError, match="the bank's network"):
        bank_of(SPECS["mlp-prefix"]).load(
            "ann", bank_of(SPECS["mlp-prefix"]).export("ann", tmp_path / "prefix")
        )
    with pytest.raises(MootError, match="do not merge"):
        bank_of(Prompt()).merge("ann", tmp_path / "m")
    (tmp_path / "file").write_text("")
    with pytest.raises(MootError, match="cannot write"):
        bank.export("ann", tmp_path / "file")
