"""What a person sees in the terminal: transcripts and lists. Tables of scores are in `evaluation`.

Text from models is never read as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, cast

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .environments import WORLDS, Episode, Turn
from .environments.load import roles_of

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")


def plain(value: object) -> str:
    """Data as a short phrase: `take book 1, hat 0`."""
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value).items()
        return ", ".join(f"{k} {plain(v)}" for k, v in items)
    if isinstance(value, list | tuple):
        words = [plain(v) for v in cast(Iterable[Any], value)]
        return (" and " if len(words) < 3 else ", ").join(words) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def transcript(episode: Episode, *, detail: bool = False) -> RenderableType:
    """One episode as a conversation; `detail` adds tokens, legal mass and private thoughts."""
    colour = {a: COLOURS[i % len(COLOURS)] for i, a in enumerate(roles_of(episode.scenario))}
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for turn in episode.turns:
        for row in _rows(turn, detail):
            grid.add_row(Text(turn.agent, style=colour[turn.agent]), *row)
        for told in turn.told or ():
            to = (
                ""
                if len(told.receivers) == len(episode.scenario.roles)
                else ", ".join(told.receivers)
            )
            row = (told.sender, f"to {to}" if to else "", told.text)
            grid.add_row(*(Text(word, style="dim") for word in row))
    return Group(_title(episode), Padding(_values(episode, colour), (0, 4)), Padding(grid, (0, 4)))


def _title(episode: Episode) -> Text:
    outcome = episode.outcome
    solution = WORLDS[episode.scenario.world].solve(episode.scenario)
    points = ", ".join(f"{a} {u:.4g}" for a, u in outcome.utilities.items())
    title = Text.assemble(
        (f"Episode {episode.id}", "bold"),
        "  ",
        (str(episode.ended), "green" if outcome.completed else "yellow"),
        f"  {points}",
        (
            f"  (together at most {solution.max_joint:.4g})"
            if isfinite(solution.max_joint)
            else "",
            "dim",
        ),
    )
    if episode.why:
        title.append(f"\n    {episode.why}", style="red")
    return title


def _values(episode: Episode, colour: Mapping[str, str]) -> Text:
    world = WORLDS[episode.scenario.world].build(episode.scenario)
    text = Text(plain(world.public()) + "\n", style="dim")
    for agent in episode.scenario.roles:
        who = f" ({episode.seats[agent]})" if agent in episode.seats else ""
        text.append(agent, style=colour[agent])
        known = dict(world.private(agent))
        drawn = [name for name, value in known.items() if _is_drawing(value)]
        shown = plain({name: value for name, value in known.items() if name not in drawn})
        text.append(f"{who}: {shown}\n", style="dim")
        for name in drawn:
            text.append("".join(f"    {row}\n" for row in known[name]), style="dim")
    return text


def _is_drawing(value: object) -> bool:
    """Rows of one length, as of a map: shown as they are."""
    if not isinstance(value, list) or len(cast(list[object], value)) < 2:
        return False
    rows = cast(list[object], value)
    return all(isinstance(row, str) for row in rows) and (
        len({len(str(row)) for row in rows}) == 1 and not any(str(row).isalnum() for row in rows)
    )


def _rows(turn: Turn, detail: bool) -> Iterable[tuple[Text, Text]]:
    reply, message = turn.reply, turn.message
    if detail and reply is not None and reply.thought:
        yield Text("(thinks)", style="dim"), Text(reply.thought, style="dim italic")
    if message is not None:
        words = Text()
        if message.content is not None:
            words.append(plain(message.content.model_dump()), style="bold")
            words.append("  " if message.text else "")
        words.append(message.text)
        act = str(message.act)
        yield Text(act), words
    else:
        why = turn.error or (reply.error if reply else None) or "no reply"
        yield Text("(illegal)" if turn.error else "(broken)", style="red"), Text(str(why), "red")
    if detail and reply is not None and reply.completion_tokens is not None:
        facts = f"{reply.prompt_tokens} + {reply.completion_tokens} tokens"
        if reply.legal_mass is not None:
            facts += f", legal mass {reply.legal_mass:.3g}"
        if reply.dropped:
            facts += f", {reply.dropped} oldest messages dropped"
        yield Text(), Text(facts, style="dim")


def episode_list(episodes: Iterable[Episode]) -> Table:
    """One line an episode."""
    rows: list[tuple[str, ...]] = []
    for e in episodes:
        illegal = sum(t.error is not None for t in e.turns)
        points = ", ".join(f"{a} {u:.4g}" for a, u in e.outcome.utilities.items())
        deal = plain(e.outcome.deal) if e.outcome.deal else ""
        rows.append((str(e.id), str(len(e.messages)), str(illegal), str(e.ended), points, deal))
    heads = ("episode", "messages", "illegal", "ended", "points", "deal")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, head in enumerate(heads):
        # Only the deal gives way where the terminal is narrow.
        widest = None if head == "deal" else max(len(head), *(len(row[i]) for row in rows), 0)
        side = "right" if i < 3 else "left"
        table.add_column(head, justify=side, no_wrap=True, overflow="ellipsis", min_width=widest)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def named_list(console: Console, rows: Mapping[str, str]) -> None:
    """Names with their one-line summaries."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column()
    for name, summary in rows.items():
        grid.add_row(Text(name), Text(summary))
    console.print(grid)
