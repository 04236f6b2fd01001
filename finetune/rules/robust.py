"""Aggregation when some clients are broken or hostile.

Two kinds of rule. Median and trimmed mean look at every number apart. The others look at distances
between whole clients, and need nothing but the squared distances D (K, K) over all layers together: they
choose a weight for each client, and the model is the mean with these weights. For plain tensors D comes
from `plain_gram`; for LoRA from `gram`, on products B A, so that nobody can look near or far by a change
of gauge (B Q, Q^-1 A) that leaves the model as it is.

`bad` is how many clients may be anything at all; left out, as many as the rule can bear. Every present
client has one vote, whatever its weight, since clients state their weights themselves; the geometric
median and clipping do use weights, as their papers do.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...protocols import MootError
from .average import Merge, Rule, Tensors, average, shares, weighted_mean
from .gram import distances, norms, plain_gram

CHUNK = 1 << 18
"""Numbers per client that are sorted at once."""


def median(clients: Tensors, weights: Tensor, start: Tensors, state: Tensors) -> Merge:
    """Median of every number, the mean of the middle two when K is even.

    Yin et al. 2018, arXiv 1803.01498. Bears fewer than half of the clients.
    """
    n = int((shares(weights, len(weights)) > 0).sum())
    return _trimmed(clients, weights, (n - 1) // 2)


def trimmed_mean(
    clients: Tensors, weights: Tensor, start: Tensors, state: Tensors, *, bad: int | None = None
) -> Merge:
    """Mean of every number without its `bad` largest and `bad` smallest values.

    Yin et al. 2018, arXiv 1803.01498. `bad` is a fifth of the clients unless given. Raises `MootError`
    when nothing would be left.
    """
    n = int((shares(weights, len(weights)) > 0).sum())
    bad = n // 5 if bad is None else bad
    if not 0 <= 2 * bad < n:
        raise MootError(
            f"trimmed mean without {bad} clients at each end of {n}; use 0 to {(n - 1) // 2}"
        )
    return _trimmed(clients, weights, bad)


def _trimmed(clients: Tensors, weights: Tensor, cut: int) -> Merge:
    here = shares(weights, len(weights)) > 0
    found: dict[str, Tensor] = {}
    for name, x in clients.items():
        rows = x if bool(here.all()) else x[here.to(x.device)]
        rows = rows.reshape(len(rows), -1)
        chunks = (rows[:, i : i + CHUNK] for i in range(0, rows.shape[1], CHUNK))
        parts = [_sorted(part)[cut : len(rows) - cut].mean(0) for part in chunks]
        found[name] = torch.cat(parts).view(x.shape[1:])
    return Merge(found, {})


def _sorted(x_KN: Tensor) -> Tensor:
    """Each column in order. Batcher's odd-even merge network on whole rows, many times `sort`'s speed."""
    rows = list(x_KN.unbind())
    n = len(rows)
    p = 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                for i in range(j, min(j + k, n - k)):
                    if i // (2 * p) == (i + k) // (2 * p):
                        low, high = rows[i], rows[i + k]
                        rows[i], rows[i + k] = torch.minimum(low, high), torch.maximum(low, high)
            k //= 2
        p *= 2
    return torch.stack(rows)


def krum_scores(d: Tensor, bad: int | None = None) -> Tensor:
    """Sum of squared distances to the n - bad - 2 nearest others, (n,); smaller is more central.

    Blanchard et al. 2017, arXiv 1703.02757, which needs n >= 2 bad + 3. Raises `MootError` otherwise.
    """
    n = len(d)
    bad = max(0, (n - 3) // 2) if bad is None else bad
    if n == 1 and bad == 0:
        return torch.zeros_like(d[0])
    if bad < 0 or n < 2 * bad + 3:
        raise MootError(f"krum with {bad} bad clients needs {2 * bad + 3} or more; {n} are present")
    others = d.masked_fill(torch.eye(n, dtype=torch.bool, device=d.device), torch.inf)
    return others.sort(1).values[:, : n - bad - 2].sum(1)


def krum_weights(d: Tensor, p: Tensor, bad: int | None = None) -> Tensor:
    """1 for the client with the least score, the first of them on a tie, and 0 for the rest, (n,)."""
    return multi_krum_weights(d, p, bad, keep=1)


def multi_krum_weights(
    d: Tensor, p: Tensor, bad: int | None = None, keep: int | None = None
) -> Tensor:
    """1/keep for the `keep` clients with the least scores, n - bad of them unless given, (n,)."""
    n = len(d)
    scores = krum_scores(d, bad)
    keep = n - (max(0, (n - 3) // 2) if bad is None else bad) if keep is None else keep
    if not 1 <= keep <= n:
        raise MootError(f"multi-krum cannot keep {keep} of {n} clients; use 1 to {n}")
    best = scores.argsort(stable=True)[:keep]
    return torch.zeros_like(scores).index_fill(0, best, 1 / keep)


def rfa_weights(d: Tensor, p: Tensor, steps: int = 200) -> Tensor:
    """Weights of the geometric median argmin_z sum_k p_k ||z - x_k||, (n,), summing to one.

    Smoothed Weiszfeld iteration, RFA (Pillutla et al. 2022, arXiv 1912.13445): w_k is proportional to
    p_k / max(nu, ||z - x_k||) with z = sum w_k x_k, whose distances follow from D alone:
    ||z - x_k||^2 = (D w)_k - w^T D w / 2. nu is 1e-6 of the median distance between two clients.
    """
    apart = d[d > 0].sqrt()
    nu = 1e-6 * float(apart.median()) if len(apart) else 1.0
    w = p
    for _ in range(steps):
        along = d @ w
        away = (along - w @ along / 2).clamp_min(0).sqrt().clamp_min(nu)
        new = p / away
        new = new / new.sum()
        if bool((new - w).abs().max() < 1e-12):
            return new
        w = new
    return w


def clip_weights(norm: Tensor, p: Tensor, most: float | None = None) -> Tensor:
    """p_k min(1, most / ||x_k - x||), (n,); what is missing from a sum of one belongs to x itself.

    Sun et al. 2019, arXiv 1911.07963. `most` is the median of the norms unless given.
    """
    limit = float(norm.quantile(0.5)) if most is None else most
    if not limit >= 0:
        raise MootError(f"norm_clip with most={limit}; give a norm of at least 0")
    return torch.where(norm > limit, p * limit / norm, p)


Judge = Callable[..., Tensor]
"""(D of the present clients, their shares, **settings) -> weights, as above."""


def judged(
    weights: Tensor, d: Callable[[Tensor], Tensor], judge: Judge, **settings: object
) -> Tensor:
    """New weights (K,): those of `judge` for the present clients, 0 for the others.

    `d` takes the mask (K,) of who is present and returns their squared distances.
    """
    p = shares(weights, len(weights))
    here = p > 0
    new = torch.zeros_like(p)
    new[here] = judge(d(here).to(p), p[here], **settings)
    return new


def _plain(
    clients: Tensors, weights: Tensor, start: Tensors, judge: Judge, **settings: object
) -> Merge:
    def d(here: Tensor) -> Tensor:
        # From what was sent on: less is lost to rounding than from 0.
        moved = {n: x[here.to(x.device)] - start[n] for n, x in clients.items()}
        return distances(plain_gram(moved))

    return Merge(average(clients, judged(weights, d, judge, **settings)), {})


def krum(
    clients: Tensors, weights: Tensor, start: Tensors, state: Tensors, *, bad: int | None = None
) -> Merge:
    """The most central client, see `krum_scores`."""
    return _plain(clients, weights, start, krum_weights, bad=bad)


def multi_krum(
    clients: Tensors, weights: Tensor, start: Tensors, state: Tensors,
    *, bad: int | None = None, keep: int | None = None,
) -> Merge:  # fmt: skip
    """The mean of the most central clients, see `multi_krum_weights`."""
    return _plain(clients, weights, start, multi_krum_weights, bad=bad, keep=keep)


def rfa(clients: Tensors, weights: Tensor, start: Tensors, state: Tensors) -> Merge:
    """The geometric median, see `rfa_weights`."""
    return _plain(clients, weights, start, rfa_weights)


def norm_clip(
    clients: Tensors, weights: Tensor, start: Tensors, state: Tensors, *, most: float | None = None
) -> Merge:
    """x + sum_k p_k min(1, most / ||x_k - x||) (x_k - x), see `clip_weights`."""
    p = shares(weights, len(weights))
    here = p > 0
    moved = {n: x[here.to(x.device)] - start[n] for n, x in clients.items()}
    c = clip_weights(norms(plain_gram(moved)), p[here], most)
    new = {n: start[n] + weighted_mean(x, c, n).to(x.dtype) for n, x in moved.items()}
    return Merge(new, {})


RULES: dict[str, Rule] = {
    "median": Rule(median, "median of every number (Yin et al. 2018)"),
    "trimmed_mean": Rule(
        trimmed_mean, "mean without the extremes of every number (Yin et al. 2018)"
    ),
    "krum": Rule(krum, "the most central client (Blanchard et al. 2017)"),
    "multi_krum": Rule(multi_krum, "mean of the most central clients (Blanchard et al. 2017)"),
    "rfa": Rule(rfa, "geometric median (Pillutla et al. 2022)"),
    "norm_clip": Rule(norm_clip, "mean of updates of bounded norm (Sun et al. 2019)"),
}
"""Name -> rule(clients, weights, start, state, **settings) -> `Merge`, as in `aggregate`."""
