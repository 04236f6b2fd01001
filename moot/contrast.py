"""Two transcripts of one game side by side: what both said, and where they went apart."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .environments import Episode, Turn
from .protocols.counted import counted
from .show import plain

SIDES = ("cyan", "magenta")


def contrast(one: Episode, two: Episode, names: tuple[str, str]) -> RenderableType:
    """A line a turn: dim where both have it, else `-` for what only the first has, `+` for the second."""
    lines = Table.grid(padding=(0, 1))
    for _ in range(3):
        lines.add_column(no_wrap=True)
    lines.add_column(overflow="fold")
    first, second = [_said(t) for t in one.turns], [_said(t) for t in two.turns]
    matched = SequenceMatcher(None, first, second, autojunk=False)
    apart = 0
    for kind, a, b, c, d in matched.get_opcodes():
        if kind == "equal":
            _add(lines, " ", first[a:b], "dim")
            continue
        apart += max(b - a, d - c)
        _add(lines, "-", first[a:b], SIDES[0])
        _add(lines, "+", second[c:d], SIDES[1])
    games = "" if _game(one) == _game(two) else " of different games"
    head = Text(f"Episode {one.id}{games}: ", style="bold")
    differ = f"{counted(apart, 'turn')} {'differs' if apart == 1 else 'differ'}"
    head.append(differ if apart else "the same in every turn", style="bold")
    ends = [
        Text(f"{sign} {name}: {_end(e)}", style=colour)
        for sign, name, e, colour in zip("-+", names, (one, two), SIDES, strict=True)
    ]
    return Group(head, *ends, lines)


def _add(lines: Table, sign: str, said: Sequence[tuple[str, str, str]], style: str) -> None:
    for cells in said:
        lines.add_row(*(Text(cell, style=style) for cell in (sign, *cells)))


def _said(turn: Turn) -> tuple[str, str, str]:
    """Agent, act, and content with words."""
    message = turn.message
    if message is None:
        why = turn.error or (turn.reply.error if turn.reply else None) or "no reply"
        return turn.agent, "(illegal)" if turn.error else "(broken)", str(why)
    content = "" if message.content is None else plain(message.content.model_dump())
    return turn.agent, str(message.act), "  ".join(filter(None, (content, message.text)))


def _end(episode: Episode) -> str:
    points = ", ".join(f"{a} {u:.4g}" for a, u in episode.outcome.utilities.items())
    return f"{episode.ended}, {points}"


def _game(episode: Episode) -> str:
    from .evaluation.compare import game_of

    return f"{episode.scenario.world} {game_of(episode.scenario)}"
