"""Simultaneous moves: the protocol, matrix games and their equilibria, and Axelrod's round robin."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from moot.agents.pools import ScriptedPool
from moot.agents.scripted.players import Scripted
from moot.environments import Environment, Episode, ProtocolChoice, play
from moot.environments.check import check_environment
from moot.environments.load import load_scenario
from moot.environments.worlds.equilibria import equilibria, security
from moot.environments.worlds.matrix_game import MatrixGame
from moot.environments.worlds.matrix_scenario import GAMES, MatrixGenerator, MatrixScenario
from moot.protocols import Act, Ended, MootError, Reply, check_protocol, joint_action

RULES = ("tit_for_tat", "always_cooperate", "always_defect", "grim", "win_stay_lose_shift")


def game(talk: int = 0, **fields: Any) -> MatrixScenario:
    protocol = {"name": "joint_action", "talk": talk, "deadline": None}
    seats = {"protocol": protocol, "roles": {"ann": {}, "bob": {}}}
    return MatrixScenario.model_validate({**seats, **fields})


def meet(scenario: MatrixScenario, *names: str, number: int = 0) -> Episode:
    agents = dict(zip(scenario.roles, map(Scripted, names), strict=True))
    table = Environment(scenario, seed=1, episode=number, sees_all=frozenset(scenario.roles))
    (played,) = play([table], {seat: ScriptedPool(agent) for seat, agent in agents.items()})
    assert played.ended is Ended.DONE, played.why
    assert all(turn.error is None for turn in played.turns)
    return played


# ---- the protocol --------------------------------------------------------------------------------


@pytest.mark.parametrize("talk", [0, 1, 3])
def test_joint_action_keeps_its_promises(talk: int) -> None:
    notes = check_protocol(joint_action(talk, 13), paths=60)
    assert notes.messages == 60 * 13 + 15 * 20, "no move ends it, only the deadline or the world"
    assert notes.seen[""] >= {("request", True)}
    assert (("inform", True) in notes.seen[""]) == (talk > 0)


def test_the_default_deadline_serves() -> None:
    assert check_protocol(joint_action(), paths=30).messages == 30 * 60


def test_no_talk_is_written_as_zero() -> None:
    assert ProtocolChoice.model_validate({"name": "joint_action", "talk": 0}).build() == (
        joint_action(talk=0)
    )
    for bad in (-1, None, True, 1.5):
        choice = ProtocolChoice.model_validate({"name": "joint_action", "talk": bad})
        with pytest.raises(MootError, match="talk is a whole number >= 0"):
            choice.build()


# ---- the world -----------------------------------------------------------------------------------


def test_nobody_knows_the_others_choice_until_both_have_chosen() -> None:
    table = Environment(game(talk=1, game="stag_hunt", rounds=2))
    table.step(Reply(act=Act.INFORM, content={"action": "stag"}, text="Trust me."))
    table.step(Reply(act=Act.INFORM, text="Fine."))
    assert table.step(Reply(act=Act.REQUEST, content={"action": "hare"})).told is None
    assert [m.act for m in table.observe("bob").heard] == [Act.INFORM, Act.INFORM]
    assert [m.act for m in table.observe("ann").heard] == [Act.INFORM, Act.INFORM, Act.REQUEST]
    (told,) = table.step(Reply(act=Act.REQUEST, content={"action": "stag"})).told or ()
    assert told.text == "Round 1: ann hare, bob stag; points: ann 3, bob 0; 1 left."
    assert table.observe("ann").heard[-1] == table.observe("bob").heard[-1] == told


def test_points_are_means_and_unplayed_rounds_pay_the_least() -> None:
    table = Environment(game(payoffs={"a": {"x": [4, 6], "y": [-2, 1]}, "b": {"x": [0, 3], "y": [2, 2]}},
                             rounds=3))  # fmt: skip
    for one, two in (("a", "x"), ("b", "x")):
        for action in (one, two):
            assert table.step(Reply(act=Act.REQUEST, content={"action": action})).message
    for _ in range(3):
        table.step(Reply(raw="?"))
    outcome = table.episode().outcome
    assert outcome.utilities == {"ann": (4 + 0 - 2) / 3, "bob": (6 + 3 + 1) / 3}
    assert outcome.deal == {"rounds": 2, "outcomes": {"a/x": 1, "b/x": 1}}
    assert not outcome.completed
    assert outcome.results == {"best_joint": 0.5}


def test_broken_promises_are_counted() -> None:
    table = Environment(game(talk=1, game="chicken", rounds=1))
    for action in ("swerve", "straight"):
        table.step(Reply(act=Act.INFORM, content={"action": action}))
    for action in ("straight", "straight"):
        table.step(Reply(act=Act.REQUEST, content={"action": action}))
    episode = table.episode()
    assert episode.ended is Ended.DONE
    assert episode.outcome.results == {"best_joint": 0.0, "promises_kept": 0.5}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "neither"),
        ({"game": "chicken", "payoffs": {}}, "both"),
        ({"payoffs": {"a": {"x": [0, 0], "y": [0, 0]}, "b": {"x": [0, 0]}}}, "same actions"),
        ({"payoffs": {"a": {"x": [0, 0], "y": [0, 0]}}}, "1 actions, want 2 to 6"),
        ({"game": "chicken", "protocol": "alternating_offers"}, "want joint_action"),
        ({"game": "chicken", "rounds": 20, "protocol": "joint_action"}, "take 80; raise it"),
        ({"game": "chicken", "roles": {"ann": {}}}, "got 1 seats"),
    ],
    ids=str,
)
def test_what_cannot_be_played_is_said(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        game(**fields)


def test_random_tables_keep_their_promises() -> None:
    source = {
        "world": "matrix_game",
        "generate": {"games": ["random"], "points": [-3, 3], "talk": 0},
    }
    assert check_environment(source, episodes=15).messages > 60


def test_the_generator_says_what_it_cannot_draw() -> None:
    with pytest.raises(ValueError, match="rounds: got 0 to 3"):
        MatrixGenerator(rounds=(0, 3))
    kinds = {MatrixGenerator().draw(random.Random(n)).game for n in range(60)}
    assert kinds == set(GAMES)


# ---- exact references ----------------------------------------------------------------------------


def test_the_classic_equilibria() -> None:
    def found(name: str) -> Mapping[str, Any]:
        return MatrixGame.solve(game(game=name)).reference

    def mixes(name: str) -> list[tuple[Any, ...]]:
        return [
            (pytest.approx(e["row"]), pytest.approx(e["column"])) for e in found(name)["equilibria"]
        ]

    first, second = [1, 0], [0, 1]
    assert mixes("prisoners_dilemma") == [(second, second)]
    assert mixes("stag_hunt") == [(first, first), (second, second), ([3 / 4, 1 / 4],) * 2]
    assert mixes("chicken") == [(first, second), (second, first), ([1 / 2, 1 / 2],) * 2]
    theirs = ([3 / 5, 2 / 5], [2 / 5, 3 / 5])
    assert mixes("battle_of_the_sexes") == [(first, first), (second, second), theirs]
    assert mixes("coordination") == [(first, first), (second, second), ([1 / 2, 1 / 2],) * 2]
    assert found("prisoners_dilemma")["security"] == [1, 1]
    assert found("stag_hunt")["security"] == [3, 3]
    assert found("battle_of_the_sexes")["security"] == pytest.approx([6 / 5, 6 / 5])


payoffs = st.integers(2, 4).flatmap(
    lambda m: st.integers(2, 4).flatmap(
        lambda n: st.tuples(
            *[st.lists(st.lists(st.integers(-9, 9), min_size=n, max_size=n), min_size=m, max_size=m)] * 2
        )
    )
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(payoffs)
def test_equilibria_are_equilibria_and_all_pure_ones_are_there(cells: Any) -> None:
    one, two = np.array(cells[0], float), np.array(cells[1], float)
    found = equilibria(one, two)
    for e in found:
        p, q = np.array(e.row), np.array(e.column)
        assert p.sum() == pytest.approx(1)
        assert q.sum() == pytest.approx(1)
        assert p @ one @ q == pytest.approx((one @ q).max()) == pytest.approx(e.points[0])
        assert p @ two @ q == pytest.approx((p @ two).max()) == pytest.approx(e.points[1])
    pure = {
        (i, j)
        for i, j in np.ndindex(one.shape)
        if one[i, j] == one[:, j].max() and two[i, j] == two[i].max()
    }
    sure = {
        (e.row.index(1.0), e.column.index(1.0)) for e in found if 1.0 in e.row and 1.0 in e.column
    }
    assert sure == pure


@settings(max_examples=60, deadline=None)
@given(payoffs)
def test_the_security_level_is_the_linear_programs(cells: Any) -> None:
    gains = np.array(cells[0], float)
    m, n = gains.shape
    solved = linprog(
        np.eye(m + 1)[m] * -1,
        A_ub=np.hstack([-gains.T, np.ones((n, 1))]), b_ub=np.zeros(n),
        A_eq=[[1] * m + [0]], b_eq=[1], bounds=[(0, None)] * m + [(None, None)],
    )  # fmt: skip
    assert security(gains) == pytest.approx(-solved.fun, abs=1e-7)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), rounds=st.integers(1, 4))
def test_the_frontier_against_all_ways_to_play(seed: int, rounds: int) -> None:
    drawn = MatrixGenerator(games=("random",), points=(-4, 4), rounds=(rounds, rounds))
    scenario = drawn.draw(random.Random(seed))
    cells = [cell for row in scenario.table.values() for cell in row.values()]
    least = [min(c[i] for c in cells) for i in (0, 1)]
    sums = {
        tuple(sum(c[i] for c in way) for i in (0, 1))
        for way in itertools.combinations_with_replacement(cells, rounds)
    }
    free = {s for s in sums if not any(t != s and t[0] >= s[0] and t[1] >= s[1] for t in sums)}
    solution = MatrixGame.solve(scenario)
    assert {(round(a * rounds), round(b * rounds)) for a, b in solution.frontier} == free
    assert solution.frontier == tuple(sorted(solution.frontier))
    assert solution.max_joint == max(map(sum, cells))
    nash = max((a / rounds - least[0]) * (b / rounds - least[1]) for a, b in sums)
    assert solution.max_nash == pytest.approx(nash)


# ---- players -------------------------------------------------------------------------------------


def test_axelrods_round_robin() -> None:
    """Every rule meets every rule, itself included. Tit for tat never has more points than its
    partner, and yet nobody has more in the end: the first place is its own and grim's."""
    scenario = game(game="prisoners_dilemma", rounds=50)
    total = dict.fromkeys(RULES, 0.0)
    for one, two in itertools.product(RULES, RULES):
        mine, yours = meet(scenario, one, two).outcome.utilities.values()
        total[one] += mine / len(RULES)
        if one == "tit_for_tat":
            assert mine <= yours <= mine + 5 / 50 + 1e-9, "it is exploited once at most"
    assert total == pytest.approx(
        {
            "tit_for_tat": 2.596, "grim": 2.596, "win_stay_lose_shift": 2.5,
            "always_cooperate": 2.4, "always_defect": 2.232,
        }
    )  # fmt: skip
    assert max(total, key=total.__getitem__) == "tit_for_tat"


@pytest.mark.parametrize("name", GAMES)
def test_two_sensible_players_reach_the_largest_sum(name: str) -> None:
    for talk in (0, 1):
        scenario = game(talk, game=name, rounds=6)
        solution = MatrixGame.solve(scenario)
        for who in ("sensible", "oracle"):
            outcome = meet(scenario, who, who).outcome
            assert sum(outcome.utilities.values()) == pytest.approx(solution.max_joint)
            assert outcome.results["best_joint"] == 1
            assert outcome.utilities["ann"] == pytest.approx(outcome.utilities["bob"])


def test_sensible_is_not_exploited_for_long() -> None:
    scenario = game(game="prisoners_dilemma", rounds=10)
    assert meet(scenario, "sensible", "always_defect").outcome.utilities == {"ann": 0.9, "bob": 1.4}
    warned = game(1, game="prisoners_dilemma", rounds=10)
    # The cheat talks second, so its word is known from the first choice on.
    assert meet(warned, "sensible", "always_defect").outcome.utilities == {"ann": 1, "bob": 1}


def test_shipped_games() -> None:
    prisoners = load_scenario("prisoners")
    assert isinstance(prisoners, MatrixScenario)
    assert [e["points"] for e in MatrixGame.solve(prisoners).reference["equilibria"]] == [[1, 1]]
    hunters = MatrixGame.solve(game(game="stag_hunt"))
    assert hunters.reference["equilibria"][2]["row"] == pytest.approx([3 / 4, 1 / 4])
