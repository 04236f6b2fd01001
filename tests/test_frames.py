"""Episodes as pictures: what stands beside the world, the files, and what cannot be drawn."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

import moot
from moot.cli import commands
from moot.environments import WORLDS, Environment, Episode
from moot.environments.frames import LAST, PAUSE, frame, pixels, save_frames, scenes, size
from moot.environments.load import draw, load_scenario
from moot.protocols import MootError, Reply
from moot.protocols.schemas import legal_reply

needs = pytest.mark.skipif(
    not all(map(find_spec, ("resvg_py", "PIL"))),
    reason="needs the extra: pip install 'moot[hybrid]'",
)
DRAWN = [name for name, world in WORLDS.items() if hasattr(world, "picture") and name != "hybrid"]


def played(world: str, *, slips: bool = False, **generate: object) -> Episode:
    table = Environment(draw(load_scenario({"world": world, "name": "x y", "generate": generate})))
    while table.ended is None:
        if slips and len(table.turns) % 4 == 1:
            table.step(Reply(raw="Well..."))
        table.step(legal_reply(table.observe()))
    return table.episode()


@pytest.mark.parametrize("world", DRAWN)
def test_every_world_that_draws_gives_a_scene_for_each_message(world: str) -> None:
    episode = played(world)
    shown = list(scenes(episode))
    assert [len(s.messages) for s in shown] == list(range(len(episode.messages) + 1))
    assert len({s.picture for s in shown}) > 1, "something moves"
    for scene in (shown[0], shown[-1]):
        ElementTree.fromstring(frame(scene, tuple(episode.scenario.roles), "a & b", "<over>"))


def test_illegal_replies_are_replayed_and_not_shown() -> None:
    episode = played("crossing", slips=True)
    assert any(turn.error for turn in episode.turns)
    shown = list(scenes(episode))
    assert len(shown) == len(episode.messages) + 1
    assert shown[-1].messages == episode.messages


def test_the_newest_words_stand_beside_the_picture() -> None:
    episode = played("crossing")
    agents = tuple(episode.scenario.roles)
    svg = frame(list(scenes(episode))[-1], agents, "a title", "the end")
    words = ["".join(t.itertext()) for t in ElementTree.fromstring(svg).iter() if "text" in t.tag]
    assert "a title" in words
    assert words[-1] == "the end"
    assert any(w.startswith(f"{agents[0]} (sealed): pace") for w in words)
    width, height = size(svg)
    assert width > size(next(scenes(episode)).picture)[0] + 300
    lows = [float(y) for y in re.findall(r'<text [^>]*y="([\d.]+)"', svg)]
    assert max(lows) <= height


def test_sizes_are_read_from_a_document_or_its_box() -> None:
    assert size('<svg width="30px" height="20.4" viewBox="0 0 9 9"></svg>') == (30, 20)
    assert size('<svg viewBox="0 0 90 45"><rect width="1" height="1"/></svg>') == (90, 45)


@needs
def test_files_and_animation(tmp_path: Path) -> None:
    from PIL import Image

    episode = played("crossing", cars=[2, 2], left=[1, 2], talk=0)
    files = save_frames(episode, tmp_path / "new" / "folder")
    assert [f.suffix for f in files] == [".png"] * (len(episode.messages) + 1) + [".gif"]
    assert files[0].name == "x_y_0-000.png"
    with Image.open(files[0]) as first, Image.open(files[-1]) as film:
        assert film.size == first.size == size(frame(next(scenes(episode)), ("red",)))
        assert film.n_frames == len(files) - 1  # type: ignore[attr-defined]
        assert film.info["duration"] == PAUSE
        film.seek(film.n_frames - 1)  # type: ignore[attr-defined]
        assert film.info["duration"] == LAST
        assert first.convert("RGB").getcolors(100_000) is not None
        assert len(first.convert("RGB").getcolors(100_000) or ()) > 5, "not a blank page"


@needs
def test_the_command_line_draws(tmp_path: Path) -> None:
    source = {"world": "crossing", "name": "meeting", "generate": {"talk": 0}}
    moot.simulate(source, agents={"*": "scripted:oracle"}, episodes=1, out=tmp_path / "run")
    runner, folder = CliRunner(), tmp_path / "pictures"
    done = runner.invoke(
        commands(), ["show", str(tmp_path / "run"), "--episode", "0", "--frames", str(folder)]
    )
    assert done.exit_code == 0, done.output
    assert "meeting_0.gif" in done.output.replace("\n", "")
    assert len(list(folder.glob("*.png"))) >= 5
    with pytest.raises(MootError, match="add --episode N"):
        raise runner.invoke(
            commands(), ["show", str(tmp_path / "run"), "--frames", str(folder)]
        ).exception  # type: ignore[misc]


def test_worlds_without_pictures_say_so(tmp_path: Path) -> None:
    with pytest.raises(MootError, match="item_division does not draw itself"):
        list(scenes(played("item_division")))


@needs
def test_what_is_no_svg_is_refused() -> None:
    with pytest.raises(MootError, match="no sound SVG"):
        pixels("<svg")


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(MootError, match=r"frames need Pillow: pip install 'moot\[hybrid\]'"):
        save_frames(played("crossing"), tmp_path)
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(MootError, match="frames need resvg_py"):
        pixels("<svg/>")
