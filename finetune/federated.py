"""Federated fine-tuning: select clients, train them locally, aggregate, evaluate, checkpoint; again.

    for round in federate(bank, {"ann": examples, "bob": others}, rule="fedex", rounds=10):
        print(round)

The loop below is the whole of it. Clients answer orders (`clients.py`), rules average tensors
(`aggregation.py`); examples never leave a client. Everything random is keyed by (seed, round, client), so
a run that was interrupted goes on from its checkpoint to the same bits.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..protocols import MootError, did_you_mean
from ..protocols.interrupt import whole
from .aggregation import (
    Adapters,
    Local,
    Merged,
    Report,
    aggregate,
    check_rule,
    learned,
    memory_of,
    report,
    travelling,
)
from .bank import AdapterBank
from .checkpoint import Checkpoints
from .clients import Clients, LocalClients, Order, Update, Watch
from .examples import Example
from .keyed import number
from .methods.lora import LoraLayers
from .rounds import Federation, Round, check_plan, ended, settled
from .rules.average import numbers, scaffold_correction
from .rules.guard import SetAside, set_aside
from .rules.personal import split


def federate(
    bank: AdapterBank,
    data: Mapping[str, Sequence[Example]] | Clients,
    federation: Federation | None = None,
    *,
    held_out: Mapping[str, Sequence[Example]] | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    watch: Watch | None = None,
    **fields: Any,
) -> Iterator[Round]:
    """Rounds of federated fine-tuning; the bank is left with what each client ends in.

    `data`: client (an agent of the bank) -> its examples, or `Clients` of your own. `fields` go before
    those of `federation`. `folder` takes a checkpoint after every round, and `resume` goes on from the
    last one: rounds that are there are not yielded again. `watch` hears of every local step. Raises
    `MootError` for settings that do not fit, before anything is trained, and when no client of a round
    sends a usable update: then bank and checkpoint hold the last good state.
    """
    federation = settled(federation, fields)
    clients = data if not isinstance(data, Mapping) else LocalClients(bank, data, held_out)
    server = Server(bank, clients, federation)
    checkpoints = None if folder is None else Checkpoints(Path(folder), server.fingerprint())
    found = checkpoints.latest() if checkpoints and resume else None
    done: list[Round] = []
    if found is not None:
        done = [Round.model_validate(r) for r in found.rounds]
        server.load_state(found.tensors)
        if done[-1].ended == "last" and len(done) < federation.rounds:  # more rounds than at first
            done[-1] = done[-1].model_copy(update={"ended": None})
    elif checkpoints is not None:
        checkpoints.begin()
    if done and done[-1].ended:
        return
    before = done[-1].after if done else clients.evaluate()
    for n in range(len(done), federation.rounds):
        round = server.round(n, before, watch)
        before = round.after
        done.append(round.model_copy(update={"ended": ended(federation, [*done, round])}))
        if checkpoints is not None:
            with whole():
                checkpoints.save(server.state(), [r.model_dump(mode="json") for r in done])
        yield done[-1]
        if done[-1].ended:
            return


class Server:
    """The model that clients are sent, and what happens to it in a round."""

    def __init__(self, bank: AdapterBank, clients: Clients, federation: Federation) -> None:
        self.bank, self.clients, self.federation = bank, clients, federation
        self.names = list(clients.names)
        self._places = torch.tensor([bank.index(name) for name in self.names])
        self.adapters = check(bank, self.names, federation)
        self.groups = [federation.cohorts.get(name, "") for name in self.names]
        shared, _ = split(bank.tensors, federation.local)
        self.shared = travelling(federation.rule, shared)
        """Tensors that ever change hands."""
        self.model = {n: bank.tensors[n].detach()[self._places].clone() for n in bank.tensors}
        """(clients, ...): what each is sent next."""
        self.memory: dict[str, Tensor] = {}
        """The rule's own."""
        counts = torch.tensor([float(clients.sizes[name]) for name in self.names])
        self.population = counts if federation.weights == "examples" else (counts > 0).float()

    def round(self, n: int, before: dict[str, float], watch: Watch | None = None) -> Round:
        """One round, n from 0. Raises `MootError` when nobody sends a usable update; then nothing moved."""
        last = self.clients.state()
        try:
            return self._round(n, before, watch)
        except MootError:
            self.clients.load_state(last)
            raise

    def _round(self, n: int, before: dict[str, float], watch: Watch | None) -> Round:
        federation, clock = self.federation, [time.monotonic()]
        selected, dropped = self._select(n)
        updates = self.clients.fit({name: self._order(n, name) for name in selected}, watch)
        updates = {name: u for name, u in updates.items() if name not in dropped}
        clock.append(time.monotonic())

        aside = self._guard(updates)
        sent = self._known(self.model)
        uploads, weights, local = self._stacked(updates, sent, {s.client for s in aside})
        told, merged = Report(None, None, None, []), Merged({}, {}, self.memory)
        if self.shared:
            adapters = self._whole()
            told = report(federation.rule, uploads, weights, sent, adapters)
            merged = aggregate(
                federation.rule, uploads, weights, sent, n, self.memory,
                settings=federation.settings, adapters=adapters, groups=self.groups, local=local,
                population=self.population,
            )  # fmt: skip
        self.model |= {name: merged.tensors[name] for name in self.shared}
        self.memory = merged.state
        clock.append(time.monotonic())

        self.clients.deliver({a: self._sent(a) for a in self.names}, merged.residual)
        after = self.clients.evaluate()
        clock.append(time.monotonic())
        good = [a for a, w in zip(self.names, numbers(weights), strict=True) if w > 0]
        up, down = self._bytes(n, list(updates), selected, merged)
        phases = zip(("train", "aggregate", "evaluate"), clock, clock[1:], strict=False)
        return Round(
            number=n, selected=selected, dropped=dropped, aside=aside, before=before,
            trained={a: u.held_out for a, u in updates.items() if u.held_out is not None},
            after=after, learning={a: u.loss for a, u in updates.items() if u.loss is not None},
            norms=dict(zip(good, told.norms, strict=False)),
            error=told.error, size=told.size, rank=told.rank,
            bytes_up=up, bytes_down=down, tokens=sum(u.tokens for u in updates.values()),
            padding=sum(u.padding for u in updates.values()) / max(len(updates), 1),
            seconds={phase: until - since for phase, since, until in phases},
        )  # fmt: skip

    def _select(self, n: int) -> tuple[list[str], list[str]]:
        """(selected, those of them that will not answer), in the order of the clients."""
        federation = self.federation
        able = [name for name in self.names if self.clients.sizes[name] > 0]
        count = len(able)
        if federation.select != "all":
            count = max(1, round(federation.fraction * len(able)))

        def draw(what: str, name: str) -> float:
            return ((number(federation.seed, what, n, name) >> 11) % 2**52 + 0.5) / 2**52

        def place(name: str) -> float:
            # The largest u^(1/w): without replacement, in proportion to w (Efraimidis and Spirakis 2006).
            weight = self.clients.sizes[name] if federation.select == "weighted" else 1
            return -(draw("select", name) ** (1 / weight))

        selected = set(able if federation.select == "all" else sorted(able, key=place)[:count])
        gone = [a for a in able if a in selected and draw("dropout", a) < federation.dropout]
        if len(gone) == len(selected):
            gone.remove(max(gone, key=lambda a: draw("dropout", a)))
        return [a for a in able if a in selected], gone

    def _order(self, n: int, name: str) -> Order:
        federation, k = self.federation, self.names.index(name)
        plan = federation.plan
        if federation.decay < 1:
            plan = plan.model_copy(update={"lr": plan.lr * federation.decay**n})
        group = self.groups[k]
        row = self.groups[:k].count(group)  # the client's place among its cohort
        drift: dict[str, Tensor] = {}
        if federation.rule == "scaffold":
            drift = scaffold_correction(memory_of(group, self.memory))
        return Order(
            n, self._sent(name), learned(federation.rule, self.model, n),
            travelling(federation.rule, self.shared, n), plan,
            {x: c[row] for x, c in drift.items()}, federation.prox, federation.ditto,
        )  # fmt: skip

    def _sent(self, name: str) -> dict[str, Tensor]:
        k = self.names.index(name)
        return {n: self.model[n][k] for n in self.shared}

    def _guard(self, updates: Mapping[str, Update]) -> list[SetAside]:
        """Who cannot be used. A client alone in the world of `local` sends nothing to look at."""
        if not updates or not self.shared:
            return []
        names = next(iter(updates.values())).tensors
        sent = {a: {n: self.model[n][self.names.index(a)] for n in names} for a in updates}
        uploads = {a: u.tensors for a, u in updates.items()}
        return set_aside(uploads, sent, times=self.federation.absurd)

    def _stacked(
        self, updates: Mapping[str, Update], sent: Mapping[str, Tensor], gone: set[str]
    ) -> tuple[dict[str, Tensor], Tensor, Local]:
        """(name -> (clients, ...), weights, what they reported); absent clients as they were sent."""
        uploads = {n: x.clone() for n, x in sent.items()}
        weights, steps, travelled = (
            torch.zeros(len(self.names), dtype=torch.float64) for _ in range(3)
        )
        for name, u in updates.items():
            if name in gone:
                continue
            k = self.names.index(name)
            for n, x in u.tensors.items():
                uploads[n][k] = x
            weights[k] = u.examples if self.federation.weights == "examples" else 1
            steps[k], travelled[k] = u.steps, u.travelled
        return uploads, weights, Local(steps, travelled)

    def _whole(self) -> Adapters | None:
        """LoRA's facts, while A and B both are the server's to see."""
        return None if self.federation.local else self.adapters

    def _known(self, stack: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the rule works on: shared tensors, and for LoRA their frozen other half."""
        if self._whole() is None:
            return {n: stack[n] for n in self.shared}
        return dict(stack)

    def _bytes(
        self, n: int, answered: Sequence[str], selected: Sequence[str], merged: Merged
    ) -> tuple[int, int]:
        """(up, down) of one round: adapters without padding, and the residual to everybody."""
        up = sum(self._size(a, travelling(self.federation.rule, self.shared, n)) for a in answered)
        down = sum(self._size(a, self.shared) for a in selected)
        down += len(self.names) * sum(
            x.numel() * x.element_size() for f in merged.residual.values() for x in f
        )
        return up, down

    def _size(self, name: str, tensors: Sequence[str]) -> int:
        total = sum(self.model[n][0].numel() * self.model[n].element_size() for n in tensors)
        if self.adapters is None:
            return total
        ranks = numbers(self.adapters.ranks)
        return total * ranks[self.names.index(name)] // max(ranks)

    def state(self) -> dict[str, dict[str, Tensor]]:
        """All tensors of the state, in groups: the clients' and the server's."""
        return {**self.clients.state(), "server": self.model, "memory": self.memory}

    def load_state(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Put back what `state` gave."""
        self.model = {n: x.to(self.model[n].device) for n, x in state["server"].items()}
        self.memory = dict(state["memory"])
        self.clients.load_state(state)

    def fingerprint(self) -> str:
        """Of everything that a resumed run must share with the interrupted one."""
        told = self.federation.model_dump_json(exclude={"rounds", "target", "patience"})
        shapes = {n: tuple(x.shape) for n, x in self.model.items()}
        parts = (told, self.names, dict(self.clients.sizes), shapes, str(self.bank.spec))
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def check(bank: AdapterBank, names: Sequence[str], federation: Federation) -> Adapters | None:
    """What a rule has to know of these clients' LoRA adapters; None for other methods.

    Raises `MootError` for whatever of the settings does not fit the bank or the clients.
    """
    fitted, rule, local = bank.fitted, federation.rule, federation.local
    places = torch.tensor([bank.index(name) for name in names])
    adapters = None
    if isinstance(fitted, LoraLayers):
        adapters = Adapters(fitted.scales[places], torch.tensor(fitted.ranks)[places])
    for name, cohort in federation.cohorts.items():
        if name not in names:
            raise MootError(f"cohorts: no client {name!r}; {did_you_mean(name, names)}")
        if "/" in cohort:
            raise MootError(f"cohort {cohort!r}: leave out the slash")
    groups = [federation.cohorts.get(name, "") for name in names]
    check_rule(rule, federation.settings, adapters, groups)
    check_plan(federation)
    sizes = {r for k, r in enumerate(getattr(fitted, "ranks", ())) if k in places}
    if adapters is None and len(sizes) > 1 and rule != "local":
        raise MootError(f"rule {rule} needs adapters of one size, not {sorted(sizes)}")
    if bank.start != "same" and rule != "local":
        raise MootError(
            "clients that are averaged must begin alike: make the bank with start='same'"
        )
    split(bank.tensors, local)
    if local and adapters is not None and rule not in ("fedavg", "local"):
        raise MootError(f"local tensors go with rule fedavg, not {rule}, which wants all of LoRA")
    return adapters
