"""What a person sees in the terminal: transcripts and lists. Tables of scores are in `evaluation`.

Text from models is never read as markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, cast

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.segment import SegmentLines
from rich.table import Table
from rich.text import Text

from .environments import WORLDS, Episode, Turn
from .environments.load import roles_of

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")
LONGEST = 240
"""Characters that what one agent knows may take, about four lines of a narrow terminal."""
MOST_ROWS, WIDEST = 16, 68
"""Of what is drawn."""
WORD = re.compile(r"[a-z]{2}|^[0-9]")
"""What no row of a map has, but names of equal length do."""
MOST_LINES = 20
"""Of an episode that is shown in short."""
SMALL = 12
"""Cells of a table that is written out."""


def plain(value: object) -> str:
    """Data as a short phrase: `take book 1, hat 0`."""
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value).items()
        return ", ".join(f"{k} {plain(v)}" for k, v in items)
    if isinstance(value, list | tuple):
        words = [plain(v) for v in cast(Iterable[Any], value)]
        return (" and " if len(words) < 3 else ", ").join(words) or "none"
    if isinstance(value, float):
        return f"{round(value, 4) + 0.0:g}"  # and no minus before a zero
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


def beginning(console: Console, whole: RenderableType, rest: str) -> RenderableType:
    """As much of it as fits a screen beside a table of scores; `rest` is the command that shows the rest."""
    lines = console.render_lines(whole, pad=False)
    if len(lines) <= MOST_LINES:
        return whole
    left = len(lines) - MOST_LINES + 2
    more = Text(f"    ... and {left} more lines: {rest}", style="dim")
    return Group(SegmentLines(lines[: MOST_LINES - 2], new_lines=True), more)


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
    """What everybody knows, then what each agent knows, in a few lines each."""
    world = WORLDS[episode.scenario.world].build(episode.scenario)
    text = Text()
    known_as(text, "", world.public())
    for agent in episode.scenario.roles:
        who = f" ({episode.seats[agent]})" if agent in episode.seats else ""
        text.append(agent, style=colour[agent])
        known_as(text, f"{who}: ", world.private(agent))
    return text


def known_as(text: Text, lead: str, known: Mapping[str, object]) -> None:
    """Data as a phrase of at most about `LONGEST` characters, and what can be drawn as drawings below."""
    said, drawn = _parted(known)
    kept, left = list[str](), list[str]()
    for name, value in said.items():
        phrase = f"{name} {brief(value)}"
        if kept and sum(map(len, kept)) + len(phrase) > LONGEST:
            left.append(name)
        else:
            kept.append(phrase)
    if left:
        kept.append(f"... (also {', '.join(left)})")
    text.append(f"{lead}{', '.join(kept)}".rstrip(": ") + "\n", style="dim")
    for name, rows in drawn.items():
        text.append(f"  {name}\n", style="dim")
        text.append("".join(f"    {row}\n" for row in rows), style="dim")


def _parted(known: Mapping[str, object]) -> tuple[dict[str, object], dict[str, list[str]]]:
    """What is said in words, and what is drawn: of the data and of the mappings in it."""
    said, drawn = dict[str, object](), dict[str, list[str]]()
    for name, value in known.items():
        if rows := _drawing(value):
            drawn[name] = rows
        elif isinstance(value, Mapping):
            items = cast(Mapping[Any, Any], value)
            inner = {f"{name} {k}": rows for k, v in items.items() if (rows := _drawing(v))}
            drawn |= inner
            said[name] = {k: v for k, v in items.items() if f"{name} {k}" not in inner}
        else:
            said[name] = value
    return said, drawn


def brief(value: object) -> str:
    """Like `plain`, but of many things the first few, and of tables only the size."""
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value)
        words = [f"{k} {_inner(v)}" for k, v in items.items()]
        if sum(map(len, words)) > 2 * LONGEST // 3 and all(
            isinstance(v, dict) for v in items.values()
        ):
            return f"for {_few([str(k) for k in items])}"
        return _few(words)
    if isinstance(value, list | tuple):
        rows = cast(Sequence[object], value)
        size = _size(rows)
        if len(size) == 2 and size[0] * size[1] <= SMALL:
            return "; ".join(plain(row).replace(" and ", ", ") for row in rows)
        if size:
            return f"(a table of {' x '.join(map(str, size))})"
        if len(rows) > 2 and all(isinstance(row, Mapping) for row in rows):
            return f"({len(rows)} entries)"
        words = [brief(row) for row in rows]
        return " and ".join(words) if len(words) == 2 else _few(words) or "none"
    short = " ".join(plain(value).split())
    return short if len(short) <= LONGEST else short[: LONGEST - 4].rsplit(" ", 1)[0] + " ..."


def _inner(value: object) -> str:
    """Of data in data, in brackets where it is more than one thing."""
    words = brief(value)
    many = isinstance(value, Mapping | list | tuple) and len(cast(Sequence[object], value)) > 1
    return f"({words})" if many and not words.startswith("(") else words


def _few(words: list[str]) -> str:
    """All of a few words; of many the first ones and how many there are."""
    if len(words) <= 12 and sum(map(len, words)) <= LONGEST:
        return ", ".join(words)
    kept = words[:1]
    for word in words[1:11]:
        if sum(map(len, kept)) + len(word) > LONGEST // 2:
            break
        kept.append(word)
    return f"{', '.join(kept)}, ... ({len(words)} in all)" if len(words) > 1 else kept[0]


def _size(rows: Sequence[object]) -> list[int]:
    """Lengths of a list of lists along each depth; empty for a flat one."""
    first = rows[0] if rows else None
    if not isinstance(first, list | tuple):
        return []
    inner = cast(Sequence[object], first)
    return [len(rows), *(_size(inner) or [len(inner)])]


def _drawing(value: object) -> list[str]:
    """The lines of a map: rows of one length, or cells of words in columns. Empty for all else."""
    if not isinstance(value, list) or not 2 <= len(cast(list[object], value)) <= MOST_ROWS:
        return []
    rows = cast(list[Any], value)
    if all(isinstance(row, str) for row in rows):
        words: list[str] = rows
        same = len({len(row) for row in words}) == 1 and len(words[0]) > 2
        return words if same and not any(WORD.search(row) for row in words) else []
    if not all(
        isinstance(row, list) and len(cast(list[Any], row)) == len(rows[0]) > 1 for row in rows
    ):
        return []
    if not all(isinstance(cell, str) for row in rows for cell in row):
        return []
    wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [" ".join(c.ljust(w) for c, w in zip(row, wide, strict=True)).rstrip() for row in rows]
    return lines if sum(wide) + len(wide) <= WIDEST else []


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
    """One row an episode."""
    heads = ("episode", "messages", "illegal", "ended", "points", "deal")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, head in enumerate(heads):
        # Only the points and the deal give way where the terminal is narrow: they wrap.
        side = "right" if i < 3 else "left"
        table.add_column(head, justify=side, no_wrap=i < 4, ratio=None if i < 4 else i - 3)
    for e in episodes:
        illegal = sum(t.error is not None for t in e.turns)
        points = ", ".join(f"{a} {u:.4g}" for a, u in e.outcome.utilities.items())
        deal = brief(e.outcome.deal) if e.outcome.deal else ""
        row = (str(e.id), str(len(e.messages)), str(illegal), str(e.ended), points, deal)
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
