"""Drivers at a junction: who stands in the box or next to it goes first; the oracle drives the best plan.

`sensible` announces, so that all have its beacon, and drives by one rule that needs no agreement: cars in
the box, then the nearest, then the seat; each takes the quickest pace that meets nobody before it in that
order, and enters the box only when its way through it is free. `oracle` knows every way and hurry from
the start and plans for the least sum of hurry; when somebody drives otherwise, it is sensible. `bold`
always drives fast.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ...protocols import WORLD, Act, Observation, Reply

Cell = tuple[int, int]
Way = tuple[Cell, ...]
PACES = ("fast", "slow", "wait")
HALVES = {"fast": (1, 2), "slow": (0, 1), "wait": (0, 0)}
"""Cells from the start of the step after either half."""


def sensible(observation: Observation, rng: random.Random) -> Reply:
    """Announces its pace, keeps to a right of way that all can work out, never enters a taken box."""
    known = _known(observation)
    pace = _by_right(known, observation, rng)
    return _reply(observation, pace, _why(known, observation.agent, pace))


def oracle(observation: Observation, rng: random.Random) -> Reply:
    """Drives the plan that costs all cars together the least, as long as the others do."""
    known = _known(observation)
    pace = _by_right(known, observation, rng)
    if observation.secrets is not None:
        seats = observation.public["cars"]
        ways = tuple(_way(observation.secrets[car]["way"]) for car in seats)
        places, paces = _planned(observation, ways)
        left = {car: way[at:] for car, way, at in zip(seats, ways, places, strict=True)}
        if paces and all(left[car] == way for car, way in known.items()):
            pace = paces[seats.index(observation.agent)]
    return _reply(observation, pace, "as planned")


def bold(observation: Observation, rng: random.Random) -> Reply:
    """Drives fast, whoever comes."""
    return _reply(observation, "fast", "make way")


PLAYERS = {"sensible": sensible, "oracle": oracle, "bold": bold}


def _reply(observation: Observation, pace: str, why: str) -> Reply:
    """The pace as far as it is legal: who drives no more waits in silence."""
    if observation.may(Act.REQUEST):
        driving = _now(observation)["at"] is not None
        return Reply.said(Act.REQUEST, {"pace": pace if driving else "wait"}, None, "")
    if _now(observation)["at"] is None:
        return Reply.said(Act.INFORM, None, None, "")
    words = {"fast": "I go", "slow": "I go slowly", "wait": "I wait"}[pace]
    return Reply.said(Act.INFORM, {"pace": pace}, None, f"{words}: {why}."[: observation.max_text])


def _why(known: Mapping[str, Way], own: str, pace: str) -> str:
    if own not in known:
        return "I am through"
    others = ", ".join(sorted(car for car, way in known.items() if car != own and len(way) > 0))
    if pace == "wait":
        return f"you first, {others}" if others else "I see too little"
    return f"from ({known[own][0][0]},{known[own][0][1]}), {len(known[own])} cells to go"


# ---- what it knows -------------------------------------------------------------------------------


def _way(cells: Sequence[Sequence[int]]) -> Way:
    return tuple((x, y) for x, y in cells)


def _news(observation: Observation) -> Iterator[dict[str, Any]]:
    """What the world has told, newest first."""
    for message in reversed(observation.heard):
        if message.sender == WORLD and message.content is not None:
            yield message.content.model_dump()


def _now(observation: Observation) -> Mapping[str, Any]:
    """The latest look around."""
    return next((news for news in _news(observation) if "at" in news), observation.private)


def _known(observation: Observation) -> dict[str, Way]:
    """Car -> the way that it still has, for itself and every car whose beacon came since the last step."""
    now = _now(observation)
    known: dict[str, Way] = {}
    if now["at"] is not None:
        whole = _way(observation.private["way"])
        known[observation.agent] = whole[whole.index((now["at"][0], now["at"][1])) :]
    for news in itertools.takewhile(lambda news: "at" not in news, _news(observation)):
        known.setdefault(news["car"], _way(news["way"]))
    return known


# ---- right of way --------------------------------------------------------------------------------


def _inside(cell: Cell) -> bool:
    return set(cell) <= {0, 1}


def _order(known: Mapping[str, Way], seats: Sequence[str]) -> list[str]:
    """In the box, then nearest to it, then by seat."""

    def rank(car: str) -> tuple[int, int]:
        return sum(not _inside(cell) for cell in known[car]), seats.index(car)

    return sorted(known, key=rank)


def _by_right(known: Mapping[str, Way], observation: Observation, rng: random.Random) -> str:
    own = observation.agent
    if own not in known:
        return "wait"
    sees = _now(observation)["sees"]
    strangers = [(x, y) for car, (x, y) in sees.items() if car not in known]
    planned: dict[str, str] = {}
    for car in _order(known, observation.public["cars"]):
        planned[car] = next(p for p in PACES if _free(known, planned, car, p))
        if car == own:
            break
    pace = planned[own]
    near = set(known[own][: HALVES[pace][1] + 1])
    for x, y in strangers:
        # It may go anywhere: who comes close waits, now and then not, or both would wait for ever.
        if any(abs(x - a) + abs(y - b) <= 2 for a, b in near) and rng.random() < 0.5:
            return "wait"
    return pace


def _free(known: Mapping[str, Way], planned: Mapping[str, str], car: str, pace: str) -> bool:
    """Whether a car meets nobody at this pace: cars with a plan drive it, the others stand."""
    if pace == "wait":
        return True
    way = known[car]
    enters = not _inside(way[0]) and any(map(_inside, _swept(way, pace)))
    for other, theirs in known.items():
        if other == car:
            continue
        their = planned.get(other, "wait")
        if _meet(way, pace, theirs, their):
            return False
        taken = _inside(theirs[0]) or any(map(_inside, _swept(theirs, their)))
        if enters and taken and set(filter(_inside, theirs)) & set(filter(_inside, way)):
            return False
    return True


def _swept(way: Way, pace: str) -> Way:
    """The cells after either half, as far as it is not out by then."""
    return tuple(way[i] for i in HALVES[pace] if i < len(way))


def _meet(one: Way, pace: str, two: Way, other: str) -> bool:
    """Whether two cars are in one cell after a half, or change places in it."""
    a, b = (0, *HALVES[pace]), (0, *HALVES[other])
    for half in (1, 2):
        i, j = a[half], b[half]
        if i < len(one) and j < len(two):
            if one[i] == two[j]:
                return True
            if one[i] == two[b[half - 1]] and two[j] == one[a[half - 1]]:
                return True
    return False


# ---- the best plan -------------------------------------------------------------------------------


def _planned(observation: Observation, ways: tuple[Way, ...]) -> tuple[tuple[int, ...], Any]:
    """Where all stand after as many steps of the plan as were made, and their paces there."""
    assert observation.secrets is not None
    hurries = tuple(observation.secrets[car]["hurry"] for car in observation.public["cars"])
    done = sum("at" in news for news in _news(observation))
    steps = plan(ways, hurries)
    places = (0,) * len(ways)
    for paces in steps[:done]:
        places = _moved(ways, places, paces)
    return places, steps[done] if done < len(steps) else None


def _moved(ways: Sequence[Way], places: tuple[int, ...], paces: Sequence[str]) -> tuple[int, ...]:
    return tuple(
        min(at + HALVES[pace][1], len(way))
        for at, pace, way in zip(places, paces, ways, strict=True)
    )


@lru_cache(maxsize=1024)
def plan(ways: tuple[Way, ...], hurries: tuple[float, ...]) -> tuple[tuple[str, ...], ...]:
    """Paces of all cars, step by step, of least sum of hurry on the road (A*; ties by fewest steps)."""
    ends = tuple(map(len, ways))

    def ahead(places: tuple[int, ...]) -> float:
        """No more than what is still to come: everybody as if alone."""
        rest = ((e - p + 1) // 2 for p, e in zip(places, ends, strict=True))
        return sum(h * r for h, r in zip(hurries, rest, strict=True))

    start = (0,) * len(ways)
    tie = itertools.count()
    waiting: list[tuple[float, int, int, tuple[int, ...], tuple[tuple[str, ...], ...]]]
    waiting = [(ahead(start), 0, next(tie), start, ())]
    seen: set[tuple[int, ...]] = set()
    while True:
        _, steps, _, places, made = heapq.heappop(waiting)
        if places == ends:
            return made
        if places in seen:
            continue
        seen.add(places)
        spent = sum(h for h, p, e in zip(hurries, places, ends, strict=True) if p < e)
        past = sum(_cost(hurries, ways, made))
        for paces in itertools.product(PACES, repeat=len(ways)):
            if any(
                p == e and pace != "wait" for p, e, pace in zip(places, ends, paces, strict=True)
            ):
                continue
            left = [(w[p:], pace) for w, p, pace in zip(ways, places, paces, strict=True)]
            if any(_meet(*one, *two) for one, two in itertools.combinations(left, 2)):
                continue
            then = _moved(ways, places, paces)
            if then not in seen:
                cost = round(past + spent + ahead(then), 9)
                item = (cost, steps + 1, next(tie), then, (*made, paces))
                heapq.heappush(waiting, item)


def _cost(
    hurries: Sequence[float], ways: Sequence[Way], made: Sequence[Sequence[str]]
) -> Iterator[float]:
    """The hurry on the road in every step made."""
    places = (0,) * len(ways)
    for paces in made:
        on_road = zip(hurries, places, ways, strict=True)
        yield sum(h for h, p, w in on_road if p < len(w))
        places = _moved(ways, places, paces)
