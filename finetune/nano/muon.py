"""Muon: momentum whose matrix is made orthogonal before each step (Jordan et al. 2024).

    M <- mu M + (1 - mu) G,   W <- W - lr sqrt(max(1, rows / columns)) NS(mu M + (1 - mu) G)

NS is the quintic Newton-Schulz iteration of https://kellerjordan.github.io/posts/muon/ : five products
bring all singular values near 1, so that no direction of a small model starves. In float32 and batched
over matrices of one shape, since PyTorch's own `torch.optim.Muon` computes in bfloat16, which costs
seconds a step on a CPU without bfloat16 units. For hidden matrices only; the rest belongs to AdamW.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Muon(torch.optim.Optimizer):
    """`lr` is the spectral norm of an update; matrices (rows, columns) only."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            lr, mu = group["lr"], group["momentum"]
            alike: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - mu)
                alike.setdefault(p.shape, []).append(p)
            for (rows, columns), params in alike.items():
                push = torch.stack([p.grad.lerp(self.state[p]["momentum"], mu) for p in params])  # pyright: ignore[reportOptionalMemberAccess]
                scale = max(1.0, rows / columns) ** 0.5
                for p, way in zip(params, orthogonal(push), strict=True):
                    p.mul_(1 - lr * group["weight_decay"]).add_(way, alpha=-lr * scale)


def orthogonal(matrices_KMN: Tensor, steps: int = 5) -> Tensor:
    """Each matrix with its singular values brought to about 1 (between 0.7 and 1.2)."""
    tall = matrices_KMN.shape[1] > matrices_KMN.shape[2]
    x = matrices_KMN.transpose(1, 2) if tall else matrices_KMN
    x = x / (x.square().sum((1, 2), keepdim=True).sqrt() + 1e-7)
    for _ in range(steps):
        gram = x @ x.transpose(1, 2)
        x = 3.4445 * x + (2.0315 * gram @ gram - 4.775 * gram) @ x
    return x.transpose(1, 2) if tall else x
