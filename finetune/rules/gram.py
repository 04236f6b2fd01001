"""Geometry of low-rank products through r x r Gram matrices: no m x d matrix is ever formed.

    <B_i A_i, B_j A_j> = tr(A_i^T B_i^T B_j A_j) = sum((B_i^T B_j) * (A_i A_j^T))

The space of products is a Hilbert space, so all that distances, norms of means and robust rules need is
the K x K matrix G of these inner products, summed over layers. A change of gauge (B Q, Q^-1 A) leaves G
as it is. Its cost is O(K^2 r^2 (m + d)) a layer; half of it is saved by symmetry.

Products are summed in the dtype of the factors, layers in float64: a squared distance is known to about
1e-6 of the squared norms when factors are float32. `aggregation_error` centres factors before it
multiplies, and is as precise as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...protocols import MootError
from .average import Tensors, numbers, shares, weighted_mean

linalg: Any = torch.linalg  # its functions carry no types

BLOCK = 8
"""Clients whose rows of G are computed at once."""


class Factors(NamedTuple):
    """A product b @ a, with or without a leading client axis."""

    a: Tensor
    """(..., r, in)"""
    b: Tensor
    """(..., out, r)"""


class Lora(NamedTuple):
    """The LoRA adapters of K clients: client k adds scale_k B_k A_k to every layer."""

    layers: Mapping[str, Factors]
    """Layer -> A (K, r, in), B (K, out, r); rows of A and columns of B from `ranks` on are 0."""
    scale: Tensor
    """(K,), alpha / r or alpha / sqrt(r)."""
    ranks: Tensor
    """(K,), whole numbers from 1 to r. Scales, ranks and weights live on the CPU, as Grams do."""


def paired(
    tensors: Tensors, scale: Tensor, ranks: Tensor, ends: tuple[str, str] = (".lora_A", ".lora_B")
) -> Lora:
    """`Lora` from a flat mapping whose names end in `ends`, for A and B, without their graphs.

    Raises `MootError` when a tensor has no partner, or `checked` does.
    """
    a_end, b_end = ends
    layers: dict[str, Factors] = {}
    for name in tensors:
        layer = name.removesuffix(a_end) if name.endswith(a_end) else name.removesuffix(b_end)
        if layer == name or layer + a_end not in tensors or layer + b_end not in tensors:
            raise MootError(f"{name} is not half of a pair *{a_end}, *{b_end}; use a plain rule")
        layers[layer] = Factors(tensors[layer + a_end].detach(), tensors[layer + b_end].detach())
    return checked(Lora(layers, scale, ranks))


def flat(
    layers: Mapping[str, Factors], ends: tuple[str, str] = (".lora_A", ".lora_B")
) -> dict[str, Tensor]:
    """The flat mapping of `paired`, back."""
    pairs = [{n + ends[0]: f.a, n + ends[1]: f.b} for n, f in layers.items()]
    return {name: x for pair in pairs for name, x in pair.items()}


def checked(lora: Lora) -> Lora:
    """The same, once shapes fit and everything beyond a client's rank is 0. Raises `MootError`."""
    k = len(lora.scale)
    if not lora.layers or lora.scale.shape != (k,) or lora.ranks.shape != (k,):
        raise MootError(
            f"{len(lora.layers)} layers, scale {tuple(lora.scale.shape)}, "
            f"ranks {tuple(lora.ranks.shape)}; need a layer, and one scale and one rank per client"
        )
    ranks = numbers(lora.ranks)
    for name, (a, b) in lora.layers.items():
        if a.ndim != 3 or b.ndim != 3 or not len(a) == len(b) == k or a.shape[1] != b.shape[2]:
            raise MootError(
                f"{name}: A {tuple(a.shape)} and B {tuple(b.shape)} for {k} clients; "
                "A is (K, r, in) and B is (K, out, r)"
            )
        r = a.shape[1]
        for client, rank in enumerate(ranks):
            if not 1 <= rank <= r:
                raise MootError(f"client {client} has rank {rank}; {name} holds 1 to {r}")
            if rank < r and bool(a[client, rank:].any() | b[client, :, rank:].any()):
                raise MootError(f"{name}: client {client} has numbers beyond its rank {rank}")
    return lora


def gram(lora: Lora) -> Tensor:
    """G (K, K), float64: inner products of the clients' scale_k B_k A_k, all layers together."""
    total = torch.stack([_gram(f.a, f.b.mT).cpu() for f in lora.layers.values()]).sum(0)
    s = lora.scale.cpu().to(torch.float64)
    return total * s[:, None] * s


def plain_gram(clients: Tensors) -> Tensor:
    """G (K, K), float64, for plain tensors (K, ...): inner products of all of them together."""
    rows = (x.reshape(len(x), -1) for x in clients.values())
    return torch.stack([(x @ x.T).cpu().to(torch.float64) for x in rows]).sum(0)


def _gram(a_KRI: Tensor, b_KRO: Tensor) -> Tensor:
    k, r = a_KRI.shape[:2]
    a, b = a_KRI.reshape(k * r, -1), b_KRO.reshape(k * r, -1)
    g = torch.zeros(k, k, dtype=torch.float64, device=a.device)
    for low in range(0, k, BLOCK):
        high = min(low + BLOCK, k)
        rows, rest = slice(low * r, high * r), slice(low * r, None)
        both = (b[rows] @ b[rest].T).mul_(a[rows] @ a[rest].T)
        g[low:high, low:] = both.view(high - low, r, k - low, r).sum((1, 3), dtype=torch.float64)
        g[high:, low:high] = g[low:high, high:].T
    return g


def distances(g: Tensor) -> Tensor:
    """Squared distances (K, K) from inner products: G_ii + G_jj - 2 G_ij, never below 0."""
    own = g.diagonal()
    return (own[:, None] + own - 2 * g).clamp_min(0).fill_diagonal_(0)


def about(g: Tensor, weights: Tensor) -> Tensor:
    """G of x_k - sum_j w_j x_j. With a one-hot `weights` (K,), the updates from one of them."""
    w = weights.to(g)
    along = g @ w
    return g - along[:, None] - along + w @ along


def norms(g: Tensor) -> Tensor:
    """Frobenius norms (K,)."""
    return g.diagonal().clamp_min(0).sqrt()


def product_norms(lora: Lora) -> Tensor:
    """||scale_k B_k A_k||_F over all layers (K,), float64: the diagonal of G alone, cheaper."""
    squares = [((f.b.mT @ f.b) * (f.a @ f.a.mT)).sum((1, 2)).cpu() for f in lora.layers.values()]
    total = torch.stack(squares).to(torch.float64).sum(0)
    return lora.scale.abs().to(total) * total.clamp_min(0).sqrt()


def update_norms(lora: Lora, start: Lora) -> Tensor:
    """||M_k - M_k0||_F over all layers (K,), float64, with M = scale B A and M_k0 what k was sent.

    M - M_0 = (B - B_0) A + B_0 (A - A_0), scales inside B: small updates of large adapters are not lost.
    """
    s, s_0 = lora.scale.view(-1, 1, 1), start.scale.view(-1, 1, 1)
    squares: list[Tensor] = []
    for name, (a, b) in lora.layers.items():
        a_0, b_0 = start.layers[name].a, start.layers[name].b * s_0.to(b)
        d_b, d_a = b * s.to(b) - b_0, a - a_0
        pairs = ((d_b, a, d_b, a, 1), (d_b, a, b_0, d_a, 2), (b_0, d_a, b_0, d_a, 1))
        parts = [n * ((x.mT @ u) * (y @ v.mT)).sum((1, 2)).double() for x, y, u, v, n in pairs]
        squares.append(torch.stack(parts).sum(0).cpu())
    return torch.stack(squares).sum(0).clamp_min(0).sqrt()


def with_start(lora: Lora, start: Lora) -> Lora:
    """The clients, and after them, as client K + 1, the first client of `start`."""
    layers = {
        name: Factors(*(torch.cat([new, old[:1]]) for new, old in zip(f, start.layers[name], strict=True)))
        for name, f in lora.layers.items()
    }  # fmt: skip
    return Lora(
        layers, torch.cat([lora.scale, start.scale[:1]]), torch.cat([lora.ranks, start.ranks[:1]])
    )


def centred(lora: Lora, weights: Tensor) -> dict[str, Factors]:
    """A_k - A_mean and scale_k B_k - mean(scale B), per layer (K, ...); means as FedIT takes them."""
    p = shares(weights, len(lora.scale))
    found: dict[str, Factors] = {}
    for name, (a, b) in lora.layers.items():
        # Kept as (K, r, out), which is how Grams read it; large copies cost more than the arithmetic.
        rows = b.mT.clone(memory_format=torch.contiguous_format)
        rows *= lora.scale.to(b).view(-1, 1, 1)
        rows -= weighted_mean(rows, p, name)
        found[name] = Factors(a - weighted_mean(a, p, name), rows.mT)
    return found


def layer_errors(lora: Lora, weights: Tensor) -> dict[str, float]:
    """Layer -> ||sum p_k s_k B_k A_k - B_mean A_mean||_F, what averaging factors throws away there.

    It is the norm of sum p_k (s_k B_k - B_mean)(A_k - A_mean), so no two large numbers are subtracted.
    """
    here = shares(weights, len(lora.scale)) > 0
    p = shares(weights[here], int(here.sum()))
    lora = present(lora, here)
    errors: dict[str, float] = {}
    for name, f in lora.layers.items():
        ours = centred(Lora({name: f}, lora.scale, lora.ranks), p)[name]
        errors[name] = float((p @ _gram(ours.a, ours.b.mT).to(p) @ p).clamp_min(0).sqrt())
    return errors


def aggregation_error(lora: Lora, weights: Tensor) -> float:
    """`layer_errors`, all layers together: the certificate that every round reports."""
    return sum(e * e for e in layer_errors(lora, weights).values()) ** 0.5


def present(lora: Lora, here: Tensor) -> Lora:
    """Only the clients where `here` (K,) is true; the same object when that is all of them."""
    if bool(here.all()):
        return lora
    layers = {n: Factors(f.a[here], f.b[here]) for n, f in lora.layers.items()}
    return Lora(layers, lora.scale[here], lora.ranks[here])


def stacked(lora: Lora, p: Tensor) -> dict[str, Factors]:
    """[p_1 s_1 B_1 ... p_K s_K B_K] (out, n) and [A_1; ...; A_K] (n, in), n the sum of the ranks.

    Their product is sum p_k s_k B_k A_k, with p as it is.
    """
    ranks = numbers(lora.ranks)
    c = (p.double() * lora.scale.double()).repeat_interleave(lora.ranks)
    found: dict[str, Factors] = {}
    for name, (a, b) in lora.layers.items():
        wide = torch.cat([b[k, :, :r] for k, r in enumerate(ranks)], 1)
        wide *= c.to(b)
        found[name] = Factors(torch.cat([a[k, :r] for k, r in enumerate(ranks)]), wide)
    return found


def svd(factors: Factors) -> tuple[Tensor, Tensor, Tensor]:
    """U (out, n), S (n,), V^T (n, in) of b @ a, n = min(out, r, in): QR of both factors, a small SVD."""
    q_b, r_b = linalg.qr(factors.b)
    q_a, r_a = linalg.qr(factors.a.mT)
    u, s, vh = linalg.svd(r_b @ r_a.mT, full_matrices=False)
    return q_b @ u, s, vh @ q_a.mT


def singular_values(factors: Factors) -> Tensor:
    """Singular values of b @ a, largest first, (..., min(r, out, in)); by QR of both and a small SVD."""
    left = linalg.qr(factors.b, mode="r").R
    right = linalg.qr(factors.a.mT, mode="r").R
    return linalg.svdvals(left @ right.mT)


def effective_rank(singular: Tensor) -> Tensor:
    """exp(entropy of sigma / sum sigma), (...,): 1 for one direction, n for n equal ones, 0 for none.

    Roy and Vetterli 2007, "The effective rank".
    """
    total = singular.sum(-1, keepdim=True)
    share = singular / torch.where(total > 0, total, 1)
    rank = (-torch.xlogy(share, share).sum(-1)).exp()
    return torch.where(total.squeeze(-1) > 0, rank, 0)
