"""Finding layers in a model that nobody here has written: by name, by pattern, by kind.

Names are matched as peft matches them, and its table of usual targets per architecture is the default, so
that an exported adapter names its layers the way peft expects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from torch import nn
from transformers.pytorch_utils import Conv1D

from ...protocols import MootError

ALL_LINEAR = "all-linear"


def layers(model: Any, targets: str | Sequence[str]) -> dict[str, Any]:
    """Name -> linear layer (`Linear`, GPT-2's `Conv1D`, a quantised one), in the model's order.

    A sequence matches whole last parts of a name ("q_proj", "mlp.c_proj"), a string is a regular
    expression for the whole name, "all-linear" all but the output head. Raises `MootError` when a
    target matches none.
    """
    head = model.get_output_embeddings()
    found: dict[str, Any] = {
        name: m for name, m in model.named_modules() if isinstance(m, (nn.Linear, Conv1D))
    }
    if targets == ALL_LINEAR:
        return {name: m for name, m in found.items() if m is not head}
    wanted = [targets] if isinstance(targets, str) else list(targets)
    hit = {t: [n for n in found if matches(n, t, isinstance(targets, str))] for t in wanted}
    for target, names in hit.items():
        if not names:
            ends = sorted({n.rpartition(".")[2] for n in found})
            raise MootError(
                f"no linear layer is called {target!r}; this model has {', '.join(ends)}"
            )
    chosen = {n for names in hit.values() for n in names}
    return {name: m for name, m in found.items() if name in chosen}


def matches(name: str, target: str, pattern: bool = False) -> bool:
    """Whether a layer's name is meant by a target."""
    if not pattern:
        return name == target or name.endswith("." + target)
    try:
        return re.fullmatch(target, name) is not None
    except re.error as e:
        raise MootError(f"target {target!r} is no regular expression: {e}") from None


def usual(model: Any, table: Mapping[str, Iterable[str]], what: str) -> tuple[str, ...]:
    """peft's usual targets for this architecture. Raises `MootError` where it has none."""
    kind = cast(str, model.config.get_text_config().model_type)
    if kind not in table:
        raise MootError(
            f"peft has no usual {what} for {kind!r}; name them, as in ['q_proj', 'v_proj']"
        )
    return tuple(table[kind])


def sizes(layer: Any) -> tuple[int, int]:
    """(in, out) features of a linear layer. Conv1D holds its weight as (in, out)."""
    if isinstance(layer, Conv1D):
        return layer.weight.shape[0], layer.weight.shape[1]
    return layer.in_features, layer.out_features


def blocks(model: Any) -> list[tuple[str, str]]:
    """Names of (attention, feed-forward) of every decoder block, first to last.

    Raises `MootError` for a model whose blocks are not built of these two.
    """
    names = {m: n for n, m in model.named_modules()}
    found: list[tuple[str, str]] = []
    for module, name in names.items():
        children = dict(module.named_children())
        attention = next((c for c in ("self_attn", "attn", "attention") if c in children), None)
        if attention is not None and "mlp" in children:
            found.append((f"{name}.{attention}", f"{name}.mlp"))
    if not found:
        raise MootError(f"{type(model).__name__} has no blocks of attention and mlp")
    return found
