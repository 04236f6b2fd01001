"""One agent out of the bank and into a folder that others open, and back.

LoRA, IA3, prefix and prompt tuning are written as `peft` writes them: `adapter_config.json` and
`adapter_model.safetensors`, without the padding of mixed ranks; `PeftModel.from_pretrained(base, folder)`
and vLLM open them. A prefix network is folded into the keys and values it gives. Bottleneck adapters are
not in peft; their folder has the same two files:

    adapter_config.json          {"method": "bottleneck", "size": m, "variant": ..., "activation": ...}
    adapter_model.safetensors    SUBLAYER.down.weight (m, d)   SUBLAYER.down.bias (m,)
                                 SUBLAYER.up.weight (d, m)     SUBLAYER.up.bias (d,)

with SUBLAYER the name of an attention or mlp module in the base model, as in "model.layers.0.mlp". What
would change the meaning of an import (DoRA, ranks per layer, other targets) is refused, never dropped.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from ..protocols import MootError
from .methods.bottleneck import BottleneckLayers
from .methods.ia3 import Ia3Layers
from .methods.lora import LoRA, LoraLayers
from .methods.lora_xs import LoRAXS, LoraXsLayers
from .methods.prefix import EMBEDDING, PrefixLayers, PromptLayers

if TYPE_CHECKING:
    from .bank import AdapterBank

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
OUTER = "base_model.model."
"""What peft puts before the base model's own names."""
PROMPT = "prompt_embeddings"
REFUSED = (
    "use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias", "use_qalora",
    "layer_replication", "trainable_token_indices", "target_parameters", "arrow_config",
    "alora_invocation_tokens",
)  # fmt: skip
"""Options of peft that change what the numbers mean and that a bank does not have."""


def export(bank: AdapterBank, agent: str, folder: Path, base: str = "") -> Path:
    """Write one agent's adapter; `base` is the folder or hub id of the base model, for peft to find.

    Raises `MootError` when the folder cannot be written.
    """
    config, tensors = _written(bank, bank.index(agent))
    name = base or str(getattr(bank.model.config, "name_or_path", "") or "")
    config = {"base_model_name_or_path": name or None, **config}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        whole = {n: t.detach().cpu().contiguous() for n, t in tensors.items()}
        save_file(whole, folder / (WEIGHTS + ".new"), metadata={"format": "pt"})
        os.replace(folder / (WEIGHTS + ".new"), folder / WEIGHTS)
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    except (OSError, SafetensorError) as e:
        raise MootError(f"cannot write {folder}: {e}", usage=False) from None
    return folder


def _written(bank: AdapterBank, k: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration and the tensors of agent k."""
    fitted, own = bank.fitted, {n: t.detach()[k] for n, t in bank.tensors.items()}
    peft: dict[str, Any] = {"task_type": "CAUSAL_LM", "inference_mode": True}
    if isinstance(fitted, LoraLayers):
        spec = cast(LoRA, bank.spec)
        rank = fitted.ranks[k]
        root = rank**0.5 if spec.rslora else rank
        tensors: dict[str, Tensor] = {}
        for name in fitted.layers:
            tensors[f"{OUTER}{name}.lora_A.weight"] = own[f"{name}.lora_A"][:rank]
            tensors[f"{OUTER}{name}.lora_B.weight"] = own[f"{name}.lora_B"][:, :rank]
        return {
            **peft, "peft_type": "LORA", "r": rank, "lora_alpha": _tidy(float(fitted.scales[k]) * root),
            "use_rslora": spec.rslora, "lora_dropout": spec.dropout, "bias": "none",
            "target_modules": _listed(fitted.targets), "fan_in_fan_out": _transposed(fitted),
        }, tensors  # fmt: skip
    if isinstance(fitted, LoraXsLayers):
        tensors = {}
        for name in fitted.layers:
            a, b = fitted.product(name, own[f"{name}.xs_R"])
            tensors[f"{OUTER}{name}.lora_A.weight"] = a
            tensors[f"{OUTER}{name}.lora_B.weight"] = b
        return {
            **peft, "peft_type": "LORA", "r": fitted.rank, "lora_alpha": fitted.rank,
            "lora_dropout": cast(LoRAXS, bank.spec).dropout, "bias": "none",
            "target_modules": _listed(fitted.targets), "fan_in_fan_out": _transposed(fitted),
        }, tensors  # fmt: skip
    if isinstance(fitted, Ia3Layers):
        tensors = {}
        for name in fitted.layers:
            factor = own[f"{name}.ia3_l"]
            shaped = factor[None] if fitted.scales_input(name) else factor[:, None]
            tensors[f"{OUTER}{name}.ia3_l"] = shaped
        return {
            **peft, "peft_type": "IA3", "target_modules": _listed(fitted.targets),
            "feedforward_modules": _listed(fitted.feedforward or ()),
            "fan_in_fan_out": _transposed(fitted),
        }, tensors  # fmt: skip
    if isinstance(fitted, PrefixLayers):
        with torch.no_grad():
            flat = fitted.flat()[k]
        return {
            **peft, "peft_type": "PREFIX_TUNING", "num_virtual_tokens": fitted.tokens,
            "num_layers": fitted.depth, "num_attention_heads": fitted.heads,
            "token_dim": fitted.heads * fitted.dim, "num_transformer_submodules": 1,
            "prefix_projection": False, "encoder_hidden_size": fitted.heads * fitted.dim,
        }, {PROMPT: flat}  # fmt: skip
    if isinstance(fitted, PromptLayers):
        text = bank.model.config.get_text_config()
        return {
            **peft, "peft_type": "PROMPT_TUNING", "num_virtual_tokens": fitted.tokens,
            "token_dim": own[EMBEDDING].shape[1], "num_layers": text.num_hidden_layers,
            "num_attention_heads": text.num_attention_heads, "num_transformer_submodules": 1,
            "prompt_tuning_init": "RANDOM",
        }, {PROMPT: own[EMBEDDING]}  # fmt: skip
    fitted = cast(BottleneckLayers, fitted)
    size = fitted.ranks[k]
    config = {**cast(Any, bank.spec).model_dump(exclude={"dropout"}), "size": size}
    return config, {n: t[_bottleneck(n, size)] for n, t in own.items()}


def load(bank: AdapterBank, agent: str, folder: Path) -> None:
    """Read one agent's adapter from a folder as `export` or peft writes it; the others stay as they are.

    LoRA of any rank up to the bank's largest fits, and its own alpha comes with it. Raises
    `MootError` where method, targets or shapes do not fit; then nothing has moved.
    """
    k, fitted = bank.index(agent), bank.fitted
    try:
        config = cast("dict[str, Any]", json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        read = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as e:
        raise MootError(
            f"{folder} is no adapter ({e}); want the folder with {CONFIG} and {WEIGHTS}"
        ) from None
    mine = _written(bank, k)[0]
    for what in ("peft_type", "method", "variant", "activation"):
        if config.get(what) != mine.get(what):
            raise MootError(
                f"{folder} is {what} {config.get(what)}, the bank's is {mine.get(what)}; "
                "load it into a bank of its own kind"
            )
    strange = [o for o in REFUSED if config.get(o)]
    if strange or config.get("bias", "none") != "none":
        raise MootError(f"{folder} uses {', '.join(strange) or 'bias'}, which a bank does not have")
    tensors: dict[str, Tensor] = {n: torch.zeros_like(t[k]) for n, t in bank.tensors.items()}
    wanted: dict[str, tuple[str, Tensor]] = {}  # name in the file -> name here, place to fill
    rank, scale = 0, 0.0
    factors: dict[str, tuple[Tensor, Tensor]] = {}
    if isinstance(fitted, LoraLayers | BottleneckLayers):
        rank = int(config["r" if isinstance(fitted, LoraLayers) else "size"])
        most = max(fitted.ranks[k], *_widest(bank))
        if not 1 <= rank <= most:
            raise MootError(f"{folder} has rank {rank}, the bank has room for 1 to {most}")
    if isinstance(fitted, LoraLayers):
        root = rank**0.5 if config.get("use_rslora") else rank
        scale = float(config["lora_alpha"]) / root
        for name in fitted.layers:
            a, b = tensors[f"{name}.lora_A"], tensors[f"{name}.lora_B"]
            wanted[f"{OUTER}{name}.lora_A.weight"] = (f"{name}.lora_A", a[:rank])
            wanted[f"{OUTER}{name}.lora_B.weight"] = (f"{name}.lora_B", b[:, :rank])
    elif isinstance(fitted, LoraXsLayers):
        if int(config["r"]) != fitted.rank:
            raise MootError(f"{folder} has rank {config['r']}, the bank's is {fitted.rank}")
        scale = float(config["lora_alpha"]) / (
            fitted.rank ** (0.5 if config.get("use_rslora") else 1)
        )
        for name in fitted.layers:
            a, b = fitted.product(name, tensors[f"{name}.xs_R"])
            factors[name] = torch.zeros_like(a), torch.zeros_like(b)
            wanted[f"{OUTER}{name}.lora_A.weight"] = (f"{name}.xs_A", factors[name][0])
            wanted[f"{OUTER}{name}.lora_B.weight"] = (f"{name}.xs_B", factors[name][1])
    elif isinstance(fitted, Ia3Layers):
        for name in fitted.layers:
            t = tensors[f"{name}.ia3_l"]
            shaped = t[None] if fitted.scales_input(name) else t[:, None]
            wanted[f"{OUTER}{name}.ia3_l"] = (f"{name}.ia3_l", shaped)
    elif isinstance(fitted, BottleneckLayers):
        for name, t in tensors.items():
            wanted[name] = (name, t[_bottleneck(name, rank)])
    else:
        if "transform.0.weight" in bank.tensors:
            raise MootError(
                f"{folder} holds plain keys and values, which the bank's network cannot be made to "
                "give; load it into a bank of Prefix(hidden=None)"
            )
        wanted[PROMPT] = (EMBEDDING, tensors[EMBEDDING])
    for name in {*wanted, *read}:
        if name not in wanted or name not in read:
            how = "lacks" if name in wanted else "has, beyond what the bank takes,"
            raise MootError(f"{folder} {how} the tensor {name}; want the same targets and model")
        got, want = tuple(read[name].shape), tuple(wanted[name][1].shape)
        if got != want:
            raise MootError(
                f"{folder}: {name} has shape {got}, the bank wants {want}; was it trained on this model?"
            )
    for name, (_, place) in wanted.items():
        place.copy_(read[name])
    for name, (a, b) in factors.items():
        square = cast(LoraXsLayers, fitted).square(name, a, scale * b)
        if square is None:
            raise MootError(
                f"{folder}: layer {name} has other frozen factors than the bank's; it was made with "
                "another base or other `factors`: open it as plain LoRA"
            )
        tensors[f"{name}.xs_R"] = square
    bank.set_slice(agent, tensors)
    if isinstance(fitted, LoraLayers):
        fitted.set_agent(k, rank, scale)
    elif isinstance(fitted, BottleneckLayers):
        fitted.ranks[k] = rank


def merge(bank: AdapterBank, agent: str, folder: Path, tokenizer: Any = None) -> Path:
    """Write base and adapter as one plain model, and the tokenizer if it is given.

        LoRA: W + scale B A        LoRA-XS: W + scale B_0 R A_0
        IA3:  rows of W and the bias times l, or columns of W times l

    Raises `MootError` for other methods, which no plain model can express, and for a quantised base.
    """
    k, fitted = bank.index(agent), bank.fitted
    if not isinstance(fitted, LoraLayers | LoraXsLayers | Ia3Layers):
        raise MootError(
            f"{bank.spec.method} adapters do not merge into a model; export them instead"
        )
    state: dict[str, Tensor] = dict(bank.model.state_dict())
    for name, layer in fitted.layers.items():
        weight = cast(Tensor, layer.weight)
        if not weight.is_floating_point():
            raise MootError("a quantised base cannot be merged into; load it in bfloat16")
        turned = isinstance(layer, Conv1D)  # its weight is (in, out)
        w = (weight.mT if turned else weight).to(bank.dtype)
        if isinstance(fitted, LoraLayers):
            a, b = (bank.tensors[f"{name}.lora_{x}"].detach()[k] for x in "AB")
            w = w + float(fitted.scales[k]) * (b @ a)
        elif isinstance(fitted, LoraXsLayers):
            a, b = fitted.product(name, bank.tensors[f"{name}.xs_R"].detach()[k])
            w = w + b @ a
        else:
            factor = bank.tensors[f"{name}.ia3_l"].detach()[k]
            inner = fitted.scales_input(name)
            w = w * (factor[None] if inner else factor[:, None])
            if layer.bias is not None and not inner:
                state[f"{name}.bias"] = (layer.bias * factor).to(weight.dtype).detach()
        w = w.to(weight.dtype).detach()
        state[f"{name}.weight"] = (w.mT if turned else w).contiguous()
    try:
        bank.model.save_pretrained(folder, state_dict=state)
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)
    except (OSError, SafetensorError) as e:
        raise MootError(f"cannot write {folder}: {e}", usage=False) from None
    return folder


def _bottleneck(name: str, size: int) -> Any:
    """The part of a bottleneck tensor that is not padding."""
    if name.endswith("up.weight"):
        return slice(None), slice(size)
    return slice(None) if name.endswith("up.bias") else slice(size)


def _widest(bank: AdapterBank) -> list[int]:
    """The rank that the bank's tensors have room for."""
    return [t.shape[1] for n, t in bank.tensors.items() if n.endswith((".lora_A", ".down.weight"))][
        :1
    ]


def _listed(targets: tuple[str, ...] | str) -> list[str] | str:
    return targets if isinstance(targets, str) else list(targets)


def _transposed(fitted: LoraLayers | LoraXsLayers | Ia3Layers) -> bool:
    return any(isinstance(layer, Conv1D) for layer in fitted.layers.values())


def _tidy(x: float) -> float | int:
    """16, not 16.000000000000004."""
    near = round(x)
    return near if abs(x - near) < 1e-9 * max(abs(x), 1) else x
