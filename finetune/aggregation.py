"""A rule by its name, on the stacked tensors of a round; and what the round should know about the averaging.

    uploads (K, ...), weights (K,), sent (K, ...) -> what every client is sent next (K, ...)

The rules themselves stand in `rules/`: some take any tensors, some know that LoRA is a product. Here they
get the same shape. Where cohorts are named, each is averaged for itself. The server never needs to know
where clients live: everything is tensors with a leading client axis.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ..protocols import MootError, did_you_mean
from .rules import average, lora, lora_robust, robust
from .rules.average import Rule, Tensors, numbers
from .rules.gram import (
    Factors,
    Lora,
    aggregation_error,
    effective_rank,
    flat,
    paired,
    present,
    product_norms,
    singular_values,
    stacked,
    update_norms,
)
from .rules.personal import cohorts, rows_of

LOCAL = Rule(None, "nobody is averaged: every client learns alone")  # pyright: ignore[reportArgumentType]
PLAIN = {**average.RULES, **robust.RULES}
"""Rules for any tensors."""
PRODUCT = {**lora.RULES, **lora_robust.RULES}
"""Rules for LoRA."""
RULES: dict[str, Rule] = {**PLAIN, **PRODUCT, "local": LOCAL}
"""Every name that `rule:` may have."""

RESIDUAL = ("fedex", "flora")
"""Rules that move the base itself."""
MERGES = ("fedit", *RESIDUAL, "flexlora")
"""What the robust rules for LoRA may merge by."""
WIDEST = 256
"""Widest stack of factors whose singular values are worth a round's time."""


class Adapters(NamedTuple):
    """What a rule has to know of the clients' LoRA adapters."""

    scales: Tensor
    """(K,)"""
    ranks: Tensor
    """(K,)"""


class Local(NamedTuple):
    """What clients report of their training, (K,) each; absent ones 0."""

    steps: Tensor
    travelled: Tensor
    """Sum of the learning rates of those steps."""


class Merged(NamedTuple):
    """The end of an aggregation."""

    tensors: dict[str, Tensor]
    """(K, ...): what each client is sent next."""
    residual: dict[str, Factors]
    """Layer -> A (n, in), B (out, n): what every client adds to its base weight."""
    state: dict[str, Tensor]
    """The rule's memory."""


class Report(NamedTuple):
    """What averaging did."""

    error: float | None
    """||sum p_k s_k B_k A_k - mean(s B) mean(A)||_F over all layers; None: not LoRA, or A or B stay home."""
    size: float | None
    """||sum p_k s_k B_k A_k||_F, to read the error beside; None likewise."""
    rank: float | None
    """Mean over layers of the effective rank of sum p_k s_k B_k A_k; None where that costs too much."""
    norms: list[float]
    """How far each present client moved: of B A for LoRA, of all numbers otherwise."""


def check_rule(
    name: str, settings: Mapping[str, Any], adapters: Adapters | None, groups: Sequence[str]
) -> None:
    """Raises `MootError` when the rule does not exist, or not with these settings, adapters or cohorts."""
    if name == "fedsb":
        raise MootError(
            "Fed-SB is plain averaging of what method lora_xs trains: use that method and rule fedavg"
        )
    if name not in RULES:
        raise MootError(f"no aggregation rule {name!r}; {did_you_mean(name, RULES)}")
    takes = _settings(name, adapters)
    for key in settings:
        if key not in takes:
            raise MootError(
                f"rule {name} has no setting {key!r}; "
                + (did_you_mean(key, takes) if takes else "it takes none")
            )
    if name in PRODUCT and name not in PLAIN and adapters is None:
        raise MootError(f"rule {name} averages LoRA products; use method lora, or rule fedavg")
    if adapters is not None and len(set(numbers(adapters.ranks))) > 1:
        mixed = ("flora", "flexlora", "hetlora", "local", *lora_robust.RULES)
        if name not in mixed:
            raise MootError(
                f"rule {name} needs equal ranks; with mixed ones use {', '.join(mixed)}"
            )
    if moves_base(name, settings) and len(set(groups)) > 1:
        raise MootError(
            f"rule {name} moves the base that all cohorts share; use another with cohorts"
        )
    merge = settings.get("merge")
    if merge is not None and merge not in MERGES:
        raise MootError(f"merge {merge!r}; {did_you_mean(str(merge), MERGES)}")


def moves_base(rule: str, settings: Mapping[str, Any]) -> bool:
    """Whether clients add a residual to their base weights, so that an adapter alone is not the model."""
    return rule in RESIDUAL or settings.get("merge") in RESIDUAL


def memory_of(group: str, state: Tensors) -> dict[str, Tensor]:
    """What the rule remembers of one cohort, by the rule's own names."""
    start = f"{group}/"
    return {n.removeprefix(start): x for n, x in state.items() if n.startswith(start)}


def travelling(rule: str, names: Iterable[str], number: int | None = None) -> list[str]:
    """The tensors that go up in round `number`; None: those that ever change hands, which go down."""
    if rule == "local":
        return []
    kind = "A" if rule == "fedsa" else "B" if rule == "ffa" else "AB"
    if number is not None and rule in PRODUCT:
        kind = lora.sent(rule, number)
    return [n for n in names if not n.endswith((".lora_A", ".lora_B")) or n[-1] in kind]


def learned(rule: str, names: Iterable[str], number: int) -> list[str]:
    """The tensors that clients train in that round."""
    kind = lora.trained(rule, number) if rule in PRODUCT else "AB"
    return [n for n in names if not n.endswith((".lora_A", ".lora_B")) or n[-1] in kind]


def aggregate(
    rule: str, uploads: Tensors, weights: Tensor, sent: Tensors, number: int, state: Tensors, *,
    settings: Mapping[str, Any], adapters: Adapters | None, groups: Sequence[str], local: Local,
    population: Tensor,
) -> Merged:  # fmt: skip
    """What all K clients are sent next; clients of weight 0 are absent. See `Merged`.

    `uploads` and `sent` map name -> (K, ...), `groups` names each client's cohort, `population` (K,) are
    the weights that all would have. A cohort without a present client stays as it is.
    """

    def one(rows: Tensor) -> Merged:
        group = groups[int(rows[0])]
        before = rows_of(sent, rows)
        if not bool((weights[rows] > 0).any()):
            return Merged(before, {}, {})
        some = None if adapters is None else Adapters(adapters.scales[rows], adapters.ranks[rows])
        told = Local(local.steps[rows], local.travelled[rows])
        return _one(
            rule, rows_of(uploads, rows), weights[rows], before, number, memory_of(group, state),
            settings, some, told, population[rows],
        )  # fmt: skip

    tensors = {n: x.clone() for n, x in sent.items()}
    kept = dict(state)
    residual: dict[str, Factors] = {}
    for group, merged in cohorts(groups, one).items():
        rows = torch.tensor([k for k, g in enumerate(groups) if g == group])
        for n, x in merged.tensors.items():
            tensors[n][rows.to(x.device)] = x.to(tensors[n].dtype)
        kept.update({f"{group}/{n}": x for n, x in merged.state.items()})
        residual.update(merged.residual)
    return Merged(tensors, residual, kept)


def _one(
    rule: str, uploads: Tensors, weights: Tensor, sent: Tensors, number: int, state: Tensors,
    settings: Mapping[str, Any], adapters: Adapters | None, local: Local, population: Tensor,
) -> Merged:  # fmt: skip
    """One cohort."""
    extra = dict(settings)
    if _family(rule, adapters) == "product":
        assert adapters is not None
        if "merge" in extra:
            extra["merge"] = lora.RULES[extra["merge"]].function
        given, start = (paired(x, adapters.scales, adapters.ranks) for x in (uploads, sent))
        merged = PRODUCT[rule].function(given, weights, start, number, **extra)
        return Merged(flat(merged.layers), merged.residual, {})
    if rule == "scaffold":
        rate = local.travelled / local.steps.clamp_min(1)
        extra |= {"steps": local.steps, "client_lr": rate, "population": population}
    common = {n: x[0] for n, x in sent.items()}
    found = PLAIN[rule].function(uploads, weights, common, state, **extra)
    clients = len(weights)
    return Merged(
        {n: x.expand(clients, *x.shape) for n, x in found.tensors.items()}, {}, found.state
    )


def report(
    rule: str, uploads: Tensors, weights: Tensor, sent: Tensors, adapters: Adapters | None
) -> Report:
    """The certificate of one averaging, from what came up and what had been sent."""
    here = weights > 0
    if adapters is None or rule in ("fedsa", "local"):
        squares = [
            (x[here.to(x.device)] - sent[n][here.to(x.device)]).double().flatten(1).square().sum(1).cpu()
            for n, x in uploads.items()
        ]  # fmt: skip
        norms = torch.stack(squares).sum(0).sqrt() if squares else torch.zeros(int(here.sum()))
        return Report(None, None, None, numbers(norms))
    some = present(paired(uploads, adapters.scales, adapters.ranks), here)
    start = present(paired(sent, adapters.scales, adapters.ranks), here)
    p = weights[here].double() / weights[here].double().sum()
    both = stacked(some, p)
    total = product_norms(
        Lora(
            {n: Factors(f.a[None], f.b[None]) for n, f in both.items()},
            torch.ones(1),
            torch.ones(1),
        )
    )
    rank = None
    if sum(numbers(some.ranks)) <= WIDEST:
        ranks = [effective_rank(singular_values(f)) for f in both.values()]
        rank = float(torch.stack([r.cpu() for r in ranks]).mean())
    return Report(
        aggregation_error(some, p), float(total), rank, numbers(update_norms(some, start))
    )


def _family(rule: str, adapters: Adapters | None) -> Literal["plain", "product"]:
    """Robust rules exist for both: with LoRA their distances are those of products."""
    return "product" if rule in PRODUCT and (adapters is not None or rule not in PLAIN) else "plain"


def _settings(rule: str, adapters: Adapters | None) -> list[str]:
    """Names of a rule's settings that are the user's to give."""
    if rule == "local":
        return []
    book = PRODUCT if _family(rule, adapters) == "product" else PLAIN
    found = inspect.signature(book[rule].function).parameters.values()
    ours = ("steps", "client_lr", "population")
    return [p.name for p in found if p.kind is p.KEYWORD_ONLY and p.name not in ours]
