"""Trained adapters from folders, as a bank that fits them: the way back from `export`.

    bank = open_bank(model, {"ann": "adapters/ann", "bob": "adapters/bob"})

Each folder's `adapter_config.json` says what kind of adapter it is; those of one kind (method, layers,
number of virtual tokens ...) become slices of one bank. LoRA ranks, alphas and bottleneck widths may differ.
Where a folder's targets are not what its tensors cover (peft can leave out layers), the tensors decide.
A bank that goes on to train has the first folder's dropout.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from ..agents.adapters import CONFIG, WEIGHTS, adapter_folder
from ..protocols import MootError, did_you_mean
from .bank import AdapterBank
from .export import OUTER
from .methods.bottleneck import Bottleneck
from .methods.ia3 import IA3
from .methods.lora import LoRA
from .methods.prefix import Prefix, Prompt
from .methods.targets import layers, matches

Config = dict[str, Any]


class Adapter(NamedTuple):
    """What a folder holds."""

    kind: Hashable
    """Adapters of equal kind fit into one bank."""
    spec: LoRA | IA3 | Bottleneck | Prefix | Prompt
    """Of a bank for this one alone."""


def open_bank(model: Any, folders: Mapping[str, str | Path]) -> AdapterBank:
    """A bank with one agent per folder. Raises `MootError` for a folder that is no adapter, is one for
    another model, or is of another kind than the first."""
    found = {name: _read(model, adapter_folder(path)) for name, path in folders.items()}
    first = next(iter(found), "")
    for name, adapter in found.items():
        if adapter.kind != found[first].kind:
            raise MootError(
                f"{folders[name]} and {folders[first]} are unlike kinds of adapter, which one bank "
                "cannot hold; open them apart (open_banks)"
            )
    return _opened(model, folders, found)


def open_banks(model: Any, folders: Mapping[str, str | Path]) -> list[AdapterBank]:
    """As `open_bank`, with a bank for every kind. Of several banks on a model only one may be routed
    to at a time."""
    kinds: dict[Hashable, dict[str, Adapter]] = {}
    for name, path in folders.items():
        adapter = _read(model, adapter_folder(path))
        kinds.setdefault(adapter.kind, {})[name] = adapter
    banks: list[AdapterBank] = []
    try:
        for found in kinds.values():
            banks.append(_opened(model, folders, found))
    except BaseException:
        for bank in banks:
            bank.close()
        raise
    return banks


def _opened(
    model: Any, folders: Mapping[str, str | Path], found: Mapping[str, Adapter]
) -> AdapterBank:
    if not found:
        raise MootError("no adapters to open; give agent -> folder")
    specs = {name: adapter.spec for name, adapter in found.items()}
    spec = next(iter(specs.values()))
    if isinstance(spec, LoRA | Bottleneck):
        field = "rank" if isinstance(spec, LoRA) else "size"
        spec = spec.model_copy(update={field: {n: getattr(s, field) for n, s in specs.items()}})
    bank = AdapterBank(model, spec, list(found))
    try:
        for name in found:
            bank.load(name, folders[name])
    except BaseException:
        bank.close()
        raise
    return bank


def _read(model: Any, folder: Path) -> Adapter:
    """Raises `MootError` where the configuration makes no sense or names layers that are not there."""
    try:
        read = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        with cast(Any, safe_open(folder / WEIGHTS, "pt")) as file:
            names = list(cast("list[str]", file.keys()))
    except (OSError, ValueError, SafetensorError) as e:
        raise MootError(f"{folder} cannot be read as an adapter ({e}); save it again") from None
    if not isinstance(read, dict):
        raise MootError(f"{folder / CONFIG} is no JSON object; save the adapter again")
    config = cast(Config, read)
    kind = str(config.get("peft_type") or config.get("method"))
    if kind not in KINDS:
        raise MootError(f"{folder} is an adapter of kind {kind!r}; {did_you_mean(kind, KINDS)}")
    try:
        return KINDS[kind](model, config, names)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise MootError(f"{folder / CONFIG}: {where}: {first['msg']}") from None
    except (KeyError, TypeError, ValueError) as e:
        why = f"no {e}" if isinstance(e, KeyError) else str(e)
        raise MootError(f"{folder / CONFIG}: {why}; save the adapter again") from None
    except MootError as e:
        raise MootError(f"{folder} is an adapter for another model: {e}") from None


def _lora(model: Any, config: Config, names: list[str]) -> Adapter:
    covered = _covered(names, ".lora_A.weight")
    spec = LoRA(
        rank=config["r"],
        alpha=config["lora_alpha"],
        rslora=config.get("use_rslora") or False,
        dropout=config.get("lora_dropout") or 0.0,
        targets=_targets(model, config["target_modules"], covered),
    )
    return Adapter(("lora", covered), spec)


def _ia3(model: Any, config: Config, names: list[str]) -> Adapter:
    covered = _covered(names, ".ia3_l")
    targets = _targets(model, config["target_modules"], covered)
    given = config.get("feedforward_modules") or ()
    pattern = isinstance(given, str)
    inner = cast("tuple[str, ...]", (given,) if pattern else tuple(given))
    scaled = tuple(n for n in covered if any(matches(n, t, pattern) for t in inner))
    if pattern or isinstance(targets, str) or not set(inner) <= set(targets):
        targets, inner = covered, scaled
    return Adapter(("ia3", covered, scaled), IA3(targets=targets, feedforward=inner))


def _prefix(model: Any, config: Config, names: list[str]) -> Adapter:
    spec = Prefix(tokens=config["num_virtual_tokens"])
    return Adapter(("prefix", spec.tokens), spec)


def _prompt(model: Any, config: Config, names: list[str]) -> Adapter:
    spec = Prompt(tokens=config["num_virtual_tokens"])
    return Adapter(("prompt", spec.tokens), spec)


def _bottleneck(model: Any, config: Config, names: list[str]) -> Adapter:
    spec = Bottleneck(**{k: config[k] for k in ("size", "variant", "activation")})
    return Adapter(("bottleneck", spec.variant, spec.activation), spec)


KINDS: dict[str, Callable[[Any, Config, list[str]], Adapter]] = {
    "LORA": _lora,
    "IA3": _ia3,
    "PREFIX_TUNING": _prefix,
    "PROMPT_TUNING": _prompt,
    "bottleneck": _bottleneck,
}
"""`peft_type`, or our own `method` -> how its configuration is read."""


def _covered(names: list[str], end: str) -> tuple[str, ...]:
    """Layers that have a tensor of this ending. Raises `ValueError` if none has."""
    found = sorted(n.removeprefix(OUTER).removesuffix(end) for n in names if n.endswith(end))
    if not found:
        raise ValueError(f"no tensor in {WEIGHTS} ends with {end}")
    return tuple(found)


def _targets(
    model: Any, targets: str | list[str], covered: tuple[str, ...]
) -> tuple[str, ...] | str:
    """The targets as configured where they mean the layers that have tensors, else those layers."""
    chosen = targets if isinstance(targets, str) else tuple(targets)
    if set(layers(model, chosen)) == set(covered):
        return chosen
    layers(model, covered)  # raises for one that the model does not have
    return covered
