"""Rank self-pruning: a client whose data need few directions gives the others up, by itself.

    HetLoRA, Cho et al. 2024, arXiv 2401.06432; its aggregation is `lora.hetlora`

    the client trains on    F_k + decay * R_k,    R_k = sum over layers of ||B_tail|| ||A_tail||
    and if R_k is smaller after the round than before it,    r_k becomes ceil(gamma r_k)

The tail are the directions from ceil(gamma r_k) on, those that other clients are least likely to have and
that truncation cuts first; Frobenius norms. `pressure` adds the gradient of the second term while training
(it is what `train` takes as `correct`), `pruned` decides and cuts. The paper writes one layer; a client
has one rank for all its layers here, so their terms are summed. A client that begins with B = 0 has R_k = 0
and is not pruned in that round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ...protocols import MootError
from .average import numbers
from .gram import Factors, Lora, linalg

ENDS = (".lora_A", ".lora_B")


def shorter(ranks: Tensor, gamma: float) -> Tensor:
    """ceil(gamma r), (K,), at least 1. Raises `MootError` unless 0 < gamma < 1."""
    if not 0 < gamma < 1:
        raise MootError(f"gamma {gamma}: want a share of the rank between 0 and 1, as in 0.75")
    return (ranks.double() * gamma - 1e-9).ceil().clamp_min(1).to(ranks.dtype)


def tails(lora: Lora, gamma: float) -> Tensor:
    """R_k, (K,) float64."""
    return sum(
        (
            _norm(f.a, -2, lora.ranks, gamma) * _norm(f.b, -1, lora.ranks, gamma)
            for f in lora.layers.values()
        ),
        start=torch.zeros(len(lora.ranks), dtype=torch.float64),
    )


def pressure(
    tensors: Mapping[str, Tensor], ranks: Tensor, *, gamma: float, decay: float
) -> Callable[[dict[str, Tensor]], None]:
    """Adds the gradient of decay * R_k to every client's gradients, name -> (K, ...), in place.

    `tensors` are those in training, `layer.lora_A` and `layer.lora_B`; read when it is called. Where a
    norm is 0 its gradient is taken as 0.
    """
    shorter(ranks, gamma)
    layers = [n.removesuffix(ENDS[0]) for n in tensors if n.endswith(ENDS[0])]

    @torch.no_grad()
    def correct(grads: dict[str, Tensor]) -> None:
        for layer in layers:
            a, b = tensors[layer + ENDS[0]], tensors[layer + ENDS[1]]
            size_a, size_b = _norm(a, -2, ranks, gamma), _norm(b, -1, ranks, gamma)
            for name, x, dim, own, other in (
                (layer + ENDS[0], a, -2, size_a, size_b),
                (layer + ENDS[1], b, -1, size_b, size_a),
            ):
                if name in grads:
                    by = torch.where(own > 0, decay * other / own.clamp_min(1e-300), 0.0)
                    grads[name] += _tail(x, dim, ranks, gamma) * by.to(x).view(-1, 1, 1)

    return correct


def pruned(lora: Lora, start: Lora, *, gamma: float) -> Lora:
    """After a round that began from `start`: clients whose R_k shrank have their tail cut off.

    Scales stay, so that what is left of B A is what it was. Ranks of both must be the same. Raises
    `MootError` when they are not.
    """
    if not torch.equal(lora.ranks, start.ranks):
        raise MootError(
            f"ranks are {numbers(lora.ranks)}, but {numbers(start.ranks)} at the start of the round"
        )
    smaller = tails(lora, gamma) < tails(start, gamma)
    ranks = torch.where(smaller, shorter(lora.ranks, gamma), lora.ranks)
    layers = {
        name: Factors(
            f.a * (torch.arange(f.a.shape[-2]) < ranks[:, None])[:, :, None].to(f.a.device),
            f.b * (torch.arange(f.b.shape[-1]) < ranks[:, None])[:, None, :].to(f.b.device),
        )
        for name, f in lora.layers.items()
    }
    return Lora(layers, lora.scale, ranks)


def _tail(x: Tensor, dim: int, ranks: Tensor, gamma: float) -> Tensor:
    """`x` (K, ...) with the kept part of its rank's axis `dim` zero."""
    out_KR = torch.arange(x.shape[dim]) >= shorter(ranks, gamma)[:, None]
    return x * (out_KR[:, :, None] if dim == -2 else out_KR[:, None, :]).to(x.device)


def _norm(x: Tensor, dim: int, ranks: Tensor, gamma: float) -> Tensor:
    """(K,) float64, on the CPU."""
    tail = _tail(x.detach(), dim, ranks, gamma).flatten(1)
    return linalg.vector_norm(tail, dim=1, dtype=torch.float64).cpu()
