"""What `moot check` does to a scenario, a run or a data file: problems found, and a summary."""

from __future__ import annotations

from math import isinf
from pathlib import Path

from .agents.scripted.players import Scripted, unplayed
from .agents.seats import KINDS
from .environments import WORLDS, Episode, Scenario, replay
from .environments.check import check_environment
from .environments.load import draw, load_scenario
from .environments.records import Run
from .environments.transcripts import load_scenarios, load_transcripts
from .protocols import MootError, did_you_mean
from .protocols.counted import counted

Findings = tuple[list[str], str]


def check_scenario(name: str) -> Findings:
    """Load it, play its world's contract checks, and say what is to be gained."""
    source = load_scenario(name)
    problems: list[str] = []
    try:
        check_environment(source, episodes=10)
    except AssertionError as e:
        problems.append(str(e))
    scenario = draw(source, 0, 0)
    problems += _unseated(scenario)
    return (
        problems,
        f"{name}: sound; {scenario.world} over {scenario.protocol.name}; {gains(scenario)}",
    )


def _unseated(scenario: Scenario) -> list[str]:
    """What is wrong with the agents that a scenario names; no model is loaded and no server asked."""
    found: list[str] = []
    for name, spec in scenario.agents.items():
        kind, _, strategy = spec.partition("?")[0].partition(":")
        try:
            if kind == "scripted" and not Scripted(strategy).plays(scenario.world):
                found.append(f"agents.{name}: {unplayed(strategy, scenario.world)}")
            elif kind not in KINDS:
                found.append(f"agents.{name}: unknown agent {spec!r}; {did_you_mean(kind, KINDS)}")
        except MootError as wrong:
            found.append(f"agents.{name}: {wrong}")
    return found


def gains(scenario: Scenario) -> str:
    """What is to be gained in a scenario, in words."""
    solution = WORLDS[scenario.world].solve(scenario)
    if isinf(solution.max_joint):
        return "the best that can be reached is not known"
    zone = f", zone {solution.zone[0]:g} to {solution.zone[1]:g}" if solution.zone else ""
    points = len(solution.frontier)
    deals = f", {counted(points, 'Pareto-optimal outcome')}" if points else ""
    return f"together at most {counted(solution.max_joint, 'point', form='g')}{deals}{zone}"


def check_run(path: Path) -> Findings:
    """Replay every recorded reply through its protocol and world, and compare with the record."""
    run = Run.open(path)
    problems: list[str] = []
    count = turns = 0
    for episode in run.episodes():
        count, turns = count + 1, turns + len(episode.turns)
        found = _differs(episode)
        if found:
            problems.append(f"episode {episode.id}: {found}")
    missing = len(run.missing())
    rest = f"; {missing} still to be played (--resume)" if missing else ""
    return (
        problems,
        f"{path}: sound; {counted(count, 'episode')}, {counted(turns, 'turn')} replayed{rest}",
    )


def _differs(episode: Episode) -> str:
    """The first turn whose replay is not what was recorded, in words; empty if there is none."""
    table = replay(episode)
    for number, (was, now) in enumerate(zip(episode.turns, table.turns, strict=True)):
        if was.model_dump_json(exclude_none=True) != now.model_dump_json(exclude_none=True):
            return f"turn {number}, {was.agent}: recorded {was.message or was.error}, replay {now}"
    if table.ended != episode.ended:
        return f"recorded as {episode.ended}, replay says {table.ended or 'not over'}"
    if table.episode().line() != episode.line():
        return f"recorded outcome {episode.outcome}, replay {table.episode().outcome}"
    return ""


def check_data(path: Path) -> Findings:
    """Read every line as a scenario and, where it has turns, as a transcript."""
    scenarios = load_scenarios(path)
    dialogues = sum(bool(e.turns) for e in load_transcripts(path)) if path.suffix != ".txt" else 0
    return (
        [],
        f"{path}: sound; {counted(len(scenarios), 'scenario')}, {counted(dialogues, 'dialogue')}",
    )
