"""Robust aggregation of LoRA: distances between products B A choose weights, a rule of `lora_rules` merges.

Since distances come from Gram matrices of products and `flexlora` keeps the mean of products, the whole
is blind to the gauge of every client: (B Q, Q^-1 A) gives the same model as (B, A). `merge` may be any
rule that keeps the mean (flexlora, fedex, flora); with `fedit` the weights alone are blind to it.
Median and trimmed mean of factors have no such property and are therefore not here.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .average import Rule, shares
from .gram import Factors, Lora, checked, distances, gram, present, update_norms, with_start
from .lora import Merged, flexlora
from .robust import (
    Judge,
    clip_weights,
    judged,
    krum_weights,
    multi_krum_weights,
    rfa_weights,
)

Merging = Callable[[Lora, Tensor, Lora, int], Merged]
"""A rule of `lora_rules` without settings of its own."""


def _by_distance(
    lora: Lora, weights: Tensor, start: Lora, number: int, merge: Merging, judge: Judge,
    **settings: object,
) -> Merged:  # fmt: skip
    here = shares(weights, len(lora.scale)) > 0
    checked(present(lora, here))
    w = judged(weights, lambda here: distances(gram(present(lora, here))), judge, **settings)
    return merge(lora, w, start, number)


def krum(
    lora: Lora, weights: Tensor, start: Lora, number: int,
    *, bad: int | None = None, merge: Merging = flexlora,
) -> Merged:  # fmt: skip
    """The most central product, see `robust.krum_scores`."""
    return _by_distance(lora, weights, start, number, merge, krum_weights, bad=bad)


def multi_krum(
    lora: Lora, weights: Tensor, start: Lora, number: int,
    *, bad: int | None = None, keep: int | None = None, merge: Merging = flexlora,
) -> Merged:  # fmt: skip
    """The mean of the most central products, see `robust.multi_krum_weights`."""
    return _by_distance(lora, weights, start, number, merge, multi_krum_weights, bad=bad, keep=keep)


def rfa(
    lora: Lora, weights: Tensor, start: Lora, number: int, *, merge: Merging = flexlora
) -> Merged:
    """The geometric median of the products, see `robust.rfa_weights`."""
    return _by_distance(lora, weights, start, number, merge, rfa_weights)


def norm_clip(
    lora: Lora, weights: Tensor, start: Lora, number: int,
    *, most: float | None = None, merge: Merging = flexlora,
) -> Merged:  # fmt: skip
    """M + sum p_k min(1, most / ||M_k - M||) (M_k - M) with M_k = s_k B_k A_k and M what was sent.

    Written as a mean over K + 1 clients, the last of them the model that was sent (the first client's,
    when clients were sent different cuts of it). Only for merges that keep the mean.
    """
    p = shares(weights, len(lora.scale))
    here = p > 0
    some = checked(present(lora, here))
    w = torch.zeros(len(p) + 1, dtype=p.dtype, device=p.device)
    w[:-1][here] = clip_weights(update_norms(some, present(start, here)), p[here], most)
    w[-1] = 1 - w.sum()
    layers, residual = merge(
        with_start(lora, start), w.clamp_min(0), with_start(start, start), number
    )
    return Merged({n: Factors(f.a[:-1], f.b[:-1]) for n, f in layers.items()}, residual)


RULES: dict[str, Rule] = {
    "krum": Rule(krum, "the most central product (Blanchard et al. 2017)"),
    "multi_krum": Rule(multi_krum, "mean of the most central products (Blanchard et al. 2017)"),
    "rfa": Rule(rfa, "geometric median of products (Pillutla et al. 2022)"),
    "norm_clip": Rule(norm_clip, "mean of updates of bounded norm (Sun et al. 2019)"),
}
"""Name -> rule(lora, weights, start, number of the round from 0, **settings) -> `Merged`."""
