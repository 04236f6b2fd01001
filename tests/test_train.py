"""K agents trained in one step are K agents trained apart: to 1e-10, and to the bit where others change."""

from __future__ import annotations

import random
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
import tiny
import torch
from peft import LoraConfig, get_peft_model
from test_bank import AGENTS, SPECS, VOCABULARY, shaken
from torch import Tensor
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from moot.finetune.bank import AdapterBank
from moot.finetune.batches import Table, order, stream, table, tables
from moot.finetune.examples import Example
from moot.finetune.keyed import generator, number
from moot.finetune.methods.lora import LoRA
from moot.finetune.optim import SGD, AdamW, clip, norms, rates
from moot.finetune.train import APART, Plan, Step, evaluate, train
from moot.protocols import MootError
from moot.protocols.interrupt import listening

EIGHT = (*AGENTS, "dan", "eve", "finn", "gus", "hana")
PLAN = Plan(
    epochs=2, batch=2, accumulate=2, lr=1e-2, weight_decay=0.1, clip=0.2, schedule="cosine", warmup=1
)  # fmt: skip


def drawn(agent: str, count: int, seed: int = 0, other: str = "") -> list[Example]:
    """Ragged examples of an agent; `other` changes what they say, not how long they are."""
    shape, text = generator(seed, agent), generator(seed, agent, other)
    found: list[Example] = []
    for _ in range(count):
        length = int(torch.randint(4, 20, (1,), generator=shape))
        ids = torch.randint(VOCABULARY, (length,), generator=text)
        weights = (torch.rand(length, generator=shape) > 0.4).double()
        weights[-1] = 1
        found.append(Example(ids.tolist(), weights.tolist()))
    return found


def unequal(agents: Sequence[str]) -> dict[str, list[Example]]:
    return {agent: drawn(agent, 3 + 2 * (i % 3)) for i, agent in enumerate(agents)}


def for_agents(spec: Any, agents: Sequence[str], **more: Any) -> Any:
    """The spec with a rank (of 2 to 4) for each of these agents, if it has unlike ones, and dropout."""
    for field in ("rank", "size"):
        if isinstance(getattr(spec, field, None), dict):
            more[field] = {a: 2 + EIGHT.index(a) % 3 for a in agents}
    if hasattr(spec, "dropout"):
        more["dropout"] = 0.2
    return spec.model_copy(update=more)


def double(spec: Any, agents: Sequence[str], architecture: str = "gpt2") -> AdapterBank:
    return AdapterBank(tiny.model(architecture, VOCABULARY).double(), spec, agents)


def apart(together: AdapterBank, spec: Any, agent: str, architecture: str = "gpt2") -> AdapterBank:
    """A bank of this agent alone that starts where it starts among the others."""
    bank = double(for_agents(spec, [agent]), [agent], architecture)
    bank.set_slice(agent, cropped(together.slice(agent), bank))
    return bank


def cropped(tensors: Mapping[str, Tensor], bank: AdapterBank) -> dict[str, Tensor]:
    """Without the padding of mixed ranks that another bank has more of."""
    return {
        name: t[tuple(slice(0, n) for n in bank.tensors[name].shape[1:])]
        for name, t in tensors.items()
    }


def run(bank: AdapterBank, data: Any, plan: Plan = PLAN, **more: Any) -> list[Step]:
    return list(train(bank, data, plan, **more))


class Case(NamedTuple):
    spec: str
    agents: tuple[str, ...]
    architecture: str = "gpt2"
    plan: Plan = PLAN


SGD_PLAN = PLAN.model_copy(update={"optimizer": "sgd", "momentum": 0.9, "lr": 0.05})


@pytest.mark.parametrize(
    "case",
    [Case(name, agents) for name in SPECS for agents in (AGENTS[:1], AGENTS, EIGHT)]
    + [Case("lora", AGENTS, "llama"), Case("lora", EIGHT, plan=SGD_PLAN)],
    ids=lambda c: f"{c.spec}-{len(c.agents)}-{c.architecture}-{c.plan.optimizer}",
)
def test_together_is_apart(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ragged lengths, unequal data, mixed ranks, dropout, clipping, accumulation, weight decay: all on.

    With eight agents a step is several forwards, of those that are of like length.
    """
    monkeypatch.setitem(APART, "cpu", 8 if len(case.agents) == 8 else 1000)

    def norm(self: Any, x: Tensor) -> Tensor:  # as published, but not rounded to float32 within
        return self.weight * (
            x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.variance_epsilon)
        )

    monkeypatch.setattr(LlamaRMSNorm, "forward", norm)
    spec, data = SPECS[case.spec], unequal(case.agents)
    together = shaken(double(for_agents(spec, case.agents), case.agents, case.architecture))
    start = together.state()
    banks = {a: apart(together, spec, a, case.architecture) for a in case.agents}
    steps = run(together, data, case.plan)
    assert any(n > 0.2 for s in steps for n in s.norms.values()), "nothing was clipped"
    for k, agent in enumerate(case.agents):
        alone = run(banks[agent], {agent: data[agent]}, case.plan)
        for mine, all_ in zip(alone, steps, strict=False):
            assert mine.loss[agent] == pytest.approx(all_.loss[agent], abs=1e-10)
            assert mine.norms[agent] == pytest.approx(all_.norms[agent], abs=1e-10)
        assert all(agent not in s.loss for s in steps[len(alone) :])
        for name, t in cropped(together.slice(agent), banks[agent]).items():
            assert torch.allclose(t, banks[agent].tensors[name][0], rtol=0, atol=1e-10), (
                agent,
                name,
            )
        moved = max(
            float((t[k] - start[n][k]).abs().max().detach()) for n, t in together.tensors.items()
        )
        assert moved > 1e-3, agent


@pytest.mark.parametrize("spec", SPECS)
def test_another_agents_data_changes_no_bit(spec: str) -> None:
    data = unequal(AGENTS)
    ends: list[dict[str, Tensor]] = []
    for other in ("", "something else"):
        bank = shaken(double(for_agents(SPECS[spec], AGENTS), AGENTS))
        run(bank, {**data, "ann": drawn("ann", 3, other=other)})
        ends.append(bank.state())
    for name, t in ends[0].items():
        assert torch.equal(t[1:], ends[1][name][1:]), name
    assert any(not torch.equal(t[0], ends[1][n][0]) for n, t in ends[0].items())


@pytest.mark.parametrize("name", SPECS)
def test_permuted_agents_give_permuted_results(name: str) -> None:
    data = unequal(AGENTS)
    spec = for_agents(SPECS[name], AGENTS)
    one, two = (shaken(double(spec, agents)) for agents in (AGENTS, AGENTS[::-1]))
    losses = run(one, data), run(two, dict(reversed(data.items())))
    for agent in AGENTS:
        for name, t in one.slice(agent).items():
            assert torch.allclose(t, two.slice(agent)[name], rtol=0, atol=1e-12), name
    for a, b in zip(*losses, strict=True):
        assert a.loss == pytest.approx(b.loss, abs=1e-12)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("rslora", [False, True])
def test_two_agents_are_two_peft_runs(rslora: bool) -> None:
    """peft's model, torch's AdamW and clipping, one unpadded row at a time, in every agent's order."""
    agents, targets = AGENTS[:2], ("c_attn", "mlp.c_proj")
    data = {a: drawn(a, 4 + i) for i, a in enumerate(agents)}
    plan = Plan(epochs=2, batch=2, accumulate=2, lr=1e-2, weight_decay=0.1, clip=0.5)
    spec = LoRA(rank=3, alpha=5, targets=targets, rslora=rslora)
    bank = shaken(double(spec, agents))
    for agent in agents:
        base = tiny.model("gpt2", VOCABULARY).double()
        config = LoraConfig(
            r=3, lora_alpha=5, target_modules=list(targets), fan_in_fan_out=True, use_rslora=rslora
        )
        peft: Any = get_peft_model(base, config).eval()
        own = {n: p for n, p in peft.named_parameters() if "lora_" in n}
        start = bank.slice(agent)
        place = {n: n.removeprefix("base_model.model.").replace(".default.weight", "") for n in own}
        with torch.no_grad():
            for n, p in own.items():
                p.copy_(start[place[n]])
        optimizer = torch.optim.AdamW(own.values(), lr=1e-2, weight_decay=0.1)
        seen = bank_order(data[agent], plan, agent)
        for batches in seen:
            found = [e for batch in batches for e in batch]
            tokens = sum(sum(e.weights[1:]) for e in found)
            for e in found:
                ids = torch.tensor([e.ids])
                logits = peft(input_ids=ids, use_cache=False).logits[0, :-1]
                nll = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
                ((nll * torch.tensor(e.weights[1:]).double()).sum() / tokens).backward()
            torch.nn.utils.clip_grad_norm_(own.values(), 0.5)
            optimizer.step()
            optimizer.zero_grad()
        start_bank = shaken(double(spec, agents))
        run(start_bank, data, plan)
        for n, p in own.items():
            ours = start_bank.slice(agent)[place[n]]
            assert torch.allclose(ours, p.detach(), rtol=0, atol=1e-9), n


def bank_order(found: Sequence[Example], plan: Plan, agent: str) -> list[list[list[Example]]]:
    """The batches of each update, as `train` reads them."""
    batches = list(stream(found, plan.batch, number(plan.seed, 0), agent, plan.epochs))
    return [batches[i : i + plan.accumulate] for i in range(0, len(batches), plan.accumulate)]


@pytest.mark.parametrize("plan", [PLAN, SGD_PLAN], ids=["adamw", "sgd"])
def test_who_is_done_or_stopped_stands_still(plan: Plan) -> None:
    bank = shaken(double(for_agents(SPECS["lora"], AGENTS), AGENTS))
    optimizer = plan.optimiser(bank.tensors)
    stopped: set[str] = set()
    still: dict[str, tuple[int, dict[str, Tensor]]] = {}

    def everything(agent: str) -> dict[str, Tensor]:
        k = bank.index(agent)
        memory = {n: m[k].clone() for n, m in optimizer.memory.items()}
        return {**bank.slice(agent), **memory, "steps": optimizer.steps[k].clone()}

    steps = train(bank, unequal(AGENTS), plan, optimizer=optimizer, stopped=stopped)
    for turn, step in enumerate(steps):
        for agent, (since, before) in still.items():
            assert agent not in step.loss
            assert since < turn
            assert all(torch.equal(t, before[n]) for n, t in everything(agent).items()), agent
        if turn == 1:
            stopped.add("cleo")
            still["cleo"] = turn, everything("cleo")
        if "ann" not in still and optimizer.steps[0] == 2:
            still["ann"] = turn, everything("ann")
    assert set(still) == {"ann", "cleo"}
    assert optimizer.steps.tolist() == [2, 3, 2]


def test_an_interruption_that_was_lost_ends_training_before_the_next_step() -> None:
    bank = double(for_agents(SPECS["lora"], AGENTS), AGENTS)
    with listening():
        steps = train(bank, unequal(AGENTS))
        next(steps)
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            next(steps)
        with pytest.raises(KeyboardInterrupt):
            evaluate(bank, unequal(AGENTS))


def test_accumulated_updates_are_those_of_one_large_batch() -> None:
    data = {"ann": drawn("ann", 4), "bob": drawn("bob", 3)}
    ends: list[dict[str, Tensor]] = []
    for batch, accumulate in ((4, 1), (2, 2), (1, 4)):
        bank = shaken(double(LoRA(), AGENTS))
        steps = run(bank, data, Plan(batch=batch, accumulate=accumulate, optimizer="sgd", lr=0.1))
        assert len(steps) == 1
        ends.append(bank.state())
    for end in ends[1:]:
        assert all(torch.allclose(t, end[n], rtol=0, atol=1e-12) for n, t in ends[0].items())


def test_optimisers_are_torchs() -> None:
    shapes = {"a": (2, 3, 4), "b": (2, 5)}
    for mine, theirs in (
        (
            lambda t: AdamW(t, [0.1, 0.02], weight_decay=0.3),
            lambda p, lr: torch.optim.AdamW(p, lr=lr, weight_decay=0.3),
        ),
        (
            lambda t: SGD(t, [0.1, 0.02], momentum=0.7, weight_decay=0.3),
            lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.7, weight_decay=0.3),
        ),
    ):
        draw = generator("optim")
        stacked = {n: torch.randn(s, generator=draw).double() for n, s in shapes.items()}
        single = [{n: t[k].clone().requires_grad_() for n, t in stacked.items()} for k in (0, 1)]
        ours = mine(stacked)
        others: list[Any] = [
            theirs(list(s.values()), lr) for s, lr in zip(single, (0.1, 0.02), strict=True)
        ]
        for step in range(5):
            grads = {n: torch.randn(s, generator=draw).double() for n, s in shapes.items()}
            active = torch.tensor([True, step != 2])
            ours.update(grads, active)
            for k in (0, 1):
                if active[k]:
                    for n, t in single[k].items():
                        t.grad = grads[n][k].clone()
                    others[k].step()
        for k in (0, 1):
            for n, t in single[k].items():
                assert torch.allclose(stacked[n][k], t.detach(), rtol=0, atol=1e-13), n
        again = mine({n: t.clone() for n, t in stacked.items()})
        again.load_state(ours.state())
        assert all(torch.equal(t, ours.state()[n]) for n, t in again.state().items())
    with pytest.raises(MootError, match="one rate"):
        AdamW(stacked, [0.1])
    with pytest.raises(MootError, match="another optimiser"):
        AdamW(stacked, 0.1).load_state(ours.state())


def test_gradients_are_clipped_agent_by_agent() -> None:
    grads = {"a": torch.tensor([[3.0, 4.0], [0.3, 0.4]]), "b": torch.tensor([[12.0], [0.0]])}
    before = {n: g.clone() for n, g in grads.items()}
    assert clip(grads, 1.0).tolist() == pytest.approx([13, 0.5])
    assert norms(grads).tolist() == pytest.approx([1, 0.5], rel=1e-5)
    assert all(torch.equal(g[1], before[n][1]) for n, g in grads.items())


def test_rates_rise_and_fall_by_each_agents_own_count() -> None:
    step, total, warmup = torch.tensor([0, 1, 5, 9]), torch.tensor([10] * 4), torch.tensor([2] * 4)
    assert rates("constant", step, total, warmup).tolist() == [0.5, 1, 1, 1]
    assert rates("linear", step, total, warmup).tolist() == pytest.approx([0.5, 1, 5 / 8, 1 / 8])
    assert rates("cosine", step, total, warmup).tolist() == pytest.approx(
        [0.5, 1, 0.691, 0.038], abs=1e-3
    )
    assert rates("linear", step[2:], torch.tensor([6, 10]), warmup[2:]).tolist() == [0.25, 0.125]


def test_chosen_tensors_corrected_gradients_and_no_strangers() -> None:
    bank = shaken(double(LoRA(), AGENTS))
    start, data = bank.state(), {"bob": drawn("bob", 4)}
    run(bank, data, only=lambda name: name.endswith("lora_B"))
    for name, t in bank.tensors.items():
        assert torch.equal(t[0], start[name][0])
        assert torch.equal(t[1], start[name][1]) == name.endswith("lora_A"), name
        assert t.requires_grad
        assert t.grad is None
    bank.load_state(start)

    def nothing(grads: dict[str, Tensor]) -> None:
        for g in grads.values():
            g.zero_()

    run(bank, data, Plan(), correct=nothing)
    assert all(torch.equal(t, start[n]) for n, t in bank.tensors.items())
    with pytest.raises(MootError, match="no agent 'bobby'"):
        run(bank, {"bobby": data["bob"]})
    assert run(bank, {"ann": []}) == []
    silent = [Example([1, 2, 3], [0.0, 0.0, 0.0])]
    assert [s.loss for s in run(bank, {"ann": silent})] == [{}]
    assert evaluate(bank, {"ann": silent}) == {}


def test_agents_learn_with_checkpointing_and_autocast() -> None:
    bank = AdapterBank(tiny.model("qwen3", VOCABULARY), LoRA(rank=4, targets="all-linear"), AGENTS)
    bank.checkpointing()
    data = {a: drawn(a, 3) for a in AGENTS}
    before = evaluate(bank, data)
    assert before == pytest.approx(evaluate(bank, data, base=True))
    steps = run(bank, data, Plan(steps=12, lr=0.02, bf16=True))
    after = evaluate(bank, data)
    assert all(after[a] < before[a] - 1 for a in AGENTS)
    assert all(0 <= s.padding < 1 and s.tokens > 0 for s in steps)
    assert evaluate(bank, data, batch=1) == pytest.approx(after, abs=1e-4)
    assert evaluate(bank, data, base=True) == pytest.approx(before)


def test_what_others_do_to_the_base_does_not_matter() -> None:
    """Thawed, and in training mode, where GPT-2 drops by the global generator: training undoes both."""
    ends: list[dict[str, Tensor]] = []
    state = torch.random.get_rng_state()
    for meddle in (False, True):
        bank = shaken(double(LoRA(dropout=0.1), AGENTS))
        bank.checkpointing()
        if meddle:
            bank.model.train()
            bank.model.requires_grad_(True)
        run(bank, unequal(AGENTS), Plan(batch=2))
        assert all(p.grad is None for p in bank.model.parameters())
        assert bank.recompute
        ends.append(bank.state())
    assert all(torch.equal(t, ends[1][n]) for n, t in ends[0].items())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_reported_loss_is_each_agents_own_mean() -> None:
    bank, data = shaken(double(LoRA(), AGENTS)), unequal(AGENTS)
    expected: dict[str, float] = {}
    for agent, found in data.items():
        total, tokens = 0.0, 0.0
        for e in found:
            with torch.no_grad(), bank.route([agent]):
                logits = bank.model(input_ids=torch.tensor([e.ids])).logits[0].log_softmax(-1)
            for t in range(1, len(e.ids)):
                total -= e.weights[t] * float(logits[t - 1, e.ids[t]])
                tokens += e.weights[t]
        expected[agent] = total / tokens
    assert evaluate(bank, data, batch=2) == pytest.approx(expected, abs=1e-10)
    first = run(bank, data, Plan(steps=1, batch=7))[0]
    assert first.loss == pytest.approx(expected, abs=1e-10)


def test_every_example_comes_once_an_epoch_and_lengths_meet() -> None:
    found = {a: [Example([1] * n, [1.0] * n) for n in lengths(a, 203)] for a in AGENTS}
    for agent, own in found.items():
        batches = order(own, 4, 1, agent, 0)
        assert sorted(i for b in batches for i in b) == list(range(203))
        assert batches != order(own, 4, 1, agent, 1)
        assert batches == order(own, 4, 1, agent, 0)
    tables = [
        table([(k, batch) for k, batch in enumerate(batches)])
        for batches in zip(*(stream(own, 4, 1, a, 1) for a, own in found.items()), strict=True)
    ]
    padding = 1 - sum(t.tokens for t in tables) / sum(t.ids.numel() for t in tables)
    assert padding < 0.12, padding
    free = [
        table([(k, own[i : i + 4]) for k, own in enumerate(found.values())])
        for i in range(0, 200, 4)
    ]
    assert 1 - sum(t.tokens for t in free) / sum(t.ids.numel() for t in free) > 0.3


def lengths(agent: str, count: int) -> list[int]:
    return torch.randint(20, 400, (count,), generator=generator("lengths", agent)).tolist()


def test_agents_with_unlike_amounts_of_data_read_like_lengths() -> None:
    """Real lengths have a long tail, and whoever has more data has more batches to sort."""
    found = {
        a: [
            Example([1] * n, [1.0] * n) for x in lengths(a, 60 + 40 * i) for n in [20 + x**2 // 400]
        ]
        for i, a in enumerate(EIGHT)
    }
    streams = [stream(own, 4, 1, a, 2) for a, own in found.items()]
    one, cut = list[Table](), list[Table]()
    for turn in zip(*streams, strict=False):
        rows = list(enumerate(turn))
        one.append(table(rows))
        cut += tables(rows, 128)
        assert len(cut) <= 3 * len(one) + 8
    assert share(one) < 0.3
    assert share(cut) < 0.1
    alone = list(stream(found["bob"], 4, 1, "bob", 2))
    lengths_of = [max(len(e.ids) for e in batch) for batch in alone]
    assert lengths_of[:25] != sorted(lengths_of[:25])
    assert sorted(map(id, (e for b in alone for e in b))) == sorted([*map(id, found["bob"])] * 2)


def share(made: Sequence[Table]) -> float:
    return 1 - sum(t.tokens for t in made) / sum(t.ids.numel() for t in made)


@pytest.mark.parametrize("apart", [0, 7, 40, 10**6])
def test_tables_take_the_fewest_places(apart: int) -> None:
    draw = random.Random(apart)
    for _ in range(20):
        rows = [
            (
                k,
                [
                    Example([1] * n, [1.0] * n)
                    for n in draw.choices(range(1, 31), k=draw.randint(1, 3))
                ],
            )
            for k in range(draw.randint(1, 6))
        ]
        made = tables(rows, apart)
        assert sorted(k for t in made for k in set(t.agents)) == [k for k, _ in rows]
        assert all(t.agents == sorted(t.agents) for t in made)
        assert sum(t.tokens for t in made) == sum(len(e.ids) for _, own in rows for e in own)
        sized = sorted(rows, key=lambda row: max(len(e.ids) for e in row[1]))
        costs: list[int] = []
        for chosen in range(2 ** (len(rows) - 1)):
            edges = [i for i in range(1, len(rows)) if chosen >> (i - 1) & 1]
            pieces = [sized[a:b] for a, b in pairwise([0, *edges, len(rows)])]
            costs.append(sum(apart + table(p).ids.numel() for p in pieces))
        assert sum(apart + t.ids.numel() for t in made) == min(costs)
