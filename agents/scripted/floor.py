"""Walking on a grid: the four ways, and the steps of a path that a breadth-first search has found."""

from __future__ import annotations

from collections.abc import Mapping

AROUND = {"north": (0, -1), "south": (0, 1), "east": (1, 0), "west": (-1, 0)}
Cell = tuple[int, int]
"""Column and row."""


def back(came: Mapping[Cell, tuple[Cell, str] | None], at: Cell) -> list[str]:
    """The steps to `at`, where `came` holds for every cell the one before it and the step from there."""
    steps: list[str] = []
    while (before := came[at]) is not None:
        at = before[0]
        steps.append(before[1])
    return steps[::-1]
