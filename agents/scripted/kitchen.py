"""Cooks: each does the most urgent thing that it can reach, and leaves to the other what that one is at.

A cook picks one errand at a time (fetch an ingredient, fill a pot, fetch a dish, take soup, serve, pass
something over a counter) from what the world told last, and walks there by the shortest way around the other;
where there is none, the lesser errand gives way. A cook that cannot reach the pots passes over a counter that
both reach. The oracle knows the menu in any case. Left out: plans for both cooks together.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

from ...protocols import WORLD, Act, Observation, Reply
from .bargaining import field
from .floor import AROUND, Cell, back

SUPPLY = {"onion": "O", "tomato": "T", "dish": "D"}
FULL = 3
NARROW = 64
"""Cells of floor from which on two are taken to be able to pass each other everywhere."""


class Kitchen(NamedTuple):
    """What a cook knows now."""

    grid: tuple[str, ...]
    me: Cell
    facing: str
    holds: tuple[str, ...]
    other: Cell
    other_holds: tuple[str, ...]
    pots: dict[Cell, tuple[list[str], int | None]]
    counters: dict[Cell, str]
    recipes: list[list[str]]
    """Soups of the menu that can be made here, the first to be made first."""
    first: bool
    """Whether this is the first cook."""


def sensible(observation: Observation, rng: random.Random) -> Reply:
    """Runs the next errand; a cook that alone knows the menu tells it."""
    return _reply(observation, rng, observation.private.get("menu"))


def oracle(observation: Observation, rng: random.Random) -> Reply:
    """The same, with the menu known from the start."""
    known = (p["menu"] for p in (observation.secrets or {}).values() if "menu" in p)
    return _reply(observation, rng, next(known, observation.private.get("menu")))


PLAYERS = {"sensible": sensible, "oracle": oracle}


def _reply(observation: Observation, rng: random.Random, menu: Any) -> Reply:
    kitchen = _seen(observation, menu)
    if observation.may(Act.INFORM):
        words = f"I mean to {_errand(kitchen)[0]}."
        if observation.private.get("menu"):
            words = f"The menu is {', '.join(kitchen.recipes[0])}. {words}"
        return Reply.said(Act.INFORM, None, None, words[: observation.max_text])
    steps = _plan(kitchen, observation.public["stretch"], rng)
    return Reply.said(Act.REQUEST, {"steps": steps}, None, "")


def _seen(observation: Observation, menu: Any) -> Kitchen:
    """The kitchen as the world told it last; at the start, as it was described."""
    grid = tuple(observation.public["grid"])
    floor = tuple(row.replace("1", " ").replace("2", " ") for row in grid)
    agents = observation.agents
    first = agents[0] == observation.agent
    menu = menu or observation.public.get("menu")
    recipes = _recipes(menu, floor) if menu else [_heard_recipe(observation)]
    news = next((m for m in reversed(observation.heard) if m.sender == WORLD), None)
    if news is None:
        starts = [_find(grid, mark) for mark in "12"]
        me, other = starts if first else starts[::-1]
        pots = {at: (list[str](), None) for at in _all(floor, "P")}
        return Kitchen(floor, me, "north", (), other, (), dict(pots), {}, recipes, first)
    cooks: Mapping[str, Any] = field(news.content, "cooks")
    mine = cooks[observation.agent]
    theirs = next(c for name, c in cooks.items() if name != observation.agent)
    pots = {
        cast(Cell, tuple(p["at"])): (list(p["holds"]), p["left"])
        for p in field(news.content, "pots")
    }
    counters = {cast(Cell, tuple(c["at"])): c["holds"][0] for c in field(news.content, "counters")}
    return Kitchen(
        floor, cast(Cell, tuple(mine["at"])), mine["facing"], tuple(mine["holds"]),
        cast(Cell, tuple(theirs["at"])), tuple(theirs["holds"]), pots, counters, recipes, first,
    )  # fmt: skip


def _recipes(menu: Sequence[Sequence[str]], grid: Sequence[str]) -> list[list[str]]:
    there = {mark for row in grid for mark in row}
    return [list(r) for r in menu if all(SUPPLY[i] in there for i in r)] or [list(menu[0])]


def _heard_recipe(observation: Observation) -> list[str]:
    """The recipe that the other told in words; onions until then."""
    for message in observation.heard:
        if message.sender not in (observation.agent, WORLD) and "menu is" in message.text:
            said = message.text.partition("menu is")[2].partition(".")[0]
            return [word for word in said.replace(",", " ").split() if word in SUPPLY]
    return ["onion"] * FULL


def _errand(k: Kitchen) -> tuple[str, list[Cell]]:
    """What to do next in words, and the stations at which it can be done; none: get out of the way."""
    near = _reach(k.grid, k.me, k.other)
    held = k.holds[0] if k.holds else ""
    cooking = [at for at, (_, left) in k.pots.items() if left is not None]
    shared = _shared(k, near)
    if held == "soup":
        return "serve the soup", _of(k.grid, near, "S") or shared
    if held == "dish":
        ready = [at for at in cooking if at in near]
        return "take the soup", ready or [at for at in k.pots if at in near] or shared
    if held:
        open_ = [at for at in k.pots if at in near and held in _wants(k, at)]
        spare = shared if not _any(k.pots, near) and _room(k, near) else _bin(k, near)
        return f"put the {held} into a pot", open_ or spare
    soup = [at for at, thing in k.counters.items() if thing == "soup" and at in near]
    if soup and _of(k.grid, near, "S"):
        return "fetch the soup", soup
    alone = not _any(k.pots, near)
    dishes = [at for at, thing in k.counters.items() if thing == "dish" and at in near]
    wanted = bool(cooking) and not {"dish", "soup"} & set(k.other_holds)
    if wanted and not (alone and "dish" in k.counters.values()):
        plates = ([] if alone else dishes) or _of(k.grid, near, "D")
        if plates:
            return "fetch a dish", plates
    return _fetch(k, near, alone)


def _fetch(k: Kitchen, near: set[Cell], alone: bool) -> tuple[str, list[Cell]]:
    """An ingredient that some pot lacks, less what the other carries to it; or a pot to be put on."""
    theirs = _reach(k.grid, k.other, k.me)
    for at in k.pots:
        wants = _wants(k, at)
        if k.other_holds and k.other_holds[0] in wants:
            wants.remove(k.other_holds[0])
        if len(wants) == 1 and not k.first and _may_spoil(k, at, wants[0], theirs):
            continue
        lying = [t for t in k.counters.values() if t in wants]
        for thing in sorted(set(wants)):
            there = [c for c, t in k.counters.items() if t == thing and c in near]
            if there and not alone:
                return f"fetch the {thing} from the counter", there
            more = len(lying) < len(wants) and (not alone or _room(k, near))
            if more and (supply := _of(k.grid, near, SUPPLY[thing])):
                return f"fetch an {thing}" if thing == "onion" else f"fetch a {thing}", supply
    start = [at for at in k.pots if at in near and _complete(k, at)]
    return ("put the pot on", start) if start else ("wait", [])


def _due(k: Kitchen, pot: Cell) -> list[str] | None:
    """The soup that a pot can still become; None when what is in it is in no soup of the menu."""
    holds = Counter(k.pots[pot][0])
    return next((r for r in k.recipes if holds <= Counter(r)), None)


def _wants(k: Kitchen, pot: Cell) -> list[str]:
    """What the recipe still lacks in this pot; nothing once it is on."""
    holds, left = k.pots[pot]
    due = _due(k, pot)
    return (
        []
        if left is not None or due is None
        else sorted((Counter(due) - Counter(holds)).elements())
    )


def _complete(k: Kitchen, pot: Cell) -> bool:
    """Whether a pot is to be put on: it holds a recipe, or what will never be one and must go."""
    holds, left = k.pots[pot]
    return left is None and bool(holds) and _due(k, pot) in (None, sorted(holds), holds)


def _may_spoil(k: Kitchen, pot: Cell, thing: str, theirs: set[Cell]) -> bool:
    """Whether two cooks who both bring the last ingredient would both get it into the pot."""
    roomy = len(k.pots[pot][0]) + 1 < FULL and not k.other_holds
    return roomy and pot in theirs and bool(_of(k.grid, theirs, SUPPLY[thing]))


def _room(k: Kitchen, near: set[Cell]) -> bool:
    """Whether a counter that both reach stays free for the soup, if that must come back over one."""
    theirs = _reach(k.grid, k.other, k.me)
    both = [at for at in _all(k.grid, "X") if at in near & theirs]
    back = bool(_of(k.grid, near, "S")) and not _of(k.grid, theirs, "S")
    return not back or len(both) == 1 or sum(at not in k.counters for at in both) > 1


def _plan(k: Kitchen, most: int, rng: random.Random) -> list[str]:
    """Steps of the errand, at most `most`, `act` at its end; a cook of a lesser errand gives way."""
    _, stations = _errand(k)
    near = abs(k.me[0] - k.other[0]) + abs(k.me[1] - k.other[1])
    if near <= 3:  # plans for long ways come apart where both may move
        most = min(most, 2)
    straight, around = _way(k, stations, avoid=False), _way(k, stations, avoid=True)
    blocked = straight is not None and (around is None or len(around) > len(straight) + 4)
    if not stations or straight is None or (blocked and _rank(k) < _rank(_swapped(k))):
        return _aside(k, rng)[:most]
    way = around if around is not None and not blocked else straight
    if k.holds[:1] == ("dish",) and way[-1] == "act":
        left = min((left for _, left in k.pots.values() if left is not None), default=0)
        way = [*way[:-1], *["stay"] * max(left - len(way) + 1, 0), "act"]
    if near <= 2 and rng.random() < 0.15:
        return ["stay"]  # so that two who mirror each other do not do so for ever
    return way[:most]


def _rank(k: Kitchen) -> tuple[int, bool]:
    """Who gives way to whom: soup before dishes before ingredients before empty hands."""
    held = k.holds[0] if k.holds else ""
    return ("", "onion", "tomato", "dish", "soup").index(held), k.first


def _swapped(k: Kitchen) -> Kitchen:
    """The kitchen as the other sees it."""
    return k._replace(
        me=k.other, other=k.me, holds=k.other_holds, other_holds=k.holds, first=not k.first
    )


def _way(k: Kitchen, stations: Iterable[Cell], avoid: bool) -> list[str] | None:
    """Shortest way to stand before one of the stations, turn to it and act (breadth first)."""
    goals = set(stations)
    came: dict[Cell, tuple[Cell, str] | None] = {k.me: None}
    waiting = deque([k.me])
    while waiting:
        at = waiting.popleft()
        for step, (dx, dy) in AROUND.items():
            there = (at[0] + dx, at[1] + dy)
            if there in goals:
                steps = back(came, at)
                facing = steps[-1] if steps else k.facing
                return [*steps, *([] if facing == step else [step]), "act"]
            free = k.grid[there[1]][there[0]] == " " and not (avoid and there == k.other)
            if free and there not in came:
                came[there] = at, step
                waiting.append(there)
    return None


def _aside(k: Kitchen, rng: random.Random) -> list[str]:
    """To the nearest floor that is not on the other's way and next to nothing of it; else nowhere."""
    theirs = _swapped(k)
    steps = _way(theirs, _errand(theirs)[1], avoid=False) or []
    at, taken = k.other, {k.other}
    for step in steps:
        dx, dy = AROUND.get(step, (0, 0))
        there = (at[0] + dx, at[1] + dy)
        if k.grid[there[1]][there[0]] == " ":
            at = there
            taken.add(at)
    if k.me not in taken:
        return ["stay"]
    came: dict[Cell, tuple[Cell, str] | None] = {k.me: None}
    waiting = deque([k.me])
    while waiting:
        at = waiting.popleft()
        if at not in taken:
            return back(came, at)
        for step in rng.sample(list(AROUND), 4):
            there = (at[0] + AROUND[step][0], at[1] + AROUND[step][1])
            if k.grid[there[1]][there[0]] == " " and there != k.other and there not in came:
                came[there] = at, step
                waiting.append(there)
    return ["stay"]


def _reach(grid: tuple[str, ...], start: Cell, other: Cell) -> set[Cell]:
    """Stations and counters that a cook can come to stand before, if the other makes way."""
    wide = len(_all(grid, " ")) > NARROW
    return {
        (x + dx, y + dy)
        for x, y in (_walk(grid, start) if wide else _floors(grid)[start, other])
        for dx, dy in AROUND.values()
        if grid[y + dy][x + dx] != " "
    }


@lru_cache(maxsize=1024)
def _walk(grid: tuple[str, ...], start: Cell) -> frozenset[Cell]:
    """All floor that hangs together with this cell."""
    found, waiting = {start}, deque([start])
    while waiting:
        x, y = waiting.popleft()
        for dx, dy in AROUND.values():
            there = (x + dx, y + dy)
            if there not in found and grid[there[1]][there[0]] == " ":
                found.add(there)
                waiting.append(there)
    return frozenset(found)


@lru_cache(maxsize=64)
def _floors(grid: tuple[str, ...]) -> Mapping[tuple[Cell, Cell], frozenset[Cell]]:
    """(Own cell, the other's) -> the floor that one can come to. In a corridor two cannot pass each other,
    so the pairs of cells fall apart: who is left of the other stays there."""
    floor = _all(grid, " ")
    beside = {
        (x, y): [(x + dx, y + dy) for dx, dy in AROUND.values() if grid[y + dy][x + dx] == " "]
        for x, y in floor
    }
    found: dict[tuple[Cell, Cell], frozenset[Cell]] = {}
    for first in ((a, b) for a in floor for b in floor if a != b):
        if first in found:
            continue
        pairs, waiting = {first}, deque([first])
        while waiting:
            me, other = waiting.popleft()
            moved = [(c, other) for c in beside[me] if c != other]
            for pair in moved + [(me, c) for c in beside[other] if c != me]:
                if pair not in pairs:
                    pairs.add(pair)
                    waiting.append(pair)
        found |= dict.fromkeys(pairs, frozenset(me for me, _ in pairs))
    return found


def _shared(k: Kitchen, near: set[Cell]) -> list[Cell]:
    """Free counters that both reach."""
    both = near & _reach(k.grid, k.other, k.me)
    return [at for at in _all(k.grid, "X") if at in both and at not in k.counters]


def _bin(k: Kitchen, near: set[Cell]) -> list[Cell]:
    """Free counters, to put down what nobody needs."""
    return [at for at in _all(k.grid, "X") if at in near and at not in k.counters]


def _any(cells: Iterable[Cell], near: set[Cell]) -> bool:
    return any(at in near for at in cells)


def _of(grid: Sequence[str], near: set[Cell], mark: str) -> list[Cell]:
    return [at for at in _all(grid, mark) if at in near]


def _all(grid: Sequence[str], mark: str) -> list[Cell]:
    return [(x, y) for y, row in enumerate(grid) for x, m in enumerate(row) if m == mark]


def _find(grid: Sequence[str], mark: str) -> Cell:
    return _all(grid, mark)[0]
