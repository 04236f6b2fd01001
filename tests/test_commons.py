"""The commons: dynamics, the social optimum against brute force, and who keeps the stock alive."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moot.agents.pools import ScriptedPool
from moot.agents.scripted.commons import shares
from moot.agents.scripted.players import Scripted
from moot.environments import Environment, Episode, play
from moot.environments.check import check_environment
from moot.environments.load import draw, load_scenario
from moot.environments.worlds.commons import Commons, gini
from moot.environments.worlds.commons_scenario import (
    CommonsGenerator,
    CommonsScenario,
    Stock,
    optimum,
)
from moot.protocols import Act, Ended, Reply

GRID: dict[str, Any] = {
    "capacity": (30, 40), "growth": (0, 0), "inflow": (20, 25), "collapse": 0, "greed": 2,
    "demand": (0.4, 1.0), "shock": 0.25, "shortage": "blackout",
}  # fmt: skip


def lake(agents: int = 2, talk: int = 0, **fields: Any) -> CommonsScenario:
    protocol = {"name": "joint_action", "talk": talk, "deadline": None}
    roles = {name: {} for name in ("ann", "bob", "cleo", "dan")[:agents]}
    return CommonsScenario.model_validate({"protocol": protocol, "roles": roles, **fields})


def meet(scenario: CommonsScenario, *names: str) -> Episode:
    names = names * len(scenario.roles) if len(names) == 1 else names
    pools = {a: ScriptedPool(Scripted(n)) for a, n in zip(scenario.roles, names, strict=True)}
    table = Environment(scenario, seed=1, sees_all=frozenset(scenario.roles))
    (played,) = play([table], pools)
    assert played.ended is Ended.DONE, played.why
    assert all(turn.error is None for turn in played.turns)
    return played


def test_a_season_by_hand() -> None:
    table = Environment(lake(rounds=3, capacity=100, growth=0.5, most=40, collapse=10))
    assert table.step(Reply(act=Act.REQUEST, content={"take": 30})).told is None
    assert [m.sender for m in table.observe("bob").heard] == [], "nobody sees what ann took"
    (told,) = table.step(Reply(act=Act.REQUEST, content={"take": 10})).told or ()
    # 60 are left; 0.5 x 60 x 0.4 = 12 grow back.
    assert told.text == "Round 1: taken ann 30, bob 10. 60 left, 72 now; 2 rounds to go."
    for take in (40, 39):
        told_ = table.step(Reply(act=Act.REQUEST, content={"take": take})).told
    # Together 79 of 72: 72 x 40 / 79 = 36.4 and 72 x 39 / 79 = 35.5; one is left, which is too few.
    (told,) = told_ or ()
    assert told.text == (
        "Round 2: taken ann 36, bob 35. You asked for more than there was. 1 left, it is gone, 0 now;"
        " 0 rounds to go."
    )
    outcome = table.episode().outcome
    assert table.ended is Ended.DONE
    assert not outcome.completed
    assert outcome.utilities == {"ann": 66, "bob": 45}
    assert outcome.results == {"survival": 2, "yield": 111, "gini": 21 / (2 * 111)}


def test_a_blackout_gives_nobody_anything_and_needs_bound_the_score() -> None:
    scenario = lake(
        rounds=2, capacity=12, growth=0, inflow=12, shortage="blackout",
        roles={"ann": {"demands": [5, 8]}, "bob": {"demands": [3, 8]}},
    )  # fmt: skip
    table = Environment(scenario)
    for take in (6, 3, 8, 8):
        assert table.step(Reply(act=Act.REQUEST, content={"take": take})).message
    episode = table.episode()
    assert episode.outcome.completed
    assert episode.outcome.utilities == {"ann": 5, "bob": 3}, "one unit was of no use to ann"
    assert episode.outcome.deal == {"rounds": 2, "gone": False, "taken": [[6, 3], [0, 0]]}
    assert Commons.solve(scenario).max_joint == 8 + 12
    assert "bob" not in str(table.observe("ann").private)


def test_the_last_round_may_take_all() -> None:
    table = Environment(lake(rounds=1, capacity=20, collapse=5, most=10))
    for _ in range(2):
        table.step(Reply(act=Act.REQUEST, content={"take": 10}))
    outcome = table.episode().outcome
    assert outcome.completed
    assert sum(outcome.utilities.values()) == Commons.solve(table.scenario).max_joint == 20


@settings(max_examples=60, deadline=None)
@given(
    capacity=st.integers(1, 9),
    growth=st.floats(0, 3),
    inflow=st.integers(0, 4),
    collapse=st.integers(0, 4),
    uses=st.lists(st.integers(0, 9), min_size=1, max_size=4),
)
def test_the_optimum_against_all_plans(
    capacity: int, growth: float, inflow: int, collapse: int, uses: list[int]
) -> None:
    stock = Stock(capacity, growth, inflow, collapse, False)

    def reached(plan: tuple[int, ...]) -> int:
        """What a plan yields until the resource is gone."""
        now: int | None = capacity
        got = 0
        for take in plan:
            if now is None:
                break
            got += min(take, now)
            now = stock.grown(now - min(take, now))
        return got

    plans = itertools.product(*(range(min(u, capacity) + 1) for u in uses))
    best = optimum(stock, capacity, uses)
    assert sum(best) == reached(tuple(best)) == max(map(reached, plans))
    assert all(take <= use for take, use in zip(best, uses, strict=True))


def test_the_myopic_reference_is_what_greedy_players_play() -> None:
    for number in range(40):
        kind = CommonsGenerator(**(GRID if number % 2 else {}))
        scenario = kind.draw(random.Random(number))
        played = meet(scenario, "greedy").outcome
        if scenario.shortage == "ration":  # who plays knows the stock and asks for no more
            reference = Commons.solve(scenario).reference["myopic"]
            assert played.results["survival"] == reference["rounds"]
            assert played.results["yield"] == pytest.approx(
                reference["sum"], abs=len(scenario.roles)
            )


@pytest.mark.parametrize(
    ("fields", "harm"),
    [({}, 0.9), (GRID, 0.9), ({**GRID, "shortage": "ration", "growth": (0.1, 0.5)}, 1.0)],
    ids=["fishery", "grid", "rationed grid"],
)
def test_the_oracle_is_optimal_and_sensible_beats_greedy(
    fields: dict[str, Any], harm: float
) -> None:
    sums = dict.fromkeys(("greedy", "sensible", "best"), 0.0)
    for number in range(25):
        scenario = CommonsGenerator(**fields).draw(random.Random(number))
        best = Commons.solve(scenario).max_joint
        for name in ("greedy", "sensible", "oracle"):
            total = sum(meet(scenario, name).outcome.utilities.values())
            assert total <= best
            if name == "oracle":
                assert total == best
            else:
                sums[name] += total
        sums["best"] += best
    assert sums["greedy"] < harm * sums["sensible"]
    assert sums["sensible"] > 0.9 * sums["best"]


def test_one_greedy_agent_ruins_the_lake() -> None:
    lakeside = load_scenario("fishery")
    assert isinstance(lakeside, CommonsScenario)
    ours, ruined = meet(lakeside, "sensible"), meet(lakeside, "greedy", *["sensible"] * 3)
    assert ours.outcome.results == {"survival": 10, "yield": 208, "gini": 0}
    assert sum(ours.outcome.utilities.values()) == Commons.solve(lakeside).max_joint
    assert Commons.solve(lakeside).reference["myopic"] == {
        "utilities": [27] * 4, "sum": 108, "rounds": 2
    }  # fmt: skip
    greedy, *rest = ruined.outcome.utilities.values()
    assert greedy == 60 > 52 > 18 >= max(rest), "it has more than in peace, the others less"
    assert ruined.outcome.results["yield"] == 113
    assert ruined.outcome.results["survival"] == 3
    assert not ruined.outcome.completed


def test_gini() -> None:
    assert gini([3, 3, 3]) == 0
    assert gini([0, 0, 6]) == pytest.approx(2 / 3)
    assert gini([1, 3]) == pytest.approx(0.25)
    assert gini([0, 0]) == 0


def test_shares_are_even_and_whole() -> None:
    assert shares(7, [9, 9, 9], [0, 0, 0]) == [3, 2, 2]
    assert shares(7, [9, 9, 9], [3, 2, 2]) == [2, 3, 2]
    assert shares(7, [1, 9, 9], [0, 0, 0]) == [1, 3, 3]
    assert shares(7, [1, 2, 2], [0, 0, 0]) == [1, 2, 2]


def test_a_power_grid_keeps_its_promises() -> None:
    source = {"world": "commons", "generate": {**GRID, "rounds": (2, 3), "agents": (2, 3)}}
    assert check_environment(source, episodes=8).varied > 100
    assert check_environment(source | {"protocol": {"name": "joint_action", "talk": 0}}, episodes=4)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"start": 101}, "at most the capacity 100"),
        ({"roles": {"ann": {}}}, "got 1 seats"),
        ({"roles": {"ann": {"demands": [1]}, "bob": {}}}, "one for each of 10 rounds"),
        ({"protocol": {"name": "joint_action", "deadline": 39}}, "10 rounds of 2 agents take 40"),
    ],
    ids=str,
)
def test_what_cannot_be_played_is_said(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        lake(**fields)


def test_the_generator_keeps_within_its_bounds() -> None:
    with pytest.raises(ValueError, match="agents: got 1 to 4"):
        CommonsGenerator(agents=(1, 4))
    grid = load_scenario("power_grid")
    for episode in range(30):
        drawn = draw(grid, 0, episode)
        assert isinstance(drawn, CommonsScenario)
        assert 3 <= len(drawn.roles) <= 4
        for role in drawn.roles.values():
            assert role.demands is not None
            assert max(role.demands) <= 2 * 80 / 3 + 1
