"""What counts and picks tell of the shared row in mutual friends.

Hypotheses: each of the listener's own n rows is the shared one. The other's table has m rows, out of all U
that can be made of the values in both tables; the shared row is one of them, and every choice of the m - 1
others among the U - n rows that the listener does not have is as likely. So what is told has the probability

    p(counts | row)  =  (1 - SLIP) tables that fit the counts / all tables  +  SLIP / (m + 1)^counts

where SLIP is the chance that the other's counts are all idle. A row that is rejected counts as none of the
kind, one that is accepted as one. To pick a row one must have it: who picks a row that the listener has as
well has found the shared one, and nothing else can be so. Rows told apart by the same counts are one cell,
and tables are counted cell after cell. Left out: what questions tell of the asker's table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...protocols import Act, Message
from ..listening import NEVER, SLIP, held, normal, table_of, uniform

Row = Mapping[str, str]
Cell = tuple[int, ...]
"""Which of the counts a row is one of: 0 or 1 for each."""
MOST_ROWS = 1 << 18
"""Of all rows that the values could make; where there are more, nobody listens."""
MOST_TOLD = 62
"""Counts that a cell's code has room for; a listener takes no note of more."""
MOST_WAYS = 20_000
"""Different counts of a part of the table; where there would be more, a listener takes no more note."""


class FriendsListener:
    """One who wants to know which of its rows the other has as well. `any_value` fits every value;
    `between` stands between the values of a row that is picked."""

    def __init__(
        self, seat: str, rows: Sequence[Row], others: Sequence[Row], any_value: str, between: str
    ) -> None:
        self.seat, self._any, self._between = seat, any_value, between
        self._names = tuple(rows[0])
        self._rows, self._many = [tuple(row.values()) for row in rows], len(others)
        shared = next(row for row in others if row in rows)
        self.truth = list(rows).index(shared)
        self._prior = self.logs = np.log(uniform(len(rows)))
        self._domains = [list(dict.fromkeys(r[a] for r in (*rows, *others))) for a in self._names]
        self._told: dict[tuple[tuple[str, ...], int], int] = {}
        self._codes = np.zeros(tuple(map(len, self._domains)), dtype=np.int64)
        self._cells: list[Cell] = [()] * len(rows)
        self._picked: tuple[str, ...] | None = None
        self._certain = False

    @property
    def size(self) -> int:
        """U, all rows that the values could make."""
        return math.prod(map(len, self._domains))

    def hear(self, message: Message) -> bool:
        """Take note of counts and picks, and of what becomes of one's own picks."""
        fact = self._fact(message)
        if fact is None or self._certain:
            return fact is not None
        where, count, sure = fact
        if sure:
            self._certain = True
            self.logs = np.full(len(self._rows), NEVER)
            self.logs[self._rows.index(where)] = 0.0
            return True
        return (where, count) in self._told or self._count(where, count)

    def _fact(self, message: Message) -> tuple[tuple[str, ...], int, bool] | None:
        """Values, how many of the other's rows have them, and whether they are the shared row's for sure."""
        own, picked = message.sender == self.seat, held(message, "row")
        if isinstance(picked, str):
            row = tuple(picked.split(self._between))
            self._picked = row if own else None
            return None if own else (row, 1, row in self._rows)
        if own:
            return None
        where, count = table_of(message, "where"), held(message, "count")
        if where is not None and isinstance(count, int):
            return tuple([str(where[a]) for a in self._names]), count, False
        if self._picked is not None and message.act in (Act.ACCEPT_PROPOSAL, Act.REJECT_PROPOSAL):
            return self._picked, int(message.act is Act.ACCEPT_PROPOSAL), False
        return None

    def _count(self, where: tuple[str, ...], count: int) -> bool:
        """Take note of one more count; whether it could be done in time."""
        if len(self._told) == MOST_TOLD:
            return False
        codes = 2 * self._codes + self._rows_with(where)
        cells = [
            (*cell, int(_fits(where, row, self._any)))
            for cell, row in zip(self._cells, self._rows, strict=True)
        ]
        most = [*self._told.values(), count]
        ways = _ways(_sizes(codes, cells), tuple(most), self._many - 1)
        if ways is None:
            return False
        every = math.comb(self.size - len(self._rows), self._many - 1)
        idle = SLIP / (self._many + 1) ** len(most)
        fits: list[float] = []
        for cell in cells:
            left = tuple([n - own for n, own in zip(most, cell, strict=True)])
            fits.append((1 - SLIP) * (ways.get(left, 0) / every) + idle)
        self.logs = normal(self._prior + np.log(fits))
        self._codes, self._cells, self._told[where, count] = codes, cells, count
        return True

    def _rows_with(self, where: tuple[str, ...]) -> NDArray[np.bool_]:
        """Which of all rows have these values, an axis an attribute."""
        shape = tuple(map(len, self._domains))
        found = np.ones((1,) * len(shape), dtype=bool)
        for axis, (value, domain) in enumerate(zip(where, self._domains, strict=True)):
            if value != self._any:
                along = [1] * len(shape)
                along[axis] = len(domain)
                found = found & np.array([v == value for v in domain]).reshape(along)
        return found


def _fits(where: tuple[str, ...], row: tuple[str, ...], any_value: str) -> bool:
    return all(w in (any_value, v) for w, v in zip(where, row, strict=True))


def _sizes(codes: NDArray[np.int64], own: Sequence[Cell]) -> dict[Cell, int]:
    """How many rows there are in each cell, the listener's `own` apart."""
    numbers, sizes = np.unique(codes, return_counts=True)
    width = len(own[0])
    cells = {
        tuple([code >> (width - 1 - i) & 1 for i in range(width)]): size
        for code, size in zip(numbers.tolist(), sizes.tolist(), strict=True)
    }
    for cell in own:
        cells[cell] -= 1
    return cells


def _ways(cells: dict[Cell, int], most: tuple[int, ...], wanted: int) -> dict[Cell, int] | None:
    """Counts -> how many sets of so many rows have them, none above `most`, over cells that some count is
    about; the rows that are still missing come from the one cell that none is about. None where there are
    too many."""
    none = (0,) * len(most)
    rest = cells.pop(none, 0)
    ways: dict[tuple[Cell, int], int] = {(none, 0): 1}
    for cell, size in cells.items():
        more: dict[tuple[Cell, int], int] = {}
        for (reached, rows), count in ways.items():
            room = [b - a for a, b, c in zip(reached, most, cell, strict=True) if c]
            for taken in range(min(size, wanted - rows, *room) + 1):
                now = tuple([a + taken * c for a, c in zip(reached, cell, strict=True)])
                to = now, rows + taken
                more[to] = more.get(to, 0) + count * math.comb(size, taken)
        if len(more) > MOST_WAYS:
            return None
        ways = more
    found: dict[Cell, int] = {}
    for (reached, rows), count in ways.items():
        found[reached] = found.get(reached, 0) + count * math.comb(rest, wanted - rows)
    return found


def listeners(
    tables: Mapping[str, Sequence[Row]], any_value: str, between: str
) -> list[FriendsListener]:
    """Each of two agents listens to the other; nobody where the values could make too many rows."""
    (one, mine), (two, theirs) = tables.items()
    found = [
        FriendsListener(one, mine, theirs, any_value, between),
        FriendsListener(two, theirs, mine, any_value, between),
    ]
    return found if found[0].size <= MOST_ROWS else []
