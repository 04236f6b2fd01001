"""Golden episodes: random play of every world, kept byte for byte in one file each.

    python -m tests.golden

writes them anew. Do that only when a change of the records is meant, and say so in the commit: runs
that people keep were recorded in the old form.
"""

from __future__ import annotations

import random
from pathlib import Path

from moot.environments import WORLDS, Environment, Template
from moot.environments.check import MOODS
from moot.environments.load import draw
from moot.protocols import Reply
from moot.protocols.schemas import legal_reply

HERE = Path(__file__).parent
EPISODES = 8
SEED = 3


def record(world: str) -> str:
    """The golden file of a world: the same text whenever it is written."""
    lines: list[str] = []
    for number in range(EPISODES):
        scenario = draw(Template(name="golden", world=world, generate={}), SEED, number)
        table = Environment(scenario, seed=SEED, episode=number, seats={"*": "random"})
        slips = random.Random(number)
        while table.ended is None:
            if number >= 5 and slips.random() < 0.3:
                table.step(slips.choice((Reply(raw="Well..."), Reply(act="agree", text="yes"))))
                continue
            table.step(legal_reply(table.observe(), MOODS[number % 3]))
        lines.append(table.episode().line() + "\n")
    return "".join(lines)


if __name__ == "__main__":
    for name in WORLDS:
        (HERE / f"{name}.jsonl").write_text(record(name), encoding="utf-8")
        print(HERE / f"{name}.jsonl")
