"""Optimisers for stacked parameters: every agent has its own rate, its own step count, and may stand still.

Rates, step counts and activity are (K,) vectors, so one update of a (K, ...) tensor is K separate updates
of `torch.optim`'s formula. An inactive agent's parameters, moments and count keep their bits: no decay,
no momentum. Gradients are clipped by each agent's own norm; one norm over all would couple them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from ..protocols import MootError

Schedule = Literal["constant", "linear", "cosine"]


def rates(kind: Schedule, step: Tensor, total: Tensor, warmup: Tensor) -> Tensor:
    """Share (K,) of the highest rate for update number `step` (K,), counted from 0, of `total` (K,).

    It rises linearly over `warmup` (K,) updates; then it stays, falls linearly to 0, or along a half
    cosine to 0 (Loshchilov and Hutter 2017, arXiv 1608.03983).
    """
    step, total, warmup = step.double(), total.double(), warmup.double()
    up = ((step + 1) / warmup.clamp_min(1)).clamp_max(1)
    done = ((step - warmup) / (total - warmup).clamp_min(1)).clamp(0, 1)
    down = {
        "constant": torch.ones_like(done),
        "linear": 1 - done,
        "cosine": (1 + torch.cos(math.pi * done)) / 2,
    }[kind]
    return torch.where(step < warmup, up, down)


def norms(grads: Mapping[str, Tensor]) -> Tensor:
    """Norm (K,) of each agent's gradient over all its tensors."""
    squares = [g.flatten(1).square().sum(1).cpu() for g in grads.values()]
    return torch.stack(squares).sum(0).sqrt()


def clip(grads: Mapping[str, Tensor], most: float) -> Tensor:
    """Scale each agent's gradient down to norm `most`, in place; the norms (K,) before that."""
    norm = norms(grads)
    factor = (most / (norm + 1e-6)).clamp_max(1)
    for g in grads.values():
        g.mul_(wide(factor, g))
    return norm


def wide(vector: Tensor, like: Tensor) -> Tensor:
    """(K,) as (K, 1, ..., 1) of the device and kind of `like`."""
    return vector.to(like).reshape(-1, *[1] * (like.dim() - 1))


class _Stacked:
    """Slots beside every tensor, and the choice of the slices that move."""

    slots: tuple[str, ...] = ()

    def __init__(
        self, tensors: Mapping[str, Tensor], lr: float | Sequence[float], weight_decay: float
    ) -> None:
        self.tensors = dict(tensors)
        if not self.tensors:
            raise MootError("an optimiser wants at least one tensor; none is left to train")
        agents = next(iter(self.tensors.values())).shape[0]
        given = [lr] * agents if isinstance(lr, float | int) else list(lr)
        if len(given) != agents or min(given) < 0:
            raise MootError(
                f"lr {lr}: want one rate of at least 0, or one for each of {agents} agents"
            )
        self.lr = torch.tensor(given, dtype=torch.float64)
        """Highest rate, (K,)."""
        self.weight_decay = weight_decay
        self.steps = torch.zeros(agents, dtype=torch.int64)
        """Updates made, (K,)."""
        self.memory = {
            f"{slot}.{name}": torch.zeros_like(t)
            for slot in self.slots
            for name, t in self.tensors.items()
        }

    @torch.no_grad()
    def update(
        self, grads: Mapping[str, Tensor], active: Tensor | None = None, share: Tensor | None = None
    ) -> None:
        """One update of the agents that are `active` (K,) bool, at `share` (K,) of their rate."""
        chosen = torch.arange(len(self.steps)) if active is None else active.nonzero().flatten()
        if not len(chosen):
            return
        everyone = len(chosen) == len(self.steps)
        self.steps[chosen] += 1
        lr = (self.lr if share is None else self.lr * share)[chosen]
        steps = self.steps[chosen]
        for name, t in self.tensors.items():
            held = [t, *(self.memory[f"{slot}.{name}"] for slot in self.slots)]
            if everyone:
                self._move(grads[name], lr, steps, *held)
                continue
            at = chosen.to(t.device)
            some = [h.index_select(0, at) for h in held]
            self._move(grads[name].index_select(0, at), lr, steps, *some)
            for whole, part in zip(held, some, strict=True):
                whole.index_copy_(0, at, part)

    def _move(self, g: Tensor, lr: Tensor, steps: Tensor, t: Tensor, *held: Tensor) -> None:
        raise NotImplementedError

    def state(self) -> dict[str, Tensor]:
        """A copy of everything an interrupted run needs."""
        return {
            "steps": self.steps.clone(), "lr": self.lr.clone(),
            **{name: m.clone() for name, m in self.memory.items()},
        }  # fmt: skip

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave. Raises `MootError` when it is of another optimiser."""
        mine = {"steps": self.steps, "lr": self.lr, **self.memory}
        if {n: t.shape for n, t in state.items()} != {n: t.shape for n, t in mine.items()}:
            raise MootError("this state is of another optimiser, or of other tensors")
        for name, t in mine.items():
            t.copy_(state[name])


class AdamW(_Stacked):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101).

    m = b1 m + (1 - b1) g      v = b2 v + (1 - b2) g^2
    p = p - lr decay p - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
    """

    slots = ("m", "v")

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        lr: float | Sequence[float],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(tensors, lr, weight_decay)
        self.betas, self.eps = betas, eps

    def _move(self, g: Tensor, lr: Tensor, steps: Tensor, t: Tensor, *held: Tensor) -> None:
        m, v = held
        one, two = self.betas
        if self.weight_decay:
            t.mul_(wide(1 - lr * self.weight_decay, t))
        m.lerp_(g, 1 - one)
        v.mul_(two).addcmul_(g, g, value=1 - two)
        first = lr / (1 - one ** steps.double())
        second = (1 - two ** steps.double()).sqrt()
        t.sub_(m / (v.sqrt() / wide(second, t) + self.eps) * wide(first, t))


class SGD(_Stacked):
    """Gradient descent with momentum, as `torch.optim.SGD`: u = mu u + g + decay p; p = p - lr u."""

    slots = ("u",)

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        lr: float | Sequence[float],
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(tensors, lr, weight_decay)
        self.momentum = momentum

    def _move(self, g: Tensor, lr: Tensor, steps: Tensor, t: Tensor, *held: Tensor) -> None:
        (u,) = held
        u.mul_(self.momentum).add_(g)
        if self.weight_decay:
            u.add_(t, alpha=self.weight_decay)
        t.sub_(u * wide(lr, t))
