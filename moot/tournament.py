"""Cross-play as a folder: one run for every ordered pair of agents, on the same scenarios.

    DIR/crossplay.json      what was asked for
    DIR/ROW--COLUMN/        a run: ROW has the first side, COLUMN the second
    DIR/result.json         matrix, strengths and their intervals

A folder that holds part of exactly this is finished, not begun again. The two sides are the two roles of
a world that has two, else the first seat and all the others.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .cells import finished, played, started
from .environments import WORLDS, Episode, Scenario, Template
from .environments.journal import write_whole
from .environments.load import draw
from .environments.records import Run
from .evaluation.cross import Cell, Cross, crossed
from .evaluation.written import written
from .protocols import MootError
from .simulation import seated, sourced

HEADER, RESULT = "crossplay.json", "result.json"


class Tournament:
    """A cross-play being played: iterate over it for its episodes, then ask for its `result`.

    `agents`: name -> spec, or specs, which then name themselves. Raises `MootError` before anything is
    played for everything that can be wrong with what was asked.
    """

    def __init__(
        self,
        scenario: str | Path | Mapping[str, Any] | Scenario | Template,
        agents: Mapping[str, str] | Sequence[str],
        *,
        episodes: int = 50,
        seed: int = 0,
        out: str | Path | None = None,
        concurrent: int = 256,
        command: str = "",
    ) -> None:
        self.agents = dict(agents) if isinstance(agents, Mapping) else named(agents)
        if len(self.agents) < 2:
            raise MootError(
                "crossplay wants at least two different agents (--agents SPEC SPEC ...)"
            )
        if episodes < 1:
            raise MootError(f"episodes: got {episodes}, want a number >= 1")
        self.name, source, plain, _ = sourced(scenario, None)
        self.scenario, self.seed, self.concurrent, self.command = (
            scenario,
            seed,
            concurrent,
            command,
        )
        self.episodes = episodes
        first = draw(source, seed, 0)
        self.sides = sides(first)
        asked = {
            "scenario": plain, "agents": self.agents, "sides": list(self.sides), "seed": seed,
            "episodes": episodes,
        }  # fmt: skip
        text = json.dumps({"name": self.name, **asked}, indent=2, ensure_ascii=False) + "\n"
        digest = hashlib.blake2b(text.encode()).hexdigest()[:4]
        self.folder = Path(out) if out else Path("runs") / f"crossplay-{self.name}-{digest}"
        open_ = {n for c in self.cells if not finished(self.cell(c), episodes) for n in c}
        wanted = {name: spec for name, spec in self.agents.items() if name in open_}
        self._shared = seated(wanted, first.world)  # models stay loaded from cell to cell
        if any(seat.human for seat in self._shared.values()):
            raise MootError("crossplay is for agents; play yourself with moot simulate SEAT=human")
        started(self.folder, HEADER, text)

    def cell(self, cell: Cell) -> Path:
        """The run folder of a cell."""
        return self.folder / f"{cell[0]}--{cell[1]}"

    @property
    def cells(self) -> list[Cell]:
        return [(i, j) for i in self.agents for j in self.agents]

    @property
    def wanted(self) -> int:
        """Episodes in all."""
        return len(self.cells) * self.episodes

    def __iter__(self) -> Iterator[tuple[Cell, Episode | None]]:
        """Play what is missing: a cell and its next episode, or None for one that was there already."""
        for cell in self.cells:
            (one, first), (two, second) = zip(self.sides, cell, strict=True)
            seats = {one: self.agents[first], two: self.agents[second]}
            for episode in played(
                self.cell(cell), self.scenario, {"*": self.agents[second], **seats}, self.episodes,
                seed=self.seed, concurrent=self.concurrent, command=self.command,
            ):  # fmt: skip
                yield cell, episode

    def result(self) -> Cross:
        """The matrix of what is played by now; `result.json` keeps it."""
        there = [c for c in self.cells if (self.cell(c) / "run.json").exists()]
        runs = {c: Run.open(self.cell(c)).episodes() for c in there}
        found = crossed(self.agents, runs, self._first)
        write_whole(self.folder / RESULT, written(found.data(), indent=2) + "\n")
        return found

    def _first(self, episode: Episode) -> list[str]:
        """Seats of the first side."""
        one = self.sides[0]
        roles = WORLDS[episode.scenario.world].build(episode.scenario).roles()
        return [a for a in episode.scenario.roles if one in (a, roles[a])]


def crossplay(
    scenario: str | Path | Mapping[str, Any] | Scenario | Template,
    agents: Mapping[str, str] | Sequence[str],
    *,
    episodes: int = 50,
    seed: int = 0,
    out: str | Path | None = None,
) -> Cross:
    """Play every agent with every agent, in either seat, and rate them.

    `agents`: specs, or name -> spec. `out`: default `runs/crossplay-NAME-XXXX`; what is there already is
    not played again. Raises `MootError`.
    """
    tournament = Tournament(scenario, agents, episodes=episodes, seed=seed, out=out)
    for _ in tournament:
        pass
    return tournament.result()


def sides(scenario: Scenario) -> tuple[str, str]:
    """What seats the two parties: two roles, else the first seat and `*` for all the others."""
    roles = [r for r in WORLDS[scenario.world].build(scenario).roles().values() if r]
    distinct = sorted(set(roles))
    if len(distinct) == 2:
        return distinct[0], distinct[1]
    return next(iter(scenario.roles)), "*"


def named(specs: Sequence[str]) -> dict[str, str]:
    """A short name for every spec, fit for a folder: `scripted:open` is open."""
    found: dict[str, str] = {}
    for spec in specs:
        if spec in found.values():
            raise MootError(f"agent {spec!r} is named twice")
        plain = spec.removeprefix("scripted:")
        name = stem = re.sub(r"[^\w.]+", "-", plain).strip("-.") or "agent"
        number = 2
        while name in found:
            name, number = f"{stem}-{number}", number + 1
        found[name] = spec
    return found
