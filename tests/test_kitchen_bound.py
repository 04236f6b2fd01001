"""The bound on a kitchen's points: never beaten by the best of all joint plans, and near it in small ones."""

from __future__ import annotations

import itertools
import random
import time
from functools import cache
from typing import Any

import pytest

from moot.environments.load import draw, load_scenario
from moot.environments.worlds.kitchen import STEPS, Kitchen, Step
from moot.environments.worlds.kitchen_bound import most_points
from moot.environments.worlds.kitchen_scenario import WAYS, KitchenGenerator, KitchenScenario

HATCH = ["XPXOX", "S1X2O", "XDXOX"]
"""One cook has the supplies, the other the pot; all goes over one counter."""
ROW = ["XOPOX", "O1 2S", "XODOX"]
"""No counters, and nobody can pass the other."""
SMALL: dict[str, tuple[list[str], dict[str, Any], int]] = {
    "hatch, one onion": (HATCH, {"menu": [["onion"]], "minutes": {"onion": 1}}, 20),
    "hatch, two onions": (HATCH, {"menu": [["onion"] * 2], "minutes": {"onion": 1}}, 22),
    "hatch, three onions": (HATCH, {"menu": [["onion"] * 3], "minutes": {"onion": 2}}, 26),
    "row, one onion": (ROW, {"menu": [["onion"]], "minutes": {"onion": 2}}, 15),
}


def kitchen(grid: list[str], horizon: int, **fields: Any) -> KitchenScenario:
    fields = {"name": "k", "protocol": {"name": "joint_action", "talk": 0, "deadline": None},
              "roles": {"a": {}, "b": {}}, **fields}  # fmt: skip
    return KitchenScenario.model_validate({**fields, "grid": grid, "horizon": horizon})


State = tuple[Any, ...]


def packed(k: Any) -> State:
    """All that matters: whoever stands before equal supplies may as well look at the first."""
    cooks: list[Any] = []
    for c in k._cooks:
        looks = {w: k._grid[c.at[1] + dy][c.at[0] + dx] for w, (dx, dy) in WAYS.items()}
        same = looks[c.facing] in "OTDS"
        facing = min(w for w in WAYS if looks[w] == looks[c.facing]) if same else c.facing
        cooks.append((c.at, facing, c.holds))
    pots = tuple((tuple(p.holds), p.left) for p in k._pots.values())
    return tuple(cooks), pots, tuple(sorted(k._counters.items()))


def unpack(k: Any, state: State) -> None:
    cooks, pots, counters = state
    for cook, known in zip(k._cooks, cooks, strict=True):
        cook.at, cook.facing, cook.holds = known
    for pot, (holds, left) in zip(k._pots.values(), pots, strict=True):
        pot.holds, pot.left = list(holds), left
    k._counters = dict(counters)


def best(scenario: KitchenScenario) -> list[float]:
    """Most points after 0, 1, ... steps, over all joint plans: every state with the most points in it."""
    k: Any = Kitchen(scenario)
    both: list[tuple[Step, Step]] = list(itertools.product(STEPS, STEPS))

    @cache
    def after(state: State) -> dict[State, float]:
        found: dict[State, float] = {}
        for steps in both:
            unpack(k, state)
            k._points = 0.0
            k._step(steps)
            now = packed(k)
            found[now] = max(found.get(now, 0.0), k._points)
        return found

    layer, most = {packed(k): 0.0}, [0.0]
    for _ in range(scenario.horizon):
        later: dict[State, float] = {}
        for state, points in layer.items():
            for now, more in after(state).items():
                if later.get(now, -1.0) < points + more:
                    later[now] = points + more
        layer = later
        most.append(max(layer.values()))
    return most


@pytest.mark.parametrize("name", SMALL)
def test_no_joint_plan_beats_the_bound(name: str) -> None:
    grid, fields, horizon = SMALL[name]
    most = best(kitchen(grid, horizon, **fields))
    bounds = [most_points(kitchen(grid, h, **fields)) for h in range(1, horizon + 1)]
    assert all(b >= m for b, m in zip(bounds, most[1:], strict=True)), (bounds, most)
    assert bounds == sorted(bounds)
    assert most[-1] > 0
    assert bounds[-1] <= 3 * most[-1]


def test_a_kitchen_that_closes_too_soon_or_keeps_its_cooks_apart_pays_nothing() -> None:
    assert most_points(kitchen(HATCH, 20)) == 0
    assert most_points(kitchen(HATCH, 200)) > 0
    apart = ["XPXXOX", "S1XX2O", "XDXXOX"]
    assert most_points(kitchen(apart, 500)) == 0


def test_soups_of_different_worth_are_chosen_among() -> None:
    worth = {"points": {"onion": 5, "tomato": 2}, "minutes": {"onion": 10, "tomato": 1}}
    grid = ["XOPTX", "O1 2S", "XODTX"]
    alone = [most_points(kitchen(grid, 100, menu=[[i] * 2], **worth)) for i in ("onion", "tomato")]
    both = most_points(kitchen(grid, 100, menu=[["onion"] * 2, ["tomato"] * 2], **worth))
    assert both >= max(alone) > 0


def test_more_time_never_lowers_it_and_it_takes_no_time() -> None:
    drawn = KitchenGenerator(width=9, height=7, pots=2, tomatoes=True).draw(random.Random(3))
    bounds = [most_points(drawn.model_copy(update={"horizon": h})) for h in range(1, 200, 7)]
    assert bounds == sorted(bounds)
    before = time.process_time()
    most_points(drawn.model_copy(update={"horizon": 400}))
    assert time.process_time() - before < 0.1
    shipped = draw(load_scenario("kitchen"), 0, 0)
    assert isinstance(shipped, KitchenScenario)
    assert Kitchen.solve(shipped).max_joint == 2 * most_points(shipped)
    assert most_points(shipped) == 80
