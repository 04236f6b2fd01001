"""One model out of many: server rules on any mapping name -> tensor with a leading client axis.

    x' = sum_k p_k x_k             FedAvg; every other rule here is a step from x along
    D  = sum_k p_k x_k - x         what the clients moved to, on the mean

A rule takes what the clients came back with (K, ...), their weights (K,), what they were sent (...)
and the server's own state, and returns the next model and the next state: plain mappings of tensors,
so that a checkpoint is a safetensors file. It does not know what the tensors mean nor where clients
live; a weight of 0 says that a client is absent, and then nothing of its tensors is read, NaN included.
Weights are made to sum to one, so counts of examples and shares are the same thing.

Left out: rules for one layer at a time (call with a part of the mapping), secure aggregation.
LoRA factors are two tensors like any others here; `lora_rules` knows that their product is what counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from ...protocols import MootError, did_you_mean

Tensors = Mapping[str, Tensor]
"""Name -> tensor; which axes it has is said where it is used."""


class Merge(NamedTuple):
    """What a plain rule returns."""

    tensors: dict[str, Tensor]
    """The next model, without client axis, in the dtype of the clients' tensors."""
    state: dict[str, Tensor]
    """What the rule wants back next round; empty for rules without memory."""


class Rule(NamedTuple):
    """An entry of a `RULES` dict."""

    function: Callable[..., Any]
    summary: str
    """One line with the source."""


def numbers(x: Tensor) -> list[Any]:
    """A vector as Python numbers."""
    return list(cast(Any, x).tolist())


def shares(weights: Tensor, clients: int) -> Tensor:
    """`weights` (K,) as float64 shares that sum to one.

    Raises `MootError` when they are not K finite numbers of at least 0, or all are 0.
    """
    p = weights.detach().to(torch.float64)
    if p.shape != (clients,) or not bool(torch.isfinite(p).all()) or bool((p < 0).any()):
        raise MootError(
            f"weights {numbers(weights)} for {clients} clients; "
            "give one finite number of at least 0 for each"
        )
    if not bool(p.any()):
        raise MootError("all clients have weight 0; give at least one of them a weight above 0")
    p = p / p.max()  # so that the sum of huge weights stays finite
    return p / p.sum()


def average(clients: Tensors, weights: Tensor) -> dict[str, Tensor]:
    """sum_k p_k x_k for every tensor (K, ...) -> (...), in the dtype of the tensor.

    Half precision is summed in float32. Raises `MootError` for tensors that are not floating, or whose
    leading axis is not K.
    """
    p = shares(weights, len(weights))
    return {name: weighted_mean(x, p, name).to(x.dtype) for name, x in clients.items()}


def weighted_mean(x_K: Tensor, p: Tensor, name: str = "a tensor") -> Tensor:
    """sum_k p_k x_k over axis 0, with p (K,) as it is (not made to sum to one).

    Half precision comes back as float32. Raises `MootError` as `average` does.
    """
    if not x_K.is_floating_point() or x_K.ndim == 0 or len(x_K) != len(p):
        raise MootError(
            f"{name} is {x_K.dtype} of shape {tuple(x_K.shape)}; "
            f"averaging {len(p)} clients needs floating numbers of shape ({len(p)}, ...)"
        )
    here = p != 0
    if not bool(here.all()):  # 0 * NaN is NaN: absent rows are not read at all
        x_K, p = x_K[here.to(x_K.device)], p[here]
    wide = x_K.float() if x_K.dtype in (torch.float16, torch.bfloat16) else x_K
    return (p.to(wide) @ wide.reshape(len(p), math.prod(x_K.shape[1:]))).view(x_K.shape[1:])


def fedavg(clients: Tensors, weights: Tensor, start: Tensors, state: Tensors) -> Merge:
    """x' = sum_k p_k x_k. McMahan et al. 2017, arXiv 1602.05629. Also the server side of FedProx."""
    return Merge(average(clients, weights), {})


def fedavgm(
    clients: Tensors, weights: Tensor, start: Tensors, state: Tensors,
    *, lr: float = 1.0, momentum: float = 0.9,
) -> Merge:  # fmt: skip
    """m' = momentum m + D,  x' = x + lr m'. Hsu, Qi and Brown 2019, arXiv 1909.06335."""
    step = _moved(clients, weights, start)
    m = {n: momentum * _kept(state, "m", n, d, 0.0) + d for n, d in step.items()}
    return Merge(_stepped(start, {n: lr * x for n, x in m.items()}), _state(m=m))


def fedadagrad(
    clients: Tensors, weights: Tensor, start: Tensors, state: Tensors,
    *, lr: float = 0.01, beta1: float = 0.0, tau: float = 1e-3,
) -> Merge:  # fmt: skip
    """Adaptive step (see `_adaptive`) with v' = v + D^2. Reddi et al. 2021, arXiv 2003.00295."""
    return _adaptive(clients, weights, start, state, lr, beta1, tau, lambda v, dd: v + dd)


def fedadam(
    clients: Tensors, weights: Tensor, start: Tensors, state: Tensors,
    *, lr: float = 0.01, beta1: float = 0.9, beta2: float = 0.99, tau: float = 1e-3,
) -> Merge:  # fmt: skip
    """Adaptive step with v' = beta2 v + (1 - beta2) D^2. Reddi et al. 2021, arXiv 2003.00295."""
    return _adaptive(
        clients, weights, start, state, lr, beta1, tau, lambda v, dd: beta2 * v + (1 - beta2) * dd
    )


def fedyogi(
    clients: Tensors, weights: Tensor, start: Tensors, state: Tensors,
    *, lr: float = 0.01, beta1: float = 0.9, beta2: float = 0.99, tau: float = 1e-3,
) -> Merge:  # fmt: skip
    """Adaptive step with v' = v - (1 - beta2) D^2 sign(v - D^2). Reddi et al. 2021, arXiv 2003.00295."""
    return _adaptive(
        clients, weights, start, state, lr, beta1, tau,
        lambda v, dd: v - (1 - beta2) * dd * torch.sign(v - dd),
    )  # fmt: skip


def _adaptive(
    clients: Tensors, weights: Tensor, start: Tensors, state: Tensors,
    lr: float, beta1: float, tau: float, second: Callable[[Tensor, Tensor], Tensor],
) -> Merge:  # fmt: skip
    """m' = beta1 m + (1 - beta1) D,  v' as `second`,  x' = x + lr m' / (sqrt(v') + tau).

    m begins at 0 and v at tau^2, without bias correction, as Algorithm 2 of the paper has it.
    """
    step = _moved(clients, weights, start)
    m = {n: beta1 * _kept(state, "m", n, d, 0.0) + (1 - beta1) * d for n, d in step.items()}
    v = {n: second(_kept(state, "v", n, d, tau**2), d * d) for n, d in step.items()}
    taken = {n: lr * m[n] / (v[n].sqrt() + tau) for n in step}
    return Merge(_stepped(start, taken), _state(m=m, v=v))


def scaffold(
    clients: Tensors, weights: Tensor, start: Tensors, state: Tensors,
    *, steps: Tensor, client_lr: Tensor, lr: float = 1.0, population: Tensor | None = None,
) -> Merge:  # fmt: skip
    """Control variates against client drift. Karimireddy et al. 2020, arXiv 1910.06378, option II.

        locally:  y <- y - client_lr (g_k(y) - c_k + c)          see `scaffold_correction`
        c_k' = c_k - c + (x - y_k) / (steps_k client_lr_k)       for the clients of this round
        x'   = x + lr sum_k p_k (y_k - x),    c' = sum_k q_k c_k'

    The leading axis holds all N clients, absent ones with weight 0: their c_k stays. `steps` and
    `client_lr` are (N,), local steps of plain SGD and their rate; q is `population` (N,), equal unless
    given, and must be the weights of the objective, since the fixed point is where c is 0.
    Raises `MootError` when a client of this round took no step.
    """
    n = len(weights)
    here = shares(weights, n) > 0
    travelled = (steps * client_lr).to(torch.float64)
    if travelled.shape != (n,) or not bool((travelled[here] > 0).all()):
        raise MootError(
            f"scaffold got steps {numbers(steps)} at rates {numbers(client_lr)}; "
            "every client of the round needs both above 0 (give one without steps the weight 0)"
        )
    q = shares(torch.ones(n) if population is None else population, n)
    own: dict[str, Tensor] = {}
    common: dict[str, Tensor] = {}
    for name, y in clients.items():
        ones = (-1,) + (1,) * (y.ndim - 1)
        old = _kept(state, "own", name, y, 0.0)
        c = _kept(state, "common", name, start[name], 0.0)
        fresh = old - c + (start[name] - y) / travelled.to(y).view(ones)
        own[name] = torch.where(here.to(y.device).view(ones), fresh, old)
        common[name] = weighted_mean(own[name], q, name)
    step = _moved(clients, weights, start)
    taken = {name: lr * d for name, d in step.items()}
    return Merge(_stepped(start, taken), _state(own=own, common=common))


def scaffold_correction(state: Tensors) -> dict[str, Tensor]:
    """c - c_k (N, ...) for every tensor: add it to the clients' gradients. Empty before round one."""
    names = [key.removeprefix("common/") for key in state if key.startswith("common/")]
    return {name: state[f"common/{name}"] - state[f"own/{name}"] for name in names}


def proximal(clients: Tensors, anchor: Tensors, strength: float) -> Tensor:
    """strength/2 ||x_k - x||^2 over all tensors together, (K,): add the sum over clients to the loss.

    The client side of FedProx (Li et al. 2020, arXiv 1812.06127) with the model that was sent as
    `anchor`. Differentiable in `clients` only; client k's term moves client k alone.
    """
    parts = [
        (x - anchor[name].detach()).reshape(len(x), -1).square().sum(1)
        for name, x in clients.items()
    ]
    return strength / 2 * torch.stack(parts).sum(0)


def named(name: str, rules: Mapping[str, Rule]) -> Rule:
    """The rule of that name. Raises `MootError` with the nearest one."""
    if name not in rules:
        raise MootError(f"no aggregation rule {name!r}; {did_you_mean(name, rules)}")
    return rules[name]


def _moved(clients: Tensors, weights: Tensor, start: Tensors) -> dict[str, Tensor]:
    """D = sum_k p_k x_k - x; float32 where tensors are in half precision, as is then the state."""
    p = shares(weights, len(weights))
    return {name: weighted_mean(x, p, name) - start[name] for name, x in clients.items()}


def _stepped(start: Tensors, steps: Tensors) -> dict[str, Tensor]:
    return {name: (start[name] + d).to(start[name].dtype) for name, d in steps.items()}


def _kept(state: Tensors, kind: str, name: str, like: Tensor, first: float) -> Tensor:
    """A tensor of the state, or how it begins."""
    key = f"{kind}/{name}"
    return state[key] if key in state else torch.full_like(like, first)


def _state(**kinds: Tensors) -> dict[str, Tensor]:
    return {f"{kind}/{name}": x for kind, xs in kinds.items() for name, x in xs.items()}


RULES: dict[str, Rule] = {
    "fedavg": Rule(fedavg, "weighted mean (McMahan et al. 2017)"),
    "fedprox": Rule(
        fedavg,
        "weighted mean; clients are pulled back, by `prox` (Li et al. 2020)",
    ),
    "fedavgm": Rule(fedavgm, "server momentum (Hsu et al. 2019)"),
    "fedadagrad": Rule(fedadagrad, "server Adagrad (Reddi et al. 2021)"),
    "fedadam": Rule(fedadam, "server Adam (Reddi et al. 2021)"),
    "fedyogi": Rule(fedyogi, "server Yogi (Reddi et al. 2021)"),
    "scaffold": Rule(scaffold, "control variates against drift (Karimireddy et al. 2020)"),
}
"""Name -> rule(clients, weights, start, state, **settings) -> `Merge`."""
