"""The clients of a federation, behind a seam of three calls, and the ones that live in this process.

    server -- Order (what to start from, how to train) --> client -- Update (what came of it) --> server

Nothing else crosses: examples stay with the client, and so do tensors that are its own (personal parts, the
personal model of Ditto). Here all clients share one bank, so those that are asked together train in one
step. Clients on other machines would take the same orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from ..protocols import MootError
from .bank import AdapterBank
from .examples import Example
from .rules.average import Tensors
from .rules.gram import Factors
from .train import Plan, Step, evaluate, train


class Order(NamedTuple):
    """What one client is asked to do in a round."""

    round: int
    tensors: Tensors
    """Where to start, (...); what is not named here is the client's own."""
    learn: Sequence[str]
    """Names of the tensors to train."""
    send: Sequence[str]
    """Names of the tensors to send back."""
    plan: Plan
    drift: Tensors
    """Added to the gradient (SCAFFOLD), (...)."""
    prox: float
    """Strength of the pull to `tensors` (FedProx)."""
    ditto: float
    """Strength of the pull of the personal model (Ditto); 0: there is none."""


class Update(NamedTuple):
    """What a client answers."""

    tensors: dict[str, Tensor]
    """(...)"""
    examples: int
    steps: int
    travelled: float
    """Sum of the learning rates of the steps."""
    loss: float | None
    """Mean over the steps of the training loss, nats per token; None: no step."""
    held_out: float | None
    """Loss on the held-out examples after local training; None: it has none."""
    tokens: int
    """Tokens read by all clients that trained in the same step, this one's share of them."""
    padding: float
    """Share of the places in its steps' batches that held no token."""


Watch = Callable[[Step], None]


class Clients(Protocol):
    """Whoever trains. A client that does not answer is simply missing from the result."""

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def sizes(self) -> Mapping[str, int]:
        """Client -> number of its training examples."""
        ...

    def fit(self, orders: Mapping[str, Order], watch: Watch | None = None) -> dict[str, Update]:
        """Train as ordered."""
        ...

    def deliver(self, models: Mapping[str, Tensors], residual: Mapping[str, Factors]) -> None:
        """Take over a new model (...), and add the residual's products to the base."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Client -> loss on its held-out examples, nats per token; without those that have none."""
        ...

    def state(self) -> dict[str, dict[str, Tensor]]:
        """A copy of what a resumed run needs of them, in groups; empty where they keep it themselves."""
        ...

    def load_state(self, state: Mapping[str, Tensors]) -> None:
        """Put back what `state` gave; other groups are not looked at."""
        ...


class LocalClients:
    """Clients in this process, one for each agent of `bank` that `data` names.

    Raises `MootError` for a client that the bank does not have, and when nobody has an example.
    """

    def __init__(
        self, bank: AdapterBank, data: Mapping[str, Sequence[Example]],
        held_out: Mapping[str, Sequence[Example]] | None = None,
    ) -> None:  # fmt: skip
        for name in {**data, **(held_out or {})}:
            bank.index(name)
        if not any(data.values()):
            raise MootError(
                "no client has an example to learn from; give at least one of them data"
            )
        self.bank = bank
        self.names = [a for a in bank.agents if a in data]
        self.data = {a: list(data[a]) for a in self.names}
        self.held_out = {a: list(found) for a, found in (held_out or {}).items() if a in data}
        self.sizes = {a: len(found) for a, found in self.data.items()}
        self.personal: dict[str, Tensor] = {}
        """Ditto's own models (K, ...), once there are any."""
        self._moved: dict[str, Tensor] = {}
        self._unmoved: dict[str, Tensor] = {}

    def fit(self, orders: Mapping[str, Order], watch: Watch | None = None) -> dict[str, Update]:
        """Train all clients that are ordered, in the same steps. Raises as `train` does."""
        order = next(iter(orders.values()))
        for name, each in orders.items():
            self._set(name, each.tensors)
        anchor = self.bank.state()
        steps: list[Step] = []

        def pulled(grads: dict[str, Tensor]) -> None:
            for name, each in orders.items():
                k = self.bank.index(name)
                for n, c in each.drift.items():
                    if n in grads:
                        grads[n][k] += c
            if order.prox:
                for n, g in grads.items():
                    g += order.prox * (self.bank.tensors[n].detach() - anchor[n])

        needed = bool(order.prox) or any(each.drift for each in orders.values())
        self._train(orders, pulled if needed else None, steps, watch)
        sent = {name: self.bank.slice(name) for name in orders}
        self._mend(orders, anchor)
        if order.ditto:
            self._ditto(orders, anchor, watch)
        scores = evaluate(self.bank, {a: self.held_out.get(a, ()) for a in orders})
        return {
            name: Update(
                {n: sent[name][n] for n in each.send},
                self.sizes[name],
                sum(name in s.loss for s in steps),
                _travelled(each.plan, sum(name in s.loss for s in steps)),
                _mean([s.loss[name] for s in steps if name in s.loss]),
                scores.get(name),
                sum(s.tokens // max(len(s.loss), 1) for s in steps if name in s.loss),
                _mean([s.padding for s in steps if name in s.loss]) or 0.0,
            )
            for name, each in orders.items()
        }

    def _train(
        self, orders: Mapping[str, Order], correct: Any, steps: list[Step], watch: Watch | None
    ) -> None:
        order = next(iter(orders.values()))
        learn = set(order.learn)
        data = {name: self.data[name] for name in orders}
        for step in train(
            self.bank, data, order.plan, only=learn.__contains__, correct=correct, round=order.round
        ):
            steps.append(step)
            if watch:
                watch(step)

    def _ditto(self, orders: Mapping[str, Order], anchor: Tensors, watch: Watch | None) -> None:
        """Train the personal models v beside w: the same examples, pulled to the w that was sent."""
        order = next(iter(orders.values()))
        common = self.bank.state()
        start = self.personal or anchor
        self.bank.load_state(start)

        def pulled(grads: dict[str, Tensor]) -> None:
            for n, g in grads.items():
                g += order.ditto * (self.bank.tensors[n].detach() - anchor[n])

        self._train(orders, pulled, [], watch)
        self._mend(orders, start)
        self.personal = self.bank.state()
        self.bank.load_state(common)

    def _mend(self, names: Iterable[str], before: Tensors) -> None:
        """A client whose numbers broke in training goes back to those it had."""
        with torch.no_grad():
            for k in map(self.bank.index, names):
                if not all(bool(t[k].isfinite().all()) for t in self.bank.tensors.values()):
                    for n, t in self.bank.tensors.items():
                        t[k] = before[n][k]

    def _set(self, name: str, tensors: Tensors) -> None:
        k = self.bank.index(name)
        with torch.no_grad():
            for n, x in tensors.items():
                self.bank.tensors[n][k].copy_(x)

    def deliver(self, models: Mapping[str, Tensors], residual: Mapping[str, Factors]) -> None:
        """Takes over what the server sends. Raises `MootError` where the base is quantised."""
        for name, tensors in models.items():
            self._set(name, tensors)
        for name, (a, b) in residual.items():
            layer = self.bank.fitted.layers[name]
            weight = cast(Tensor, layer.weight)
            if not weight.is_floating_point():
                raise MootError(
                    "this rule adds to the base, which is quantised; load it in bfloat16, or use fedit"
                )
            self._keep(f"{name}.weight", weight)
            with torch.no_grad():
                w = weight.mT if isinstance(layer, Conv1D) else weight  # it holds (in, out)
                if w.dtype == b.dtype:
                    w.addmm_(b.to(w.device), a.to(w.device))
                else:  # half precision: round once, after the product
                    w += (b @ a).to(w)

    def evaluate(self) -> dict[str, float]:
        """Held-out loss of every client's own model: with Ditto the personal one."""
        if not self.personal:
            return evaluate(self.bank, self.held_out)
        common = self.bank.state()
        self.bank.load_state(self.personal)
        try:
            return evaluate(self.bank, self.held_out)
        finally:
            self.bank.load_state(common)

    def state(self) -> dict[str, dict[str, Tensor]]:
        """All that a resumed run needs, in groups: adapters, personal models, base weights that moved."""
        return {
            "adapters": self.bank.state(),
            "personal": dict(self.personal),
            "base": {n: w.detach().clone() for n, w in self._moved.items()},
        }

    def load_state(self, state: Mapping[str, Tensors]) -> None:
        """Put back what `state` gave."""
        self.bank.load_state(state["adapters"])
        self.personal = dict(state["personal"])
        weights = dict(self.bank.model.named_parameters())
        for n in state["base"]:
            self._keep(n, weights[n])
        load_base(self.bank.model, state["base"])

    def restore(self) -> None:
        """The base model as it was before any residual."""
        with torch.no_grad():
            for n, x in self._unmoved.items():
                self._moved[n].copy_(x)
        self._moved, self._unmoved = {}, {}

    def _keep(self, name: str, weight: Tensor) -> None:
        self._unmoved.setdefault(name, weight.detach().clone())
        self._moved[name] = weight


def load_base(model: Any, weights: Tensors) -> None:
    """Put base weights that a rule moved into the model."""
    there = dict(model.named_parameters())
    with torch.no_grad():
        for n, x in weights.items():
            there[n].copy_(x)


def _travelled(plan: Plan, steps: int) -> float:
    """Sum of the learning rates; `scaffold` alone asks, and it runs at a constant rate."""
    return plan.lr * steps


def _mean(found: Sequence[float]) -> float | None:
    return sum(found) / len(found) if found else None
