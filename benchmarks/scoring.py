"""Episodes scored per minute on one core, bootstrap included: read from a run folder, and already in memory.

    python benchmarks/scoring.py

A run of deal_or_no_deal between `scripted:open` (five messages, a new scenario drawn for each episode). Read:
JSON lines validated, every metric, 2,000 resamples. In memory: the same without reading. Processor time,
rounds in turn; medians. The first round also solves the scenarios, which the others find in a cache; it is
shown apart.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import moot
from moot.evaluation import score

ROUNDS = 5
EPISODES = 5000


def timed(call: Callable[[], object]) -> float:
    """Episodes per minute."""
    start = time.process_time()
    call()
    return EPISODES / (time.process_time() - start) * 60


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = moot.simulate(
            "deal_or_no_deal",
            agents={"*": "scripted:open"},
            episodes=EPISODES,
            out=Path(folder) / "run",
        )
        episodes = list(run.episodes())
        cold = timed(lambda: score(episodes))
        warm = [timed(lambda: score(episodes)) for _ in range(ROUNDS)]
        read = [timed(lambda: score(run)) for _ in range(ROUNDS)]
    print(f"{'read and scored':24}{statistics.median(read):12,.0f} episodes a minute")
    print(f"{'scored':24}{statistics.median(warm):12,.0f}")
    print(f"{'scored for the first time':24}{cold:11,.0f}")


if __name__ == "__main__":
    main()
