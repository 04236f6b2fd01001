"""What the terminal says of an episode's data: short, whole, and drawn where it can be."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from moot.environments import WORLDS
from moot.show import MOST_LINES, beginning, brief, episode_list, known_as, transcript
from moot.simulation import simulate

LINES = 5
"""That one agent's values may take at 80 columns, without its drawings."""


def printed(thing: Any, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(thing)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_nested_data_is_short() -> None:
    board = [[[0, 0], [0, 1]], [[1, 0], [0, 0]]]
    assert brief({"board": board}) == "board (a table of 2 x 2 x 2)"
    assert brief([[1, 2], [3, 4]]) == "1, 2; 3, 4"
    assert brief([[0] * 9] * 9) == "(a table of 9 x 9)"
    assert (
        brief({"quay": {"200 m": 0, "400 m": 14}, "jobs": 3}) == "quay (200 m 0, 400 m 14), jobs 3"
    )
    assert brief([]) == "none"
    assert brief(list(range(40))).endswith("... (40 in all)")
    assert brief({f"skill {k}": {"slip": 0.05, "guess": 0.1, "hint": 0.1} for k in range(8)}) == (
        f"for {', '.join(f'skill {k}' for k in range(8))}"
    )
    assert len(brief("word " * 400)) < 250


@pytest.mark.parametrize("name", ["kitchens", "rescue", "lesson", "harbour", "round_table"])
def test_what_agents_know_is_a_few_lines_and_maps_are_drawn(name: str, tmp_path: Path) -> None:
    run = simulate(name, agents={"*": "scripted:random"}, episodes=1, out=tmp_path / "run")
    (episode,) = run.episodes()
    world = WORLDS[episode.scenario.world].build(episode.scenario)
    known = [world.public(), *(world.private(agent) for agent in episode.scenario.roles)]
    lines = printed(transcript(episode)).splitlines()
    header = lines[: next(i for i, line in enumerate(lines[1:], 1) if not line.strip())]
    said = [line for line in header if not line.startswith(" " * 6)]
    assert len(said) <= 2 + LINES * len(known)
    maps = [rows for data in known for key in ("grid", "map") if (rows := data.get(key))]
    assert bool(maps) == (name in ("kitchens", "rescue"))
    for row in (row for rows in maps for row in rows):
        assert f"        {row}".rstrip() in [line.rstrip() for line in header]


def test_names_of_equal_length_are_no_map() -> None:
    said = printed(_known({"quay": ["200 m", "400 m"], "grid": ["X P", "O X"]}))
    assert said == "quay 200 m and 400 m\n  grid\n    X P\n    O X\n\n"


def test_cells_of_words_stand_in_columns() -> None:
    said = printed(_known({"state": {"map": [["wall", "."], ["yellow key", "."]], "at": 4}}))
    assert said == "state at 4\n  state map\n    wall       .\n    yellow key .\n\n"


def _known(data: dict[str, Any]) -> Text:
    text = Text()
    known_as(text, "", data)
    return text


def test_the_list_of_episodes_cuts_nothing(tmp_path: Path) -> None:
    run = simulate("camp_site", agents={"*": "scripted:linear"}, episodes=2, out=tmp_path / "run")
    episodes = list(run.episodes())
    text = printed(episode_list(episodes), 70)
    assert max(map(len, text.splitlines())) <= 70
    for word in brief(episodes[0].outcome.deal).split():
        assert word in text
    assert "…" not in text


def test_a_long_episode_is_cut_to_fit_and_says_where_the_rest_is() -> None:
    console = Console(file=io.StringIO(), width=60)
    short = Text("\n".join(map(str, range(MOST_LINES))))
    assert beginning(console, short, "moot show run --episode 3") is short
    long = Text("\n".join(map(str, range(MOST_LINES + 10))), style="bold")
    lines = printed(beginning(console, long, "moot show run --episode 3"), 60).splitlines()
    assert lines[:2] == ["0", "1"]
    assert len(lines) == MOST_LINES - 1
    assert lines[-1] == "    ... and 12 more lines: moot show run --episode 3"
