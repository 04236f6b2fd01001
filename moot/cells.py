"""Runs that are cells of something larger: begun once, each played once, finished where they were torn.

Cross-play, suites and arms of an efficiency are folders of runs. What is asked for is written beside them, so
that a folder is gone on with only for exactly that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .agents.seats import Spec
from .environments import Episode, Scenario, Template
from .environments.journal import write_whole
from .environments.records import HEADER as RUN
from .environments.records import Run
from .protocols import MootError
from .simulation import Simulation


def finished(path: Path, episodes: int) -> bool:
    """Whether a run of so many episodes is there and whole: then no model need be loaded for it."""
    return (
        (path / RUN).exists()
        and not (run := Run.open(path)).missing()
        and (run.header.episodes == episodes)
    )


def started(folder: Path, header: str, text: str) -> None:
    """Write what was asked for, or find that the folder holds exactly this. Raises `MootError`."""
    path = folder / header
    if path.exists():
        if path.read_text(encoding="utf-8") != text:
            raise MootError(
                f"{folder} was started for something else; choose another folder (--out)"
            )
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MootError(
            f"{folder} is not empty and holds none of this; choose another folder (--out)"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)


def played(
    path: Path,
    scenario: str | Path | Mapping[str, Any] | Scenario | Template,
    agents: Mapping[str, Spec],
    episodes: int,
    **more: Any,
) -> Iterator[Episode | None]:
    """The run at `path`, played as far as it is missing; None stands for an episode that was there.

    `more` goes to `Simulation`: seed, concurrent, command.
    """
    if finished(path, episodes):
        yield from [None] * episodes
        return
    simulation = Simulation(
        scenario, agents=agents, episodes=episodes, out=path, resume=True, **more
    )
    yield from [None] * (episodes - len(simulation.missing))
    yield from simulation
