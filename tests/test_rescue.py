"""The rescue: steps, bumps and pits; what either side sees; how far players are from the shortest way."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import moot
from moot.agents.scripted.players import Scripted
from moot.environments import Environment, Scenario
from moot.environments.load import load_scenario
from moot.environments.worlds.rescue import RescueGenerator, reached, shortest
from moot.protocols import Ended, MootError, Reply, check_protocol
from moot.protocols.guidance import guidance

FIELDS: dict[str, Any] = {
    "name": "field",
    "world": "rescue",
    "protocol": {"name": "guidance", "deadline": 30},
    "map": [".S#G", "....", "#.o."],
    "charge": 9,
    "roles": {"drone": {}, "rover": {}},
}


def opened(**change: Any) -> Environment:
    scenario = load_scenario({**FIELDS, **change})
    assert isinstance(scenario, Scenario)
    return Environment(scenario)


def drive(table: Environment, *actions: list[str]) -> Environment:
    for steps in actions:
        table.step(Reply(act="inform", text="go on"))
        table.step(Reply(act="request", content={"steps": steps}))
    return table


def heard(table: Environment, agent: str) -> list[str]:
    return [m.text for m in table.observe(agent).heard if m.sender == "world"]


def test_the_shortest_way_is_rescued_with_the_best_score() -> None:
    table = drive(opened(), ["south", "east", "east"], ["north"])
    assert table.ended is Ended.DONE
    outcome = table.episode().outcome
    solution = table.world.solve(table.scenario)
    assert solution.best == {"steps": 4}
    assert outcome.utilities == {"drone": 2 - 4 / 9, "rover": 2 - 4 / 9}
    assert sum(outcome.utilities.values()) == pytest.approx(solution.max_joint)
    assert outcome.results == {"bumps": 0, "falls": 0, "detour": 0}


def test_a_wall_stops_an_action_and_costs_charge() -> None:
    table = drive(opened(), ["east", "south", "south"])
    assert heard(table, "rover") == ["You moved 0 steps and hit a wall. Charge 8."]
    assert heard(table, "drone") == [
        "rover moved 0 steps and hit a wall; it stands in column 2, row 1. Charge 8."
    ]
    drive(table, ["south", "east", "east"], ["north"])
    assert table.episode().outcome.results == {"bumps": 1, "falls": 0, "detour": 1}


@pytest.mark.parametrize(
    ("charge", "actions", "result"),
    [
        (9, [["south", "south", "east"]], "falls"),
        (4, [["west", "west"], ["west", "west"], ["west"]], "bumps"),
    ],
)
def test_a_pit_and_an_empty_battery_end_it(charge: int, actions: Any, result: str) -> None:
    table = drive(opened(charge=charge), *actions)
    assert table.ended is Ended.FAILED
    outcome = table.episode().outcome
    assert not outcome.completed
    assert set(outcome.utilities.values()) == {0.0}
    assert outcome.results[result] > 0


def test_the_rover_sees_no_map_and_the_drone_does() -> None:
    table = opened()
    assert "south" in table.observe("rover").card
    assert ".S#G" not in table.observe("rover").dump()
    assert ".S#G\n....\n#.o." in table.observe("drone").card


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"map": ["S.", "..."]}, "rows want one length"),
        ({"map": ["S.", ".."]}, "want one goal G, got 0"),
        ({"map": ["S#G", "###"]}, "no way leads"),
        ({"map": ["SxG", "..."]}, "'x' is none of"),
        ({"charge": 3}, "the shortest way takes 4 steps"),
        (
            {"roles": {"drone": {"role": "guide"}, "rover": {"role": "guide"}}},
            "one guide and one walker",
        ),
    ],
)
def test_a_map_that_cannot_be_driven_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(MootError, match=why):
        opened(**change)


@given(seed=st.integers(0, 10**6), width=st.integers(3, 7), height=st.integers(3, 7))
@settings(max_examples=40, deadline=None)
def test_the_shortest_way_is_that_of_relaxation(seed: int, width: int, height: int) -> None:
    """Bellman and Ford's relaxation to a fixed point, as another way to the same number."""
    drawn = RescueGenerator(width=width, height=height).draw(random.Random(seed))
    grid = tuple(drawn.map)
    far = {
        (x, y): float("inf") for y, row in enumerate(grid) for x, m in enumerate(row) if m != "#"
    }
    ends = {grid[y][x]: (x, y) for x, y in far}
    far[ends["S"]] = 0
    for _ in far:
        for at in list(far):
            for step in ("north", "south", "east", "west"):
                there = reached(grid, at, step)
                if there is not None and grid[there[1]][there[0]] != "o":
                    far[there] = min(far[there], far[at] + 1)
    assert shortest(grid) == far[ends["G"]]


def test_players_stand_in_order_and_a_picture_shows_the_trail() -> None:
    means: dict[str, float] = {}
    for name, rover in (("wanderer", "wanderer"), ("sensible", "sensible"), ("oracle", "oracle")):
        table_of: list[float] = []
        source = load_scenario("rescue")
        for number in range(30):
            table = Environment(
                moot.draw(source, 1, number),
                episode=number,
                sees_all=frozenset({"rover"} if name == "oracle" else ()),
            )
            players = {"drone": Scripted("sensible"), "rover": Scripted(rover)}
            while table.speaker is not None:
                table.step(players[table.speaker].reply(table.observe()))
            episode = table.episode()
            best = table.world.solve(episode.scenario).max_joint
            table_of.append(sum(episode.outcome.utilities.values()) / best)
            if number == 0:
                assert table.world.picture().startswith("<svg")  # pyright: ignore
        means[name] = sum(table_of) / len(table_of)
    assert means["oracle"] == pytest.approx(1)
    assert means["sensible"] == pytest.approx(1)
    assert means["wanderer"] < 0.4


def test_guidance_keeps_its_promises() -> None:
    for deadline in (1, 7, 60):
        assert check_protocol(guidance(deadline), paths=100).messages > 0
