"""Commands to look and to take part: `report`, `view`, `play`."""

from __future__ import annotations

import secrets
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from .environments import WORLDS, Episode
from .protocols import MootError
from .protocols.counted import counted
from .terminal import Json, app, err, notice, out, stoppable, tell

if TYPE_CHECKING:
    from .simulation import Simulation


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Runs, fine-tunings, or files of dialogues.")],
    out_file: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The page to write.")
    ] = Path("report.html"),
    as_json: Json = False,
) -> None:
    """Write one page to look at: scores, charts, every dialogue. It opens offline in any browser."""
    from .evaluation.report import report as write

    with err.status("reading"):
        path = write(runs, out_file)
    size = path.stat().st_size
    if as_json:
        tell({"report": str(path), "bytes": size})
        return
    out.print(Text(f"The report lies in {path} ({size / 1e6:.1f} MB); open it in a browser."))


@app.command()
def view(
    runs: Annotated[list[Path], typer.Argument(help="Runs, fine-tunings, or files of dialogues.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of this machine alone; 0: any that is free.")
    ] = 8600,
) -> None:
    """Serve the same page on this machine, following runs as they are played. Ctrl-C ends it."""
    from .viewer import Viewer

    with err.status("reading"):
        viewer = Viewer(runs, port)
    out.print(Text(f"Look at {viewer.address}; Ctrl-C ends it."), soft_wrap=True)
    try:
        viewer.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        viewer.server_close()


@app.command()
def play(
    scenario: Annotated[str, typer.Argument(help="A shipped name, a YAML file or a data file.")],
    seat: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SEAT[=SPEC]", help="Yours, as a name or role; or who else sits where."
        ),
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Games, one after the other.")] = 1,
    seed: Annotated[
        int | None, typer.Option(help="Plays a game again; default: a new one.")
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Default: runs/NAME-XXXX.")
    ] = None,
    page: Annotated[bool, typer.Option("--page", help="Play in a browser.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of --page.")] = 0,
) -> None:
    """Take a seat yourself, at this terminal or on a page. Without --seat you have the first one."""
    from .environments.load import draw
    from .simulation import Simulation, sourced

    seed = secrets.randbelow(1_000_000) if seed is None else seed
    seats = _taken(seat or [])
    if "human" not in seats.values():
        first = draw(sourced(scenario, None)[1], seed, 0)
        yours = next((a for a in first.roles if a not in seats), None)
        if yours is None:
            raise MootError(f"no seat is left for you in {scenario}; leave one out of --seat")
        seats[yours] = "human"
    if page and list(seats.values()).count("human") > 1:
        raise MootError(
            "one person plays on the page; play together at the terminal, without --page"
        )
    simulation = Simulation(
        scenario,
        agents=seats,
        episodes=episodes,
        seed=seed,
        out=out_dir,
        command=shlex.join(["moot", *sys.argv[1:]]),
    )
    who = ", ".join(f"{name} = {seat.spec}" for name, seat in simulation.seats.items())
    notice(f"{simulation.name}, seed {seed}: {who}")
    with stoppable(lambda: f"what was played lies in {simulation.run.path}"):
        if page:
            _on_page(simulation, port)
        else:
            for episode in simulation:
                out.print(_ending(episode))
    path = shlex.quote(str(simulation.run.path))
    out.print(f"\nSee what the others thought: moot show {path} --episode 0", soft_wrap=True)


def _on_page(simulation: Simulation, port: int) -> None:
    from .page_seat import PageSeat

    server = PageSeat(port)
    out.print(Text(f"Play at {server.address}"), soft_wrap=True)
    try:
        simulation.seats = {
            name: seat._replace(pool=server) if seat.human else seat
            for name, seat in simulation.seats.items()
        }
        for episode in simulation:
            server.ended(episode, _best(episode))
            out.print(_ending(episode))
        server.linger()
    finally:
        server.close()


def _best(episode: Episode) -> float | None:
    """What two could have had together; of more, that is nobody's aim."""
    if len(episode.scenario.roles) != 2:
        return None
    return WORLDS[episode.scenario.world].solve(episode.scenario).max_joint


def _taken(pairs: list[str]) -> dict[str, str]:
    """`buyer` or `buyer=human`, and others' seats as for `simulate`."""
    seats: dict[str, str] = {}
    for pair in pairs:
        name, equals, spec = pair.partition("=")
        if not name or (equals and not spec):
            raise MootError(
                f"--seat {pair!r}: write SEAT, or SEAT=SPEC such as buyer=scripted:linear"
            )
        if name in seats:
            raise MootError(f"--seat names {name!r} twice")
        seats[name] = spec or "human"
    return seats


def _ending(episode: Episode) -> Text:
    """How a game came out, in a line for each seat."""
    best = _best(episode)
    text = Text(f"\nThe game is over: {str(episode.ended).replace('-', ' ')}.", style="bold")
    for agent, points in episode.outcome.utilities.items():
        you = " (you)" if episode.seats.get(agent) == "human" else ""
        text.append(
            f"\n  {agent}{you} has {counted(points, 'point', form='.4g')}", style="not bold"
        )
    if best is not None:
        text.append(f"\n  together they could have had {best:.4g}", style="not bold dim")
    return text
