"""Messages per second of random legal play in every world that ships, on one core.

    python benchmarks/worlds.py [WORLD ...]

`scripted:random` in every seat of each world's first shipped scenario. It asks for the schema of the legal
replies and draws one, so this measures what a learner meets (scenario, schema, draw, judge, world), without
records; where offers are ranked or tasks contracted it offers and accepts at random instead, in words.
Processor time; the best of several rounds, since a busy machine only ever makes a round slower.
"""

from __future__ import annotations

import sys
import time
from itertools import count

from moot.agents.seats import seat
from moot.environments import WORLDS, Environment, Scenario, Template, play
from moot.environments.load import draw, load_scenario, shipped

ROUNDS = 5
MESSAGES = 1500
"""In a round, at least."""


def first(world: str) -> Scenario | Template:
    """The first scenario of a world that ships."""
    return next(s for s in map(load_scenario, shipped()) if s.world == world)


def round_of(source: Scenario | Template, start: int) -> tuple[int, float]:
    """Episodes played, and seconds per message."""
    pools, messages = {"*": seat("scripted:random").pool}, 0
    tables = (Environment(draw(source, 0, number), episode=number) for number in count(start))
    begun = time.process_time()
    for episodes, episode in enumerate(play(tables, pools, concurrent=1), 1):
        messages += len(episode.messages)
        if messages >= MESSAGES:
            return episodes, (time.process_time() - begun) / messages
    raise AssertionError("there are always more tables")


def main(worlds: list[str]) -> None:
    print(f"random legal play, messages per second of processor time; best of {ROUNDS} rounds")
    for world in worlds or WORLDS:
        source = first(world)
        at, times = 0, list[float]()
        for _ in range(ROUNDS):
            episodes, seconds = round_of(source, at)
            at += episodes
            times.append(seconds)
        print(f"  {world:18s}{source.name:22s}{1 / min(times):8.0f}   {min(times) * 1e6:7.1f} us")


if __name__ == "__main__":
    main(sys.argv[1:])
