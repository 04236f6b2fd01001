"""Runs and scores in the forms of other tools: Arrow, Parquet, pandas, CSV, and transcripts side by side."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import datasets
import pandas
import pytest

import moot
from moot.environments import Environment, Episode, Scenario
from moot.environments.records import Run
from moot.evaluation import METRICS, score
from moot.evaluation.dataset import row, to_dataset, write_parquet
from moot.protocols import MootError, Reply


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("runs")
    for name in ("open", "linear"):
        moot.simulate(
            "deal_or_no_deal", agents={"*": f"scripted:{name}"}, episodes=12, out=base / name
        )
    return base


def test_a_run_as_a_dataset_and_back(folder: Path) -> None:
    run = Run.open(folder / "open")
    table = to_dataset(run)
    assert isinstance(table, datasets.Dataset)
    assert len(table) == 12
    episodes = list(run.episodes())
    first = table[0]
    assert Episode.model_validate_json(first["record"]) == episodes[0]
    assert first["agents"] == ["ann", "bob"]
    assert first["seats"] == ["scripted:open"] * 2
    assert [t["text"] for t in first["turns"]] == [m.text for m in episodes[0].messages]
    assert sum(table["utility"]) / 12 == pytest.approx(score(run)["utility"].value)
    assert set(METRICS) <= set(table.column_names)
    assert to_dataset([]).column_names == table.column_names


def test_a_parquet_file_is_whole_or_not_there(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.parquet"
    assert write_parquet(folder / "open", file) == 12
    frame = pandas.read_parquet(file)
    assert list(frame["episode"]) == [e.id for e in Run.open(folder / "open").episodes()]
    assert frame["completed"].all()
    before = file.read_bytes()

    def torn() -> list[Episode]:
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        write_parquet((e for f in (torn,) for e in f()), file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(MootError, match="no folder"):
        write_parquet(folder / "open", tmp_path / "none" / "run.parquet")


def test_what_went_wrong_is_in_the_table_too() -> None:
    scenario = moot.load_scenario("camp_site")
    assert isinstance(scenario, Scenario)
    table = Environment(scenario)
    table.step(Reply(act="agree"))
    table.step(Reply(error="gone"))
    found = row(table.episode())
    assert found["turns"][0]["error"].startswith("ann: illegal-act")
    assert (found["turns"][1]["act"], found["ended"], found["pareto_rate"]) == (
        None,
        "broken",
        None,
    )
    assert to_dataset([table.episode()])[0]["illegal_move_rate"] == 1


def test_scores_as_a_frame(folder: Path) -> None:
    scores = score(folder / "open")
    frame = scores.frame()
    assert frame.loc["utility", "value"] == scores["utility"].value
    assert (frame.loc["utility", "low"], frame.loc["utility", "high"]) == scores["utility"].ci
    assert pandas.isna(frame.loc["tokens_per_message", "value"])
    assert list(frame.index) == [s.name for s in scores]


Typed = Callable[..., tuple[int, str, str]]


def test_csv(typed: Typed, folder: Path) -> None:
    status, out, _ = typed("score", str(folder / "open"), str(folder / "linear"), "--csv")
    assert status == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    utility = [r for r in rows if r["metric"] == "utility"]
    assert [r["source"] for r in utility] == [str(folder / "open"), str(folder / "linear")]
    assert float(utility[0]["value"]) == score(folder / "open")["utility"].value
    assert next(r for r in rows if r["metric"] == "legal_mass")["value"] == ""
    status, _, err = typed("score", str(folder / "open"), "--csv", "--json")
    assert (status, "choose one" in err) == (2, True)


def test_the_dataset_command(typed: Typed, folder: Path, tmp_path: Path) -> None:
    status, out, _ = typed("dataset", str(folder / "open"), str(tmp_path / "x.parquet"))
    assert status == 0
    assert "12 episodes" in out
    assert (
        len(datasets.Dataset.from_parquet(str(tmp_path / "x.parquet"), cache_dir=str(tmp_path)))
        == 12
    )


def test_two_transcripts_side_by_side(typed: Typed, folder: Path) -> None:
    status, out, _ = typed(
        "show", str(folder / "open"), "--episode", "3", "--against", str(folder / "linear")
    )
    assert status == 0
    assert "- open: agreed" in out
    assert "+ linear: agreed" in out
    assert "different games" not in out
    status, out, _ = typed(
        "show", str(folder / "open"), "--episode", "3", "--against", str(folder / "open")
    )
    assert "the same in every turn" in out
    status, _, err = typed("show", str(folder / "open"), "--against", str(folder / "linear"))
    assert (status, "--episode N" in err) == (2, True)
