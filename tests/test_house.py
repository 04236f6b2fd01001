"""The shape of the house: which folder may import which, links, file sizes, light imports."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("protocols", "environments", "agents", "finetune", "evaluation")
ALLOWED = {
    "protocols": set[str](),
    "environments": {"protocols"},
    "agents": {"protocols"},
    "finetune": {"protocols", "environments", "agents"},
    "evaluation": {"protocols", "environments", "agents"},
}


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path, folder: str) -> set[str]:
    """Library folders that a file imports, through any spelling."""
    found: set[str] = set()
    depth = len(path.relative_to(ROOT / folder).parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            parts = (node.module or "").split(".")
            if node.level == depth + 1:
                found |= {parts[0]} if parts[0] else {a.name for a in node.names}
            elif node.level == 0 and parts[0] == "moot":
                found |= {parts[1]} if len(parts) > 1 else {a.name for a in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("moot.")}
    return found - {folder}


@pytest.mark.parametrize("folder", FOLDERS)
def test_arrows_point_one_way(folder: str) -> None:
    for path in sources(folder):
        strange = imported(path, folder) - ALLOWED[folder]
        assert not strange, f"{path.relative_to(ROOT)} imports {sorted(strange)}"


def test_the_arrow_test_sees_every_spelling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    deep = tmp_path / "protocols" / "sub"
    deep.mkdir(parents=True)
    for text in ("from ...agents import x", "import moot.agents", "from moot.agents.y import x",
                 "from moot import agents", "from ... import agents"):  # fmt: skip
        (deep / "a.py").write_text(text)
        assert imported(deep / "a.py", "protocols") == {"agents"}, text
    (deep / "a.py").write_text("from ..wire import read\nfrom . import x\nimport json")
    assert imported(deep / "a.py", "protocols") == set()


def test_light_folders_never_load_torch() -> None:
    code = "import sys, moot.environments, moot.protocols; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_front_door_links_to_every_folder() -> None:
    for folder in (*FOLDERS, "scenarios", "models"):
        link = ROOT / "moot" / folder
        assert link.is_symlink(), folder
        assert link.resolve() == ROOT / folder


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    extras = project["optional-dependencies"].values()
    for requirement in chain(project["dependencies"], *extras):
        name = requirement.split(">=")[0].split("[")[0].lower().replace("_", "-")
        assert name in pins | {"moot"}, f"{name} is not in constraints.txt"


@pytest.mark.parametrize("folder", FOLDERS)
def test_modules_open_with_their_idea_and_stay_short(folder: str) -> None:
    for path in sources(folder):
        text = path.read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), f"{path.relative_to(ROOT)} has no docstring"
        assert text.count("\n") <= 400, (
            f"{path.relative_to(ROOT)} is {text.count(chr(10))} lines long"
        )
