"""Fine-tune the shipped model federatedly on human dialogues: ten clients, split by what speakers value.

    python examples/human_dialogues.py deal_or_no_deal/dialogues.jsonl.gz [--most 400] [--rounds 8]

Every speaker's side of a dialogue is one example, with the item that the speaker values most as its label; a
Dirichlet partition gives each of ten clients its own mix of labels. Held-out perplexity is reported for the
base model, each client alone, all together by averaging, and one model on everybody's data.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

import moot
from moot.finetuning import Watching
from moot.outcome import comparisons, read, table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "dialogues", type=Path, help="deal_or_no_deal or casino, .jsonl or .jsonl.gz"
    )
    parser.add_argument("--most", type=int, default=400, help="sides of dialogues to use")
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--alpha", type=float, default=0.5, help="small is unlike")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/human-dialogues"))
    asked = parser.parse_args()
    tuning = moot.load_tuning(
        {
            "name": "human_dialogues",
            "adapter": {"method": "lora", "rank": 8, "targets": "all-linear"},
            "partition": {
                "dialogues": str(asked.dialogues), "clients": asked.clients, "by": "dirichlet",
                "alpha": asked.alpha, "most": asked.most,
            },
            "federation": {
                "rule": "fedavg", "rounds": asked.rounds,
                "plan": {"epochs": 1, "batch": 4, "lr": 0.005},
            },
            "play": None,
            "seed": asked.seed,
        }
    )  # fmt: skip
    screen = Console(highlight=False)
    watching = Watching(
        says=lambda words: screen.print(words, style="bold"),
        round=lambda _, round: screen.print(f"  {round}", soft_wrap=True),
    )
    job = moot.Finetuning(tuning, asked.out, resume=asked.out.exists())
    results = {name: read(v.losses, v.runs, {}) for name, v in job.run(watching).items()}
    screen.print(table(results))
    for line in comparisons(results):
        screen.print(line, soft_wrap=True)


if __name__ == "__main__":
    try:
        main()
    except moot.MootError as e:
        raise SystemExit(f"human_dialogues: {e}") from None
