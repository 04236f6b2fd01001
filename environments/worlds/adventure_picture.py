"""The plan of an adventure as an SVG document, 120 by 90 pixels a room; colours of Okabe and Ito (2008)."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .adventure_rules import HANDS, USED, House, Stand
from .adventure_scenario import AdventureScenario

WIDE, HIGH = 120, 90
COLOURS = ("#0072b2", "#e69f00")
"""Of the first and the second player."""


def drawn(
    scenario: AdventureScenario, house: House, stand: Stand, trail: Sequence[tuple[int, int]]
) -> str:
    """`trail`: the rooms of both, turn by turn."""
    rooms, seats = list(scenario.rooms), list(scenario.roles)
    middle = [
        (WIDE * room.at[0] + WIDE // 2, HIGH * room.at[1] + HIGH // 2)
        for room in scenario.rooms.values()
    ]
    wide = max(x for x, _ in middle) + WIDE // 2
    high = max(y for _, y in middle) + HIGH // 2 + 36
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}"'
        f' height="{high}" font-family="sans-serif" font-size="10" text-anchor="middle">'
    ]
    for number, (name, (x, y)) in enumerate(zip(rooms, middle, strict=True)):
        parts.append(
            f'<rect x="{x - 50}" y="{y - 35}" width="100" height="70" rx="4" fill="#f2f2ef"'
            ' stroke="#999999"/>'
        )
        parts.append(_text(x, y - 22, name, "#000000", bold=True))
        lying = [t for t, p in zip(scenario.things, stand.places, strict=True) if p == number]
        for line, thing in enumerate(lying[:3]):
            parts.append(_text(x, y - 9 + 11 * line, thing, "#444444"))
        for lever in (n for n, one in scenario.levers.items() if one.room == name):
            parts.append(_text(x, y + 30, lever, "#d55e00"))
    things = list(scenario.things)
    for door in scenario.doors:
        (x, y), (u, v) = (middle[rooms.index(room)] for room in door.between)
        shut = bool(door.lock) and stand.places[things.index(f"{door.lock} key")] != USED
        dash = ' stroke-dasharray="3 3"' if door.hatch else ""
        ax, ay, bx, by = _gap(x, y, u, v)
        colour = "#999999" if door.hatch else "#4d4d4d"
        parts.append(
            f'<line x1="{ax}" y1="{ay}" x2="{bx}" y2="{by}" stroke="{colour}"'
            f' stroke-width="{6 if not door.hatch else 3}"{dash}/>'
        )
        if shut:
            parts.append(
                f'<circle cx="{(x + u) // 2}" cy="{(y + v) // 2}" r="9" fill="#cc79a7"'
                ' stroke="#333333"/>'
            )
            parts.append(_text((x + u) // 2, (y + v) // 2 + 3, door.lock[:3], "#000000"))
    for seat, colour in enumerate(COLOURS):
        shift = 12 if seat else -12
        points = " ".join(
            f"{middle[at[seat]][0] + shift},{middle[at[seat]][1] + 14}" for at in trail
        )
        x, y = middle[stand.at[seat]]
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="3"'
            ' stroke-opacity="0.4"/>'
        )
        parts.append(
            f'<circle cx="{x + shift}" cy="{y + 14}" r="8" fill="{colour}" stroke="#333333"/>'
        )
        held = [t for t, p in zip(things, stand.places, strict=True) if p == HANDS[seat]]
        words = f"{seats[seat]}: {', '.join(held) or 'empty hands'}"
        parts.append(_text(wide // 2, high - 22 + 14 * seat, words, colour, bold=True))
    return "".join((*parts, "</svg>"))


def _gap(x: int, y: int, u: int, v: int) -> tuple[int, int, int, int]:
    """The line from the wall of one room to that of the other."""
    dx, dy = (u > x) - (u < x), (v > y) - (v < y)
    return x + 50 * dx, y + 35 * dy, u - 50 * dx, v - 35 * dy


def _text(x: int, y: int, words: str, colour: str, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y}" fill="{colour}"{weight}>{escape(words)}</text>'
