"""Messages per second of scripted play, beside TextArena's bare loop. One core, both in one run.

    make bench          or, with the bench extra installed:    python benchmarks/scripted.py

Ours: `scripted:linear` in both seats of deal_or_no_deal, a new scenario every episode, every reply
validated against protocol and world, every episode written to a run folder. TextArena (SimpleNegotiation
as `ta.make` gives it): observation and step only, the same offer text every turn, nothing validated
beyond its own regular expression, nothing recorded, no agent. Processor time, rounds in turn, medians.

The floor beside our figure is the time to write the finished episodes as JSON lines to the same folder,
playing nothing: what recording alone costs. The second table is the cost per message by the number of
episodes open at once.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from moot.agents.seats import seat
from moot.environments import Environment, Episode, play
from moot.environments.load import draw, load_scenario
from moot.environments.records import Run

ROUNDS = 7
EPISODES = 2000
SPEC = "scripted:linear"


def tables(episodes: int) -> Iterator[Environment]:
    source = load_scenario("deal_or_no_deal")
    for number in range(episodes):
        yield Environment(draw(source, 0, number), episode=number, seats={"*": SPEC})


def ours(episodes: int, concurrent: int) -> tuple[float, list[Episode]]:
    """Seconds per message, and the episodes."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(
            Path(folder) / "run", name="bench", source={}, agents={}, seed=0, episodes=episodes
        )
        played: list[Episode] = []
        pools = {"*": seat(SPEC).pool}
        start = time.process_time()
        with run:
            for episode in play(tables(episodes), pools, concurrent=concurrent):
                run.append(episode)
                played.append(episode)
        seconds = time.process_time() - start
    return seconds / sum(len(e.messages) for e in played), played


def writing(episodes: list[Episode]) -> float:
    """Seconds per message to write finished episodes, and nothing else."""
    with tempfile.TemporaryFile("wb") as file:
        start = time.process_time()
        for episode in episodes:
            file.write(episode.line().encode() + b"\n")
            file.flush()
        return (time.process_time() - start) / sum(len(e.messages) for e in episodes)


def textarena(games: int) -> float:
    """Seconds per step."""
    import textarena as ta

    steps, start = 0, time.process_time()
    for number in range(games):
        env = ta.make("SimpleNegotiation-v0")
        env.reset(num_players=2, seed=number)
        done = False
        while not done:
            env.get_observation()
            done, _ = env.step("What about this? [Offer: 2 Wheat, 1 Ore -> 1 Wood, 2 Sheep]")
            steps += 1
        env.close()
    return (time.process_time() - start) / steps


def main() -> None:
    mine: list[float] = []
    theirs: list[float] = []
    floor: list[float] = []
    ours(200, 100), textarena(50)  # warm up imports and caches
    for _ in range(ROUNDS):
        seconds, played = ours(EPISODES, 100)
        mine.append(seconds)
        floor.append(writing(played))
        theirs.append(textarena(400))
    a, b, c = (statistics.median(x) for x in (mine, theirs, floor))
    ratios = [t / m for m, t in zip(mine, theirs, strict=True)]
    print(f"moot, validated and recorded   {1 / a:8.0f} messages/s  {a * 1e6:6.1f} us")
    print(f"TextArena, bare loop           {1 / b:8.0f} steps/s     {b * 1e6:6.1f} us")
    print(f"floor: writing the episodes    {1 / c:8.0f} messages/s  {c * 1e6:6.1f} us")
    print(
        f"ratio {statistics.median(ratios):.2f} (rounds {min(ratios):.2f} to {max(ratios):.2f}); "
        f"goal 1.5"
    )
    print("\nopen at once   us per message")
    for concurrent in (1, 10, 100, 1000, 10_000):
        cost = [ours(max(EPISODES, concurrent), concurrent)[0] for _ in range(3)]
        print(f"{concurrent:12d}   {statistics.median(cost) * 1e6:6.1f}")


if __name__ == "__main__":
    main()
