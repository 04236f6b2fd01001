"""Suites: scenarios x agents x seeds in one YAML, played cell by cell into one table.

    DIR/SCENARIO/AGENT/SEED-XXXX/    a run; XXXX stands for everything that was asked for in it
    DIR/result.json                  every score of every row

A cell that is done is never played again, one that is torn is finished, and a suite that grows plays only
what is new: the folder of a cell tells what is in it. All agents meet the same scenarios with the same
random numbers, so rows of one scenario are paired.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NamedTuple, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from . import evaluation
from .cells import finished, played
from .environments import Episode
from .environments.journal import write_whole
from .environments.load import draw, read_yaml, shipped
from .environments.mistakes import checked
from .environments.records import Run
from .evaluation import METRICS, Comparison, Scores, compare, score
from .evaluation.written import written
from .protocols import MootError, did_you_mean
from .simulation import chosen_specs, seated, sourced

SUITES = Path(evaluation.__file__).parent
RESULT = "result.json"
STRICT = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
OWN = "own"
Count = Annotated[int, Field(ge=1)]


class Entry(BaseModel):
    """One scenario of a suite."""

    model_config = STRICT

    scenario: str
    """A shipped name or a YAML file; a file's path may be taken from the suite's own folder."""
    episodes: Count | None = None
    """Goes before the suite's own."""
    agents: list[str] | None = None
    """Names of the suite's agents that play it. None: all."""


def _entries(value: object) -> object:
    if value == "all":
        value = list(shipped())
    if isinstance(value, list):
        items = cast(list[object], value)
        return [{"scenario": v} if isinstance(v, str) else v for v in items]
    return value


class Suite(BaseModel):
    """What `moot evaluate` is told."""

    model_config = STRICT

    name: str = "suite"
    """Names the folder of its runs."""
    scenarios: Annotated[list[Entry], BeforeValidator(_entries)] = Field(min_length=1)
    """Names, or mappings with `scenario`; `all` is every scenario that ships."""
    agents: dict[str, str | dict[str, str]] = Field(min_length=1)
    """Name of a row -> who takes every seat, or seat or `*` -> agent spec; `own`: whom the scenario names."""
    leave_out: dict[str, list[str]] = {}
    """Name of an agent -> scenarios that it does not play (they would take it too long)."""
    seeds: list[int] = Field(default=[0], min_length=1)
    """Each is a run of its own; a row is all of them together."""
    episodes: Count = 20
    """Of each run."""
    metrics: list[str] = ["completion_rate", "utility", "joint_share", "messages_per_episode"]
    """Columns of the table. Results of the worlds are `result.NAME`; `result.json` has every score."""
    baseline: str | None = None
    """Name of the agent that the others are compared with."""

    @model_validator(mode="after")
    def _known(self) -> Suite:
        for name in self.agents:
            if not name or name.startswith(".") or "/" in name:
                raise ValueError(f"agents: {name!r}: want a name that can be a folder")
        for entry in self.scenarios:
            _one_of(entry.agents or [], self.agents, f"scenarios: {entry.scenario}: agents")
        _one_of(list(self.leave_out), self.agents, "leave_out")
        named = [entry.scenario for entry in self.scenarios]
        for agent, scenarios in self.leave_out.items():
            _one_of(scenarios, dict.fromkeys(named), f"leave_out.{agent}")
        _one_of([self.baseline] if self.baseline else [], self.agents, "baseline")
        plain = [m for m in self.metrics if not m.startswith(("result.", "utility."))]
        _one_of(plain, METRICS, "metrics")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: got {self.seeds}, want different ones")
        return self


def _one_of(names: list[str], known: Mapping[str, Any], where: str) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{where}: no {name!r}; {did_you_mean(name, known)}")


def load_suite(source: str | Path | Mapping[str, Any]) -> tuple[Suite, Path]:
    """The suite that a shipped name, a YAML file or a mapping describes, and the folder of its paths.

    Raises `MootError` with the place and the cause.
    """
    if isinstance(source, Mapping):
        return checked(Suite, source, str(source.get("name", "suite"))), Path()
    path = Path(source)
    if not path.is_file():
        path = SUITES / f"{source}.yaml"
    if not path.is_file():
        names = [p.stem for p in SUITES.glob("*.yaml")]
        raise MootError(
            f"no suite {str(source)!r}; {did_you_mean(str(source), names)} (a YAML file's path works too)"
        )
    data = read_yaml(path, "name, scenarios, agents, episodes")
    return checked(Suite, {"name": path.stem, **data}, str(path)), path.parent


class Place(NamedTuple):
    """One cell: a run to be played."""

    scenario: str
    world: str
    agent: str
    seed: int
    source: str | Path
    agents: dict[str, str]
    episodes: int
    path: Path


class Row(NamedTuple):
    """One agent in one scenario, all seeds together."""

    scenario: str
    agent: str
    runs: list[Path]
    scores: Scores
    against: Comparison | None
    """This agent and the baseline, on the same episodes; None for the baseline itself."""


class Evaluation:
    """A suite being played: iterate over it for its episodes, then ask for its `rows`.

    Raises `MootError` before anything is played for everything that can be wrong with what was asked.
    """

    def __init__(
        self,
        suite: str | Path | Mapping[str, Any],
        *,
        out: str | Path | None = None,
        concurrent: int = 256,
        command: str = "",
    ) -> None:
        self.suite, self.home = load_suite(suite)
        self.folder = Path(out) if out else Path("runs") / self.suite.name
        self.concurrent, self.command = concurrent, command
        self.places = list(self._places())
        open_: dict[str, set[str]] = {}
        for p in self.places:
            if not finished(p.path, p.episodes):
                open_.setdefault(p.agent, set()).add(p.world)
        self._shared = {  # models stay loaded from cell to cell
            name: seated(agents, *sorted(open_[name]))
            for name, chosen in self.suite.agents.items()
            if name in open_ and (agents := _seating(chosen))
        }
        if any(s.human for seats in self._shared.values() for s in seats.values()):
            raise MootError(
                f"{self.suite.name}: a suite is for agents, and nobody sits at its runs"
            )

    @property
    def wanted(self) -> int:
        """Episodes in all."""
        return sum(place.episodes for place in self.places)

    def __iter__(self) -> Iterator[tuple[Place, Episode | None]]:
        """Play what is missing: a cell and its next episode, or None for one that was there already."""
        for place in self.places:
            for episode in played(
                place.path, place.source, place.agents, place.episodes,
                seed=place.seed, concurrent=self.concurrent, command=self.command,
            ):  # fmt: skip
                yield place, episode

    @cached_property
    def rows(self) -> list[Row]:
        """Every agent in every scenario, scored; `result.json` keeps them."""
        found: list[Row] = []
        for (scenario, agent), places in _grouped(self.places).items():
            runs = [p.path for p in places]
            base = None
            if self.suite.baseline not in (None, agent):
                mine = [
                    p.path
                    for p in self.places
                    if (p.scenario, p.agent) == (scenario, self.suite.baseline)
                ]
                names = (agent, self.suite.baseline or "")
                base = compare(_episodes(runs), _episodes(mine), names=names) if mine else None
            found.append(Row(scenario, agent, runs, score(_episodes(runs)), base))
        text = written(self.data(found), indent=1, ensure_ascii=False)
        write_whole(self.folder / RESULT, text + "\n")
        return found

    def data(self, rows: list[Row]) -> dict[str, Any]:
        """For JSON."""
        return {
            "suite": self.suite.model_dump(mode="json"),
            "folder": str(self.folder),
            "rows": [
                {
                    "scenario": r.scenario,
                    "agent": r.agent,
                    "runs": [str(p) for p in r.runs],
                    **{k: v for k, v in r.scores.data().items() if k != "source"},
                    "against": None if r.against is None else r.against.data(),
                }
                for r in rows
            ],
        }

    def _places(self) -> Iterator[Place]:
        for entry in self.suite.scenarios:
            beside = self.home / entry.scenario
            source = beside if beside.is_file() else entry.scenario
            name, drawable, plain, _ = sourced(source, None)
            first = draw(drawable, self.suite.seeds[0], 0)
            for agent, chosen in self.suite.agents.items():
                if entry.agents is not None and agent not in entry.agents:
                    continue
                if entry.scenario in self.suite.leave_out.get(agent, ()):
                    continue
                try:
                    chosen_specs(first, _seating(chosen))
                except MootError as e:
                    raise MootError(f"{self.suite.name}: agents.{agent}: {e}") from None
                for seed in self.suite.seeds:
                    agents, episodes = _seating(chosen), entry.episodes or self.suite.episodes
                    asked = json.dumps(
                        [plain, agents, seed, episodes], sort_keys=True, default=dict
                    )
                    digest = hashlib.blake2b(asked.encode()).hexdigest()[:4]
                    path = self.folder / name / agent / f"{seed}-{digest}"
                    yield Place(name, first.world, agent, seed, source, agents, episodes, path)


def evaluate_suite(
    suite: str | Path | Mapping[str, Any], *, out: str | Path | None = None
) -> list[Row]:
    """Play a suite (a shipped name, a YAML file or a mapping) and score it, a row for every scenario and
    agent. `out`: default `runs/NAME`; what is there already is not played again. Raises `MootError`."""
    evaluation = Evaluation(suite, out=out)
    for _ in evaluation:
        pass
    return evaluation.rows


def _seating(chosen: str | dict[str, str]) -> dict[str, str]:
    """Empty for the scenario's own choice."""
    if isinstance(chosen, dict):
        return chosen
    return {} if chosen == OWN else {"*": chosen}


def _grouped(places: list[Place]) -> dict[tuple[str, str], list[Place]]:
    found: dict[tuple[str, str], list[Place]] = {}
    for place in places:
        found.setdefault((place.scenario, place.agent), []).append(place)
    return found


def _episodes(runs: list[Path]) -> Iterator[Episode]:
    for path in runs:
        yield from Run.open(path).episodes()
