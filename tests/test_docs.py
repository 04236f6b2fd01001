"""What the docs say is so: tables of fields are fresh, links lead somewhere, examples run."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from moot.environments import Scenario
from moot.environments.load import load_scenario
from moot.protocols import PROTOCOLS, check_protocol
from moot.tuning import load_tuning

ROOT = Path(__file__).parents[1]
HUMAN = ROOT.parent / "shared" / "data" / "deal_or_no_deal" / "dialogues.jsonl.gz"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_tables_of_fields_are_fresh() -> None:
    done = run(sys.executable, "docs/make.py", "--check", cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "docs" / "scenarios.md", ROOT / "docs" / "protocols.md"]
)
def test_scenarios_in_the_docs_load(page: Path, tmp_path: Path) -> None:
    found = blocks(page, "yaml")
    assert found
    for text in found:
        (tmp_path / "shown.yaml").write_text(text)
        assert isinstance(load_scenario(tmp_path / "shown.yaml"), Scenario)


def test_python_in_the_readme_runs(tmp_path: Path) -> None:
    first = next(b for b in blocks(ROOT / "README.md", "python") if b.startswith("import moot"))
    # The same words with a quick agent: the model has tests of its own.
    quick = first.replace('"nano"', '"scripted:open"')
    done = run(sys.executable, "-c", quick, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "completion_rate" in done.stdout
    assert (tmp_path / "runs" / "first" / "episodes.jsonl").exists()


def test_every_protocol_has_its_place_in_the_docs() -> None:
    text = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^<!-- (?:protocol|diagram): (\w+)", text, re.MULTILINE))
    assert drawn == set(PROTOCOLS), "add a section with a marker, then: python docs/make.py"


def test_python_about_protocols_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = blocks(ROOT / "docs" / "protocols.md", "python")
    exec(shown, {})
    assert capsys.readouterr().out.startswith("stateDiagram-v2")


def test_the_recipe_for_a_protocol_makes_one() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (indented,) = re.findall(r"^   ```python\n(.*?)^   ```", text, re.DOTALL | re.MULTILINE)
    made: dict[str, Any] = {"__name__": "moot.protocols.questions", "__package__": "moot.protocols"}
    exec(textwrap.dedent(indented), made)
    notes = check_protocol(made["questions"](), paths=20)
    assert notes.messages > 20


def test_fine_tunings_in_the_docs_load() -> None:
    page = ROOT / "docs" / "finetuning.md"
    assert load_tuning(ROOT / "examples" / "traders.yaml").clients
    for text in blocks(page, "yaml"):
        assert load_tuning(yaml.safe_load(text)).clients


def test_python_about_fine_tuning_runs(tmp_path: Path) -> None:
    (shown,) = blocks(ROOT / "docs" / "finetuning.md", "python")
    here = shown.replace('"models/nano"', repr(str(ROOT / "models" / "nano")))
    done = run(sys.executable, "-c", here, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "round 3" in done.stdout
    assert (tmp_path / "adapters" / "ada" / "adapter_config.json").exists()


EXAMPLES = [p for p in sorted((ROOT / "examples").glob("*.py")) if p.stem != "human_dialogues"]
LEARNERS = {"train_with_sb3": ("sb3_contrib", "512"), "train_with_rllib": ("ray", "1")}
"""Examples for learners that this project does not install -> what they import, and how long to run."""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.name)
def test_examples_run(example: Path, tmp_path: Path) -> None:
    learner, *short = LEARNERS.get(example.stem, (None,))
    if learner is not None and find_spec(learner) is None:
        pytest.skip(f"{learner} is not installed")
    done = run(sys.executable, str(example), *short, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.skipif(not HUMAN.exists(), reason="needs the data folder beside the repository")
def test_human_dialogues_can_be_learned_from(tmp_path: Path) -> None:
    done = run(
        sys.executable, str(ROOT / "examples" / "human_dialogues.py"), str(HUMAN), "--most", "24",
        "--clients", "3", "--rounds", "1", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "held-out perplexity" in done.stdout


def test_every_command_in_the_docs_exists() -> None:
    known = run(sys.executable, "-m", "moot", "--help", cwd=ROOT).stdout
    for page in PAGES:
        for command in re.findall(
            r"^\$ moot (\w+)", page.read_text(encoding="utf-8"), re.MULTILINE
        ):
            assert re.search(rf"\b{command}\b", known), f"{page.name}: moot {command}"
