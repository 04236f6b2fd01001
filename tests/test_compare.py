"""Comparing two runs: pairs, tests that keep their level, intervals that cover, and the words for it."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import moot
from moot.environments import Environment, Episode, Outcome, ProtocolChoice
from moot.environments.worlds.item_division import ItemRole, ItemScenario
from moot.evaluation import METRICS, Comparison, compare, score
from moot.evaluation.compare import game_of
from moot.evaluation.permutation import EXACT, holm, relabel
from moot.protocols import MootError, Reply

ONLY = {"utility": METRICS["utility"]}


def scenario(ann: int = 10, deadline: int = 12) -> ItemScenario:
    return ItemScenario(
        name="two things",
        protocol=ProtocolChoice(name="alternating_offers", deadline=deadline),
        items={"book": 1, "hat": 1},
        roles={
            "ann": ItemRole(values={"book": ann, "hat": 2}),
            "bob": ItemRole(values={"book": 4, "hat": 8}),
        },
    )


def left(of: ItemScenario, number: int = 0, seed: int = 0) -> Episode:
    table = Environment(of, seed=seed, episode=number)
    table.step(Reply(act="cancel"))
    return table.episode()


def scored(base: Episode, points: float, number: int, seed: int = 0, done: bool = False) -> Episode:
    """The same episode under another number, worth so many points to either side."""
    outcome = Outcome(completed=done, utilities={"ann": points, "bob": points})
    return base.model_copy(update={"id": number, "seed": seed, "outcome": outcome})


BASES = [left(scenario(ann)) for ann in range(1, 41)]


def runs(
    rng: np.random.Generator, effect: float, games: int, each: int, seed: int = 0
) -> tuple[list[Episode], list[Episode]]:
    """Two runs of the same scenarios, which differ much more than the runs do."""
    one: list[Episode] = []
    two: list[Episode] = []
    for number in range(games * each):
        level = float(number % games)
        one.append(scored(BASES[number % games], level + effect + rng.normal(), number))
        two.append(scored(BASES[number % games], level + rng.normal(), number, seed))
    return one, two


def test_pairs_cancel_what_both_share() -> None:
    rng = np.random.default_rng(0)
    one, two = runs(rng, 1.0, 40, 2)
    found = compare(one, two, metrics=ONLY)
    assert (found.paired, found.unit, found.units, found.episodes) == (
        True,
        "scenario",
        40,
        (80, 80),
    )
    d = found["utility"]
    assert d.difference == pytest.approx(1.0, abs=0.4)
    assert d.ci is not None
    assert d.ci[0] > 0.4
    assert d.told_apart
    assert d.detectable is not None
    assert 0.2 < d.detectable < 0.8
    # The same values under other seeds: no pairs, but the scenarios are shared and drawn together.
    apart = compare(one, [e.model_copy(update={"seed": 9}) for e in two], metrics=ONLY)
    assert not apart.paired
    assert apart["utility"].ci == pytest.approx(d.ci)
    # Other scenarios altogether: the spread of the scenarios drowns the difference.
    strange = [e.model_copy(update={"scenario": scenario(100 + e.id % 40)}) for e in two]
    drowned = compare(one, strange, metrics=ONLY)
    assert not drowned.paired
    assert not drowned["utility"].told_apart
    assert "cannot be told apart" in str(drowned).lower()


def test_words_say_which_direction_is_good_and_what_is_no_comparison() -> None:
    one, two = runs(np.random.default_rng(0), 1.0, 40, 2)
    names = ["utility", "regret"]
    better = compare(one, two, names=("a", "b"), metrics=names)
    assert "a has more than b: utility (+" in str(better)
    assert "; better)" in str(better)
    assert "; worse)" in str(compare(two, one, metrics=names))
    # One game each, of other names: nothing says that their points are on one scale.
    other = scenario(7).model_copy(update={"name": "two other things"})
    base = left(other)
    strange = compare(two[::40], [scored(base, 30.0, k) for k in range(4)], metrics=ONLY)
    assert not strange.comparable
    assert "different games" in str(strange)
    assert strange.data()["comparable"] is False
    assert compare(two, [scored(base, 30.0, k) for k in range(4)], metrics=ONLY).comparable


def test_intervals_cover_and_tests_keep_their_level() -> None:
    rng = np.random.default_rng(4)
    covered, rejected = 0, 0
    for _ in range(150):
        one, two = runs(rng, 0.0, 15, 2)
        d = compare(one, two, metrics=ONLY)["utility"]
        assert d.ci is not None
        covered += d.ci[0] <= 0 <= d.ci[1]
        rejected += d.p < 0.05
    assert 0.90 <= covered / 150 <= 0.99
    assert 0.01 <= rejected / 150 <= 0.10


def test_few_scenarios_are_resampled_by_episode() -> None:
    one, two = runs(np.random.default_rng(1), 0.0, 1, 30)
    found = compare(one, two, metrics=ONLY)
    assert (found.unit, found.units) == ("episode", 30)
    assert "other episodes of these scenarios" in str(found)


def test_values_are_those_of_score() -> None:
    one, two = runs(np.random.default_rng(2), 0.5, 20, 1)
    found = compare(one, two)
    for name in ("utility", "messages_per_episode", "utility.ann"):
        assert found[name].one == pytest.approx(score(one)[name].value)
        assert found[name].two == pytest.approx(score(two)[name].value)
        assert found[name].n == (20, 20)
    with pytest.raises(KeyError):
        found["pareto_rate"]  # nobody agreed: there is nothing to compare


def test_only_what_is_asked_for_is_tested() -> None:
    one, two = runs(np.random.default_rng(2), 0.5, 20, 1)
    found = compare(one, two, metrics=["utility", "utility.ann"])
    assert [d.name for d in found.differences] == ["utility", "utility.ann"]
    assert compare(one, two, metrics=["utility"])["utility"].adjusted == found["utility"].p


def test_order_does_not_matter_and_sides_are_mirrored() -> None:
    one, two = runs(np.random.default_rng(3), 0.3, 12, 3)
    here, there = compare(one, two)["utility"], compare(one[::-1], two)["utility"]
    assert here == there
    back = compare(two, one)["utility"]
    assert back.difference == pytest.approx(-here.difference)
    assert back.p == pytest.approx(here.p)
    assert here.ci is not None
    assert back.ci == pytest.approx((-here.ci[1], -here.ci[0]))


def test_what_has_no_partner_is_left_out_and_said() -> None:
    one, two = runs(np.random.default_rng(5), 0.0, 10, 3)
    found = compare(one, two[:20], metrics=ONLY)
    assert (found.paired, found.episodes, found.left_out) == (True, (20, 20), (10, 0))
    assert "10 without a partner left out" in str(found)
    assert not compare(one, two[:5] + [e.model_copy(update={"seed": 3}) for e in two[5:]]).paired


def test_rates_that_never_vary_keep_a_width() -> None:
    done = [scored(BASES[0], 0, i, done=True) for i in range(30)]
    none = [scored(BASES[0], 0, i) for i in range(30)]
    d = compare(done, none)["completion_rate"]
    assert d.difference == 1
    assert d.ci is not None
    assert d.ci == pytest.approx((1 - 0.1157 * 2**0.5, 1), abs=1e-3)
    same = compare(done, done)
    assert (same["completion_rate"].p, same["completion_rate"].told_apart) == (1, False)
    assert "The same in every episode: completion_rate" in str(same)


def test_conditions_are_compared_on_the_same_game() -> None:
    assert game_of(scenario(deadline=4)) == game_of(scenario(deadline=12))
    assert game_of(scenario(9)) != game_of(scenario(10))
    talk = [left(scenario(deadline=12), i) for i in range(4)]
    hurry = [left(scenario(deadline=4), i) for i in range(4)]
    assert compare(talk, hurry).paired


def test_small_tests_look_at_every_relabelling() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 7, 1, 2))
    one[..., 1] = two[..., 1] = 1
    empty = np.zeros((0, 1, 2))
    found = relabel((one, two), (empty, empty))
    gaps = (one - two)[:, 0, 0]
    every = [
        abs(sum(s * g for s, g in zip(signs, gaps, strict=True)))
        for signs in itertools.product((1, -1), repeat=7)
    ]
    assert found.p[0] == pytest.approx(np.mean([e >= abs(gaps.sum()) - 1e-9 for e in every]))


def test_unpaired_labels_are_dealt_out_again() -> None:
    from scipy import stats

    rng = np.random.default_rng(1)
    one, two = rng.normal(0.8, 1, 20), rng.normal(0, 1, 30)
    sides = [np.stack([x, np.ones_like(x)], -1)[:, None] for x in (one, two)]
    empty = np.zeros((0, 1, 2))
    found = relabel((empty, empty), (sides[0], sides[1]))
    theirs = stats.permutation_test(
        (one, two), lambda a, b, axis: a.mean(axis) - b.mean(axis), n_resamples=9999, rng=rng
    )
    assert found.p[0] == pytest.approx(theirs.pvalue, abs=0.01)
    assert found.floor[0] == pytest.approx(
        np.quantile(np.abs(theirs.null_distribution), 0.95), rel=0.1
    )


parts = st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=EXACT)


@settings(max_examples=30, deadline=None)
@given(pairs=parts, shuffle=st.randoms(use_true_random=False))
def test_the_test_knows_neither_order_nor_sides(
    pairs: list[tuple[float, float]], shuffle: random.Random
) -> None:
    def p(rows: list[tuple[float, float]]) -> float:
        sides = np.array(rows).T[..., None, None]
        one, two = (np.concatenate([x, np.ones_like(x)], axis=-1) for x in sides)
        empty = np.zeros((0, 1, 2))
        found = relabel((one, two), (empty, empty))
        assert 0 < found.p[0] <= 1
        assert found.floor[0] >= 0
        return float(found.p[0])

    first = p(pairs)
    assert p([(b, a) for a, b in pairs]) == pytest.approx(first)
    shuffle.shuffle(pairs)
    assert p(pairs) == pytest.approx(first)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_holms_values_are_larger_in_the_same_order_and_at_most_bonferronis(ps: list[float]) -> None:
    adjusted = holm(ps)
    for p, a in zip(ps, adjusted, strict=True):
        assert p <= a <= min(len(ps) * p, 1) + 1e-12
    for (p, a), (q, b) in itertools.combinations(zip(ps, adjusted, strict=True), 2):
        assert a <= b or p >= q
        assert b <= a or q >= p


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_mistakes() -> None:
    one, _ = runs(np.random.default_rng(1), 0.0, 1, 3)
    with pytest.raises(MootError, match="no episodes"):
        compare(one, [])
    with pytest.raises(MootError, match="did you mean 'utility'"):
        compare(one, one, metrics=["utlity"])


Typed = Callable[..., tuple[int, str, str]]


def test_the_command(typed: Typed, tmp_path: Path) -> None:
    for name in ("open", "linear"):
        moot.simulate(
            "deal_or_no_deal", agents={"*": f"scripted:{name}"}, episodes=40, out=tmp_path / name
        )
    status, out, _ = typed("compare", str(tmp_path / "open"), str(tmp_path / "linear"))
    assert status == 0
    assert "open has more than linear" in out
    assert "40 pairs" in out
    status, out, _ = typed("compare", str(tmp_path / "open"), str(tmp_path / "linear"), "--json")
    document = json.loads(out)
    found = moot.compare(tmp_path / "open", tmp_path / "linear")
    assert isinstance(found, Comparison)
    assert document["metrics"] == json.loads(json.dumps(found.data()["metrics"]))
    assert document["metrics"]["utility"]["told_apart"] is True
    status, _, err = typed("compare", str(tmp_path / "open"), "nowhere")
    assert (status, err.count("\n")) == (2, 1)
