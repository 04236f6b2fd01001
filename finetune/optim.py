"""Optimisers for stacked parameters: every agent has its own rate, its own step count, and may stand still.

The formulas are `torch.optim`'s own, called once for all agents of the same rate and step count: on whole
(K, ...) tensors where these are all, else on their slices. An inactive agent's parameters, moments and count
keep their bits: no decay, no momentum. Gradients are clipped by each agent's own norm; one norm over
all would couple them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from ..protocols import MootError

Schedule = Literal["constant", "linear", "cosine"]
linalg = cast(Any, torch.linalg)


def _ints(found: Tensor) -> list[int]:
    return cast("list[int]", cast(Any, found).tolist())


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
    """Norm (K,) of each agent's gradient over all its tensors, on the device of the first."""
    parts = [cast(Tensor, linalg.vector_norm(g.flatten(1), dim=1)) for g in grads.values()]
    return linalg.vector_norm(torch.stack([n.to(parts[0].device) for n in parts]), dim=0)


def clip(grads: Mapping[str, Tensor], most: float) -> Tensor:
    """Scale each agent's gradient down to norm `most`, in place; the norms (K,) before that."""
    norm = norms(grads)
    factor = (most / (norm + 1e-6)).clamp_max(1)
    for g in grads.values():
        g.mul_(factor.to(g).reshape(-1, *[1] * (g.dim() - 1)))
    return norm


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
        every = range(len(self.steps))
        chosen = list(every) if active is None else _ints(active.nonzero().flatten())
        self.steps[chosen] += 1
        lr = self.lr if share is None else self.lr * share
        alike: dict[tuple[float, int], list[int]] = {}
        for k in chosen:
            alike.setdefault((float(lr[k]), int(self.steps[k])), []).append(k)
        for (rate, step), agents in alike.items():
            whole = len(agents) == len(every)

            def cut(t: Tensor, agents: list[int] = agents, whole: bool = whole) -> list[Tensor]:
                return [t.detach()] if whole else [t.detach()[k] for k in agents]

            self._move(
                [p for t in self.tensors.values() for p in cut(t)],
                [p for name in self.tensors for p in cut(grads[name])],
                [
                    [p for name in self.tensors for p in cut(self.memory[f"{slot}.{name}"])]
                    for slot in self.slots
                ],
                rate, step,
            )  # fmt: skip

    def _move(
        self, tensors: list[Tensor], grads: list[Tensor], held: list[list[Tensor]], lr: float,
        step: int,
    ) -> None:  # fmt: skip
        """Update these in place; `step` counts from 1."""
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

    def _move(
        self, tensors: list[Tensor], grads: list[Tensor], held: list[list[Tensor]], lr: float,
        step: int,
    ) -> None:  # fmt: skip
        before = [t.new_full((), step - 1, dtype=torch.float32) for t in tensors]
        adamw(
            tensors, grads, held[0], held[1], [], before, fused=True, amsgrad=False, beta1=self.betas[0],
            beta2=self.betas[1], lr=lr, weight_decay=self.weight_decay, eps=self.eps, maximize=False,
        )  # fmt: skip


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

    def _move(
        self, tensors: list[Tensor], grads: list[Tensor], held: list[list[Tensor]], lr: float,
        step: int,
    ) -> None:  # fmt: skip
        buffers: list[Tensor | None] = [*held[0]]
        sgd(
            tensors, grads, buffers, foreach=True, weight_decay=self.weight_decay,
            momentum=self.momentum, lr=lr, dampening=0.0, nesterov=False, maximize=False,
        )  # fmt: skip
