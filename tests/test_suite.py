"""Suites: cells are played once, rows are paired, and what is wrong is found before anything is played."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moot.agents.scripted.players import Scripted
from moot.environments.load import load_scenario, shipped
from moot.environments.records import Run
from moot.evaluation import score
from moot.protocols import MootError
from moot.suite import SUITES, Evaluation, evaluate_suite, load_suite

SMALL: dict[str, Any] = {
    "name": "small",
    "scenarios": ["deal_or_no_deal", {"scenario": "bargain", "episodes": 4, "agents": ["open"]}],
    "agents": {"open": "scripted:open", "mixed": {"*": "scripted:random", "ann": "scripted:open"}},
    "seeds": [0, 1],
    "episodes": 6,
    "baseline": "open",
}


def test_rows_are_all_seeds_of_an_agent_together(tmp_path: Path) -> None:
    rows = evaluate_suite(SMALL, out=tmp_path / "s")
    assert [(r.scenario, r.agent) for r in rows] == [
        ("deal_or_no_deal", "open"),
        ("deal_or_no_deal", "mixed"),
        ("bargain", "open"),
    ]
    assert [r.scores.episodes for r in rows] == [12, 12, 8]
    assert [Run.open(p).header.seed for p in rows[1].runs] == [0, 1]
    first = next(Run.open(rows[1].runs[0]).episodes())
    assert first.seats == {"ann": "scripted:open", "bob": "scripted:random"}
    both = [e for p in rows[1].runs for e in Run.open(p).episodes()]
    assert rows[1].scores["utility"] == score(both)["utility"]
    assert rows[0].against is None
    against = rows[1].against
    assert against is not None
    assert (against.names, against.paired, against.episodes) == (("mixed", "open"), True, (12, 12))
    assert against["utility"].two == pytest.approx(rows[0].scores["utility"].value)
    kept = json.loads((tmp_path / "s" / "result.json").read_text())
    assert kept["rows"][1]["metrics"]["utility"]["value"] == rows[1].scores["utility"].value


def test_a_suite_that_grows_plays_only_what_is_new(tmp_path: Path) -> None:
    def fresh(suite: dict[str, Any]) -> list[str]:
        played = Evaluation(suite, out=tmp_path / "s")
        return [f"{p.scenario} {p.agent} {p.seed}" for p, e in played if e is not None]

    assert len(fresh(SMALL)) == 2 * (6 + 6 + 4)
    assert fresh(SMALL) == []
    (run,) = (tmp_path / "s" / "bargain" / "open").glob("1-*")
    lines = (run / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    (run / "episodes.jsonl").write_bytes(b"".join(lines[:1]) + lines[1][:20])
    assert fresh(SMALL) == ["bargain open 1"] * 3
    more = SMALL | {"agents": SMALL["agents"] | {"linear": "scripted:linear"}}
    assert set(fresh(more)) == {"deal_or_no_deal linear 0", "deal_or_no_deal linear 1"}
    assert len(fresh(SMALL | {"episodes": 7})) == 4 * 7, "another question, another run"


def test_what_is_left_out_is_not_played(tmp_path: Path) -> None:
    played = Evaluation({**SMALL, "leave_out": {"mixed": ["deal_or_no_deal"]}}, out=tmp_path / "s")
    assert {(p.scenario, p.agent) for p in played.places} == {
        ("deal_or_no_deal", "open"),
        ("bargain", "open"),
    }


def test_the_core_suite_covers_every_shipped_scenario() -> None:
    suite, _ = load_suite("core")
    assert [e.scenario for e in suite.scenarios] == list(shipped())
    assert suite.agents["nano"] == "nano"
    worlds = {load_scenario(name).world for name in shipped()}
    for name, spec in suite.agents.items():
        if name != "nano":
            assert isinstance(spec, str)
            agent = Scripted(spec.removeprefix("scripted:"))
            assert all(agent.plays(world) for world in worlds), name
    assert (SUITES / "core.yaml").read_text().startswith("# ")


def test_scripted_agents_finish_the_core_suite(tmp_path: Path) -> None:
    suite, _ = load_suite("core")
    data = suite.model_dump(mode="json") | {"episodes": 1, "baseline": None}
    data["agents"] = {k: v for k, v in data["agents"].items() if k != "nano"}
    data["leave_out"] = {}
    for row in evaluate_suite(data, out=tmp_path / "core"):
        assert row.scores["broken_rate"].value == 0, (row.scenario, row.agent)
        assert row.scores["illegal_move_rate"].value == 0, (row.scenario, row.agent)


def test_files_beside_the_suite_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path(load_path("camp_site")).read_text()
    (tmp_path / "mine.yaml").write_text(text)
    (tmp_path / "suite.yaml").write_text(
        "scenarios: [mine.yaml]\nagents: {them: own}\nepisodes: 2\n"
    )
    monkeypatch.chdir(tmp_path.parent)
    suite = Evaluation(tmp_path / "suite.yaml", out=tmp_path / "out")
    assert suite.suite.name == "suite"
    assert suite.places[0].source == tmp_path / "mine.yaml"
    assert suite.places[0].agents == {}


def load_path(name: str) -> Path:
    return Path(__file__).parents[1] / "scenarios" / f"{name}.yaml"


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "key": ({"seed": 1}, "did you mean 'seeds'"),
    "scenario": ({"scenarios": ["bargin"]}, "did you mean 'bargain'"),
    "metric": ({"metrics": ["utlity"]}, "did you mean 'utility'"),
    "baseline": ({"baseline": "opne"}, "did you mean 'open'"),
    "agents": ({"scenarios": [{"scenario": "bargain", "agents": ["opn"]}]}, "did you mean 'open'"),
    "spec": ({"agents": {"open": "scripted:opne"}, "baseline": None}, "did you mean"),
    "player": ({"agents": {"open": "scripted:wanderer"}, "baseline": None}, "does not play"),
    "seat": ({"agents": {"open": {"ana": "scripted:open"}}, "baseline": None}, "ana"),
    "episodes": ({"episodes": 0}, ">= 1"),
    "seeds": ({"seeds": [1, 1]}, "different"),
    "empty": ({"scenarios": []}, "at least 1"),
    "left out": ({"leave_out": {"open": ["bargain"]}}, "leave_out.open"),
    "human": ({"agents": {"open": "human"}, "baseline": None}, "nobody sits"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_found_before_anything_is_played(mistake: str, tmp_path: Path) -> None:
    change, expected = MISTAKES[mistake]
    suite = {**SMALL, "scenarios": ["deal_or_no_deal"], **change}
    with pytest.raises(MootError, match=expected) as caught:
        Evaluation(suite, out=tmp_path / "s")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "s").exists()


Typed = Callable[..., tuple[int, str, str]]


def test_the_command(typed: Typed) -> None:
    Path("mine.yaml").write_text(json.dumps(SMALL))
    status, out, err = typed("evaluate", "mine.yaml")
    assert status == 0
    assert "2 scenarios, 2 agents, 6 runs; into runs/small" in err
    assert "differs from open" in out
    status, out, _ = typed("evaluate", "mine.yaml", "--json")
    assert [row["agent"] for row in json.loads(out)["rows"]] == ["open", "mixed", "open"]
    status, _, err = typed("evaluate", "cor")
    assert (status, err.count("\n")) == (2, 1)
    assert "did you mean 'core'" in err
