"""The command line as users type it: what it prints, and one line for every mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moot import terminal
from moot.environments.records import Run
from moot.show import MOST_LINES

DATA = Path(__file__).parents[2] / "shared" / "data"
Moot = Callable[..., tuple[int, str, str]]


@pytest.fixture
def moot(typed: Moot) -> Moot:
    """`typed` under the name that a user types."""
    return typed


def play(moot: Moot, *more: str, out: str = "run", episodes: int = 12) -> tuple[int, str, str]:
    return moot("simulate", "deal_or_no_deal", "--agents", "*=scripted:open",
                "--episodes", str(episodes), "--out", out, *more)  # fmt: skip


def test_simulate_says_what_it_does_and_what_comes_next(moot: Moot) -> None:
    status, out, err = play(moot)
    assert status == 0
    assert "deal_or_no_deal: 12 episodes, seed 0; * = scripted:open; into run" in err
    assert out.count("Episode ") == 1
    assert len(out.split("completion_rate")[0].splitlines()) <= MOST_LINES + 3
    assert "query-ref" in out or "inform" in out
    assert "completion_rate" in out
    assert "95 % interval" in out
    assert "  moot show run --episode " in out


def test_simulate_prints_as_many_whole_transcripts_as_are_asked_for(moot: Moot) -> None:
    for count in (0, 2):
        _, out, _ = play(moot, "--transcripts", str(count), out=f"run{count}", episodes=6)
        assert out.count("\nEpisode ") + out.startswith("Episode ") == count
        assert "more lines" not in out


def test_quiet_prints_the_path_and_nothing_else(moot: Moot) -> None:
    status, out, err = play(moot, "-q", episodes=2)
    assert (status, out) == (0, "run\n")
    assert "into run" in err


def test_mishaps_that_never_happened_are_left_out_of_a_simulation(moot: Moot) -> None:
    assert "timeout_rate" not in play(moot)[1]
    assert "timeout_rate" in moot("score", "run")[1]


def test_runs_of_different_games_are_not_compared(moot: Moot) -> None:
    play(moot, out="one", episodes=3)
    moot("simulate", "task_auction", "*=scripted:random", "--episodes", "3", "--out", "two", "-q")
    status, out, _ = moot("compare", "one", "two")
    assert status == 0
    assert "different games" in out
    assert "difference" not in out
    assert "Cannot be told apart" not in out
    assert json.loads(moot("compare", "one", "two", "--json")[1])["comparable"] is False
    play(moot, "--seed", "1", out="three", episodes=3)
    assert json.loads(moot("compare", "one", "three", "--json")[1])["comparable"] is True


@pytest.mark.parametrize("columns", ["80", "60"])
def test_no_command_cuts_a_number(
    moot: Moot, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    play(moot, out="one")
    play(moot, "--seed", "1", out="two")
    monkeypatch.setattr(terminal.out, "_width", int(columns))
    for command in (["score", "one"], ["score", "one", "two"], ["show", "one"],
                    ["compare", "one", "two"], ["value", "one", "--episode", "0", "--turn", "0",
                    "--replays", "2"]):  # fmt: skip
        status, out, _ = moot(*command)
        assert status == 0
        assert "…" not in out
        table = [line for line in out.splitlines() if "  " in line.strip()]
        assert max(map(len, table)) <= int(columns)


def test_json_is_one_document_and_nothing_else(moot: Moot) -> None:
    status, out, _ = play(moot, "--json")
    document = json.loads(out)
    assert status == 0
    assert document["run"] == "run"
    assert document["episodes"] == 12
    assert document["metrics"]["completion_rate"]["n"] == 12
    status, out, _ = moot("score", "run", "--json")
    assert json.loads(out)["metrics"] == document["metrics"]


@pytest.mark.parametrize("kind", ["scenarios", "protocols", "environments", "agents", "metrics"])
def test_lists(moot: Moot, kind: str) -> None:
    status, out, _ = moot("list", kind, "--json")
    rows: list[dict[str, str]] = json.loads(out)
    assert status == 0
    assert rows
    assert all(row["name"] and row["summary"] for row in rows)
    status, out, _ = moot("list", kind)
    assert rows[0]["name"] in out


def test_show_lists_and_reads(moot: Moot) -> None:
    play(moot)
    status, out, _ = moot("show", "run", "--limit", "3")
    assert status == 0
    assert "12 of 12 episodes" in out
    assert "and 9 more" in out
    status, out, _ = moot("show", "run", "--episode", "5")
    assert status == 0
    assert "Episode 5" in out
    status, _, err = moot("show", "run", "--episode", "99")
    assert status == 2
    assert "no episode 99" in err


def test_check_replays_a_run_and_finds_what_was_changed(moot: Moot, tmp_path: Path) -> None:
    play(moot)
    assert moot("check", "run")[0] == 0
    file = tmp_path / "run" / "episodes.jsonl"
    lines = file.read_text().splitlines()
    episode: dict[str, Any] = json.loads(lines[3])
    episode["outcome"]["utilities"]["ann"] += 1
    lines[3] = json.dumps(episode, separators=(",", ":"))
    file.write_text("\n".join(lines) + "\n")
    status, _, err = moot("check", "run")
    assert status == 1
    assert f"episode {episode['id']}" in err


@pytest.mark.parametrize("name", ["camp_site", "deal_or_no_deal", "used_bicycle", "task_market"])
def test_shipped_scenarios_are_sound(moot: Moot, name: str) -> None:
    status, out, err = moot("check", name)
    assert (status, err) == (0, "")
    assert "sound" in out


def test_resume_gives_the_same_episodes(moot: Moot, tmp_path: Path) -> None:
    play(moot, out="whole")
    play(moot, out="torn")
    file = tmp_path / "torn" / "episodes.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:5]) + lines[5][:40])
    status, out, _ = moot("check", "torn")
    assert status == 0
    assert "5 episodes" in out
    assert "left out a torn last line (line 6); 7 still to be played" in out
    status, _, err = play(moot, "--resume", out="torn")
    assert status == 0
    assert "torn" in err
    whole = {e.id: e.line() for e in Run.open("whole").episodes()}
    assert {e.id: e.line() for e in Run.open("torn").episodes()} == whole
    status, _, err = play(moot, "--resume", "--seed", "1", out="torn")
    assert status == 2
    assert "seed" in err


def test_resume_without_a_folder_finds_the_run(moot: Moot) -> None:
    command = ("simulate", "camp_site", "*=scripted:random", "--episodes", "6")
    moot(*command)
    (folder,) = Path("runs").iterdir()
    file = folder / "episodes.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))
    status, _, _ = moot(*command, "--resume")
    assert status == 0
    assert list(Path("runs").iterdir()) == [folder]
    assert not Run.open(folder).missing()


MISTAKES: dict[str, tuple[list[str], list[str]]] = {
    "scenario": (["simulate", "camp_sit"], ["camp_sit", "did you mean 'camp_site'"]),
    "seat": (["simulate", "camp_site", "anna=nano"], ["anna", "did you mean 'ann'"]),
    "kind": (["simulate", "camp_site", "ann=hg:x"], ["hg:x", "hf"]),
    "strategy": (["simulate", "camp_site", "*=scripted:liner"], ["liner", "'linear'"]),
    "bare": (["simulate", "camp_site", "*=linear"], ["did you mean 'scripted:linear'"]),
    "pair": (["simulate", "camp_site", "--agents", "ann"], ["ROLE=SPEC"]),
    "twice": (["simulate", "camp_site", "ann=nano", "ann=nano"], ["twice"]),
    "episodes": (["simulate", "camp_site", "--episodes", "0"], ["episodes", ">= 1"]),
    "word": (["simulate", "camp_site", "--episodes", "ten"], ["--episodes", "integer"]),
    "url": (["simulate", "camp_site", "ann=openai:x"], ["openai:MODEL@"]),
    "data": (["simulate", "deal_or_no_deal", "--data", "none.jsonl"], ["none.jsonl"]),
    "model": (["simulate", "camp_site", "ann=hf:./empty", "bob=scripted:linear"], ["empty"]),
    "option": (["simulate", "camp_site", "*=nano?temperatur=1"], ["temperatur", "temperature"]),
    "list": (["list", "agent"], ["did you mean 'agents'"]),
    "score": (["score", "nowhere"], ["nowhere"]),
    "show": (["show", "nowhere"], ["nowhere"]),
    "check": (["check", "nowhere.yaml"], ["nowhere.yaml"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(moot: Moot, mistake: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    words, expected = MISTAKES[mistake]
    status, out, err = moot(*words)
    assert status == 2
    assert out == ""
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1, err
    for part in expected:
        assert part in err
    assert not (tmp_path / "runs").exists()


FILES: dict[str, tuple[str, str]] = {
    "yaml": ("roles: {a: [", "mine.yaml:1"),
    "type": ("world: item_division\nprotocol: alternating_offers\nitems: {x: two}\nroles: {}", "items.x"),
    "count": ("world: item_division\nprotocol: alternating_offers\nitems: {x: -2}\nroles: {}", "-2"),
    "key": ("world: item_division\nprotocol: alternating_offers\nitem: {x: 1}\nroles: {}", "'items'"),
    "world": ("world: item_divisio\nprotocol: alternating_offers\nroles: {}", "'item_division'"),
    "empty": ("", "empty"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FILES)
def test_a_bad_file_is_one_line(moot: Moot, fault: str, tmp_path: Path) -> None:
    text, part = FILES[fault]
    (tmp_path / "mine.yaml").write_text(text)
    status, _, err = moot("simulate", "mine.yaml")
    assert status == 2
    assert "mine.yaml" in err
    assert part in err
    assert len(err.strip().splitlines()) == 1


def test_an_existing_run_is_never_written_over(moot: Moot) -> None:
    play(moot)
    before = Path("run/episodes.jsonl").read_bytes()
    status, _, err = play(moot)
    assert status == 2
    assert "--resume" in err
    assert Path("run/episodes.jsonl").read_bytes() == before


@pytest.mark.skipif(not DATA.exists(), reason="the shared data folder is not beside this checkout")
def test_the_human_reference_row(moot: Moot) -> None:
    status, out, _ = moot("score", str(DATA / "deal_or_no_deal" / "dialogues.jsonl.gz"), "--json")
    assert status == 0
    metrics = json.loads(out)["metrics"]
    expected = {
        "completion_rate": 0.7558,
        "utility": 5.6528,
        "utility_agreed": 7.4796,
        "pareto_rate": 0.7758,
        "messages_per_episode": 4.9744,
        "words_per_message": 8.886,
    }
    for name, value in expected.items():
        assert metrics[name]["value"] == pytest.approx(value, abs=5e-5)
        low, high = metrics[name]["ci"]
        assert low < value < high
        assert metrics[name]["n"] > 0


@pytest.mark.skipif(not DATA.exists(), reason="the shared data folder is not beside this checkout")
def test_scenarios_from_a_data_file(moot: Moot) -> None:
    file = DATA / "openspiel_bargaining" / "scenarios.jsonl.gz"
    status, out, _ = moot("simulate", "deal_or_no_deal", "--agents", "*=scripted:nash", "--data",
                          str(file), "--episodes", "40", "--json")  # fmt: skip
    assert status == 0
    assert json.loads(out)["metrics"]["nash_ratio"]["value"] == pytest.approx(1.0)


def test_check_knows_fine_tunings_and_suites(moot: Moot, tmp_path: Path) -> None:
    traders = Path(__file__).parents[1] / "examples" / "traders.yaml"
    status, out, _ = moot("check", str(traders))
    assert status == 0
    assert "sound; a fine-tuning of 6 clients, lora on nano, rule fedavg, 12 rounds" in out
    text = (
        traders.read_text()
        .replace("seat: bob", "seat: bib")
        .replace("teacher: scripted:open", "teacher: scripted:opn")
    )
    (tmp_path / "mine.yaml").write_text(text)
    status, _, err = moot("check", "mine.yaml")
    assert status == 1
    assert "clients.dan.seat: no 'bib' in market; did you mean 'bob'" in err
    assert "clients.ada: teacher: unknown strategy 'opn'" in err
    (tmp_path / "suite.yaml").write_text(
        "scenarios: [kitchen, bargain]\nagents: {one: scripted:random, two: scripted:boulware}"
    )
    status, _, err = moot("check", "suite.yaml")
    assert status == 1
    assert "agents.two: scripted:boulware does not play kitchen" in err
    (tmp_path / "suite.yaml").write_text("scenarios: [bargain]\nagents: {one: scripted:random}")
    assert "a suite of 1 scenario and 1 agent" in moot("check", "suite.yaml")[1]


def test_a_yaml_file_is_no_file_of_dialogues(moot: Moot, tmp_path: Path) -> None:
    (tmp_path / "games.yaml").write_text("a: 1")
    (tmp_path / "mine.yaml").write_text("clients: {ann: {dialogues: games.yaml}}")
    status, _, err = moot("finetune", "mine.yaml")
    assert status == 2
    assert "clients.ann.dialogues: games.yaml is a YAML file; want a run, or a .jsonl file" in err
    status, _, err = moot("judge", "games.yaml", "--judge", "nano")
    assert status == 2
    assert "games.yaml is a YAML file and holds no dialogues" in err
