"""Cross-play: seats swapped, the same scenarios everywhere, strengths that are the maximum likelihood."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize

import moot
from moot.environments.records import Run
from moot.evaluation.cross import Cross
from moot.evaluation.ratings import elo, strengths
from moot.protocols import MootError
from moot.tournament import Tournament, named

SPECS = ["scripted:open", "scripted:linear", "scripted:hardliner"]


def test_two_agents_have_the_odds_of_their_wins() -> None:
    log = strengths(np.array([[0.0, 30.0], [10.0, 0.0]]))
    assert log[0] - log[1] == pytest.approx(np.log(30.5 / 10.5))
    assert log.sum() == pytest.approx(0)
    assert elo(log)[0] - elo(log)[1] == pytest.approx(400 * np.log10(30.5 / 10.5))


def test_strengths_are_the_maximum_likelihood() -> None:
    rng = np.random.default_rng(2)
    wins = rng.integers(0, 20, (5, 5)).astype(float)
    np.fill_diagonal(wins, 0)
    prior = wins + 0.5 * (1 - np.eye(5))

    def loss(free: np.ndarray) -> float:
        s = np.append(free, 0.0)
        return float(np.sum(prior * np.log1p(np.exp(s[None, :] - s[:, None]))))

    best = np.append(optimize.minimize(loss, np.zeros(4), tol=1e-10).x, 0.0)
    np.testing.assert_allclose(strengths(wins), best - best.mean(), atol=1e-4)
    # Many at once are each for itself.
    np.testing.assert_allclose(strengths(np.stack([wins, wins.T]))[0], strengths(wins), atol=1e-5)


def test_who_never_loses_is_finite_and_who_never_met_is_in_the_middle() -> None:
    wins = np.zeros((3, 3))
    wins[0, 1] = 50
    log = strengths(wins)
    assert np.isfinite(log).all()
    assert log[0] > log[2] > log[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cross") / "x"


@pytest.fixture(scope="module")
def result(folder: Path) -> Cross:
    return moot.crossplay("deal_or_no_deal", SPECS, episodes=24, out=folder)


def test_the_matrix_is_the_mean_over_both_seatings(result: Cross, folder: Path) -> None:
    there = {e.id: e for e in Run.open(folder / "open--linear").episodes()}
    back = {e.id: e for e in Run.open(folder / "linear--open").episodes()}
    assert {i: e.scenario.roles for i, e in there.items()} == {
        i: e.scenario.roles for i, e in back.items()
    }
    assert there[0].seats == {"ann": "scripted:open", "bob": "scripted:linear"}
    points = [e.outcome.utilities["ann"] for e in there.values()]
    points += [e.outcome.utilities["bob"] for e in back.values()]
    cell = result.cells["open", "linear"]
    assert (cell.value, cell.n) == (pytest.approx(np.mean(points)), 48)
    assert cell.low < cell.value < cell.high
    own = [
        sum(e.outcome.utilities.values()) / 2 for e in Run.open(folder / "open--open").episodes()
    ]
    assert result.cells["open", "open"].value == pytest.approx(np.mean(own))
    wins = sum(
        there[i].outcome.utilities["ann"] + back[i].outcome.utilities["bob"]
        > there[i].outcome.utilities["bob"] + back[i].outcome.utilities["ann"]
        for i in there
    )
    assert 0 < wins < 24


def test_standings(result: Cross) -> None:
    first = result.standings[0]
    assert first.name == "hardliner"
    assert first.matches[1] == 48
    assert first.elo is not None
    assert first.elo.low <= first.elo.value <= first.elo.high
    assert first.gap is not None
    assert first.gap.high < 0, "two hardliners never agree"
    assert any("hardliner does worse beside itself" in line for line in result.words())
    assert sum(s.elo.value for s in result.standings if s.elo) == pytest.approx(3 * 1500)
    assert json.loads(json.dumps(result.data())) == result.data()


def test_nothing_is_played_twice_and_what_is_torn_is_finished(result: Cross, folder: Path) -> None:
    file = folder / "linear--open" / "episodes.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:5]))
    again = Tournament("deal_or_no_deal", SPECS, episodes=24, out=folder)
    fresh = [e for _, e in again if e is not None]
    assert len(fresh) == 19
    assert again.result() == result
    with pytest.raises(MootError, match="something else"):
        Tournament("deal_or_no_deal", SPECS, episodes=25, out=folder)


def test_roles_of_the_world_are_the_sides(tmp_path: Path) -> None:
    played = Tournament("task_market", SPECS[:2], episodes=6, out=tmp_path / "m")
    assert played.sides == ("bidder", "manager")
    for _ in played:
        pass
    for episode in Run.open(tmp_path / "m" / "open--linear").episodes():
        for agent, spec in episode.seats.items():
            assert spec == ("scripted:linear" if agent == "manager" else "scripted:open")
    assert played.result().cells["open", "linear"].n == 12


def test_names_of_specs_fit_a_folder() -> None:
    assert named(["scripted:open", "nano", "hf:a/b?temperature=1", "hf:a/b-temperature=1"]) == {
        "open": "scripted:open",
        "nano": "nano",
        "hf-a-b-temperature-1": "hf:a/b?temperature=1",
        "hf-a-b-temperature-1-2": "hf:a/b-temperature=1",
    }
    with pytest.raises(MootError, match="twice"):
        named(["nano", "nano"])


Typed = Callable[..., tuple[int, str, str]]


def test_the_command(typed: Typed) -> None:
    words = ("crossplay", "bargain", "--agents", *SPECS[:2], "--episodes", "4")
    status, out, err = typed(*words)
    assert status == 0
    assert "4 cells of 4 episodes" in err
    assert "strength" in out
    (folder,) = Path("runs").iterdir()
    status, out, _ = typed(*words, "--json")
    document = json.loads(out)
    assert document["folder"] == str(folder)
    assert len(document["cells"]) == 4
    assert json.loads((folder / "result.json").read_text())["cells"] == document["cells"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["bargain", "nano"], "at least two"),
        (["bargain", "scripted:open", "scripted:opne"], "opne"),
        (["kitchen", "scripted:random", "scripted:boulware"], "does not play kitchen"),
        (["bargin", "scripted:open", "scripted:linear"], "did you mean 'bargain'"),
        (["bargain", "scripted:open", "human"], "crossplay is for agents"),
        (["bargain", "scripted:open", "scripted:linear", "--episodes", "0"], ">= 1"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    typed: Typed, words: list[str], expected: str
) -> None:
    status, _, err = typed("crossplay", *words)
    assert (status, err.count("\n")) == (2, 1), err
    assert expected in err
    assert not Path("runs").exists()
