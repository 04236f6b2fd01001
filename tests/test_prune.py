"""Rank self-pruning: its gradient is autograd's, its decision the paper's, and nothing else is touched."""

from __future__ import annotations

import pytest
import tiny
import torch
from test_bank import AGENTS, VOCABULARY, shaken
from test_train import drawn

from moot.finetune.bank import AdapterBank
from moot.finetune.keyed import generator
from moot.finetune.methods.lora import LoRA
from moot.finetune.rules.gram import Factors, Lora
from moot.finetune.rules.prune import pressure, pruned, shorter, tails
from moot.finetune.train import Plan, train
from moot.protocols import MootError

RANKS = torch.tensor([4, 1, 3])


def lora(seed: int = 0) -> Lora:
    g = generator("prune", seed)
    layers = {
        n: Factors(
            torch.randn(3, 4, 5, generator=g).double(), torch.randn(3, 6, 4, generator=g).double()
        )
        for n in ("q", "v")
    }
    for f in layers.values():
        for k, r in enumerate(RANKS.tolist()):
            f.a[k, r:], f.b[k, :, r:] = 0, 0
    return Lora(layers, torch.tensor([2.0, 8.0, 3.0]), RANKS)


def test_tails_are_the_last_directions_of_each_clients_own_rank() -> None:
    assert shorter(torch.tensor([1, 2, 3, 4, 8, 10]), 0.5).tolist() == [1, 1, 2, 2, 4, 5]
    assert shorter(torch.tensor([10]), 0.7).tolist() == [7]  # 10 * 0.7 is a little more than 7
    given = lora()
    expected = [0.0, 0.0, 0.0]
    for f in given.layers.values():
        expected[0] += float(f.a[0, 2:].norm() * f.b[0, :, 2:].norm())
        expected[2] += float(f.a[2, 2:3].norm() * f.b[2, :, 2:3].norm())
    assert tails(given, 0.5).tolist() == pytest.approx(expected)
    for gamma in (0.0, 1.0):
        with pytest.raises(MootError, match="between 0 and 1"):
            shorter(RANKS, gamma)


def test_pressure_is_the_gradient_of_the_penalty() -> None:
    given = lora()
    tensors = {
        f"{n}.lora_{half}": x.requires_grad_()
        for n, f in given.layers.items()
        for half, x in (("A", f.a), ("B", f.b))
    }
    total = sum(
        f.a[k, cut:].norm() * f.b[k, :, cut:].norm()
        for f in given.layers.values()
        for k, cut in ((0, 2), (2, 2))
    )
    assert isinstance(total, torch.Tensor)
    (0.3 * total).backward()
    grads = {n: torch.ones_like(t) for n, t in tensors.items()}
    pressure(tensors, RANKS, gamma=0.5, decay=0.3)(grads)
    for n, t in tensors.items():
        assert t.grad is not None
        assert torch.allclose(grads[n] - 1, t.grad, atol=1e-12), n
    still = {n: torch.zeros_like(t) for n, t in tensors.items()}
    zero = {n: torch.zeros_like(t) for n, t in tensors.items()}
    pressure(zero, RANKS, gamma=0.5, decay=0.3)(still)
    assert not any(g.any() for g in still.values())


def test_who_shrank_is_cut_and_the_others_keep_their_bits() -> None:
    start, after = lora(), lora()
    for f in after.layers.values():
        f.a[0, 2:] *= 0.5
        f.a[0, :2] *= 7
        f.b[2, :, 2] *= 1.5
    found = pruned(after, start, gamma=0.5)
    assert found.ranks.tolist() == [2, 1, 3]
    assert torch.equal(found.scale, after.scale)
    for name, f in found.layers.items():
        was = after.layers[name]
        assert torch.equal(f.a[1:], was.a[1:])
        assert torch.equal(f.b[1:], was.b[1:])
        assert torch.equal(f.a[0, :2], was.a[0, :2])
        assert torch.equal(f.b[0, :, :2], was.b[0, :, :2])
        assert not f.a[0, 2:].any()
        assert not f.b[0, :, 2:].any()
        assert was.a[0, 2:].any()
    assert pruned(start, start, gamma=0.5).ranks.tolist() == RANKS.tolist()
    with pytest.raises(MootError, match="at the start of the round"):
        pruned(found, start, gamma=0.5)


def test_training_under_pressure_prunes_and_without_it_does_not() -> None:
    ends: dict[float, list[int]] = {}
    for decay in (0.0, 3.0):
        bank = shaken(AdapterBank(tiny.model("llama", VOCABULARY), LoRA(rank=4), AGENTS))
        ranks = torch.tensor(bank.fitted.ranks)

        def now(bank: AdapterBank = bank, ranks: torch.Tensor = ranks) -> Lora:
            pairs = {
                n.removesuffix(".lora_A"): Factors(
                    t.detach().clone(), bank.tensors[n.replace("lora_A", "lora_B")].detach().clone()
                )
                for n, t in bank.tensors.items()
                if n.endswith("lora_A")
            }
            return Lora(pairs, bank.fitted.scales, ranks)

        start = now()
        push = pressure(bank.tensors, ranks, gamma=0.5, decay=decay)
        data = {a: drawn(a, 4) for a in AGENTS[:2]}
        plan = Plan(steps=10, lr=0.02, clip=None, optimizer="sgd")
        for _ in train(bank, data, plan, correct=push):
            pass
        ends[decay] = pruned(now(), start, gamma=0.5).ranks.tolist()
    assert ends[3.0] == [2, 2, 4], "cleo did not train"
    assert ends[0.0][2] == 4
    assert ends[0.0] != ends[3.0]
