"""Simulation: scenarios, seats and a run folder, put together.

`simulate` plays a whole run; `Simulation` is the same with its episodes coming out one by one, for
progress bars. What is asked for is written to the run before the first episode, so that any
interruption can be resumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .agents.scripted.players import unplayed
from .agents.seats import Seat, Spec, seat_all
from .environments import Environment, Episode, Scenario, Template, play
from .environments.load import draw, load_scenario, roles_of
from .environments.records import Run, default_path
from .environments.scenario import COACH
from .environments.transcripts import is_transcripts, load_scenarios
from .protocols import MootError, did_you_mean

if TYPE_CHECKING:
    from .finetune.bank import AdapterBank

Source = Scenario | Template | Sequence[Scenario]

LEARNED = ("item_division", "price_bargaining", "task_allocation")
"""Worlds that the shipped model plays well."""


class Simulation:
    """A run being played: iterate over it for its episodes; `run` is its record.

    Raises `MootError` for everything that can be wrong with what was asked, before any model loads.
    """

    def __init__(
        self,
        scenario: str | Path | Mapping[str, Any] | Scenario | Template,
        *,
        agents: Mapping[str, Spec] | None = None,
        data: str | Path | None = None,
        episodes: int | None = None,
        seed: int = 0,
        out: str | Path | None = None,
        resume: bool = False,
        concurrent: int = 256,
        command: str = "",
    ) -> None:
        self.seed = seed
        self.name, self.source, plain, default = sourced(scenario, data)
        for what, number in (("episodes", episodes), ("concurrent", concurrent)):
            if number is not None and number < 1:
                raise MootError(f"{what}: got {number}, want a number >= 1")
        first = draw(self.source, seed, 0)
        self.seats = seated(chosen_specs(first, agents or {}), first.world)
        self.human = any(seat.human for seat in self.seats.values())
        """A person is at the terminal: one dialogue at a time, and no progress bar beside it."""
        self.concurrent = 1 if self.human else concurrent
        self.episodes = episodes or (1 if self.human else default)
        named = {name: seat.spec for name, seat in self.seats.items()}
        Environment(first)  # seats must fit the protocol before anything is written
        asked: dict[str, Any] = {
            "source": plain,
            "agents": named,
            "seed": seed,
            "episodes": self.episodes,
        }
        path = Path(out) if out else default_path(self.name, plain, named, seed, self.episodes)
        if resume and out is None:
            path = _latest(self.name, path, asked) or path
        if resume and (path / "run.json").exists():
            self.run = Run.resume(path)
            try:
                self.run.check_same(**asked)
            except MootError:
                self.run.close()
                raise
        else:
            self.run = Run.create(path, name=self.name, command=command, **asked)
        self.missing = self.run.missing()

    def __iter__(self) -> Iterator[Episode]:
        """Play what is missing; each episode is recorded before it comes out."""
        pools = {name: seat.pool for name, seat in self.seats.items()}
        with self.run:
            for episode in play(self._tables(), pools, concurrent=self.concurrent):
                self.run.append(episode)
                yield episode

    def _tables(self) -> Iterator[Environment]:
        for number in self.missing:
            scenario = draw(self.source, self.seed, number)
            who = {a: seat_of(self.seats, a, role) for a, role in roles_of(scenario).items()}
            yield Environment(
                scenario,
                seed=self.seed,
                episode=number,
                seats={a: seat.spec for a, seat in who.items()},
                sees_all=frozenset(a for a, seat in who.items() if seat.sees_all),
            )


def simulate(
    scenario: str | Path | Mapping[str, Any] | Scenario | Template,
    *,
    agents: Mapping[str, Spec] | None = None,
    data: str | Path | None = None,
    episodes: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    concurrent: int = 256,
) -> Run:
    """Play a scenario and return the recorded run.

    `scenario`: a shipped name, a YAML file, a data file, a mapping or a `Scenario`. `agents`: seat name,
    role or `*` -> agent spec, an object with `reply(observation)`, or a pool; it goes before the
    scenario's own choice. `data`: a file of scenarios to play, one per episode. `episodes`: default
    100, or as many as `data` holds, or 1 for a person. `out`: default `runs/NAME-XXXX`. Raises `MootError`.
    """
    simulation = Simulation(
        scenario,
        agents=agents,
        data=data,
        episodes=episodes,
        seed=seed,
        out=out,
        resume=resume,
        concurrent=concurrent,
    )
    for _ in simulation:
        pass
    return simulation.run


def open_adapters(model: Any, folders: Mapping[str, Path]) -> list[AdapterBank]:
    """Adapters that specs name; the code that trains them loads only for these."""
    from .finetune.opened import open_banks

    return open_banks(model, folders)


def seated(specs: Mapping[str, Spec], *worlds: str) -> dict[str, Seat]:
    """Seats for agents that know what to do in these worlds. Raises `MootError`."""
    seats = seat_all(specs, open_adapters)
    for seat in seats.values():
        for world in worlds:
            if not seat.plays(world):
                raise MootError(unplayed(seat.spec.partition(":")[2], world))
    return seats


def sourced(
    scenario: str | Path | Mapping[str, Any] | Scenario | Template, data: str | Path | None
) -> tuple[str, Source, dict[str, Any], int]:
    """Name, source, the same as plain data for the record, and the default number of episodes."""
    if data is None and isinstance(scenario, str | Path) and is_transcripts(Path(scenario)):
        scenarios = load_scenarios(scenario)
        name = Path(scenario).resolve().parent.name
        return name, scenarios, {"data": str(scenario)}, len(scenarios)
    loaded = scenario if isinstance(scenario, Scenario | Template) else load_scenario(scenario)
    plain = loaded.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    if data is None:
        return loaded.name, loaded, plain, 100
    rows = load_scenarios(data)
    if rows[0].world != loaded.world:
        raise MootError(
            f"{data} holds scenarios of {rows[0].world}, but {loaded.name} is of {loaded.world}"
        )
    shared = ("protocol", "brief", "agents", "max_text", "patience")
    ours = {k: getattr(loaded, k) for k in shared if k in loaded.model_fields_set}
    ours = {k: v for k, v in ours.items() if v is not None}
    scenarios = [row.model_copy(update={**ours, "name": loaded.name}) for row in rows]
    return loaded.name, scenarios, {**plain, "data": str(data)}, len(scenarios)


def usual(world: str) -> str:
    """Who sits where nobody is named: the shipped model in the worlds that it plays well."""
    return "nano" if world in LEARNED else "scripted:sensible"


def chosen_specs(scenario: Scenario, given: Mapping[str, Spec]) -> dict[str, Spec]:
    """Who sits where: `given`, then the scenario's own choice, then the `usual` agent."""
    roles = roles_of(scenario)
    known = list(dict.fromkeys((*roles, *filter(None, roles.values()), "*")))
    for name in given:
        if name not in known:
            raise MootError(f"no seat {name!r} in {scenario.name}; {did_you_mean(name, known)}")
    default: dict[str, Spec] = {"*": usual(scenario.world), **scenario.agents}
    chosen = dict(given) if "*" in given else default | dict(given)
    if COACH in roles and COACH not in chosen and "*" not in (*given, *scenario.agents):
        raise MootError(
            f"nobody coaches; seat an agent at {COACH!r} (--agents {COACH}=SPEC; scripted agents keep silent)"
        )
    used = {_key_of(chosen, agent, role) for agent, role in roles.items()}
    return {name: spec for name, spec in chosen.items() if name in used}


def _key_of(seats: Mapping[str, Any], agent: str, role: str) -> str:
    return agent if agent in seats else role if role in seats else "*"


def seat_of(seats: Mapping[str, Seat], agent: str, role: str) -> Seat:
    key = _key_of(seats, agent, role)
    if key not in seats:
        raise MootError(
            f"nobody sits at {agent!r}; seat an agent there or at '*' (--agents '*=SPEC')"
        )
    return seats[key]


def _latest(name: str, free: Path, asked: Mapping[str, Any]) -> Path | None:
    """The newest default folder of exactly this run, for `--resume` without `--out`."""
    stem = free.name.removeprefix(f"{name}-").split("-")[0]
    found = sorted(free.parent.glob(f"{name}-{stem}*/run.json"), key=lambda p: p.stat().st_mtime)
    for header in reversed(found):
        try:
            Run.open(header.parent).check_same(**asked)
        except MootError:
            continue
        return header.parent
    return None
