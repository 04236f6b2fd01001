"""The junction: geometry, crashes, beacons and sight, the exact solver, the drivers."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import pytest
from pydantic import ValidationError

from moot.agents.scripted.crossing import plan
from moot.agents.scripted.players import Scripted
from moot.environments import Environment, Episode, Scenario
from moot.environments.load import draw, load_scenario
from moot.environments.worlds.crossing import Crossing
from moot.environments.worlds.crossing_scenario import (
    ARMS,
    CRASHED,
    PACES,
    Car,
    CrossingGenerator,
    CrossingScenario,
    Pace,
    Path,
    advance,
    delays,
    quickest,
)
from moot.protocols import Act, Ended, MootError, Reply

STRAIGHT = Car(arm="south", left=1).path()


def scenario(*cars: tuple[str, str, int], talk: int = 0, **fields: Any) -> CrossingScenario:
    names = ("red", "blue", "green", "yellow")[: len(cars)]
    loaded = load_scenario(
        {
            "world": "crossing",
            "protocol": {"name": "joint_action", "talk": talk, "deadline": None},
            "cars": {
                name: {"arm": arm, "turn": turn, "left": left}
                for name, (arm, turn, left) in zip(names, cars, strict=True)
            },
            "roles": {name: {"hurry": 0.05} for name in names},
            **fields,
        }
    )
    assert isinstance(loaded, CrossingScenario)
    return loaded


def drive(table: Environment, *paces: str) -> None:
    for pace in paces:
        turn = table.step(Reply(act=Act.REQUEST, content={"pace": pace}))
        assert turn.error is None, turn.error


def looked(table: Environment, agent: str) -> dict[str, Any]:
    told = [m for m in table.observe(agent).heard if m.sender == "world" and m.content]
    data = told[-1].content
    assert data is not None
    return data.model_dump()


# ---- geometry and crashes ------------------------------------------------------------------------


def test_ways_through_the_junction() -> None:
    assert Car(arm="south", turn="right", left=2).path() == ((1, 3), (1, 2), (1, 1))
    assert Car(arm="south", turn="left", left=1).path() == ((1, 2), (1, 1), (1, 0), (0, 0))
    assert Car(arm="north", turn="straight", left=1).path() == ((0, -1), (0, 0), (0, 1))
    assert Car(arm="west", turn="straight", left=2).path() == ((-2, 1), (-1, 1), (0, 1), (1, 1))
    assert Car(arm="east", turn="left", left=1).path() == ((2, 0), (1, 0), (0, 0), (0, 1))
    lanes = [Car(arm=arm, left=left).path()[0] for arm in ARMS for left in (1, 2, 3, 4)]
    assert len(set(lanes)) == 16, "no two arms share a lane"


@pytest.mark.parametrize(
    ("paces", "crash"),
    [
        (("fast", "fast"), True),  # both are in (1, 1) after the first half
        (("fast", "slow"), False),  # one has left it when the other comes
        (("slow", "slow"), True),
        (("slow", "wait"), False),
        (("wait", "fast"), False),
    ],
)
def test_who_meets_whom(paces: tuple[Pace, Pace], crash: bool) -> None:
    """From the south and from the west by way of (0, 1), one cell further."""
    east = Car(arm="west", left=1).path()[1:]  # it stands in (0, 1)
    places, hits = advance((STRAIGHT, east), (0, 0), paces)
    assert bool(hits) is crash
    assert (places == [CRASHED, CRASHED]) is crash


def test_cars_do_not_change_places() -> None:
    one: Path = ((0, 0), (1, 0))
    two: Path = ((1, 0), (0, 0))
    assert advance((one, two), (0, 0), ("slow", "slow"))[1] == [(0, 1)]
    assert advance((one, two), (0, 0), ("wait", "slow"))[1] == [(0, 1)]
    assert advance((one, two), (0, 0), ("wait", "wait"))[1] == []


def test_behind_another_one_follows_at_its_pace() -> None:
    front, back = Car(arm="south", left=1).path(), Car(arm="south", left=2).path()
    assert not advance((front, back), (0, 0), ("fast", "fast"))[1]
    assert not advance((front, back), (0, 0), ("slow", "slow"))[1]
    assert advance((front, back), (0, 0), ("slow", "fast"))[1], "it drives up in the first half"


# ---- the exact solver ----------------------------------------------------------------------------


def by_force(paths: Sequence[Path], horizon: int) -> set[tuple[int, ...]]:
    """Delays of every crash-free way to pass within the horizon, step by step, undominated."""
    found: set[tuple[int, ...]] = set()
    ends = [len(p) for p in paths]
    layer = {((0,) * len(paths), (0,) * len(paths))}
    for _ in range(horizon):
        following = set[tuple[tuple[int, ...], tuple[int, ...]]]()
        for places, times in layer:
            for paces in itertools.product(PACES, repeat=len(paths)):
                now, hits = advance(paths, places, paces)
                if hits:
                    continue
                spent = tuple(t + (p < e) for t, p, e in zip(times, places, ends, strict=True))
                if all(n >= e for n, e in zip(now, ends, strict=True)):
                    found.add(tuple(t - quickest(p) for t, p in zip(spent, paths, strict=True)))
                else:
                    following.add((tuple(now), spent))
        layer = following
    return {
        f for f in found
        if not any(o != f and all(a <= b for a, b in zip(o, f, strict=True)) for o in found)
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_delays_are_those_of_brute_force(seed: int) -> None:
    rng = random.Random(seed)
    drawn = CrossingGenerator(cars=(2, 2 + seed % 2), left=(1, 2)).draw(rng)
    assert delays(drawn.paths()) == by_force(drawn.paths(), 4 if len(drawn.cars) == 3 else 7)


@pytest.mark.parametrize("seed", range(12))
def test_the_oracles_plan_reaches_the_solution(seed: int) -> None:
    """Two searches by different means: A* for one sum, recursion for all vectors."""
    drawn = CrossingGenerator().draw(random.Random(seed))
    hurries = [role.hurry for role in drawn.roles.values()]
    steps = plan(drawn.paths(), tuple(hurries))
    places: list[int] = [0] * len(hurries)
    delay = [-quickest(path) for path in drawn.paths()]
    for paces in steps:
        delay = [d + (p < len(w)) for d, p, w in zip(delay, places, drawn.paths(), strict=True)]
        places, hits = advance(drawn.paths(), places, paces)  # type: ignore[arg-type]
        assert not hits
    got = sum(1 - h * d for h, d in zip(hurries, delay, strict=True))
    assert got == pytest.approx(Crossing.solve(drawn).max_joint)


def test_somebody_always_has_to_give_way() -> None:
    for seed in range(40):
        drawn = CrossingGenerator().draw(random.Random(seed))
        solution = Crossing.solve(drawn)
        assert solution.max_joint < len(drawn.cars)
        assert solution.max_nash > 0
        assert all(map(solution.efficient, solution.frontier))
    with pytest.raises(MootError, match="nobody had to give way"):
        CrossingGenerator(turns=("right",), left=(1, 1)).draw(random.Random(0))


# ---- the game ------------------------------------------------------------------------------------


def test_a_car_passes_and_is_paid() -> None:
    table = Environment(scenario(("south", "straight", 1), ("west", "straight", 1)))
    drive(table, "fast", "wait", "fast", "wait")
    assert looked(table, "red")["at"] is None
    fields = table.observe("red").schema()["anyOf"][0]["properties"]["content"]["properties"]
    assert fields["pace"] == {"const": "wait"}
    drive(table, "wait", "fast", "wait", "fast")
    episode = table.episode()
    assert episode.ended is Ended.DONE
    assert episode.outcome.completed
    assert episode.outcome.utilities == {"red": 1.0, "blue": 0.9}
    assert episode.outcome.results == {
        "collisions": 0, "through": 1, "throughput": 0.5, "delay": 1
    }  # fmt: skip


def test_a_crash_costs_both_and_ends_it() -> None:
    table = Environment(scenario(("south", "straight", 1), ("west", "straight", 1), crash=3))
    drive(table, "slow", "fast")
    assert "Crashed: red, blue." in table.observe("red").heard[-1].text
    episode = table.episode()
    assert episode.ended is Ended.DONE
    assert episode.outcome.utilities == {"red": -3.0, "blue": -3.0}
    assert episode.outcome.results["collisions"] == 1
    assert not episode.outcome.completed


def test_who_never_goes_scores_nothing() -> None:
    table = Environment(scenario(("south", "straight", 1), ("west", "straight", 1), steps=3))
    drive(table, *["wait"] * 6)
    assert table.ended is Ended.LIMIT
    assert table.episode().outcome.deal is None


def test_drivers_see_what_is_near_and_beacons_tell_the_way() -> None:
    table = Environment(
        scenario(
            ("south", "straight", 3), ("north", "left", 1), ("west", "right", 1), talk=1, sight=3
        )
    )
    card = table.observe("red").card
    assert "green at (-1,1)" in card
    assert "blue at" not in card
    assert "hospital" not in card
    table.step(Reply(act=Act.INFORM, text="I come from the south."))
    assert all(m.sender != "world" for m in table.observe("blue").heard), "words send no beacon"
    table.step(Reply(act=Act.INFORM, content={"pace": "slow"}))
    assert looked(table, "red") == {
        "car": "blue", "way": [[0, -1], [0, 0], [0, 1], [1, 1]]
    }  # fmt: skip
    assert "goes (0,0) (0,1) (1,1)" in table.observe("green").heard[-1].text
    assert all(m.sender != "world" for m in table.observe("blue").heard)


def test_beacons_and_sight_are_no_secret_of_others() -> None:
    one = scenario(("south", "straight", 1), ("west", "straight", 1))
    data = one.model_dump()
    data["roles"]["blue"]["hurry"] = 0.08
    two = CrossingScenario.model_validate(data)
    assert Environment(one).observe("red").dump() == Environment(two).observe("red").dump()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": 1}, "steps: the best play takes 2, got 1"),
        ({"roles": {"red": {"hurry": 0.2}, "blue": {}}}, "roles.red.hurry: 0.2 for each of 12 steps"),
        ({"roles": {"red": {}, "ann": {}}}, "cars: got .* seats are"),
        ({"cars": {"red": {"arm": "south", "left": 1}, "blue": {"arm": "south", "left": 1}}},
         "two start in the same place"),
        ({"protocol": "alternating_offers"}, "want joint_action"),
        ({"protocol": {"name": "joint_action", "deadline": 10}}, "take 48"),
    ],
)  # fmt: skip
def test_scenarios_that_cannot_be_played(change: dict[str, Any], said: str) -> None:
    good = scenario(("south", "straight", 1), ("west", "straight", 1)).model_dump()
    with pytest.raises((ValidationError, MootError), match=said):
        CrossingScenario.model_validate({**good, **change})


def test_the_picture_shows_the_cars_that_drive() -> None:
    table = Environment(scenario(("south", "straight", 1), ("west", "straight", 1)))
    world = table.world
    assert isinstance(world, Crossing)
    before = ElementTree.fromstring(world.picture())
    words = ["".join(t.itertext()) for t in before.iter("{http://www.w3.org/2000/svg}text")]
    assert words == ["red", "blue", "step 0: 0 through, 0 crashes"]
    drive(table, "fast", "wait", "fast", "wait")
    words = ["".join(t.itertext()) for t in ElementTree.fromstring(world.picture()).iter()][-2:]
    assert words == ["blue", "step 2: 1 through, 0 crashes"]


# ---- drivers -------------------------------------------------------------------------------------


def play(source: Any, who: str, number: int) -> Episode:
    drawn = draw(source, 1, number)
    assert isinstance(drawn, Scenario)
    sees_all = frozenset(drawn.roles) if who == "oracle" else frozenset[str]()
    table = Environment(drawn, seed=1, episode=number, sees_all=sees_all)
    driver = Scripted(who)
    while table.ended is None:
        turn = table.step(driver.reply(table.observe()))
        assert turn.error is None, turn.error
    return table.episode()


@pytest.mark.parametrize("cars", [2, 3, 4])
def test_drivers_of_good_sense_never_crash_and_all_pass(cars: int) -> None:
    generator = {"cars": [cars, cars], "left": [1, 4], "steps": 12}
    source = load_scenario({"world": "crossing", "name": "c", "generate": generator})
    for number in range(12 if cars < 4 else 4):
        assert play(source, "sensible", number).outcome.completed


def test_oracles_reach_the_best_sum() -> None:
    source = load_scenario("crossing")
    for number in range(12):
        episode = play(source, "oracle", number)
        best = Crossing.solve(episode.scenario).max_joint
        assert sum(episode.outcome.utilities.values()) == pytest.approx(best)


def test_without_talk_there_are_no_beacons_and_good_sense_is_not_enough() -> None:
    """The channel matters: the same drivers, silenced, are worse off."""
    generate = {"cars": [3, 3], "sight": 1, "talk": 0}
    silent = load_scenario({"world": "crossing", "name": "c", "generate": generate})
    talking = load_scenario({"world": "crossing", "name": "c", "generate": {**generate, "talk": 1}})

    def joint(source: Any) -> float:
        return sum(sum(play(source, "sensible", n).outcome.utilities.values()) for n in range(12))

    assert joint(silent) < joint(talking) - 5


def test_bold_drivers_crash() -> None:
    source = load_scenario("crossing")
    crashed = [play(source, "bold", n).outcome.results["collisions"] for n in range(6)]
    assert min(crashed) >= 1
