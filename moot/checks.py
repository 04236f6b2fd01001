"""What `moot check` does to what it is given: problems found, and a summary."""

from __future__ import annotations

from collections.abc import Mapping
from math import isinf
from pathlib import Path

from .agents.scripted.players import Scripted, unplayed
from .agents.seats import KINDS
from .environments import WORLDS, Episode, Scenario, Turn, replay
from .environments.check import check_environment
from .environments.load import draw, load_scenario, read_yaml, roles_of, seats
from .environments.records import Run
from .environments.transcripts import load_scenarios, load_transcripts
from .protocols import MootError, did_you_mean
from .protocols.counted import counted
from .simulation import chosen_specs

Findings = tuple[list[str], str]


def check_file(name: str) -> Findings:
    """A scenario, by its name or file; a fine-tuning or a suite by its file."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        keys = read_yaml(path, "world, protocol, roles").keys()
        if "world" not in keys and keys & {"clients", "partition"}:
            return check_tuning(path)
        if "world" not in keys and "scenarios" in keys:
            return check_suite(path)
    return check_scenario(name)


def check_suite(path: Path) -> Findings:
    """Load it, with every scenario that it names and who sits there; nothing is played."""
    from .suite import OWN, load_suite

    suite, home = load_suite(path)
    problems: list[str] = []
    for entry in suite.scenarios:
        beside = home / entry.scenario
        scenario = draw(load_scenario(beside if beside.is_file() else entry.scenario), 0, 0)
        for name in entry.agents or suite.agents:
            seated = suite.agents[name]
            if entry.scenario in suite.leave_out.get(name, ()) or seated == OWN:
                continue
            who = {"*": seated} if isinstance(seated, str) else seated
            problems += [f"agents.{name}: {found}" for found in _unseated(scenario, who).values()]
    return list(dict.fromkeys(problems)), (
        f"{path}: sound; a suite of {counted(len(suite.scenarios), 'scenario')} and "
        f"{counted(len(suite.agents), 'agent')}"
    )


def check_tuning(path: Path) -> Findings:
    """Load it, the scenarios of its clients and who sits there; no model is loaded and nothing learned."""
    from .tuning import load_tuning

    tuning = load_tuning(path)
    problems: list[str] = []
    for name, client in tuning.clients.items():
        teacher = {} if client.teacher is None else {"teacher": client.teacher}
        for source in (client.scenario, client.game):
            if source is None:
                continue
            try:
                scenario = draw(load_scenario(source), 0, 0)
                chosen_specs(scenario, client.agents)
            except MootError as wrong:
                problems.append(f"clients.{name}: {wrong}")
                continue
            if client.seat is not None and not seats(scenario, client.seat):
                hint = did_you_mean(client.seat, roles_of(scenario))
                problems.append(
                    f"clients.{name}.seat: no {client.seat!r} in {scenario.name}; {hint}"
                )
            found = _unseated(scenario, {**client.agents, **teacher})
            problems += [f"clients.{name}: {seat}: {wrong}" for seat, wrong in found.items()]
    who = counted(len(tuning.clients), "client") if tuning.clients else "a partition"
    federation = tuning.federation
    return problems, (
        f"{path}: sound; a fine-tuning of {who}, {tuning.adapter.method} on {tuning.base}, rule "
        f"{federation.rule}, {counted(federation.rounds, 'round')}"
    )


def check_scenario(name: str) -> Findings:
    """Load it, play its world's contract checks, and say what is to be gained."""
    source = load_scenario(name)
    problems: list[str] = []
    try:
        check_environment(source, episodes=10)
    except AssertionError as e:
        problems.append(str(e))
    scenario = draw(source, 0, 0)
    unseated = _unseated(scenario, scenario.agents)
    problems += [f"agents.{name}: {wrong}" for name, wrong in unseated.items()]
    return (
        problems,
        f"{name}: sound; {scenario.world} over {scenario.protocol.name}; {gains(scenario)}",
    )


def _unseated(scenario: Scenario, agents: Mapping[str, str]) -> dict[str, str]:
    """Seat -> what is wrong with who shall sit there; no model is loaded and no server asked."""
    found: dict[str, str] = {}
    for name, spec in agents.items():
        kind, _, strategy = spec.partition("?")[0].partition(":")
        try:
            if kind == "scripted" and not Scripted(strategy).plays(scenario.world):
                found[name] = unplayed(strategy, scenario.world)
            elif kind not in KINDS:
                found[name] = f"unknown agent {spec!r}; {did_you_mean(kind, KINDS)}"
        except MootError as wrong:
            found[name] = str(wrong)
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
    problems, notices = list[str](), list[str]()
    count = turns = 0
    for episode in run.episodes(notices):
        count, turns = count + 1, turns + len(episode.turns)
        found = _differs(episode)
        if found:
            problems.append(f"episode {episode.id}: {found}")
    missing = len(run.missing())
    rest = "".join(f"; {notice}" for notice in notices)
    rest += f"; {missing} still to be played (--resume)" if missing else ""
    return (
        problems,
        f"{path}: sound; {counted(count, 'episode')}, {counted(turns, 'turn')} replayed{rest}",
    )


def _differs(episode: Episode) -> str:
    """The first turn whose replay is not what was recorded, in words; empty if there is none."""
    table = replay(episode)
    for number, (was, now) in enumerate(zip(episode.turns, table.turns, strict=True)):
        if _written(was) != _written(now):
            return f"turn {number}, {was.agent}: recorded {_brief(was)}, replayed {_brief(now)}"
    if table.ended != episode.ended:
        return f"recorded as {episode.ended}, replay says {table.ended or 'not over'}"
    if table.episode().line() != episode.line():
        return f"recorded outcome {episode.outcome}, replay {table.episode().outcome}"
    return ""


def _written(turn: Turn) -> str:
    """As records have it."""
    return turn.model_dump_json(exclude_unset=True, exclude_none=True)


def _brief(turn: Turn) -> str:
    """What was said, or why nothing was."""
    said = turn.message
    if said is None:
        return str(turn.error or "nothing")
    parts = {"act", "content", "text"}
    return said.model_dump_json(include=parts, exclude_unset=True, exclude_none=True)


def check_data(path: Path) -> Findings:
    """Read every line as a scenario and, where it has turns, as a transcript."""
    scenarios = load_scenarios(path)
    dialogues = sum(bool(e.turns) for e in load_transcripts(path)) if path.suffix != ".txt" else 0
    return (
        [],
        f"{path}: sound; {counted(len(scenarios), 'scenario')}, {counted(dialogues, 'dialogue')}",
    )
