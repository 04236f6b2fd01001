"""The next token of every row: mask, temperature, top-k, top-p, min-p, one uniform, inverse CDF.

All in float64 on the logits' device, so that a draw turns on its own row and its own uniform alone. A
token is the first whose cumulated probability exceeds `u` times the total; nothing calls a global
generator. Left out: penalties for repetition (a masked reply has to repeat braces and item names).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .options import Sampling

NO_DOUBLES = {"mps"}
"""Device types without float64."""


def judged_on(device: torch.device) -> torch.device:
    """Where the logits of a model on `device` are masked and drawn from."""
    return torch.device("cpu") if device.type in NO_DOUBLES else device


@dataclass(frozen=True, slots=True)
class Drawn:
    """One token per row, `(B,)` each."""

    ids: list[int]
    logprobs: list[float]
    """Under the distribution drawn from; 0 at temperature 0, where there is only one choice."""
    plain: list[float]
    """Log-probabilities at temperature 1, before the mask."""
    log_masses: list[float]
    """log of the probability of all legal tokens, at temperature 1, before the mask. -inf when the mask
    left nothing to draw; NaN when the logits were not finite."""


def draw(
    logits: Tensor, legal: Tensor, uniforms: Tensor, how: Sampling | Sequence[Sampling]
) -> Drawn:
    """Draw from `logits` (B, V) under `legal` (B, V, bool) with `uniforms` (B,) in [0, 1), float64.

    `how` is the same for all rows or one per row. With p the softmax over all tokens, the legal mass is
    the sum of p over legal tokens. Rows that cannot be drawn from get an arbitrary id and say why in
    `log_masses`.
    """
    total = torch.logsumexp(logits.float(), -1).double()
    scores = logits.double().masked_fill_(~legal, -torch.inf)
    best, ids = scores.max(-1, keepdim=True)
    scores -= best
    weights = scores.exp()
    log_masses = best[:, 0] + weights.sum(-1).log() - total
    log_masses = torch.where(best[:, 0] > -torch.inf, log_masses, -torch.inf)
    log_masses = torch.where(total.isfinite(), log_masses, torch.nan)
    logprobs = torch.zeros_like(total)
    uniforms = uniforms.to(scores.device)
    hows = [how] * len(ids) if isinstance(how, Sampling) else list(how)
    for one in dict.fromkeys(hows):
        if one.temperature == 0:
            continue
        if len(set(hows)) == 1:
            ids, logprobs = _one(scores, weights, uniforms, one)
        else:
            at = torch.tensor([i for i, h in enumerate(hows) if h == one], device=scores.device)
            ids[at], logprobs[at] = _one(scores[at], weights[at], uniforms[at], one)
    plain = logits.gather(-1, ids)[:, 0].double() - total
    # One transfer for all four: each is a synchronisation on an accelerator.
    stacked: Any = torch.stack((ids[:, 0].double(), logprobs, plain, log_masses))
    columns = stacked.tolist()
    return Drawn([int(i) for i in columns[0]], columns[1], columns[2], columns[3])


def _one(scores: Tensor, weights: Tensor, uniforms: Tensor, how: Sampling) -> tuple[Tensor, Tensor]:
    """Ids (B, 1) and log-probabilities (B,) of rows drawn alike. `scores` (B, V) are logits, the best
    legal one 0, and `weights` their exponentials."""
    if how.temperature != 1:
        weights = torch.exp(scores / how.temperature)
    weights = _kept(weights, how)
    sums = weights.cumsum(-1)
    all_ = sums[:, -1:]
    # u < 1, but u * total may round up to the total, which no cumulated sum exceeds.
    target = torch.minimum(uniforms[:, None] * all_, _below(all_))
    ids = torch.searchsorted(sums, target, right=True).clamp_max(sums.shape[-1] - 1)
    return ids, torch.log(weights.gather(-1, ids) / all_)[:, 0]


def given(logits: Tensor, ids: Sequence[int]) -> list[float]:
    """Log-probabilities of tokens that were not drawn but given, one per row of `logits` (B, V); NaN
    where the logits are not finite."""
    total = torch.logsumexp(logits.float(), -1)
    at = torch.tensor(ids, device=logits.device)[:, None]
    plain = logits.gather(-1, at)[:, 0].double() - total.double()
    sound: Any = torch.where(total.isfinite(), plain, torch.nan)
    return sound.tolist()


def _kept(weights: Tensor, how: Sampling) -> Tensor:
    """Weights (B, V), proportional to probabilities, with those outside top-k, top-p, min-p set to 0."""
    if how.top_k and how.top_k < weights.shape[-1]:
        least = weights.topk(how.top_k, -1).values[:, -1:]
        weights = weights.masked_fill(weights < least, 0.0)
    if how.top_p < 1:
        ranked, order = torch.sort(weights, stable=True, dim=-1, descending=True)
        before = ranked.cumsum(-1) - ranked
        beyond = before >= how.top_p * ranked.sum(-1, keepdim=True)
        beyond[:, 0] = False
        weights = weights.masked_fill(torch.zeros_like(beyond).scatter(-1, order, beyond), 0.0)
    if how.min_p > 0:
        weights = weights.masked_fill(weights < how.min_p * weights.amax(-1, keepdim=True), 0.0)
    return weights


def _below(x: Tensor) -> Tensor:
    return torch.nextafter(x, torch.zeros_like(x))
