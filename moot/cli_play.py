"""Commands that play and look: `simulate`, `score`, `show`, `check`, `list`."""

from __future__ import annotations

import csv
import heapq
import shlex
import sys
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.text import Text

from .environments import Episode
from .environments.records import Run
from .environments.transcripts import is_transcripts, load_transcripts
from .protocols import MootError, did_you_mean
from .protocols.counted import counted
from .terminal import COLUMNS, Json, app, err, notice, out, seat_pairs, stoppable, tell


@app.command()
def simulate(
    scenario: Annotated[str, typer.Argument(help="A shipped name, a YAML file or a data file.")],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[ROLE=SPEC]...", help="As with --agents.")
    ] = None,
    agents: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=SPEC", help="Who sits where; `*=SPEC` seats all the others."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Scenarios to play: .jsonl or .jsonl.gz.")
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(help="How many; default 100, all of --data, or 1 for a person.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Keys all randomness.")] = 0,
    out_dir: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Default: runs/NAME-XXXX.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Finish an interrupted run.")] = False,
    concurrent: Annotated[int, typer.Option(help="Most episodes open at once.")] = 256,
    transcripts: Annotated[
        int | None,
        typer.Option(min=0, help="Print so many whole; default: one, cut to fit the screen."),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="On stdout only the path of the run.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Play a scenario many times, record it, score it, and show what happened."""
    from .simulation import Simulation

    simulation = Simulation(
        scenario,
        agents=seat_pairs([*(agents or []), *(more or [])]),
        data=data,
        episodes=episodes,
        seed=seed,
        out=out_dir,
        resume=resume,
        concurrent=concurrent,
        command=shlex.join(["moot", *sys.argv[1:]]),
    )
    run, wanted = simulation.run, simulation.episodes
    notice(run.notice)
    who = ", ".join(f"{name} = {seat.spec}" for name, seat in simulation.seats.items())
    err.print(
        Text(
            f"{simulation.name}: {counted(wanted, 'episode')}, seed {seed}; {who}; into {run.path}"
        ),
        soft_wrap=True,
    )
    with stoppable(
        lambda: (
            f"{wanted - len(run.missing())} of {counted(wanted, 'episode')} kept in {run.path}: repeat the "
            f"command with --out {run.path} --resume"
        )
    ):
        _watch(simulation, wanted)
    if quiet and not as_json:
        print(run.path)
    else:
        _report(run, as_json, transcripts)


def _watch(simulation: Any, wanted: int) -> None:
    """Play, with a progress bar on stderr unless a person sits there."""
    if simulation.human:
        for _ in simulation:
            pass
        return
    done, messages = wanted - len(simulation.missing), 0
    completed = 0
    with Progress(*COLUMNS, console=err, transient=not err.is_terminal) as progress:
        task = progress.add_task("playing", total=wanted, completed=done, note="")
        for episode in simulation:
            messages += len(episode.messages)
            completed += episode.outcome.completed
            done += 1
            note = counted(messages, "message")
            progress.update(task, completed=done, note=note, refresh=False)


def _report(run: Run, as_json: bool, transcripts: int | None) -> None:
    """The end of a simulation: transcripts, the scores, where the run lies, what comes next."""
    from .evaluation import score, table
    from .show import beginning, transcript

    scores = score(run.episodes())
    if as_json:
        tell({"run": str(run.path), **scores.data()})
        return
    path = shlex.quote(str(run.path))
    chosen = _examples(run.episodes(), 1 if transcripts is None else transcripts)
    for episode in chosen:
        whole = transcript(episode)
        rest = f"moot show {path} --episode {episode.id}"
        out.print(beginning(out, whole, rest) if transcripts is None else whole)
    out.print(table({run.header.name: scores}, brief=True))
    out.print(f"\nThe run lies in [bold]{path}[/bold]. Next:", soft_wrap=True)
    number = chosen[0].id if chosen else 0
    for command in (
        f"show {path} --episode {number}",
        f"score {path}",
        f"report {path}",
        f"check {path}",
    ):
        out.print(f"  moot {command}", soft_wrap=True)


def _examples(episodes: Iterable[Episode], count: int) -> list[Episode]:
    """The first episode that was completed and the first that was not, in turns; the first ones of either
    kind where there are too few of the other."""
    first: dict[bool, list[Episode]] = {True: [], False: []}
    for episode in episodes:
        kind = first[episode.outcome.completed]
        kind.append(episode)
        kind.sort(key=lambda e: e.id)
        del kind[count:]
    both = [e for pair in zip_longest(first[True], first[False]) for e in pair if e is not None]
    return both[:count]


@app.command()
def score(
    paths: Annotated[list[Path], typer.Argument(help="Runs, or files of dialogues.")],
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One CSV table on stdout.")] = False,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Only these; repeat it. Default: all but those that take long (docs/metrics.md).",
        ),
    ] = None,
) -> None:
    """Score runs and human dialogues with the same code."""
    if as_json and as_csv:
        raise MootError("--json and --csv: choose one of them")
    from .evaluation import METRICS, score_paths, shortest, table

    results = score_paths(paths, metrics or METRICS)
    if as_json:
        documents = [{"source": path, **scores.data()} for path, scores in results.items()]
        tell(documents[0] if len(documents) == 1 else documents)
        return
    if as_csv:
        rows = [row for scores in results.values() for row in scores.rows()]
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return
    names = shortest([Path(p) for p in results])
    out.print(table(dict(zip(names, results.values(), strict=True))))


@app.command()
def show(
    run: Annotated[
        Path, typer.Argument(help="A run, a file of dialogues, or the word `protocol`.")
    ],
    named: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME [KEY=VALUE]...]",
            help="After `protocol`: its name (or a scenario's), and parameters.",
        ),
    ] = None,
    episode: Annotated[int | None, typer.Option(help="Number of one episode to read.")] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="With --episode: how it went in another run."),
    ] = None,
    limit: Annotated[int, typer.Option(help="Most lines in the list of episodes.")] = 20,
    frames: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Draw the episode there: PNG files and an animated GIF."),
    ] = None,
    mermaid: Annotated[
        bool, typer.Option("--mermaid", help="The protocol as a Mermaid state diagram.")
    ] = False,
) -> None:
    """List the episodes of a run, read or draw one, or look at a protocol."""
    from .contrast import contrast
    from .environments.frames import save_frames
    from .evaluation import shortest
    from .show import episode_list, transcript

    if run == Path("protocol") and (named or not run.exists()):
        _protocol(named or [], mermaid)
        return
    if named or mermaid:
        raise MootError(f"moot show {run} takes no name; for a protocol: moot show protocol NAME")
    if against is not None:
        if episode is None:
            raise MootError("--against wants --episode N, the one to set side by side")
        one, two = _episode(run, episode), _episode(against, episode)
        first, second = shortest([run, against])
        out.print(contrast(one, two, (first, second)))
        return
    if frames is not None:
        if episode is None:
            raise MootError("--frames draws one episode: add --episode N")
        files = save_frames(_episode(run, episode), frames)
        out.print(f"{counted(len(files) - 1, 'frame')}, {files[-1]}", soft_wrap=True)
        return
    if episode is not None:
        out.print(transcript(_episode(run, episode), detail=True))
        return
    count = 0

    def watched() -> Iterator[Episode]:
        nonlocal count
        for e in _episodes(run):
            count += 1
            yield e

    found = heapq.nsmallest(limit, watched(), key=lambda e: e.id)
    if is_transcripts(run):
        out.print(Text(str(run), style="bold"), soft_wrap=True)
    else:
        header = Run.open(run).header
        who = ", ".join(f"{name} = {spec}" for name, spec in header.agents.items())
        out.print(
            Text(f"{header.name}: {count} of {counted(header.episodes, 'episode')}; {who}"),
            soft_wrap=True,
        )
    out.print(episode_list(found))
    if count > len(found):
        out.print(f"... and {count - len(found)} more (--limit)")
    out.print(f"\nRead one: moot show {shlex.quote(str(run))} --episode N", soft_wrap=True)


def _protocol(words: list[str], mermaid: bool) -> None:
    from .protocol_view import chosen, in_words

    protocol = chosen(words)
    if mermaid:
        print(protocol.mermaid(), end="")
    else:
        out.print(in_words(protocol))


def _episodes(path: Path) -> Iterator[Episode]:
    return load_transcripts(path) if is_transcripts(path) else Run.open(path).episodes()


def _episode(path: Path, number: int) -> Episode:
    if not is_transcripts(path):
        return Run.open(path).episode(number)
    count = 0
    for e in load_transcripts(path):
        if e.id == number:
            return e
        count += 1
    raise MootError(f"{path} has no dialogue {number}: it holds 0 to {count - 1}")


@app.command()
def check(
    path: Annotated[
        str,
        typer.Argument(
            help="A scenario, a fine-tuning or suite file, a run or a file of dialogues."
        ),
    ],
) -> None:
    """Check a scenario against its world's contract, what a file asks for, or replay a run."""
    from .checks import check_data, check_file, check_run

    target = Path(path)
    if target.is_dir():
        problems, summary = check_run(target)
    elif is_transcripts(target):
        problems, summary = check_data(target)
    else:
        problems, summary = check_file(path)
    for problem in problems[:20]:
        err.print(Text(f"{path}: {problem}"), soft_wrap=True)
    if problems:
        raise MootError(f"{path}: {counted(len(problems), 'problem')} found", usage=False)
    out.print(Text(summary), soft_wrap=True)


@app.command("list")
def list_(
    kind: Annotated[
        str | None,
        typer.Argument(help="Such as scenarios or rules; default: everything."),
    ] = None,
    as_json: Json = False,
) -> None:
    """What there is to choose from."""
    from .catalogue import KINDS, catalogue
    from .show import named_list

    if kind is not None and kind not in KINDS:
        raise MootError(f"nothing of kind {kind!r}; {did_you_mean(kind, KINDS)}")
    if as_json:
        found = {k: [{"name": n, "summary": s} for n, s in catalogue(k).items()] for k in KINDS}
        tell(found[kind] if kind else found)
        return
    for name in [kind] if kind else KINDS:
        out.print(f"[bold underline]{name}[/bold underline]")
        named_list(out, catalogue(name))
