"""Judges: marks or nothing, both orders of a pair, and Krippendorff's own example."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from rich.console import Console

import moot
from moot import cli
from moot.environments import Episode
from moot.evaluation.judges import agreement, alpha, judged, preferred
from moot.evaluation.rubrics import SOCIAL, Dimension, Rubric
from moot.evaluation.table import judge_table
from moot.protocols import Observation, Reply

SHORT = Rubric(
    "short", (Dimension("clarity", "is it clear?", 0, 10), Dimension("harm", "?", -5, 0))
)


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> list[Episode]:
    out = tmp_path_factory.mktemp("run") / "r"
    run = moot.simulate("camp_site", agents={"*": "scripted:open"}, episodes=3, out=out)
    return sorted(run.episodes(), key=lambda e: e.id)


class Judge:
    """Says what it is told to say, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked = list(answers), list[Observation]()

    def reply(self, observation: Observation) -> Reply:
        self.asked.append(observation)
        answer = self.answers[(len(self.asked) - 1) % len(self.answers)]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            return Reply(raw=answer)
        return Reply(act="inform", content=answer, text="because")


def marks(clarity: Any, harm: Any = 0) -> dict[str, Any]:
    return {"clarity": clarity, "harm": harm}


def test_marks_for_every_agent_of_every_episode(episodes: list[Episode]) -> None:
    judge = Judge(marks(7, -1))
    found = list(judged(iter(episodes), {"one": judge, "two": Judge(marks(8))}, SHORT))
    assert len(found) == 2 * 3 * 2
    ones = {(v.episode, v.agent): v for v in found if v.judge == "one"}
    assert ones.keys() == {(e.id, a) for e in episodes for a in ("ann", "bob")}
    assert all(v.marks == {"clarity": 7.0, "harm": -1.0} for v in ones.values())
    assert ones[0, "ann"].why == "because"
    card = judge.asked[0].card
    assert "clarity (0 to 10): is it clear?" in card
    assert "Your family is large" in card, "a judge knows everyone's part"
    assert "camp" in card
    assert all(f"Judge {a} alone" in "".join(o.card for o in judge.asked) for a in ("ann", "bob"))
    content = judge.asked[0].schema()["anyOf"][0]["properties"]["content"]
    assert content["properties"]["harm"] == {"type": "integer", "minimum": -5, "maximum": 0}


UNREADABLE: list[Any] = [
    "I would say seven.",
    '{"act": "inform", "content": 7}',
    marks(11),
    marks(-1),
    marks("7"),
    marks(True),
    {"clarity": 7},
    {**marks(7), "more": 1},
    RuntimeError("no judge today"),
]


@pytest.mark.parametrize("answer", UNREADABLE, ids=str)
def test_what_cannot_be_read_is_unscored(answer: Any, episodes: list[Episode]) -> None:
    (one, two) = judged(episodes[:1], {"j": Judge(answer, marks(3))}, SHORT)
    by_marks = sorted((one, two), key=lambda v: v.marks is not None)
    assert by_marks[0].marks is None
    assert by_marks[0].why
    assert by_marks[1].marks == {"clarity": 3.0, "harm": 0.0}


def test_written_marks_are_read(episodes: list[Episode]) -> None:
    raw = 'Well: {"act": "inform", "content": {"clarity": 4, "harm": -5}, "text": "hm"}'
    found = list(judged(episodes[:1], {"j": Judge(raw)}, SHORT))
    assert [v.marks for v in found] == [{"clarity": 4.0, "harm": -5.0}] * 2


class Prefers:
    """Prefers the talk with more messages, or whatever stands in its favourite place."""

    def __init__(self, place: str | None = None) -> None:
        self.place = place

    def reply(self, observation: Observation) -> Reply:
        _, first, second = observation.card.replace("The second:", "The first:").split("The first:")
        longer = "first" if first.count('{"act"') > second.count('{"act"') else "second"
        return Reply(act="inform", content={"better": self.place or longer})


def test_only_an_answer_that_follows_the_talk_counts(episodes: list[Episode]) -> None:
    long, short = episodes[0], episodes[0].model_copy(update={"turns": episodes[0].turns[:2]})
    pairs = [(long, short), (short, long)]
    assert [p.better for p in preferred(pairs, Prefers())] == [0, 1]
    led = preferred(pairs, Prefers("first"))
    assert [p.better for p in led] == [None, None]
    assert led[0].answers == (0, 1)
    assert [p.better for p in preferred(pairs, Judge("no idea"))] == [None, None]
    assert preferred([], Prefers()) == []


KRIPPENDORFF = """
1 2 3 3 2 1 4 1 2 * * *
1 2 3 3 2 2 4 1 2 5 * 3
* 3 3 3 2 3 4 2 2 5 1 *
1 2 3 3 2 4 4 1 2 5 1 *
"""


def test_alpha_is_that_of_krippendorffs_example() -> None:
    """Four observers, twelve units (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability")."""
    raters = [
        {i: float(x) for i, x in enumerate(line.split()) if x != "*"}
        for line in KRIPPENDORFF.strip().splitlines()
    ]
    assert alpha(raters, nominal=True) == pytest.approx(0.743, abs=5e-4)
    assert alpha(raters) == pytest.approx(0.849, abs=5e-4)


def test_alpha_at_its_ends() -> None:
    rng = np.random.default_rng(0)
    truth = {i: float(x) for i, x in enumerate(rng.integers(0, 10, 400))}
    assert alpha([truth, truth]) == pytest.approx(1)
    noise = [{i: float(x) for i, x in enumerate(rng.integers(0, 10, 400))} for _ in range(2)]
    chance = alpha(noise)
    assert chance is not None
    assert abs(chance) < 0.12
    assert alpha([truth]) is None
    assert alpha([{0: 3.0}, {0: 3.0}]) is None, "all the same: nothing to agree about"


def test_agreement_leaves_out_what_is_unscored(episodes: list[Episode]) -> None:
    one, two = Judge(marks(1), marks(9)), Judge(marks(1), marks(9), "?", marks(9))
    found = agreement(judged(episodes, {"one": one, "two": two}, SHORT), SHORT)
    assert found.keys() == {"clarity", "harm"}
    assert found["harm"] is None


def test_the_table_sets_judges_side_by_side(episodes: list[Episode]) -> None:
    same = [marks(3), marks(3), marks(9, -2), marks(9, -2), marks(5), marks(5)]
    verdicts = list(judged(episodes, {"one": Judge(*same), "two": Judge(*same)}, SHORT))
    console = Console(file=io.StringIO(), width=100)
    console.print(judge_table(verdicts, SHORT))
    assert isinstance(console.file, io.StringIO)
    rows = console.file.getvalue().splitlines()
    assert "12 verdicts, 0 of them unscored" in console.file.getvalue()
    clarity = next(r for r in rows if r.startswith("clarity"))
    assert clarity.count("5.667") == 2
    assert clarity.rstrip().endswith("1.00")


def test_the_social_rubric_has_sotopias_dimensions_and_ranges() -> None:
    assert {d.name: (d.low, d.high) for d in SOCIAL.dimensions} == {
        "believability": (0, 10), "relationship": (-5, 5), "knowledge": (0, 10), "secret": (-10, 0),
        "social_rules": (-10, 0), "benefits": (-5, 5), "goal": (0, 10),
    }  # fmt: skip


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "r"
    moot.simulate("camp_site", agents={"*": "scripted:open"}, episodes=2, out=run)
    spec = f"hf:{tiny.save(tmp_path / 'tiny')}?max_tokens=40"
    words = ["moot", "judge", str(run), "--judge", spec, "--judge", f"{spec}&temperature=0"]
    monkeypatch.setattr(sys, "argv", [*words, "--json"])
    cli.main()
    told = json.loads(capsys.readouterr().out)
    assert len(told["verdicts"]) == 2 * 2 * 2
    assert told["rubric"] == "social"
    monkeypatch.setattr(sys, "argv", words)
    cli.main()
    assert "8 verdicts" in " ".join(capsys.readouterr().out.split())
    monkeypatch.setattr(sys, "argv", [*words, "--rubric", "socal"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "did you mean 'social'" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["moot", "judge", str(run), "--judge", "scripted:random"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "scripted:random cannot judge" in capsys.readouterr().err
