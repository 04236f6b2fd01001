"""Messages per second of scripted play, beside TextArena's bare loop. One core, both in one run.

    make bench          or, with the bench extra installed:    python benchmarks/scripted.py

Ours: `scripted:boulware` in both seats of camp_site (games of about eleven messages, as long as
TextArena's ten) and `scripted:linear` in deal_or_no_deal (five messages, a new scenario drawn for each);
agents think and find words, every reply is validated against protocol and world, every episode is
written to a run folder. TextArena (SimpleNegotiation as `ta.make` gives it): observation and step only,
the same offer text every turn, nothing validated beyond its own regular expression, nothing recorded,
no agent. On both sides a finished game is dropped before the next begins. Processor time, rounds in
turn, each with a seed of its own; medians.

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
GAMES = {"camp_site": "scripted:boulware", "deal_or_no_deal": "scripted:linear"}


def tables(name: str, episodes: int, seed: int) -> Iterator[Environment]:
    source, seats = load_scenario(name), {"*": GAMES[name]}
    for number in range(episodes):
        yield Environment(draw(source, seed, number), seed=seed, episode=number, seats=seats)


def ours(name: str, episodes: int, concurrent: int, seed: int) -> float:
    """Seconds per message."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(
            Path(folder) / "run", name="bench", source={}, agents={}, seed=seed, episodes=episodes
        )
        messages, pools = 0, {"*": seat(GAMES[name]).pool}
        start = time.process_time()
        with run:
            for episode in play(tables(name, episodes, seed), pools, concurrent=concurrent):
                run.append(episode)
                messages += len(episode.turns)  # scripted agents make no illegal reply
        return (time.process_time() - start) / messages


def writing(episodes: list[Episode]) -> float:
    """Seconds per message to write finished episodes, and nothing else."""
    with tempfile.TemporaryFile("wb") as file:
        start = time.process_time()
        for episode in episodes:
            file.write(episode.line().encode() + b"\n")
            file.flush()
        return (time.process_time() - start) / sum(len(e.turns) for e in episodes)


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
    for name in GAMES:
        ours(name, 200, 100, seed=ROUNDS)  # warm up imports and caches
    textarena(50)
    times: dict[str, list[float]] = {name: [] for name in (*GAMES, "TextArena", "floor")}
    for seed in range(ROUNDS):
        for name in GAMES:
            times[name].append(ours(name, EPISODES, 100, seed))
        times["TextArena"].append(textarena(400))
    pools = {"*": seat(GAMES["camp_site"]).pool}
    finished = list(play(tables("camp_site", 200, 0), pools))
    times["floor"] += [writing(finished) for _ in range(ROUNDS)]
    print("messages (or steps) per second of processor time; medians of", ROUNDS, "rounds")
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        print(f"  {name:16s} {1 / middle:8.0f}   {middle * 1e6:6.1f} us")
    for name in GAMES:
        ratios = [t / m for m, t in zip(times[name], times["TextArena"], strict=True)]
        low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
        print(f"{name} against TextArena: {middle:.2f} times (rounds {low:.2f} to {high:.2f})")
    print("\nepisodes open at once   us per message (camp_site)")
    for concurrent in (1, 10, 100, 1000, 10_000):
        cost = [ours("camp_site", max(EPISODES, concurrent), concurrent, s) for s in range(3)]
        print(f"{concurrent:21d}   {statistics.median(cost) * 1e6:6.1f}")


if __name__ == "__main__":
    main()
