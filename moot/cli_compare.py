"""Commands that measure: `compare`, and what plays many runs to compare them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.text import Text

from .protocols import MootError, did_you_mean
from .protocols.counted import counted
from .terminal import COLUMNS, Json, app, err, out, seat_pairs, stoppable, tell

Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="NAME", help="Only these; repeat it. Default: all."),
]


@app.command()
def compare(
    run_a: Annotated[Path, typer.Argument(help="A run, or a file of dialogues.")],
    run_b: Annotated[Path, typer.Argument(help="Another.")],
    metrics: Metrics = None,
    as_json: Json = False,
) -> None:
    """Say how two runs differ, how sure that is, and what cannot be told apart."""
    from .evaluation import METRICS, comparison_table, shortest
    from .evaluation import compare as compared

    one, two = shortest([run_a, run_b])
    found = compared(run_a, run_b, names=(one, two), metrics=metrics or METRICS)
    if as_json:
        tell(found.data())
        return
    out.print(comparison_table(found))
    for line in found.words():
        out.print(Text(line), soft_wrap=True)


@app.command()
def crossplay(
    scenario: Annotated[str, typer.Argument(help="A shipped name, or a YAML file.")],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[SPEC]...", help="More agents.")
    ] = None,
    agents: Annotated[
        list[str] | None, typer.Option(metavar="SPEC", help="Who plays whom: two specs or more.")
    ] = None,
    episodes: Annotated[int, typer.Option(help="In each of the n x n cells.")] = 50,
    seed: Annotated[int, typer.Option(help="Keys all randomness.")] = 0,
    out_dir: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Default: runs/crossplay-NAME-XXXX.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Play every agent with every agent, in either seat, on the same scenarios, and rate them."""
    from .evaluation import cross_table
    from .tournament import Tournament

    tournament = Tournament(
        scenario,
        [*(agents or []), *(more or [])],
        episodes=episodes,
        seed=seed,
        out=out_dir,
        command=shlex.join(["moot", *sys.argv[1:]]),
    )
    _say(
        f"{tournament.name}: {len(tournament.cells)} cells of {counted(episodes, 'episode')}, seed {seed}; "
        f"sides {' and '.join(tournament.sides)}; into {tournament.folder}"
    )
    _watched(((f"{i} - {j}", e) for (i, j), e in tournament), tournament.wanted, tournament.folder)
    found = tournament.result()
    if as_json:
        tell({"folder": str(tournament.folder), **found.data()})
        return
    out.print(cross_table(found))
    for line in found.words():
        out.print(Text(line), soft_wrap=True)
    first = tournament.cell(tournament.cells[1])
    out.print(f"\nEach cell is a run: moot show {shlex.quote(str(first))}", soft_wrap=True)


@app.command()
def evaluate(
    suite: Annotated[
        str, typer.Argument(metavar="SUITE", help="A shipped name, such as core, or a YAML file.")
    ],
    out_dir: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Default: runs/NAME.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Play scenarios x agents x seeds, only what is not there yet, and put them into one table."""
    from .evaluation.table import suite_table
    from .suite import Evaluation

    evaluation = Evaluation(suite, out=out_dir, command=shlex.join(["moot", *sys.argv[1:]]))
    asked = evaluation.suite
    _say(
        f"{asked.name}: {counted(len(asked.scenarios), 'scenario')}, {counted(len(asked.agents), 'agent')}, "
        f"{counted(len(evaluation.places), 'run')}; into {evaluation.folder}"
    )
    playing = ((f"{p.scenario}, {p.agent}", e) for p, e in evaluation)
    _watched(playing, evaluation.wanted, evaluation.folder)
    rows = evaluation.rows
    if as_json:
        tell(evaluation.data(rows))
        return
    cells = {(r.scenario, r.agent): (r.scores, r.against) for r in rows}
    out.print(suite_table(cells, asked.metrics, asked.baseline))
    path = shlex.quote(str(rows[0].runs[0]))
    out.print(f"\nEach cell is a run: moot show {path}", soft_wrap=True)


@app.command()
def value(
    run: Annotated[Path, typer.Argument(help="A run.")],
    episode: Annotated[int, typer.Option(help="Number of the episode.")],
    turn: Annotated[int | None, typer.Option(help="One turn; default: all of them.")] = None,
    replays: Annotated[int, typer.Option(help="Plays to the end, of either branch.")] = 20,
    silence: Annotated[
        bool, typer.Option("--silence", help="Say nothing instead of asking the speaker again.")
    ] = False,
    agents: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=SPEC", help="Who plays on; default: who played the run."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what each message of an episode was worth: without it, how would the talk have ended?"""
    from .environments.records import Run
    from .evaluation.table import value_table
    from .evaluation.value import MessageValue, message_value, message_values
    from .simulation import open_adapters

    opened = Run.open(run)
    played = opened.episode(episode)
    seats = seat_pairs(agents or []) or opened.header.agents
    change = "silence" if silence else "again"
    wanted = 1 if turn is not None else len(played.turns)
    found = list[MessageValue]()
    with Progress(*COLUMNS, console=err, transient=not err.is_terminal) as progress:
        task = progress.add_task("playing", total=2 * replays * wanted, note="")

        def watched(at: int) -> None:
            done = 2 * replays * (at if turn is None else 0)  # turns without a message count too
            now = progress.tasks[task].completed
            progress.update(task, completed=max(now, done) + 1, note=f"turn {at}", refresh=False)

        told: dict[str, Any] = {"replays": replays, "change": change, "opener": open_adapters}
        if turn is None:
            found += message_values(played, seats, watched=watched, **told)
        else:
            one = message_value(played, turn, seats, watched=watched, **told)
            found += [] if one is None else [one]
    if as_json:
        tell([v.data() for v in found])
        return
    if not found:
        raise MootError("no message here can be changed so; leave out --silence", usage=False)
    out.print(value_table(found))


@app.command()
def efficiency(
    scenario: Annotated[str, typer.Argument(help="A shipped name, or a YAML file.")],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[ROLE=SPEC]...", help="As with --agents.")
    ] = None,
    agents: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=SPEC", help="Who talks; `*=SPEC` seats all the others."),
    ] = None,
    oracle: Annotated[
        str, typer.Option(metavar="SPEC", help="Who plays with all secrets known.")
    ] = "scripted:oracle",
    max_text: Annotated[
        list[int] | None, typer.Option(metavar="N", help="Also: at most N characters a message.")
    ] = None,
    deadline: Annotated[
        list[int] | None, typer.Option(metavar="N", help="Also: at most N messages.")
    ] = None,
    metric: Annotated[str, typer.Option(metavar="NAME", help="What counts.")] = "utility",
    episodes: Annotated[int, typer.Option(help="Of every arm.")] = 50,
    seed: Annotated[int, typer.Option(help="Keys all randomness.")] = 0,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Default: runs/efficiency-NAME-XXXX."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what the talk achieved: the same games without it, with it, and with all secrets known."""
    from .economy import Economy
    from .evaluation.table import efficiency_table

    economy = Economy(
        scenario,
        agents=seat_pairs([*(agents or []), *(more or [])]),
        oracle=oracle,
        max_text=max_text or (),
        deadline=deadline or (),
        metric=metric,
        episodes=episodes,
        seed=seed,
        out=out_dir,
        command=shlex.join(["moot", *sys.argv[1:]]),
    )
    _say(
        f"{economy.name}: {len(economy.arms)} arms of {counted(episodes, 'episode')}; into {economy.folder}"
    )
    _watched(economy, economy.wanted, economy.folder)
    found = economy.result()
    if as_json:
        tell(economy.data(found))
        return
    out.print(efficiency_table(found, metric))
    path = shlex.quote(str(economy.folder / "talk"))
    out.print(f"\nEach arm is a run: moot show {path}", soft_wrap=True)


@app.command()
def judge(
    run: Annotated[Path, typer.Argument(help="A run, or a file of dialogues.")],
    judges: Annotated[
        list[str], typer.Option("--judge", metavar="SPEC", help="Any agent spec; repeat it.")
    ],
    rubric: Annotated[str, typer.Option(metavar="NAME", help="What they are asked.")] = "social",
    limit: Annotated[int, typer.Option(help="Most episodes to judge, the first ones.")] = 50,
    seed: Annotated[int, typer.Option(help="Keys the judges' randomness.")] = 0,
    as_json: Json = False,
) -> None:
    """Have agents mark the episodes of a run under a rubric, and say how far they agree."""
    from .environments.transcripts import episodes_of
    from .evaluation.judges import Verdict, agreement, judged
    from .evaluation.rubrics import RUBRICS
    from .evaluation.table import judge_table
    from .simulation import open_adapters
    from .tournament import named

    if rubric not in RUBRICS:
        raise MootError(f"no rubric {rubric!r}; {did_you_mean(rubric, RUBRICS)}")
    asked = RUBRICS[rubric]
    episodes = list(islice(episodes_of(run), limit))
    playing = judged(episodes, named(judges), asked, seed=seed, opener=open_adapters)
    wanted = len(judges) * sum(len(e.scenario.roles) for e in episodes)
    found = list[Verdict]()
    with Progress(*COLUMNS, console=err, transient=True) as progress:
        task = progress.add_task("judging", total=wanted, note="")
        for verdict in playing:
            found.append(verdict)
            progress.update(task, advance=1, note=verdict.judge, refresh=False)
    if as_json:
        agreed = agreement(found, asked)
        told = {"verdicts": [v.data() for v in found], "alpha": agreed, "rubric": rubric}
        tell(told)
        return
    out.print(judge_table(found, asked))
    reasons = dict.fromkeys(v.why for v in found if v.marks is None)
    for why in list(reasons)[:3]:
        out.print(Text(f"unscored: {why}", style="dim"), soft_wrap=True)


@app.command()
def dataset(
    run: Annotated[Path, typer.Argument(help="A run, or a file of dialogues.")],
    file: Annotated[Path, typer.Argument(help="The Parquet file to write.")],
) -> None:
    """Write a run as one Parquet file: a row an episode, with its talk, scores and record."""
    from .evaluation.dataset import write_parquet

    count = write_parquet(run, file)
    out.print(
        Text(f"{counted(count, 'episode')} in {file} ({file.stat().st_size:,} bytes)"),
        soft_wrap=True,
    )


def _say(text: str) -> None:
    """What is about to happen, on stderr."""
    err.print(Text(text), soft_wrap=True)


def _watched(playing: Iterable[tuple[str, Any]], wanted: int, folder: Path) -> None:
    """Play to the end, with a progress bar on stderr; what was played by an interruption is kept."""
    kept = f"what was played is kept in {folder}: repeat the command to finish it"
    bar = Progress(*COLUMNS, console=err, transient=not err.is_terminal)
    with stoppable(lambda: kept), bar as progress:
        task = progress.add_task("playing", total=wanted, note="")
        for note, _ in playing:
            progress.update(task, advance=1, note=note, refresh=False)
