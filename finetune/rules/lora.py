"""Aggregation that knows that LoRA is a product: what each paper averages, and what that preserves.

    the model of client k is W + s_k B_k A_k, and the mean of the models is W + sum_k p_k s_k B_k A_k

    rule        a client begins the next round with          the mean of the models is
    fedit       mean of A, mean of B                         lost by `aggregation_error`
    fedex       the same, and the base takes the residual    kept
    flora       A as sent, B = 0; the base takes it all      kept
    flexlora    the best product of its own rank             kept up to the singular values cut off
    ffa         A frozen and common, mean of B               kept
    rolora      A and B frozen in turn, mean of the other    kept
    fedsa       mean of A, its own B                         not meant to be: B is personal
    hetlora     means weighted by norm, cut to its rank      not kept

Fed-SB is no rule of its own: it is `fedavg` on what the method LoRA-XS trains (`methods/lora_xs.py`).

`lora_robust` chooses other weights by distances of products, then calls one of these.

Scales differ with ranks, so they travel inside B: a client gets B / s_k of what is meant. In a stacked
product weights enter once, on B. Returned factors are 0 beyond a client's rank. `start` is what the
clients were sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ...protocols import MootError
from .average import Rule, numbers, shares, weighted_mean
from .gram import Factors, Lora, centred, checked, present, product_norms, stacked, svd


class Merged(NamedTuple):
    """What a rule for LoRA returns."""

    layers: dict[str, Factors]
    """Layer -> A (K, r, in), B (K, out, r) for every client, absent ones included; scales as they were.

    They may share memory (`expand`): copy from them, do not write into them.
    """
    residual: dict[str, Factors]
    """Layer -> A (n, in), B (out, n) without client axis: add B @ A to the frozen weight (out, in)."""


def fedit(lora: Lora, weights: Tensor, start: Lora, number: int) -> Merged:
    """A' = sum p_k A_k, B' = sum p_k B_k. FedIT, Zhang et al. 2024, arXiv 2305.05644. Equal ranks."""
    p = _ready(lora, weights, equal_ranks="fedit")
    return Merged({n: _handed(lora, f.a, f.b, p, p) for n, f in lora.layers.items()}, {})


def fedex(lora: Lora, weights: Tensor, start: Lora, number: int) -> Merged:
    """FedIT, and W' = W + sum p_k B_k A_k - B' A'. FedEx-LoRA, Singhal et al. 2024, arXiv 2410.09432.

    The residual is written as sum p_k (B_k - B')(A_k - A'), a product of width K r. Equal ranks.
    """
    p = _ready(lora, weights, equal_ranks="fedex")
    some, q = present(lora, p > 0), p[p > 0]
    apart = Lora(centred(some, q), torch.ones_like(some.scale), some.ranks)
    return Merged(fedit(lora, weights, start, number).layers, stacked(apart, q))


def flora(lora: Lora, weights: Tensor, start: Lora, number: int) -> Merged:
    """W' = W + [p_1 B_1 ... p_K B_K] [A_1; ...; A_K], and adapters begin anew.

    FLoRA, Wang et al. 2024, arXiv 2409.05976. Mixed ranks. They begin with the A that was sent and
    B = 0; the paper draws A again, which a caller may do, since the product is 0 whatever A is.
    """
    p = _ready(lora, weights)
    anew = {n: Factors(f.a, f.b.new_zeros(()).expand_as(f.b)) for n, f in start.layers.items()}
    return Merged(anew, stacked(present(lora, p > 0), p[p > 0]))


def flexlora(lora: Lora, weights: Tensor, start: Lora, number: int) -> Merged:
    """sum p_k s_k B_k A_k = U S V^T; client k gets B = U S / s_k and A = V^T, cut to its rank.

    FlexLoRA, Bai et al. 2024, arXiv 2402.11505. Mixed ranks. Singular values sit in B, so that a
    direction of size 0 has an A that can learn; beyond what the SVD yields, A stays as sent.
    """
    p = _ready(lora, weights)
    layers: dict[str, Factors] = {}
    for name, both in stacked(present(lora, p > 0), p[p > 0]).items():
        u, s, vh = svd(both)
        n = min(max(numbers(lora.ranks)), len(s))
        sent_a, sent_b = start.layers[name]
        a, b = sent_a.clone(), torch.zeros_like(sent_b)
        a[:, :n], b[:, :, :n] = vh[:n], (u * s)[:, :n]
        layers[name] = _cut(lora, Factors(a, b / lora.scale.to(b).view(-1, 1, 1)))
    return Merged(layers, {})


def hetlora(lora: Lora, weights: Tensor, start: Lora, number: int) -> Merged:
    """w_k ~ p_k ||B_k A_k||_F, A' = sum w_k A_k, B' = sum w_k B_k, padded, then cut to each rank.

    HetLoRA, Cho et al. 2024, arXiv 2401.06432, whose weights are the norms alone. The norm is over all
    layers together; where all are 0, w = p.
    """
    p = _ready(lora, weights)
    size = torch.where(p > 0, product_norms(lora), 0)
    w = shares(p * size, len(p)) if bool(size.any()) else p
    means = {n: _handed(lora, f.a, f.b, w, w) for n, f in lora.layers.items()}
    return Merged({n: _cut(lora, f) for n, f in means.items()}, {})


def ffa(lora: Lora, weights: Tensor, start: Lora, number: int) -> Merged:
    """A' = A, common and frozen; B' = sum p_k B_k. FFA-LoRA, Sun et al. 2024, arXiv 2403.12313.

    Equal ranks. Raises `MootError` when clients differ in A.
    """
    p = _ready(lora, weights, equal_ranks="ffa")
    _common({n: f.a for n, f in lora.layers.items()}, p, "A")
    one = _first(p)
    return Merged({n: _handed(lora, f.a, f.b, one, p) for n, f in lora.layers.items()}, {})


def rolora(lora: Lora, weights: Tensor, start: Lora, number: int) -> Merged:
    """FFA in rounds 0, 2, ...; in rounds 1, 3, ... B is common and frozen, and A' = sum p_k A_k.

    RoLoRA, Chen et al. 2025, arXiv 2502.01755. Equal ranks. Raises as `ffa` does, for either half.
    """
    p = _ready(lora, weights, equal_ranks="rolora")
    if number % 2 == 0:
        return ffa(lora, weights, start, number)
    scale = lora.scale.view(-1, 1, 1)
    _common({n: f.b * scale.to(f.b) for n, f in lora.layers.items()}, p, "B")
    one = _first(p)
    return Merged({n: _handed(lora, f.a, f.b, p, one) for n, f in lora.layers.items()}, {})


def fedsa(lora: Lora, weights: Tensor, start: Lora, number: int) -> Merged:
    """A' = sum p_k A_k; every client keeps its B. FedSA-LoRA, Guo et al. 2024, arXiv 2410.01463.

    Equal ranks. An absent client keeps the B that it was sent.
    """
    p = _ready(lora, weights, equal_ranks="fedsa")
    here = (p > 0).view(-1, 1, 1)
    layers: dict[str, Factors] = {}
    for name, (a, b) in lora.layers.items():
        if not bool(here.all()):
            b = torch.where(here.to(b.device), b, start.layers[name].b)
        layers[name] = Factors(weighted_mean(a, p, name).to(a.dtype).expand_as(a), b)
    return Merged(layers, {})


def _ready(lora: Lora, weights: Tensor, equal_ranks: str | None = None) -> Tensor:
    """The shares (K,), once the clients' shapes, and where a rule asks for it their ranks, fit."""
    p = shares(weights, len(lora.scale))
    checked(present(lora, p > 0))
    ranks = numbers(lora.ranks)
    if equal_ranks and len(set(ranks)) > 1:
        raise MootError(
            f"{equal_ranks} needs equal ranks, clients have {ranks}; use flexlora, flora or hetlora"
        )
    return p


def _handed(lora: Lora, a_KRI: Tensor, b_KOR: Tensor, p_a: Tensor, p_b: Tensor) -> Factors:
    """What every client gets of the means of A and of s B, one under p_a and one under p_b."""
    unit = lora.scale.double() / lora.scale[0].double()  # equal scales give factors of exactly 1
    a = weighted_mean(a_KRI, p_a).to(a_KRI.dtype)
    b = weighted_mean(b_KOR, p_b * unit.to(p_b)).to(b_KOR.dtype)
    b_K = b.expand_as(b_KOR)
    if bool((unit != 1).any()):
        b_K = b_K / unit.to(b).view(-1, 1, 1)
    return Factors(a.expand_as(a_KRI), b_K)


def _cut(lora: Lora, f: Factors) -> Factors:
    """Zero beyond each client's rank."""
    if min(numbers(lora.ranks)) == f.a.shape[1]:
        return f
    kept = torch.arange(f.a.shape[1], device=f.a.device) < lora.ranks.to(f.a.device)[:, None]
    return Factors(f.a * kept[:, :, None], f.b * kept[:, None, :])


def _common(frozen: Mapping[str, Tensor], p: Tensor, which: str) -> None:
    """Raise unless all present clients hold the same."""
    for name, x in frozen.items():
        rows = x[(p > 0).to(x.device)]
        if not bool((rows == rows[:1]).all()):
            raise MootError(
                f"{name}: {which} is frozen in this round, yet clients differ in it; "
                f"see `trained` for what to train"
            )


def _first(p: Tensor) -> Tensor:
    """One-hot of the first present client."""
    return torch.zeros_like(p).index_fill(0, p.argmax(), 1)


def trained(rule: str, number: int) -> str:
    """Which tensors clients train in that round: "AB", "A" or "B"."""
    if rule == "rolora":
        return "BA"[number % 2]
    return "B" if rule == "ffa" else "AB"


def sent(rule: str, number: int) -> str:
    """Which tensors clients send up in that round, as in `trained`."""
    return "A" if rule == "fedsa" else trained(rule, number)


RULES: dict[str, Rule] = {
    "fedit": Rule(fedit, "mean of A and mean of B (Zhang et al. 2024)"),
    "fedex": Rule(fedex, "the same, exact by a residual in the base (Singhal et al. 2024)"),
    "flora": Rule(flora, "exact by stacking into the base, mixed ranks (Wang et al. 2024)"),
    "flexlora": Rule(flexlora, "SVD of the mean product to each rank (Bai et al. 2024)"),
    "hetlora": Rule(hetlora, "padded means weighted by norm, mixed ranks (Cho et al. 2024)"),
    "ffa": Rule(ffa, "A frozen, mean of B, exact (Sun et al. 2024)"),
    "rolora": Rule(rolora, "A and B in turn, exact (Chen et al. 2025)"),
    "fedsa": Rule(fedsa, "mean of A, personal B (Guo et al. 2024)"),
}
"""Name -> rule(lora, weights, start, number of the round from 0, **settings) -> `Merged`."""
