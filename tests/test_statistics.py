"""The bootstrap: right on average, independent of order, the same for parts and for the whole."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from moot.evaluation.statistics import (
    BLOCK,
    RESAMPLES,
    Ratios,
    binomial,
    interval,
    student,
    unanimous,
    weights,
)

Row = tuple[int, dict[str, tuple[float, float]]]


def keys(count: int, seed: int = 0) -> list[int]:
    rng = random.Random(seed)
    return [rng.getrandbits(64) for _ in range(count)]


def fill(rows: list[Row]) -> Ratios:
    ratios = Ratios()
    for key, parts in rows:
        ratios.add(key, parts)
    return ratios


def same(one: Ratios, two: Ratios) -> None:
    assert one.sums.keys() == two.sums.keys()
    for name in one.sums:
        assert one.sums[name] == pytest.approx(two.sums[name])
        np.testing.assert_allclose(one.drawn(name), two.drawn(name), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("chosen", [keys(400), list(range(400)), [i << 32 for i in range(400)]])
def test_weights_are_independent_poisson_draws(chosen: list[int]) -> None:
    w = weights(np.array(chosen, dtype=np.uint64))
    assert w.shape == (400, RESAMPLES)
    seen = np.bincount(w.astype(int).ravel(), minlength=8)[:8] / w.size
    np.testing.assert_allclose(seen, stats.poisson.pmf(range(8), 1), atol=1e-3)
    off = np.corrcoef(w)[np.triu_indices(400, 1)]
    assert abs(off.mean()) < 1e-3
    assert off.std() == pytest.approx(RESAMPLES**-0.5, rel=0.05)
    across = np.corrcoef(w.T[:200])[np.triu_indices(200, 1)]
    assert across.std() == pytest.approx(400**-0.5, rel=0.05)


def test_the_interval_is_the_one_of_the_ordinary_bootstrap() -> None:
    """Against scipy's percentile bootstrap of a ratio of sums, on skewed, dependent a and b."""
    rng = np.random.default_rng(3)
    b = rng.poisson(4, 2000) + 1.0
    a = rng.gamma(2, 1, 2000) * b**1.3
    ours = interval(
        fill([(k, {"x": (x, y)}) for k, x, y in zip(keys(2000), a, b, strict=True)]).drawn("x"),
        2000,
    )
    assert ours is not None
    theirs = stats.bootstrap(
        (a, b),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert abs(ours[0] - theirs.low) < 0.08 * width
    assert abs(ours[1] - theirs.high) < 0.08 * width


@pytest.mark.parametrize(
    ("episodes", "draw", "mean", "least", "most"),
    [
        (10, lambda r: r.gauss(0, 1), 0.0, 0.92, 0.98),
        (30, lambda r: r.expovariate(1), 1.0, 0.90, 0.98),
        (100, lambda r: float(r.random() < 0.7), 0.7, 0.92, 0.98),
        (12, lambda r: float(r.random() < 0.95), 0.95, 0.95, 1.0),
    ],
)
def test_intervals_cover_the_truth_about_as_often_as_they_say(
    episodes: int, draw: object, mean: float, least: float, most: float
) -> None:
    rng = random.Random(5)
    hits, trials = 0, 250
    for _ in range(trials):
        values = [draw(rng) for _ in range(episodes)]  # type: ignore[operator]
        ratios = fill([(rng.getrandbits(64), {"x": (v, 1.0)}) for v in values])
        if set(values) in ({0.0}, {1.0}):
            low, high = unanimous(values[0], episodes)
        else:
            found = interval(ratios.drawn("x"), episodes)
            assert found is not None
            low, high = found
        hits += low <= mean <= high
    assert least <= hits / trials <= most


def test_what_happens_within_an_episode_hangs_together() -> None:
    """Twenty equal messages an episode are no more certain than one."""
    rng = random.Random(2)
    values = [rng.gauss(0, 1) for _ in range(300)]
    one = interval(
        fill([(k, {"x": (v, 1)}) for k, v in zip(keys(300), values, strict=True)]).drawn("x"), 300
    )
    many = interval(
        fill([(k, {"x": (20 * v, 20)}) for k, v in zip(keys(300), values, strict=True)]).drawn("x"),
        300,
    )
    assert one is not None
    assert many == pytest.approx(one)


rows = st.lists(
    st.tuples(
        st.integers(0, 2**64 - 1),
        st.dictionaries(
            st.sampled_from("xyz"),
            st.tuples(st.floats(-100, 100), st.floats(0, 50)),
        ),
    ),
    max_size=30,
)


@settings(max_examples=30, deadline=None)
@given(rows=rows, cut=st.integers(0, 30), shuffle=st.randoms(use_true_random=False))
def test_order_and_parts_do_not_matter(rows: list[Row], cut: int, shuffle: random.Random) -> None:
    whole = fill(rows)
    same(fill(rows[:cut]).merge(fill(rows[cut:])), whole)
    shuffled = list(rows)
    shuffle.shuffle(shuffled)
    same(fill(shuffled), whole)


def test_blocks_are_only_a_matter_of_speed() -> None:
    many: list[Row] = [(k, {"x": (k % 7, 1), "y": (1, k % 3)}) for k in keys(2 * BLOCK + 5)]
    parts = [fill([row]) for row in many]
    merged = Ratios()
    for part in parts:
        merged = merged.merge(part)
    same(merged, fill(many))
    before = parts[0].sums["x"]
    fill(many).merge(parts[0])
    assert parts[0].sums["x"] == before


def test_too_few_episodes_have_no_interval() -> None:
    ratios = fill([(1, {"x": (3, 1), "y": (1, 0)}), (2, {"y": (1, 0)})])
    assert interval(ratios.drawn("x"), 1) is None
    assert interval(ratios.drawn("y"), 2) is None, "no denominator in any resample"


def test_few_episodes_have_wider_intervals_than_the_plain_percentiles() -> None:
    ratios = fill([(k, {"x": (v, 1)}) for k, v in zip(keys(6), (1, 4, 2, 8, 5, 7), strict=True)])
    found = interval(ratios.drawn("x"), 6)
    assert found is not None
    tops, bottoms = ratios.drawn("x")
    low, high = np.quantile(tops[bottoms > 0] / bottoms[bottoms > 0], [0.025, 0.975])
    assert found[0] < low < high < found[1]


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 20, 500])
@pytest.mark.parametrize("p", [0.025, 0.1, 0.3])
def test_students_quantiles(freedom: int, p: float) -> None:
    assert student(p, freedom) == pytest.approx(float(stats.t.ppf(p, freedom)), rel=0.01)


@pytest.mark.parametrize("n", [1, 2, 10, 500])
def test_unanimous_rates_are_those_of_clopper_and_pearson(n: int) -> None:
    for k, value in ((0, 0.0), (n, 1.0)):
        exact = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
        assert unanimous(value, n) == pytest.approx((exact.low, exact.high))


@pytest.mark.parametrize(
    ("yes", "n"), [(3, 8), (5, 8), (1, 2), (0, 8), (8, 8), (1, 1000), (99, 40000)]
)
def test_the_interval_of_few_yes_and_no_is_the_exact_one(yes: int, n: int) -> None:
    exact = stats.binomtest(yes, n).proportion_ci(method="exact")
    assert binomial(yes, n) == pytest.approx((exact.low, exact.high), abs=1e-9)
