"""Players of the rescue: a guide that counts out the shortest way, a rover that does as it is told.

The oracle needs no talk: as the rover it is shown the map and drives. Words repeat the typed steps, so that a
model which reads only words can learn from them.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from itertools import groupby

from ...protocols import WORLD, Act, Observation, Reply
from .bargaining import field
from .floor import AROUND, Cell, back


def sensible(observation: Observation, rng: random.Random) -> Reply:
    """Guides by the shortest way; as the rover, drives as it was told and asks where it was not."""
    if observation.may(Act.INFORM):
        grid = observation.private["map"]
        steps = way(grid, standing(observation, grid))[: observation.public["most_steps"]]
        return Reply.said(Act.INFORM, {"steps": steps}, None, f"Go {in_words(steps)}.")
    told = last_told(observation)
    if told is None:
        return Reply.said(Act.QUERY_REF, None, None, "Which way?")
    return Reply.said(Act.REQUEST, {"steps": told}, None, f"Going {in_words(told)}.")


def oracle(observation: Observation, rng: random.Random) -> Reply:
    """Rover with the map in its head: the shortest way, whatever it is told."""
    if observation.may(Act.INFORM) or not observation.secrets:
        return sensible(observation, rng)
    grid = next(known["map"] for known in observation.secrets.values() if "map" in known)
    at = find(grid, "S")
    for message in observation.heard:
        if message.sender == observation.agent and message.act is Act.REQUEST:
            for step in field(message.content, "steps"):
                at = moved(grid, at, step) or at
    steps = way(grid, at)[: observation.public["most_steps"]]
    return Reply.said(Act.REQUEST, {"steps": steps}, None, "")


def wanderer(observation: Observation, rng: random.Random) -> Reply:
    """Rover deaf to its guide: drives at random, one step at a time; as the guide, says nothing."""
    if observation.may(Act.INFORM):
        return Reply.said(Act.INFORM, None, None, "")
    return Reply.said(Act.REQUEST, {"steps": [rng.choice(list(AROUND))]}, None, "")


PLAYERS = {"sensible": sensible, "oracle": oracle, "wanderer": wanderer}


def last_told(observation: Observation) -> list[str] | None:
    """The steps of the guide's last message; None where it had none."""
    said = [m for m in observation.heard if m.sender not in (observation.agent, WORLD)]
    if not said or said[-1].content is None:
        return None
    return list(field(said[-1].content, "steps"))


def standing(observation: Observation, grid: Sequence[str]) -> Cell:
    """Where the rover stands, as the world told last."""
    for message in reversed(observation.heard):
        if message.sender == WORLD:
            x, y = field(message.content, "at")
            return x, y
    return find(grid, "S")


def find(grid: Sequence[str], mark: str) -> Cell:
    return next((row.index(mark), y) for y, row in enumerate(grid) if mark in row)


def moved(grid: Sequence[str], at: Cell, step: str) -> Cell | None:
    """Where a step leads; None against a wall or the edge."""
    x, y = at[0] + AROUND[step][0], at[1] + AROUND[step][1]
    inside = 0 <= y < len(grid) and 0 <= x < len(grid[0])
    return (x, y) if inside and grid[y][x] != "#" else None


def way(grid: Sequence[str], at: Cell) -> list[str]:
    """Steps of a shortest way to G around the pits; any step where there is none."""
    came: dict[Cell, tuple[Cell, str] | None] = {at: None}
    waiting = deque([at])
    while waiting:
        here = waiting.popleft()
        if grid[here[1]][here[0]] == "G":
            return back(came, here)
        for step in AROUND:
            there = moved(grid, here, step)
            if there is not None and there not in came and grid[there[1]][there[0]] != "o":
                came[there] = here, step
                waiting.append(there)
    return ["north"]


def in_words(steps: Sequence[str]) -> str:
    """`north 2, east 1`."""
    return ", ".join(f"{step} {len(list(same))}" for step, same in groupby(steps))
