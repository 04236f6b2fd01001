"""A kitchen as an SVG document, 40 pixels a cell; colours of Okabe and Ito (2008), letters for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .kitchen_scenario import WAYS, Cell, Grid

WOOD = "#b8a58a"
TILES = {" ": "#f6f3ea", "P": "#4d4d4d", "S": "#cfd8dc", **dict.fromkeys("XOTD", WOOD)}
THINGS = {"onion": "#f0e442", "tomato": "#d55e00", "dish": "#ffffff", "soup": "#cc79a7"}
COOKS = ("#0072b2", "#e69f00")
SUPPLY = {"O": "onion", "T": "tomato", "D": "dish"}


def drawn(
    grid: Grid,
    cooks: Sequence[tuple[Cell, str, tuple[str, ...]]],
    pots: Mapping[Cell, tuple[tuple[str, ...], int | None]],
    counters: Mapping[Cell, tuple[str, ...]],
) -> str:
    """`cooks`: place, facing, held; `pots`: held, steps to go (None: not on)."""
    wide, high = 40 * len(grid[0]), 40 * len(grid)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}"'
        f' height="{high}" font-family="sans-serif" font-size="12" text-anchor="middle">'
    ]
    for y, row in enumerate(grid):
        for x, mark in enumerate(row):
            parts.append(_square(x, y, TILES[mark]))
            if mark in SUPPLY:
                parts.append(_disc(40 * x + 20, 40 * y + 20, 10, THINGS[SUPPLY[mark]]))
            elif mark == "S":
                parts.append(f'<text x="{40 * x + 20}" y="{40 * y + 24}">serve</text>')
    for (x, y), (held, left) in pots.items():
        parts.append(_disc(40 * x + 20, 40 * y + 20, 15, "#9e9e9e"))
        for i, thing in enumerate(held):
            parts.append(_disc(40 * x + 11 + 9 * i, 40 * y + 20, 4, THINGS[thing]))
        if left is not None:
            words = str(left) if left else "ready"
            parts.append(f'<text x="{40 * x + 20}" y="{40 * y + 38}" fill="#fff">{words}</text>')
    for (x, y), held in counters.items():
        parts.append(_disc(40 * x + 20, 40 * y + 20, 7, THINGS[held[0]]))
    for ((x, y), facing, held), colour in zip(cooks, COOKS, strict=True):
        dx, dy = WAYS[facing]
        parts.append(_disc(40 * x + 20, 40 * y + 20, 13, colour))
        parts.append(_disc(40 * x + 20 + 10 * dx, 40 * y + 20 + 10 * dy, 4, "#ffffff"))
        if held:
            parts.append(_disc(40 * x + 20, 40 * y + 20, 6, THINGS[held[0]]))
    return "".join((*parts, "</svg>"))


def _square(x: int, y: int, colour: str) -> str:
    return f'<rect x="{40 * x}" y="{40 * y}" width="39" height="39" fill="{colour}"/>'


def _disc(x: int, y: int, r: int, colour: str) -> str:
    return f'<circle cx="{x}" cy="{y}" r="{r}" fill="{colour}" stroke="#333" stroke-width="0.5"/>'
