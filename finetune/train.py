"""Local training: all agents of a bank in one forward and one backward, exactly as if each trained alone.

    batches of every agent -> one table -> loss_k = mean over k's own tokens -> sum over k -> backward
                           -> clip each agent's gradient -> update those that are active

The losses are summed, not averaged over the batch: an average would scale agent k by its share of the
tokens. With gradient accumulation the mean is over all tokens of the update, counted beforehand. Agents
whose data is used up, or that the caller has stopped, stand still to the bit.

Batches of unlike length go through the model one after another (`batches.tables`), so a step may be several
forwards. Left out: sequence packing (`Step.padding` tells what it could save), several processes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal, NamedTuple, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from ..protocols import MootError
from ..protocols.interrupt import heed
from .bank import AdapterBank
from .batches import Table, stream, tables
from .examples import Example
from .keyed import number
from .optim import SGD, AdamW, Schedule, clip, norms, rates

Count = Annotated[int, Field(ge=1)]
APART = {"cpu": 64}
"""Device -> what one more forward and backward costs, in tokens: about 15 ms on two cores."""
APART_ELSEWHERE = 4096
"""The same where thousands of tokens take no longer than starting the kernels."""


class Plan(BaseModel):
    """How agents train. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    epochs: Count = 1
    """Times that every agent reads its examples, unless `steps` says otherwise."""
    steps: Count | dict[str, Annotated[int, Field(ge=0)]] | None = None
    """Updates of every agent; or agent -> updates, others none. None: as `epochs` has it."""
    batch: Count = 4
    """Rows of one agent in one forward."""
    accumulate: Count = 1
    """Forwards whose gradients make one update."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """Of `optim.py`."""
    lr: Annotated[float, Field(ge=0)] = 1e-3
    """Highest learning rate."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of SGD."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled for AdamW, added to the gradient for SGD."""
    schedule: Schedule = "constant"
    """Course of the learning rate over an agent's own updates."""
    warmup: Annotated[int, Field(ge=0)] = 0
    """Updates until the rate is at its highest."""
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest norm of one agent's gradient; None: as it comes."""
    seed: int = 0
    """Of the order of examples and of dropout."""
    bf16: bool = False
    """Compute in bfloat16 where `torch.autocast` thinks it safe."""

    def optimiser(self, tensors: Mapping[str, Tensor]) -> AdamW | SGD:
        """A fresh one for these (K, ...) tensors."""
        if self.optimizer == "adamw":
            return AdamW(tensors, self.lr, weight_decay=self.weight_decay)
        return SGD(tensors, self.lr, momentum=self.momentum, weight_decay=self.weight_decay)


class Step(NamedTuple):
    """What one update of all active agents reports."""

    step: int
    """Updates made in this call, this one included."""
    steps: int
    """Updates of the agent that has most."""
    loss: dict[str, float]
    """Agent -> mean negative log-likelihood before the update, nats per token learned; active ones only."""
    norms: dict[str, float]
    """Agent -> norm of its gradient before clipping."""
    tokens: int
    """Tokens read, padding not counted."""
    padding: float
    """Share of the batch that was padding."""
    seconds: float
    """Of this update."""


Correct = Callable[[dict[str, Tensor]], None]


def train(
    bank: AdapterBank,
    data: Mapping[str, Sequence[Example]],
    plan: Plan | None = None,
    *,
    optimizer: AdamW | SGD | None = None,
    only: Callable[[str], bool] | None = None,
    correct: Correct | None = None,
    stopped: Collection[str] = (),
    round: int = 0,
) -> Iterator[Step]:
    """Train the agents in `data` on their examples; yields after every update.

    `optimizer` keeps moments from call to call (None: fresh ones); `only` chooses tensors by name, the
    others stay fixed; `correct` may change the gradients, name -> (K, ...), before they are clipped;
    `stopped` is looked at before every update, so that the caller can add to it; `round` makes another
    order of examples. Raises `MootError` for an agent that the bank does not have.
    """
    plan = plan or Plan()
    own = {bank.index(agent): list(found) for agent, found in data.items()}
    tensors = {n: t for n, t in bank.tensors.items() if only is None or only(n)}
    optimizer = optimizer or plan.optimiser(tensors)
    if set(optimizer.tensors) != set(tensors):
        raise MootError("the optimizer holds other tensors than are to be trained; make a new one")
    totals = _totals(plan, bank, own)
    order = number(plan.seed, round)
    epochs = plan.epochs if plan.steps is None else None
    streams = {
        k: stream(found, plan.batch, order, bank.agents[k], epochs) for k, found in own.items()
    }
    most = max(totals.values(), default=0)
    with _training(bank, tensors):
        for step in range(most):
            heed()
            began = time.monotonic()
            drawn = {
                k: [batch for _, batch in zip(range(plan.accumulate), streams[k], strict=False)]
                for k in sorted(own)
                if step < totals[k] and bank.agents[k] not in stopped
            }
            learned = {k: sum(map(_learned, batches)) for k, batches in drawn.items()}
            drawn = {k: batches for k, batches in drawn.items() if learned[k] > 0}
            sums, read = _gradients(bank, plan, drawn, learned, (order, step))
            grads = {n: t.grad for n, t in tensors.items() if t.grad is not None}
            found: Tensor | None = None
            if drawn:
                if correct is not None:
                    correct(grads)
                found = norms(grads) if plan.clip is None else clip(grads, plan.clip)
                active = torch.zeros(len(bank.agents), dtype=torch.bool)
                active[list(drawn)] = True
                optimizer.update(grads, active, _shares(plan, bank, totals, step))
            for t in tensors.values():
                t.grad = None
            sizes: list[float] = [] if found is None else cast(Any, found).tolist()
            yield Step(
                step + 1, most,
                {bank.agents[k]: sums[k] / learned[k] for k in drawn},
                {} if found is None else {bank.agents[k]: sizes[k] for k in drawn},
                sum(t.tokens for t in read),
                1 - sum(t.tokens for t in read) / max(sum(t.ids.numel() for t in read), 1),
                time.monotonic() - began,
            )  # fmt: skip


@torch.no_grad()
def evaluate(
    bank: AdapterBank,
    data: Mapping[str, Sequence[Example]],
    *,
    batch: int = 8,
    base: bool = False,
    bf16: bool = False,
) -> dict[str, float]:
    """Agent -> mean negative log-likelihood of its examples, nats per token learned; `base`: without
    adapters. Agents without a token to learn are left out: unjudged is not zero."""
    own = {
        bank.index(agent): sorted(found, key=lambda e: len(e.ids)) for agent, found in data.items()
    }
    sums, learned = dict.fromkeys(own, 0.0), {k: _learned(found) for k, found in own.items()}
    most = max((len(found) for found in own.values()), default=0)
    for start in range(0, most, batch):
        heed()
        rows = [(k, own[k][start : start + batch]) for k in sorted(own) if own[k][start:]]
        for made in tables(rows, _apart(bank)):
            with bank.route([-1] * len(made.agents) if base else made.agents):
                for k, total in _totalled(*_losses(bank, made, bf16)).items():
                    sums[k] += total
    return {bank.agents[k]: sums[k] / n for k, n in learned.items() if n > 0}


def _gradients(
    bank: AdapterBank, plan: Plan, drawn: Mapping[int, Sequence[Sequence[Example]]],
    learned: Mapping[int, float], where: tuple[int, int],
) -> tuple[dict[int, float], list[Table]]:  # fmt: skip
    """Adds the gradients of all agents' mean losses; (agent -> summed loss, the tables)."""
    sums, read = dict.fromkeys(drawn, 0.0), list[Table]()
    for part in range(max(map(len, drawn.values()), default=0)):
        rows = [(k, batches[part]) for k, batches in drawn.items() if part < len(batches)]
        for made in tables(rows, _apart(bank)):
            read.append(made)
            keys = [
                number("dropout", *where, part, bank.agents[k], slot)
                for k, slot in zip(made.agents, made.slots, strict=True)
            ]
            with bank.route(made.agents, dropout=torch.tensor(keys)):
                nll_N, pieces = _losses(bank, made, plan.bf16)
                share_N = torch.tensor([1 / learned[k] for k in pieces], dtype=torch.float64)
                share_N = share_N.repeat_interleave(torch.tensor(list(pieces.values())))
                (nll_N * share_N.to(nll_N)).sum().backward()  # pyright: ignore[reportUnknownMemberType]
            for k, total in _totalled(nll_N, pieces).items():
                sums[k] += total
    return sums, read


def _apart(bank: AdapterBank) -> int:
    return APART.get(bank.model.get_input_embeddings().weight.device.type, APART_ELSEWHERE)


def _losses(bank: AdapterBank, made: Table, bf16: bool) -> tuple[Tensor, dict[int, int]]:
    """Weighted negative log-likelihoods (N,) of the tokens that are learned, in an open route, and how
    many of them are each agent's: rows stand agent by agent, so the tokens do.

    Logits are computed for these tokens, not for prompts and padding.
    """
    model = bank.model
    device: torch.device = model.get_input_embeddings().weight.device
    wanted_BT = nn.functional.pad(made.weights[:, 1:] > 0, (0, 1))
    at_N = wanted_BT.flatten().nonzero().flatten()  # found on the CPU, so that no GPU is waited for
    pieces: dict[int, int] = {}
    for k, count in zip(
        made.agents, cast("list[int]", cast(Any, wanted_BT.sum(1)).tolist()), strict=True
    ):
        pieces[k] = pieces.get(k, 0) + count
    head = model.get_output_embeddings()
    adapted = any(layer is head for layer in getattr(bank.fitted, "layers", {}).values())

    def choose(layer: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0].flatten(0, 1)[at_N.to(args[0].device)], *args[1:])

    handle = None if adapted else head.register_forward_pre_hook(choose)
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = cast(Tensor, model(input_ids=made.ids.to(device), use_cache=False).logits)
    finally:
        if handle is not None:
            handle.remove()
    logits_NV = logits.flatten(0, 1)[at_N.to(logits.device)] if adapted else logits
    if logits_NV.dtype != torch.float64:
        logits_NV = logits_NV.float()
    targets_N = made.ids.flatten()[at_N + 1].to(logits.device)
    weights_N = made.weights.flatten()[at_N + 1].to(logits_NV)
    return weights_N * nn.functional.cross_entropy(logits_NV, targets_N, reduction="none"), pieces


def _totalled(nll_N: Tensor, pieces: Mapping[int, int]) -> dict[int, float]:
    """Agent -> sum over its tokens."""
    parts = cast("tuple[Tensor, ...]", nll_N.detach().cpu().double().split(list(pieces.values())))  # pyright: ignore
    return {k: float(part.sum()) for k, part in zip(pieces, parts, strict=True)}


def _learned(found: Sequence[Example]) -> float:
    """Weight of all tokens that are learned; nothing predicts a first token."""
    return math.fsum(w for e in found for w in e.weights[1:])


def _totals(plan: Plan, bank: AdapterBank, own: Mapping[int, Sequence[Example]]) -> dict[int, int]:
    """Agent -> its updates."""
    if isinstance(plan.steps, dict):
        for agent in plan.steps:
            bank.index(agent)
    found: dict[int, int] = {}
    for k, examples in own.items():
        if plan.steps is None:
            forwards = math.ceil(len(examples) / plan.batch) * plan.epochs
            found[k] = math.ceil(forwards / plan.accumulate)
        elif isinstance(plan.steps, int):
            found[k] = plan.steps
        else:
            found[k] = plan.steps.get(bank.agents[k], 0)
        if not examples:
            found[k] = 0
    return found


def _shares(plan: Plan, bank: AdapterBank, totals: Mapping[int, int], step: int) -> Tensor:
    agents = len(bank.agents)
    total = torch.tensor([max(totals.get(k, 1), 1) for k in range(agents)])
    now, warmup = torch.full((agents,), step), torch.full((agents,), plan.warmup)
    return rates(plan.schedule, now, total, warmup)


@contextmanager
def _training(bank: AdapterBank, tensors: Mapping[str, Tensor]) -> Generator[None]:
    """Only `tensors` take gradients while open."""
    bank.settle()
    before = {name: t.requires_grad for name, t in bank.tensors.items()}
    for name, t in bank.tensors.items():
        t.requires_grad_(name in tensors)
        t.grad = None
    try:
        yield
    finally:
        for name, t in bank.tensors.items():
            t.requires_grad_(before[name])
            t.grad = None
