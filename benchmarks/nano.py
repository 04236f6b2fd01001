"""How well does the nano model negotiate? Both seats are nano, drawing at temperature 1 under the mask.

    python benchmarks/nano.py ../shared/data/openspiel_bargaining/scenarios.jsonl.gz
    python benchmarks/nano.py camp_site task_market --episodes 200
    python benchmarks/nano.py DATA.jsonl.gz --opponent scripted:open --model OTHER/FOLDER

A data file is played once through, a scenario `--episodes` times. Prints the table of `moot score` for
each, and writes it as JSON with `--out`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from rich.console import Console

from moot.agents.seats import NANO, seat
from moot.environments import Environment, Scenario, play
from moot.environments.datafile import load_scenarios
from moot.environments.load import draw, load_scenario
from moot.evaluation.scores import Scores
from moot.evaluation.table import table


def scenarios(source: str, episodes: int | None, seed: int) -> list[Scenario]:
    """Those of a data file, or `episodes` (200) draws of a scenario file or name."""
    if ".jsonl" in source or source.endswith(".txt"):
        return list(islice(load_scenarios(source, 10), episodes))
    loaded = load_scenario(source)
    return [draw(loaded, seed, i) for i in range(episodes or 200)]


def tables(played: Sequence[Scenario], seed: int) -> Iterator[Environment]:
    for i, scenario in enumerate(played):
        yield Environment(scenario, seed=seed, episode=i)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sources", nargs="+", help="data files, scenario files or shipped names")
    parser.add_argument("--model", default=str(NANO), help="folder of the model")
    parser.add_argument("--opponent", help="spec of who takes every second seat; unset: the model")
    parser.add_argument("--temperature", default="1.0")
    parser.add_argument("--episodes", type=int, help="at most so many of each source")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the scores here as JSON")
    given = parser.parse_args()
    model = seat(f"hf:{given.model}?temperature={given.temperature}").pool
    console, document = Console(), {}
    for source in given.sources:
        began, scores = time.monotonic(), Scores(source)
        for scenario_list in _same_seats(scenarios(source, given.episodes, given.seed)):
            seats = {"*": model}
            if given.opponent:
                seats |= {a: seat(given.opponent).pool for a in list(scenario_list[0].roles)[1::2]}
            for episode in play(tables(scenario_list, given.seed), seats, concurrent=128):
                scores.add(episode)
        console.print(table({source: scores}))
        console.print(f"{scores.episodes} episodes in {time.monotonic() - began:.0f} s")
        document[source] = scores.data()
    if given.out:
        given.out.write_text(json.dumps(document, indent=1) + "\n")


def _same_seats(played: Sequence[Scenario]) -> Iterator[list[Scenario]]:
    """Groups of scenarios whose seats have the same names, so that one seating fits each group."""
    groups: dict[tuple[str, ...], list[Scenario]] = {}
    for scenario in played:
        groups.setdefault(tuple(scenario.roles), []).append(scenario)
    yield from groups.values()


if __name__ == "__main__":
    main()
