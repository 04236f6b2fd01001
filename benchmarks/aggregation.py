"""Seconds to aggregate 64 clients of LoRA rank 16 over a 0.5 B-parameter base, rule by rule, on a CPU.

    python benchmarks/aggregation.py            about two minutes on one core; needs 8 GiB of memory

Shapes of a Qwen-like 0.5 B model: 24 layers, 7 targets each, hidden 896, feed-forward 4864, keys and
values 128 wide; 8.8 M adapter numbers a client, 2.3 GB for all in float32. Goals: under 2 s for means
and server optimisers, under 10 s for rules that need Gram matrices. What is linear in the layers and
long (SVD, sorting) is timed on the first layers only and scaled, which its line says.
All pairs of products are about 0.7 TFLOP, so the machine's matrix rate is printed, and processor time
beside the wall's, for machines that are busy with other work.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from moot.finetune.rules import average, lora_robust, robust
from moot.finetune.rules import lora as lora_rules
from moot.finetune.rules.gram import Factors, Lora, aggregation_error, flat, gram

CLIENTS, RANK, LAYERS = 64, 16, 24
HIDDEN, INNER, KEYS = 896, 4864, 128
TARGETS = {
    "q": (HIDDEN, HIDDEN), "k": (KEYS, HIDDEN), "v": (KEYS, HIDDEN), "o": (HIDDEN, HIDDEN),
    "gate": (INNER, HIDDEN), "up": (INNER, HIDDEN), "down": (HIDDEN, INNER),
}  # fmt: skip
"""Target -> (out, in)."""


def drawn(clients: int, layers: int) -> Lora:
    g = torch.Generator().manual_seed(0)
    found = {
        f"layers.{i}.{name}": Factors(
            torch.randn(clients, RANK, width, generator=g), torch.randn(clients, out, RANK, generator=g)
        )
        for i in range(layers)
        for name, (out, width) in TARGETS.items()
    }  # fmt: skip
    return Lora(found, torch.full((clients,), 2.0), torch.full((clients,), RANK))


def first(lora: Lora, layers: int) -> Lora:
    kept = dict(list(lora.layers.items())[: layers * len(TARGETS)])
    return Lora(kept, lora.scale, lora.ranks)


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """On the wall, and of processor time of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def matrix_rate() -> float:
    """GFLOP per second of processor time, float32 products of 1024 x 1024 matrices."""
    x = torch.randn(1024, 1024)
    return 10 * 2 * 1024**3 / seconds(lambda: [x @ x for _ in range(10)])[1] / 1e9


def line(
    name: str, took: tuple[float, float], goal: float | None, times: float = 1, note: str = ""
) -> None:
    wall, cpu = took[0] * times, took[1] * times
    verdict = "no goal" if goal is None else f"goal {goal:g} s, MISSED"
    if goal is not None and min(wall, cpu) < goal:
        verdict = f"goal {goal:g} s, met" + (" in processor time" if wall >= goal else "")
    print(f"{name:26} {wall:8.2f} {cpu:8.2f}   {verdict} {note}".rstrip(), flush=True)


def main() -> None:
    torch.set_grad_enabled(False)
    threads = torch.get_num_threads()
    lora = drawn(CLIENTS, LAYERS)
    # What was sent: one model, seen by all clients through a leading axis that takes no memory.
    sent = Lora(
        {n: Factors(f.a[:1].expand_as(f.a), f.b[:1].expand_as(f.b)) for n, f in lora.layers.items()},
        lora.scale, lora.ranks,
    )  # fmt: skip
    weights = torch.rand(CLIENTS, generator=torch.Generator().manual_seed(1)) + 0.1
    clients = flat(lora.layers)
    start: dict[str, Tensor] = {n: x[0].clone() for n, x in clients.items()}
    size = sum(x.numel() for x in clients.values())
    print(
        f"{CLIENTS} clients, {size / CLIENTS / 1e6:.1f} M numbers each; {threads} thread(s) at "
        f"{matrix_rate():.0f} GFLOP/s, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    print(f"{'':26} {'seconds':>8} {'cpu':>8}")
    for name in ("fedavg", "fedavgm", "fedadagrad", "fedadam", "fedyogi"):
        rule = average.RULES[name].function
        line(name, seconds(partial(rule, clients, weights, start, {})), 2)
    for name in ("fedit", "fedsa", "hetlora", "flora"):
        rule = lora_rules.RULES[name].function
        line(name, seconds(partial(rule, lora, weights, sent, 0)), 2 if name != "flora" else None)
    line("fedex", seconds(partial(lora_rules.fedex, lora, weights, sent, 0)), None)
    line("Gram matrix, all pairs", seconds(partial(gram, lora)), 10)
    line("aggregation_error", seconds(partial(aggregation_error, lora, weights)), 10)
    merge = lora_rules.fedit
    for name in ("krum", "rfa", "norm_clip"):
        rule = partial(lora_robust.RULES[name].function, merge=merge)
        line(f"{name}, merged by fedit", seconds(partial(rule, lora, weights, sent, 0)), 10)
    for name in ("krum", "norm_clip"):
        rule = robust.RULES[name].function
        line(f"{name}, on plain tensors", seconds(partial(rule, clients, weights, start, {})), 10)
    for name, layers in (("median", 2), ("trimmed_mean", 2)):
        few = flat(first(lora, layers).layers)
        took = seconds(partial(robust.RULES[name].function, few, weights, start, {}))
        line(name, took, None, LAYERS / layers, f"(timed on {layers} of {LAYERS} layers)")
    took = seconds(partial(lora_rules.flexlora, first(lora, 1), weights, first(sent, 1), 0))
    line("flexlora", took, None, LAYERS, f"(timed on 1 of {LAYERS} layers)")


if __name__ == "__main__":
    main()
