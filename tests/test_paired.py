"""Means over clients and paired differences: against the plain formulas, and with intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest

from moot.evaluation.paired import difference, mean


def test_every_client_counts_alike_whatever_it_played() -> None:
    found = mean({"ann": [1.0] * 10, "bob": [0.0, 1.0], "cleo": []})
    assert found is not None
    assert found.value == pytest.approx(0.75)
    assert found.n == 12
    assert found.low < 0.75 < found.high
    assert mean({"ann": []}) is None
    assert mean({}) is None


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for trial in range(200):
        found = mean({name: list(rng.normal(i, 1 + i, 30)) for i, name in enumerate("abc")}, trial)
        assert found is not None
        covered += found.low <= 1.0 <= found.high
    assert 175 <= covered <= 199


def test_pairs_cancel_what_both_share() -> None:
    rng = np.random.default_rng(0)
    shared = {name: rng.normal(0, 10, 40) for name in "ab"}
    theirs = {name: dict(enumerate(x)) for name, x in shared.items()}
    ours = {
        name: {i: v + 0.5 + rng.normal(0, 0.1) for i, v in d.items()} for name, d in theirs.items()
    }
    found = difference(ours, theirs)
    assert found is not None
    assert found.value == pytest.approx(0.5, abs=0.1)
    assert found.low > 0
    assert found.high - found.low < 0.2


def test_what_only_one_side_played_is_left_out() -> None:
    found = difference(
        {"a": {0: 1.0, 1: 5.0}, "b": {0: 2.0}}, {"a": {0: 0.0, 7: 9.0}, "c": {0: 1.0}}
    )
    assert found is not None
    assert (found.value, found.n) == (1.0, 1)
    assert difference({"a": {}}, {"a": {}}) is None
