"""What the talk achieved: eta from paired arms, and silence that is silent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import moot
from moot.economy import Economy, quiet
from moot.environments import Episode, Outcome, Scenario
from moot.environments.load import draw, load_scenario, shipped
from moot.environments.records import Run
from moot.evaluation import METRICS
from moot.evaluation.efficiency import efficiency
from moot.protocols import MootError


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> list[Episode]:
    out = tmp_path_factory.mktemp("base") / "run"
    run = moot.simulate("deal_or_no_deal", agents={"*": "scripted:open"}, episodes=30, out=out)
    return sorted(run.episodes(), key=lambda e: e.id)


def worth(episodes: list[Episode], points: list[float]) -> list[Episode]:
    return [
        e.model_copy(update={"outcome": Outcome(completed=True, utilities={"ann": p, "bob": p})})
        for e, p in zip(episodes, points, strict=True)
    ]


def test_eta_is_the_share_of_what_information_could_win(base: list[Episode]) -> None:
    level = [float(i % 7) for i in range(30)]
    arms = {
        "silent": worth(base, level),
        "talk": worth(base, [x + 1 for x in level]),
        "oracle": worth(base, [x + 4 for x in level]),
        "worse": worth(base, [x - 1 for x in level]),
    }
    found = efficiency(arms, METRICS["utility"])
    eta = found["talk"].eta
    assert eta is not None
    # Every game has the same differences: what games differ in cancels in each resample.
    assert (eta.value, eta.low, eta.high) == pytest.approx((0.25, 0.25, 0.25))
    assert eta.n == 30
    words = sum(len(m.text.split()) for e in base for m in e.messages) / 30
    assert found["talk"].words == pytest.approx(words)
    assert found["talk"].per_100_words is not None
    assert found["talk"].per_100_words.value == pytest.approx(25 / words)
    assert found["talk"].per_100_tokens is None
    assert found["worse"].eta is not None
    assert found["worse"].eta.value == pytest.approx(-0.25)
    assert (found["silent"].eta, found["oracle"].eta) == (None, None)


def test_there_is_no_eta_where_knowing_all_wins_nothing(base: list[Episode]) -> None:
    level = [float(i % 7) for i in range(30)]
    noise = [x + (i % 3 - 1) for i, x in enumerate(level)]
    arms = {"silent": worth(base, level), "talk": worth(base, level), "oracle": worth(base, noise)}
    assert efficiency(arms, METRICS["utility"])["talk"].eta is None


def test_the_arms_play_the_same_games(tmp_path: Path) -> None:
    economy = Economy(
        "deal_or_no_deal", agents={"*": "scripted:open"}, max_text=[20], deadline=[3],
        episodes=12, out=tmp_path / "e",
    )  # fmt: skip
    fresh = [name for name, e in economy if e is not None]
    assert {name: fresh.count(name) for name in fresh} == dict.fromkeys(
        ("talk", "silent", "oracle", "text-20", "deadline-3"), 12
    )
    runs = {
        name: {e.id: e for e in Run.open(tmp_path / "e" / name).episodes()} for name in economy.arms
    }
    for played in runs.values():
        assert {i: e.scenario.roles for i, e in played.items()} == {
            i: e.scenario.roles for i, e in runs["talk"].items()
        }
    said = [m for e in runs["silent"].values() for m in e.messages]
    assert {str(m.act) for m in said} <= {"propose", "accept-proposal", "reject-proposal", "cancel"}
    assert not any(m.text for m in said)
    assert max(len(m.text) for e in runs["text-20"].values() for m in e.messages) <= 20
    assert max(len(e.messages) for e in runs["deadline-3"].values()) <= 3
    assert all(s == "scripted:oracle" for e in runs["oracle"].values() for s in e.seats.values())
    found = economy.result()
    assert list(found) == list(economy.arms)
    assert found["silent"].words == 0
    assert not [e for _, e in economy if e is not None], "nothing is played twice"
    kept = json.loads((tmp_path / "e" / "result.json").read_text())
    assert kept["arms"]["talk"]["score"]["value"] == found["talk"].score.value


def test_results_of_the_world_count_too(tmp_path: Path) -> None:
    agents, name = {"*": "scripted:sensible"}, "result.best_joint"
    found = moot.talk_efficiency(
        "stag_hunt", agents=agents, metric=name, episodes=3, out=tmp_path / "a"
    )
    assert found["talk"].score.value == 1
    with pytest.raises(MootError, match=r"says anything of result\.joy"):
        moot.talk_efficiency(
            "stag_hunt", agents=agents, metric="result.joy", episodes=3, out=tmp_path / "b"
        )


def test_every_shipped_scenario_can_be_silenced() -> None:
    for name in shipped():
        source = load_scenario(name)
        first = draw(source, 0, 0)
        silent = draw(quiet(source, first.protocol), 0, 0)
        assert isinstance(silent, Scenario)
        assert silent.max_text == 0
        silent.protocol.build()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"metric": "utlity"}, "did you mean 'utility'"),
        ({"oracle": "scripted:orcle"}, "orcle"),
        ({"agents": {"*": "scripted:wanderer"}}, "does not play"),
        ({"agents": {"anna": "scripted:open"}}, "anna"),
        ({"deadline": [0]}, "deadline"),
        ({"episodes": 0}, ">= 1"),
        ({"agents": {"*": "human"}}, "efficiency is for agents"),
    ],
)
def test_mistakes_are_found_before_anything_is_played(
    change: dict[str, object], expected: str, tmp_path: Path
) -> None:
    given = {"agents": {"*": "scripted:open"}, "out": tmp_path / "e", **change}
    with pytest.raises(MootError, match=expected):
        Economy("deal_or_no_deal", **given)  # type: ignore[arg-type]
    assert not (tmp_path / "e").exists()


Typed = Callable[..., tuple[int, str, str]]


def test_the_commands(typed: Typed) -> None:
    words = ("efficiency", "bargain", "*=scripted:open", "--deadline", "4", "--episodes", "10")
    status, out, err = typed(*words)
    assert status == 0, err
    assert "4 arms of 10 episodes" in err
    assert "deadline-4" in out
    assert "eta" in out
    status, out, _ = typed(*words, "--json")
    assert set(json.loads(out)["arms"]) == {"talk", "silent", "oracle", "deadline-4"}
    (folder,) = Path("runs").iterdir()
    status, out, _ = typed("value", str(folder / "talk"), "--episode", "0", "--replays", "3")
    assert status == 0
    assert "together" in out
    status, out, _ = typed(
        "value", str(folder / "talk"), "--episode", "0", "--turn", "0", "--replays", "2", "--json"
    )
    assert [v["turn"] for v in json.loads(out)] == [0]
    status, _, err = typed("value", str(folder / "talk"), "--episode", "0", "--turn", "77")
    assert (status, "no turn 77" in err) == (2, True)
