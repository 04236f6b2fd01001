"""A table whose numbers are never cut: it breaks into blocks where the terminal is narrow.

A block starts with the columns that name its rows and holds as many of the others as there is room for.
Columns that a table can do without (`spare`) are left out before it breaks. Words wrap beside the numbers
where there is room for them, else on lines of their own below the row. Left out: borders and colours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

GAP = 2
BESIDE = 30
"""Least width of words that stand beside the numbers."""
PIECE = re.compile(r"[^ _/:-]*[ _/:-]?")
"""What stays whole of a title: it breaks after a space or a mark between words."""
LONGEST = 32
"""Characters of a title above which it breaks anywhere."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a cell a column; `words` stand last, in dim."""

    cells: tuple[str, ...]
    words: str = ""
    style: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows under titles; prints at any width. A terminal narrower than one column folds it."""

    titles: tuple[str, ...]
    rows: Sequence[Row]
    keys: int = 1
    """Columns that name the rows: they stand on the left of every block."""
    spare: tuple[str, ...] = ()
    """Titles of what goes first where there is no room, in this order."""
    caption: str = ""
    words: str = ""
    """Title of the words; empty: none."""
    instead: str = ""
    """Said in place of words that have no room beside the numbers; empty: they stand below them."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width
        wide = self._widths(tight=False)
        blocks, gone = self._blocks(wide, room)
        if gone or len(blocks) > 1:
            tight = self._widths(tight=True)
            closer, lost = self._blocks(tight, room)
            if (len(closer), len(lost)) < (len(blocks), len(gone)):
                wide, blocks, gone = tight, closer, lost
        for i, block in enumerate(blocks):
            if i:
                yield Text()
            yield from self._lines(block, wide, room, words=not i)
        note = f"; no room here for {', '.join(gone)}" if gone else ""
        if self.caption:
            yield Text(self.caption + note, style="dim")
        if self.instead and not self._beside(wide, blocks[0], room):
            yield Text(self.instead, style="dim")

    def _widths(self, *, tight: bool) -> list[int]:
        """Of every column; `tight`: titles break where they can."""
        widths: list[int] = []
        for c, title in enumerate(self.titles):
            pieces = PIECE.findall(title) if tight else [title]
            head = min(LONGEST, max(len(piece.rstrip()) for piece in pieces))
            widths.append(max(head, *(len(row.cells[c]) for row in self.rows), 1))
        return widths

    def _blocks(self, wide: list[int], room: int) -> tuple[list[list[int]], list[str]]:
        """The columns of each block, and the titles of those that are left out."""
        keys = list(range(self.keys))
        rest = list(range(self.keys, len(self.titles)))
        gone: list[str] = []
        for title in self.spare:
            if _total(wide, [*keys, *rest]) <= room:
                break
            rest = [c for c in rest if self.titles[c] != title]
            gone.append(title)
        blocks = [keys]
        for column in rest:
            if len(blocks[-1]) > self.keys and _total(wide, [*blocks[-1], column]) > room:
                blocks.append(keys)
            blocks[-1] = [*blocks[-1], column]
        return blocks, gone

    def _beside(self, wide: list[int], block: list[int], room: int) -> bool:
        """Whether words stand beside the numbers."""
        return bool(self.words) and room - _total(wide, block) - GAP >= BESIDE

    def _lines(
        self, block: list[int], wide: list[int], room: int, *, words: bool
    ) -> Iterator[Text]:
        left = room - _total(wide, block) - GAP
        beside = words and self._beside(wide, block, room)
        heads = [_broken(self.titles[c], wide[c]) for c in block]
        for i, line in enumerate(zip_longest(*heads, fillvalue="")):
            text = self._line(block, wide, line, "bold")
            if beside and not i:
                text.append(self.words)
            yield _trimmed(text)
        for row in self.rows:
            text = self._line(block, wide, [row.cells[c] for c in block], row.style)
            wrapped = _wrapped(row.words, left) if beside else [""]
            text.append(wrapped[0], style="dim")
            yield _trimmed(text)
            for more in wrapped[1:]:
                yield Text(" " * (room - left) + more, style="dim")
            if words and row.words and not (beside or self.instead):
                for more in _wrapped(row.words, room - 2 * GAP):
                    yield Text(" " * 2 * GAP + more, style="dim")

    def _line(self, block: list[int], wide: list[int], cells: Sequence[str], style: str) -> Text:
        line = Text(style=style)
        for column, cell in zip(block, cells, strict=True):
            w = wide[column]
            line.append((cell.ljust(w) if column < self.keys else cell.rjust(w)) + " " * GAP)
        return line


def _trimmed(line: Text) -> Text:
    line.rstrip()
    return line


def _total(wide: list[int], columns: list[int]) -> int:
    return sum(wide[c] for c in columns) + GAP * (len(columns) - 1)


def _broken(title: str, wide: int) -> list[str]:
    """A title in lines of at most this width."""
    if len(title) <= wide:
        return [title]
    lines: list[str] = [""]
    for piece in PIECE.findall(title):
        if len(lines[-1]) + len(piece.rstrip()) > wide and lines[-1]:
            lines.append("")
        lines[-1] += piece
        while len(lines[-1].rstrip()) > wide:
            lines[-1:] = [lines[-1][:wide], lines[-1][wide:]]
    return [line.rstrip() for line in lines]


def _wrapped(words: str, wide: int) -> list[str]:
    text = Text(words.replace("\n", " "))
    return [line.plain.rstrip() for line in text.wrap(Console(width=wide), wide)] or [""]
