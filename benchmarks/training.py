"""One training step of K agents in the bank against K steps of ordinary `peft` runs, one after another.

    python benchmarks/training.py [--threads 2] [--rounds 7] [--profile]        about three minutes on 2 cores

Both sides train LoRA of rank 8 on the same base, with the same starts, examples, clipping and AdamW; all
tokens are learned, so both compute all logits. The ordinary side is `get_peft_model`, transformers' own
loss and `torch.optim.AdamW` as they come, its batches made beforehand; all models share the base's memory.
Rounds of the two alternate in one process, so that whatever else the machine does hits both, and
medians are compared. The losses of both sides must agree.

Two floors stand beside: one forward and backward of the base alone, without adapters or updates, on all
rows at once, which no adapter can beat; and the counted operations at the matrix rate measured here. With
a CUDA device there is one more setting, a Qwen3-shaped base of 0.5 B random weights in bfloat16.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from moot.finetune.bank import AdapterBank
from moot.finetune.batches import stream
from moot.finetune.examples import Example
from moot.finetune.keyed import generator, number
from moot.finetune.methods.lora import LoRA
from moot.finetune.train import Plan, train

RANK, ALPHA = 8, 16.0
WARMUP = 2
"""Updates of both sides that are not timed."""
AGREE = 1e-4
"""Largest difference of losses, nats per token; bfloat16 has eight bits, and the losses are near 12."""
AGREE_BF16 = 5e-2


class Setting(NamedTuple):
    name: str
    make: Callable[[], Any]
    agents: int
    rows: int
    length: int
    goal: float
    """How many times faster the bank should be."""
    device: str = "cpu"
    bf16: bool = False


def llama(hidden: int, inner: int, layers: int) -> Any:
    """Llama with heads of 32 and 2048 words."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=2048, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
            num_attention_heads=hidden // 32, num_key_value_heads=hidden // 32,
            max_position_embeddings=512, tie_word_embeddings=True,
        )
    )  # fmt: skip


def broad() -> Any:
    """5 M parameters in six layers, the feed-forward 8/3 as wide, as Llama has it."""
    return llama(256, 704, 6)


def deep() -> Any:
    """5 M parameters in layers of `models/nano`."""
    return llama(192, 384, 13)


def half_billion() -> Any:
    """Qwen3's shapes, 0.5 B parameters."""
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=151936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=24,
            num_attention_heads=16, num_key_value_heads=8, head_dim=128,
            max_position_embeddings=4096, tie_word_embeddings=True,
        )
    )  # fmt: skip


SETTINGS = [
    Setting("6 layers of 256, 8 agents x 2 x 128", broad, 8, 2, 128, 1.6),
    Setting("6 layers of 256, 32 agents x 1 x 64", broad, 32, 1, 64, 3.0),
    Setting("13 layers of 192, 8 agents x 2 x 128", deep, 8, 2, 128, 1.6),
    Setting("13 layers of 192, 32 agents x 1 x 64", deep, 32, 1, 64, 3.0),
]
LARGE = Setting(
    "24 layers of 1024 in bfloat16, 32 agents x 1 x 64", half_billion, 32, 1, 64, 8.0, "cuda", True
)


def drawn(agent: str, rows: int, length: int, vocabulary: int) -> list[Example]:
    g = generator("benchmark", agent)
    ids = torch.randint(vocabulary, (rows, length), generator=g)
    return [Example(row, [1.0] * length) for row in ids.tolist()]


def together(
    bank: AdapterBank, data: dict[str, list[Example]], plan: Plan
) -> Iterator[list[float]]:
    """Losses of all agents, update after update."""
    for step in train(bank, data, plan):
        yield list(step.loss.values())


def apart(base: Any, bank: AdapterBank, data: dict[str, list[Example]], plan: Plan) -> Any:
    """The same by K peft models; loss after loss, read at the end of each agent's update."""
    runs: list[Any] = []
    shared = {id(t): t for t in [*base.parameters(), *base.buffers()]}
    for agent, found in data.items():
        config = LoraConfig(r=RANK, lora_alpha=int(ALPHA), task_type="CAUSAL_LM")
        model: Any = get_peft_model(copy.deepcopy(base, dict(shared)), config).train()
        own = {n: p for n, p in model.named_parameters() if p.requires_grad}
        start = bank.slice(agent)
        with torch.no_grad():
            for n, p in own.items():
                p.copy_(start[n.removeprefix("base_model.model.").replace(".default.weight", "")])
        order = stream(found, plan.batch, number(plan.seed, 0), agent)
        batches = (torch.tensor([e.ids for e in b], device=base.device) for b in order)
        ready = [next(batches) for _ in range(plan.steps if isinstance(plan.steps, int) else 0)]
        runs.append((model, list(own.values()), torch.optim.AdamW(own.values(), lr=plan.lr,
                     weight_decay=plan.weight_decay), iter(ready)))  # fmt: skip

    def step() -> list[float]:
        losses: list[float] = []
        for model, own, optimizer, batches in runs:
            ids = next(batches)
            with torch.autocast(ids.device.type, torch.bfloat16, enabled=plan.bf16):
                loss = model(input_ids=ids, labels=ids, use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(own, plan.clip or 0.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
        return losses

    return step


def alone(base: Any, data: dict[str, list[Example]], plan: Plan) -> list[float]:
    """The base without adapters, gradients down to its first layer."""
    rows = [e.ids for found in data.values() for e in found[: plan.batch]]
    ids = torch.tensor(rows, device=base.device)
    words = base.get_input_embeddings()(ids).detach().requires_grad_()
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=plan.bf16):
        loss = base(inputs_embeds=words, labels=ids, use_cache=False).loss
    loss.backward()
    return [float(loss.detach())]


class Took(NamedTuple):
    wall: float
    cpu: float


def timed(work: Callable[[], list[float]], device: str) -> tuple[list[float], Took]:
    wait: Callable[[], None] = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    wait()
    return result, Took(time.perf_counter() - wall, time.process_time() - cpu)


def matrix_rate(device: str, dtype: torch.dtype) -> float:
    """Operations per second of large square products, the best of a few."""
    n = 8192 if device == "cuda" else 1024
    x = torch.randn(n, n, device=device, dtype=dtype)
    return max(2 * n**3 / timed(lambda: (x @ x)[0, :1].tolist(), device)[1].wall for _ in range(10))


def measure(s: Setting, rounds: int, profile: bool) -> bool:
    """Prints one setting; whether its losses agree."""
    torch.manual_seed(0)
    base = s.make().to(s.device, torch.bfloat16 if s.bf16 else torch.float32)
    names = [f"agent{k}" for k in range(s.agents)]
    vocabulary = base.config.vocab_size
    data = {a: drawn(a, 4 * s.rows, s.length, vocabulary) for a in names}
    plan = Plan(batch=s.rows, steps=rounds + WARMUP + 2, lr=1e-3, weight_decay=0.01, bf16=s.bf16)
    bank = AdapterBank(copy.deepcopy(base), LoRA(rank=RANK, alpha=ALPHA), names, start="own")
    peft = apart(base, bank, data, plan)
    ours = together(bank, data, plan)
    worst, rates = 0.0, list[float]()
    took: dict[str, list[Took]] = {"bank": [], "peft": [], "base": []}
    for turn in range(rounds + WARMUP):
        if turn >= WARMUP:
            rates.append(matrix_rate(s.device, base.dtype))
        mine, fast = timed(lambda: next(ours), s.device)
        theirs, slow = timed(peft, s.device)
        plain = timed(lambda: alone(bank.model, data, plan), s.device)[1]
        worst = max(worst, *(abs(a - b) for a, b in zip(mine, theirs, strict=True)))
        if turn >= WARMUP:
            took["bank"].append(fast)
            took["peft"].append(slow)
            took["base"].append(plain)
    with FlopCounterMode(display=False) as counted:
        next(ours)
    if profile:
        with torch.profiler.profile() as seen:
            next(ours)
        by = "self_cuda_time_total" if s.device == "cuda" else "self_cpu_time_total"
        print(seen.key_averages().table(sort_by=by, row_limit=25, max_name_column_width=50))
    work, rate = counted.get_total_flops(), statistics.median(rates)
    wall = {side: statistics.median(t.wall for t in found) for side, found in took.items()}
    best = {side: min(t.wall for t in found) for side, found in took.items()}
    cpu = {side: statistics.median(t.cpu for t in found) for side, found in took.items()}
    times = wall["peft"] / wall["bank"]
    verdict = "met" if times >= s.goal else "MISSED"
    tokens = s.agents * s.rows * s.length
    print(
        f"{s.name}: {sum(p.numel() for p in base.parameters()) / 1e6:.1f} M parameters\n"
        f"  bank {1e3 * wall['bank']:8.1f} ms   {tokens / wall['bank']:9.0f} tokens/s\n"
        f"  peft {1e3 * wall['peft']:8.1f} ms   {tokens / wall['peft']:9.0f} tokens/s\n"
        f"  {times:.2f} times as fast (goal {s.goal:g}, {verdict}); "
        f"{best['peft'] / best['bank']:.2f} in the best rounds, "
        f"{cpu['peft'] / cpu['bank']:.2f} in processor time\n"
        f"  base {1e3 * wall['base']:8.1f} ms alone, so {wall['peft'] / wall['base']:.2f} times at most "
        f"({best['peft'] / best['base']:.2f} in the best rounds)\n"
        f"  floor {1e3 * work / rate:.1f} ms: {work / 1e9:.1f} GFLOP at {rate / 1e9:.0f} GFLOP/s; "
        f"the bank's step has {work / rate / wall['bank']:.0%} of the matrix rate\n"
        f"  losses differ by at most {worst:.1e}",
        flush=True,
    )
    bank.close()
    return worst <= (AGREE_BF16 if s.bf16 else AGREE)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", type=int, help="number of one setting, from 0")
    parser.add_argument("--profile", action="store_true", help="where our step spends its time")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    settings = [*SETTINGS, *([LARGE] if torch.cuda.is_available() else [])]
    if given.only is not None:
        settings = settings[given.only : given.only + 1]
    print(
        f"torch {torch.__version__}, {given.threads} threads on {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    agree = [measure(s, given.rounds, given.profile) for s in settings]
    print(f"load {os.getloadavg()[0]:.1f} at the end")
    if not torch.cuda.is_available():
        print("no CUDA device: the 0.5 B setting was not run")
    return 0 if all(agree) else 1


if __name__ == "__main__":
    sys.exit(main())
