"""A network as an SVG document: hosts by their distance from the entry; colours of Okabe and Ito (2008)."""

from __future__ import annotations

from collections.abc import Collection
from html import escape

from .network_scenario import NetworkScenario

WIDE, HIGH, RADIUS = 120, 90, 24
INK, PLAIN, PRIZE, GONE = "#333333", "#f2f2ef", "#f0e442", "#d9d9d9"
ATTACKER, ALERT, CUT, CLEAN = "#d55e00", "#e69f00", "#0072b2", "#009e73"


def drawn(
    scenario: NetworkScenario,
    *,
    at: int,
    left: int,
    isolated: int,
    restored: int,
    alerted: Collection[int],
) -> str:
    """`at`: the attacker's host. `left`, `isolated`, `restored` have a bit for each host; yellow hosts hold
    their value, dashed ones were cut off, green rings are new; a triangle is an alert."""
    levels: dict[int, list[str]] = {}
    for host, far in scenario.reach().items():
        levels.setdefault(far, []).append(host)
    tallest = max(map(len, levels.values()))
    wide, high = WIDE * len(levels), HIGH * tallest + 20
    where = {
        host: (WIDE * far + WIDE // 2, round((i + 0.5) * HIGH * tallest / len(level)) + 4)
        for far, level in levels.items()
        for i, host in enumerate(level)
    }
    # A link between hosts at one distance bends, so that it does not run through those between them.
    lines = "".join(
        f'<path d="M{where[a][0]} {where[a][1]} Q{_bend(where[a], where[b])} {where[b][0]} {where[b][1]}"'
        f' fill="none" stroke="{INK}" stroke-width="1.5"/>'
        for a, b in scenario.links
    )
    nodes = "".join(
        _host(
            host,
            where[host],
            scenario.values.get(host),
            held=bool(left >> i & 1),
            ring=(CUT, 'stroke-dasharray="5 3"') if isolated >> i & 1
            else (CLEAN, "") if restored >> i & 1
            else (INK, ""),
            attacked=i == at,
            alert=i in alerted,
        )
        for i, host in enumerate(scenario.hosts)
    )  # fmt: skip
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}"'
        f' height="{high}" font-family="sans-serif" font-size="12" text-anchor="middle">{lines}{nodes}</svg>'
    )


def _bend(one: tuple[int, int], two: tuple[int, int]) -> str:
    x, y = (one[0] + two[0]) // 2, (one[1] + two[1]) // 2
    return f"{x + (WIDE // 2 if one[0] == two[0] else 0)} {y}"


def _host(
    name: str,
    at: tuple[int, int],
    value: int | None,
    *,
    held: bool,
    ring: tuple[str, str],
    attacked: bool,
    alert: bool,
) -> str:
    x, y = at
    fill = PLAIN if value is None else PRIZE if held else GONE
    thick = 1.5 if ring[0] == INK else 4
    parts = [
        f'<circle cx="{x}" cy="{y}" r="{RADIUS}" fill="{fill}" stroke="{ring[0]}" {ring[1]}'
        f' stroke-width="{thick}"/>',
        f'<text x="{x}" y="{y + RADIUS + 14}">{escape(name)}</text>',
    ]
    if value is not None:
        parts.append(f'<text x="{x}" y="{y - 8}">{value}</text>')
    if attacked:
        parts.append(f'<circle cx="{x}" cy="{y + 6}" r="9" fill="{ATTACKER}"/>')
    if alert:
        parts.append(f'<path d="M{x + 14} {y - 12} l8 -14 l8 14 z" fill="{ALERT}" stroke="{INK}"/>')
    return "".join(parts)
