"""Peak memory of training K agents: base + K x (adapter + its optimiser state) + activations.

    python benchmarks/memory.py [--agents 1 8 64 256] [--device cuda]           under a minute on 2 cores

Every K trains in a process of its own, two updates of 256 rows of 8 tokens divided among the agents, so
that activations are the same for all. An agent takes four numbers for each of its adapter's: the number,
its gradient, AdamW's two moments. Activations, with what the allocator and the libraries take while
working, are what K = 1 needs beyond base and adapter; the larger K are predicted from that and measured
against it. On a CPU the measure is the highest resident size of the process beyond that before
the model is made (Linux; freed blocks are given back at once), on a GPU what PyTorch has allocated at most.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from moot.finetune.bank import AdapterBank
from moot.finetune.examples import Example
from moot.finetune.methods.lora import LoRA
from moot.finetune.train import Plan, train

ROWS, LENGTH = 256, 8
NUMBERS = 4
"""Per adapter number: itself, its gradient, two moments; float32 all."""
OFF = 0.15
"""Largest deviation from the formula that passes."""


def resident(highest: bool = False) -> int:
    """Bytes of this process in memory, now or at most so far."""
    name = "VmHWM" if highest else "VmRSS"
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return 1024 * int(line.split()[1])
    raise SystemExit("this benchmark reads /proc/self/status, which only Linux has")


def one(agents: int, device: str) -> dict[str, int]:
    """Trains this many agents; bytes of base, of one adapter, at the peak."""
    torch.manual_seed(0)
    before = 0 if device == "cuda" else resident()
    base: Any = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=2048, hidden_size=256, intermediate_size=704, num_hidden_layers=6,
            num_attention_heads=8, num_key_value_heads=8, max_position_embeddings=512,
            tie_word_embeddings=True,
        )
    ).to(device)  # fmt: skip
    names = [f"agent{k}" for k in range(agents)]
    bank = AdapterBank(base, LoRA(rank=8, targets="all-linear"), names)
    each = ROWS // agents
    data = {a: [Example([7] * LENGTH, [1.0] * LENGTH)] * each for a in names}
    for _ in train(bank, data, Plan(batch=each, steps=2)):
        pass
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else resident(highest=True)
    weights = sum(p.numel() * p.element_size() for p in base.parameters())
    return {"base": weights, "adapter": 4 * bank.count(), "peak": peak - before}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--agents", type=int, nargs="+", default=[1, 8, 64, 256])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(one(given.one, given.device)))
        return 0
    rest, worst = 0.0, 0.0
    print(f"{ROWS} rows of {LENGTH} tokens on {given.device}, MB of 10^6 bytes")
    print(
        f"{'agents':>6} {'base':>7} {'K x 4 x adapter':>16} {'activations':>12} {'sum':>8} {'measured':>9}"
    )
    for agents in sorted({1, *given.agents}):
        found = subprocess.run(
            [sys.executable, __file__, "--one", str(agents), "--device", given.device],
            check=True, capture_output=True, text=True,
            env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
        )  # fmt: skip
        read = json.loads(found.stdout.splitlines()[-1])
        own = agents * NUMBERS * read["adapter"]
        if agents == 1:
            rest = read["peak"] - read["base"] - own
        whole = read["base"] + own + rest
        off = read["peak"] / whole - 1
        worst = max(worst, abs(off))
        print(
            f"{agents:6} {read['base'] / 1e6:7.1f} {own / 1e6:16.1f} {rest / 1e6:12.1f} "
            f"{whole / 1e6:8.1f} {read['peak'] / 1e6:9.1f}  {off:+.1%}",
            flush=True,
        )
    return 0 if worst <= OFF else 1


if __name__ == "__main__":
    sys.exit(main())
