"""Tables at any width: no number is cut, and every line fits."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from moot.evaluation.grid import Grid, Row

VALUES = [("camp_site", "nano", "1.000±0.084*", "-12.50±0.25*", "4,359"),
          ("", "scripted:linear", "0.000±0.084", "3.100±0.033*", "8")]  # fmt: skip
TITLES = ("scenario", "agent", "completion_rate", "messages_per_completed_task", "episodes")


def shown(grid: Grid, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(grid)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [45, 60, 80, 120])
def test_every_number_is_whole_and_every_line_fits(width: int) -> None:
    lines = shown(Grid(TITLES, [Row(cells) for cells in VALUES], keys=2), width)
    assert max(map(len, lines)) <= width
    whole = " ".join(lines).split()
    assert all(cell in whole for cells in VALUES for cell in cells if cell)
    squeezed = "".join(lines).replace(" ", "")
    assert all(title in squeezed for title in ("scenario", "agent", "episodes"))


def test_one_block_where_there_is_room_and_each_block_names_its_rows_where_not() -> None:
    grid = Grid(TITLES, [Row(cells) for cells in VALUES], keys=2)
    assert len(shown(grid, 120)) == 3
    narrow = shown(grid, 50)
    assert narrow.count("") > 0
    assert sum("scripted:linear" in line for line in narrow) == narrow.count("") + 1


def test_spare_columns_go_before_the_table_breaks() -> None:
    rows = [Row(("utility", "+1.000 [0.500, 1.500]", "0.001", "1,234"))]
    grid = Grid(("metric", "difference", "p", "n"), rows, spare=("n",), caption="Holm")
    assert "1,234" in shown(grid, 80)[1]
    assert shown(grid, 40)[1:] == [
        "utility  +1.000 [0.500, 1.500]  0.001",
        "Holm; no room here for n",
    ]


def test_titles_break_where_that_keeps_the_table_in_one_block() -> None:
    grid = Grid(("metric", "runs/camp_site-0a1b", "runs/b"), [Row(("utility", "1.0", "2.0"))])
    lines = shown(grid, 30)
    assert [line.split() for line in lines] == [
        ["metric", "runs/", "runs/"], ["camp_", "b"], ["site-"], ["0a1b"], ["utility", "1.0", "2.0"]
    ]  # fmt: skip


def test_words_wrap_beside_below_or_make_way_for_a_hint() -> None:
    words = "one two three four five six seven eight nine ten eleven twelve thirteen"
    rows = [Row(("1.000",), words)]
    wide = shown(Grid(("value",), rows, words="words"), 45)
    assert wide[0] == "value  words"
    assert " ".join(" ".join(wide[1:]).split()) == f"1.000 {words}"
    narrow = shown(Grid(("value",), rows, words="words"), 30)
    assert narrow[1] == "1.000"
    assert " ".join(" ".join(narrow[2:]).split()) == words
    assert all(line.startswith("    ") for line in narrow[2:])
    assert shown(Grid(("value",), rows, words="words", instead="ask"), 30) == [
        "value",
        "1.000",
        "ask",
    ]
